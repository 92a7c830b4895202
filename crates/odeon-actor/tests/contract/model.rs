//! Random runs of sends, ends and restarts of one supervised actor, against a model that fits on a page.
//!
//! Operations of one round are given without letting the actor run; then it runs until there is nothing left to do,
//! and everything that shows has to be as the model says: what was handled, in which order, by which incarnation, and
//! what every send and ask was told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use odeon::tree::{Backoff, Intensity, Restart, Strategy};
use odeon::{ChildSpec, Cx, ExitReason, Handle, SupervisorCalls as _, System, TryTellError, actor};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy as Generator, prop_oneof};
use proptest::{prop_assert_eq, proptest};

use crate::support::{Beside, beside, ended};

const CAPACITY: usize = 4;

/// Virtual time in which every restart has taken place.
const A_WHILE: Duration = Duration::from_secs(600);

/// What was handled, and by which incarnation.
type Seen = Vec<(u32, u32)>;

struct Scribe {
    incarnation: u32,
    seen: Arc<Mutex<Seen>>,
}

#[actor]
impl Scribe {
    #[handle]
    fn write(&mut self, n: u32) -> u32 {
        self.seen.lock().expect("nobody panics with it").push((self.incarnation, n));
        n
    }

    /// Writes, and fails.
    #[handle]
    fn write_and_fall(&mut self, n: u32, cx: &mut Cx<Self>) {
        self.write(n);
        cx.fail(std::io::Error::other("as told"));
    }
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    Tell,
    Ask,
    Fall,
    Stop,
    Kill,
}

fn operation() -> impl Generator<Value = Operation> {
    prop_oneof![
        4 => proptest::strategy::Just(Operation::Tell),
        3 => proptest::strategy::Just(Operation::Ask),
        2 => proptest::strategy::Just(Operation::Fall),
        1 => proptest::strategy::Just(Operation::Stop),
        1 => proptest::strategy::Just(Operation::Kill),
    ]
}

/// What the actor is, said as simply as can be.
#[derive(Default)]
struct Model {
    incarnation: u32,
    queue: VecDeque<(u32, bool)>,
    is_told_to_end: bool,
    seen: Seen,
}

impl Model {
    fn put(&mut self, n: u32, falls: bool) -> bool {
        let has_room = self.queue.len() < CAPACITY;
        if has_room {
            self.queue.push_back((n, falls));
        }
        has_room
    }

    /// An idle actor has answered where it was asked.
    fn run_at_once(&mut self) {
        assert!(!self.is_told_to_end && self.queue.len() == 1, "it overtakes nothing");
        self.run();
    }

    /// The actor runs until nothing is left. An order to end comes before what is queued, and ends one incarnation,
    /// however often it was given.
    fn run(&mut self) {
        self.incarnation += u32::from(std::mem::take(&mut self.is_told_to_end));
        while let Some((n, falls)) = self.queue.pop_front() {
            self.seen.push((self.incarnation, n));
            self.incarnation += u32::from(falls);
        }
    }
}

struct Run {
    scribe: Handle<Scribe>,
    model: Model,
    next: u32,
    asks: Vec<(u32, Beside<Result<u32, odeon::AskError>>)>,
}

impl Run {
    fn perform(&mut self, operation: Operation) {
        self.next += 1;
        let n = self.next;
        match operation {
            Operation::Tell => {
                let has_room = self.model.put(n, false);
                assert_eq!(told(&self.scribe.write(n).try_tell()), has_room, "{n}");
            }
            Operation::Fall => {
                let has_room = self.model.put(n, true);
                assert_eq!(told(&self.scribe.write_and_fall(n).try_tell()), has_room, "{n}");
            }
            // An ask waits for room, which would be another order: only where there is some.
            Operation::Ask if self.model.put(n, false) => {
                let mut ask = Box::pin({
                    let scribe = self.scribe.clone();
                    async move { scribe.write(n).within(2 * A_WHILE).await }
                });
                // It is sent at its first poll.
                let task = &mut std::task::Context::from_waker(std::task::Waker::noop());
                match ask.as_mut().poll(task) {
                    std::task::Poll::Pending => self.asks.push((n, beside(ask))),
                    std::task::Poll::Ready(answer) => {
                        assert_eq!(answer, Ok(n), "on this stack");
                        self.model.run_at_once();
                    }
                }
            }
            Operation::Ask => {}
            Operation::Stop => {
                self.scribe.stop();
                self.model.is_told_to_end = true;
            }
            Operation::Kill => {
                self.scribe.kill();
                self.model.is_told_to_end = true;
            }
        }
    }
}

fn told<Q: std::fmt::Debug>(outcome: &Result<(), TryTellError<Q>>) -> bool {
    match outcome {
        Ok(()) => true,
        Err(TryTellError::Full(_)) => false,
        Err(other) => panic!("{other}"),
    }
}

async fn play(rounds: Vec<Vec<Operation>>) -> Result<(), proptest::test_runner::TestCaseError> {
    let system = System::new();
    let seen = Arc::new(Mutex::new(Seen::new()));
    let factory = {
        let (seen, mut next) = (Arc::clone(&seen), 0);
        move || {
            next += 1;
            Scribe { incarnation: next - 1, seen: Arc::clone(&seen) }
        }
    };
    let intensity = Intensity { restarts: 1_024, within: Duration::from_millis(1) };
    let mut tree = system.supervision(Strategy::OneForOne).intensity(intensity).backoff(Backoff::default());
    let spec = ChildSpec::new(factory).restart(Restart::Permanent).capacity(CAPACITY);
    let scribe = tree.child(spec).expect("a child");
    let supervisor = tree.start();
    tokio::time::sleep(A_WHILE).await;
    let mut run = Run { scribe, model: Model::default(), next: 0, asks: Vec::new() };
    for round in rounds {
        for operation in round {
            run.perform(operation);
        }
        prop_assert_eq!(run.scribe.depth(), run.model.queue.len());
        tokio::time::sleep(A_WHILE).await;
        run.model.run();
        prop_assert_eq!(&*seen.lock().expect("nobody panics with it"), &run.model.seen);
        for (n, ask) in run.asks.drain(..) {
            prop_assert_eq!(ask.result().await, Ok(n), "an ask in the queue outlives the incarnation");
        }
        prop_assert_eq!(run.scribe.incarnation(), u64::from(run.model.incarnation) + 1);
    }
    let restarts = supervisor.children().await.expect("it lives")[0].status.restarts;
    prop_assert_eq!(restarts, u64::from(run.model.incarnation));
    let waiting = run.scribe.write(0).try_tell().is_ok();
    prop_assert_eq!(waiting, true);
    supervisor.stop();
    prop_assert_eq!(ended(&supervisor).await, ExitReason::Stopped);
    prop_assert_eq!(run.scribe.is_dead(), true);
    prop_assert_eq!(system.live(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn an_actor_does_what_the_model_does(rounds in vec(vec(operation(), 0..8), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        runtime.block_on(play(rounds))?;
    }
}
