//! The greeting of one worker: an actor that the site's pages ask and the operator changes.

use odeon::prelude::*;

/// Longest greeting, in characters: it stands on one line of a page.
pub const GREETING_CHARS_MAX: usize = 200;

/// Greets visitors; the words can be changed while it runs.
#[derive(Debug)]
pub struct Greeter {
    text: String,
}

impl Greeter {
    /// Greets with these words.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

/// Greets visitors; the words can be changed while it runs.
#[actor(mark = "greeter/1")]
impl Greeter {
    /// The greeting.
    #[handle]
    fn greeting(&self) -> String {
        self.text.clone()
    }

    /// Changes the greeting; answers with the one before.
    #[handle]
    fn set_greeting(&mut self, text: String) -> Result<String, String> {
        if text.chars().count() > GREETING_CHARS_MAX {
            return Err(format!("a greeting has at most {GREETING_CHARS_MAX} characters"));
        }
        Ok(std::mem::replace(&mut self.text, text))
    }
}
