//! The limit: a bare task behind a bounded `kanal` channel, answers by a second one.
//!
//! `kanal` has no one-shot channel, so a counter keeps one channel for its answers and callers take turns at it.
//! That is all a raw pair of channels can be asked for, and it allocates nothing per ask. When several producers
//! share the pair they may take one another's answers; the driver's own last ask is alone, and checks the sum.

use kanal::{AsyncReceiver, AsyncSender, bounded_async};

use crate::{
    drive::Done,
    error::Gone,
    peers::{Kind, Mailbox, Peer},
    workload::{MAILBOX_MAX, Note, Runtime},
};

/// Nothing to start: the tasks live in the runtime.
pub(crate) struct Kanal;

/// Answers that may wait for their callers: one for each producer.
const ANSWERS_MAX: usize = crate::workload::FAN_IN_PRODUCERS;

/// What the counting task takes.
pub(crate) enum Message {
    Tell(Note),
    Ask(u64),
}

/// What a ring task takes.
pub(crate) enum Token {
    Link(AsyncSender<Self>),
    Hop(u64),
}

/// The pair of channels.
#[derive(Clone)]
pub(crate) struct Counter {
    messages: AsyncSender<Message>,
    answers: AsyncReceiver<u64>,
}

impl Peer for Kanal {
    const NAME: &'static str = "kanal";
    const KIND: Kind = Kind::Limit;
    const MAILBOX: Mailbox = Mailbox::Bounded;

    type Counter = Counter;
    type Member = AsyncSender<Token>;

    async fn start(_runtime: Runtime) -> Result<Self, Gone> {
        Ok(Self)
    }

    async fn counter(&self) -> Result<Counter, Gone> {
        let (messages, inbox) = bounded_async(MAILBOX_MAX);
        let (replies, answers) = bounded_async(ANSWERS_MAX);
        tokio::spawn(count(inbox, replies));
        Ok(Counter { messages, answers })
    }

    async fn ask(counter: &Counter, value: u64) -> Result<u64, Gone> {
        counter.messages.send(Message::Ask(value)).await.map_err(|_| Gone)?;
        counter.answers.recv().await.map_err(|_| Gone)
    }

    async fn tell(counter: &Counter, note: Note) -> Result<(), Gone> {
        counter.messages.send(Message::Tell(note)).await.map_err(|_| Gone)
    }

    async fn member(&self, _index: usize, done: Done) -> Result<Self::Member, Gone> {
        let (sender, tokens) = bounded_async(MAILBOX_MAX);
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

async fn count(messages: AsyncReceiver<Message>, replies: AsyncSender<u64>) {
    let mut sum = 0;
    while let Ok(message) = messages.recv().await {
        match message {
            Message::Tell(note) => sum += note.weight(),
            // A caller that gave up wants no answer.
            Message::Ask(value) => drop(replies.send(value + sum).await),
        }
    }
}

async fn pass(tokens: AsyncReceiver<Token>, done: Done) {
    let mut next: Option<AsyncSender<Token>> = None;
    while let Ok(token) = tokens.recv().await {
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
