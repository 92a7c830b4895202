//! Reply ports: where an answer goes.

use std::fmt;
use std::sync::Arc;

use odeon_core::{CodecError, Encoding, ExitReason};
use odeon_mailbox::ReplyPort;

use crate::error::AskError;
use crate::inbox::ReplySink;
use crate::life::Life;

/// Where the answer to one request goes. A port dropped unused tells the asker so at once.
pub struct Reply<R>(Inner<R>);

enum Inner<R> {
    /// A tell: nobody waits.
    Nobody,
    Here(Option<ReplyPort<R, Fallen>>),
    /// The asker is on another server.
    There {
        out: Option<Out>,
        encode: Encode<R>,
    },
}

type Encode<R> = fn(&R, Encoding, &mut Vec<u8>) -> Result<(), CodecError>;

/// The far end of a reply to another server, with what is needed to say why it fell.
struct Out {
    sink: Arc<dyn ReplySink>,
    ask: u64,
    encoding: Encoding,
    target: Arc<Life>,
}

/// A port fell while its handler was unwinding: the actor's exit reason is about to be known.
#[derive(Debug)]
pub(crate) struct Fallen;

impl<R> Reply<R> {
    /// A port nobody listens at, as a tell has it.
    #[must_use]
    pub const fn nobody() -> Self {
        Self(Inner::Nobody)
    }

    pub(crate) const fn here(port: ReplyPort<R, Fallen>) -> Self {
        Self(Inner::Here(Some(port)))
    }

    pub(crate) fn there(sink: Arc<dyn ReplySink>, ask: u64, encoding: Encoding, target: Arc<Life>) -> Self
    where
        R: serde::Serialize,
    {
        let out = Some(Out {
            sink,
            ask,
            encoding,
            target,
        });
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
            Inner::Here(port) => port.as_ref().is_some_and(ReplyPort::is_wanted),
            Inner::There { out, .. } => out.as_ref().is_some_and(|out| out.sink.is_wanted(out.ask)),
        }
    }

    /// Answers. If nobody waits any longer the answer is dropped.
    pub fn send(mut self, answer: R) {
        match &mut self.0 {
            Inner::Nobody => {}
            Inner::Here(port) => {
                if let Some(port) = port.take() {
                    // The asker may have given up; its loss.
                    let _ = port.send(answer);
                }
            }
            Inner::There { out, encode } => {
                if let Some(out) = out.take() {
                    let mut bytes = Vec::new();
                    let outcome = encode(&answer, out.encoding, &mut bytes).map(|()| bytes);
                    out.sink.answer(out.ask, outcome.map_err(AskError::from));
                }
            }
        }
    }
}

impl<R> Drop for Reply<R> {
    fn drop(&mut self) {
        match &mut self.0 {
            Inner::Nobody => {}
            Inner::Here(port) => {
                if let Some(port) = port.take()
                    && std::thread::panicking()
                {
                    port.abandon(Fallen);
                }
            }
            Inner::There { out, .. } => {
                if let Some(out) = out.take() {
                    out.fall();
                }
            }
        }
    }
}

impl Out {
    /// Tells the asker why no answer comes.
    fn fall(self) {
        let Self {
            sink, ask, target, ..
        } = self;
        let dead = |reason: ExitReason| Err(AskError::Dead(reason));
        if let Some(reason) = target.reason() {
            sink.answer(ask, dead(reason));
        } else if std::thread::panicking() {
            let late = Arc::clone(&sink);
            let waiting = target.monitor(Box::new(move |down| late.answer(ask, dead(down.reason))));
            if waiting.is_err() {
                sink.answer(ask, Err(AskError::NoReply));
            }
        } else {
            sink.answer(ask, Err(AskError::NoReply));
        }
    }
}

impl<R> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("wanted", &self.is_wanted())
            .finish()
    }
}
