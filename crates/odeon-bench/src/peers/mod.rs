//! The peers, and what a peer has to be able to do.
//!
//! A new peer is one file that implements [`Peer`], one `mod` line and one row of [`REGISTRY`]. The loops are in
//! `drive.rs`, the same for all. What the Savina programs need besides is in `stages/`.

pub(crate) mod actix;
mod coerce;
mod erlang;
pub(crate) mod kameo;
pub(crate) mod kanal;
pub(crate) mod odeon;
pub(crate) mod ractor;
pub(crate) mod tokio_mpsc;

use crate::{
    drive::{self, Done},
    error::{Gone, JobError},
    figure::Subject,
    host, savina,
    stages::Stage,
    workload::{Job, Note, Runtime, Sample, Workload},
};

/// Every peer, in the order of the table: Odeon, the other actor libraries, Erlang, then the raw limits.
pub(crate) const REGISTRY: &[Row] = &[
    Row::with_programs::<odeon::Odeon>(),
    Row::with_programs::<ractor::Ractor>(),
    Row::with_programs::<kameo::Kameo>(),
    Row::with_programs::<actix::Actix>(),
    Row::of::<coerce::Coerce>(),
    erlang::ROW,
    Row::with_programs::<tokio_mpsc::TokioMpsc>(),
    Row::with_programs::<kanal::Kanal>(),
];

/// What sort of thing is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// This project's own library.
    Odeon,
    /// Another actor library.
    Actors,
    /// A channel between two bare tasks: the limit an actor library may hope to reach.
    Limit,
}

/// Whether a sender is held back when the receiver falls behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mailbox {
    /// At most `MAILBOX_MAX` messages wait; the sender waits for a place.
    Bounded,
    /// The queue grows as long as memory lasts.
    Unbounded,
}

/// One library under measurement.
///
/// Two actors are asked for. A *counter* adds up the [`Note`]s it is told (their [`Note::weight`]) and answers an
/// ask for `value` with `value` plus the sum. A ring *member* has a successor, set once by `link`; it hands a token
/// that came with `left` hops on with `left - 1`, and reports to its [`Done`] when it has been linked and when a
/// token arrives with no hops left. Messages of one sender arrive in the order they were sent.
pub(crate) trait Peer: Sized + Send + Sync + 'static {
    /// The name in `--peers` and in the JSON.
    const NAME: &'static str;
    /// What sort of thing it is.
    const KIND: Kind;
    /// Whether `tell` waits for a place.
    const MAILBOX: Mailbox;

    /// The way to a counter.
    type Counter: Clone + Send + Sync + 'static;
    /// The way to a ring member.
    type Member: Clone + Send + Sync + 'static;

    /// Runs `work` to its end on a fresh runtime of this sort; tokio unless the library brings its own.
    ///
    /// # Errors
    /// When the runtime does not start or the work panics.
    fn host<W>(runtime: Runtime, work: W) -> Result<W::Output, JobError>
    where
        W: Future + Send + 'static,
        W::Output: Send + 'static,
    {
        host::tokio(runtime, work)
    }

    /// Starts whatever actors of this library live in.
    fn start(runtime: Runtime) -> impl Future<Output = Result<Self, Gone>> + Send;

    /// Spawns a counter.
    fn counter(&self) -> impl Future<Output = Result<Self::Counter, Gone>> + Send;

    /// Asks a counter and waits for the answer.
    fn ask(counter: &Self::Counter, value: u64) -> impl Future<Output = Result<u64, Gone>> + Send;

    /// Sends to a counter, waiting for a place in the mailbox and for nothing else.
    fn tell(counter: &Self::Counter, note: Note) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Spawns the ring's member number `index`, without a successor.
    fn member(&self, index: usize, done: Done) -> impl Future<Output = Result<Self::Member, Gone>> + Send;

    /// Sends a member its successor.
    fn link(member: &Self::Member, next: Self::Member) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Sends a member the token.
    fn hop(member: &Self::Member, left: u64) -> impl Future<Output = Result<(), Gone>> + Send;
}

/// One peer, with its type forgotten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The name in `--peers` and in the JSON.
    pub(crate) name: &'static str,
    /// What sort of thing it is.
    pub(crate) kind: Kind,
    mailbox: Mailbox,
    basic: fn(Job) -> Result<Sample, JobError>,
    programs: Option<fn(Job) -> Result<Sample, JobError>>,
    missing: fn() -> Option<&'static str>,
}

impl Row {
    const fn of<P: Peer>() -> Self {
        Self {
            name: P::NAME,
            kind: P::KIND,
            mailbox: P::MAILBOX,
            basic: drive::run::<P>,
            programs: None,
            missing: || None,
        }
    }

    /// A peer on which the Savina programs run too.
    const fn with_programs<S: Stage>() -> Self {
        let mut row = Self::of::<S>();
        row.programs = Some(savina::run::<S>);
        row
    }

    /// Whether the peer can be measured by this workload.
    pub(crate) fn does(&self, workload: Workload) -> bool {
        !matches!(workload, Workload::Savina(_)) || self.programs.is_some()
    }

    /// The name shown to people: it says when nothing holds a sender back.
    pub(crate) fn label(&self) -> String {
        match self.mailbox {
            Mailbox::Bounded => self.name.to_owned(),
            Mailbox::Unbounded => format!("{} (unbounded)", self.name),
        }
    }

    /// Whose figures they are.
    pub(crate) fn subject(&self) -> Subject {
        Subject { name: self.name, label: self.label(), kind: self.kind }
    }

    /// What this machine lacks to measure the peer, and how to get it.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        (self.missing)()
    }

    /// Takes one repetition, in this process unless the peer has one of its own.
    pub(crate) fn run(&self, job: Job) -> Result<Sample, JobError> {
        match (job.workload, self.programs) {
            (Workload::Savina(_), Some(run)) => run(job),
            _ => (self.basic)(job),
        }
    }
}

/// The peer of that name.
pub(crate) fn find(name: &str) -> Option<&'static Row> {
    REGISTRY.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (index, row) in REGISTRY.iter().enumerate() {
            assert!(REGISTRY[..index].iter().all(|other| other.name != row.name));
            assert_eq!(find(row.name).expect("it is in the registry").name, row.name);
        }
        assert!(find("nobody").is_none());
    }

    #[test]
    fn labels_own_up_to_unbounded_mailboxes() {
        assert_eq!(find("ractor").expect("registered").label(), "ractor (unbounded)");
        assert_eq!(find("kameo").expect("registered").label(), "kameo");
    }
}
