//! Asks: deadlines, expiry, the budget of nested asks, late and delegated answers.

use std::future::{Future, IntoFuture as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use odeon::{ASKS_MAX, AskError, Cx, Down, SpawnOptions, System, TokioSpawn, actor};
use odeon_core::RefusalCode;
use odeon_core::seam::{BoxFuture, Clock};
use tokio::time::Instant;

use crate::support::{
    Delegate, Delegation, Gate, Log, SECOND, Worker, WorkerCalls, WorkerHandle, at_once, beside, ended,
    settle,
};

/// Timers fire at whole milliseconds.
const TICK: Duration = Duration::from_millis(1);

fn assert_about(actual: Duration, expected: Duration) {
    assert!(actual >= expected && actual <= expected + TICK, "{actual:?} is not {expected:?}");
}

fn assert_timeout<T: std::fmt::Debug>(answer: Result<T, AskError>, expected: Duration) {
    match answer {
        Err(AskError::Timeout { after }) => assert_about(after, expected),
        other => panic!("no timeout: {other:?}"),
    }
}

/// An actor held in a handler, and the gate that lets it go on.
async fn held(log: &Log) -> (WorkerHandle, Gate) {
    let gate = Gate::new();
    let worker = System::new().spawn(Worker::logging(log));
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    (worker, gate)
}

#[tokio::test(start_paused = true)]
async fn an_ask_waits_five_seconds_unless_it_says_otherwise() {
    let (worker, _gate) = held(&Log::default()).await;
    let began = Instant::now();
    assert_timeout(worker.note(1).await, 5 * SECOND);
    assert_about(began.elapsed(), 5 * SECOND);
    assert_timeout(worker.note(1).within(60 * SECOND).await, 60 * SECOND);
    assert_timeout(worker.note(1).within(Duration::from_millis(250)).await, Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_may_be_a_point_in_time() {
    let system = System::new();
    let worker = system.spawn(Worker::default());
    worker.wait_out(60 * SECOND).tell().await.expect("taken");
    let at = system.clock().now() + 2 * SECOND;
    tokio::time::sleep(SECOND).await;
    assert_timeout(worker.note(1).within(at).await, SECOND);
    let past = system.clock().now();
    assert_timeout(at_once(worker.note(1).within(past)).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_expired_request_is_not_run() {
    let log = Log::default();
    let (worker, gate) = held(&log).await;
    let asker = beside({
        let worker = worker.clone();
        async move { worker.note(1).within(SECOND).await }
    });
    worker.note(2).within(SECOND).tell().await.expect("taken");
    worker.note(3).within(SECOND).try_tell().expect("taken");
    worker.note(4).within(60 * SECOND).tell().await.expect("taken");
    worker.note(5).tell().await.expect("taken");
    assert_timeout(asker.result().await, SECOND);
    gate.open();
    assert_eq!(worker.note(6).await, Ok(6));
    assert_eq!(log.entries(), ["held handler gone", "4", "5", "6"]);
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_expires_before_a_full_mailbox_is_not_run() {
    let (log, gate) = (Log::default(), Gate::new());
    let options = SpawnOptions::default().capacity(1);
    let worker = System::new().spawn_with(options, Worker::logging(&log)).expect("no name is taken");
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    worker.note(1).tell().await.expect("the one place");
    assert_timeout(worker.note(2).await, 5 * SECOND);
    gate.open();
    assert_eq!(worker.note(3).await, Ok(3));
    assert_eq!(log.entries(), ["held handler gone", "1", "3"]);
}

#[tokio::test(start_paused = true)]
async fn an_ask_dropped_as_expired_is_a_timeout_whoever_notices_first() {
    let worker = System::new().spawn(Worker::default());
    worker.wait_out(6 * SECOND).tell().await.expect("taken");
    let mut asking = worker.note(1).into_future();
    let task = &mut Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut asking).poll(task).is_pending());
    // The actor comes by and drops the request long before the asker looks again.
    assert_eq!(worker.note(2).within(60 * SECOND).await, Ok(2));
    assert_timeout(asking.await, 6 * SECOND);
}

/// Asks on behalf of its asker.
struct Front {
    back: WorkerHandle,
    log: Log,
}

#[actor]
impl Front {
    /// Spends some time, then asks the one behind, with far more time than is left.
    #[handle]
    async fn relay(&mut self, first: Duration, cx: &mut Cx<Self>) -> u64 {
        tokio::time::sleep(first).await;
        let began = cx.system().clock().now();
        let answer = self.back.note(7).within(60 * SECOND).await;
        let waited = (cx.system().clock().now() - began).as_secs();
        self.log.push(format!("waited {waited} s: {}", answer.is_ok()));
        answer.unwrap_or_default()
    }

    #[handle]
    fn watch(&mut self, other: WorkerHandle, cx: &mut Cx<Self>) {
        cx.monitor(&other).expect("within the limit");
    }

    #[down]
    async fn hear(&mut self, _: Down, cx: &mut Cx<Self>) {
        assert_eq!(cx.expires_at(), None);
        self.relay(Duration::ZERO, cx).await;
    }

    #[handle]
    fn seconds_left(&self, cx: &mut Cx<Self>) -> Option<u64> {
        let now = cx.system().clock().now();
        cx.expires_at().map(|at| (at - now).as_secs())
    }
}

#[tokio::test(start_paused = true)]
async fn a_nested_ask_lives_on_what_is_left() {
    let (log, back_log) = (Log::default(), Log::default());
    let (back, gate) = held(&back_log).await;
    let front = System::new().spawn(Front { back, log: log.clone() });
    assert_eq!(front.seconds_left().within(3 * SECOND).await, Ok(Some(3)));
    assert_timeout(front.relay(SECOND).within(3 * SECOND).await, 3 * SECOND);
    assert_eq!(front.seconds_left().await, Ok(Some(5)));
    assert_eq!(log.entries(), ["waited 2 s: false"]);
    gate.open();
    settle().await;
    assert_eq!(back_log.entries(), ["held handler gone"], "the nested request has expired as well");
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_deadline_hands_none_on() {
    let log = Log::default();
    let (back, _gate) = held(&Log::default()).await;
    let front = System::new().spawn(Front { back, log: log.clone() });
    // The one before had a deadline; it must not be inherited.
    assert_eq!(front.seconds_left().await, Ok(Some(5)));
    front.relay(Duration::ZERO).tell().await.expect("taken");
    assert_eq!(front.seconds_left().within(600 * SECOND).await, Ok(Some(540)));
    assert_eq!(log.entries(), ["waited 60 s: false"]);
}

#[tokio::test(start_paused = true)]
async fn a_notice_has_no_deadline_to_hand_on() {
    let log = Log::default();
    let (back, _gate) = held(&Log::default()).await;
    let system = System::new();
    let (front, other) = (system.spawn(Front { back, log: log.clone() }), system.spawn(Worker::default()));
    front.watch(other.clone()).within(SECOND).await.expect("watched");
    other.kill();
    ended(&other).await;
    assert_eq!(front.seconds_left().within(600 * SECOND).await, Ok(Some(540)));
    assert_eq!(log.entries(), ["waited 60 s: false"]);
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_reaches_nobody_and_harms_nobody() {
    let worker = System::new().spawn(Worker::default());
    assert_timeout(worker.keep().await, 5 * SECOND);
    let second = beside({
        let worker = worker.clone();
        async move { worker.keep().await }
    });
    settle().await;
    worker.answer_kept(9).await.expect("sent to the late and to the waiting");
    assert_eq!(second.result().await, Ok(9));
    assert_eq!(worker.note(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn is_wanted_says_whether_somebody_waits() {
    let worker = System::new().spawn(Worker::default());
    worker.keep().tell().await.expect("taken");
    assert_eq!(worker.kept_wanted().await, Ok(0), "a tell wants no answer");
    let asker = beside({
        let worker = worker.clone();
        async move { worker.keep().await }
    });
    settle().await;
    assert_eq!(worker.kept_wanted().await, Ok(1));
    drop(asker);
    settle().await;
    assert_eq!(worker.kept_wanted().await, Ok(0), "the asker gave up");
}

#[tokio::test(start_paused = true)]
async fn a_reply_may_come_from_another_actor() {
    let system = System::new();
    let (worker, delegate) = (system.spawn(Worker::default()), system.spawn(Delegate));
    assert_eq!(worker.delegate(delegate, Delegation::Answered(11)).await, Ok(11));
}

#[tokio::test(start_paused = true)]
async fn a_reply_may_come_from_a_task() {
    let worker = System::new().spawn(Worker::default());
    assert_eq!(worker.answer_from_task(Some(12)).await, Ok(12));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reply_port_is_no_reply_at_once() {
    let worker = System::new().spawn(Worker::default());
    assert_eq!(at_once(worker.decline()).await, Err(AskError::NoReply));
    assert_eq!(worker.note(1).await, Ok(1), "the actor lives");
}

#[tokio::test(start_paused = true)]
async fn a_delegate_that_panics_is_no_reply_at_once() {
    let system = System::new();
    let (worker, delegate) = (system.spawn(Worker::default()), system.spawn(Delegate));
    let answer = at_once(worker.delegate(delegate.clone(), Delegation::Panicking)).await;
    assert_eq!(answer, Err(AskError::NoReply));
    assert!(delegate.is_dead() && !worker.is_dead());
    assert_eq!(at_once(worker.answer_from_task(None)).await, Err(AskError::NoReply));
    assert!(!worker.is_dead());
}

#[tokio::test(start_paused = true)]
async fn a_panic_that_the_handler_catches_is_no_reply_at_once() {
    let worker = System::new().spawn(Worker::default());
    assert_eq!(at_once(worker.catch_own_panic()).await, Err(AskError::NoReply));
    assert_eq!(worker.note(1).await, Ok(1), "the actor lives");
}

/// A clock that a handler moves, as if it took that long.
#[derive(Debug, Default)]
struct ByHand(AtomicU64);

impl Clock for ByHand {
    fn now(&self) -> odeon_core::Instant {
        odeon_core::Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn unix_ms(&self) -> u64 {
        0
    }

    fn sleep_until(&self, _: odeon_core::Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

struct Slow {
    clock: Arc<ByHand>,
    handled: Arc<AtomicU64>,
}

#[actor]
impl Slow {
    /// Takes 400 ms without ever waiting.
    #[handle]
    fn compute(&mut self) {
        self.clock.0.fetch_add(400_000_000, Ordering::Relaxed);
        self.handled.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_expires_behind_slow_ones_of_one_turn_is_not_run() {
    let (clock, handled) = (Arc::new(ByHand::default()), Arc::new(AtomicU64::new(0)));
    let system = System::with(clock.clone(), Arc::new(TokioSpawn::current()));
    let slow = system.spawn(Slow { clock, handled: Arc::clone(&handled) });
    for _ in 0..5 {
        slow.compute().within(SECOND).try_tell().expect("there is room");
    }
    settle().await;
    assert_eq!(slow.depth(), 0);
    assert_eq!(handled.load(Ordering::Relaxed), 3, "at 0, 0.4 and 0.8 s; the others would begin too late");
}

/// Asks as much at once as it may.
#[derive(Default)]
struct Crowd;

#[actor]
impl Crowd {
    /// How many asks wait, and what becomes of one more; and of one more once one of them is given up.
    #[handle]
    async fn ask_all(&mut self, worker: WorkerHandle) -> (usize, Result<u64, AskError>, bool) {
        let ask = |n| Box::pin(worker.note(n).within(60 * SECOND).into_future());
        let mut asks: Vec<_> = (0..ASKS_MAX).map(|_| ask(1)).collect();
        let waiting = poll_fn(|cx| {
            Poll::Ready(asks.iter_mut().filter_map(|ask| pending(ask.as_mut().poll(cx))).count())
        });
        let waiting = waiting.await;
        let one_more = ask(2).await;
        asks.pop();
        let mut instead = ask(3);
        let waits = poll_fn(|cx| Poll::Ready(instead.as_mut().poll(cx).is_pending())).await;
        (waiting, one_more, waits)
    }
}

fn pending<T>(polled: Poll<T>) -> Option<()> {
    polled.is_pending().then_some(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_has_16384_asks_open_and_not_one_more() {
    let (system, log, gate) = (System::new(), Log::default(), Gate::new());
    let options = SpawnOptions::default().capacity(2 * ASKS_MAX);
    let worker = system.spawn_with(options, Worker::logging(&log)).expect("no name");
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    let crowd = system.spawn(Crowd);
    for _ in 0..2 {
        let (waiting, one_more, waits) =
            crowd.ask_all(worker.clone()).within(60 * SECOND).await.expect("answered");
        assert_eq!((waiting, waits), (16_384, true), "and all are given back when it is done");
        let Err(AskError::Refused(why)) = one_more else { panic!("{one_more:?}") };
        assert_eq!(why.code, RefusalCode::LimitReached);
        assert_eq!(why.detail, "the actor has 16384 asks open already: await some of their answers first");
    }
    // It is each actor's own bound, and none of code that is no actor.
    let mut outside: Vec<_> =
        (0..=ASKS_MAX).map(|_| Box::pin(worker.note(4).within(60 * SECOND).into_future())).collect();
    let waiting = poll_fn(|cx| {
        Poll::Ready(outside.iter_mut().filter_map(|ask| pending(ask.as_mut().poll(cx))).count())
    });
    assert_eq!(waiting.await, 16_385);
    drop(outside);
    gate.open();
    assert_eq!(worker.note(5).within(60 * SECOND).await, Ok(5));
    assert!(!log.entries().contains(&"2".to_owned()), "what was refused was not sent");
}
