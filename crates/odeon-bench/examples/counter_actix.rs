//! The counter of `docs/coming-from.md`, in actix.

// page
use actix::{Actor, Context, Handler, Message};

struct Counter {
    n: i64,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

struct Add(i64);

impl Message for Add {
    type Result = i64;
}

impl Handler<Add> for Counter {
    type Result = i64;

    fn handle(&mut self, Add(by): Add, _: &mut Context<Self>) -> i64 {
        self.n += by;
        self.n
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    actix::System::new().block_on(async {
        let counter = Counter { n: 0 }.start();
        counter.do_send(Add(2));
        let n = counter.send(Add(3)).await?;
        assert_eq!(n, 5);
        Ok(())
    })
}
