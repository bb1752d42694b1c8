//! How much one statement may return, as the policies say that let it go on.

use std::sync::Arc;

use cedar_policy::Policy;

/// The annotations: rows, and bytes of rows.
pub(crate) const ANNOTATIONS: [&str; 2] = ["rows", "bytes"];

/// How much one statement may return; nothing where no policy bounds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Most {
    /// Rows.
    pub rows: Option<Bound>,
    /// Bytes, as rows are on the wire.
    pub bytes: Option<Bound>,
}

/// A bound, and which policy sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// No more than this.
    pub most: u64,
    /// The policy's id.
    pub policy: Arc<str>,
}

impl Most {
    /// What stands before a policy.
    pub(crate) fn of(policy: &Policy, id: &str) -> Result<Self, String> {
        let bound = |most| Bound { most, policy: id.into() };
        let rows = match policy.annotation("rows").map(str::parse::<u64>) {
            None => None,
            Some(Ok(most)) if most > 0 => Some(bound(most)),
            Some(_) => return Err("@rows is a number from 1".to_owned()),
        };
        let bytes = match policy.annotation("bytes").map(bytes) {
            None => None,
            Some(Some(most)) => Some(bound(most)),
            Some(None) => {
                return Err("@bytes is a number from 1, as it is or with KiB, MiB or GiB".to_owned());
            }
        };
        Ok(Self { rows, bytes })
    }

    pub(crate) fn is_none(&self) -> bool {
        self.rows.is_none() && self.bytes.is_none()
    }

    /// The less of each; of two alike the first.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self { rows: less(&self.rows, &other.rows), bytes: less(&self.bytes, &other.bytes) }
    }
}

fn less(one: &Option<Bound>, two: &Option<Bound>) -> Option<Bound> {
    match (one, two) {
        (Some(a), Some(b)) if b.most < a.most => Some(b.clone()),
        (Some(a), _) => Some(a.clone()),
        (None, other) => other.clone(),
    }
}

/// `1048576`, `1024KiB`, `1MiB`.
fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let factor: u64 = match unit.trim_start() {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_with_a_unit_or_without() {
        for (text, expected) in [
            ("1", Some(1)),
            ("1KiB", Some(1024)),
            ("3 MiB", Some(3 << 20)),
            ("2GiB", Some(2 << 30)),
            ("0", None),
            ("", None),
            ("MiB", None),
            ("1MB", None),
            ("-1", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn of_two_bounds_the_less_is_in_force() {
        let of = |rows: Option<u64>, policy: &str| Most {
            rows: rows.map(|most| Bound { most, policy: policy.into() }),
            bytes: None,
        };
        for (one, two, expected) in [
            (of(Some(5), "a"), of(Some(3), "b"), of(Some(3), "b")),
            (of(Some(3), "a"), of(Some(3), "b"), of(Some(3), "a")),
            (of(None, "a"), of(Some(3), "b"), of(Some(3), "b")),
            (of(Some(3), "a"), of(None, "b"), of(Some(3), "a")),
        ] {
            assert_eq!(one.and(&two), expected);
        }
    }
}
