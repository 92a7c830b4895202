//! What a check reports: a place, what is wrong there, and what to do about it.

use std::fmt;

use serde::Serialize;

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Finding {
    /// Path from the root of the repository, with `/` between its parts.
    pub(crate) file: String,
    /// Line in the file, from 1.
    pub(crate) line: usize,
    /// Name of the check.
    pub(crate) check: &'static str,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) fix: String,
}

impl Finding {
    pub(crate) fn new(
        check: &'static str,
        file: &str,
        line: usize,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { file: file.to_owned(), line, check, what: what.into(), fix: fix.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.file, self.line, self.what, self.fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_place_wrong_and_remedy() {
        let finding = Finding::new("length", "a.rs", 3, "too long", "split it");
        assert_eq!(finding.to_string(), "a.rs:3: too long; split it");
    }

    #[test]
    fn a_finding_is_one_json_object() {
        let finding = Finding::new("length", "a.rs", 3, "too long", "split it");
        assert_eq!(
            serde_json::to_string(&finding).expect("strings and a number always serialise"),
            r#"{"file":"a.rs","line":3,"check":"length","what":"too long","fix":"split it"}"#
        );
    }
}
