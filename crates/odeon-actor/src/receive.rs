//! Selective receive: a handler or an actor's own loop takes messages from the mailbox itself.
//!
//! A receive looks through the mailbox, oldest message first, and takes the first that it wants. What it passes over
//! stays where it is, in order, and counts toward the capacity as before. While it waits, messages notify the actor's
//! cell, and control is served: pings are answered, a stop or the end of a drain ends the wait, and what control
//! brings for the actor's own code (notices of monitors, ticks) is kept until it is wanted.
//!
//! # Invariants
//!
//! - What is kept is handled before what comes later, but after 32 of it in a row the mailbox has its turn.
//! - What is kept holds its room in the control lane, so its number is bounded as there.
//! - `Life::waits` says so only while a receive waits.
//! - After 128 messages taken, others have their turn.
//! - A message is asked about once per receive.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use odeon_core::{ExitReason, Instant};
use odeon_mailbox::{CONTROL_BURST_MAX, STEPS_PER_TURN_MAX};

use crate::actor::Actor;
use crate::current;
use crate::cx::{Cx, Phase};
use crate::envelope::{Envelope, Meta};
use crate::life::{Down, Waits, Watching};
use crate::local::Control;
use crate::recv::{Recv, RecvAny, RecvDown};
use crate::ticker::{Owned, Ticks, TimerId};
use crate::timers::Key;

/// What few actors need beside their state.
pub(crate) struct Rare<M> {
    /// What is known of the handler's own message, once it has taken others.
    pub(crate) own: Option<Meta>,
    /// What control has brought and nobody has handled yet.
    pub(crate) held: VecDeque<Held<M>>,
    /// How much of that was handed out in a row.
    in_row: usize,
    /// Messages taken since others last had their turn because of it.
    taken: usize,
    /// The timers that the actor has set.
    pub(crate) timers: BTreeMap<TimerId, Owned>,
    /// When there are so many, those that are over are looked for.
    pub(crate) prune_at: usize,
}

/// What control has brought for the actor's own code.
pub(crate) enum Held<M> {
    Tick(Envelope<M>, Arc<dyn Ticks<M>>),
    Down(Box<(Down, Watching)>),
    /// The end of a linked actor, trapped.
    Linked(Box<Down>),
    /// For whoever runs the actor.
    Own(fn(&mut dyn Any)),
}

impl<M> Default for Rare<M> {
    fn default() -> Self {
        Self { own: None, held: VecDeque::new(), in_row: 0, taken: 0, timers: BTreeMap::new(), prune_at: 16 }
    }
}

/// What an actor can receive.
#[derive(Debug)]
pub enum Received<M> {
    /// A message; a tick is one as well.
    Message(Envelope<M>),
    /// Something that it monitors has ended.
    Down(Down),
}

/// Why a receive with a deadline took nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The deadline passed.
    #[error("nothing that was wanted came in time")]
    Timeout,
    /// The actor is to end, or has drained: nothing more will come.
    #[error("the actor is ending")]
    Ending,
}

impl<A: Actor> Cx<A> {
    /// Takes the next message, of whatever kind; `None` once the actor is to stop or has drained, whereupon whoever
    /// loops should return.
    ///
    /// The context then speaks of the message taken: [`sender`](Self::sender), [`nonce`](Self::nonce),
    /// [`in_reply_to`](Self::in_reply_to), [`expires_at`](Self::expires_at) and [`wants_reply`](Self::wants_reply)
    /// are its, and asks made now live on what is left of its time. When the next receive begins, it speaks of the
    /// handler's own message again, or of none in an actor's own loop.
    ///
    /// An expired message is dropped on the way, and with it the port of its answer; [`Recv::raw`] gives it as it
    /// is. Pings are answered meanwhile. Notices of monitors are kept for the actor's `down` hook, which runs after
    /// this handler, and for [`recv_down`](Self::recv_down) and [`recv_any`](Self::recv_any).
    ///
    /// ```
    /// # extern crate odeon_actor as odeon;
    /// use odeon::{Cx, System, actor};
    ///
    /// #[derive(Default)]
    /// struct Sum(u64);
    ///
    /// #[actor]
    /// impl Sum {
    ///     #[handle]
    ///     fn add(&mut self, n: u64) {
    ///         self.0 += n;
    ///     }
    ///
    ///     /// Adds what comes next as well, and only then answers.
    ///     #[handle]
    ///     async fn with_next(&mut self, cx: &mut Cx<Self>) -> u64 {
    ///         if let Some(envelope) = cx.recv_match(|message| matches!(message, SumMessage::Add(..))).await
    ///             && let SumMessage::Add(SumAdd { n }, reply) = envelope.into_message()
    ///         {
    ///             self.0 += n;
    ///             reply.send(());
    ///         }
    ///         self.0
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sum = System::new().spawn(Sum::default());
    /// let (both, added) = tokio::join!(sum.with_next(), sum.add(3));
    /// assert_eq!((both?, added?), (3, ()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It may be polled beside other futures, by `select!` or `join!`; it is woken with the whole handler, so a set of
    /// futures that polls only those that were woken themselves forgets it.
    ///
    /// # Cancel safety
    /// Dropped, it has taken nothing.
    pub fn recv(&mut self) -> Recv<'_, A, impl FnMut(&Envelope<A::Message>) -> bool> {
        Recv(Receive::new(self, Takes::Messages, |_: &Envelope<A::Message>| true))
    }

    /// As [`recv`](Self::recv), for the first message that `is_wanted` says yes to. Those passed over stay in the
    /// mailbox, in order and counted: when they fill it, nothing else comes in, so a receive that may wait long
    /// should have a deadline ([`Recv::within`]).
    pub fn recv_match(
        &mut self,
        mut is_wanted: impl FnMut(&A::Message) -> bool,
    ) -> Recv<'_, A, impl FnMut(&Envelope<A::Message>) -> bool> {
        self.recv_envelope_match(move |envelope| is_wanted(envelope.message()))
    }

    /// As [`recv_match`](Self::recv_match), asked with the whole envelope: who sent it, what it answers.
    pub fn recv_envelope_match<F>(&mut self, is_wanted: F) -> Recv<'_, A, F>
    where
        F: FnMut(&Envelope<A::Message>) -> bool,
    {
        Recv(Receive::new(self, Takes::Messages, is_wanted))
    }

    /// Takes the next message if there is one; never waits, and takes what is left even when the actor is to stop.
    pub fn try_recv(&mut self) -> Option<Envelope<A::Message>> {
        self.recv().now()
    }

    /// As [`recv_match`](Self::recv_match), if there is such a message; never waits.
    pub fn try_recv_match(
        &mut self,
        is_wanted: impl FnMut(&A::Message) -> bool,
    ) -> Option<Envelope<A::Message>> {
        self.recv_match(is_wanted).now()
    }

    /// As [`recv_envelope_match`](Self::recv_envelope_match), if there is such a message; never waits.
    pub fn try_recv_envelope_match(
        &mut self,
        is_wanted: impl FnMut(&Envelope<A::Message>) -> bool,
    ) -> Option<Envelope<A::Message>> {
        self.recv_envelope_match(is_wanted).now()
    }

    /// Takes what comes next, be it a message or the end of something that this actor monitors; `None` as
    /// [`recv`](Self::recv). It is what the loop of an actor that monitors others takes.
    ///
    /// # Cancel safety
    /// Dropped, it has taken nothing.
    pub fn recv_any(&mut self) -> RecvAny<'_, A, impl FnMut(&Envelope<A::Message>) -> bool> {
        RecvAny(Receive::new(self, Takes::Both, |_: &Envelope<A::Message>| true))
    }

    /// Takes the next notice that something which this actor monitors has ended; messages wait meanwhile. `None` as
    /// [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Dropped, it has taken nothing.
    pub fn recv_down(&mut self) -> RecvDown<'_, A, impl FnMut(&Envelope<A::Message>) -> bool> {
        RecvDown(Receive::new(self, Takes::Downs, |_: &Envelope<A::Message>| false))
    }

    pub(crate) fn rare(&mut self) -> &mut Rare<A::Message> {
        self.rare.get_or_insert_default()
    }

    /// Whether something was kept while a handler received.
    #[inline]
    pub(crate) fn has_held(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| !rare.held.is_empty())
    }

    /// What was kept while a handler received, for the runner: first, but not more than 32 in a row.
    pub(crate) fn next_held(&mut self) -> Option<Held<A::Message>> {
        let rare = self.rare.as_mut()?;
        if rare.in_row >= CONTROL_BURST_MAX {
            rare.in_row = 0;
            return None;
        }
        while let Some(held) = self.rare.as_mut().and_then(|rare| rare.held.pop_front()) {
            if let Some(held) = self.hand_out(held) {
                return Some(held);
            }
        }
        if let Some(rare) = &mut self.rare {
            rare.in_row = 0;
        }
        None
    }

    /// The message of a tick that comes straight from the control lane.
    pub(crate) fn take_tick(&mut self, ticker: &dyn Ticks<A::Message>) -> Option<Envelope<A::Message>> {
        let envelope = ticker.make()?;
        self.tick_is_out(ticker);
        Some(envelope)
    }

    fn tick_is_out(&mut self, ticker: &dyn Ticks<A::Message>) {
        if ticker.is_out()
            && let Some(rare) = &mut self.rare
        {
            rare.timers.remove(&ticker.id());
        }
    }

    /// `None` for the tick of a timer that was cancelled meanwhile.
    fn hand_out(&mut self, held: Held<A::Message>) -> Option<Held<A::Message>> {
        if let Held::Tick(_, ticker) = &held {
            if ticker.is_over() {
                return None;
            }
            self.tick_is_out(&**ticker);
        }
        self.rare().in_row += 1;
        Some(held)
    }

    /// Serves an item of the control lane while a handler or loop waits.
    fn serve(&mut self, control: Control<A::Message>) {
        match control {
            Control::Stop => {
                if self.local().life.take_stop() {
                    self.end(ExitReason::Stopped);
                }
            }
            Control::Own(act) => self.rare().held.push_back(Held::Own(act)),
            Control::Ping(port, room) => {
                drop(room);
                // Whoever asked may have given up.
                let _ = port.send(());
            }
            Control::Down(notice) => self.rare().held.push_back(Held::Down(notice)),
            Control::Linked(end) => {
                if let Some(down) = self.hear_link(*end) {
                    self.rare().held.push_back(Held::Linked(Box::new(down)));
                }
            }
            Control::Tick(ticker) => {
                if let Some(envelope) = ticker.make() {
                    self.rare().held.push_back(Held::Tick(envelope, ticker));
                }
            }
        }
    }

    /// What the context speaks of when a receive begins: the handler's own message.
    fn begin_receive(&mut self) {
        let own = match self.rare.as_mut().and_then(|rare| rare.own.clone()) {
            Some(own) => own,
            None => {
                let mut own = self.meta.clone();
                if let Some(at) = self.expires_at() {
                    own.set_expires_at(at);
                }
                current::forget_unread();
                self.rare().own = Some(own.clone());
                own
            }
        };
        self.speak_of(own);
    }

    fn speak_of(&mut self, meta: Meta) {
        current::set_budget(meta.expires_at_nanos());
        self.meta = meta;
    }

    fn is_ending(&self) -> bool {
        self.ending.is_some() || self.phase == Phase::Stopping
    }
}

/// One receive, of whatever kind.
pub(crate) struct Receive<'c, A: Actor, F> {
    pub(crate) cx: &'c mut Cx<A>,
    is_wanted: F,
    takes: Takes,
    pub(crate) is_raw: bool,
    pub(crate) deadline: Option<Instant>,
    timer: Option<Key>,
    /// Of the batch and of what is kept, so many were asked about already.
    passed: usize,
    held_passed: usize,
    is_waiting: bool,
}

/// What a receive takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Messages,
    Downs,
    Both,
}

pub(crate) enum Item<M> {
    Message(Envelope<M>),
    Down(Down),
    Ending,
}

// Nothing in it is pinned in place.
impl<A: Actor, F> Unpin for Receive<'_, A, F> {}

impl<'c, A: Actor, F: FnMut(&Envelope<A::Message>) -> bool> Receive<'c, A, F> {
    fn new(cx: &'c mut Cx<A>, takes: Takes, is_wanted: F) -> Self {
        cx.begin_receive();
        Self {
            cx,
            is_wanted,
            takes,
            is_raw: false,
            deadline: None,
            timer: None,
            passed: 0,
            held_passed: 0,
            is_waiting: false,
        }
    }

    pub(crate) fn poll(&mut self, task: &Context<'_>) -> Poll<Result<Item<A::Message>, RecvError>> {
        let rare = self.cx.rare();
        if rare.taken >= STEPS_PER_TURN_MAX {
            rare.taken = 0;
            self.waits(Waits::ForItsTurn);
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(item) = self.look() {
            self.waits(Waits::Elsewhere);
            self.cx.rare().taken += 1;
            return Poll::Ready(match item {
                Item::Ending => Err(RecvError::Ending),
                item => Ok(item),
            });
        }
        self.waits(Waits::ForMessages);
        if self.is_over(task) { Poll::Ready(Err(RecvError::Timeout)) } else { Poll::Pending }
    }

    /// Says to the runner what it waits for.
    fn waits(&mut self, waits: Waits) {
        if self.is_waiting || waits != Waits::Elsewhere {
            self.is_waiting = waits != Waits::Elsewhere;
            self.cx.local().life.set_waits(waits);
        }
    }

    /// Whether the time is over.
    fn is_over(&mut self, task: &Context<'_>) -> bool {
        let Some(at) = self.deadline else {
            return false;
        };
        let system = self.cx.system();
        match self.timer {
            Some(key) => !system.timers().rewake(key, task.waker()),
            None if at <= system.clock().now() => true,
            None => {
                self.timer = Some(system.timers().wake_at(at, task.waker(), &**system.tasks()));
                false
            }
        }
    }

    /// Serves control, and looks for what is wanted.
    fn look(&mut self) -> Option<Item<A::Message>> {
        loop {
            for _ in 0..CONTROL_BURST_MAX {
                let Some(control) = self.cx.local().mailbox.next_control() else {
                    break;
                };
                self.cx.serve(control);
            }
            if self.cx.is_ending() {
                return Some(Item::Ending);
            }
            if let Some(item) = self.look_at_all() {
                return Some(item);
            }
            if !self.cx.local().mailbox.has_control() {
                return None;
            }
        }
    }

    fn look_at_all(&mut self) -> Option<Item<A::Message>> {
        let is_data_due = self.cx.rare().in_row >= CONTROL_BURST_MAX;
        if is_data_due {
            self.cx.rare().in_row = 0;
            self.look_at_data().or_else(|| self.look_at_held())
        } else {
            self.look_at_held().or_else(|| self.look_at_data())
        }
    }

    /// What control has brought.
    fn look_at_held(&mut self) -> Option<Item<A::Message>> {
        while let Some(held) = self.cx.rare().held.get(self.held_passed) {
            let is_wanted = match held {
                Held::Own(_) => false,
                Held::Down(..) | Held::Linked(_) => matches!(self.takes, Takes::Downs | Takes::Both),
                Held::Tick(envelope, ticker) => ticker.is_over() || (self.is_wanted)(envelope),
            };
            if !is_wanted {
                self.held_passed += 1;
                continue;
            }
            let held = self.cx.rare().held.remove(self.held_passed)?;
            match self.cx.hand_out(held) {
                Some(Held::Down(notice)) => {
                    let (down, watching) = *notice;
                    if watching.take() {
                        return Some(Item::Down(down));
                    }
                }
                Some(Held::Linked(down)) => return Some(Item::Down(*down)),
                Some(Held::Tick(envelope, _)) => return Some(Item::Message(self.take(envelope))),
                Some(Held::Own(_)) | None => {}
            }
        }
        None
    }

    /// What the mailbox holds.
    fn look_at_data(&mut self) -> Option<Item<A::Message>> {
        let found = match self.next() {
            Some(envelope) => Some(envelope),
            None if !self.cx.local().mailbox.is_closed() => return None,
            // What came in before the intake was shut is seen by a look after it.
            None => self.next(),
        };
        let Some(envelope) = found else {
            if self.cx.local().mailbox.is_empty() {
                self.cx.end(ExitReason::Drained);
            }
            return Some(Item::Ending);
        };
        self.cx.rare().in_row = 0;
        Some(Item::Message(self.take(envelope)))
    }

    /// The first message that is wanted. What has expired is dropped.
    fn next(&mut self) -> Option<Envelope<A::Message>> {
        let Self { cx, is_wanted, passed, is_raw, .. } = self;
        let (local, batch) = cx.mailbox_and_batch();
        let mut now = None;
        let mut is_expired = |envelope: &Envelope<A::Message>| {
            let at = envelope.meta.expires_at_nanos();
            let mut now = || *now.get_or_insert_with(|| local.system.clock().now());
            !*is_raw && at != u64::MAX && at <= now().as_nanos()
        };
        loop {
            let (mut at, mut expired) = (0, false);
            let found = local.mailbox.next_matching(batch, |envelope| {
                at += 1;
                if at <= *passed {
                    // It was asked about before: what has come since is behind it.
                    return false;
                }
                expired = is_expired(envelope);
                let is_taken = expired || is_wanted(envelope);
                *passed += usize::from(!is_taken);
                is_taken
            })?;
            if !expired {
                local.life.set_receives();
                local.life.progress.begin(1);
                return Some(found);
            }
            local.life.count(|counts| counts.expired += 1);
            // Dropping the message drops its reply port, which tells whoever waits.
        }
    }

    fn take(&mut self, envelope: Envelope<A::Message>) -> Envelope<A::Message> {
        self.cx.speak_of(envelope.meta.clone());
        envelope
    }

    /// One look, without waiting.
    pub(crate) fn now(mut self) -> Option<Item<A::Message>> {
        self.cx.rare().taken += 1;
        match self.look() {
            // What is left may be taken even then.
            Some(Item::Ending) => {
                self.look_at_held().or_else(|| self.next().map(|e| Item::Message(self.take(e))))
            }
            item => item,
        }
    }
}

impl<A: Actor, F> Drop for Receive<'_, A, F> {
    fn drop(&mut self) {
        let local = self.cx.local();
        if let Some(key) = self.timer.take() {
            local.system.timers().forget(key);
        }
        if self.is_waiting {
            local.life.set_waits(Waits::Elsewhere);
        }
    }
}
