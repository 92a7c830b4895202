//! Counting actor: one actor sends, the other counts, and says how many at the end.

use crate::{
    error::JobError,
    savina::verdict::{Verdict, verdict},
    stages::{Behaviour, Scene, Stage},
};

/// Sends all increments in one go, then asks for the count.
struct Producer<S: Stage> {
    counter: S::Address<Counter>,
    increments: u64,
    verdict: Verdict,
}

/// What the producer takes.
enum Step {
    Start,
    Counted(u64),
}

/// Counts.
struct Counter(u64);

/// What the counter takes.
enum Message<S: Stage> {
    Increment,
    Retrieve(S::Address<Producer<S>>),
}

/// One message per increment.
pub(crate) async fn run<S: Stage>(stage: &S, increments: u64) -> Result<u64, JobError> {
    let (verdict, pending) = verdict();
    let counter = stage.spawn(Counter(0));
    let producer = stage.spawn(Producer { counter, increments, verdict });
    S::send(&producer, Step::Start);
    pending.expect(increments).await?;
    Ok(increments)
}

impl<S: Stage> Behaviour<S> for Producer<S> {
    type Message = Step;

    fn receive(&mut self, step: Step, scene: &mut impl Scene<S, Self>) {
        match step {
            Step::Start => {
                for _ in 0..self.increments {
                    S::send(&self.counter, Message::Increment);
                }
                S::send(&self.counter, Message::Retrieve(scene.me()));
            }
            Step::Counted(count) => self.verdict.tell(count),
        }
    }
}

impl<S: Stage> Behaviour<S> for Counter {
    type Message = Message<S>;

    fn receive(&mut self, message: Message<S>, _scene: &mut impl Scene<S, Self>) {
        match message {
            Message::Increment => self.0 += 1,
            Message::Retrieve(producer) => S::send(&producer, Step::Counted(self.0)),
        }
    }
}
