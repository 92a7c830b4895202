//! The limit: a bare task behind a bounded `tokio::sync::mpsc`, answers by `oneshot`.

use tokio::sync::{mpsc, oneshot};

use crate::{
    drive::Done,
    error::Gone,
    peers::{Kind, Mailbox, Peer},
    workload::{MAILBOX_MAX, Note, Runtime},
};

/// Nothing to start: the tasks live in the runtime.
pub(crate) struct TokioMpsc;

/// What the counting task takes.
pub(crate) enum Message {
    Tell(Note),
    Ask(u64, oneshot::Sender<u64>),
}

/// What a ring task takes.
pub(crate) enum Token {
    Link(mpsc::Sender<Self>),
    Hop(u64),
}

impl Peer for TokioMpsc {
    const NAME: &'static str = "tokio-mpsc";
    const KIND: Kind = Kind::Limit;
    const MAILBOX: Mailbox = Mailbox::Bounded;

    type Counter = mpsc::Sender<Message>;
    type Member = mpsc::Sender<Token>;

    async fn start(_runtime: Runtime) -> Result<Self, Gone> {
        Ok(Self)
    }

    async fn counter(&self) -> Result<Self::Counter, Gone> {
        let (sender, messages) = mpsc::channel(MAILBOX_MAX);
        tokio::spawn(count(messages));
        Ok(sender)
    }

    async fn ask(counter: &Self::Counter, value: u64) -> Result<u64, Gone> {
        let (reply, answer) = oneshot::channel();
        counter.send(Message::Ask(value, reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    async fn tell(counter: &Self::Counter, note: Note) -> Result<(), Gone> {
        counter.send(Message::Tell(note)).await.map_err(|_| Gone)
    }

    async fn member(&self, _index: usize, done: Done) -> Result<Self::Member, Gone> {
        let (sender, tokens) = mpsc::channel(MAILBOX_MAX);
        tokio::spawn(pass(tokens, done));
        Ok(sender)
    }

    async fn link(member: &Self::Member, next: Self::Member) -> Result<(), Gone> {
        member.send(Token::Link(next)).await.map_err(|_| Gone)
    }

    async fn hop(member: &Self::Member, left: u64) -> Result<(), Gone> {
        member.send(Token::Hop(left)).await.map_err(|_| Gone)
    }
}

async fn count(mut messages: mpsc::Receiver<Message>) {
    let mut sum = 0;
    while let Some(message) = messages.recv().await {
        match message {
            Message::Tell(note) => sum += note.weight(),
            // A caller that gave up wants no answer.
            Message::Ask(value, reply) => drop(reply.send(value + sum)),
        }
    }
}

async fn pass(mut tokens: mpsc::Receiver<Token>, done: Done) {
    let mut next: Option<mpsc::Sender<Token>> = None;
    while let Some(token) = tokens.recv().await {
        match (token, &next) {
            (Token::Link(successor), _) => {
                next = Some(successor);
                done.report();
            }
            (Token::Hop(0), _) => done.report(),
            // The ring is taken down all at once: a successor that is gone ends nothing but the run.
            (Token::Hop(left), Some(next)) => drop(next.send(Token::Hop(left - 1)).await),
            (Token::Hop(_), None) => return,
        }
    }
}
