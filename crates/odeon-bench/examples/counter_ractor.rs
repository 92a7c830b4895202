//! The counter of `docs/coming-from.md`, in ractor.

// page
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call, cast};

struct Counter;

enum Message {
    Add(i64),
    AddAndGet(i64, RpcReplyPort<i64>),
}

impl Actor for Counter {
    type Msg = Message;
    type State = i64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Message>, (): ()) -> Result<i64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        n: &mut i64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Add(by) => *n += by,
            Message::AddAndGet(by, reply) => {
                *n += by;
                reply.send(*n)?;
            }
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (counter, _) = Actor::spawn(None, Counter, ()).await?;
    cast!(counter, Message::Add(2))?;
    let n = call!(counter, Message::AddAndGet, 3)?;
    assert_eq!(n, 5);
    Ok(())
}
