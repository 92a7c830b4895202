//! The counter of `docs/coming-from.md`, in Odeon.
extern crate odeon_actor as odeon;

// page
use odeon::{System, actor};

#[derive(Default)]
struct Counter {
    n: i64,
}

#[actor]
impl Counter {
    #[handle]
    fn add(&mut self, by: i64) -> i64 {
        self.n += by;
        self.n
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let counter = System::new().spawn(Counter::default());
    counter.add(2).tell().await?; // waits for room in the mailbox, not for the answer
    let n = counter.add(3).await?; // asks, for five seconds at most
    assert_eq!(n, 5);
    Ok(())
}
