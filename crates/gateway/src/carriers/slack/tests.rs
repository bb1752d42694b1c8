use model::News;

use super::super::tests::request;
use super::*;
use crate::presence::Place;

fn place(origin: &str) -> Place {
    Place { origin: origin.to_owned(), host: String::new() }
}

fn body(request: &Request, place: Option<&Place>) -> Value {
    let news = News { request: request.id.clone(), status: request.status, at: 0 };
    shown(&Message::of(&news, request, place), None)
}

/// All strings that Slack would read as markup: its own are the fallback's alone, since blocks hold plain text.
fn kinds(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            all.extend(fields.get("type").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| kinds(value, all));
        }
        Value::Array(items) => items.iter().for_each(|value| kinds(value, all)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

#[test]
fn what_is_told_mentions_and_links_nobody() {
    let mut asked = request(&[false]);
    asked.status = Status::Pending;
    asked.principal = "agent:<!channel> & <https://evil.example|click>".to_owned();
    asked.summary = "```\n<@U1> *approved*".to_owned();
    let shown = body(&asked, Some(&place("https://gate.example.com")));
    assert!(!shown["text"].as_str().expect("a text").contains('<'));
    let mut all = Vec::new();
    kinds(&shown, &mut all);
    assert!(!all.iter().any(|kind| kind == "mrkdwn"), "{all:?}");
    assert_eq!(all.iter().filter(|kind| *kind == "link").count(), 1);
    assert!(shown.to_string().contains("https://gate.example.com/requests/r1"));
    let local = body(&asked, Some(&place("http://localhost:7300"))).to_string();
    assert!(local.contains("durward requests show r1") && !local.contains("localhost"), "{local}");
}

#[test]
fn values_are_shown_where_every_rule_says_so() {
    for (carry, shows) in [(&[false][..], false), (&[true, false][..], false), (&[true][..], true)] {
        let shown = body(&request(carry), None).to_string();
        assert_eq!(shown.contains("x-value"), shows, "{carry:?}");
        assert!(!shown.contains("x-words") && !shown.contains("x-row"), "{shown}");
    }
}

/// The buttons' words, and the text of the first one's dialogue.
fn buttons(shown: &Value) -> (Vec<String>, String) {
    let blocks = shown["blocks"].as_array().expect("blocks");
    let actions = blocks.iter().find(|block| block["type"] == "actions").expect("buttons");
    let elements = actions["elements"].as_array().expect("elements");
    let words = elements.iter().map(|button| button["text"]["text"].as_str().expect("a word").to_owned());
    let dialogue = elements[0]["confirm"]["text"]["text"].as_str().expect("a dialogue");
    (words.collect(), dialogue.to_owned())
}

#[test]
fn a_yes_is_given_to_what_is_seen_whole() {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
    let mut plainly = request(&[true]);
    plainly.status = Status::Pending;
    plainly.holds[0].slack = model::SlackYes::Alone;
    plainly.digest = "0123456789abcdef0123".to_owned();
    type Alter = fn(&mut Request);
    let cases: [(&str, Alter, bool); 9] = [
        ("as it is", |_| (), true),
        (
            "a shape longer than its summary",
            |asked| asked.text = format!("UPDATE t SET a = {} WHERE b", "a + ".repeat(200)),
            true,
        ),
        (
            "its WHERE is cut",
            |asked| asked.text = format!("UPDATE t SET a = {} WHERE b", "a + ".repeat(1500)),
            false,
        ),
        ("a value is cut", |asked| asked.values = vec![Some("x".repeat(4000))], false),
        ("values are left out", |asked| asked.values = vec![Some("x".repeat(30)); 200], false),
        ("effects are left out", |asked| asked.effects = vec!["delete public.t".to_owned(); 400], false),
        (
            "a principal hides the target",
            |asked| asked.principal = format!("agent:{}", "a".repeat(200)),
            false,
        ),
        ("a rule says no", |asked| asked.holds[0].slack = model::SlackYes::Never, false),
        (
            "values that are not told",
            |asked| {
                (asked.holds[0].carry, asked.values) = (false, vec![Some("x".repeat(4000))]);
            },
            true,
        ),
    ];
    for (name, alter, yes) in cases {
        let mut asked = plainly.clone();
        alter(&mut asked);
        let news = News { request: asked.id.clone(), status: asked.status, at: 0 };
        let place = place("https://gate.example.com");
        let shown = shown(&Message::of(&news, &asked, Some(&place)), Some((&key, "C1")));
        let (words, dialogue) = buttons(&shown);
        assert_eq!(words, if yes { &["Approve", "Deny"][..] } else { &["Deny"] }, "{name}");
        assert!(dialogue.starts_with("digest 0123456789abcdef, on orders: UPDATE t"), "{name}: {dialogue}");
        let text = shown.to_string();
        assert!(text.contains("https://gate.example.com/requests/r1"), "{name}");
        assert!(text.contains("- update public.t") || text.contains("- delete public.t"), "{name}");
    }
}

#[test]
fn a_long_value_hides_none_behind_it_and_null_is_told_from_its_word() {
    let mut asked = request(&[true]);
    asked.values =
        vec![None, Some("NULL".to_owned()), Some("x".repeat(5000)), Some("b', $5 = 'c".to_owned())];
    let shown = body(&asked, None).to_string();
    for value in ["$1 = NULL\\n", "$2 = 'NULL'\\n", "$4 = 'b'', $5 = ''c'"] {
        assert!(shown.contains(value), "{value}: {shown}");
    }
}

#[test]
fn what_is_wrong_with_one_message_is_told_from_what_is_wrong_with_all() {
    for (answer, told) in [
        (r#"{"ok":true,"channel":"C1","ts":"1.5"}"#, Told::Taken(Some("C1 1.5".to_owned()))),
        (
            r#"{"ok":false,"error":"message_not_found"}"#,
            Told::Refused("it says message_not_found".to_owned()),
        ),
        (r#"{"ok":false,"error":"invalid_auth"}"#, Told::Down("it says invalid_auth".to_owned())),
        ("<html>", Told::Down("what it says is not what Slack says".to_owned())),
        (r#"{"ok":false}"#, Told::Down("what it says is not what Slack says".to_owned())),
    ] {
        assert_eq!(heard(answer.as_bytes(), None), told, "{answer}");
    }
    let again = heard(br#"{"ok":true,"channel":"C1","ts":"1.5"}"#, Some("C1 1.1".to_owned()));
    assert_eq!(again, Told::Taken(Some("C1 1.1".to_owned())), "the first one is changed");
}
