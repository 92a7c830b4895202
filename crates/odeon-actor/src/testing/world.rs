//! Worlds: a system, a clock and tasks on one thread, in an order that one seed decides.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{cell::Cell, cell::RefCell};

use odeon_core::Instant;
use odeon_core::seam::{Clock, Spawn, TaskKind};
use odeon_mailbox::{ReplyFuture, Runnable, STEPS_PER_TURN_MAX, Turn, reply_cell};

use super::core::{Chosen, Core, Here, Seams, TaskWake};
use super::seed::{SEED_DEFAULT, SEED_VARIABLE, Stream, seed_from_env};
use super::trace::Trace;
use crate::system::System;

/// Steps (turns, asks on a stack, polls of tasks) that one call runs before it says that the test goes round in
/// circles: some seconds, and more than a test needs as a rule.
pub const STEPS_MAX_DEFAULT: u64 = 1_000_000;

/// Steps that a panic of the world shows, the last ones.
const STEPS_SHOWN: usize = 12;

/// What the stream of numbers for the test is for; that of the schedule is 0.
const FOR_THE_TEST: u64 = 1;

/// A system with a clock and tasks of its own: one thread, no runtime, and virtual time.
///
/// What is ready runs in an order that the seed decides, message by message, and the same seed gives the same order,
/// bit for bit. Time stands still while anything can run, and jumps to the next timer when nothing can: an hour takes
/// no time.
///
/// ```
/// # extern crate odeon_actor as odeon;
/// use std::time::Duration;
/// use odeon::{actor, testing::TestWorld};
///
/// #[derive(Default)]
/// struct Counter(i64);
///
/// #[actor]
/// impl Counter {
///     #[handle]
///     fn add(&mut self, by: i64) -> i64 {
///         self.0 += by;
///         self.0
///     }
/// }
///
/// let world = TestWorld::from_env();
/// let counter = world.system().spawn(Counter::default());
/// let sum = world.block_on(async {
///     counter.add(2).tell().await.unwrap();
///     world.sleep(Duration::from_secs(3_600)).await;
///     counter.add(3).await.unwrap()
/// });
/// assert_eq!((sum, world.elapsed()), (5, Duration::from_secs(3_600)));
/// ```
///
/// Everything in it has to come from it: a thread, a socket or tokio's timers know nothing of its time, and the world
/// does not wait for them. The clock of an actor is `cx.system().clock()`. Clones are the same world. When the last
/// one goes, all actors end as killed and all tasks are dropped.
#[derive(Clone)]
pub struct TestWorld(Rc<Inner>);

struct Inner {
    seed: u64,
    core: Arc<Core>,
    system: System,
    steps_max: Cell<u64>,
    numbers: RefCell<Stream>,
    /// The test is being polled, or waits to be.
    has_test: Cell<bool>,
}

/// The value of a task of a world; it panics if the task does not give one.
#[derive(Debug)]
#[must_use = "the task runs without it, but its value is lost"]
pub struct Spawned<T>(ReplyFuture<T, ()>);

impl TestWorld {
    /// A world whose schedule is that of `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let core = Core::new(seed);
        let seams = Arc::new(Seams(Arc::clone(&core)));
        let system = System::with(Arc::clone(&seams) as Arc<dyn Clock>, seams as Arc<dyn Spawn>);
        let choosing = Arc::downgrade(&core);
        system
            .run_queue()
            .order_by(Box::new(move |ready| choosing.upgrade().map_or(0, |core| core.choose(ready))));
        Self(Rc::new(Inner {
            seed,
            core,
            system,
            steps_max: Cell::new(STEPS_MAX_DEFAULT),
            numbers: RefCell::new(Stream::new(seed, FOR_THE_TEST)),
            has_test: Cell::new(false),
        }))
    }

    /// A world of the seed in `ODEON_TEST_SEED`, else of seed 0. A test that fails shows the seed.
    ///
    /// # Panics
    /// When the variable is there and is no number.
    #[must_use]
    pub fn from_env() -> Self {
        Self::seeded(seed_from_env().unwrap_or(SEED_DEFAULT))
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// The actors.
    #[must_use]
    pub fn system(&self) -> &System {
        &self.0.system
    }

    /// Virtual time: it begins at [`Instant::ZERO`].
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.core.now()
    }

    /// Virtual time since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now() - Instant::ZERO
    }

    /// A number below `bound` from the seed, for what a test makes up; 0 if `bound` is 0. Asking does not change the
    /// schedule.
    #[must_use]
    pub fn random_below(&self, bound: u64) -> u64 {
        self.0.numbers.borrow_mut().below(bound)
    }

    /// What has run so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.0.core.trace()
    }

    /// Sets how many steps one call may run; [`STEPS_MAX_DEFAULT`] unless said otherwise.
    pub fn limit_steps(&self, steps_max: u64) {
        self.0.steps_max.set(steps_max);
    }

    /// Waits in virtual time.
    ///
    /// # Cancel safety
    /// Dropping the future forgets the timer.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.0.system.clock().sleep_until(self.now() + duration)
    }

    /// Runs `future` beside the test, from now on. A panic in it is a panic of whoever runs the world.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Spawned<T> {
        let (port, value) = reply_cell();
        let task = async move {
            // Whoever spawned it may not want to know.
            let _ = port.send(future.await);
        };
        self.0.system.tasks().spawn(TaskKind::Service, name, Box::pin(task));
        Spawned(value)
    }

    /// Runs the world until `future` is ready. Where nothing else can run, time jumps to the next timer.
    ///
    /// # Panics
    /// When the future can never be ready, because nothing is ready to run and no timer is set; when it is not ready
    /// after so many [steps](Self::limit_steps); within another `block_on`; and by the panic of a task. What actors
    /// panic of ends them, and not the test.
    #[track_caller]
    pub fn block_on<F: IntoFuture>(&self, future: F) -> F::Output {
        assert!(!self.0.has_test.get(), "`block_on` within `block_on`: await the future instead");
        let mut future = pin!(future.into_future());
        let test = Test::begin(&self.0);
        let mut steps = Steps::new(self);
        loop {
            match self.0.next(true) {
                Some(Next::Test) => {
                    if let Poll::Ready(value) = test.poll(future.as_mut()) {
                        return value;
                    }
                }
                Some(other) => self.0.run(other),
                None if self.0.core.jump() => continue,
                None => self.0.deadlock(),
            }
            steps.one_more("`block_on`'s future is not ready");
        }
    }

    /// Runs whatever can run, without any time passing. Within `block_on` too: the test alone stands still.
    ///
    /// # Panics
    /// When that does not end, and by the panic of a task.
    #[track_caller]
    pub fn run_until_idle(&self) {
        self.run_ready(&mut Steps::new(self));
    }

    #[track_caller]
    fn run_ready(&self, steps: &mut Steps<'_>) {
        while let Some(next) = self.0.next(false) {
            self.0.run(next);
            steps.one_more("there is still something to run");
        }
    }

    /// Lets `duration` pass: what is due by then runs, in its order, and what it makes ready. Within `block_on`
    /// too: the test alone stands still.
    ///
    /// # Panics
    /// As [`run_until_idle`](Self::run_until_idle).
    #[track_caller]
    pub fn advance(&self, duration: Duration) {
        let until = self.now() + duration;
        let mut steps = Steps::new(self);
        self.run_ready(&mut steps);
        while self.0.core.next_timer().is_some_and(|at| at <= until) {
            self.0.core.jump();
            self.run_ready(&mut steps);
        }
        self.0.core.set_now(until);
    }
}

/// What runs next.
enum Next {
    Test,
    Task(Chosen),
    Actor(Arc<dyn Runnable>),
}

impl Inner {
    /// Chooses what runs next; nothing when nothing can.
    fn next(&self, has_test: bool) -> Option<Next> {
        let task = || {
            self.core.take_ready(has_test).map(|chosen| match chosen {
                Chosen::Test => Next::Test,
                chosen @ Chosen::Task(..) => Next::Task(chosen),
            })
        };
        let actor = || self.system.run_queue().pop().map(Next::Actor);
        if self.core.choose(2) == 0 { task().or_else(actor) } else { actor().or_else(task) }
    }

    fn run(&self, next: Next) {
        let _here = Here::begin(&self.core);
        match next {
            Next::Task(Chosen::Task(number, future, wake)) => self.core.run(number, future, wake),
            Next::Task(Chosen::Test) | Next::Test => {}
            Next::Actor(entry) => {
                let mut turn = self.turn();
                self.core.begin_turn();
                entry.run(&mut turn);
            }
        }
    }

    /// A turn as long as the seed says: mostly one message, so that others come in between, and sometimes a whole one.
    fn turn(&self) -> Turn {
        let steps = match self.core.choose(4) {
            0 | 1 => 1,
            2 => 1 + self.core.choose(8),
            _ => STEPS_PER_TURN_MAX,
        };
        let mut turn = Turn::new();
        for _ in steps..STEPS_PER_TURN_MAX {
            turn.step();
        }
        turn
    }

    #[track_caller]
    fn deadlock(&self) -> ! {
        let waiting: Vec<String> = (1..=self.core.actor_max())
            .filter_map(|number| self.system.inbox_by_number(number))
            .filter(|actor| actor.is_handling() || actor.depth() > 0)
            .map(|actor| {
                let what = if actor.is_handling() { "a handler waits" } else { "it does not run" };
                format!(
                    "actor {}, {}: {what}, {} messages queued",
                    actor.number(),
                    actor.kind(),
                    actor.depth()
                )
            })
            .chain(self.core.tasks().into_iter().map(|task| format!("task {task}")))
            .collect();
        let waiting: String = waiting.iter().map(|line| format!("\n  {line}")).collect();
        let waiting = if waiting.is_empty() { "\n  nothing but the test".to_owned() } else { waiting };
        panic!(
            "deadlock: the future given to `block_on` can never be ready: at {:?} nothing can run and no timer is \
             set.\nWho waits:{waiting}\nWhat ran last:{}\nThe world waits for nothing outside of it, such as a \
             thread or tokio's timers.",
            self.core.now() - Instant::ZERO,
            self.core.tail(STEPS_SHOWN),
        )
    }
}

/// The test, while `block_on` runs.
struct Test<'w> {
    inner: &'w Inner,
    wake: Arc<TaskWake>,
    waker: Waker,
}

impl<'w> Test<'w> {
    fn begin(inner: &'w Inner) -> Self {
        inner.has_test.set(true);
        let wake = inner.core.test_waker();
        Self { inner, waker: Waker::from(Arc::clone(&wake)), wake }
    }

    fn poll<F: Future>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        let _here = Here::begin(&self.inner.core);
        self.wake.begin();
        future.poll(&mut Context::from_waker(&self.waker))
    }
}

impl Drop for Test<'_> {
    fn drop(&mut self) {
        self.inner.core.forget_test(&self.wake);
        self.inner.has_test.set(false);
    }
}

/// Counts the steps of one call.
struct Steps<'w> {
    world: &'w TestWorld,
    left: u64,
}

impl<'w> Steps<'w> {
    fn new(world: &'w TestWorld) -> Self {
        Self { world, left: world.0.steps_max.get() }
    }

    #[track_caller]
    fn one_more(&mut self, what: &str) {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            panic!(
                "{what} after {} steps, at {:?}: does something go round in circles, such as actors that keep sending \
                 to each other, or a ticker with nothing to wait for? `limit_steps` allows more.\nWhat ran last:{}",
                self.world.0.steps_max.get(),
                self.world.elapsed(),
                self.world.0.core.tail(STEPS_SHOWN),
            );
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the world's seed was {}: {SEED_VARIABLE}={} replays it", self.seed, self.seed);
        }
        let _here = Here::begin(&self.core);
        self.core.end();
    }
}

impl<T> Future for Spawned<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Ready(Ok(value)) => Poll::Ready(value),
            Poll::Ready(Err(_)) => panic!("the task ended without a value: it panicked"),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl fmt::Debug for TestWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestWorld")
            .field("seed", &self.seed())
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}
