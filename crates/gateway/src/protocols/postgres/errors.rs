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

/// `in_failed_sql_transaction`
const ABORTED: &str = "25P02";

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
    if state == ABORTED {
        // Nothing ran, and there is nothing to try otherwise.
        fields = ErrorFields::new(
            ABORTED,
            "current transaction is aborted, commands ignored until end of transaction block",
        )
        .hint("Say ROLLBACK, or ROLLBACK TO a savepoint, and begin again.");
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
        let (aborted, other) = (told(ABORTED), told("23505"));
        assert!(aborted.contains("ROLLBACK") && !aborted.contains("clear columns"), "{aborted}");
        assert!(other.contains("clear columns") && other.contains("23505"), "{other}");
        // Code may raise any error with words of its own.
        assert!(!aborted.contains("ann@") && !other.contains("ann@"));
    }
}
