//! The control lane, and what every actor answers without a line of user code.

use odeon::{AskError, ExitReason, SpawnOptions, System};
use odeon_core::RefusalCode;
use odeon_mailbox::CONTROL_BURST_MAX;

use crate::support::{Gate, Log, Worker, WorkerCalls, WorkerHandle, at_once, beside, ended, settle};

/// An actor held in a handler, and the gate that lets it go on.
async fn held(system: &System, log: &Log) -> (WorkerHandle, Gate) {
    let gate = Gate::new();
    let worker = system.spawn(Worker::logging(log));
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    (worker, gate)
}

#[tokio::test(start_paused = true)]
async fn control_overtakes_data() {
    let (system, log) = (System::new(), Log::default());
    let (worker, gate) = held(&system, &log).await;
    for n in 0..10 {
        worker.note(n).tell().await.expect("taken");
    }
    let ping = beside({
        let worker = worker.clone();
        async move { worker.ping().await }
    });
    settle().await;
    worker.stop();
    gate.open();
    assert_eq!(ping.result().await, Ok(()), "the ping was before the stop");
    assert_eq!(ended(&worker).await, ExitReason::Stopped);
    assert_eq!(log.entries(), ["held handler gone", "finished: it stopped"], "no data was handled");
}

#[tokio::test(start_paused = true)]
async fn control_does_not_starve_data() {
    const ENDS: usize = 100;
    let (system, log) = (System::new(), Log::default());
    let watcher = system.spawn(Worker::logging(&log));
    let others: Vec<_> = (0..ENDS).map(|_| system.spawn(Worker::default())).collect();
    for other in &others {
        assert_eq!(watcher.watch(other.clone()).await, Ok(true));
    }
    let gate = Gate::new();
    watcher.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    for other in &others {
        other.kill();
        ended(other).await;
    }
    watcher.note(1).tell().await.expect("taken");
    watcher.note(2).tell().await.expect("taken");
    gate.open();
    assert_eq!(watcher.note(3).await, Ok(3));
    let entries = log.entries();
    let place = |entry: &str| entries.iter().position(|e| e == entry).expect("it was logged");
    let start = place("held handler gone") + 1;
    assert_eq!(place("1"), start + CONTROL_BURST_MAX, "control first, but not for ever");
    assert_eq!(place("2"), start + 2 * CONTROL_BURST_MAX + 1);
}

#[tokio::test(start_paused = true)]
async fn every_actor_answers_ping_while_its_queue_is_full() {
    let (log, gate) = (Log::default(), Gate::new());
    let system = System::new();
    let worker = system
        .spawn_with(SpawnOptions::default().capacity(2), Worker::logging(&log))
        .expect("no name is taken");
    for _ in 0..2 {
        worker.hold(gate.clone()).tell().await.expect("taken");
    }
    gate.wait_entered().await;
    worker.note(1).try_tell().expect("the last place");
    worker.note(2).try_tell().expect_err("the queue is full");
    let ping = beside({
        let worker = worker.clone();
        async move { worker.ping().await }
    });
    settle().await;
    // Out of the first handler and into the second: between them the ping has its turn.
    gate.open();
    gate.wait_entered().await;
    assert_eq!(at_once(ping.result()).await, Ok(()));
    assert_eq!(log.count("1"), 0, "the data is still queued");
}

#[tokio::test(start_paused = true)]
async fn past_1024_waiting_pings_the_next_is_refused_and_a_stop_gets_through() {
    let (system, log) = (System::new(), Log::default());
    let (worker, gate) = held(&system, &log).await;
    let mut pings = Vec::new();
    for _ in 0..1_024 {
        let worker = worker.clone();
        pings.push(beside(async move { worker.ping().await }));
    }
    settle().await;
    let Err(AskError::Refused(refusal)) = at_once(worker.ping()).await else {
        panic!("one ping too many");
    };
    assert_eq!(refusal.code, RefusalCode::LimitReached);
    gate.open();
    for ping in pings {
        assert_eq!(ping.result().await, Ok(()));
    }
    assert_eq!(worker.ping().await, Ok(()), "there is room again");
    worker.stop();
    assert_eq!(ended(&worker).await, ExitReason::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_stops_are_one() {
    let (system, log) = (System::new(), Log::default());
    let (worker, gate) = held(&system, &log).await;
    for _ in 0..100_000 {
        worker.stop();
    }
    let ping = beside({
        let worker = worker.clone();
        async move { worker.ping().await }
    });
    settle().await;
    gate.open();
    assert_eq!(ping.result().await, Err(AskError::Dead(ExitReason::Stopped)));
    assert_eq!(log.count("finished: it stopped"), 1);
}

#[tokio::test(start_paused = true)]
async fn control_that_came_with_a_message_does_not_hide_it() {
    let (worker, gate) = (System::new().spawn(Worker::default()), Gate::new());
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    let pinged = beside({
        let worker = worker.clone();
        async move { worker.ping().await }
    });
    let asked = beside({
        let worker = worker.clone();
        async move { worker.note(1).await }
    });
    settle().await;
    gate.open();
    assert_eq!(at_once(pinged.result()).await, Ok(()));
    assert_eq!(at_once(asked.result()).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_with_a_message_does_not_hide_what_came_during_it() {
    let (worker, gate) = (System::new().spawn(Worker::default()), Gate::new());
    worker.hold(gate.clone()).tell().await.expect("taken");
    worker.note(1).tell().await.expect("taken");
    gate.wait_entered().await;
    let asked = beside({
        let worker = worker.clone();
        async move { worker.note(2).await }
    });
    settle().await;
    gate.open();
    assert_eq!(at_once(asked.result()).await, Ok(2));
}
