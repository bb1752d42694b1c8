use super::*;

const KEY: [u8; 32] = [7; 32];

fn shape(type_oid: u32, modifier: i32, format: i16) -> ColumnShape {
    ColumnShape { type_oid, modifier, format, kind: TypeKind::Base }
}

#[track_caller]
fn check(strategy: Strategy, shape: ColumnShape, value: &[u8], expected: Option<&[u8]>) {
    let mut masker = Masker::new(strategy, shape, &HashKey::new(KEY));
    assert_eq!(masker.mask(value), expected, "{strategy} of {shape:?}");
}

#[test]
fn a_redacted_string_fits_its_column() {
    check(Strategy::Redact, shape(25, -1, 0), b"ana@example.com", Some(b"***"));
    check(Strategy::Redact, shape(1043, 4 + 2, 0), b"ab", Some(b"**"));
    check(Strategy::Redact, shape(1042, 4 + 5, 0), b"abcde", Some(b"***  "));
    check(Strategy::Redact, shape(1042, 4 + 1, 1), b"a", Some(b"*"));
}

#[test]
fn a_partial_mask_shows_the_end_of_long_strings_only() {
    check(Strategy::Partial, shape(25, -1, 0), b"4111111111111111", Some(b"************1111"));
    check(Strategy::Partial, shape(25, -1, 0), b"1234567", Some(b"*******"));
    check(Strategy::Partial, shape(25, -1, 0), "ñandúñandú".as_bytes(), Some("******andú".as_bytes()));
    check(Strategy::Partial, shape(1042, 4 + 12, 0), b"12345678    ", Some(b"****5678    "));
}

#[test]
fn a_mask_is_known_when_it_comes_back_and_other_words_are_not_taken_for_one() {
    for (text, expected) in [
        ("***", true),
        ("***  ", true),
        ("*******", true),
        ("************1111", true),
        ("****5678    ", true),
        ("******andú", true),
        ("<redacted/>", true),
        ("00000000-0000-0000-0000-000000000000", true),
        ("", false),
        ("*", false),
        ("**", false),
        ("***1111", false),
        ("****111", false),
        ("a***", false),
        ("*** see below ***", false),
        ("0", false),
        ("{}", false),
    ] {
        assert_eq!(is_mask(text), expected, "{text:?}");
    }
}

#[test]
fn a_year_is_all_that_is_left_of_a_date() {
    check(Strategy::Generalize, shape(1082, -1, 0), b"1987-06-05", Some(b"1987-01-01"));
    check(
        Strategy::Generalize,
        shape(1082, -1, 1),
        &(-4593i32).to_be_bytes(),
        Some(&(-4748i32).to_be_bytes()),
    );
    check(
        Strategy::Generalize,
        shape(1184, -1, 0),
        b"2024-06-05 10:00:00+02",
        Some(b"2024-01-01 00:00:00+00"),
    );
}

#[test]
fn a_date_that_cannot_be_read_becomes_null() {
    for value in ["05.06.1987", "infinity", "0044-03-15 BC", "05/06/1987", ""] {
        check(Strategy::Generalize, shape(1082, -1, 0), value.as_bytes(), None);
    }
    check(Strategy::Generalize, shape(1082, -1, 1), &i32::MAX.to_be_bytes(), None);
}

#[test]
fn equal_values_have_equal_hashes_and_another_key_gives_another() {
    let mask = |key: u8, value: &[u8]| {
        Masker::new(Strategy::Hash, shape(25, -1, 0), &HashKey::new([key; 32]))
            .mask(value)
            .map(<[u8]>::to_vec)
    };
    assert_eq!(mask(1, b"a"), mask(1, b"a"));
    assert_ne!(mask(1, b"a"), mask(1, b"b"));
    assert_ne!(mask(1, b"a"), mask(2, b"a"));
    assert_eq!(mask(1, b"a").map(|m| m.len()), Some(16));
}

#[test]
fn numbers_documents_and_arrays_have_a_constant_in_both_formats() {
    check(Strategy::Redact, shape(1700, 4 + (12 << 16 | 2), 0), b"51234.50", Some(b"0.00"));
    check(Strategy::Redact, shape(1700, 4 + (12 << 16 | 2), 1), b"x", Some(&[0, 0, 0, 0, 0, 0, 0, 2]));
    check(Strategy::Redact, shape(3802, -1, 1), b"\x01{\"ssn\":1}", Some(b"\x01{}"));
    check(Strategy::Redact, shape(23, -1, 1), &[0, 0, 0, 9], Some(&[0; 4]));
    let array = ColumnShape { kind: TypeKind::Array(25), ..shape(1009, -1, 1) };
    check(Strategy::Redact, array, b"x", Some(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25]));
}

#[test]
fn where_no_value_is_certain_to_be_valid_it_is_null() {
    for kind in [TypeKind::Enum, TypeKind::Composite, TypeKind::Unknown, TypeKind::Domain(25)] {
        check(Strategy::Redact, ColumnShape { kind, ..shape(99_999, -1, 0) }, b"x", None);
    }
    check(Strategy::Partial, shape(1186, -1, 0), b"1 day", None);
}

#[test]
fn that_nothing_came_of_it_is_masked_where_a_value_is_computed() {
    let of = |strategy, shape| Masker::new(strategy, shape, &HashKey::new(KEY));
    let text = shape(25, -1, 0);
    assert_eq!(of(Strategy::Redact, text).mask_null(), None);
    assert_eq!(of(Strategy::Redact, text).of_computed().mask_null(), Some(&b"***"[..]));
    assert_eq!(of(Strategy::Null, text).of_computed().mask_null(), None);
    let unknown = ColumnShape { kind: TypeKind::Composite, ..text };
    assert_eq!(of(Strategy::Redact, unknown).of_computed().mask_null(), None);
}

#[test]
fn every_strategy_has_a_word() {
    for word in ["redact", "partial", "null", "hash", "generalize"] {
        assert_eq!(word.parse::<Strategy>().map(|s| s.to_string()).as_deref(), Ok(word));
    }
    assert!("hide".parse::<Strategy>().is_err());
}
