//! `coerce`: one tokio task per actor, an unbounded tokio channel as the mailbox, boxed messages and handlers.

use async_trait::async_trait;
use coerce::actor::{
    Actor, LocalActorRef,
    context::ActorContext,
    message::{Handler, Message},
    system::ActorSystem,
};

use crate::{
    drive::Done,
    error::Gone,
    peers::{Kind, Mailbox, Peer},
    workload::{Note, Runtime},
};

/// The system the actors live in.
pub(crate) struct Coerce(ActorSystem);

/// The counter and its sum.
pub(crate) struct Counter(u64);

/// A question to the counter.
struct Ask(u64);

/// A ring member.
pub(crate) struct Member {
    next: Option<LocalActorRef<Self>>,
    done: Done,
}

/// A member's successor.
struct Link(LocalActorRef<Member>);

/// The token, with the hops it has left.
struct Hop(u64);

impl Peer for Coerce {
    const NAME: &'static str = "coerce";
    const KIND: Kind = Kind::Actors;
    const MAILBOX: Mailbox = Mailbox::Unbounded;

    type Counter = LocalActorRef<Counter>;
    type Member = LocalActorRef<Member>;

    async fn start(_runtime: Runtime) -> Result<Self, Gone> {
        Ok(Self(ActorSystem::new()))
    }

    async fn counter(&self) -> Result<Self::Counter, Gone> {
        self.0.new_anon_actor(Counter(0)).await.map_err(|_| Gone)
    }

    async fn ask(counter: &Self::Counter, value: u64) -> Result<u64, Gone> {
        counter.send(Ask(value)).await.map_err(|_| Gone)
    }

    async fn tell(counter: &Self::Counter, note: Note) -> Result<(), Gone> {
        counter.notify(note).map_err(|_| Gone)
    }

    async fn member(&self, _index: usize, done: Done) -> Result<Self::Member, Gone> {
        self.0.new_anon_actor(Member { next: None, done }).await.map_err(|_| Gone)
    }

    async fn link(member: &Self::Member, next: Self::Member) -> Result<(), Gone> {
        member.notify(Link(next)).map_err(|_| Gone)
    }

    async fn hop(member: &Self::Member, left: u64) -> Result<(), Gone> {
        member.notify(Hop(left)).map_err(|_| Gone)
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

impl Actor for Counter {}

#[async_trait]
impl Handler<Ask> for Counter {
    async fn handle(&mut self, Ask(value): Ask, _context: &mut ActorContext) -> u64 {
        value + self.0
    }
}

#[async_trait]
impl Handler<Note> for Counter {
    async fn handle(&mut self, note: Note, _context: &mut ActorContext) {
        self.0 += note.weight();
    }
}

impl Actor for Member {}

#[async_trait]
impl Handler<Link> for Member {
    async fn handle(&mut self, Link(next): Link, _context: &mut ActorContext) {
        self.next = Some(next);
        self.done.report();
    }
}

#[async_trait]
impl Handler<Hop> for Member {
    async fn handle(&mut self, Hop(left): Hop, _context: &mut ActorContext) {
        match (&self.next, left) {
            (_, 0) => self.done.report(),
            // The ring is taken down all at once: a successor that is gone ends nothing but the run.
            (Some(next), left) => drop(next.notify(Hop(left - 1))),
            (None, _) => {}
        }
    }
}
