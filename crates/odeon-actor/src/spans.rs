//! A span for each message that is handled, while somebody listens at `odeon::message`, level trace. Whether somebody
//! does is asked once per turn.

use std::future::Future;

use odeon_mailbox::Begin;
use tracing::level_filters::LevelFilter;
use tracing::{Instrument, Level, Span};

use crate::envelope::Meta;
use crate::life::Life;
use crate::sender::Sender;

/// What listeners filter by.
macro_rules! target {
    () => {
        "odeon::message"
    };
}

/// Whether somebody listens.
#[inline]
pub(crate) fn are_wanted() -> bool {
    LevelFilter::current() >= LevelFilter::TRACE && tracing::span_enabled!(target: target!(), Level::TRACE)
}

/// The span of one message.
pub(crate) fn message(life: &Life, meta: &Meta) -> Span {
    let span = tracing::trace_span!(
        target: target!(),
        "message",
        actor = life.number,
        kind = life.kind(),
        sender = tracing::field::Empty,
        server = tracing::field::Empty,
    );
    match meta.sender() {
        Sender::Outside => {}
        Sender::Actor(number) => drop(span.record("sender", number)),
        Sender::Remote(remote) => {
            span.record("sender", remote.number);
            span.record("server", tracing::field::display(&remote.peer.server));
        }
    }
    span
}

/// A handler that runs in a span.
pub(crate) struct InSpan<B>(pub(crate) Span, pub(crate) B);

impl<C, B: Begin<C>> Begin<C> for InSpan<B> {
    fn begin<'c>(self, contents: &'c mut C) -> impl Future<Output = ()> + Send + 'c {
        self.1.begin(contents).instrument(self.0)
    }
}
