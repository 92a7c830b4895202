//! `ractor`: one tokio task per actor, four queues each, boxed messages, unbounded mailboxes.

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};

use crate::{
    drive::Done,
    error::Gone,
    peers::{Kind, Mailbox, Peer},
    workload::{Note, Runtime},
};

/// Nothing to start: the actors live in the runtime.
pub(crate) struct Ractor;

/// The counter.
struct Counter;

/// What the counter takes.
pub(crate) enum Message {
    Tell(Note),
    Ask(u64, RpcReplyPort<u64>),
}

/// A ring member.
struct Member;

/// What a ring member takes.
pub(crate) enum Token {
    Link(ActorRef<Self>),
    Hop(u64),
}

impl Peer for Ractor {
    const NAME: &'static str = "ractor";
    const KIND: Kind = Kind::Actors;
    const MAILBOX: Mailbox = Mailbox::Unbounded;

    type Counter = ActorRef<Message>;
    type Member = ActorRef<Token>;

    async fn start(_runtime: Runtime) -> Result<Self, Gone> {
        Ok(Self)
    }

    async fn counter(&self) -> Result<Self::Counter, Gone> {
        let (actor, _task) = Counter::spawn(None, Counter, ()).await.map_err(|_| Gone)?;
        Ok(actor)
    }

    async fn ask(counter: &Self::Counter, value: u64) -> Result<u64, Gone> {
        call!(counter, Message::Ask, value).map_err(|_| Gone)
    }

    async fn tell(counter: &Self::Counter, note: Note) -> Result<(), Gone> {
        counter.send_message(Message::Tell(note)).map_err(|_| Gone)
    }

    async fn member(&self, _index: usize, done: Done) -> Result<Self::Member, Gone> {
        let (actor, _task) = Member::spawn(None, Member, done).await.map_err(|_| Gone)?;
        Ok(actor)
    }

    async fn link(member: &Self::Member, next: Self::Member) -> Result<(), Gone> {
        member.send_message(Token::Link(next)).map_err(|_| Gone)
    }

    async fn hop(member: &Self::Member, left: u64) -> Result<(), Gone> {
        member.send_message(Token::Hop(left)).map_err(|_| Gone)
    }
}

impl Actor for Counter {
    type Msg = Message;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<Message>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Message>,
        message: Message,
        sum: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Tell(note) => *sum += note.weight(),
            Message::Ask(value, reply) => reply.send(value + *sum)?,
        }
        Ok(())
    }
}

impl Actor for Member {
    type Msg = Token;
    type State = (Option<ActorRef<Token>>, Done);
    type Arguments = Done;

    async fn pre_start(
        &self,
        _myself: ActorRef<Token>,
        done: Done,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok((None, done))
    }

    async fn handle(
        &self,
        _myself: ActorRef<Token>,
        token: Token,
        (next, done): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match token {
            Token::Link(successor) => {
                *next = Some(successor);
                done.report();
            }
            Token::Hop(0) => done.report(),
            Token::Hop(left) => next.as_ref().ok_or(Gone)?.send_message(Token::Hop(left - 1))?,
        }
        Ok(())
    }
}
