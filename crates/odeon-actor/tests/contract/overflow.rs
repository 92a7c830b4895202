//! What becomes of the messages for which a mailbox has no room, by the actor's own choice.

use std::sync::{Arc, Mutex};

use odeon::{AskError, DeadReason, Overflow, SpawnOptions, System, TellError, TryTellError};

use crate::support::{
    Gate, Log, Worker, WorkerCalls, WorkerHandle, WorkerNote, at_once, beside, ended, settle, wait_for,
};

/// A worker held in a handler, for whose messages there are `capacity` places.
async fn held(system: &System, capacity: usize, overflow: Overflow, log: &Log) -> (WorkerHandle, Gate) {
    let options = SpawnOptions::default().capacity(capacity).overflow(overflow);
    let worker = system.spawn_with(options, Worker::logging(log)).expect("no name is taken");
    let gate = Gate::new();
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    (worker, gate)
}

fn noted(log: &Log) -> Vec<u64> {
    log.entries().iter().filter_map(|entry| entry.parse().ok()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_rejects_makes_nobody_wait() {
    let log = Log::default();
    let (worker, gate) = held(&System::new(), 2, Overflow::Reject, &log).await;
    for n in 0..2 {
        at_once(worker.note(n).tell()).await.expect("there is room");
    }
    assert_eq!(at_once(worker.note(2).tell()).await, Err(TellError::Full { capacity: 2 }));
    assert_eq!(at_once(worker.note(3)).await, Err(AskError::Full { capacity: 2 }));
    assert!(
        matches!(worker.note(4).try_tell(), Err(TryTellError::Full(WorkerNote { n: 4 }))),
        "it comes back"
    );
    gate.open();
    wait_for("there is room", || worker.depth() == 0).await;
    assert_eq!(worker.note(5).await, Ok(5), "taken again");
    assert_eq!(noted(&log), [0, 1, 5], "what was rejected is not run");
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_drops_the_oldest_keeps_the_newest() {
    const CAPACITY: usize = 3;
    let (system, log) = (System::new(), Log::default());
    let (worker, gate) = held(&system, CAPACITY, Overflow::DropOldest, &log).await;
    for n in 0..10 {
        match n % 2 {
            0 => at_once(worker.note(n).tell()).await.expect("always"),
            _ => worker.note(n).try_tell().expect("always"),
        }
        assert_eq!(worker.depth(), CAPACITY.min(usize::try_from(n).expect("few") + 1), "the bound is exact");
    }
    assert_eq!(system.dead_letters(), 7);
    gate.open();
    wait_for("the rest is handled", || worker.depth() == 0).await;
    settle().await;
    assert_eq!(noted(&log), [7, 8, 9]);
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_the_oldest_can_still_be_dropped() {
    let (system, log) = (System::new(), Log::default());
    let (worker, gate) = held(&system, 3, Overflow::DropOldest, &log).await;
    let second = Gate::new();
    worker.hold(second.clone()).tell().await.expect("taken");
    for n in 0..2 {
        worker.note(n).tell().await.expect("taken");
    }
    gate.open();
    second.wait_entered().await;
    // Two are queued, and whoever runs the actor has not taken them with the one it handles.
    for n in 2..5 {
        at_once(worker.note(n).tell()).await.expect("always");
    }
    assert_eq!((worker.depth(), system.dead_letters()), (3, 2));
    second.open();
    wait_for("the rest is handled", || noted(&log).len() == 3).await;
    assert_eq!(noted(&log), [2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn who_asked_what_was_displaced_hears_it_at_once() {
    let (system, log) = (System::new(), Log::default());
    let letters = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&letters);
    system.on_dead_letter(move |letter| hook.lock().expect("no panic").push(letter.clone()));
    let (worker, gate) = held(&system, 1, Overflow::DropOldest, &log).await;
    let asker = beside({
        let worker = worker.clone();
        async move { at_once(worker.note(1)).await }
    });
    wait_for("the ask is queued", || worker.depth() == 1).await;
    at_once(worker.note(2).tell()).await.expect("always");
    assert_eq!(asker.result().await, Err(AskError::Displaced));
    {
        let letters = letters.lock().expect("no panic");
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].reason, DeadReason::Displaced);
        assert!(matches!(letters[0].sender, odeon::Sender::Outside) && letters[0].kind.ends_with("Worker"));
    }
    gate.open();
    wait_for("the newer is handled", || noted(&log) == [2]).await;
}

#[tokio::test(start_paused = true)]
async fn control_is_never_dropped_for_room() {
    let (system, log) = (System::new(), Log::default());
    let (worker, gate) = held(&system, 1, Overflow::DropOldest, &log).await;
    let ping = beside({
        let worker = worker.clone();
        async move { worker.ping().await }
    });
    settle().await;
    worker.stop();
    for n in 0..100 {
        worker.note(n).tell().await.expect("always");
    }
    gate.open();
    ended(&worker).await;
    assert_eq!(ping.result().await, Ok(()));
    assert_eq!(noted(&log), [0_u64; 0], "the stop came first");
    assert_eq!(system.dead_letters(), 100);
}

#[tokio::test(start_paused = true)]
async fn whatever_overflows_the_dead_take_nothing() {
    for overflow in [Overflow::Reject, Overflow::DropOldest] {
        let (system, log) = (System::new(), Log::default());
        let (worker, gate) = held(&system, 1, overflow, &log).await;
        worker.note(1).tell().await.expect("there is room");
        worker.drain();
        assert!(matches!(worker.note(2).tell().await, Err(TellError::Dead(_))));
        assert!(matches!(worker.note(3).try_tell(), Err(TryTellError::Dead(WorkerNote { n: 3 }, _))));
        gate.open();
        ended(&worker).await;
        assert_eq!(noted(&log), [1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_senders_race_each_message_is_handled_or_a_dead_letter() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 5_000;
    let (system, log) = (System::new(), Log::default());
    let options = SpawnOptions::default().capacity(8).overflow(Overflow::DropOldest);
    let worker = system.spawn_with(options, Worker::logging(&log)).expect("no name is taken");
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let worker = worker.clone();
            beside(async move {
                for n in 0..EACH {
                    worker.note(sender * EACH + n).tell().await.expect("always");
                    assert!(worker.depth() <= 8);
                }
            })
        })
        .collect();
    for sender in senders {
        sender.result().await;
    }
    worker.drain();
    ended(&worker).await;
    let handled = noted(&log);
    assert_eq!(handled.len() as u64 + system.dead_letters(), SENDERS * EACH);
    for sender in 0..SENDERS {
        let own: Vec<_> = handled.iter().filter(|n| **n / EACH == sender).collect();
        assert!(own.is_sorted(), "sender {sender}: in order, with gaps");
    }
}
