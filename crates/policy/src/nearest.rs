//! The word that was meant.

/// The word among these that is written most like what was typed, if one is near enough to have been meant.
pub fn nearest<'a>(typed: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = typed.chars().count() / 3 + 1;
    let near = words.into_iter().map(|word| (distance(typed, word), word)).filter(|(d, _)| *d <= most);
    near.min().map(|(_, word)| word)
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((to, above), corner) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or_default();
            next.push((left + 1).min(above + 1).min(corner + usize::from(from != *to)));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_word_is_meant_only_if_it_is_near() {
        for (typed, meant) in
            [("ordrs", Some("orders")), ("orders", Some("orders")), ("zebra", None), ("", None)]
        {
            assert_eq!(nearest(typed, ["orders", "billing"]), meant, "{typed}");
        }
    }
}
