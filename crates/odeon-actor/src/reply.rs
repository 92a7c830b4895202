//! Reply ports: where an answer goes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use odeon_core::{CodecError, Encoding};
use odeon_mailbox::ReplyPort;

use crate::elsewhere::Elsewhere;
use crate::error::AskError;
use crate::inbox::ReplySink;
use crate::life::Life;
use crate::overflow;
use crate::panic::keep_while_unwinding;
use crate::supervise::{Fall, Falling, is_displacing};

/// Where the answer to one request goes. A port dropped unused tells the asker so at once.
///
/// A handler that takes one answers when it likes, and the actor goes on meanwhile:
///
/// ```
/// # extern crate odeon_actor as odeon;
/// use odeon::{Reply, System, actor};
///
/// #[derive(Default)]
/// struct Door {
///     waiting: Vec<Reply<&'static str>>,
/// }
///
/// #[actor]
/// impl Door {
///     #[handle]
///     fn enter(&mut self, reply: Reply<&'static str>) {
///         self.waiting.push(reply);
///     }
///
///     #[handle]
///     fn open(&mut self) {
///         self.waiting.drain(..).for_each(|reply| reply.send("come in"));
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let door = System::new().spawn(Door::default());
/// let (entered, opened) = tokio::join!(door.enter(), door.open());
/// assert_eq!((entered?, opened?), ("come in", ()));
/// # Ok(())
/// # }
/// ```
pub struct Reply<R: Send + 'static>(Inner<R>);

enum Inner<R> {
    /// A tell: nobody waits. Or the port is used.
    Nobody,
    Here(ReplyPort<R, Arc<Fall>>),
    /// The asker is on another server. Boxed: it is rare, and every message has the size of its largest port.
    There(Box<There<R>>),
    /// The answer becomes a message to an actor.
    Elsewhere(Box<Elsewhere<R>>),
}

struct There<R> {
    out: Out,
    encode: Encode<R>,
}

type Encode<R> = fn(&R, Encoding, &mut Vec<u8>) -> Result<(), CodecError>;

/// The port of a reply to another server. It answers once, whoever of those that share it comes first.
pub(crate) struct FarPort {
    pub(crate) sink: Arc<dyn ReplySink>,
    pub(crate) ask: u64,
    pub(crate) encoding: Encoding,
    pub(crate) target: Arc<Life>,
    pub(crate) is_answered: AtomicBool,
}

impl FarPort {
    /// Has nothing more go out through it.
    pub(crate) fn close(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
    }

    pub(crate) fn answer(&self, answer: Result<Vec<u8>, AskError>) {
        if !self.is_answered.swap(true, Ordering::Relaxed) {
            self.sink.answer(self.ask, answer);
        }
    }
}

/// The actor's share of a port. Dropped unused, it says why no answer comes.
struct Out(Arc<FarPort>);

impl<R: Send + 'static> Reply<R> {
    /// A port nobody listens at, as a tell has it.
    #[must_use]
    pub const fn nobody() -> Self {
        Self(Inner::Nobody)
    }

    pub(crate) const fn here(port: ReplyPort<R, Arc<Fall>>) -> Self {
        Self(Inner::Here(port))
    }

    pub(crate) fn there(port: Arc<FarPort>) -> Self
    where
        R: serde::Serialize,
    {
        Self(Inner::There(Box::new(There { out: Out(port), encode: odeon_core::encode::<R> })))
    }

    pub(crate) fn elsewhere(port: Elsewhere<R>) -> Self {
        Self(Inner::Elsewhere(Box::new(port)))
    }

    /// Whether somebody still waits for the answer.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        match &self.0 {
            Inner::Nobody => false,
            Inner::Here(port) => port.is_wanted(),
            Inner::There(there) => there.out.0.sink.is_wanted(there.out.0.ask),
            Inner::Elsewhere(port) => port.is_wanted(),
        }
    }

    /// Answers. If nobody waits any longer the answer is dropped.
    #[inline]
    pub fn send(self, answer: R) {
        if !matches!(self.0, Inner::Nobody) {
            self.send_to_somebody(answer);
        }
    }

    /// Answers with what `make` makes, if somebody still waits: else it is not called.
    pub fn send_with(self, make: impl FnOnce() -> R) {
        if self.is_wanted() {
            self.send(make());
        }
    }

    fn send_to_somebody(mut self, answer: R) {
        // Before the port is taken: if encoding panics, the port falls like any other.
        let encoded = self.encode(&answer);
        match (std::mem::replace(&mut self.0, Inner::Nobody), encoded) {
            (Inner::Here(port), _) => {
                // The asker may have given up; its loss.
                let _ = port.send(answer);
            }
            (Inner::Elsewhere(port), _) => port.send(answer),
            (Inner::There(there), Some(encoded)) => there.out.0.answer(encoded),
            (Inner::Nobody | Inner::There(_), _) => {}
        }
    }

    /// The answer as it travels, if it does.
    fn encode(&self, answer: &R) -> Option<Result<Vec<u8>, AskError>> {
        let Inner::There(there) = &self.0 else {
            return None;
        };
        let mut bytes = Vec::new();
        let outcome = (there.encode)(answer, there.out.0.encoding, &mut bytes);
        Some(outcome.map(|()| bytes).map_err(AskError::from))
    }
}

impl<R: Send + 'static> Drop for Reply<R> {
    #[inline]
    fn drop(&mut self) {
        if matches!(self.0, Inner::Nobody) {
            return;
        }
        match std::mem::replace(&mut self.0, Inner::Nobody) {
            Inner::Nobody => {}
            Inner::Here(port) => keep_while_unwinding(Falling::new(port)),
            Inner::There(there) => keep_while_unwinding(there.out),
            Inner::Elsewhere(port) => keep_while_unwinding(port),
        }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        if self.0.is_answered.load(Ordering::Relaxed) {
            return;
        }
        if is_displacing() {
            self.0.answer(Err(AskError::Refused(overflow::displaced())));
        } else {
            self.0.answer(Err(self.0.target.reason().map_or(AskError::NoReply, AskError::Dead)));
        }
    }
}

impl<R: Send + 'static> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("wanted", &self.is_wanted()).finish()
    }
}
