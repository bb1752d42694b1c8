//! A session that carries out a plan, or was opened to find out what one would do.

use std::sync::Arc;

use model::CarriedBy;

use super::PostgresSession;
use crate::errand::Errand;
use crate::plans::STOPPED;
use crate::protocols::postgres::garbled::Garbled;
use crate::protocols::postgres::plan;
use crate::spine::Event;

impl PostgresSession {
    /// What a session sends that carries out a plan: the statement whose turn it is goes on, and none that would leave the plan
    /// half done.
    pub(super) fn in_its_turn(&self, event: Event<Self>) -> Event<Self> {
        let Event::Request(mut request) = event else { return event };
        request.errand = self.errand();
        request.ahead = Some(Arc::clone(&self.ahead));
        let (holds, session) = (self.gateway.holds(), &self.origin.session);
        let (Some(run), Some(open)) = (holds.plans().of(session), &self.live) else {
            return Event::Request(request);
        };
        let by_session = run.plan.by == CarriedBy::Session;
        let stop = |why: &str| {
            if let Some(finish) = run.stop(why).filter(|_| by_session) {
                holds.plan_over_soon(session, &run, finish);
            }
        };
        if by_session && run.plan.apart.is_none() && open.conversation.is_idle() {
            stop("its transaction is over");
            holds.plans().end(session);
            return Event::Request(request);
        }
        let Err(why) = plan::in_its_turn(&run, &request, open.conversation.status) else {
            return Event::Request(request);
        };
        if by_session {
            stop(&why);
        }
        let hint = "Send ROLLBACK; what is still to be done is asked for anew.";
        Event::Unreadable(Garbled {
            code: STOPPED,
            message: why,
            kept: None,
            hint: Some(hint.to_owned()),
            position: None,
            simple: request.is_simple(),
            unnamed: request.is_unnamed_parse(),
        })
    }

    /// A plan that is carried out here hears why it goes no further, and nobody else's words for it.
    pub(super) fn refused_of_plan(&self, why: &str) {
        if let Some(run) = self.gateway.holds().plans().of(&self.origin.session) {
            run.refused(why);
        }
    }

    /// What is sent for something else than to run comes from inside this process alone.
    pub(super) fn errand(&self) -> Option<Arc<Errand>> {
        self.live.as_ref()?.answers.ear.as_ref()?.errand()
    }
}
