//! The loop that runs one actor, from its start to the last notice of its end.
//!
//! The order of an end: the reason is set; the mailbox is closed; what was queued goes to dead letters; names
//! are free again; monitors are told. A restart of anything that waits for the notice finds all of that done.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use odeon_core::{ExitReason, PanicReport};
use odeon_mailbox::{Received, Receiver};

use crate::actor::Actor;
use crate::cx::Cx;
use crate::handle::{Control, Envelope};
use crate::life::Life;
use crate::panic::poll_caught;
use crate::sender::Sender;
use crate::system::DeadLetter;

/// Messages handled before the task lets others run: our queue does not count against tokio's own budget.
const HANDLED_PER_TURN_MAX: u32 = 128;

type Inbox<A> = Receiver<Envelope<<A as Actor>::Message>, Control>;

/// Runs `actor` to its end.
pub(crate) async fn run<A: Actor>(actor: A, mut inbox: Inbox<A>, mut cx: Cx<A>, life: Arc<Life>) {
    let ended = {
        let body = current::scope(life.number, live(actor, &mut inbox, &mut cx, &life));
        let mut body = pin!(body);
        poll_fn(|task| {
            if life.is_killed(task.waker()) {
                return Poll::Ready(Ended::Killed);
            }
            poll_caught(body.as_mut(), task).map(|outcome| match outcome {
                Ok(()) => Ended::Orderly,
                Err(panic) => Ended::Panicked(panic),
            })
        })
        .await
        // The reason must stand before the handler, with the reply ports it holds, is dropped.
        .settle(&life)
    };
    let leftover = inbox.close();
    let reason = life.begin_end(ended);
    for envelope in leftover.data {
        cx.system
            .dead_letter(DeadLetter::of::<A>(&life, envelope, &reason));
    }
    drop(leftover.control);
    cx.system.forget(life.number);
    life.complete_end();
}

enum Ended {
    Orderly,
    Killed,
    Panicked(PanicReport),
}

impl Ended {
    fn settle(self, life: &Life) -> ExitReason {
        life.begin_end(match self {
            Self::Orderly => ExitReason::Normal,
            Self::Killed => ExitReason::Killed,
            Self::Panicked(panic) => ExitReason::Panicked(panic),
        })
    }
}

/// Start, messages, stop.
async fn live<A: Actor>(mut actor: A, inbox: &mut Inbox<A>, cx: &mut Cx<A>, life: &Life) {
    let reason = match actor.started(cx).await {
        Ok(()) => messages(&mut actor, inbox, cx).await,
        Err(failure) => ExitReason::Failed(failure.message().to_owned()),
    };
    let reason = life.begin_end(reason);
    actor.stopped(&reason, cx).await;
}

async fn messages<A: Actor>(actor: &mut A, inbox: &mut Inbox<A>, cx: &mut Cx<A>) -> ExitReason {
    let mut handled = 0;
    loop {
        if let Some(reason) = cx.ending.take() {
            return reason;
        }
        match inbox.recv().await {
            Received::Data(envelope) => handle(actor, envelope, cx).await,
            Received::Control(Control::Ping(port)) => {
                // Whoever asked may have given up.
                let _ = port.send(());
            }
            Received::Control(Control::Down(down)) => actor.down(down, cx).await,
            Received::Control(Control::Stop) => return ExitReason::Stopped,
            Received::Drained => return ExitReason::Drained,
        }
        handled += 1;
        if handled == HANDLED_PER_TURN_MAX {
            handled = 0;
            give_way().await;
        }
    }
}

async fn handle<A: Actor>(actor: &mut A, envelope: Envelope<A::Message>, cx: &mut Cx<A>) {
    if let Some(at) = envelope.expires_at
        && at <= cx.system.clock().now()
    {
        // Nobody waits any longer, and dropping the message drops its reply port.
        return;
    }
    cx.sender = envelope.sender;
    cx.expires_at = envelope.expires_at;
    current::set_budget(envelope.expires_at);
    actor.handle(envelope.message, cx).await;
    current::set_budget(None);
    cx.sender = Sender::Outside;
    cx.expires_at = None;
}

/// Lets other tasks run, once.
async fn give_way() {
    let mut given = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What code on the way down from a handler may know of it: which actor runs, and how long its request lasts.
pub(crate) mod current {
    use std::cell::Cell;

    use odeon_core::Instant;

    use super::{Future, Sender};

    struct Current {
        number: u64,
        budget: Cell<Option<Instant>>,
    }

    tokio::task_local! {
        static CURRENT: Current;
    }

    pub(crate) fn scope<F: Future>(number: u64, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(
            Current {
                number,
                budget: Cell::new(None),
            },
            future,
        )
    }

    pub(crate) fn set_budget(budget: Option<Instant>) {
        CURRENT.with(|current| current.budget.set(budget));
    }

    pub(crate) fn budget() -> Option<Instant> {
        CURRENT.try_with(|current| current.budget.get()).ok().flatten()
    }

    pub(crate) fn number() -> u64 {
        CURRENT.try_with(|current| current.number).unwrap_or(0)
    }

    pub(crate) fn sender() -> Sender {
        number().into()
    }
}
