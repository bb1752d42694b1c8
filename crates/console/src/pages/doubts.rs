//! What an approver must look at twice: characters that cannot be seen, and letters that look like others, wherever they stand in
//! what is asked.

use gateway::visible::{disguised, seen, spaced, strangers};
use maud::{Markup, html};
use model::{Change, Plan, Preview, Request, Step, Tried};

/// Of one request, or of several that are answered together.
pub(super) fn doubts(all: &[Request]) -> Markup {
    of_text(&all.iter().map(said).collect::<String>())
}

/// Of any text, in lines.
pub(super) fn of_text(everything: &str) -> Markup {
    let (disguised, strangers) = (disguised(everything), strangers(everything));
    let mut said = Vec::new();
    if seen(everything).any(|(_, c, is_plain)| c != '\n' && !is_plain) {
        said.push(
            "characters that cannot be seen, or are drawn over others, written as their numbers".to_owned(),
        );
    }
    if !disguised.is_empty() {
        said.push(format!("words in more than one alphabet: {}", few(&disguised)));
    }
    if !strangers.is_empty() {
        said.push(format!("characters beyond ASCII: {}", few(&strangers)));
    }
    html! { @if !said.is_empty() { p.problem { "Look twice. There are " (said.join("; there are ")) "." } } }
}

/// So many are named.
fn few(all: &[String]) -> String {
    const FEW: usize = 30;
    let named = all.iter().take(FEW).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > FEW { format!("{named} and {} more", all.len() - FEW) } else { named }
}

/// All that whoever answers goes by and that others have written, word by word.
fn said(request: &Request) -> String {
    let Request { principal, on_behalf_of, target, text, values, effects, preview, circumstances, .. } =
        request;
    let mut said = Said(String::new());
    said.all([spaced(text).as_str(), principal, target.as_str()]);
    said.all(on_behalf_of.iter().chain(effects));
    said.all(values.iter().flatten());
    said.all(circumstances.settings.iter().map(|(_, value)| value));
    said.preview(preview);
    said.0
}

struct Said(String);

impl Said {
    fn all<'t>(&mut self, parts: impl IntoIterator<Item = &'t (impl AsRef<str> + ?Sized + 't)>) {
        for part in parts {
            self.0.push_str(part.as_ref());
            self.0.push('\n');
        }
    }

    fn preview(&mut self, preview: &Preview) {
        // Rows and the target's own plan are read, and decide nothing of what is asked.
        let Preview { reason, words, unseen, columns, ordered, access, .. } = preview;
        self.all(reason);
        // What hangs on a table has names that others gave, too, and a client says itself what it is called.
        self.all(words.iter().chain(unseen).chain(columns.iter().map(|column| &column.name)));
        if let Some(plan) = ordered {
            self.plan(plan);
        }
        if let Some(access) = access {
            self.all(&access.leaves.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
    }

    fn plan(&mut self, plan: &Plan) {
        let Plan { reason, steps, apart, schema, unforeseen, by: _, tried } = plan;
        self.all(reason.iter().chain(apart).chain(unforeseen));
        if let Some(Tried::Failed(why) | Tried::No(why)) = tried {
            self.all([why]);
        }
        for Change { step: _, sign: _, what, detail } in schema {
            self.all([what, detail]);
        }
        for Step { text, effects, words, preview, .. } in steps {
            self.all(std::iter::once(&spaced(text)).chain(effects).chain(words));
            self.preview(preview);
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Plan, Step};

    use super::*;
    use crate::tests::request;

    fn of(change: impl FnOnce(&mut Request)) -> String {
        let mut request = request();
        change(&mut request);
        doubts(&[request]).into_string()
    }

    fn step(text: &str) -> Step {
        Step { text: text.to_owned(), ..Step::default() }
    }

    fn planned(plan: Plan) -> impl FnOnce(&mut Request) {
        |request| request.preview.ordered = Some(Box::new(plan))
    }

    #[test]
    fn what_is_not_seen_is_warned_of_wherever_it_stands() {
        let reason = Some("it is \u{202e} fine".to_owned());
        let hides = [
            of(|request| request.text = "DELETE \u{200b}".to_owned()),
            of(|request| request.preview.reason = reason.clone()),
            of(planned(Plan { reason, ..Plan::default() })),
            of(planned(Plan {
                steps: vec![step("SELECT 1"), step("SELECT 'a\u{200b}'")],
                ..Plan::default()
            })),
            of(planned(Plan { unforeseen: vec!["\u{2066}".to_owned()], ..Plan::default() })),
            of(planned(Plan {
                steps: vec![Step {
                    preview: Preview { words: vec!["\u{202e}".to_owned()], ..Preview::default() },
                    ..Step::default()
                }],
                ..Plan::default()
            })),
        ];
        for page in hides {
            assert!(page.contains("cannot be seen"), "{page}");
        }
        let disguised =
            of(planned(Plan { steps: vec![step("DELETE FROM ord\u{435}rs")], ..Plan::default() }));
        assert!(disguised.contains("more than one alphabet"), "{disguised}");
        let indented = of(|request| request.text = "UPDATE t\r\n\tSET a = 1".to_owned());
        assert_eq!(indented, "");
        let honest =
            Plan { reason: Some("tidy up".to_owned()), steps: vec![step("SELECT 1")], ..Plan::default() };
        assert_eq!(of(planned(honest)), "");
    }
}
