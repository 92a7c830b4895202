//! Selective receive: what is taken, what stays, and what is served meanwhile.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use odeon::{AskError, Cx, Down, ExitReason, Handle, Received, RecvError, SpawnOptions, System, actor};
use odeon_core::Instant;

use crate::support::{Gate, Log, SECOND, Worker, WorkerCalls, WorkerHandle, at_once, beside, ended, settle};

/// Takes messages itself, in many ways.
struct Taker {
    log: Log,
    back: WorkerHandle,
}

type TakerHandle = Handle<Taker>;

fn number(message: &TakerMessage) -> u64 {
    match message {
        TakerMessage::Note(TakerNote { n }, _) => *n,
        _ => 0,
    }
}

#[actor]
impl Taker {
    #[handle]
    fn note(&mut self, n: u64) -> u64 {
        self.log.push(format!("handled {n}"));
        n
    }

    /// Waits for a number of at least `least`.
    #[handle]
    async fn take(&mut self, least: u64, cx: &mut Cx<Self>) -> Option<u64> {
        let envelope = cx.recv_match(|message| number(message) >= least).await?;
        let n = number(envelope.message());
        self.log.push(format!("taken {n}"));
        Some(n)
    }

    /// Says how often it has looked at a message until it found 9.
    #[handle]
    async fn count_looks(&mut self, cx: &mut Cx<Self>) -> u64 {
        let mut looks = 0;
        let found = cx.recv_match(|message| {
            looks += 1;
            number(message) == 9
        });
        assert!(found.await.is_some());
        looks
    }

    /// Waits for something that is no message first.
    #[handle]
    async fn pass_and_take(&mut self, gate: Gate, least: u64, cx: &mut Cx<Self>) -> Option<u64> {
        gate.pass().await;
        self.take(least, cx).await
    }

    #[handle]
    async fn take_within(
        &mut self,
        least: u64,
        seconds: u32,
        at: Option<Instant>,
        cx: &mut Cx<Self>,
    ) -> Result<u64, RecvError> {
        let receive = cx.recv_match(|message| number(message) >= least);
        let receive = match at {
            Some(at) => receive.within(at),
            None => receive.within(seconds * SECOND),
        };
        Ok(number(receive.await?.message()))
    }

    /// Waits at the gate, then takes all that is there, expired or not.
    #[handle]
    async fn take_all(&mut self, gate: Gate, is_raw: bool, cx: &mut Cx<Self>) -> Vec<u64> {
        gate.pass().await;
        let mut taken = Vec::new();
        loop {
            let envelope = if is_raw { cx.recv().raw().now() } else { cx.try_recv() };
            let Some(envelope) = envelope else {
                return taken;
            };
            taken.push(number(envelope.message()));
        }
    }

    /// Receives until the gate opens, then waits at the next, counting how often it is woken there.
    #[handle]
    async fn take_or_pass(&mut self, first: Gate, second: Gate, polls: Arc<AtomicUsize>, cx: &mut Cx<Self>) {
        tokio::select! {
            _ = cx.recv_match(|message| number(message) > 100) => self.log.push("taken"),
            () = first.pass() => self.log.push("passed"),
        }
        let mut passing = std::pin::pin!(second.pass());
        poll_fn(|task| {
            polls.fetch_add(1, Ordering::Relaxed);
            passing.as_mut().poll(task)
        })
        .await;
    }

    /// Takes one with a deadline, asks as long as it may, and asks again for longer than that once the next receive has
    /// begun.
    #[handle]
    async fn relay(&mut self, cx: &mut Cx<Self>) -> Vec<u64> {
        let mut waited = Vec::new();
        let own = cx.expires_at();
        let taken = cx.recv().await;
        assert_eq!(taken.and_then(|taken| taken.expires_at()), cx.expires_at());
        assert_ne!(cx.expires_at(), own);
        for within in [600, 10] {
            let began = cx.system().clock().now();
            assert!(self.back.note(1).within(within * SECOND).await.is_err());
            waited.push((cx.system().clock().now() - began).as_secs());
            assert!(cx.try_recv().is_none());
        }
        assert_eq!(cx.expires_at(), own, "its own again");
        waited
    }

    #[handle]
    fn watch(&mut self, other: WorkerHandle, cx: &mut Cx<Self>) {
        cx.monitor(&other).expect("within the limit");
    }

    #[handle]
    async fn take_down(&mut self, cx: &mut Cx<Self>) -> Option<String> {
        cx.recv_down().await.map(|down| down.reason.to_string())
    }

    #[handle]
    async fn take_any(&mut self, cx: &mut Cx<Self>) -> Option<String> {
        Some(match cx.recv_any().await? {
            Received::Message(envelope) => number(envelope.message()).to_string(),
            Received::Down(down) => down.reason.to_string(),
        })
    }

    /// Does not listen when it is told to end.
    #[handle]
    async fn take_for_ever(&mut self, cx: &mut Cx<Self>) {
        loop {
            let _ = cx.recv_match(|_| false).await;
        }
    }

    #[down]
    fn hear(&mut self, down: Down) {
        self.log.push(format!("down: {}", down.reason));
    }

    #[stopped]
    fn finish(&mut self, reason: &ExitReason) {
        self.log.push(format!("finished: it {reason}"));
    }
}

fn taker(system: &System, log: &Log) -> TakerHandle {
    system.spawn(Taker { log: log.clone(), back: system.spawn(Worker::default()) })
}

#[tokio::test(start_paused = true)]
async fn the_first_that_matches_is_taken_and_the_rest_stays_in_order() {
    let (system, log) = (System::new(), Log::default());
    let taker = taker(&system, &log);
    let taking = beside({
        let taker = taker.clone();
        async move { taker.take(3).await }
    });
    settle().await;
    for n in [1, 2] {
        taker.note(n).tell().await.expect("taken");
    }
    settle().await;
    assert!(log.entries().is_empty(), "they are looked at and left alone");
    assert_eq!(taker.depth(), 2, "and they count");
    for n in [3, 4, 5] {
        taker.note(n).tell().await.expect("taken");
    }
    assert_eq!(taking.result().await, Ok(Some(3)));
    assert_eq!(taker.note(6).await, Ok(6));
    let expected = ["taken 3", "handled 1", "handled 2", "handled 4", "handled 5", "handled 6"];
    assert_eq!(log.entries(), expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_there_already_is_taken_oldest_first() {
    let (system, log) = (System::new(), Log::default());
    let taker = taker(&system, &log);
    taker.take(2).tell().await.expect("taken");
    for n in [1, 3, 2] {
        taker.note(n).tell().await.expect("taken");
    }
    assert_eq!(taker.note(4).await, Ok(4));
    assert_eq!(log.entries(), ["taken 3", "handled 1", "handled 2", "handled 4"]);
}

#[tokio::test(start_paused = true)]
async fn a_receive_looks_at_a_message_once() {
    let (system, log) = (System::new(), Log::default());
    let taker = taker(&system, &log);
    let counting = beside({
        let taker = taker.clone();
        async move { taker.count_looks().await }
    });
    for n in 1..=9 {
        settle().await;
        taker.note(n).tell().await.expect("taken");
    }
    assert_eq!(counting.result().await, Ok(9));
}

/// While a handler waits for something else, messages do not notify; no matter when they come, a receive sees them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_meets_a_receive_is_taken() {
    let (system, log) = (System::new(), Log::default());
    let taker = taker(&system, &log);
    for round in 1..=2_000 {
        let gate = Gate::new();
        let taking = beside({
            let (taker, gate) = (taker.clone(), gate.clone());
            async move { taker.pass_and_take(gate, round).within(60 * SECOND).await }
        });
        gate.wait_entered().await;
        gate.open();
        taker.note(round).tell().await.expect("taken");
        assert_eq!(taking.result().await, Ok(Some(round)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_receive_dropped_in_a_select_takes_nothing_and_lets_messages_rest() {
    let (system, log) = (System::new(), Log::default());
    let taker = taker(&system, &log);
    let (first, second, polls) = (Gate::new(), Gate::new(), Arc::new(AtomicUsize::new(0)));
    let handling = taker.take_or_pass(first.clone(), second.clone(), Arc::clone(&polls));
    handling.tell().await.expect("taken");
    taker.note(1).tell().await.expect("taken");
    first.wait_entered().await;
    first.open();
    second.wait_entered().await;
    let before = polls.load(Ordering::Relaxed);
    for n in 2..10 {
        taker.note(n).tell().await.expect("taken");
    }
    settle().await;
    assert_eq!(polls.load(Ordering::Relaxed), before, "it waits for something else, and nobody wakes it");
    second.open();
    assert_eq!(taker.note(10).await, Ok(10));
    let expected: Vec<_> = (1..=10).map(|n| format!("handled {n}")).collect();
    assert_eq!(log.entries()[1..], expected);
    assert_eq!(log.entries()[0], "passed");
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_dropped_from_the_queue_unless_it_is_taken_raw() {
    let (system, log) = (System::new(), Log::default());
    for is_raw in [false, true] {
        let (taker, gate) = (taker(&system, &log), Gate::new());
        let taking = beside({
            let (taker, gate) = (taker.clone(), gate.clone());
            async move { taker.take_all(gate, is_raw).within(60 * SECOND).await }
        });
        gate.wait_entered().await;
        let asker = beside({
            let taker = taker.clone();
            async move { taker.note(1).within(SECOND).await }
        });
        settle().await;
        taker.note(2).tell().await.expect("taken");
        taker.note(3).within(SECOND).tell().await.expect("taken");
        taker.note(4).within(9 * SECOND).tell().await.expect("taken");
        assert!(matches!(asker.result().await, Err(AskError::Timeout { .. })));
        assert_eq!(taker.depth(), 4);
        gate.open();
        let expected: &[u64] = if is_raw { &[1, 2, 3, 4] } else { &[2, 4] };
        assert_eq!(taking.result().await.as_deref(), Ok(expected));
        assert_eq!(taker.depth(), 0);
    }
    assert!(log.entries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_asker_of_what_is_dropped_as_expired_hears_of_it() {
    let (system, log) = (System::new(), Log::default());
    let (taker, gate) = (taker(&system, &log), Gate::new());
    taker.take_all(gate.clone(), false).tell().await.expect("taken");
    gate.wait_entered().await;
    let task = &mut std::task::Context::from_waker(std::task::Waker::noop());
    let mut asking = taker.note(1).within(SECOND).into_future();
    assert!(std::pin::Pin::new(&mut asking).poll(task).is_pending());
    tokio::time::sleep(2 * SECOND).await;
    gate.open();
    settle().await;
    assert_eq!(taker.note(2).await, Ok(2));
    let Poll::Ready(Err(AskError::Timeout { .. })) = std::pin::Pin::new(&mut asking).poll(task) else {
        panic!("its port fell");
    };
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_while_a_handler_receives() {
    let (system, log) = (System::new(), Log::default());
    let taker = taker(&system, &log);
    taker.take(9).tell().await.expect("taken");
    settle().await;
    for _ in 0..3 {
        assert_eq!(at_once(taker.ping()).await, Ok(()));
    }
    assert_eq!(taker.note(9).await, Err(AskError::NoReply), "taken, and its port dropped");
    assert_eq!(log.entries(), ["taken 9"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_a_drain_and_a_kill_end_a_receive() {
    let system = System::new();
    for reason in [ExitReason::Stopped, ExitReason::Drained, ExitReason::Killed] {
        let log = Log::default();
        let taker = taker(&system, &log);
        let taking = beside({
            let taker = taker.clone();
            async move { taker.take(9).await }
        });
        settle().await;
        taker.note(1).tell().await.expect("taken");
        match reason {
            ExitReason::Stopped => taker.stop(),
            ExitReason::Drained => taker.drain(),
            _ => taker.kill(),
        }
        assert_eq!(ended(&taker).await, reason);
        match reason {
            ExitReason::Killed => assert_eq!(taking.result().await, Err(AskError::Dead(ExitReason::Killed))),
            _ => assert_eq!(taking.result().await, Ok(None)),
        }
        match reason {
            // What the receive has passed over is handled, as what is queued always is.
            ExitReason::Drained => assert_eq!(log.entries(), ["handled 1", "finished: it drained"]),
            ExitReason::Stopped => assert_eq!(log.entries(), ["finished: it stopped"]),
            _ => assert!(log.entries().is_empty()),
        }
    }
    assert_eq!(system.dead_letters(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_listen_can_be_killed() {
    let (system, log) = (System::new(), Log::default());
    let taker = taker(&system, &log);
    taker.take_for_ever().tell().await.expect("taken");
    settle().await;
    taker.stop();
    settle().await;
    assert!(!taker.is_dead());
    taker.kill();
    assert_eq!(ended(&taker).await, ExitReason::Killed);
}

#[tokio::test(start_paused = true)]
async fn notices_that_come_during_a_receive_go_to_the_hook_afterwards() {
    let (system, log) = (System::new(), Log::default());
    let (taker, other) = (taker(&system, &log), system.spawn(Worker::default()));
    taker.watch(other.clone()).await.expect("watched");
    taker.take(9).tell().await.expect("taken");
    settle().await;
    other.kill();
    ended(&other).await;
    taker.note(1).tell().await.expect("taken");
    settle().await;
    assert!(log.entries().is_empty());
    taker.note(9).tell().await.expect("taken");
    assert_eq!(taker.note(2).await, Ok(2));
    assert_eq!(log.entries(), ["taken 9", "down: killed", "handled 1", "handled 2"]);
}

#[tokio::test(start_paused = true)]
async fn notices_can_be_received() {
    let (system, log) = (System::new(), Log::default());
    let taker = taker(&system, &log);
    for is_any in [false, true] {
        let other = system.spawn(Worker::default());
        taker.watch(other.clone()).await.expect("watched");
        let taking = beside({
            let taker = taker.clone();
            async move { if is_any { taker.take_any().await } else { taker.take_down().await } }
        });
        settle().await;
        if !is_any {
            taker.note(1).tell().await.expect("taken");
        }
        other.kill();
        ended(&other).await;
        assert_eq!(taking.result().await, Ok(Some("killed".to_owned())));
    }
    taker.take_any().tell().await.expect("taken");
    assert_eq!(taker.note(2).await, Err(AskError::NoReply), "taken by the handler before");
    assert_eq!(log.entries(), ["handled 1"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_passed_over_counts_toward_the_capacity() {
    let (system, log) = (System::new(), Log::default());
    let options = SpawnOptions::default().capacity(2);
    let taker = Taker { log: log.clone(), back: system.spawn(Worker::default()) };
    let taker = system.spawn_with(options, taker).expect("no name is taken");
    let taking = beside({
        let taker = taker.clone();
        async move { taker.take_within(9, 3, None).await }
    });
    settle().await;
    taker.note(1).try_tell().expect("there is room");
    settle().await;
    taker.note(2).try_tell().expect("the last place");
    settle().await;
    taker.note(9).try_tell().expect_err("the mailbox is full of what nobody wants now");
    let waiting = beside({
        let taker = taker.clone();
        async move { taker.note(9).tell().await }
    });
    assert_eq!(taking.result().await, Ok(Err(RecvError::Timeout)), "what waits for room is not seen");
    assert_eq!(waiting.result().await, Ok(()));
    settle().await;
    assert_eq!(log.entries(), ["handled 1", "handled 2", "handled 9"]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_receive_is_fixed_when_it_begins() {
    let (system, log) = (System::new(), Log::default());
    let taker = taker(&system, &log);
    let began = tokio::time::Instant::now();
    let taking = beside({
        let taker = taker.clone();
        async move { taker.take_within(9, 3, None).within(60 * SECOND).await }
    });
    for n in 1..=4 {
        settle().await;
        taker.note(n).tell().await.expect("taken");
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert_eq!(taking.result().await, Ok(Err(RecvError::Timeout)));
    let took = began.elapsed();
    assert!(took >= 3 * SECOND && took <= 3 * SECOND + Duration::from_millis(2), "{took:?}");
    let at = system.clock().now() + 2 * SECOND;
    let timely = taker.take_within(9, 0, Some(at)).within(60 * SECOND);
    assert_eq!(timely.await, Ok(Err(RecvError::Timeout)));
    assert!(system.clock().now() >= at);
    let late = beside({
        let taker = taker.clone();
        async move { taker.take_within(9, 0, Some(at)).await }
    });
    taker.take_within(9, 0, Some(at)).tell().await.expect("taken");
    assert_eq!(at_once(late.result()).await, Ok(Err(RecvError::Timeout)), "a point in the past is over");
}

#[tokio::test(start_paused = true)]
async fn the_context_speaks_of_the_message_taken_and_asks_live_on_its_time() {
    let (system, log) = (System::new(), Log::default());
    let taker = taker(&system, &log);
    let gate = Gate::new();
    let back = system.spawn(Worker::default());
    back.hold(gate.clone()).tell().await.expect("taken");
    let taker_with_back = system.spawn(Taker { log: log.clone(), back });
    drop(taker);
    let relaying = beside({
        let taker = taker_with_back.clone();
        async move { taker.relay().within(30 * SECOND).await }
    });
    settle().await;
    taker_with_back.note(1).within(4 * SECOND).tell().await.expect("taken");
    assert_eq!(relaying.result().await, Ok(vec![4, 10]));
}
