//! What an actor has done and is doing, seen from outside while it does it.

use std::time::Duration;

use odeon::{
    AskError, Doing, ExitReason, Handle, Overflow, SpawnOptions, Stats, Switch, System, TellError, actor,
};

use crate::support::{
    Gate, SECOND, Worker, WorkerCalls, WorkerHandle, beside, ended, name, settle, wait_for,
};

fn stats(worker: &WorkerHandle) -> Stats {
    worker.stats().expect("it is here")
}

async fn held(system: &System, options: SpawnOptions) -> (WorkerHandle, Gate) {
    let worker = system.spawn_with(options, Worker::default()).expect("the name is free");
    let gate = Gate::new();
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    settle().await;
    (worker, gate)
}

#[tokio::test(start_paused = true)]
async fn each_message_is_counted_once() {
    let (worker, gate) = held(&System::new(), SpawnOptions::default().capacity(3)).await;
    assert_eq!(stats(&worker), Stats { received: 1, ..Stats::default() }, "one in hand");
    worker.note(1).tell().await.expect("there is room");
    worker.note(2).within(SECOND).tell().await.expect("there is room");
    worker.note(3).tell().await.expect("there is room");
    assert!(worker.note(4).try_tell().is_err());
    assert_eq!(stats(&worker), Stats { received: 4, refused: 1, depth: 3, ..Stats::default() });
    tokio::time::advance(2 * SECOND).await;
    gate.open();
    wait_for("the rest is handled", || stats(&worker).handled == 3).await;
    assert_eq!(stats(&worker), Stats { received: 4, handled: 3, expired: 1, refused: 1, ..Stats::default() });
}

#[tokio::test(start_paused = true)]
async fn asks_answered_where_they_are_made_are_counted() {
    let worker = System::new().spawn(Worker::default());
    for n in 1..=300 {
        assert_eq!(worker.note(n).await, Ok(n));
    }
    settle().await;
    assert_eq!(stats(&worker), Stats { received: 300, handled: 300, ..Stats::default() });
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_actor_did_stays_known() {
    // By a panic, while a message waits.
    let (worker, gate) = held(&System::new(), SpawnOptions::default()).await;
    worker.panic().tell().await.expect("taken");
    worker.note(1).tell().await.expect("taken");
    gate.open();
    assert!(matches!(ended(&worker).await, ExitReason::Panicked(_)));
    let expected = Stats { received: 3, handled: 1, failed: 1, lost: 1, ..Stats::default() };
    assert_eq!(stats(&worker), expected);
    // By a kill, in a handler.
    let (worker, _gate) = held(&System::new(), SpawnOptions::default()).await;
    worker.kill();
    ended(&worker).await;
    assert_eq!(stats(&worker), Stats { received: 1, failed: 1, ..Stats::default() });
    // By a panic on the asker's stack.
    let worker = System::new().spawn(Worker::default());
    for n in 0..2 {
        assert_eq!(worker.note(n).await, Ok(n));
        settle().await;
    }
    assert!(matches!(worker.panic().await, Err(AskError::Dead(_))));
    assert_eq!(stats(&worker), Stats { received: 3, handled: 2, failed: 1, ..Stats::default() });
}

#[tokio::test(start_paused = true)]
async fn what_overflows_is_counted() {
    let options = |overflow| SpawnOptions::default().capacity(1).overflow(overflow);
    let (worker, _gate) = held(&System::new(), options(Overflow::DropOldest)).await;
    for n in 0..3 {
        worker.note(n).tell().await.expect("always");
    }
    assert_eq!(stats(&worker), Stats { received: 4, displaced: 2, depth: 1, ..Stats::default() });
    let (worker, _gate) = held(&System::new(), options(Overflow::Reject)).await;
    worker.note(0).tell().await.expect("there is room");
    assert_eq!(worker.note(1).tell().await, Err(TellError::Full { capacity: 1 }));
    assert_eq!(stats(&worker), Stats { received: 2, refused: 1, depth: 1, ..Stats::default() });
}

#[tokio::test(start_paused = true)]
async fn a_system_lists_what_its_actors_did() {
    let system = System::new();
    let (worker, _gate) = held(&system, SpawnOptions::named(name("cart"))).await;
    let dead = system.spawn(Worker::default());
    dead.stop();
    ended(&dead).await;
    let all = system.stats();
    assert_eq!(all.dead_letters, 0);
    let [(label, of_worker)] = &all.actors[..] else { panic!("{all:?}") };
    assert_eq!((label.to_string().as_str(), *of_worker), ("cart (Worker 1)", stats(&worker)));
}

/// Takes time as the clock of the test has it.
struct Slow;

#[actor]
impl Slow {
    #[handle]
    async fn work(&self) {
        // The turn goes on: what waits is not busy.
        std::thread::yield_now();
    }
}

/// A clock on which each look takes a millisecond.
#[derive(Debug)]
struct Ticking(std::sync::atomic::AtomicU64, odeon::TokioClock);

impl odeon_core::seam::Clock for Ticking {
    fn now(&self) -> odeon_core::Instant {
        let looks = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        odeon_core::Instant::ZERO + Duration::from_millis(looks)
    }
    fn unix_ms(&self) -> u64 {
        0
    }
    fn sleep_until(&self, at: odeon_core::Instant) -> odeon_core::seam::BoxFuture<'static, ()> {
        self.1.sleep_until(at)
    }
}

#[tokio::test(start_paused = true)]
async fn time_is_measured_while_somebody_wants_to_know() {
    let clock = Ticking(std::sync::atomic::AtomicU64::new(0), odeon::TokioClock::new());
    let system = System::with(std::sync::Arc::new(clock), std::sync::Arc::new(odeon::TokioSpawn::current()));
    let slow = system.spawn(Slow);
    let work = async || {
        let before = slow.stats().expect("it is here");
        slow.work().tell().await.expect("taken");
        wait_for("it works", || slow.stats().expect("it is here").handled > before.handled).await;
        settle().await;
        slow.stats().expect("it is here").busy - before.busy
    };
    assert_eq!(work().await, Duration::ZERO, "off by default");
    system.measure(Switch::On);
    assert!(work().await >= Duration::from_millis(1), "from the begin of a turn to its end");
    system.measure(Switch::Off);
    assert_eq!(work().await, Duration::ZERO, "no longer");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_returns_is_named() {
    let system = System::new();
    let idle = system.spawn(Worker::default());
    settle().await;
    assert_eq!(idle.explain().expect("it is here").doing, Doing::Idle);
    tokio::time::advance(3 * SECOND).await;
    let (stuck, _gate) = held(&system, SpawnOptions::named(name("stuck"))).await;
    let began = system.clock().now();
    stuck.note(1).tell().await.expect("taken");
    tokio::time::advance(60 * SECOND).await;
    let seen = stuck.explain().expect("it is here");
    assert_eq!((seen.actor.to_string().as_str(), seen.depth), ("stuck (Worker 2)", 1));
    let Doing::Waiting { since } = seen.doing else { panic!("{seen:?}") };
    assert!(began - since < Duration::from_millis(1), "since {since:?}, not since {began:?}");
    stuck.kill();
    let reason = ended(&stuck).await;
    assert_eq!(stuck.explain().expect("it is here").doing, Doing::Ended(reason));
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_runs_is_seen_running() {
    struct Looks;
    #[actor]
    impl Looks {
        #[handle]
        fn look(&self, at: Handle<Self>) -> Doing {
            at.explain().expect("it is here").doing
        }
    }
    let looks = System::new().spawn(Looks);
    settle().await;
    assert_eq!(looks.look(looks.clone()).await, Ok(Doing::Running));
}

/// Asks another.
struct Asker;

#[actor]
impl Asker {
    #[handle]
    async fn ask(&self, other: WorkerHandle, within: Duration) -> Result<u64, AskError> {
        other.note(1).within(within).await
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_seen_with_since_when_on_whom_and_until_when() {
    let system = System::new();
    let (worker, gate) = held(&system, SpawnOptions::named(name("cart"))).await;
    let asker = system.spawn(Asker);
    assert!(system.explain().is_empty());
    let began = system.clock().now();
    let asks = [
        beside({
            let (asker, worker) = (asker.clone(), worker.clone());
            async move { asker.ask(worker, 3 * SECOND).within(9 * SECOND).await }
        }),
        beside({
            let worker = worker.clone();
            async move { Ok(worker.note(2).within(5 * SECOND).await) }
        }),
    ];
    wait_for("all wait", || system.explain().len() == 3).await;
    let seen: Vec<_> = system
        .explain()
        .iter()
        .map(|ask| {
            let asker = ask.asker.as_ref().map_or_else(String::new, ToString::to_string);
            (asker, ask.target.to_string(), ask.since - began, ask.expires_at - began)
        })
        .collect();
    let row = |asker: &str, target: &str, until| (asker.to_owned(), target.to_owned(), Duration::ZERO, until);
    assert_eq!(
        seen,
        [
            row("Asker 2", "cart (Worker 1)", 3 * SECOND),
            row("", "cart (Worker 1)", 5 * SECOND),
            row("", "Asker 2", 9 * SECOND),
        ],
        "the one that expires first before the others"
    );
    let explained = asker.explain().expect("it is here");
    assert_eq!((explained.asks.len(), explained.asked_by.len()), (1, 1));
    let explained = worker.explain().expect("it is here");
    assert_eq!((explained.asks.len(), explained.asked_by.len()), (0, 2));
    gate.open();
    for ask in asks {
        assert!(ask.result().await.expect("answered").is_ok());
    }
    assert!(system.explain().is_empty(), "nobody waits any longer");
}
