//! A step of a recording as lines for a terminal. What others wrote can neither move the cursor nor hide.

use serde_json::Value;

use crate::show::{field, line};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    /// With colours.
    Painted,
}

#[derive(Clone, Copy)]
enum Colour {
    Dim,
    Bold,
    Red,
    Yellow,
    Green,
}

impl Look {
    fn paint(self, colour: Colour, text: &str) -> String {
        let code = match (self, colour) {
            (Self::Plain, _) => return text.to_owned(),
            (Self::Painted, Colour::Dim) => "2",
            (Self::Painted, Colour::Bold) => "1",
            (Self::Painted, Colour::Red) => "1;31",
            (Self::Painted, Colour::Yellow) => "1;33",
            (Self::Painted, Colour::Green) => "32",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// What is shown first: who, on what, when.
pub(super) fn beginning(session: &Value, look: Look) -> Vec<String> {
    let of = |name| line(&field(session, name));
    let for_whom = match of("on_behalf_of") {
        nobody if nobody.is_empty() => String::new(),
        somebody => format!(" for {somebody}"),
    };
    let began = session.get("began_us").and_then(Value::as_i64).map(crate::show::micros).unwrap_or_default();
    let words = format!(
        "Session {}: {}{for_whom} on {} from {} ({}), {began}",
        of("session"),
        of("principal"),
        of("target"),
        of("address"),
        of("application")
    );
    vec![look.paint(Colour::Bold, &words)]
}

/// What is shown last.
pub(super) fn end(ended: &Value, look: Look) -> Vec<String> {
    let of = |name| line(&field(ended, name));
    let words = format!(
        "The end: {}. {} operations, {} refusals, {} rows.",
        of("why"),
        of("operations"),
        of("refusals"),
        of("rows")
    );
    vec![String::new(), look.paint(Colour::Bold, &words)]
}

/// One step; nothing of what shows nothing. Where a table is wider than `room`, its rows stand below each other.
pub(super) fn step(step: &Value, target: &str, look: Look, room: usize) -> Vec<String> {
    let of = |name: &str| line(&field(step, name));
    let at = step.get("at_us").and_then(Value::as_u64).unwrap_or_default();
    let head = format!("{:>10}  #{}", clock(at), of("index"));
    let mut out = vec![String::new()];
    let results: Vec<&Value> = step.get("results").and_then(Value::as_array).into_iter().flatten().collect();
    let statement = || format!("{}=> {}", line(target), crate::show::lines(&field(step, "text")));
    let verdict = of("verdict");
    match verdict.as_str() {
        "allowed" => {
            let failed = results.iter().any(|result| result.get("error").is_some());
            if of("phase") == "parse" && !failed {
                return Vec::new();
            }
            let by = match of("policies") {
                // What has no effect needs no policy.
                none if none.is_empty() => String::new(),
                policies => format!(" by {policies}"),
            };
            out.push(look.paint(Colour::Dim, &format!("{head}  allowed{by}")));
            out.extend(statement().lines().map(|l| look.paint(Colour::Green, l)));
            if !of("revealed").is_empty() {
                out.push(format!(
                    "Whoever ran it got clear values of {}; here they are masked.",
                    of("revealed")
                ));
            }
        }
        "refused" | "unreadable" => {
            out.push(look.paint(Colour::Dim, &format!("{head}  {verdict}")));
            if !of("text").is_empty() {
                out.extend(statement().lines().map(|l| look.paint(Colour::Green, l)));
            }
            let words = format!("{} ({}): {}", verdict.to_uppercase(), of("code"), of("reason"));
            out.push(look.paint(Colour::Red, &words));
            if !of("hint").is_empty() {
                out.push(format!("HINT: {}", of("hint")));
            }
        }
        "held" => {
            out.push(look.paint(Colour::Dim, &format!("{head}  held by {}", of("holds"))));
            out.extend(statement().lines().map(|l| look.paint(Colour::Green, l)));
            out.push(
                look.paint(Colour::Yellow, &format!("HELD: request {} waits for people", of("request"))),
            );
        }
        "answered" => {
            out.push(look.paint(Colour::Dim, &head));
            let words = format!("ANSWERED: request {}: {}", of("request"), of("answer"));
            out.push(look.paint(Colour::Yellow, &words));
        }
        "lost" => {
            out.push(look.paint(Colour::Dim, &head));
            out.push(
                look.paint(Colour::Red, &format!("LOST: {} events could not be recorded", of("events"))),
            );
        }
        "fetched" => out.push(look.paint(Colour::Dim, &format!("{head}  more of decision {}", of("n")))),
        // What the target told by itself.
        _ => out.push(look.paint(Colour::Dim, &head)),
    }
    for shown in &results {
        result(shown, look, room, &mut out);
    }
    if let Some(duration) = step.get("duration_us").and_then(Value::as_f64) {
        let rows = of("rows");
        let words =
            format!("({} {}, {:.1} ms)", rows, if rows == "1" { "row" } else { "rows" }, duration / 1000.0);
        out.push(look.paint(Colour::Dim, &words));
    }
    out
}

fn result(shown: &Value, look: Look, room: usize, out: &mut Vec<String>) {
    let list = |name: &str| shown.get(name).and_then(Value::as_array).into_iter().flatten();
    let said = |told: &Value, colour, out: &mut Vec<String>| {
        let of = |name| line(&field(told, name));
        out.push(look.paint(colour, &format!("{}: {} {}", of("severity"), of("code"), of("message"))));
        for (name, word) in [("detail", "DETAIL"), ("hint", "HINT")] {
            if told.get(name).is_some() {
                out.push(format!("{word}: {}", of(name)));
            }
        }
    };
    for notice in list("notices") {
        said(notice, Colour::Yellow, out);
    }
    let columns: Vec<String> = list("columns").map(|column| line(&field(column, "name"))).collect();
    let rows: Vec<&Vec<Value>> = list("rows").filter_map(Value::as_array).collect();
    if shown.get("copy").is_some() {
        let cell = |value: &Value| value.as_str().map(tabs).unwrap_or_default();
        out.extend(rows.iter().map(|row| row.iter().map(cell).collect::<String>()));
    } else if !columns.is_empty() || !rows.is_empty() {
        table(&columns, &rows, room, out);
    }
    if let Some(more) = shown.get("more").and_then(Value::as_u64).filter(|more| *more > 0) {
        out.push(look.paint(Colour::Dim, &format!("… and {more} rows that are not shown here (--rows)")));
    }
    if let Some(rest) = shown.get("rest") {
        let words = format!(
            "… and {} bytes that are not kept, of SHA-256 {}",
            line(&field(rest, "bytes")),
            line(&field(rest, "sha256"))
        );
        out.push(look.paint(Colour::Dim, &words));
    }
    if let Some(error) = shown.get("error") {
        said(error, Colour::Red, out);
    }
    if let Some(tag) = shown.get("tag").and_then(Value::as_str) {
        out.push(line(tag));
    }
}

/// The lines of a COPY have tabs, which move the cursor as they should.
fn tabs(text: &str) -> String {
    text.split('\t').map(line).collect::<Vec<_>>().join("    ")
}

/// As psql draws it, with `\x auto`.
fn table(columns: &[String], rows: &[&Vec<Value>], room: usize, out: &mut Vec<String>) {
    let cell = |value: &Value| value.as_str().map_or_else(|| "∅".to_owned(), line);
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let count = rows.iter().map(Vec::len).chain([columns.len()]).max().unwrap_or_default();
    let width = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.get(index)).chain(columns.get(index));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let whole: usize = widths.iter().map(|width| width + 3).sum();
    if whole > room.saturating_add(1) && !columns.is_empty() && !rows.is_empty() {
        let longest = columns.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        for (number, row) in (1..).zip(&rows) {
            let (head, width) = (format!("-[ {number} ]"), longest + 2);
            out.push(format!("{head:-<width$}"));
            let pairs = columns.iter().zip(row);
            out.extend(pairs.map(|(name, cell)| format!("{name:<longest$} | {cell}").trim_end().to_owned()));
        }
        return;
    }
    let draw = |cells: &[String]| {
        let padded = widths
            .iter()
            .enumerate()
            .map(|(index, width)| format!(" {:<width$} ", cells.get(index).map_or("", String::as_str)));
        padded.collect::<Vec<_>>().join("|").trim_end().to_owned()
    };
    if !columns.is_empty() {
        out.push(draw(columns));
        out.push(widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("+"));
    }
    out.extend(rows.iter().map(|row| draw(row)));
}

/// Time since the beginning: `01:02.345`.
fn clock(at_us: u64) -> String {
    let millis = at_us / 1000;
    let (hours, minutes, seconds) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60);
    let rest = format!("{minutes:02}:{seconds:02}.{:03}", millis % 1000);
    if hours > 0 { format!("{hours}:{rest}") } else { rest }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_wrote_moves_nothing_on_the_screen() {
        let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}x\r\n";
        let told = json!({ "severity": evil, "code": evil, "message": evil, "detail": evil, "hint": evil });
        let result = json!({
            "columns": [{ "name": evil, "type": evil }], "rows": [[evil], [null]], "more": 1, "tag": evil,
            "error": told, "notices": [told], "rest": { "bytes": 1, "sha256": evil },
        });
        let copied = json!({ "columns": [], "rows": [["a\tb\u{1b}[1m"]], "more": 0, "copy": true });
        for verdict in ["allowed", "refused", "unreadable", "held", "answered", "lost", "fetched", "told"] {
            let it = json!({
                "index": 1, "n": 2, "at_us": 3, "verdict": verdict, "phase": evil, "text": evil, "policies": [evil],
                "reason": evil, "hint": evil, "code": evil, "request": evil, "answer": evil, "holds": [evil],
                "results": [result, copied], "rows": 1, "duration_us": 5,
            });
            for text in step(&it, evil, Look::Plain, 80)
                .iter()
                .chain(&beginning(&it, Look::Plain))
                .chain(&end(&it, Look::Plain))
            {
                let moves = |c: char| c.is_control() || c == '\u{202e}';
                assert!(!text.chars().any(moves), "{verdict}: {text:?}");
            }
        }
    }

    #[test]
    fn a_result_is_drawn_as_it_was_seen() {
        let it = json!({
            "index": 0, "n": 1, "at_us": 61_002_000, "verdict": "allowed", "phase": "query", "text": "SELECT $1",
            "policies": ["reads"], "rows": 2, "duration_us": 1500,
            "results": [{
                "columns": [{ "name": "id", "type": "int4" }, { "name": "name", "type": "text" }],
                "rows": [["1", "ada"], ["22", null]], "more": 0, "tag": "SELECT 2",
            }],
        });
        let expected = "\n 01:01.002  #0  allowed by reads\norders=> SELECT $1\n id | name\n----+------\n 1  | ada\n \
                        22 | ∅\nSELECT 2\n(2 rows, 1.5 ms)";
        assert_eq!(step(&it, "orders", Look::Plain, 11).join("\n"), expected);
        let narrow = "\n 01:01.002  #0  allowed by reads\norders=> SELECT $1\n-[ 1 ]\nid   | 1\nname | ada\n-[ 2 ]\nid   | 22\n\
                      name | ∅\nSELECT 2\n(2 rows, 1.5 ms)";
        assert_eq!(step(&it, "orders", Look::Plain, 10).join("\n"), narrow);
    }
}
