//! Durations and sizes as people write them: `250ms`, `5s`, `10MB`, `64KiB`.

use std::time::Duration;

use odeon_core::{read_duration, write_duration};
use serde::Serializer;

use super::{DURATION_MAX, SIZE_BYTES_MAX};

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

/// What a size looks like, for errors.
pub(super) const SIZE_EXPECTED: &str = "a whole number and a unit: `512B`, `64KiB`, `10MB` or `1GiB`";

/// Reads a duration of at most [`DURATION_MAX`].
pub(super) fn duration(text: &str) -> Option<Duration> {
    read_duration(text).filter(|duration| *duration <= DURATION_MAX)
}

/// Reads a size in bytes, of at most [`SIZE_BYTES_MAX`].
pub(super) fn size(text: &str) -> Option<u64> {
    scaled(text).filter(|bytes| *bytes <= SIZE_BYTES_MAX)
}

fn scaled(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
    let (number, unit) = text.split_at(end);
    let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes a duration the way it is read, in the largest unit that keeps it whole.
pub(super) fn serialize_duration<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&write_duration(*duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_limit() {
        for (text, expected) in [
            ("0ms", Some(0)),
            ("168h", Some(604_800_000)),
            ("7d", Some(604_800_000)),
            ("604800001ms", None),
            ("5", None),
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
}
