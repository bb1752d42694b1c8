//! Access: asked for and looked at with the token of whoever asks. Nothing here answers it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use gateway::access::Wanted;
use gateway::inside::NotIn;
use gateway::plans::PlanError;
use gateway::tokens::Admitted;
use model::TargetName;
use policy::Context;

use super::plans::{answer, bearer};
use super::{Desk, Peer, Refused, form, one};

/// What those who ask here are called.
const APPLICATION: &str = "durward access";

/// Takes a request: `target`, `access` once or several times, `reason`, and `rows` and `seconds`, which may be left out.
pub(super) async fn ask(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let wanted = match wanted(&headers, &body) {
        Ok(wanted) => wanted,
        Err(refused) => return refused.into_response(),
    };
    let admitted = match admitted(&desk, &headers, peer).await {
        Ok(admitted) => admitted,
        Err(error) => return answer(Err::<(), _>(error)),
    };
    let moment = Context {
        now: gateway::inside::now(),
        address: peer.0.ip(),
        application: APPLICATION.into(),
        in_transaction: false,
        encrypted: desk.encrypted,
        read_instructions: false,
    };
    answer(desk.gateway.ask_access(&admitted, &wanted, &moment).await)
}

/// One's own request for access, and what was answered.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match admitted(&desk, &headers, peer).await {
        Ok(admitted) => answer(desk.gateway.own_access(&admitted, &id).await),
        Err(error) => answer(Err::<(), _>(error)),
    }
}

async fn admitted(desk: &Desk, headers: &HeaderMap, Peer(peer): Peer) -> Result<Admitted, PlanError> {
    desk.gateway.admit_inside(bearer(headers), peer).await.map_err(|error| match error {
        NotIn::Token => PlanError::Token,
        NotIn::Closed(denied) => denied.into(),
        NotIn::Journal(down) => down.into(),
    })
}

fn wanted(headers: &HeaderMap, body: &[u8]) -> Result<Wanted, Refused> {
    let form = form(headers, body)?;
    let needed = |name, missing| one(&form, name)?.ok_or_else(|| Refused::request(missing));
    let number = |name, wrong| match one(&form, name)? {
        None | Some("") => Ok(None),
        Some(number) => number.parse::<u64>().map(Some).map_err(|_| Refused::request(wrong)),
    };
    Ok(Wanted {
        target: TargetName::new(needed("target", "target is missing")?),
        leaves: form.all("access").map(str::to_owned).collect(),
        most: number("rows", "rows is a whole number")?,
        seconds: number("seconds", "seconds is a whole number")?,
        reason: needed("reason", "reason is missing")?.to_owned(),
    })
}
