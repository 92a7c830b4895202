//! `kameo`: one tokio task per actor, a bounded tokio channel as the mailbox, boxed messages.

use kameo::{
    Actor,
    actor::{ActorRef, Spawn},
    error::Infallible,
    mailbox,
    message::{Context, Message},
};

use crate::{
    drive::Done,
    error::Gone,
    peers::{Kind, Mailbox, Peer},
    workload::{MAILBOX_MAX, Note, Runtime},
};

/// Nothing to start: the actors live in the runtime.
pub(crate) struct Kameo;

/// The counter and its sum.
pub(crate) struct Counter(u64);

/// A question to the counter.
struct Ask(u64);

/// A ring member.
pub(crate) struct Member {
    next: Option<ActorRef<Self>>,
    done: Done,
}

/// A member's successor.
struct Link(ActorRef<Member>);

/// The token, with the hops it has left.
struct Hop(u64);

impl Peer for Kameo {
    const NAME: &'static str = "kameo";
    const KIND: Kind = Kind::Actors;
    const MAILBOX: Mailbox = Mailbox::Bounded;

    type Counter = ActorRef<Counter>;
    type Member = ActorRef<Member>;

    async fn start(_runtime: Runtime) -> Result<Self, Gone> {
        Ok(Self)
    }

    async fn counter(&self) -> Result<Self::Counter, Gone> {
        Ok(Counter::spawn_with_mailbox(Counter(0), mailbox::bounded(MAILBOX_MAX)))
    }

    async fn ask(counter: &Self::Counter, value: u64) -> Result<u64, Gone> {
        counter.ask(Ask(value)).send().await.map_err(|_| Gone)
    }

    async fn tell(counter: &Self::Counter, note: Note) -> Result<(), Gone> {
        counter.tell(note).send().await.map_err(|_| Gone)
    }

    async fn member(&self, _index: usize, done: Done) -> Result<Self::Member, Gone> {
        let member = Member { next: None, done };
        Ok(Member::spawn_with_mailbox(member, mailbox::bounded(MAILBOX_MAX)))
    }

    async fn link(member: &Self::Member, next: Self::Member) -> Result<(), Gone> {
        member.tell(Link(next)).send().await.map_err(|_| Gone)
    }

    async fn hop(member: &Self::Member, left: u64) -> Result<(), Gone> {
        member.tell(Hop(left)).send().await.map_err(|_| Gone)
    }
}

impl Actor for Counter {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(args: Self, _actor: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(args)
    }
}

impl Message<Ask> for Counter {
    type Reply = u64;

    async fn handle(&mut self, Ask(value): Ask, _context: &mut Context<Self, u64>) -> u64 {
        value + self.0
    }
}

impl Message<Note> for Counter {
    type Reply = ();

    async fn handle(&mut self, note: Note, _context: &mut Context<Self, ()>) {
        self.0 += note.weight();
    }
}

impl Actor for Member {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(args: Self, _actor: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(args)
    }
}

impl Message<Link> for Member {
    type Reply = ();

    async fn handle(&mut self, Link(next): Link, _context: &mut Context<Self, ()>) {
        self.next = Some(next);
        self.done.report();
    }
}

impl Message<Hop> for Member {
    type Reply = ();

    async fn handle(&mut self, Hop(left): Hop, _context: &mut Context<Self, ()>) {
        match (&self.next, left) {
            (_, 0) => self.done.report(),
            // The ring is taken down all at once: a successor that is gone ends nothing but the run.
            (Some(next), left) => drop(next.tell(Hop(left - 1)).send().await),
            (None, _) => {}
        }
    }
}
