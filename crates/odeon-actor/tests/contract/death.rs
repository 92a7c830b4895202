//! Death: askers learn of it at once and why, and a panic ends one actor.

use odeon::{AskError, Cx, ExitReason, Handle, PanicReport, System, TellError, TryTellError, actor};

use crate::support::{
    Fragile, Gate, Log, PANIC_LINE, PANIC_TEXT, PATIENCE, Start, Worker, WorkerCalls, WorkerHandle, at_once,
    beside, ended, settle, wait_for,
};

type Ending = (fn(&WorkerHandle), ExitReason);

/// Ways to end an actor that is held in a handler, and what its queued askers are told.
const ENDINGS: [Ending; 2] =
    [(|worker| worker.stop(), ExitReason::Stopped), (|worker| worker.kill(), ExitReason::Killed)];

fn panicked(reason: &ExitReason) -> &PanicReport {
    match reason {
        ExitReason::Panicked(report) => report,
        other => panic!("not a panic: {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_actor_answers_everything_with_the_reason_at_once() {
    for (end, reason) in ENDINGS {
        let worker = System::new().spawn(Worker::default());
        end(&worker);
        assert_eq!(at_once(worker.ended()).await, reason);
        assert!(worker.is_dead());
        assert_eq!(at_once(worker.note(1)).await, Err(AskError::Dead(reason.clone())));
        assert_eq!(at_once(worker.ping()).await, Err(AskError::Dead(reason.clone())));
        let told = at_once(worker.note(1).tell()).await;
        assert_eq!(told, Err(TellError::Dead(reason.clone())));
        let Err(TryTellError::Dead(request, why)) = worker.note(5).try_tell() else {
            panic!("it is dead");
        };
        assert_eq!((request.n, why), (5, reason.clone()));
        // Ending it again changes nothing.
        worker.stop();
        worker.drain();
        worker.kill();
        assert_eq!(at_once(worker.ended()).await, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dying_actor_tells_all_who_wait() {
    for (end, reason) in ENDINGS {
        let (worker, gate) = (System::new().spawn(Worker::default()), Gate::new());
        let mut asks = vec![beside({
            let (worker, gate) = (worker.clone(), gate.clone());
            async move { worker.hold(gate).await.map(|()| 0) }
        })];
        gate.wait_entered().await;
        for n in 0..10 {
            let worker = worker.clone();
            asks.push(beside(async move { worker.note(n).await }));
        }
        let ping = beside({
            let worker = worker.clone();
            async move { worker.ping().await }
        });
        settle().await;
        end(&worker);
        gate.open();
        let mut answers = Vec::new();
        for ask in asks {
            answers.push(at_once(ask.result()).await);
        }
        let dead = Err(AskError::Dead(reason.clone()));
        if reason == ExitReason::Killed {
            assert_eq!(answers[0], dead, "the handler was dropped");
            assert_eq!(at_once(ping.result()).await, Err(AskError::Dead(reason)));
        } else {
            assert_eq!(answers[0], Ok(0), "the handler was finished");
            // Its ping came before the stop.
            assert_eq!(at_once(ping.result()).await, Ok(()));
        }
        assert!(answers[1..].iter().all(|answer| *answer == dead), "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_ends_itself_tells_all_who_wait() {
    let (normal, failed) = (ExitReason::Normal, ExitReason::Failed("out of luck".to_owned()));
    for (is_failing, reason) in [(false, normal), (true, failed)] {
        let worker = System::new().spawn(Worker::default());
        let kept = beside({
            let worker = worker.clone();
            async move { worker.keep().await }
        });
        settle().await;
        if is_failing {
            worker.give_up().tell().await.expect("taken");
        } else {
            worker.end().tell().await.expect("taken");
        }
        assert_eq!(at_once(worker.note(1)).await, Err(AskError::Dead(reason.clone())), "queued");
        assert_eq!(at_once(kept.result()).await, Err(AskError::Dead(reason)), "kept");
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_cannot_start_fails_with_the_reason() {
    let worker = System::new().spawn(Worker::starting(Start::Fails));
    let failed = ExitReason::Failed("no beginning".to_owned());
    assert_eq!(at_once(worker.note(1)).await, Err(AskError::Dead(failed.clone())));
    assert_eq!(at_once(worker.ended()).await, failed);
    let worker = System::new().spawn(Worker::starting(Start::Panics));
    assert_eq!(panicked(&ended(&worker).await).message, "no beginning");
}

#[tokio::test(start_paused = true)]
async fn a_panic_tells_what_and_where_to_all_who_wait() {
    let worker = System::new().spawn(Worker::default());
    let gate = Gate::new();
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    let mut asks = Vec::new();
    for n in 0..3 {
        let worker = worker.clone();
        asks.push(beside(async move {
            match n {
                0 => worker.keep().await,
                1 => worker.panic().await,
                _ => worker.note(n).await,
            }
        }));
    }
    settle().await;
    gate.open();
    let mut reasons = Vec::new();
    for ask in asks {
        match at_once(ask.result()).await {
            Err(AskError::Dead(reason)) => reasons.push(reason),
            other => panic!("not dead: {other:?}"),
        }
    }
    reasons.push(at_once(worker.ended()).await);
    for reason in reasons {
        let report = panicked(&reason);
        assert_eq!(report.message, PANIC_TEXT);
        let place = format!("support.rs:{PANIC_LINE}:");
        assert!(report.location.contains(&place), "{} is not {place}", report.location);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_one_actor_and_no_other() {
    let system = System::new();
    let (other, worker) = (system.spawn(Worker::default()), system.spawn(Worker::default()));
    let kept = beside({
        let other = other.clone();
        async move { other.keep().await }
    });
    settle().await;
    for _ in 0..100 {
        system.spawn(Worker::default()).panic().await.expect_err("it panics");
    }
    worker.panic().await.expect_err("it panics");
    assert_eq!(other.answer_kept(1).await, Ok(()));
    assert_eq!(kept.result().await, Ok(1));
    assert_eq!(system.live(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_drop_does_not_hide_the_end() {
    let fragile = || Worker { _fragile: Some(Fragile), ..Worker::default() };
    let system = System::new();
    let killed = system.spawn(fragile());
    assert_eq!(killed.note(1).await, Ok(1));
    killed.kill();
    assert_eq!(ended(&killed).await, ExitReason::Killed);
    let stopped = system.spawn(fragile());
    stopped.stop();
    assert_eq!(ended(&stopped).await, ExitReason::Stopped);
    assert_eq!(system.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn kill_drops_a_handler_at_its_await() {
    let (log, gate) = (Log::default(), Gate::new());
    let worker = System::new().spawn(Worker::logging(&log));
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    worker.kill();
    assert_eq!(at_once(worker.ended()).await, ExitReason::Killed);
    assert_eq!(log.entries(), ["held handler gone"], "without its last hook");
}

#[tokio::test(start_paused = true)]
async fn kill_ends_an_actor_that_does_not_finish_stopping() {
    let (log, gate) = (Log::default(), Gate::new());
    let worker = System::new().spawn(Worker { last_gate: Some(gate.clone()), ..Worker::logging(&log) });
    worker.stop();
    gate.wait_entered().await;
    assert!(worker.is_dead(), "it is known why it ends");
    worker.kill();
    assert_eq!(at_once(worker.ended()).await, ExitReason::Stopped, "the first reason stays");
    assert!(log.entries().is_empty());
}

#[test]
fn a_runtime_that_goes_ends_its_actors() {
    let (ended, hear) = std::sync::mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (system, worker) = runtime.block_on(async {
        let system = System::new();
        let worker = system.spawn(Worker::default());
        (system, worker)
    });
    worker.monitor(Box::new(move |down| ended.send(down.reason).expect("heard"))).expect("one monitor");
    drop(runtime);
    assert_eq!(hear.recv_timeout(PATIENCE), Ok(ExitReason::Killed));
    assert_eq!(system.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_closed_system_ends_all_its_actors_and_tells_who_waits() {
    let system = System::new();
    let (idle, held, kept) =
        (system.spawn(Worker::default()), system.spawn(Worker::default()), system.spawn(Worker::default()));
    let gate = Gate::new();
    held.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    let asker = beside({
        let kept = kept.clone();
        async move { kept.keep().await }
    });
    settle().await;
    system.close();
    assert_eq!(asker.result().await, Err(AskError::Dead(ExitReason::Killed)), "and no timeout");
    for worker in [&idle, &held, &kept] {
        assert_eq!(at_once(worker.ended()).await, ExitReason::Killed);
        assert_eq!(worker.note(1).await, Err(AskError::Dead(ExitReason::Killed)));
    }
    let late = system.spawn(Worker::default());
    assert_eq!(at_once(late.ended()).await, ExitReason::Killed);
    assert_eq!(system.live(), 0);
}

/// Closes its own system from a handler, and spawns after that.
struct Closer;

#[actor]
impl Closer {
    #[handle]
    fn close(&mut self, other: Handle<Worker>, cx: &mut Cx<Self>) {
        other.note(1).try_tell().expect("there is room");
        cx.system().close();
        cx.spawn(Worker::default());
    }
}

#[tokio::test(start_paused = true)]
async fn a_system_closed_by_its_own_actor_ends_them_all() {
    let system = System::new();
    let (closer, other) = (system.spawn(Closer), system.spawn(Worker::default()));
    closer.close(other.clone()).tell().await.expect("taken");
    assert_eq!(ended(&closer).await, ExitReason::Killed);
    assert_eq!(ended(&other).await, ExitReason::Killed);
    wait_for("none is left", || system.live() == 0).await;
}
