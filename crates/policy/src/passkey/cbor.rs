//! As much of CBOR (RFC 8949) as authenticators write: whole numbers, bytes, texts, lists, maps; lengths are given (CTAP 2.1 §8).

/// Deeper than this nothing nests.
const DEEPEST: u8 = 6;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cbor<'a> {
    /// From 0 up.
    Positive(u64),
    /// −1 minus this.
    Negative(u64),
    Bytes(&'a [u8]),
    Text(&'a str),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
    /// `true`, `false`, `null`.
    Simple(u8),
}

impl<'a> Cbor<'a> {
    /// All of it.
    pub(super) fn whole(bytes: &'a [u8]) -> Option<Self> {
        Self::read(bytes).and_then(|(value, rest)| rest.is_empty().then_some(value))
    }

    /// What it begins with, and the rest.
    pub(super) fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        read(bytes, DEEPEST)
    }

    pub(super) fn of_text(&self, name: &str) -> Option<&Self> {
        self.of(&Cbor::Text(name))
    }

    /// What a map has under a whole number.
    pub(super) fn of_number(&self, number: i64) -> Option<&Self> {
        self.of(&Self::number(number))
    }

    fn of(&self, name: &Cbor<'_>) -> Option<&Self> {
        let Self::Map(pairs) = self else { return None };
        pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub(super) fn number(number: i64) -> Self {
        match u64::try_from(number) {
            Ok(positive) => Self::Positive(positive),
            Err(_) => Self::Negative(number.unsigned_abs() - 1),
        }
    }

    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

fn read(bytes: &[u8], depth: u8) -> Option<(Cbor<'_>, &[u8])> {
    let (&head, rest) = bytes.split_first()?;
    let (major, small) = (head >> 5, head & 0x1f);
    let (argument, rest) = argument(small, rest)?;
    // What has a length has at least so many bytes behind it, which bounds every list and map.
    let length = usize::try_from(argument).ok();
    let within = || length.filter(|length| *length <= rest.len());
    match major {
        0 => Some((Cbor::Positive(argument), rest)),
        1 => Some((Cbor::Negative(argument), rest)),
        2 => rest.split_at_checked(within()?).map(|(bytes, rest)| (Cbor::Bytes(bytes), rest)),
        3 => {
            let (text, rest) = rest.split_at_checked(within()?)?;
            Some((Cbor::Text(std::str::from_utf8(text).ok()?), rest))
        }
        4 => {
            let depth = depth.checked_sub(1)?;
            let (mut items, mut rest) = (Vec::new(), rest);
            for _ in 0..within()? {
                let (item, after) = read(rest, depth)?;
                items.push(item);
                rest = after;
            }
            Some((Cbor::List(items), rest))
        }
        5 => {
            let depth = depth.checked_sub(1)?;
            let (mut pairs, mut rest) = (Vec::new(), rest);
            for _ in 0..within()? {
                let (key, after) = read(rest, depth)?;
                let (value, after) = read(after, depth)?;
                if pairs.iter().any(|(known, _)| *known == key) {
                    return None;
                }
                pairs.push((key, value));
                rest = after;
            }
            Some((Cbor::Map(pairs), rest))
        }
        7 if (20..=22).contains(&small) => Some((Cbor::Simple(small), rest)),
        // Tags and fractions are of no use here.
        _ => None,
    }
}

/// The number behind a head, in its shortest form.
fn argument(small: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    match small {
        0..=23 => Some((u64::from(small), rest)),
        24 => rest.split_first().map(|(n, rest)| (u64::from(*n), rest)).filter(|(n, _)| *n > 23),
        25 => {
            let (n, rest) = rest.split_first_chunk()?;
            Some((u64::from(u16::from_be_bytes(*n)), rest)).filter(|(n, _)| *n > 0xff)
        }
        26 => {
            let (n, rest) = rest.split_first_chunk()?;
            Some((u64::from(u32::from_be_bytes(*n)), rest)).filter(|(n, _)| *n > 0xffff)
        }
        27 => {
            let (n, rest) = rest.split_first_chunk()?;
            Some((u64::from_be_bytes(*n), rest)).filter(|(n, _)| *n > 0xffff_ffff)
        }
        _ => None,
    }
}
