//! The loop that runs one actor, from its start to the last notice of its end.
//!
//! The order of an end: the reason is set; the actor is dropped; the mailbox is closed; what was queued goes to
//! dead letters; names are free again; monitors are told. Whoever waits for the notice finds all of that done.
//! The end takes place even if the task is dropped, as by a runtime that shuts down.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

use odeon_core::ExitReason;
use odeon_mailbox::{Received, Receiver};

use crate::actor::Actor;
use crate::cx::Cx;
use crate::handle::{Control, Envelope};
use crate::life::Life;
use crate::panic::{contained, poll_caught};
use crate::sender::Sender;
use crate::system::{DeadLetter, System};

/// Messages handled before the task lets others run: our queue does not count against tokio's own budget.
const HANDLED_PER_TURN_MAX: u32 = 128;

type Inbox<A> = Receiver<Envelope<<A as Actor>::Message>, Control>;

/// Runs `actor` to its end.
pub(crate) async fn run<A: Actor>(actor: A, mut end: End<A>, mut cx: Cx<A>) {
    let life = Arc::clone(&end.life);
    let body = current::scope(life.number, live(actor, &mut end.inbox, &mut cx, &life));
    let mut body = pin!(Some(body));
    // Goes before the body does, however this future ends: reply ports in there then know the reason.
    let _settled = Settled(&life);
    let mut left: Option<Waker> = None;
    poll_fn(|task| {
        // Left once as a rule: a lock per poll would cost as much as a short message.
        if !left.as_ref().is_some_and(|left| left.will_wake(task.waker())) {
            life.set_runner(task.waker());
            left = Some(task.waker().clone());
        }
        if life.is_killed() {
            life.begin_end(ExitReason::Killed);
            return Poll::Ready(());
        }
        let Some(body) = body.as_mut().as_pin_mut() else {
            return Poll::Ready(());
        };
        poll_caught(body, task).map(|outcome| {
            if let Err((panic, fallen)) = outcome {
                life.begin_end(ExitReason::Panicked(panic));
                drop(fallen);
            }
        })
    })
    .await;
    contained("the drop of an actor", || body.set(None));
}

/// What the end of an actor needs; dropping it is the end.
pub(crate) struct End<A: Actor> {
    pub(crate) inbox: Inbox<A>,
    pub(crate) life: Arc<Life>,
    pub(crate) system: System,
}

impl<A: Actor> Drop for End<A> {
    fn drop(&mut self) {
        let reason = self.life.begin_end(ExitReason::Killed);
        let leftover = self.inbox.close();
        for envelope in leftover.data {
            let letter = DeadLetter::new(&self.life, envelope.sender, reason.clone());
            let message = envelope.message;
            contained("the drop of a message", || drop(message));
            self.system.dead_letter(&letter);
        }
        drop(leftover.control);
        self.system.forget(self.life.number);
        self.life.complete_end();
    }
}

/// Sets the exit reason of an actor whose task is dropped.
struct Settled<'a>(&'a Life);

impl Drop for Settled<'_> {
    fn drop(&mut self) {
        self.0.begin_end(ExitReason::Killed);
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
            Received::Control(Control::Ping(port, room)) => {
                drop(room);
                // Whoever asked may have given up.
                let _ = port.send(());
            }
            Received::Control(Control::Down(down, watching)) => {
                drop(watching);
                actor.down(down, cx).await;
            }
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
        CURRENT.scope(Current { number, budget: Cell::new(None) }, future)
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
        match number() {
            0 => Sender::Outside,
            number => Sender::Actor(number),
        }
    }
}
