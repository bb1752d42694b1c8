//! What a client may see of the server's errors and notices, and the words of our own.

use wire::postgres::error::{self, ErrorFields};
use wire::postgres::{Frame, build};

use super::answers::Heard;

/// The SQLSTATE of an ErrorResponse.
pub(super) fn sqlstate(body: &[u8]) -> String {
    error::fields(body)
        .find(|(kind, _)| *kind == b'C')
        .map_or_else(|| "XX000".to_owned(), |(_, value)| String::from_utf8_lossy(value).into_owned())
}

/// What these say of a session is the same whatever the statement is: nothing ran, and there is nothing to try on clear columns.
/// Each with what to do.
const OF_SESSIONS: [(&str, &str, &str); 4] = [
    (
        "25P02",
        "current transaction is aborted, commands ignored until end of transaction block",
        "Say ROLLBACK, or ROLLBACK TO a savepoint, and begin again.",
    ),
    ("25P01", "the statement can only be used in a transaction block", "Say BEGIN first."),
    ("26000", "the prepared statement does not exist", "Prepare it again."),
    ("34000", "the cursor does not exist", "Declare it again, in a transaction block."),
];

/// Whether the server ends the session with it.
pub(super) fn is_fatal(body: &[u8]) -> bool {
    error::fields(body).any(|(kind, value)| kind == b'V' && value != b"ERROR")
}

/// The server's error, or one of ours with its SQLSTATE where its words could quote a tagged value.
pub(super) fn withhold_if(frame: &Frame<'_>, withhold: bool) -> Heard {
    if !withhold {
        return Heard::Pass;
    }
    let state = sqlstate(frame.body);
    let mut fields = ErrorFields::new(&state, &format!("the statement failed with SQLSTATE {state}"))
        .detail("The server's own words are withheld, since they may quote values of tagged columns.")
        .hint("Run the statement on clear columns alone to see the server's message.");
    if let Some((state, message, hint)) = OF_SESSIONS.iter().find(|(known, ..)| *known == state) {
        fields = ErrorFields::new(state, message).hint(hint);
    }
    if is_fatal(frame.body) {
        fields = ErrorFields::fatal(&state, "the server ended the session");
    }
    let mut out = Vec::new();
    build::error(&mut out, &fields);
    Heard::Instead(out)
}

/// A notice of the server's: dropped where its words could quote a tagged value.
pub(super) fn notice(_frame: &Frame<'_>, withhold: bool) -> Heard {
    if withhold { Heard::Swallow } else { Heard::Pass }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(state: &str) -> String {
        let mut error = Vec::new();
        build::error(&mut error, &ErrorFields::new(state, "ann@shop.example").hint("ann@shop.example"));
        let frame = wire::postgres::split(&error, usize::MAX).expect("bytes").expect("a frame");
        let Heard::Instead(instead) = withhold_if(&frame, true) else { panic!("it is passed on") };
        String::from_utf8_lossy(&instead).into_owned()
    }

    #[test]
    fn what_is_withheld_says_what_can_be_done() {
        for (state, words) in [
            ("25P02", "Say ROLLBACK"),
            ("25P01", "Say BEGIN"),
            ("26000", "Prepare it"),
            ("34000", "Declare it"),
        ] {
            let told = told(state);
            assert!(told.contains(words) && !told.contains("clear columns"), "{told}");
            // Code may raise any error with words of its own.
            assert!(told.contains(state) && !told.contains("ann@"), "{told}");
        }
        let other = told("23505");
        assert!(other.contains("clear columns") && other.contains("23505"), "{other}");
        assert!(!other.contains("ann@"), "{other}");
    }
}
