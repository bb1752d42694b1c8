//! Dates and timestamps, reduced to their year.

use std::io::Write;

use crate::types;

const DAY: i64 = 86_400_000_000;
/// Days from 0000-03-01 to 2000-01-01, in the proleptic Gregorian calendar.
const TO_2000: i64 = 730_425;

/// Writes the first day of a value's year. `false` where the value cannot be read: then only NULL is safe.
pub(crate) fn to_year(oid: u32, binary: bool, value: &[u8], out: &mut Vec<u8>) -> bool {
    if binary { binary_year(oid, value, out) } else { text_year(oid, value, out) }
}

/// ISO output only (`YYYY-MM-DD…`): other date styles, infinity and years before Christ are not read.
fn text_year(oid: u32, value: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(dash) = value.iter().position(|b| *b == b'-') else { return false };
    let (year, rest) = value.split_at(dash);
    let iso = (4..=6).contains(&year.len())
        && year.iter().all(u8::is_ascii_digit)
        && rest.len() >= 6
        && rest.get(3) == Some(&b'-')
        && !value.ends_with(b"BC");
    if !iso {
        return false;
    }
    out.extend_from_slice(year);
    let tail = match oid {
        types::DATE => "-01-01",
        types::TIMESTAMP => "-01-01 00:00:00",
        types::TIMESTAMPTZ => "-01-01 00:00:00+00",
        _ => return false,
    };
    out.write_all(tail.as_bytes()).is_ok()
}

/// A date is days, a timestamp microseconds since 2000-01-01; the extremes stand for infinity.
fn binary_year(oid: u32, value: &[u8], out: &mut Vec<u8>) -> bool {
    match oid {
        types::DATE => {
            let Ok(days) = <[u8; 4]>::try_from(value).map(i32::from_be_bytes) else { return false };
            if days == i32::MAX || days == i32::MIN {
                return false;
            }
            let Ok(first) = i32::try_from(first_of_year(i64::from(days))) else { return false };
            out.extend_from_slice(&first.to_be_bytes());
        }
        types::TIMESTAMP | types::TIMESTAMPTZ => {
            let Ok(micros) = <[u8; 8]>::try_from(value).map(i64::from_be_bytes) else { return false };
            if micros == i64::MAX || micros == i64::MIN {
                return false;
            }
            out.extend_from_slice(&(first_of_year(micros.div_euclid(DAY)) * DAY).to_be_bytes());
        }
        _ => return false,
    }
    true
}

/// The first of January of the year of a day, both counted from 2000-01-01.
/// After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years that begin in March.
fn first_of_year(day: i64) -> i64 {
    let z = day + TO_2000;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // March 1 is day 0, so January and February belong to the next civil year.
    let year = year_of_era + era * 400 + i64::from(day_of_year >= 306);
    let shifted = year - 1;
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    era * 146_097 + 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + 306 - TO_2000
}

#[cfg(test)]
mod tests {
    use super::first_of_year;

    #[test]
    fn the_first_of_a_year_is_found_in_leap_years_and_before_2000() {
        // (day since 2000-01-01, first of its year): 2000-01-01, 2000-12-31, 2001-01-01, 1999-12-31, 1970-01-01, 1900-03-01.
        for (day, first) in [(0, 0), (365, 0), (366, 366), (-1, -365), (-10_957, -10_957), (-36_465, -36_524)]
        {
            assert_eq!(first_of_year(day), first, "day {day}");
        }
    }
}
