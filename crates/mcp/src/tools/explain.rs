//! What would be decided of a statement, before it is tried.

use gateway::requests::AdminError;
use model::TargetName;
use serde_json::json;

use super::{Caller, Tools, text};
use crate::answer::{Answer, Refusal, delimited, one_line};
use crate::rpc::Object;

impl Tools {
    /// Decides it and sends nothing.
    pub(super) async fn explain(&self, caller: &Caller, arguments: &Object) -> Result<Answer, Refusal> {
        let target = TargetName::new(text(arguments, "target")?);
        let sql = text(arguments, "sql")?;
        self.usable(caller, &target)?;
        let explained = self.gateway.explain_to(&caller.admitted, &target, sql, caller.moment()).await;
        let explained = explained.map_err(|error| match error {
            AdminError::Target(why) => Refusal::busy(why, "Try again later."),
            AdminError::Missing(_)
            | AdminError::Refused(_)
            | AdminError::State(_)
            | AdminError::Journal(_) => {
                tracing::error!("a statement cannot be explained: {error}");
                Refusal::busy("this cannot be said now".to_owned(), "Try again later.")
            }
        })?;
        let mut answer = explained.answer;
        if let Some(hint) = &answer.hint
            && !self.holds_good(caller, &target, hint).await
        {
            answer.hint = None;
        }
        let mut words = match &*answer.verdict {
            "allow" => "It would run.".to_owned(),
            "hold" => "It would wait for a person's approval.".to_owned(),
            _ => "It would be refused.".to_owned(),
        };
        for more in [&answer.reason, &answer.hint].into_iter().flatten() {
            words.push(' ');
            let more = one_line(more);
            // Reasons are parts of sentences.
            let mut letters = more.chars();
            words.extend(letters.next().into_iter().flat_map(char::to_uppercase));
            words.push_str(letters.as_str());
            if !more.ends_with('.') {
                words.push('.');
            }
        }
        if !explained.masked.is_empty() {
            // A column's name may be anything.
            words.push_str(" These columns would come masked. ");
            words.push_str(&delimited(&[json!(explained.masked).to_string()]));
        }
        let mut object = Object::new();
        object.insert("verdict".to_owned(), answer.verdict.into());
        object.insert("policies".to_owned(), answer.policies.into());
        for (name, value) in [("reason", answer.reason), ("hint", answer.hint)] {
            if let Some(value) = value {
                object.insert(name.to_owned(), value.into());
            }
        }
        object.insert("masked".to_owned(), json!(explained.masked));
        Ok(Answer::new(words, object.into()))
    }
}
