//! Durations and sizes as people write them: `250ms`, `5s`, `10MB`, `64KiB`.

use std::time::Duration;

use serde::Serializer;

use super::{DURATION_MAX, SIZE_BYTES_MAX};

/// Units of time, in milliseconds.
const TIMES: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

/// Units of size, in bytes.
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// What a duration looks like, for errors.
pub(super) const DURATION_EXPECTED: &str = "a whole number and a unit: `250ms`, `5s`, `2m` or `1h`";

/// What a size looks like, for errors.
pub(super) const SIZE_EXPECTED: &str = "a whole number and a unit: `512B`, `64KiB`, `10MB` or `1GiB`";

/// Reads a duration of at most [`DURATION_MAX`].
pub(super) fn duration(text: &str) -> Option<Duration> {
    let duration = Duration::from_millis(scaled(text, TIMES)?);
    (duration <= DURATION_MAX).then_some(duration)
}

/// Reads a size in bytes, of at most [`SIZE_BYTES_MAX`].
pub(super) fn size(text: &str) -> Option<u64> {
    scaled(text, SIZES).filter(|bytes| *bytes <= SIZE_BYTES_MAX)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
    let (number, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes a duration the way it is read, in the largest unit that keeps it whole.
pub(super) fn serialize_duration<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let millis = duration.as_millis();
    let (unit, factor) = TIMES
        .iter()
        .rev()
        .find(|(_, factor)| millis > 0 && millis.is_multiple_of(u128::from(*factor)))
        .unwrap_or(&TIMES[0]);
    serializer.collect_str(&format_args!("{}{unit}", millis / u128::from(*factor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_a_limit() {
        for (text, expected) in [
            ("0ms", Some(0)),
            ("100ms", Some(100)),
            ("5s", Some(5000)),
            ("2m", Some(120_000)),
            ("168h", Some(604_800_000)),
            ("169h", None),
            ("18446744073709551615h", None),
            ("99999999999999999999s", None),
            ("5", None),
            ("s", None),
            ("", None),
            ("-5s", None),
            ("1.5s", None),
            ("5 s", None),
            ("5S", None),
        ] {
            assert_eq!(duration(text), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes_have_a_unit_and_a_limit() {
        for (text, expected) in [
            ("10MB", Some(10_000_000)),
            ("64KiB", Some(65_536)),
            ("1kB", Some(1000)),
            ("1024GiB", Some(SIZE_BYTES_MAX)),
            ("1025GiB", None),
            ("10", None),
            ("MB", None),
            ("10mb", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for text in ["0ms", "100ms", "5s", "90s", "2m", "1h"] {
            let written =
                serialize_duration(&duration(text).expect("a duration"), serde_json::value::Serializer);
            assert_eq!(written.expect("text"), serde_json::json!(text));
        }
    }
}
