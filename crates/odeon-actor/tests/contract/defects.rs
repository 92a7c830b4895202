//! Defects that users of other actor libraries have met, as far as no test elsewhere in here shows that they
//! are not ours.
//!
//! Elsewhere: a kill through an old handle after a restart, messages lost by a restart, a start through the
//! user's queue (`supervision.rs`); timers that outlive their actor or starve (`tickers.rs`); call cycles
//! (`cycles.rs`); reply ports kept in a dead queue, a handler that cannot be interrupted (`death.rs`); a queue
//! that eats the memory (`mailbox.rs`); notices evicted by data (`overflow.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use odeon::{ExitReason, GroupName, SpawnOptions, System, TellError, actor};

use crate::support::{
    Delegate, Gate, Log, PATIENCE, Worker, WorkerCalls, beside, ended, name, settle, wait_for,
};

#[tokio::test(start_paused = true)]
async fn an_actor_does_not_end_with_its_last_handle() {
    let (system, log) = (System::new(), Log::default());
    let options = SpawnOptions::named(name("kept"));
    let worker = system.spawn_with(options, Worker::logging(&log)).expect("the name is free");
    worker.note(1).tell().await.expect("taken");
    drop(worker);
    settle().await;
    assert_eq!(system.live(), 1);
    let found = system.lookup::<Worker>(&name("kept")).expect("it lives");
    assert_eq!(found.note(2).await, Ok(2));
    assert_eq!(log.entries(), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_for_an_end_are_woken_by_it() {
    let worker = System::new().spawn(Worker::default());
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let worker = worker.clone();
            beside(async move { worker.ended().await })
        })
        .collect();
    settle().await;
    worker.stop();
    for one in waiting {
        assert_eq!(one.result().await, ExitReason::Stopped);
    }
}

#[tokio::test(start_paused = true)]
async fn who_looks_an_actor_up_by_the_wrong_type_harms_nobody() {
    let system = System::new();
    let options = SpawnOptions::named(name("worker"));
    let worker = system.spawn_with(options, Worker::default()).expect("the name is free");
    assert!(system.lookup::<Delegate>(&name("worker")).is_none());
    assert_eq!(worker.note(1).await, Ok(1), "it lives");
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_says_whom_it_did_not_reach() {
    let (system, gate) = (System::new(), Gate::new());
    let group: GroupName = "readers".parse().expect("a name");
    let capacity = SpawnOptions::default().capacity(1);
    let (free, full) =
        (system.spawn(Worker::default()), system.spawn_with(capacity, Worker::default()).expect("no name"));
    full.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    full.note(0).try_tell().expect("the one place");
    system.join(&group, &free).expect("room");
    system.join(&group, &full).expect("room");
    let report = system.broadcast::<Worker, _>(&group, |member| member.note(7));
    assert_eq!((report.sent, report.full, report.dead), (1, 1, 0));
}

/// Counts what it handles.
struct Tally(Arc<AtomicU64>);

#[actor]
impl Tally {
    #[handle]
    fn count(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_drain_handles_every_message_it_took() {
    const SENDERS: u64 = 4;
    for _ in 0..50 {
        let (system, handled) = (System::new(), Arc::new(AtomicU64::new(0)));
        let tally = system.spawn(Tally(Arc::clone(&handled)));
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let tally = tally.clone();
                beside(async move {
                    let mut taken = 0;
                    loop {
                        match tally.count().tell().await {
                            Ok(()) => taken += 1,
                            Err(TellError::Dead(ExitReason::Drained)) => return taken,
                            Err(other) => panic!("{other}"),
                        }
                    }
                })
            })
            .collect();
        wait_for("some are handled", || handled.load(Ordering::Relaxed) > 100).await;
        tally.drain();
        let mut taken = 0;
        for sender in senders {
            taken += sender.result().await;
        }
        let reason = tokio::time::timeout(PATIENCE, ended(&tally)).await.expect("it ends");
        assert_eq!((reason, handled.load(Ordering::Relaxed)), (ExitReason::Drained, taken));
        assert_eq!(system.dead_letters(), 0);
    }
}
