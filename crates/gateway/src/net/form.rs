//! Names and values of forms as they are sent (`application/x-www-form-urlencoded`, URL Standard §5.1), and read strictly.

/// A name or value without its escapes; `None` where one is broken, or it is no UTF-8.
pub fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut signs = text.bytes();
    while let Some(sign) = signs.next() {
        bytes.push(match sign {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(signs.next()?)?, digit(signs.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn escapes_are_whole_and_what_they_say_is_text() {
        for (text, expected) in [
            ("", Some("")),
            ("a+b%20c", Some("a b c")),
            ("%7B%22%C3%A9%22%7d", Some("{\"é\"}")),
            ("%2B%25", Some("+%")),
            ("%", None),
            ("%2", None),
            ("%2g", None),
            ("%+1", None),
            ("%C3", None),
        ] {
            assert_eq!(decoded(text).as_deref(), expected, "{text}");
        }
    }
}
