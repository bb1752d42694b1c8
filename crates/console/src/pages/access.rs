//! Access on the page of its request: what is asked for, and a form with which the same is given, or less.

use axum::http::StatusCode;
use maud::{Markup, html};
use model::{Access, Leave};

use super::problem::Problem;
use super::standing::{LIVES, life};
use super::words;
use crate::form::Form;

/// What is asked for, or was given, in words.
pub(super) fn overview(access: &Access) -> Markup {
    let Access { leaves, most, seconds } = access;
    html! {
        ul.effects {
            @for leave in leaves {
                @let (words, danger) = words::effect(&leave.to_string());
                li.danger[danger] { (words::visible(&words)) }
            }
        }
        p.ceiling {
            "By whatever statement, without asking each time, for " strong { (life(*seconds)) } "."
            @if let Some(most) = most {
                " A statement may change at most " strong { (most) } @if *most == 1 { " row" } @else { " rows" }
                ": with more, nothing of it stays."
            }
        }
    }
}

/// What a person gives: as much as is asked for, or less; at first what they had chosen before they signed in anew to confirm it.
pub(super) fn fields(access: &Access, said: Option<&Form>) -> Markup {
    let Access { leaves, most, seconds } = access;
    let is_on = |leave: &Leave| said.is_none_or(|said| said.all("leave").any(|one| one == written(leave)));
    let wanted = said.and_then(|said| said.text("seconds").parse().ok()).unwrap_or(*seconds);
    html! {
        input type="hidden" name="access" value="yes";
        @if let Some(most) = most { input type="hidden" name="asked" value=(most); }
        div.giving {
            fieldset {
                legend { "What you give" }
                @for leave in leaves {
                    label {
                        input type="checkbox" name="leave" value=(written(leave)) checked[is_on(leave)];
                        " " (words::visible(&words::effect(&leave.to_string()).0))
                    }
                }
            }
            p.most {
                label for="access-life" { "For" } " "
                select #access-life name="seconds" {
                    @for (shorter, says) in LIVES.iter().filter(|(shorter, _)| shorter < seconds) {
                        option value=(shorter) selected[*shorter == wanted] { (says) }
                    }
                    option value=(seconds) selected[*seconds == wanted] { (life(*seconds)) ", as long as is asked for" }
                }
            }
        }
        p.hint {
            "Nobody looks at what it lets through beforehand. What policy denies stays denied, what is masked stays masked, and an \
             altered table ends it. You find it under " a href="/grants" { "Grants" } " and can revoke it there."
        }
    }
}

fn written(leave: &Leave) -> String {
    serde_json::to_string(leave).unwrap_or_default()
}

/// Whether a form answers a request for access.
pub(super) fn is_in(form: &Form) -> bool {
    form.text("access") == "yes"
}

/// What a form gives.
pub(super) fn given(form: &Form, most: Option<u64>) -> Result<Access, Problem> {
    let wrong = || {
        let says = "What is given is a part of what is asked for: look at the page again.";
        Problem::new(StatusCode::BAD_REQUEST, "This is no access", says)
    };
    let leaves = form.all("leave").map(|leave| serde_json::from_str(leave).map_err(|_| wrong()));
    let asked = match form.text("asked") {
        "" => None,
        number => Some(number.parse::<u64>().map_err(|_| wrong())?),
    };
    Ok(Access {
        leaves: leaves.collect::<Result<_, _>>()?,
        // A number that is more than is asked for is refused where it is known what that is.
        most: asked.map(|asked| most.unwrap_or(asked)),
        seconds: form.text("seconds").parse().map_err(|_| wrong())?,
    })
}
