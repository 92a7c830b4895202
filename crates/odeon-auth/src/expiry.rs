//! How soon a certificate ends, and when to say so.

use std::fmt;

use odeon_core::{DAY_S, moment};

/// How many days before a certificate's end people are told, the last first.
pub const EXPIRY_WARNING_DAYS: [u64; 3] = [1, 7, 30];

/// A certificate ends soon, or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiryWarning {
    /// The smallest of [`EXPIRY_WARNING_DAYS`] that is not less than what is left; 0 when nothing is.
    pub within_days: u64,
    /// Its last second, since 1970.
    pub not_after: u64,
    /// How many seconds are left.
    pub left_s: u64,
}

/// The warning that is due at `now` for a certificate with this last second, if one is.
///
/// ```
/// use odeon_auth::expiry_warning;
///
/// let day = 86_400;
/// assert_eq!(expiry_warning(100 * day, 69 * day), None);
/// assert_eq!(expiry_warning(100 * day, 94 * day).map(|warning| warning.within_days), Some(7));
/// ```
#[must_use]
pub fn expiry_warning(not_after: u64, now: u64) -> Option<ExpiryWarning> {
    if now > not_after {
        return Some(ExpiryWarning { within_days: 0, not_after, left_s: 0 });
    }
    let left_s = not_after - now;
    let within_days = EXPIRY_WARNING_DAYS.into_iter().find(|days| left_s <= days * DAY_S)?;
    Some(ExpiryWarning { within_days, not_after, left_s })
}

impl fmt::Display for ExpiryWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = moment(self.not_after);
        match (self.within_days, self.left_s / DAY_S) {
            (0, _) => write!(f, "ended at {at}"),
            (_, 0) => write!(f, "ends in {} h, at {at}", self.left_s / 3_600),
            (_, 1) => write!(f, "ends in 1 day, at {at}"),
            (_, days) => write!(f, "ends in {days} days, at {at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_come_at_30_7_and_1_days_and_after_the_end() {
        let end = 1_785_000_000;
        let within = |left: i64| {
            expiry_warning(end, end.checked_add_signed(-left).expect("a moment"))
                .map(|warning| warning.within_days)
        };
        let day = 86_400;
        for (left, expected) in [
            (30 * day + 1, None),
            (30 * day, Some(30)),
            (7 * day + 1, Some(30)),
            (7 * day, Some(7)),
            (day + 1, Some(7)),
            (day, Some(1)),
            (0, Some(1)),
            (-1, Some(0)),
        ] {
            assert_eq!(within(left), expected, "{left}");
        }
        let said = |left: u64| expiry_warning(end, end - left).expect("a warning").to_string();
        assert_eq!(said(86_400 * 6 + 5), "ends in 6 days, at 2026-07-25T17:20:00Z");
        assert_eq!(said(86_400), "ends in 1 day, at 2026-07-25T17:20:00Z");
        assert_eq!(said(7_200), "ends in 2 h, at 2026-07-25T17:20:00Z");
        assert_eq!(
            expiry_warning(end, end + 1).expect("a warning").to_string(),
            "ended at 2026-07-25T17:20:00Z"
        );
    }
}
