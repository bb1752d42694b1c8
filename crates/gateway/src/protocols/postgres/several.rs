//! Several statements of one message, for whoever approves them: each with what it would do, and what becomes of the schema.

use model::{Ceiling, Change, Plan, Step};
use sql::postgres::pieces::pieces;
use sql::postgres::{NoNames, Session, locks, overlay};

use super::request::Request;
use crate::audit;

/// So many are told of one by one.
const MOST: usize = 200;

/// The statements of a message that has several; they go on as one, whatever becomes of each.
pub(super) fn several(request: &Request) -> Option<Box<Plan>> {
    let statements = &request.operation.statements;
    if !(2..=MOST).contains(&statements.len()) {
        return None;
    }
    let major = request.seen.catalogue.server_version / 10_000;
    let parts = pieces(&request.text()?, major).ok().filter(|parts| parts.len() == statements.len())?;
    let mut catalogue = None;
    let mut plan = Plan::default();
    for ((part, statement), number) in parts.into_iter().zip(statements).zip(1..) {
        let session = Session {
            catalog: catalogue.as_ref().unwrap_or(&request.seen.catalogue),
            search_path: request.under.path(),
            role: request.under.role(),
            prepared: &NoNames,
        };
        let words = locks::words(&part.text, &session);
        let after = overlay::after(&part.text, &session);
        plan.schema.extend(after.changes.into_iter().map(|change| Change { step: number, ..change }));
        if let Some(why) = after.unforeseen {
            plan.unforeseen.push(format!("statement {number}: {why}"));
        }
        catalogue = after.catalogue.or(catalogue);
        plan.steps.push(Step {
            // Its values are the request's, without what is secret of them.
            text: statement.text.clone(),
            kind: statement.facts.kind.clone(),
            effects: statement.effects.iter().map(audit::line).collect(),
            words,
            ceiling: Ceiling::None("all of the message have one".to_owned()),
            ..Step::default()
        });
    }
    Some(Box::new(plan))
}
