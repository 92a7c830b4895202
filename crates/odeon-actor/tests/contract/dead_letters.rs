//! Stop, drain, kill and shutdown differ, and what was left is counted.

use std::sync::{Arc, Mutex};

use odeon::{DeadLetter, DeadReason, ExitReason, Handle, Sender, System, TellError, actor};
use odeon_core::ActorId;
use tokio::time::Instant;

use crate::support::{Gate, Log, SECOND, Worker, WorkerCalls, WorkerHandle, at_once, beside, ended, settle};

#[derive(Clone, Default)]
struct Letters(Arc<Mutex<Vec<DeadLetter>>>);

impl Letters {
    fn of(system: &System) -> Self {
        let letters = Self::default();
        let hook = letters.clone();
        system.on_dead_letter(move |letter| {
            hook.0.lock().expect("nothing panics under it").push(letter.clone());
        });
        letters
    }

    fn take(&self) -> Vec<DeadLetter> {
        std::mem::take(&mut *self.0.lock().expect("nothing panics under it"))
    }
}

/// An actor that tells another something.
struct Teller;

#[actor]
impl Teller {
    #[handle]
    async fn pass_on(&self, to: WorkerHandle, n: u64) -> bool {
        to.note(n).tell().await.is_ok()
    }
}

fn number<A: odeon::Actor>(handle: &Handle<A>) -> u64 {
    match handle.id() {
        ActorId::Number(number) | ActorId::NumberOf(number, _) => number,
        ActorId::Name(name) => panic!("{name} is not a number"),
    }
}

/// A worker held in a handler with three messages queued, the last by an actor.
async fn with_three_queued(system: &System, log: &Log) -> (WorkerHandle, Gate, u64) {
    let gate = Gate::new();
    let (worker, teller) = (system.spawn(Worker::logging(log)), system.spawn(Teller));
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    worker.note(1).tell().await.expect("taken");
    worker.note(2).tell().await.expect("taken");
    assert_eq!(teller.pass_on(worker.clone(), 3).await, Ok(true));
    (worker, gate, number(&teller))
}

#[tokio::test(start_paused = true)]
async fn stop_finishes_the_current_message_and_kill_does_not() {
    let stop = (ExitReason::Stopped, vec!["held handler gone", "finished: it stopped"]);
    let kill = (ExitReason::Killed, vec!["held handler gone"]);
    for (reason, entries) in [stop, kill] {
        let (system, log) = (System::new(), Log::default());
        let letters = Letters::of(&system);
        let (worker, gate, teller) = with_three_queued(&system, &log).await;
        if reason == ExitReason::Stopped {
            worker.stop();
            settle().await;
            assert!(!worker.is_dead(), "it finishes what it does");
            gate.open();
        } else {
            worker.kill();
        }
        assert_eq!(at_once(worker.ended()).await, reason);
        assert_eq!(log.entries(), entries);
        assert_eq!(system.dead_letters(), 3);
        let letters = letters.take();
        assert_eq!(letters.len(), 3);
        for letter in &letters {
            assert_eq!((letter.actor, &letter.reason), (number(&worker), &DeadReason::Ended(reason.clone())));
            assert!(letter.kind.ends_with("Worker"), "{}", letter.kind);
        }
        assert!(matches!(letters[0].sender, Sender::Outside));
        assert!(matches!(letters[2].sender, Sender::Actor(n) if n == teller));
    }
}

#[tokio::test(start_paused = true)]
async fn drain_handles_what_is_queued_and_takes_nothing_more() {
    let (system, log) = (System::new(), Log::default());
    let letters = Letters::of(&system);
    let (worker, gate, _) = with_three_queued(&system, &log).await;
    worker.drain();
    let refused = at_once(worker.note(4).tell()).await;
    assert_eq!(refused, Err(TellError::Dead(ExitReason::Drained)));
    gate.open();
    assert_eq!(ended(&worker).await, ExitReason::Drained);
    assert_eq!(log.entries(), ["held handler gone", "1", "2", "3", "finished: it drained"]);
    assert_eq!((system.dead_letters(), letters.take().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn drain_wakes_an_idle_actor_and_gives_waiting_senders_their_answer() {
    let system = System::new();
    let idle = system.spawn(Worker::default());
    settle().await;
    idle.drain();
    assert_eq!(at_once(idle.ended()).await, ExitReason::Drained);

    let (gate, options) = (Gate::new(), odeon::SpawnOptions::default().capacity(1));
    let busy = system.spawn_with(options, Worker::default()).expect("no name is taken");
    busy.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    busy.note(1).tell().await.expect("the one place");
    let waiting = beside({
        let busy = busy.clone();
        async move { busy.note(2).tell().await }
    });
    settle().await;
    busy.drain();
    assert_eq!(at_once(waiting.result()).await, Err(TellError::Dead(ExitReason::Drained)));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_drain() {
    let (system, log) = (System::new(), Log::default());
    let (worker, gate, _) = with_three_queued(&system, &log).await;
    worker.drain();
    worker.stop();
    gate.open();
    assert_eq!(ended(&worker).await, ExitReason::Stopped);
    assert_eq!(system.dead_letters(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_does_not_hide_the_end() {
    let (system, log) = (System::new(), Log::default());
    system.on_dead_letter(|_| panic!("the hook panics"));
    let (worker, _gate, _) = with_three_queued(&system, &log).await;
    worker.kill();
    assert_eq!(ended(&worker).await, ExitReason::Killed);
    assert_eq!(system.dead_letters(), 3);
    assert_eq!(system.live(), 1, "the teller");
}

#[tokio::test(start_paused = true)]
async fn shutdown_stops_all_and_kills_the_stubborn_after_the_grace() {
    let (system, log) = (System::new(), Log::default());
    let first = system.spawn(Worker::logging(&log));
    let gate = Gate::new();
    let stubborn = system.spawn(Worker::default());
    stubborn.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    let newest = system.spawn(Worker::logging(&log));
    let began = Instant::now();
    let shutdown = beside({
        let system = system.clone();
        async move { system.shutdown(3 * SECOND).await }
    });
    assert_eq!(at_once(newest.ended()).await, ExitReason::Stopped);
    assert_eq!(at_once(first.ended()).await, ExitReason::Stopped, "it does not wait for the stubborn one");
    shutdown.result().await;
    assert_eq!(ended(&stubborn).await, ExitReason::Killed);
    assert!(began.elapsed() >= 3 * SECOND && began.elapsed() < 4 * SECOND);
    assert_eq!(system.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn shutdown_takes_no_time_when_all_stop() {
    let (system, log) = (System::new(), Log::default());
    let workers: Vec<_> = (0..3).map(|_| system.spawn(Worker::logging(&log))).collect();
    at_once(system.shutdown(3 * SECOND)).await;
    assert_eq!(log.count("finished: it stopped"), workers.len());
    assert_eq!(system.live(), 0);
}
