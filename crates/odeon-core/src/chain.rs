//! Errors for people: what went wrong, and what was behind it.

use std::error::Error;

/// An error and its causes, on one line.
///
/// ```
/// let inner = "seven".parse::<u64>().unwrap_err();
/// let outer = std::io::Error::other(inner);
/// assert_eq!(odeon_core::chain(&outer), "invalid digit found in string");
/// ```
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the file is refused")]
    struct Refused(#[source] std::num::ParseIntError);

    #[test]
    fn causes_stand_after_what_they_caused() {
        let error = Refused("seven".parse::<u64>().expect_err("not a number"));
        assert_eq!(chain(&error), "the file is refused: invalid digit found in string");
    }
}
