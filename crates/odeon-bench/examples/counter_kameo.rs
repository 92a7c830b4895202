//! The counter of `docs/coming-from.md`, in kameo.

// page
use kameo::actor::{Actor, ActorRef, Spawn};
use kameo::error::Infallible;
use kameo::message::{Context, Message};

struct Counter {
    n: i64,
}

impl Actor for Counter {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(args: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(args)
    }
}

struct Add(i64);

impl Message<Add> for Counter {
    type Reply = i64;

    async fn handle(&mut self, Add(by): Add, _: &mut Context<Self, i64>) -> i64 {
        self.n += by;
        self.n
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let counter = Counter::spawn(Counter { n: 0 });
    counter.tell(Add(2)).await?;
    let n = counter.ask(Add(3)).await?;
    assert_eq!(n, 5);
    Ok(())
}
