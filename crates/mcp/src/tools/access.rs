//! Asking for access: leave to go on without asking for a while, and what was answered.

use gateway::access::{Shown, Wanted};
use model::{Access, Status, TargetName};
use serde_json::{Value, json};

use super::plan::{reason, refusal};
use super::wait::{PATIENCE, unanswered};
use super::{Caller, Tools, sendable, text};
use crate::answer::{Answer, Refusal};
use crate::door::Told;
use crate::rpc::Object;

impl Tools {
    /// Asks for access, where somebody could give it.
    pub(super) async fn ask_access(&self, caller: &Caller, arguments: &Object) -> Result<Answer, Refusal> {
        if arguments.contains_key("params") {
            return Err(Refusal::argument("params are of a statement, and not of access".to_owned()));
        }
        let wanted = Wanted {
            target: TargetName::new(text(arguments, "target")?),
            leaves: leaves(arguments)?,
            most: whole(arguments, "rows")?,
            seconds: whole(arguments, "minutes")?.map(|minutes| minutes.saturating_mul(60)),
            reason: reason(arguments)?,
        };
        let asked = self.gateway.ask_access(&caller.admitted, &wanted, &caller.moment()).await;
        let shown = asked.map_err(refusal)?;
        let id = &shown.id;
        let link = self.gateway.link_to(id);
        let mut words = format!(
            "Request {id} waits for a person's approval of {}, {}.",
            shown.access.line(),
            shown.access.bounds()
        );
        if !shown.free.is_empty() {
            words.push_str(&format!(" You need no leave for {}.", shown.free.join(", ")));
        }
        words.push_str(&format!(" Call wait with request {id}."));
        if let Some(link) = &link {
            words.push_str(&format!(" People answer it at {link}"));
        }
        let mut data = data(&shown);
        if let (Some(object), Some(link)) = (data.as_object_mut(), link) {
            object.insert("link".to_owned(), link.into());
        }
        Ok(Answer::new(gateway::visible::line(&words), data))
    }

    /// Waits for the answer to a request for access.
    pub(super) async fn access_answered(
        &self,
        caller: &Caller,
        id: &str,
        told: &Told,
    ) -> Result<Answer, Refusal> {
        self.settled(id, PATIENCE, |_| false, told).await?;
        let shown = self.gateway.own_access(&caller.admitted, id).await.map_err(refusal)?;
        if shown.status == Status::Pending {
            return Ok(unanswered(id));
        }
        let said = shown.said.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
        let words = match &shown.grant {
            Some(_) => format!(
                "Request {id} is approved{said}. Until {} these run without asking: {}, {}. Send the statement.",
                gateway::inside::written(shown.until),
                shown.access.line(),
                shown.access.bounds()
            ),
            None => format!("Request {id} is {}{said}. Statements are held as before.", shown.status),
        };
        Ok(Answer::new(gateway::visible::line(&words), data(&shown)))
    }
}

fn data(shown: &Shown) -> Value {
    let Shown { id, status, target: _, access, grant, until, said: _, free, how: _ } = shown;
    let Access { leaves, most, seconds } = access;
    let leaves: Vec<String> = leaves.iter().map(ToString::to_string).collect();
    // What became of a request that was approved is told as what it is to whoever asked.
    let status = if grant.is_some() { Status::Approved } else { *status };
    json!({
        "request": id, "status": status.as_str(), "access": leaves, "rows": most, "minutes": seconds.div_ceil(60),
        "until": gateway::inside::written(*until), "grant": grant, "free": free,
    })
}

fn leaves(arguments: &Object) -> Result<Vec<String>, Refusal> {
    let wrong = || Refusal::argument("access is a list of texts, each an action and a table".to_owned());
    let all = arguments.get("access").and_then(Value::as_array).ok_or_else(wrong)?;
    let one = |one: &Value| sendable("access", one.as_str().ok_or_else(wrong)?).map(str::to_owned);
    all.iter().map(one).collect()
}

fn whole(arguments: &Object, name: &str) -> Result<Option<u64>, Refusal> {
    match arguments.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(number) => {
            let number = number.as_u64();
            number.map(Some).ok_or_else(|| Refusal::argument(format!("{name} is a whole number")))
        }
    }
}
