//! Monitors: whoever watches is told once, whatever the end.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use odeon::{Down, ExitReason, MonitorId, SpawnOptions, System, TooManyMonitors};
use odeon_core::ActorId;

use crate::support::{
    Fragile, Gate, Log, Start, Worker, WorkerCalls, WorkerHandle, at_once, beside, ended, settle, wait_for,
};

const MONITORS_MAX: usize = 65_536;
const WATCHES_MAX: usize = 32_768;

/// Collects the notices given to a plain monitor.
#[derive(Clone, Default)]
struct Notices(Arc<Mutex<Vec<Down>>>);

impl Notices {
    fn watch(&self, worker: &WorkerHandle) -> MonitorId {
        let notices = Arc::clone(&self.0);
        let notify = move |down| notices.lock().expect("nothing panics under it").push(down);
        worker.monitor(Box::new(notify)).expect("within the limit")
    }

    fn all(&self) -> Vec<Down> {
        self.0.lock().expect("nothing panics under it").clone()
    }
}

struct Ending {
    worker: fn() -> Worker,
    bring_about: fn(&WorkerHandle),
    told: &'static str,
}

const ENDINGS: [Ending; 10] = [
    Ending {
        worker: Worker::default,
        bring_about: |worker| drop(worker.end().try_tell()),
        told: "ended normally",
    },
    Ending {
        worker: Worker::default,
        bring_about: |worker| drop(worker.give_up().try_tell()),
        told: "failed: out of luck",
    },
    Ending { worker: Worker::default, bring_about: |worker| worker.stop(), told: "stopped" },
    Ending { worker: Worker::default, bring_about: |worker| worker.drain(), told: "drained" },
    Ending { worker: Worker::default, bring_about: |worker| worker.kill(), told: "killed" },
    Ending {
        worker: Worker::default,
        bring_about: |worker| drop(worker.panic().try_tell()),
        told: "panicked at",
    },
    Ending { worker: || Worker::starting(Start::Fails), bring_about: |_| {}, told: "failed: no beginning" },
    Ending { worker: || Worker::starting(Start::Panics), bring_about: |_| {}, told: "panicked at" },
    Ending {
        worker: || Worker { _fragile: Some(Fragile), ..Worker::default() },
        bring_about: |worker| worker.kill(),
        told: "killed",
    },
    // Everything at once is one end, too: control comes before data.
    Ending {
        worker: Worker::default,
        bring_about: |worker| {
            drop(worker.panic().try_tell());
            worker.stop();
            worker.drain();
        },
        told: "stopped",
    },
];

#[tokio::test(start_paused = true)]
async fn monitors_are_told_exactly_once_whatever_the_end() {
    for ending in ENDINGS {
        let (system, notices, log) = (System::new(), Notices::default(), Log::default());
        let watcher = system.spawn(Worker::logging(&log));
        let worker = system.spawn((ending.worker)());
        let monitors = [notices.watch(&worker), notices.watch(&worker)];
        // Watching may come after the end: then it tells at once.
        assert_eq!(watcher.watch(worker.clone()).await, Ok(true));
        (ending.bring_about)(&worker);
        let reason = at_once(worker.ended()).await;
        assert!(reason.to_string().starts_with(ending.told), "{reason} is not {}", ending.told);
        worker.kill();
        worker.stop();
        settle().await;
        let told = notices.all();
        let ids: Vec<_> = told.iter().map(|down| down.monitor).collect();
        assert_eq!(ids, monitors, "{reason}");
        for down in told {
            assert_eq!((down.server, &down.actor, &down.reason), (None, &worker.id(), &reason));
        }
        assert_eq!(log.entries(), [format!("down: {reason}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_monitor_of_a_dead_actor_is_told_at_once() {
    let (worker, notices) = (System::new().spawn(Worker::default()), Notices::default());
    worker.stop();
    ended(&worker).await;
    let monitor = notices.watch(&worker);
    let told = notices.all();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].monitor, monitor);
    assert_eq!(told[0].reason, ExitReason::Stopped);
    assert!(matches!(told[0].actor, ActorId::Number(_)));
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_monitor_is_not_told() {
    let (worker, notices) = (System::new().spawn(Worker::default()), Notices::default());
    let (forgotten, kept) = (notices.watch(&worker), notices.watch(&worker));
    worker.demonitor(forgotten);
    worker.kill();
    ended(&worker).await;
    let told: Vec<_> = notices.all().iter().map(|down| down.monitor).collect();
    assert_eq!(told, [kept]);
}

#[tokio::test(start_paused = true)]
async fn a_monitor_that_panics_keeps_nobody_from_hearing() {
    let (worker, notices) = (System::new().spawn(Worker::default()), Notices::default());
    worker.monitor(Box::new(|_| panic!("a monitor panics"))).expect("within the limit");
    notices.watch(&worker);
    worker.stop();
    settle().await;
    assert_eq!(notices.all().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_free_when_the_monitor_is_told() {
    let (system, found) = (System::new(), Log::default());
    let name = crate::support::name("cart");
    let options = SpawnOptions::named(name.clone());
    let worker = system.spawn_with(options, Worker::default()).expect("the name is free");
    let (in_system, log) = (system.clone(), found.clone());
    let notify = move |_| log.push(in_system.inbox(&name).is_some());
    worker.monitor(Box::new(notify)).expect("within the limit");
    worker.stop();
    ended(&worker).await;
    assert_eq!(found.entries(), ["false"]);
}

#[tokio::test(start_paused = true)]
async fn an_actor_has_65536_monitors_and_not_one_more() {
    let worker = System::new().spawn(Worker::default());
    let monitors: Vec<_> =
        (0..MONITORS_MAX).map(|_| worker.monitor(Box::new(|_| {})).expect("within the limit")).collect();
    assert_eq!(worker.monitor(Box::new(|_| {})), Err(TooManyMonitors));
    worker.demonitor(monitors[0]);
    assert!(worker.monitor(Box::new(|_| {})).is_ok(), "there is room again");
    assert_eq!(worker.monitor(Box::new(|_| {})), Err(TooManyMonitors));
}

#[tokio::test(start_paused = true)]
async fn an_actor_watches_32768_others_and_hears_of_every_one() {
    let (system, log) = (System::new(), Log::default());
    let (watcher, target) = (system.spawn(Worker::logging(&log)), system.spawn(Worker::default()));
    for _ in 0..WATCHES_MAX {
        assert_eq!(watcher.watch(target.clone()).await, Ok(true));
    }
    assert_eq!(watcher.watch(target.clone()).await, Ok(false), "one too many");
    let gate = Gate::new();
    watcher.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    target.kill();
    ended(&target).await;
    gate.open();
    wait_for("every notice", || log.count("down: killed") == WATCHES_MAX).await;
    assert_eq!(watcher.watch(target).await, Ok(true), "there is room again");
}

#[tokio::test(start_paused = true)]
async fn watchers_that_end_leave_nothing_behind() {
    let system = System::new();
    let (target, heard) = (system.spawn(Worker::default()), Log::default());
    for _ in 0..=MONITORS_MAX {
        let watcher = system.spawn(Worker::logging(&heard));
        assert_eq!(watcher.watch(target.clone()).await, Ok(true));
        watcher.kill();
        ended(&watcher).await;
    }
    let last = system.spawn(Worker::logging(&heard));
    assert_eq!(last.watch(target.clone()).await, Ok(true));
    target.stop();
    wait_for("the notice of the one that lives", || heard.count("down: stopped") == 1).await;
}

#[tokio::test(start_paused = true)]
async fn waiting_for_an_end_in_vain_leaves_nothing_behind() {
    let worker = System::new().spawn(Worker::default());
    let task = &mut Context::from_waker(Waker::noop());
    for _ in 0..=MONITORS_MAX {
        let ended = std::pin::pin!(worker.ended());
        assert_eq!(ended.poll(task), Poll::Pending);
    }
    let ended = beside({
        let worker = worker.clone();
        async move { ended(&worker).await }
    });
    settle().await;
    worker.drain();
    assert_eq!(ended.result().await, ExitReason::Drained);
}
