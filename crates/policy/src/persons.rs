//! Whether two names are one person's: nobody answers what they ask, and nobody's answer counts twice, by whatever name.

use model::KnownAs;

/// A name in its parts. `prefixes` are those of the issuers; without one of them, what stands before the first slash is taken
/// for one.
pub fn known_as<'p>(whole: &str, prefixes: impl IntoIterator<Item = &'p str>) -> KnownAs {
    let whole = whole.to_lowercase();
    let name = whole.strip_prefix("user:").unwrap_or(&whole);
    let lower = prefixes.into_iter().map(str::to_lowercase);
    let longest = lower.filter(|prefix| name.starts_with(prefix.as_str())).max_by_key(String::len);
    let at = match longest.filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => prefix.len(),
        None => name.find('/').map_or(0, |slash| slash + 1),
    };
    let (prefix, name) = name.split_at_checked(at).unwrap_or(("", name));
    KnownAs { prefix: prefix.to_owned(), name: name.to_owned() }
}

/// Whether somebody with the one names is, or may be, somebody with the others. Under one prefix names are told apart by their
/// issuer. Under different ones equal names are one person's, unless it is said what either is called where the other comes from.
pub fn are_one(some: &[KnownAs], others: &[KnownAs]) -> bool {
    let is_said = |names: &[KnownAs], prefix: &str| names.iter().any(|known| known.prefix == prefix);
    some.iter().any(|one| {
        others.iter().any(|other| {
            one == other
                || one.prefix != other.prefix
                    && is_alike(&one.name, &other.name)
                    && !is_said(some, &other.prefix)
                    && !is_said(others, &one.prefix)
        })
    })
}

/// How many people there are at least behind some sets of names.
pub fn count<'n>(all: impl IntoIterator<Item = &'n [KnownAs]>) -> usize {
    let mut people: Vec<Vec<&[KnownAs]>> = Vec::new();
    for names in all {
        let is_theirs = |person: &Vec<&[KnownAs]>| person.iter().any(|known| are_one(known, names));
        let (same, others): (Vec<_>, Vec<_>) = people.into_iter().partition(is_theirs);
        people = others;
        people.push(same.into_iter().flatten().chain([names]).collect());
    }
    people.len()
}

/// `dora` may be who is `dora@example.com` elsewhere; whoever has a domain is somebody else under another.
fn is_alike(one: &str, other: &str) -> bool {
    match (one.split_once('@'), other.split_once('@')) {
        (Some((local, _)), None) => local == other,
        (None, Some((local, _))) => one == local,
        (None, None) | (Some(_), Some(_)) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Vec<KnownAs> {
        all.iter().map(|name| known_as(name, ["corp/", "gh-"])).collect()
    }

    #[test]
    fn a_person_is_the_same_by_whatever_name_unless_it_is_said_who_they_are() {
        for (some, others, same) in [
            (&["user:dora"][..], &["user:dora"][..], true),
            (&["user:dora"], &["user:DORA"], true),
            (&["user:dora"], &["user:corp/dora"], true),
            (&["user:dora"], &["user:corp/Dora@example.com"], true),
            (&["user:dora"], &["user:gh-dora"], true),
            (&["user:dora"], &["user:unknown/dora"], true),
            (&["user:corp/dora"], &["user:gh-dora"], true),
            (&["user:dora@example.com"], &["user:corp/dora@example.com"], true),
            (&["user:dora@one.com"], &["user:corp/dora@two.com"], false),
            (&["user:corp/dora"], &["user:corp/dora@example.com"], false),
            (&["user:dora"], &["user:erik"], false),
            (&["user:dora"], &["user:corp/erik"], false),
            (&["user:dora"], &["user:corp/dorabella"], false),
            // It is said what she is called there.
            (&["user:dora", "user:corp/d.miller"], &["user:corp/d.miller"], true),
            (&["user:dora", "user:corp/d.miller"], &["user:corp/dora"], false),
            (&["user:dora", "user:corp/d.miller"], &["user:gh-dora"], true),
            (&["user:dora", "user:corp/d.miller"], &["user:gh-d.miller"], true),
            (&["user:dora", "user:corp/dora"], &["user:corp/dora"], true),
        ] {
            assert_eq!(are_one(&names(some), &names(others)), same, "{some:?} {others:?}");
            assert_eq!(are_one(&names(others), &names(some)), same, "{others:?} {some:?}");
        }
    }

    #[test]
    fn people_are_counted_once() {
        for (all, people) in [
            (&[][..], 0),
            (&[&["user:dora"][..]][..], 1),
            (&[&["user:dora"], &["user:corp/dora"]], 1),
            (&[&["user:dora"], &["user:erik"]], 2),
            (&[&["user:corp/dora"], &["user:gh-erik"], &["user:dora", "user:gh-erik"]], 1),
        ] {
            let all: Vec<_> = all.iter().map(|one| names(one)).collect();
            assert_eq!(count(all.iter().map(Vec::as_slice)), people, "{all:?}");
        }
    }
}
