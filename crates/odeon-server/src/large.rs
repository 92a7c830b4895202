//! Large messages that wait for credit: others of their flow wait behind them, until they have gone or are given up.

use odeon_core::ActorId;
use odeon_wire::Parcel;

use crate::link::Link;

/// A large message that waits for credit, and is given up or has gone when this falls.
pub(crate) struct Large<'a> {
    link: &'a Link,
    to: &'a ActorId,
}

impl<'a> Large<'a> {
    /// None, unless it is a large one.
    pub(crate) fn begin(link: &'a Link, parcel: &Parcel<'a>) -> Option<Self> {
        let is_large = link.state().session.await_large(parcel.to, parcel.payload.len());
        // Not made in vain: its fall would be another's.
        is_large.then(|| Self { link, to: parcel.to })
    }
}

impl Drop for Large<'_> {
    fn drop(&mut self) {
        self.link.with_session(|session| session.large_done(self.to));
    }
}
