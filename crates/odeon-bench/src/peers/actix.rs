//! `actix`: actors are local to a thread, so it brings its own runtime: one system thread, and for two workers one
//! arbiter on a second thread.
//!
//! With two workers the caller is on the system thread; counters go to the arbiter and the system in turn, the
//! first to the arbiter, so that `ask`, `tell` and `fan-in` cross threads as an actix user's would; half of the
//! ring, and of the subscribers of a fan-out, is on each. Asks go through the bounded mailbox; the only tell
//! that does not drop a message when the mailbox is full is `do_send`, which ignores the bound, so the peer
//! counts as unbounded.

use std::sync::atomic::{AtomicUsize, Ordering};

use actix::{Actor, Addr, Arbiter, Context, Handler, Message, System};

use crate::{
    drive::Done,
    error::{Gone, JobError},
    peers::{Kind, Mailbox, Peer},
    workload::{MAILBOX_MAX, Note, RING_MEMBERS, Runtime},
};

/// The second thread, if there is one, and how many counters have been placed.
pub(crate) struct Actix {
    arbiter: Option<Arbiter>,
    placed: AtomicUsize,
}

/// The counter and its sum.
pub(crate) struct Counter(u64);

/// A question to the counter.
struct Ask(u64);

/// A ring member.
pub(crate) struct Member {
    next: Option<Addr<Self>>,
    done: Done,
}

/// A member's successor.
struct Link(Addr<Member>);

/// The token, with the hops it has left.
struct Hop(u64);

/// Where an actor runs.
enum Place<'a> {
    Here,
    Arbiter(&'a Arbiter),
}

impl Actix {
    fn place<A: Actor<Context = Context<A>> + Send>(place: &Place<'_>, actor: A) -> Addr<A> {
        match place {
            Place::Here => actor.start(),
            Place::Arbiter(arbiter) => A::start_in_arbiter(&arbiter.handle(), move |_| actor),
        }
    }

    /// Starts an actor on the two threads in turn, on the second one first.
    pub(crate) fn place_in_turn<A: Actor<Context = Context<A>> + Send>(&self, actor: A) -> Addr<A> {
        let turn = self.placed.fetch_add(1, Ordering::Relaxed);
        Self::place(&self.choose(turn.is_multiple_of(2)), actor)
    }

    fn choose(&self, second: bool) -> Place<'_> {
        match &self.arbiter {
            Some(arbiter) if second => Place::Arbiter(arbiter),
            _ => Place::Here,
        }
    }
}

impl Drop for Actix {
    fn drop(&mut self) {
        if let Some(arbiter) = &self.arbiter {
            arbiter.stop();
        }
    }
}

impl Peer for Actix {
    const NAME: &'static str = "actix";
    const KIND: Kind = Kind::Actors;
    const MAILBOX: Mailbox = Mailbox::Unbounded;

    type Counter = Addr<Counter>;
    type Member = Addr<Member>;

    fn host<W>(_runtime: Runtime, work: W) -> Result<W::Output, JobError>
    where
        W: Future + Send + 'static,
        W::Output: Send + 'static,
    {
        // Polled by the system thread itself: only its local set may start actors.
        Ok(System::new().block_on(work))
    }

    async fn start(runtime: Runtime) -> Result<Self, Gone> {
        let arbiter = match runtime {
            Runtime::OneThread => None,
            Runtime::TwoWorkers => Some(Arbiter::new()),
        };
        Ok(Self { arbiter, placed: AtomicUsize::new(0) })
    }

    async fn counter(&self) -> Result<Self::Counter, Gone> {
        Ok(self.place_in_turn(Counter(0)))
    }

    async fn ask(counter: &Self::Counter, value: u64) -> Result<u64, Gone> {
        counter.send(Ask(value)).await.map_err(|_| Gone)
    }

    async fn tell(counter: &Self::Counter, note: Note) -> Result<(), Gone> {
        counter.do_send(note);
        Ok(())
    }

    async fn member(&self, index: usize, done: Done) -> Result<Self::Member, Gone> {
        Ok(Self::place(&self.choose(index >= RING_MEMBERS / 2), Member { next: None, done }))
    }

    async fn link(member: &Self::Member, next: Self::Member) -> Result<(), Gone> {
        member.do_send(Link(next));
        Ok(())
    }

    async fn hop(member: &Self::Member, left: u64) -> Result<(), Gone> {
        member.do_send(Hop(left));
        Ok(())
    }
}

impl Message for Ask {
    type Result = u64;
}

impl Message for Note {
    type Result = ();
}

impl Message for Link {
    type Result = ();
}

impl Message for Hop {
    type Result = ();
}

impl Actor for Counter {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(MAILBOX_MAX);
    }
}

impl Handler<Ask> for Counter {
    type Result = u64;

    fn handle(&mut self, Ask(value): Ask, _context: &mut Context<Self>) -> u64 {
        value + self.0
    }
}

impl Handler<Note> for Counter {
    type Result = ();

    fn handle(&mut self, note: Note, _context: &mut Context<Self>) {
        self.0 += note.weight();
    }
}

impl Actor for Member {
    type Context = Context<Self>;
}

impl Handler<Link> for Member {
    type Result = ();

    fn handle(&mut self, Link(next): Link, _context: &mut Context<Self>) {
        self.next = Some(next);
        self.done.report();
    }
}

impl Handler<Hop> for Member {
    type Result = ();

    fn handle(&mut self, Hop(left): Hop, _context: &mut Context<Self>) {
        match (&self.next, left) {
            (_, 0) => self.done.report(),
            (Some(next), left) => next.do_send(Hop(left - 1)),
            (None, _) => {}
        }
    }
}
