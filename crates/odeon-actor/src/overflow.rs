//! What becomes of a message for which there is no room in its actor's mailbox. All of it is off the way of those for
//! which there is.
//!
//! A message that was displaced becomes a dead letter where its displacer runs, and its reply port says why.

use std::sync::Arc;
use std::task::Waker;

use odeon_core::{Refusal, RefusalCode};
use odeon_mailbox::{Entry, Overflow, Refused, SendError, TrySendError, WAITERS_MAX};

use crate::actor::Actor;
use crate::dead_letter::{DeadLetter, DeadReason};
use crate::envelope::Envelope;
use crate::error::TellError;
use crate::local::Local;
use crate::panic::contained;
use crate::supervise::displacing;

/// What another server is told of a displaced request.
pub(crate) fn displaced() -> Refusal {
    Refusal::new(
        RefusalCode::Full,
        "the actor's mailbox was full, and newer messages took the place of the request",
    )
}

/// Puts a message into the mailbox, or in line for it, as the actor's mailbox has it.
pub(crate) fn enter<A: Actor>(
    local: &Arc<Local<A>>,
    envelope: Envelope<A::Message>,
    waker: &Waker,
) -> Result<Entry, TellError> {
    if local.mailbox.overflow() == Overflow::Wait {
        return local.mailbox.enter(envelope, waker).map_err(|error| match error {
            SendError::Closed(_) => TellError::Dead(local.death()),
            SendError::Crowded(_) => {
                local.refuse();
                let detail = format!("{WAITERS_MAX} senders wait for room in the actor's mailbox already");
                TellError::Refused(Refusal::new(RefusalCode::Full, detail))
            }
        });
    }
    let sent = match local.mailbox.try_send(envelope) {
        Err(TrySendError::Full(envelope)) => squeeze_in_whole(local, envelope),
        sent => sent,
    };
    match sent {
        Ok(()) => Ok(Entry::Queued),
        Err(TrySendError::Closed(_)) => Err(TellError::Dead(local.death())),
        Err(TrySendError::Full(_)) => Err(TellError::Full { capacity: local.mailbox.capacity() }),
    }
}

/// Puts a message into the mailbox without waiting.
#[inline]
pub(crate) fn try_enter<A: Actor>(
    local: &Local<A>,
    mut make: impl FnMut() -> Envelope<A::Message>,
) -> Result<(), Refused> {
    match local.mailbox.try_send_with(&mut make) {
        Err(Refused::Full) => squeeze_in(local, make),
        sent => sent,
    }
}

/// Puts a message that found no room in the place of the oldest, if the actor's mailbox drops that.
pub(crate) fn squeeze_in<A: Actor>(
    local: &Local<A>,
    make: impl FnOnce() -> Envelope<A::Message>,
) -> Result<(), Refused> {
    if local.mailbox.overflow() != Overflow::DropOldest {
        local.refuse();
        return Err(Refused::Full);
    }
    if let Some(oldest) = local.mailbox.displace_with(make)? {
        lose(local, oldest);
    }
    Ok(())
}

/// The same for a message that is made already.
pub(crate) fn squeeze_in_whole<A: Actor>(
    local: &Local<A>,
    envelope: Envelope<A::Message>,
) -> Result<(), TrySendError<Envelope<A::Message>>> {
    let mut envelope = Some(envelope);
    let sent = squeeze_in(local, || envelope.take().expect("the mailbox takes the message once"));
    match (sent, envelope) {
        (Err(Refused::Closed), Some(envelope)) => Err(TrySendError::Closed(envelope)),
        (Err(Refused::Full), Some(envelope)) => Err(TrySendError::Full(envelope)),
        (_, _) => Ok(()),
    }
}

/// A displaced message becomes a dead letter.
fn lose<A: Actor>(local: &Local<A>, envelope: Envelope<A::Message>) {
    let letter = DeadLetter::new(&local.life, envelope.sender(), DeadReason::Displaced);
    local.life.count(|counts| counts.displaced += 1);
    displacing(&local.life, || contained("the drop of a message", || drop(envelope.into_message())));
    local.system.dead_letter(&letter);
}
