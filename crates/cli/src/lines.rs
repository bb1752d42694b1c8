//! Two texts, line by line.

/// Above so many lines, what differs is shown as a whole.
const MOST: usize = 2_000;
/// So many lines that are the same are shown around those that differ.
const AROUND: usize = 2;

/// Lines that went, with `-` before them, that came, with `+`, and some around them.
pub(crate) fn diff(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let all = if old.len().max(new.len()) > MOST { whole(&old, &new) } else { common(&old, &new) };
    let near = |at: usize| {
        let around =
            all.iter().skip(at.saturating_sub(AROUND)).take(AROUND * 2 + 1 - AROUND.saturating_sub(at));
        around.clone().any(|(sign, _)| *sign != ' ')
    };
    let shown = all.iter().enumerate().filter(|(at, _)| near(*at));
    shown.map(|(_, (sign, line))| format!("{sign} {line}")).collect()
}

fn whole<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    old.iter().map(|line| ('-', *line)).chain(new.iter().map(|line| ('+', *line))).collect()
}

/// By the longest common subsequence.
fn common<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    // For each pair of beginnings left to read, from the end, how many lines both have in common.
    let mut rows = vec![vec![0u32; new.len() + 1]];
    for line in old.iter().rev() {
        let below = rows.last().cloned().unwrap_or_default();
        let mut row = vec![0u32];
        for (at, other) in new.iter().rev().enumerate() {
            let of = |list: &[u32], at: usize| list.get(at).copied().unwrap_or_default();
            let longest =
                if line == other { of(&below, at) + 1 } else { of(&below, at + 1).max(of(&row, at)) };
            row.push(longest);
        }
        rows.push(row);
    }
    let left = |o: usize, n: usize| rows.get(o).and_then(|row| row.get(n)).copied().unwrap_or_default();
    let (mut o, mut n) = (old.len(), new.len());
    let mut all = Vec::new();
    loop {
        let (from, to) = (old.get(old.len() - o).copied(), new.get(new.len() - n).copied());
        match (from, to) {
            (None, None) => return all,
            (Some(from), Some(to)) if from == to => {
                all.push((' ', from));
                (o, n) = (o - 1, n - 1);
            }
            (Some(from), Some(_)) if left(o - 1, n) >= left(o, n - 1) => {
                all.push(('-', from));
                o -= 1;
            }
            (Some(from), None) => {
                all.push(('-', from));
                o -= 1;
            }
            (_, Some(to)) => {
                all.push(('+', to));
                n -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn lines_that_differ_are_shown_with_a_few_around_them() {
        for (old, new, expected) in [
            ("a\nb\nc", "a\nb\nc", &[][..]),
            ("a\nb\nc", "a\nx\nc", &["  a", "- b", "+ x", "  c"]),
            ("", "a", &["+ a"]),
            ("a", "", &["- a"]),
            ("1\n2\n3\n4\n5\n6\n7", "1\n2\n3\n4\n5\n6\n7\n8", &["  6", "  7", "+ 8"]),
            ("0\n1\n2\n3\n4\n5\n6", "1\n2\n3\n4\n5\n6", &["- 0", "  1", "  2"]),
        ] {
            assert_eq!(diff(old, new), expected, "{old:?} {new:?}");
        }
        let long: String = (0..3_000).map(|n| format!("{n}\n")).collect();
        assert_eq!(diff(&long, "x").len(), 3_001);
    }
}
