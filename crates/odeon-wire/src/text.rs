//! Texts for people: cut before they are sent, cut again and made harmless once they are received.

use odeon_core::{ExitReason, Refusal};

use crate::limits::TEXT_BYTES_MAX;

/// Cuts a text for people to what a frame carries.
pub(crate) fn shorten(mut text: String) -> String {
    text.truncate(cut(&text).len());
    text
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// A refusal as it travels.
pub(crate) fn shorten_refusal(mut refusal: Refusal) -> Refusal {
    refusal.detail = shorten(refusal.detail);
    refusal
}

/// An exit reason as it travels.
pub(crate) fn shorten_reason(reason: ExitReason) -> ExitReason {
    with_texts(reason, shorten)
}

/// A line from the peer as it may be kept, logged and printed: no longer than an honest peer's, and a
/// stranger's control characters do not reach a terminal.
pub(crate) fn printable(text: &str) -> String {
    cut(text).replace(char::is_control, "\u{fffd}")
}

/// The peer's refusal as it may be printed.
pub(crate) fn printable_refusal(mut refusal: Refusal) -> Refusal {
    refusal.detail = printable_lines(refusal.detail);
    refusal
}

/// The peer's exit reason as it may be printed.
pub(crate) fn printable_reason(reason: ExitReason) -> ExitReason {
    with_texts(reason, printable_lines)
}

/// As [`printable`]; what a panic says often has several lines.
fn printable_lines(text: String) -> String {
    cut(&text).replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

fn with_texts(reason: ExitReason, change: fn(String) -> String) -> ExitReason {
    match reason {
        ExitReason::Failed(why) => ExitReason::Failed(change(why)),
        ExitReason::LinkLost(why) => ExitReason::LinkLost(change(why)),
        ExitReason::NotMonitored(why) => ExitReason::NotMonitored(change(why)),
        ExitReason::Linked { actor, why } => ExitReason::Linked { actor: change(actor), why: change(why) },
        ExitReason::Panicked(mut report) => {
            report.message = change(report.message);
            report.location = change(report.location);
            ExitReason::Panicked(report)
        }
        brief => brief,
    }
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
        // What comes from the peer is not believed to have been.
        let refusal = |detail| Refusal::new(odeon_core::RefusalCode::Internal, detail);
        for (sent, kept) in [(fits.clone(), &fits), (format!("{fits}x"), &fits)] {
            assert_eq!(printable(&sent), *kept);
            assert_eq!(printable_refusal(refusal(sent.clone())).detail, *kept);
            assert_eq!(printable_reason(ExitReason::Failed(sent)), ExitReason::Failed(kept.clone()));
        }
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(printable("é: fine"), "é: fine");
        let text = || "a\u{1b}[2Jb\nc".to_owned();
        let refusal = Refusal::new(odeon_core::RefusalCode::Internal, text());
        assert_eq!(printable_refusal(refusal).detail, "a\u{fffd}[2Jb\nc");
        let panic = odeon_core::PanicReport { message: text(), location: text() };
        let linked = ExitReason::Linked { actor: text(), why: text() };
        for reason in [
            ExitReason::Failed(text()),
            ExitReason::LinkLost(text()),
            ExitReason::NotMonitored(text()),
            ExitReason::Panicked(panic),
            linked,
        ] {
            let said = printable_reason(reason).to_string();
            assert!(!said.contains('\u{1b}') && said.contains("b\nc"), "{said:?}");
        }
    }
}
