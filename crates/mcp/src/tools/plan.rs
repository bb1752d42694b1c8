//! Several statements that are approved as one, and asking for an approval before a statement is sent.

use gateway::errand::Errand;
use gateway::plans::{PlanError, Refused, Shown, Submission};
use model::{CarriedBy, Done, Status, Step};
use serde_json::{Value, json};

use super::query::{ROWS, Sent, Statement, Waits};
use super::{Caller, Tools, text};
use crate::answer::{Answer, Refusal, delimited, one_line};
use crate::door::Told;
use crate::rpc::Object;

/// The longest reason, in bytes.
const LONGEST_REASON: usize = 2000;

impl Tools {
    /// Submits a plan, which the gateway carries out once it is approved.
    pub(super) async fn submit_plan(&self, caller: &Caller, arguments: &Object) -> Result<Answer, Refusal> {
        let submission = Submission {
            target: text(arguments, "target")?.to_owned(),
            script: text(arguments, "sql")?.to_owned(),
            reason: Some(reason(arguments)?),
            by: CarriedBy::Gateway,
        };
        let taken = self.gateway.submit_plan(&caller.token, &submission, caller.peer).await;
        let shown = match taken {
            Ok(shown) => shown,
            Err(error) => {
                let target = model::TargetName::new(submission.target);
                return Err(self.checked(caller, &target, refusal(error)).await);
            }
        };
        let Shown { id, status, target: _, outcome: _, changed: _, expires: _, plan, progress: _, how: _ } =
            shown;
        let steps: Vec<Value> = plan.steps.iter().map(step).collect();
        let link = self.gateway.link_to(&id);
        let how = match &plan.apart {
            None => "in one transaction".to_owned(),
            Some(why) => format!("one by one: {}", one_line(why)),
        };
        let waits = status == Status::Pending;
        let what = if waits {
            "wait for a person's approval, and then run"
        } else {
            "need nobody's approval, and run"
        };
        let mut words =
            format!("Request {id}: {} statements {what} {how}. Call wait with request {id}.", steps.len());
        let link = link.filter(|_| waits);
        if let Some(link) = &link {
            words.push_str(&format!(" People answer it at {link}"));
        }
        let data = json!({ "request": id, "link": link, "status": status.as_str(), "steps": steps });
        Ok(Answer::new(words, data))
    }

    /// Asks for an approval of a statement, which is kept for whoever waits for the answer. It does not run by this.
    pub(super) async fn request(
        &self,
        caller: &Caller,
        arguments: &Object,
        told: &Told,
    ) -> Result<Answer, Refusal> {
        match (arguments.contains_key("sql"), arguments.contains_key("access")) {
            (false, true) => return self.ask_access(caller, arguments).await,
            (true, true) => return Err(Refusal::argument("either sql or access is asked for".to_owned())),
            (true, false) => (),
            (false, false) => {
                return Err(Refusal::argument("sql is missing, or access: what is asked for".to_owned()));
            }
        }
        if let Some(name) = ["rows", "minutes"].into_iter().find(|name| arguments.contains_key(*name)) {
            return Err(Refusal::argument(format!("{name} is said of access, and not of a statement")));
        }
        let statement = Statement::of(arguments, ROWS)?;
        let errand = Errand { asks_only: true, reason: Some(reason(arguments)?) };
        match self.send(caller, &statement, Some(errand), told).await? {
            // What returns no row and is no operation: there is nothing in it to ask for.
            Sent::Ran(_) => Err(Refusal::argument("there is no statement in sql".to_owned())),
            Sent::Waits(Waits { request, refusal: _ }) => {
                let way = self.hold(caller, &request, statement);
                let link = self.gateway.link_to(&request);
                let mut words =
                    format!("Request {request} waits for a person's approval; nothing ran. {way}");
                if let Some(link) = &link {
                    words.push_str(&format!(" People answer it at {link}"));
                }
                let data = json!({ "request": request, "link": link, "status": Status::Pending.as_str() });
                Ok(Answer::new(words, data))
            }
        }
    }
}

/// How far a plan has come, or what came of it, statement by statement.
pub(super) fn came(shown: Shown) -> Answer {
    let Shown { id, status, target: _, outcome, changed: _, expires: _, plan, progress, how: _ } = shown;
    let outcome = outcome.map(|outcome| format!(": {}", one_line(&outcome))).unwrap_or_default();
    let mut words = format!("Request {id} is {status}{outcome}. {} statements.", plan.steps.len());
    let mut lines = Vec::new();
    let mut results = Vec::new();
    for (number, done) in (1..).zip(&progress.done) {
        let Done { tag, columns, rows, left_out, error, sqlstate } = done;
        lines.push(json!([number, error.as_ref().unwrap_or(tag)]).to_string());
        if !columns.is_empty() {
            lines.push(json!(columns).to_string());
        }
        lines.extend(rows.iter().map(|row| json!(row).to_string()));
        if *left_out > 0 {
            lines.push(json!([format!("{left_out} more rows are not kept")]).to_string());
        }
        results.push(json!({
            "tag": tag, "columns": columns, "rows": rows, "left_out": left_out, "error": error,
            "sqlstate": sqlstate,
        }));
    }
    if !lines.is_empty() {
        words.push(' ');
        words.push_str(&delimited(&lines));
    }
    Answer::new(words, json!({ "request": id, "status": status.as_str(), "results": results }))
}

fn step(step: &Step) -> Value {
    json!({ "kind": step.kind, "effects": step.effects, "holds": step.holds })
}

pub(super) fn reason(arguments: &Object) -> Result<String, Refusal> {
    let reason = text(arguments, "reason")?;
    if reason.len() > LONGEST_REASON {
        return Err(Refusal::argument(format!("reason has at most {LONGEST_REASON} bytes")));
    }
    Ok(reason.to_owned())
}

pub(super) fn refusal(error: PlanError) -> Refusal {
    match error {
        PlanError::Refused(refused) => {
            let words = refused.to_string();
            let Refused { statement: _, code, reason: _, hint } = refused;
            Refusal::of(code, words, hint)
        }
        PlanError::Token => Refusal::of("28P01", "the token is not valid any more".to_owned(), None),
        error @ (PlanError::Missing(_) | PlanError::NoRequest(_)) => Refusal::argument(error.to_string()),
        error @ (PlanError::State(_) | PlanError::Journal(_)) => {
            tracing::error!("a plan cannot be dealt with: {error}");
            Refusal::busy("the gateway cannot do this now".to_owned(), "Try again later.")
        }
    }
}
