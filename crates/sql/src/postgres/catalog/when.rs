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
