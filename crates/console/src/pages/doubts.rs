//! What an approver must look at twice: characters that cannot be seen, and letters that look like others, wherever they stand in
//! what is asked.

use gateway::visible::{disguised, seen, strangers};
use maud::{Markup, html};
use model::{Preview, Request};

/// Of one request, or of several that are answered together.
pub(super) fn doubts(all: &[Request]) -> Markup {
    let everything: String = all.iter().map(said).collect();
    let (disguised, strangers) = (disguised(&everything), strangers(&everything));
    let mut said = Vec::new();
    if seen(&everything).any(|(_, c, is_plain)| c != '\n' && !is_plain) {
        said.push(
            "characters that cannot be seen, or are drawn over others, written as their numbers".to_owned(),
        );
    }
    if !disguised.is_empty() {
        said.push(format!("words in more than one alphabet: {}", disguised.join(", ")));
    }
    if !strangers.is_empty() {
        said.push(format!("characters beyond ASCII: {}", strangers.join(", ")));
    }
    html! { @if !said.is_empty() { p.problem { "Look twice. There are " (said.join("; there are ")) "." } } }
}

/// All that whoever answers goes by and that others have written, word by word.
fn said(request: &Request) -> String {
    let Request { principal, on_behalf_of, target, text, values, effects, preview, circumstances, .. } =
        request;
    let Preview { reason, words, unseen, columns, .. } = preview;
    let whole = [text.as_str(), principal, target.as_str()].into_iter();
    let whole =
        whole.chain(on_behalf_of.iter().map(String::as_str)).chain(effects.iter().map(String::as_str));
    let whole = whole.chain(values.iter().flatten().map(String::as_str)).chain(reason.as_deref());
    // What hangs on a table has names that others gave, too, and a client says itself what it is called.
    let seen = words.iter().chain(unseen).chain(columns.iter().map(|column| &column.name));
    let whole = whole.chain(seen.map(String::as_str));
    let whole = whole.chain(circumstances.settings.iter().map(|(_, value)| value.as_str()));
    whole.flat_map(|part| [part, "\n"]).collect()
}
