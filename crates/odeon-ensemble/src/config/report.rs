//! What is wrong with a configuration, and where: collected, then shown to people or to programs.
//!
//! A report owns the errors found so far. Positions are computed when an error is added, so that the errors
//! outlive the text.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::ERRORS_MAX;
use super::code::ErrorCode;

/// Most characters of a source line that are shown; a longer line is cut around the place meant.
const EXCERPT_CHARS_MAX: usize = 120;

/// A place in a text; line and column count from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character within the line, from 1.
    pub column: usize,
}

/// One error of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// What kind of error.
    pub code: ErrorCode,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where; nowhere when the file itself is the trouble.
    pub position: Option<Position>,
    excerpt: Option<Excerpt>,
}

/// The line of the source that is meant, made safe to print, and which characters of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    line: String,
    carets: Range<usize>,
}

/// All errors of one configuration file, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file, as it was named.
    pub file: String,
    /// The errors, [`ERRORS_MAX`](super::ERRORS_MAX) at most; never none.
    pub errors: Vec<ConfigError>,
    /// How many more there are.
    pub unlisted: usize,
}

impl std::error::Error for ConfigErrors {}

impl ConfigErrors {
    /// The one error of a file that could not be read at all.
    pub(super) fn of_file(file: &str, code: ErrorCode, message: String, help: &str) -> Self {
        Self {
            file: file.to_owned(),
            errors: vec![ConfigError {
                code,
                message,
                help: Some(help.to_owned()),
                position: None,
                excerpt: None,
            }],
            unlisted: 0,
        }
    }

    /// The errors for programs: `{"errors": [{file, line, column, code, message, help}], "unlisted": 0}`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let errors: Vec<_> = self
            .errors
            .iter()
            .map(|error| {
                serde_json::json!({
                    "file": self.file,
                    "line": error.position.map(|at| at.line),
                    "column": error.position.map(|at| at.column),
                    "code": error.code,
                    "message": error.message,
                    "help": error.help,
                })
            })
            .collect();
        serde_json::json!({ "errors": errors, "unlisted": self.unlisted })
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            error.render(&self.file, f)?;
        }
        if self.unlisted > 0 {
            write!(f, "\n\nerror: {} more errors are not shown", self.unlisted)?;
        }
        Ok(())
    }
}

impl ConfigError {
    /// Shows the error as `rustc` does: headline, place, the line with the place underlined, help.
    fn render(&self, file: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.message)?;
        let mut gutter = 1;
        if let (Some(at), Some(excerpt)) = (self.position, &self.excerpt) {
            gutter = at.line.to_string().len();
            let under: String = excerpt
                .line
                .chars()
                .take(excerpt.carets.start)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            let carets = "^".repeat(excerpt.carets.len().max(1));
            write!(f, "\n{:gutter$}--> {file}:{}:{}", "", at.line, at.column)?;
            write!(f, "\n{:gutter$} |", "")?;
            write!(f, "\n{} | {}", at.line, excerpt.line)?;
            write!(f, "\n{:gutter$} | {under}{carets}", "")?;
        } else {
            write!(f, "\n{:gutter$}--> {file}", "")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n{:gutter$} = help: {help}", "")?;
        }
        Ok(())
    }
}

/// A configuration text under its name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Source {
    pub(super) file: String,
    pub(super) text: String,
}

impl Source {
    /// The line and column of a byte, and the line itself.
    fn locate(&self, span: Range<usize>) -> (Position, Excerpt) {
        let start = self.text.floor_char_boundary(span.start);
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let column = before[line_start..].chars().count();
        let end = self.text.floor_char_boundary(span.end).max(start);
        let marked = self.text[start..end].lines().next().unwrap_or_default();
        let position = Position { line: before.matches('\n').count() + 1, column: column + 1 };
        (position, Excerpt::new(line, column..column + marked.chars().count()))
    }
}

impl Excerpt {
    /// Cuts a long line around the place and makes control characters harmless to a terminal.
    fn new(line: &str, carets: Range<usize>) -> Self {
        let total = line.chars().count();
        let cut = if total <= EXCERPT_CHARS_MAX {
            0
        } else {
            carets.start.saturating_sub(EXCERPT_CHARS_MAX / 2).min(total - EXCERPT_CHARS_MAX)
        };
        let line = line
            .chars()
            .skip(cut)
            .take(EXCERPT_CHARS_MAX)
            .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
            .collect();
        let end = carets.end.min(cut + EXCERPT_CHARS_MAX).max(carets.start);
        Self { line, carets: carets.start - cut..end - cut }
    }
}

/// The errors found so far in one source.
#[derive(Debug)]
pub(super) struct Report<'s> {
    source: &'s Source,
    errors: Vec<ConfigError>,
    unlisted: usize,
}

impl<'s> Report<'s> {
    pub(super) const fn new(source: &'s Source) -> Self {
        Self { source, errors: Vec::new(), unlisted: 0 }
    }

    /// Adds an error at a place.
    pub(super) fn add(
        &mut self,
        code: ErrorCode,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        if self.errors.len() >= ERRORS_MAX {
            self.unlisted += 1;
            return;
        }
        let (position, excerpt) = self.source.locate(span);
        self.errors.push(ConfigError {
            code,
            message: message.into(),
            help: help.into(),
            position: Some(position),
            excerpt: Some(excerpt),
        });
    }

    /// The errors in the order of the text; fine if there are none.
    pub(super) fn finish(mut self) -> Result<(), ConfigErrors> {
        if self.errors.is_empty() {
            return Ok(());
        }
        self.errors.sort_by_key(|error| error.position);
        Err(ConfigErrors { file: self.source.file.clone(), errors: self.errors, unlisted: self.unlisted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, span: Range<usize>) -> String {
        let source = Source { file: "odeon.toml".to_owned(), text: text.to_owned() };
        let mut report = Report::new(&source);
        report.add(ErrorCode::BadValue, span, "no good", "try another".to_owned());
        report.finish().expect_err("one error").to_string()
    }

    #[test]
    fn an_error_looks_as_in_rustc() {
        assert_eq!(
            rendered("a = 1\n\tbé = 22\n", 13..15),
            concat!(
                "error[bad-value]: no good\n",
                " --> odeon.toml:2:7\n",
                "  |\n",
                "2 | \tbé = 22\n",
                "  | \t     ^^\n",
                "  = help: try another",
            )
        );
    }

    #[test]
    fn places_outside_the_text_and_inside_a_character_do_not_panic() {
        for (text, span) in [("", 0..0), ("é", 1..1), ("ab", 2..9), ("ab\n", 3..3), ("é\r\nx", 1..5)] {
            assert!(rendered(text, span).contains('^'));
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_place_and_escapes_are_harmless() {
        let text = format!("{}X\u{1b}[31m{}", "a".repeat(500), "b".repeat(500));
        let shown = rendered(&text, 500..501);
        let line = shown.lines().find(|line| line.starts_with("1 |")).expect("the line");
        assert_eq!(line.chars().count(), EXCERPT_CHARS_MAX + 4);
        let caret = shown.lines().find(|line| line.ends_with('^')).expect("the caret");
        assert_eq!(line.chars().nth(caret.chars().count() - 1), Some('X'));
        assert!(!shown.contains('\u{1b}'));
    }

    #[test]
    fn the_hundredth_error_is_listed_and_the_next_is_counted() {
        let source = Source::default();
        let mut report = Report::new(&source);
        for _ in 0..ERRORS_MAX {
            report.add(ErrorCode::BadValue, 0..0, "no good", None);
        }
        let mut past = Report::new(&source);
        past.errors.clone_from(&report.errors);
        past.add(ErrorCode::BadValue, 0..0, "no good", None);
        let errors = report.finish().expect_err("errors");
        assert_eq!((errors.errors.len(), errors.unlisted), (ERRORS_MAX, 0));
        let errors = past.finish().expect_err("errors");
        assert_eq!((errors.errors.len(), errors.unlisted), (ERRORS_MAX, 1));
        assert!(errors.to_string().ends_with("1 more errors are not shown"));
    }
}
