//! Marks: the names of message types.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits::MARK_BYTES_MAX;
use crate::text::text_form;

/// Why a text is not a mark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("`{text}` is not a mark: {reason}; expected `name/version` or `protocol/version#method`")]
pub struct MarkError {
    /// The text as given, shortened when it is very long.
    pub text: String,
    /// The rule that was broken.
    pub reason: &'static str,
}

/// The name of a message type, `chat-update/2`, or of a protocol's method, `greeter/1#set-greeting`: by it the
/// type is known on links, in JSON and on the command line.
///
/// ```
/// # use odeon_core::Mark;
/// let mark: Mark = "greeter/1#set-greeting".parse().unwrap();
/// assert_eq!((mark.name(), mark.version(), mark.method()), ("greeter", 1, Some("set-greeting")));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    text: Arc<str>,
    version: u32,
}

impl Mark {
    /// The whole mark.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name before the version.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.split_once('/').map_or(&self.text, |(name, _)| name)
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The method, where the mark names one.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.text.split_once('#').map(|(_, method)| method)
    }
}

fn is_kebab(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl FromStr for Mark {
    type Err = MarkError;

    fn from_str(text: &str) -> Result<Self, MarkError> {
        let fail = |reason| MarkError { text: text.chars().take(80).collect(), reason };
        if text.len() > MARK_BYTES_MAX {
            return Err(fail("it is longer than 200 bytes"));
        }
        let (name, rest) = text.split_once('/').ok_or_else(|| fail("the version is missing"))?;
        let (version, method) = match rest.split_once('#') {
            Some((version, method)) => (version, Some(method)),
            None => (rest, None),
        };
        if !is_kebab(name) {
            return Err(fail("the name must be of a-z, 0-9 and -, beginning with a letter"));
        }
        if method.is_some_and(|method| !is_kebab(method)) {
            return Err(fail("the method must be of a-z, 0-9 and -, beginning with a letter"));
        }
        // Written back, so that `+1` and `01` are not other names of version 1.
        match version.parse::<u32>() {
            Ok(number) if number.to_string() == version => Ok(Self { text: text.into(), version: number }),
            _ => Err(fail("the version must be a number, without sign or leading zero")),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

text_form!(Mark, "name/version or protocol/version#method");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_kebab_case_with_a_version() {
        for good in ["chat-update/2", "chat/0", "chat/4294967295#set"] {
            assert!(good.parse::<Mark>().is_ok(), "{good}");
        }
        for bad in [
            "chat-update",
            "ChatUpdate/1",
            "chat/x",
            "chat/+1",
            "chat/01",
            "chat/",
            "chat/4294967296",
            "chat/1#Set",
            "/1",
            "chat/1#",
        ] {
            assert!(bad.parse::<Mark>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mark_of_200_bytes_fits_and_201_do_not() {
        let mark = |n: usize| format!("{}/1", "a".repeat(n - 2));
        assert!(mark(MARK_BYTES_MAX).parse::<Mark>().is_ok());
        assert!(mark(MARK_BYTES_MAX + 1).parse::<Mark>().is_err());
    }
}
