//! An actor of this process, as one block: its mailbox, its life, and the cell with the actor itself.
//!
//! Handles, tables, wakers and the run queue share the block; it outlives the actor. What is in the cell belongs to
//! whoever runs it (`run.rs`), everything else to everybody.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Weak};
use std::task::Wake;

use odeon_core::{ExitReason, Refusal, RefusalCode};
use odeon_mailbox::{Bounds, Cell, Mailbox, ReplyFuture, ReplyPort, Runnable, Turn, Waiting, reply_cell};

use crate::actor::Actor;
use crate::cx::Cx;
use crate::dead_letter::DeadLetter;
use crate::envelope::Envelope;
use crate::life::{Down, Life, PINGS_MAX, PingRoom, Watching};
use crate::links::LinkEnd;
use crate::run::run;
use crate::sender::Sender;
use crate::system::System;
use crate::ticker::Ticks;

/// An actor of this process, as its handles see it.
pub(crate) struct Local<A: Actor> {
    pub(crate) cell: Cell<Contents<A>>,
    pub(crate) mailbox: Mailbox<Envelope<A::Message>, Control<A::Message>>,
    pub(crate) life: Arc<Life>,
    pub(crate) system: System,
    /// For those who have it without its type.
    me: Weak<Self>,
}

/// What belongs to whoever runs the actor.
pub(crate) struct Contents<A: Actor> {
    pub(crate) actor: A,
    pub(crate) cx: Cx<A>,
}

/// What travels in the control lane: never behind data, and never refused for lack of room, because there is one
/// stop at most and the others have taken their room before.
pub(crate) enum Control<M> {
    Stop,
    Ping(ReplyPort<(), ()>, PingRoom),
    /// Boxed: it is rare, and large.
    Down(Box<(Down, Watching)>),
    /// The end of a linked actor; boxed as well.
    Linked(Box<LinkEnd>),
    /// Something to do with the [`Contents`] between two messages. Whoever puts it in keeps to one at a time.
    Own(fn(&mut dyn Any)),
    Tick(Arc<dyn Ticks<M>>),
}

impl<A: Actor> Local<A> {
    fn empty(life: Arc<Life>, bounds: Bounds, system: System) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            cell: Cell::notified(),
            mailbox: Mailbox::bounded(bounds),
            life,
            system,
            me: Weak::clone(me),
        })
    }

    /// The block of an actor that does not exist yet: its keeper will make it.
    pub(crate) fn vacant(life: Arc<Life>, bounds: Bounds, system: System) -> Arc<Self> {
        let local = Self::empty(life, bounds, system);
        // Nobody knows it, so nobody can have notified it.
        let _ = local.cell.begin().try_leave(Waiting::Messages);
        local
    }

    /// The block of a new actor, to be [launched](Self::launch) or [discarded](Self::discard).
    pub(crate) fn new(life: Arc<Life>, bounds: Bounds, system: System, actor: A) -> Arc<Self> {
        let local = Self::empty(life, bounds, system);
        let mut entered = local.cell.begin();
        entered.put(Contents { actor, cx: Cx::new(Arc::clone(&local)) });
        entered.give_way();
        local
    }

    /// Lets the actor begin: nobody could run it before.
    pub(crate) fn launch(self: &Arc<Self>) {
        if self.system.is_closed() {
            self.life.set_killed();
        }
        if A::HAS_START || A::HAS_RUN {
            self.schedule();
            return;
        }
        match self.cell.begin().try_leave(Waiting::Messages) {
            // Who found it in the tables before now saw it notified, and relied on that.
            Ok(()) if self.is_expected() => self.notify(),
            Ok(()) => {}
            Err(notified) => {
                notified.give_way();
                self.schedule();
            }
        }
    }

    /// Whether somebody wants something of the actor.
    fn is_expected(&self) -> bool {
        let mailbox = &self.mailbox;
        self.life.is_killed() || mailbox.has_control() || !mailbox.is_empty() || mailbox.is_closed()
    }

    /// Drops the actor of a block that was never launched.
    pub(crate) fn discard(&self) {
        let contents = self.cell.begin().take();
        drop(contents);
    }

    /// Has the actor run, after a message was put into its mailbox.
    pub(crate) fn notify_message(self: &Arc<Self>) {
        if self.cell.notify_message() {
            self.schedule();
        }
    }

    /// Has the actor run, whatever it waits for.
    pub(crate) fn notify(self: &Arc<Self>) {
        if self.cell.notify() {
            self.schedule();
        }
    }

    /// As [`notify`](Self::notify), for what is not to wait until whoever runs here has come to an end.
    pub(crate) fn notify_elsewhere(self: &Arc<Self>) {
        if self.cell.notify() {
            self.schedule_elsewhere();
        }
    }

    /// Puts the cell, which was found to be notified, on the run queue.
    pub(crate) fn schedule(self: &Arc<Self>) {
        if let Err(entry) = self.system.run_queue().push(Arc::clone(self) as _) {
            entry.abandon();
        }
    }

    /// The same, behind all that is ready.
    pub(crate) fn schedule_elsewhere(self: &Arc<Self>) {
        if let Err(entry) = self.system.run_queue().push_shared(Arc::clone(self) as _) {
            entry.abandon();
        }
    }

    pub(crate) fn kill(self: &Arc<Self>) {
        self.life.set_killed();
        self.notify();
    }

    /// Takes nothing more, handles what is queued, and ends.
    pub(crate) fn drain(self: &Arc<Self>) {
        self.mailbox.close_intake();
        self.notify();
    }

    pub(crate) fn stop(self: &Arc<Self>) {
        if self.life.is_first_stop() {
            // Refused, it has ended.
            let _ = self.mailbox.control(Control::Stop);
        }
        self.notify();
    }

    /// Puts something into the control lane. A dead actor drops it, which tells whoever waits.
    pub(crate) fn control(self: &Arc<Self>, control: Control<A::Message>) {
        if self.mailbox.control(control).is_ok() {
            self.notify_message();
        }
    }

    /// Puts a ping into the control lane. The future fails when the actor ends, or is dead.
    pub(crate) fn ping(self: &Arc<Self>) -> Result<ReplyFuture<(), ()>, Refusal> {
        let room = PingRoom::take(&self.life).ok_or_else(|| {
            let detail = format!("{PINGS_MAX} pings wait for the actor already: it is stuck or busy");
            Refusal::new(RefusalCode::LimitReached, detail)
        })?;
        let (port, future) = reply_cell();
        self.control(Control::Ping(port, room));
        Ok(future)
    }

    /// Counts a message for which there was no room.
    pub(crate) fn refuse(&self) {
        self.life.count(|counts| counts.refused += 1);
        self.system.mailbox_refused();
    }

    /// Counts a message from another server that came too late.
    pub(crate) fn undelivered(&self, sender: Sender) {
        let letter = DeadLetter::new(&self.life, sender, self.death());
        self.system.dead_letter(&letter);
    }

    /// Why the actor takes nothing: it ended, is ending, or drains.
    pub(crate) fn death(&self) -> ExitReason {
        self.life.reason().unwrap_or(ExitReason::Drained)
    }

    /// The block, for those who have it without its type. `None` while it is made or dropped.
    pub(crate) fn me(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }
}

impl<A: Actor> Runnable for Local<A> {
    fn run(self: Arc<Self>, turn: &mut Turn) {
        run(&self, turn);
    }

    /// The runners are gone, and so is everybody else who might run this actor: it ends here.
    fn abandon(self: Arc<Self>) {
        self.life.set_killed();
        run(&self, &mut Turn::new());
    }
}

impl<A: Actor> Wake for Local<A> {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}

impl<A: Actor> fmt::Debug for Local<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.life.fmt(f)
    }
}
