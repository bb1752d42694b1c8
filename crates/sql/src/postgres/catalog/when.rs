//! The condition of a trigger, cut out of `pg_get_triggerdef`.

/// What stands in the brackets after `WHEN`. Names may be quoted and the function's arguments are texts, so the brackets
/// are counted outside of both.
pub(super) fn condition(definition: &str) -> Option<&str> {
    const WHEN: &str = " WHEN (";
    let bytes = definition.as_bytes();
    let mut quote = None;
    let mut depth = 0_usize;
    let mut start = None;
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (Some(open), close) if open == *close => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(*byte),
            (None, b'(') => {
                let is_when = definition.get(..=at).is_some_and(|head| head.ends_with(WHEN));
                if depth == 0 && start.is_none() && is_when {
                    start = Some(at + 1);
                }
                depth += 1;
            }
            (None, b')') => {
                depth = depth.checked_sub(1)?;
                if depth == 0
                    && let Some(start) = start
                {
                    return definition.get(start..at);
                }
            }
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::condition;

    #[test]
    fn a_condition_is_cut_out_whatever_names_and_texts_look_like() {
        let head = "CREATE TRIGGER t BEFORE UPDATE ON s.t FOR EACH ROW";
        let cases = [
            (format!("{head} EXECUTE FUNCTION s.f()"), None),
            (
                format!("{head} WHEN ((old.a IS DISTINCT FROM new.a)) EXECUTE FUNCTION s.f()"),
                Some("(old.a IS DISTINCT FROM new.a)"),
            ),
            (format!("{head} WHEN (s.f(new.a)) EXECUTE FUNCTION s.f()"), Some("s.f(new.a)")),
            (
                format!("{head} WHEN ((new.a = ')'::text)) EXECUTE FUNCTION s.f()"),
                Some("(new.a = ')'::text)"),
            ),
            (
                format!("{head} WHEN ((new.a = E'\\\\'')'::text)) EXECUTE FUNCTION s.f()"),
                Some("(new.a = E'\\\\'')'::text)"),
            ),
            (
                format!("{head} WHEN ((new.\"x\"\")\" > 1)) EXECUTE FUNCTION s.f(' WHEN (y)')"),
                Some("(new.\"x\"\")\" > 1)"),
            ),
            (format!("{head} EXECUTE FUNCTION s.f(' WHEN (y)')"), None),
            (
                "CREATE TRIGGER \"a WHEN (b)\" BEFORE UPDATE OF c ON s.t EXECUTE FUNCTION s.f()".to_owned(),
                None,
            ),
            (format!("{head} WHEN ((new.a"), None),
        ];
        for (definition, wanted) in cases {
            assert_eq!(condition(&definition), wanted, "{definition}");
        }
    }
}
