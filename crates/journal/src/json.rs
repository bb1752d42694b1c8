//! JSON as it is written for each statement: byte for byte what `serde_json` writes, which takes several times as long.

/// Appends a number.
pub(crate) fn number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [b'0'; 20];
    let (mut rest, mut first) = (number, digits.len());
    for digit in digits.iter_mut().rev() {
        // The low byte of what is below ten.
        *digit = b'0' | (rest % 10).to_le_bytes()[0];
        first -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}

/// Appends a text with its quotes.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) -> Result<(), serde_json::Error> {
    if !is_plain(text) {
        return serde_json::to_writer(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

/// Whether nothing in a text is escaped.
pub(crate) fn is_plain(text: &str) -> bool {
    // Every byte is looked at, many at a time, since that takes fewer steps than stopping at the first.
    text.bytes().fold(0, |found, b| found | u8::from((b < b' ') | (b == b'"') | (b == b'\\'))) == 0
}

/// Writes bytes as lower-case hexadecimal digits, four bytes at a time: of hashes there are always as many.
pub(crate) fn hex(bytes: &[u8], out: &mut [u8]) {
    for (place, four) in out.as_chunks_mut::<8>().0.iter_mut().zip(bytes.as_chunks::<4>().0) {
        // Each half of a byte in a byte of its own, in the order of the text.
        let mut halves = u64::from(u32::from_be_bytes(*four));
        halves = (halves | halves << 16) & 0x0000_ffff_0000_ffff;
        halves = (halves | halves << 8) & 0x00ff_00ff_00ff_00ff;
        halves = (halves | halves << 4) & 0x0f0f_0f0f_0f0f_0f0f;
        // One in each byte that is above nine: from there on letters follow, 39 behind the digits.
        let letters = (halves + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
        *place = (halves + 0x3030_3030_3030_3030 + letters * 39).to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_serde_json_writes() {
        for n in [0, 1, 9, 10, 99, 100, 12_345, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, n);
            assert_eq!(out, serde_json::to_vec(&n).expect("a number"));
        }
        for t in [
            "",
            "plain",
            "a \"quoted\" word",
            "back\\slash",
            "line\nbreak",
            "\u{0}",
            "\u{7f}",
            "ünïcode 🦀",
            "tab\t",
        ] {
            let mut out = Vec::new();
            text(&mut out, t).expect("a text");
            assert_eq!(out, serde_json::to_vec(t).expect("a text"), "{t:?}");
        }
    }

    #[test]
    fn digits_are_as_a_formatter_writes_them() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut out = [0; 512];
        hex(&bytes, &mut out);
        let expected: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(out.as_slice(), expected.as_bytes());
    }
}
