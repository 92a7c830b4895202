//! Running an actor: one turn on a runner's thread, from what waits in its mailbox to its end.
//!
//! The order of an end: the reason is set; the actor is dropped; the mailbox is closed; what was queued goes to
//! dead letters; names are free again; monitors are told. Whoever waits for the notice finds all of that done.
//! Of an actor that a supervisor keeps, the incarnation ends with the drop of the actor, and its keeper is told.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use odeon_core::{ExitReason, Instant};
use odeon_mailbox::{Batch, Begin, Entered, Received, Spare, Turn, Waiting};
use pin_project_lite::pin_project;
use tracing::Span;

use crate::actor::Actor;
use crate::current::{self, Running};
use crate::cx::{Cx, Phase};
use crate::dead_letter::DeadLetter;
use crate::envelope::Envelope;
use crate::life::{Down, Waits, Watching};
use crate::local::{Contents, Control, Local};
use crate::panic::{caught, contained};
use crate::receive::Held;
use crate::spans::{self, InSpan};
use crate::stats::{Busy, Tally};
use crate::supervise::{Kept, Revived, falling, revive};

/// Of so many messages handled by code that does not wait, one is timed.
pub(crate) const PACE_SAMPLE: u32 = 64;

/// Pauses of the processor, some half a microsecond: what ten messages take to be sent, and less than a wake costs.
const COMPANY_SPINS: u32 = 24;

/// Why a turn is over.
enum Outcome {
    /// Nothing to do until somebody notifies.
    Idle(Waiting),
    /// More to do than the turn allows.
    Spent,
    /// The actor has ended; the reason is set.
    Over,
}

/// Runs a cell that came off the run queue.
pub(crate) fn run<A: Actor>(local: &Arc<Local<A>>, turn: &mut Turn) {
    let mut entered = local.cell.begin();
    let _busy = Busy::begin(&**local);
    loop {
        let sent = local.life.nonce();
        let outcome = match caught(|| steps(local, &mut entered, turn)) {
            Ok(outcome) => outcome,
            Err(caught) => {
                let (panic, fallen) = *caught;
                local.life.begin_end(ExitReason::Panicked(panic));
                falling(&local.life, || drop(fallen));
                Outcome::Over
            }
        };
        match outcome {
            Outcome::Idle(waiting) => match entered.try_leave(waiting) {
                Ok(()) => return,
                Err(notified) => {
                    entered = notified;
                    // It has sent nothing, so somebody on another thread goes on sending to it.
                    if local.system.is_parallel() && local.life.nonce() == sent {
                        wait_for_company();
                    }
                }
            },
            Outcome::Spent => {
                entered.give_way();
                local.schedule_elsewhere();
                return;
            }
            Outcome::Over => {
                end(local, &mut entered);
                // Whoever notifies from now on finds nothing in the cell, unless a supervisor starts it again.
                match entered.try_leave(Waiting::Messages) {
                    Ok(()) => return,
                    Err(notified) => entered = notified,
                }
            }
        }
    }
}

/// Waits for more messages where the first of them has come just now: a consumer as fast as its producer would
/// otherwise take one at a time, and have the mailbox' memory cross between two cores for each.
#[cold]
fn wait_for_company() {
    for _ in 0..COMPANY_SPINS {
        std::hint::spin_loop();
    }
}

/// Takes steps until there is nothing to do, or nothing left of the turn.
fn steps<A: Actor>(
    local: &Arc<Local<A>>,
    entered: &mut Entered<'_, Contents<A>>,
    turn: &mut Turn,
) -> Outcome {
    let _running = Running::begin(&local.life);
    let mut now = Now(None);
    let mut tally = Tally::begin(&local.life);
    // Whether the mailbox has been looked into since messages last came without notifying: they do so only while a
    // future waits, and then this turn is over.
    let mut has_looked = false;
    loop {
        if local.life.is_killed() {
            local.life.begin_end(ExitReason::Killed);
            return Outcome::Over;
        }
        if entered.is_waiting() {
            if entered.poll(local, &mut turn.spare).is_pending() {
                tally.waits(|| now.get(local));
                return match local.life.waits() {
                    Waits::Elsewhere => Outcome::Idle(Waiting::Other),
                    Waits::ForMessages => Outcome::Idle(Waiting::Messages),
                    Waits::ForItsTurn => {
                        while turn.step() {}
                        Outcome::Spent
                    }
                };
            }
            tally.returned();
            now = Now(None);
        }
        let Some(contents) = entered.contents() else {
            match revive(local, entered) {
                Revived::No => return Outcome::Idle(Waiting::Messages),
                Revived::Failed => return Outcome::Over,
                Revived::Yes => continue,
            }
        };
        let cx = &mut contents.cx;
        match cx.phase {
            Phase::New => {
                cx.phase = Phase::Running;
                if A::HAS_START || A::HAS_RUN {
                    entered.start(Starting, &mut turn.spare);
                    continue;
                }
            }
            Phase::Kept => {
                cx.phase = Phase::Running;
                entered.start(StartingKept, &mut turn.spare);
                continue;
            }
            Phase::Running if cx.ending.is_some() => {
                let reason = cx.ending.take().map_or(ExitReason::Normal, |reason| *reason);
                let reason = local.life.begin_end(reason);
                cx.phase = Phase::Stopping;
                cx.settle();
                entered.start(Stopping(reason), &mut turn.spare);
                continue;
            }
            Phase::Running => {}
            Phase::Stopping => return Outcome::Over,
        }
        if cx.has_held() {
            if !turn.step() {
                return Outcome::Spent;
            }
            match cx.next_held() {
                Some(Held::Tick(envelope, _)) => {
                    take(local, entered, envelope, &mut turn.spare, &mut tally);
                    continue;
                }
                Some(Held::Down(notice)) => {
                    hear(entered, *notice, &mut turn.spare);
                    continue;
                }
                Some(Held::Linked(down)) => {
                    cx.settle();
                    entered.start(Hearing(*down), &mut turn.spare);
                    continue;
                }
                Some(Held::Own(act)) => {
                    act(contents);
                    continue;
                }
                // The mailbox has its turn.
                None => {}
            }
        }
        if has_looked && !cx.has_held() && local.mailbox.is_quiet(&cx.batch) {
            return Outcome::Idle(Waiting::Messages);
        }
        if !turn.step() {
            return Outcome::Spent;
        }
        has_looked = true;
        match local.mailbox.next(&mut cx.batch) {
            Some(Received::Data(envelope)) => {
                if now.is_past(local, envelope.meta.expires_at_nanos()) {
                    tally.message_is_expired();
                    // Nobody waits any longer, and dropping the message drops its reply port.
                    continue;
                }
                take(local, entered, envelope, &mut turn.spare, &mut tally);
                if entered.contents().is_some_and(|contents| !contents.cx.pace.is_short()) {
                    // The handler may have taken long: the next message may have expired by now.
                    now = Now(None);
                }
            }
            Some(Received::Control(Control::Tick(ticker))) => {
                if let Some(envelope) = cx.take_tick(&*ticker) {
                    take(local, entered, envelope, &mut turn.spare, &mut tally);
                }
            }
            Some(Received::Control(Control::Ping(port, room))) => {
                drop(room);
                // Whoever asked may have given up.
                let _ = port.send(());
            }
            Some(Received::Control(Control::Down(notice))) => {
                hear(entered, *notice, &mut turn.spare);
            }
            Some(Received::Control(Control::Linked(end))) => {
                if let Some(down) = cx.hear_link(*end) {
                    cx.settle();
                    entered.start(Hearing(down), &mut turn.spare);
                }
            }
            Some(Received::Control(Control::Stop)) => {
                if local.life.take_stop() {
                    cx.end(ExitReason::Stopped);
                }
            }
            Some(Received::Control(Control::Own(act))) => act(contents),
            Some(Received::Drained) => cx.end(ExitReason::Drained),
            None if cx.has_held() => {}
            None => return Outcome::Idle(Waiting::Messages),
        }
    }
}

/// Handles a message, or begins to.
#[inline]
fn take<A: Actor>(
    local: &Local<A>,
    entered: &mut Entered<'_, Contents<A>>,
    envelope: Envelope<A::Message>,
    spare: &mut Spare,
    tally: &mut Tally<'_>,
) {
    let Some(contents) = entered.contents() else {
        return;
    };
    let Envelope { message, meta } = envelope;
    let expires_at = meta.expires_at_nanos();
    let span = tally.is_traced.then(|| spans::message(&local.life, &meta));
    contents.cx.begin(meta);
    tally.message_begins();
    if !A::waits(&message) {
        let _in_span = span.map(Span::entered);
        handle_now(local, contents, message, expires_at);
        tally.returned();
        return;
    }
    match span {
        None => entered.start(Handling { message, expires_at }, spare),
        Some(span) => entered.start(InSpan(span, Handling { message, expires_at }), spare),
    }
}

/// Begins to hear a notice, if it is still wanted; its room in the control lane is free.
fn hear<A: Actor>(
    entered: &mut Entered<'_, Contents<A>>,
    (down, watching): (Down, Watching),
    spare: &mut Spare,
) {
    if watching.take()
        && let Some(contents) = entered.contents()
    {
        contents.cx.settle();
        entered.start(Hearing(down), spare);
    }
}

/// Handles a message by code that does not wait.
#[inline]
fn handle_now<A: Actor>(local: &Local<A>, contents: &mut Contents<A>, message: A::Message, expires_at: u64) {
    let Contents { actor, cx } = contents;
    if expires_at != u64::MAX {
        current::set_budget(expires_at);
    }
    cx.handled = cx.handled.wrapping_add(1);
    let began = (cx.handled % PACE_SAMPLE == 1).then(|| local.system.clock().now());
    actor.handle_now(message, cx);
    if let Some(began) = began {
        cx.pace.record(local.system.clock().now() - began);
    }
    // A handler that has taken other messages has had their deadlines as well.
    if expires_at != u64::MAX || cx.rare.is_some() {
        current::set_budget(u64::MAX);
    }
}

/// The clock, read once for as many messages as are handled in a moment.
struct Now(Option<Instant>);

impl Now {
    fn get<A: Actor>(&mut self, local: &Local<A>) -> Instant {
        *self.0.get_or_insert_with(|| local.system.clock().now())
    }

    fn is_past<A: Actor>(&mut self, local: &Local<A>, at: u64) -> bool {
        at != u64::MAX && at <= self.get(local).as_nanos()
    }
}

/// The end of an actor, or of the incarnation of a kept one, whose exit reason is set.
pub(crate) fn end<A: Actor>(local: &Arc<Local<A>>, entered: &mut Entered<'_, Contents<A>>) {
    let reason = local.life.begin_end(ExitReason::Killed);
    let batch = falling(&local.life, || {
        contained("the drop of a handler", || entered.cancel());
        let Contents { actor, cx } = entered.take()?;
        contained("the drop of an actor", || drop(actor));
        let (batch, rest) = cx.into_batch();
        contained("the drop of what an actor held", || drop(rest));
        Some(batch)
    });
    if local.life.progress.end() {
        local.life.count(|counts| counts.failed += 1);
    }
    match (Kept::of(local), batch) {
        (Some(kept), batch) => kept.fell(local, batch, reason),
        (None, Some(batch)) => bury(local, batch, &reason),
        (None, None) => {}
    }
}

/// The rest of an end, once the actor has been dropped.
pub(crate) fn bury<A: Actor>(local: &Local<A>, mut batch: Batch<Envelope<A::Message>>, reason: &ExitReason) {
    let leftover = local.mailbox.close(&mut batch);
    if !leftover.data.is_empty() {
        local.life.count(|counts| counts.lost += leftover.data.len() as u64);
    }
    for envelope in leftover.data {
        let letter = DeadLetter::new(&local.life, envelope.sender(), reason.clone());
        contained("the drop of a message", || drop(envelope.message));
        local.system.dead_letter(&letter);
    }
    contained("the drop of control items", || drop(leftover.control));
    local.system.forget(local.life.number);
    local.life.complete_end();
}

/// Handles a message.
struct Handling<M> {
    message: M,
    expires_at: u64,
}

impl<A: Actor> Begin<Contents<A>> for Handling<A::Message> {
    fn begin<'c>(self, Contents { actor, cx }: &'c mut Contents<A>) -> impl Future<Output = ()> + Send + 'c {
        Budgeted { expires_at: self.expires_at, handler: actor.handle(self.message, cx) }
    }
}

pin_project! {
    /// A handler: what it asks of others lives on what is left of its request's time, wherever it is polled. When it
    /// takes other messages, theirs counts.
    struct Budgeted<F> {
        expires_at: u64,
        #[pin]
        handler: F,
    }
}

impl<F: Future<Output = ()>> Future for Budgeted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if *this.expires_at != u64::MAX {
            current::set_budget(*this.expires_at);
        }
        let polled = this.handler.poll(cx);
        *this.expires_at = current::replace_budget(u64::MAX);
        polled
    }
}

/// Before the first message, and the actor's own loop if it has one.
struct Starting;

impl<A: Actor> Begin<Contents<A>> for Starting {
    fn begin<'c>(self, Contents { actor, cx }: &'c mut Contents<A>) -> impl Future<Output = ()> + Send + 'c {
        unbudgeted(async move {
            if let Err(failure) = actor.started(cx).await {
                cx.fail(failure);
            }
            live(actor, cx).await;
        })
    }
}

/// Before the first message, of an actor that is kept.
struct StartingKept;

impl<A: Actor> Begin<Contents<A>> for StartingKept {
    fn begin<'c>(self, Contents { actor, cx }: &'c mut Contents<A>) -> impl Future<Output = ()> + Send + 'c {
        unbudgeted(async move {
            match actor.started(cx).await {
                Ok(()) => Kept::started(cx.local()),
                Err(failure) => cx.fail(failure),
            }
            live(actor, cx).await;
        })
    }
}

/// The actor's own loop, if it has one.
async fn live<A: Actor>(actor: &mut A, cx: &mut Cx<A>) {
    if !A::HAS_RUN || cx.ending.is_some() {
        return;
    }
    if let Err(failure) = actor.run(cx).await {
        cx.fail(failure);
    }
    // A loop that ends because there is nothing more to come has drained the actor.
    let is_drained = cx.local().mailbox.is_closed();
    cx.end(if is_drained { ExitReason::Drained } else { ExitReason::Normal });
}

/// What begins without a message in hand.
const fn unbudgeted<F>(handler: F) -> Budgeted<F> {
    Budgeted { expires_at: u64::MAX, handler }
}

/// After the last.
struct Stopping(ExitReason);

impl<A: Actor> Begin<Contents<A>> for Stopping {
    fn begin<'c>(self, Contents { actor, cx }: &'c mut Contents<A>) -> impl Future<Output = ()> + Send + 'c {
        unbudgeted(async move { actor.stopped(&self.0, cx).await })
    }
}

/// Somebody else's end.
struct Hearing(Down);

impl<A: Actor> Begin<Contents<A>> for Hearing {
    fn begin<'c>(self, Contents { actor, cx }: &'c mut Contents<A>) -> impl Future<Output = ()> + Send + 'c {
        unbudgeted(actor.down(self.0, cx))
    }
}
