//! Texts for people: cut before they are sent, harmless once they are received.

use odeon_core::{ExitReason, Refusal};

use crate::limits::TEXT_BYTES_MAX;

/// Cuts a text for people to what a frame carries.
pub(crate) fn shorten(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}

/// A refusal as it travels.
pub(crate) fn shorten_refusal(mut refusal: Refusal) -> Refusal {
    refusal.detail = shorten(refusal.detail);
    refusal
}

/// An exit reason as it travels.
pub(crate) fn shorten_reason(reason: ExitReason) -> ExitReason {
    match reason {
        ExitReason::Failed(why) => ExitReason::Failed(shorten(why)),
        ExitReason::LinkLost(why) => ExitReason::LinkLost(shorten(why)),
        ExitReason::Panicked(mut report) => {
            report.message = shorten(report.message);
            report.location = shorten(report.location);
            ExitReason::Panicked(report)
        }
        brief => brief,
    }
}

/// A text from the peer as it may be logged and printed: a stranger's control characters do not reach a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_the_limit_between_characters() {
        let fits = "x".repeat(TEXT_BYTES_MAX);
        assert_eq!(shorten(fits.clone()), fits);
        assert_eq!(shorten(format!("{fits}x")), fits);
        let wide = "é".repeat(TEXT_BYTES_MAX);
        assert_eq!(shorten(format!("x{wide}")).len(), TEXT_BYTES_MAX - 1);
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(printable("é: fine"), "é: fine");
    }
}
