//! Reply ports: where an answer goes.

use std::fmt;
use std::sync::Arc;

use odeon_core::{CodecError, Encoding};
use odeon_mailbox::ReplyPort;

use crate::error::AskError;
use crate::inbox::ReplySink;
use crate::life::Life;
use crate::panic::keep_while_unwinding;

/// Where the answer to one request goes. A port dropped unused tells the asker so at once.
pub struct Reply<R: Send + 'static>(Inner<R>);

enum Inner<R> {
    /// A tell: nobody waits. Or the port is used.
    Nobody,
    Here(ReplyPort<R, ()>),
    /// The asker is on another server.
    There {
        out: Out,
        encode: Encode<R>,
    },
}

type Encode<R> = fn(&R, Encoding, &mut Vec<u8>) -> Result<(), CodecError>;

/// The far end of a reply to another server. Dropped unused, it says why no answer comes.
struct Out {
    sink: Arc<dyn ReplySink>,
    ask: u64,
    encoding: Encoding,
    target: Arc<Life>,
    is_used: bool,
}

impl<R: Send + 'static> Reply<R> {
    /// A port nobody listens at, as a tell has it.
    #[must_use]
    pub const fn nobody() -> Self {
        Self(Inner::Nobody)
    }

    pub(crate) const fn here(port: ReplyPort<R, ()>) -> Self {
        Self(Inner::Here(port))
    }

    pub(crate) fn there(sink: Arc<dyn ReplySink>, ask: u64, encoding: Encoding, target: Arc<Life>) -> Self
    where
        R: serde::Serialize,
    {
        let out = Out {
            sink,
            ask,
            encoding,
            target,
            is_used: false,
        };
        Self(Inner::There {
            out,
            encode: odeon_core::encode::<R>,
        })
    }

    /// Whether somebody still waits for the answer.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        match &self.0 {
            Inner::Nobody => false,
            Inner::Here(port) => port.is_wanted(),
            Inner::There { out, .. } => out.sink.is_wanted(out.ask),
        }
    }

    /// Answers. If nobody waits any longer the answer is dropped.
    pub fn send(mut self, answer: R) {
        // Before the port is taken: if encoding panics, the port falls like any other.
        let encoded = self.encode(&answer);
        match (std::mem::replace(&mut self.0, Inner::Nobody), encoded) {
            (Inner::Here(port), _) => {
                // The asker may have given up; its loss.
                let _ = port.send(answer);
            }
            (Inner::There { out, .. }, Some(encoded)) => out.answer(encoded),
            (Inner::Nobody | Inner::There { .. }, _) => {}
        }
    }

    /// The answer as it travels, if it does.
    fn encode(&self, answer: &R) -> Option<Result<Vec<u8>, AskError>> {
        let Inner::There { out, encode } = &self.0 else {
            return None;
        };
        let mut bytes = Vec::new();
        let outcome = encode(answer, out.encoding, &mut bytes);
        Some(outcome.map(|()| bytes).map_err(AskError::from))
    }
}

impl<R: Send + 'static> Drop for Reply<R> {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.0, Inner::Nobody) {
            Inner::Nobody => {}
            Inner::Here(port) => keep_while_unwinding(port),
            Inner::There { out, .. } => keep_while_unwinding(out),
        }
    }
}

impl Out {
    fn answer(mut self, answer: Result<Vec<u8>, AskError>) {
        self.is_used = true;
        self.sink.answer(self.ask, answer);
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        if !self.is_used {
            let why = self.target.reason().map_or(AskError::NoReply, AskError::Dead);
            self.sink.answer(self.ask, Err(why));
        }
    }
}

impl<R: Send + 'static> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("wanted", &self.is_wanted())
            .finish()
    }
}
