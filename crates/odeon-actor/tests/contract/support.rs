//! What the tests share: a gate that stops a handler, a log, and an actor that does what it is told.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use odeon::{Actor, Cx, Down, ExitReason, Failure, Handle, Reply, actor};
use odeon_core::ActorName;
use odeon_core::seam::TaskKind;
use tokio::runtime::RuntimeFlavor;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Time a test gives to what must come; virtual, but for the races.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Turns a test gives other tasks before it says that something does not happen.
const TURNS_MAX: u32 = 100_000;

/// Stops whoever passes until it is opened.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    entered: Arc<Semaphore>,
    opened: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { entered: Arc::new(Semaphore::new(0)), opened: Arc::new(Semaphore::new(0)) }
    }

    /// Waits until it is opened, once per opening.
    pub(crate) async fn pass(&self) {
        self.entered.add_permits(1);
        self.opened.acquire().await.expect("never closed").forget();
    }

    /// Waits until somebody stands before it.
    pub(crate) async fn wait_entered(&self) {
        self.entered.acquire().await.expect("never closed").forget();
    }

    pub(crate) fn open(&self) {
        self.opened.add_permits(1);
    }
}

/// What happened, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn push(&self, entry: impl ToString) {
        self.0.lock().expect("nothing panics under it").push(entry.to_string());
    }

    pub(crate) fn entries(&self) -> Vec<String> {
        self.0.lock().expect("nothing panics under it").clone()
    }

    pub(crate) fn count(&self, entry: &str) -> usize {
        self.entries().iter().filter(|e| *e == entry).count()
    }
}

/// A future that runs beside the test; aborted when dropped.
pub(crate) struct Beside<T>(JoinSet<T>);

pub(crate) fn beside<F>(future: F) -> Beside<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut set = JoinSet::new();
    set.spawn(future);
    Beside(set)
}

impl<T: 'static> Beside<T> {
    pub(crate) async fn result(mut self) -> T {
        let result = timeout(PATIENCE, self.0.join_next()).await.expect("it comes");
        result.expect("one task").expect("it does not panic")
    }
}

/// Lets the others run until `condition` holds. No virtual time passes.
///
/// On one thread a turn is one for everybody. On several it says nothing of the others, which the kernel may have put
/// aside, and there is no virtual time: there the clock counts.
pub(crate) async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    if tokio::runtime::Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
        let waiting = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        return timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("this did not come: {what}"));
    }
    for _ in 0..TURNS_MAX {
        if condition() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("this did not come: {what}");
}

/// Lets the others run until they have nothing left to do, as far as a test can know.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Why the actor ended, which it must.
pub(crate) async fn ended<A: Actor>(handle: &Handle<A>) -> ExitReason {
    timeout(PATIENCE, handle.ended()).await.expect("it ends")
}

/// The value of `future`, which must be there without any time passing.
pub(crate) async fn at_once<T>(future: impl IntoFuture<Output = T>) -> T {
    let before = Instant::now();
    let value = timeout(PATIENCE, future.into_future()).await.expect("it comes");
    assert_eq!(before.elapsed(), Duration::ZERO, "this took time");
    value
}

pub(crate) fn name(text: &str) -> ActorName {
    text.parse().expect("a name")
}

pub(crate) type WorkerHandle = Handle<Worker>;

/// An actor that does what it is told, wrong things included.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    pub(crate) log: Log,
    pub(crate) start: Start,
    /// Holds the hook that runs at the end.
    pub(crate) last_gate: Option<Gate>,
    /// Panics when dropped.
    pub(crate) _fragile: Option<Fragile>,
    pub(crate) kept: Vec<Reply<u64>>,
}

#[derive(Debug, Default)]
pub(crate) enum Start {
    #[default]
    Well,
    Fails,
    Panics,
}

impl Worker {
    pub(crate) fn logging(log: &Log) -> Self {
        Self { log: log.clone(), ..Self::default() }
    }

    pub(crate) fn starting(start: Start) -> Self {
        Self { start, ..Self::default() }
    }
}

/// Panics when dropped.
#[derive(Debug)]
pub(crate) struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("something fragile was dropped");
    }
}

pub(crate) const PANIC_TEXT: &str = "the worker panics as told";

/// The line where `Worker::panic` panics.
pub(crate) const PANIC_LINE: u32 = line!() + 62;

#[actor]
impl Worker {
    #[started]
    fn begin(&mut self) -> Result<(), Failure> {
        match self.start {
            Start::Well => Ok(()),
            Start::Fails => Err(std::io::Error::other("no beginning").into()),
            Start::Panics => panic!("no beginning"),
        }
    }

    #[stopped]
    async fn finish(&mut self, reason: &ExitReason) {
        if let Some(gate) = &self.last_gate {
            gate.pass().await;
        }
        self.log.push(format!("finished: it {reason}"));
    }

    #[down]
    fn hear(&mut self, down: Down) {
        self.log.push(format!("down: {}", down.reason));
    }

    #[handle]
    fn note(&mut self, n: u64) -> u64 {
        self.log.push(n);
        n
    }

    #[handle]
    async fn hold(&mut self, gate: Gate) {
        /// Tells that the handler went.
        struct Going(Log);
        impl Drop for Going {
            fn drop(&mut self) {
                self.0.push("held handler gone");
            }
        }
        let _going = Going(self.log.clone());
        gate.pass().await;
    }

    #[handle]
    async fn wait_out(&mut self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    #[handle]
    fn decline(&mut self, reply: Reply<u64>) {
        drop(reply);
    }

    #[handle]
    fn keep(&mut self, reply: Reply<u64>) {
        self.kept.push(reply);
    }

    #[handle]
    fn panic(&mut self) -> u64 {
        panic!("{PANIC_TEXT}")
    }

    #[handle]
    fn answer_kept(&mut self, n: u64) {
        for reply in self.kept.drain(..) {
            reply.send(n);
        }
    }

    /// How many askers of kept requests still wait.
    #[handle]
    fn kept_wanted(&self) -> usize {
        self.kept.iter().filter(|reply| reply.is_wanted()).count()
    }

    /// Hands the reply to another actor, which answers or panics.
    #[handle]
    async fn delegate(&mut self, to: Handle<Delegate>, ends: Delegation, reply: Reply<u64>) {
        to.take_over(ends, Some(reply)).tell().await.expect("it lives");
    }

    /// Hands the reply to a task, which answers or panics.
    #[handle]
    fn answer_from_task(&mut self, answer: Option<u64>, reply: Reply<u64>, cx: &mut Cx<Self>) {
        let task = Box::pin(async move {
            let answer = answer.expect("the task panics as told");
            reply.send(answer);
        });
        cx.system().tasks().spawn(TaskKind::Service, "answering", task);
    }

    #[handle]
    fn catch_own_panic(&mut self, reply: Reply<u64>) {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _falls = reply;
            panic!("caught by the handler itself");
        }));
        self.log.push(format!("caught: {}", caught.is_err()));
    }

    #[handle]
    fn end(&mut self, cx: &mut Cx<Self>) {
        cx.stop();
    }

    #[handle]
    fn give_up(&mut self, cx: &mut Cx<Self>) {
        cx.fail(std::io::Error::other("out of luck"));
    }

    #[handle]
    fn watch(&mut self, other: Handle<Self>, cx: &mut Cx<Self>) -> bool {
        cx.monitor(&other).is_ok()
    }
}

/// How a delegated request ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Delegation {
    Answered(u64),
    Panicking,
}

/// Answers for others.
#[derive(Debug, Default)]
pub(crate) struct Delegate;

#[actor]
impl Delegate {
    // A bare `Reply` would be the port of this very request.
    #[handle]
    fn take_over(&self, ends: Delegation, reply: Option<Reply<u64>>) {
        match (ends, reply) {
            (Delegation::Answered(n), Some(reply)) => reply.send(n),
            (Delegation::Answered(_), None) => {}
            (Delegation::Panicking, _) => panic!("the delegate panics"),
        }
    }
}
