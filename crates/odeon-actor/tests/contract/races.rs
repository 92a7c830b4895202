//! Ends against asks, monitors and registrations, on threads that really run at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use odeon::{AskError, ExitReason, RegisterError, SpawnOptions, System};

use crate::support::{PATIENCE, SECOND, Worker, WorkerCalls, WorkerHandle, beside, ended, name};

const ROUNDS: usize = 400;

fn end(worker: &WorkerHandle, round: usize) {
    match round % 4 {
        0 => worker.stop(),
        1 => worker.kill(),
        2 => worker.drain(),
        _ => drop(worker.panic().try_tell()),
    }
}

/// Lets the others run until `condition` holds, for as long as a loaded machine may need.
async fn wait_real(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect(what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ask_that_meets_the_end_is_answered_or_told_why() {
    for round in 0..ROUNDS {
        let worker = System::new().spawn(Worker::default());
        let askers: Vec<_> = (0..4)
            .map(|_| {
                let worker = worker.clone();
                beside(async move {
                    for n in 0.. {
                        match worker.note(n).within(60 * SECOND).await {
                            Ok(_) => {}
                            Err(AskError::Dead(reason)) => return reason,
                            Err(other) => panic!("round {round}: {other}"),
                        }
                    }
                    unreachable!("the actor ends")
                })
            })
            .collect();
        assert_eq!(worker.note(0).await, Ok(0));
        end(&worker, round);
        let ended = ended(&worker).await;
        for asker in askers {
            assert_eq!(asker.result().await, ended, "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_monitor_that_meets_the_end_is_told_once() {
    const EACH: usize = 50;
    for round in 0..ROUNDS {
        let worker = System::new().spawn(Worker::default());
        let told = Arc::new(AtomicUsize::new(0));
        let watchers: Vec<_> = (0..2)
            .map(|_| {
                let (worker, told) = (worker.clone(), Arc::clone(&told));
                beside(async move {
                    for _ in 0..EACH {
                        let told = Arc::clone(&told);
                        let notify = move |_| {
                            told.fetch_add(1, Ordering::Relaxed);
                        };
                        worker.monitor(Box::new(notify)).expect("within the limit");
                    }
                })
            })
            .collect();
        end(&worker, round);
        for watcher in watchers {
            watcher.result().await;
        }
        ended(&worker).await;
        // Those who came late are told where they came, perhaps before the others.
        wait_real("all are told", || told.load(Ordering::Relaxed) >= 2 * EACH).await;
        assert_eq!(told.load(Ordering::Relaxed), 2 * EACH, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_meets_the_end_is_free() {
    for round in 0..ROUNDS {
        let system = System::new();
        let worker = system.spawn(Worker::default());
        let registering = beside({
            let (system, worker) = (system.clone(), worker.clone());
            async move { system.register(name("cart"), &worker) }
        });
        end(&worker, round);
        let outcome: Result<(), RegisterError> = registering.result().await;
        assert_eq!(outcome, Ok(()), "nobody else wants it");
        assert_ne!(ended(&worker).await, ExitReason::Normal);
        assert!(system.inbox(&name("cart")).is_none(), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_look_up_or_spawn_one_makes_the_actor() {
    const CALLERS: usize = 8;
    for round in 0..ROUNDS {
        let (system, made) = (System::new(), Arc::new(AtomicUsize::new(0)));
        let barrier = Arc::new(tokio::sync::Barrier::new(CALLERS));
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (system, made, barrier) = (system.clone(), Arc::clone(&made), Arc::clone(&barrier));
                beside(async move {
                    barrier.wait().await;
                    let make = move || {
                        made.fetch_add(1, Ordering::Relaxed);
                        std::thread::yield_now();
                        Worker::default()
                    };
                    let cart = system.lookup_or_spawn(name("cart"), SpawnOptions::default(), make).await;
                    let cart = cart.expect("of this type");
                    assert_eq!(cart.note(caller as u64).within(60 * SECOND).await, Ok(caller as u64));
                    cart.id()
                })
            })
            .collect();
        let mut ids = Vec::new();
        for caller in callers {
            ids.push(caller.result().await);
        }
        assert!(ids.iter().all(|id| *id == ids[0]), "round {round}: {ids:?}");
        assert_eq!((made.load(Ordering::Relaxed), system.live()), (1, 1), "round {round}");
    }
}
