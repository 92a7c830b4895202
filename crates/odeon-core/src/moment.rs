//! Moments and durations as people write and read them: `2026-11-26T17:00:00Z`, `250ms`, `90d`.

use std::time::Duration;

/// Seconds of a day.
pub const DAY_S: u64 = 86_400;

/// The last second that has a date of four digits: the end of the year 9999.
const LAST_DATE_S: u64 = 253_402_300_799;

/// A moment in seconds since 1970, as people and programs read it.
///
/// ```
/// assert_eq!(odeon_core::moment(1_785_000_000), "2026-07-25T17:20:00Z");
/// ```
#[must_use]
pub fn moment(unix_s: u64) -> String {
    if unix_s > LAST_DATE_S {
        return format!("{unix_s} seconds after 1970");
    }
    let (days, rest) = (unix_s / DAY_S, unix_s % DAY_S);
    // Days of eras of 400 years, which begin in March, so that a leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

/// Units of time, in milliseconds, the smallest first.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 1_000 * DAY_S)];

/// What a duration looks like, for errors and help.
pub const DURATION_EXPECTED: &str = "a whole number and a unit: `250ms`, `5s`, `2m`, `1h` or `7d`";

/// Reads a duration: a whole number and a unit. None, if it is anything else or longer than can be counted.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(odeon_core::read_duration("250ms"), Some(Duration::from_millis(250)));
/// assert_eq!(odeon_core::read_duration("90d"), Some(Duration::from_secs(90 * 86_400)));
/// assert_eq!(odeon_core::read_duration("5"), None);
/// ```
#[must_use]
pub fn read_duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
    let (number, unit) = text.split_at(end);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor).map(Duration::from_millis)
}

/// Writes a duration the way it is read, in the largest unit that keeps it whole; parts of a millisecond are left out.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(odeon_core::write_duration(Duration::from_secs(90)), "90s");
/// ```
#[must_use]
pub fn write_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let fits = |(_, factor): &&(&str, u64)| millis > 0 && millis.is_multiple_of(u128::from(*factor));
    let (unit, factor) = UNITS.iter().rev().find(fits).unwrap_or(&UNITS[0]);
    format!("{}{unit}", millis / u128::from(*factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_as_people_write_them() {
        for (unix_s, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_785_000_000, "2026-07-25T17:20:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (LAST_DATE_S, "9999-12-31T23:59:59Z"),
            (LAST_DATE_S + 1, "253402300800 seconds after 1970"),
            (u64::MAX, "18446744073709551615 seconds after 1970"),
        ] {
            assert_eq!(moment(unix_s), text);
        }
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, expected) in [
            ("0ms", Some(0)),
            ("100ms", Some(100)),
            ("5s", Some(5_000)),
            ("2m", Some(120_000)),
            ("168h", Some(604_800_000)),
            ("7d", Some(604_800_000)),
            ("18446744073709551615ms", Some(u64::MAX)),
            ("18446744073709551615s", None),
            ("99999999999999999999s", None),
            ("5", None),
            ("s", None),
            ("", None),
            ("-5s", None),
            ("1.5s", None),
            ("5 s", None),
            ("5S", None),
        ] {
            assert_eq!(read_duration(text), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for text in ["0ms", "100ms", "5s", "90s", "2m", "1h", "36h", "90d"] {
            assert_eq!(write_duration(read_duration(text).expect("a duration")), text);
        }
    }
}
