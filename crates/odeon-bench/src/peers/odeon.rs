//! `odeon`: this project's actors, with all a user gets unasked: a bounded mailbox, a deadline on every ask,
//! monitors, a control lane.

use odeon_actor::{Handle, System, actor};

use crate::{
    drive::Done,
    error::Gone,
    peers::{Kind, Mailbox, Peer},
    workload::{Note, Runtime},
};

/// The system the actors live in.
pub(crate) struct Odeon(pub(crate) System);

/// The counter and its sum.
pub(crate) struct Counter(u64);

/// A ring member.
pub(crate) struct Member {
    next: Option<Handle<Self>>,
    done: Done,
}

#[actor]
impl Counter {
    #[handle(inline)]
    fn answer(&mut self, value: u64) -> u64 {
        value + self.0
    }

    #[handle]
    fn note(&mut self, note: Note) {
        self.0 += note.weight();
    }
}

#[actor]
impl Member {
    #[handle]
    fn link(&mut self, next: Handle<Self>) {
        self.next = Some(next);
        self.done.report();
    }

    #[handle]
    async fn hop(&mut self, left: u64) {
        match (&self.next, left) {
            (_, 0) => self.done.report(),
            // The ring is taken down all at once: a successor that is gone ends nothing but the run.
            (Some(next), left) => drop(next.hop(left - 1).tell().await),
            (None, _) => {}
        }
    }
}

impl Peer for Odeon {
    const NAME: &'static str = "odeon";
    const KIND: Kind = Kind::Odeon;
    const MAILBOX: Mailbox = Mailbox::Bounded;

    type Counter = Handle<Counter>;
    type Member = Handle<Member>;

    async fn start(_runtime: Runtime) -> Result<Self, Gone> {
        Ok(Self(System::new()))
    }

    async fn counter(&self) -> Result<Self::Counter, Gone> {
        Ok(self.0.spawn(Counter(0)))
    }

    async fn ask(counter: &Self::Counter, value: u64) -> Result<u64, Gone> {
        counter.answer(value).await.map_err(|_| Gone)
    }

    async fn tell(counter: &Self::Counter, note: Note) -> Result<(), Gone> {
        counter.note(note).tell().await.map_err(|_| Gone)
    }

    async fn member(&self, _index: usize, done: Done) -> Result<Self::Member, Gone> {
        Ok(self.0.spawn(Member { next: None, done }))
    }

    async fn link(member: &Self::Member, next: Self::Member) -> Result<(), Gone> {
        member.link(next).tell().await.map_err(|_| Gone)
    }

    async fn hop(member: &Self::Member, left: u64) -> Result<(), Gone> {
        member.hop(left).tell().await.map_err(|_| Gone)
    }
}
