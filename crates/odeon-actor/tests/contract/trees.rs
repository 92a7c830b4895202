//! Supervision trees: in which order they start and stop, how they grow, and when they give up.

use odeon::tree::{AutoShutdown, Intensity, Restart, Shutdown, Strategy};
use odeon::{
    AskError, ChildError, ChildSpec, ExitReason, Failure, StartChildError, SupervisorCalls, System, actor,
};
use tokio::time::Instant;

use crate::supervision::{Part, PartCalls, at_once_again, is_panicked, part, part_failing, tree};
use crate::support::{Log, SECOND, Worker, WorkerCalls, at_once, beside, ended, name, settle, wait_for};

#[tokio::test(start_paused = true)]
async fn too_many_restarts_escalate_through_two_levels() {
    let (system, log) = (System::new(), Log::default());
    let few = Intensity { restarts: 1, within: 60 * SECOND };
    let mut root = system.supervision(Strategy::OneForOne).intensity(few).backoff(at_once_again());
    let mut inner = system.supervision(Strategy::OneForOne).intensity(few).backoff(at_once_again());
    let child = inner.child(part("a", &log)).expect("there is room");
    let inner = root.child(inner.into_child()).expect("there is room");
    let root = root.start();
    root.ping().await.expect("it starts");
    // Each inner supervisor allows one restart, and the root allows one inner supervisor more.
    for incarnation in 1..=3 {
        assert!(is_panicked(&child.fall().await));
        wait_for("it is back in place", || child.incarnation() == incarnation + 1).await;
    }
    assert_eq!((inner.incarnation(), child.is_dead()), (2, false), "the tree below came back in place");
    assert!(is_panicked(&child.fall().await));
    let ExitReason::Failed(why) = ended(&root).await else { panic!("it gave up") };
    assert!(why.starts_with("more than 1 restarts within 60s"), "{why}");
    assert!(matches!(ended(&inner).await, ExitReason::Failed(_)));
    assert!(matches!(ended(&child).await, ExitReason::Panicked(_)));
    assert_eq!(system.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn children_start_in_order_and_stop_in_reverse() {
    let (system, log) = (System::new(), Log::default());
    let mut root = tree(&system, Strategy::OneForOne);
    root.child(part("a", &log)).expect("there is room");
    let mut inner = tree(&system, Strategy::OneForOne);
    inner.child(part("b", &log)).expect("there is room");
    inner.child(part("c", &log)).expect("there is room");
    root.child(inner.into_child()).expect("there is room");
    root.child(part("d", &log)).expect("there is room");
    let root = root.start();
    root.ping().await.expect("it starts");
    assert_eq!(log.entries(), ["+a", "+b", "+c", "+d"]);
    root.stop();
    assert_eq!(at_once(root.ended()).await, ExitReason::Stopped);
    assert_eq!(log.entries()[4..], ["-d", "-c", "-b", "-a"]);
    assert_eq!(system.live(), 0, "all are gone when it is");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_cannot_start_ends_the_tree() {
    let (system, log) = (System::new(), Log::default());
    let mut tree = tree(&system, Strategy::OneForOne);
    let first = tree.child(part("a", &log)).expect("there is room");
    let bad = tree.child(part_failing("b", &log, Some(1)).named(name("b"))).expect("there is room");
    let last = tree.child(part("c", &log)).expect("there is room");
    let asked = beside({
        let bad = bad.clone();
        async move { bad.count().await }
    });
    let supervisor = tree.start();
    let reason = ExitReason::Failed("child 2 did not start: failed: no beginning".to_owned());
    assert_eq!(at_once(supervisor.ended()).await, reason);
    let failed = ExitReason::Failed("no beginning".to_owned());
    assert_eq!(at_once(bad.ended()).await, failed);
    assert_eq!(at_once(asked.result()).await, Err(AskError::Dead(failed)));
    assert_eq!(at_once(first.ended()).await, ExitReason::Stopped);
    assert_eq!(at_once(last.ended()).await, ExitReason::Stopped, "it never started");
    assert_eq!(log.entries(), ["+a", "-b", "-a"]);
    assert_eq!((system.live(), system.dead_letters()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_children_come_and_go_and_leave_nothing() {
    let system = System::new();
    let supervisor = tree(&system, Strategy::Dynamic).start();
    let mut children = Vec::new();
    for n in 0..10_000_u64 {
        let child = supervisor.start_child(ChildSpec::new(Worker::default)).await.expect("it starts");
        if n % 1_000 == 0 {
            assert_eq!(child.note(n).await, Ok(n));
        }
        children.push(child);
    }
    assert_eq!((system.live(), supervisor.children().await.expect("it lives").len()), (10_001, 10_000));
    for child in &children {
        supervisor.remove_child(child.id()).await.expect("it lives").expect("it is there");
        assert!(child.is_dead(), "it is gone when that is answered");
    }
    assert_eq!((system.live(), supervisor.children().await.expect("it lives").len()), (1, 0));
    let again = supervisor.remove_child(children[0].id()).await.expect("it lives");
    assert_eq!(again, Err(ChildError::NoChild(children[0].id())));
    supervisor.stop();
    ended(&supervisor).await;
    assert_eq!(system.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_or_is_given_up_leaves_nothing() {
    let (system, log) = (System::new(), Log::default());
    let supervisor = tree(&system, Strategy::Dynamic).start();
    let bad = supervisor.start_child(part_failing("a", &log, Some(1)).named(name("a"))).await;
    let failed = ExitReason::Failed("no beginning".to_owned());
    assert_eq!(bad.map(|child| child.id()), Err(StartChildError::NotStarted(failed)));
    assert_eq!((system.live(), system.lookup::<Part>(&name("a")).is_none()), (1, true));
    let first = supervisor.start_child(part("a", &log).named(name("a"))).await.expect("it starts");
    let taken = supervisor.start_child(part("b", &log).named(name("a"))).await;
    assert!(matches!(taken, Err(StartChildError::NameTaken(_))));
    assert_eq!(system.live(), 2);
    // Nobody polls it, and nobody waits for it.
    drop(supervisor.start_child(part("c", &log)));
    let mut unwanted = Box::pin(supervisor.start_child(part("d", &log)));
    tokio::select! {
        biased;
        _ = &mut unwanted => panic!("it is not there at once"),
        () = std::future::ready(()) => {}
    }
    drop(unwanted);
    drop(system.supervision(Strategy::OneForOne).child(part("e", &log)));
    settle().await;
    supervisor.remove_child(first.id()).await.expect("it lives").expect("it is there");
    let left = supervisor.children().await.expect("it lives");
    assert!(system.live() == 1 + left.len(), "{left:?}");
    supervisor.stop();
    ended(&supervisor).await;
    assert_eq!(system.live(), 0);
    let late = supervisor.start_child(part("f", &log)).await;
    assert!(matches!(late, Err(StartChildError::Ask(AskError::Dead(ExitReason::Stopped)))));
    assert_eq!(system.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn shutdown_leaves_children_to_their_supervisor() {
    let (system, log) = (System::new(), Log::default());
    let mut tree = tree(&system, Strategy::OneForAll);
    for label in ["a", "b", "c"] {
        tree.child(part(label, &log)).expect("there is room");
    }
    let supervisor = tree.start();
    supervisor.ping().await.expect("it starts");
    system.spawn(Worker::logging(&log));
    at_once(system.shutdown(SECOND)).await;
    let finished = "finished: it stopped";
    let order: Vec<_> = log.entries()[3..].iter().filter(|entry| *entry != finished).cloned().collect();
    assert_eq!((order, log.count(finished)), (["-c", "-b", "-a"].map(str::to_owned).to_vec(), 1));
    assert_eq!((system.live(), system.dead_letters()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_stop_is_killed_after_its_patience() {
    let (system, log) = (System::new(), Log::default());
    let mut tree = tree(&system, Strategy::OneForOne);
    let patience = Shutdown::Within(3 * SECOND);
    let child = tree.child(part("a", &log).shutdown(patience)).expect("there is room");
    let supervisor = tree.start();
    child.hang().tell().await.expect("taken");
    settle().await;
    let began = Instant::now();
    supervisor.stop();
    assert_eq!(ended(&supervisor).await, ExitReason::Stopped);
    assert_eq!((ended(&child).await, began.elapsed().as_secs()), (ExitReason::Killed, 3));
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_is_killed_takes_its_children_along() {
    let (system, log) = (System::new(), Log::default());
    let mut root = tree(&system, Strategy::OneForOne);
    let mut inner = tree(&system, Strategy::OneForOne);
    let child = inner.child(part("a", &log)).expect("there is room");
    let inner = root.child(inner.into_child()).expect("there is room");
    let root = root.start();
    root.ping().await.expect("it starts");
    let extra = inner.start_child(part("b", &log)).await.expect("it starts");
    inner.kill();
    assert_eq!(at_once(extra.ended()).await, ExitReason::Killed, "nobody listed it");
    assert_eq!(at_once(child.count()).await, Ok(1), "listed, it comes back in place");
    assert_eq!((inner.incarnation(), child.incarnation()), (2, 2));
    assert_eq!(log.entries(), ["+a", "+b", "+a"]);
    root.kill();
    assert_eq!(at_once(child.ended()).await, ExitReason::Killed);
    assert_eq!(at_once(inner.ended()).await, ExitReason::Killed);
    wait_for("all are gone", || system.live() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_is_stopped_while_a_child_does_not_start() {
    #[derive(Debug)]
    struct Stuck;
    #[actor]
    impl Stuck {
        #[started]
        async fn begin(&mut self) -> Result<(), Failure> {
            std::future::pending().await
        }
        #[handle]
        fn idle(&self) {}
    }
    let system = System::new();
    let mut tree = tree(&system, Strategy::OneForOne);
    tree.child(ChildSpec::new(|| Stuck).shutdown(Shutdown::Within(SECOND))).expect("there is room");
    let supervisor = tree.start();
    settle().await;
    supervisor.stop();
    assert_eq!(ended(&supervisor).await, ExitReason::Stopped);
    assert_eq!(system.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_significant_child_ends_the_supervisor() {
    let (system, log) = (System::new(), Log::default());
    let mut tree = tree(&system, Strategy::OneForOne).auto_shutdown(AutoShutdown::Any);
    let child = tree.child(part("a", &log).restart(Restart::Transient).significant()).expect("there is room");
    let other = tree.child(part("b", &log)).expect("there is room");
    let supervisor = tree.start();
    supervisor.ping().await.expect("it starts");
    child.stop();
    assert_eq!(at_once(supervisor.ended()).await, ExitReason::Normal);
    assert_eq!(at_once(other.ended()).await, ExitReason::Stopped);
}

#[test]
fn a_runtime_that_goes_ends_a_tree() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let (child, system) = runtime.block_on(async {
        let system = System::new();
        let mut root = tree(&system, Strategy::OneForOne);
        let mut inner = tree(&system, Strategy::OneForAll);
        let child = inner.child(ChildSpec::new(Worker::default)).expect("there is room");
        root.child(inner.into_child()).expect("there is room");
        root.start().ping().await.expect("it starts");
        (child, system)
    });
    drop(runtime);
    assert!(child.is_dead());
    assert_eq!(system.live(), 0);
}
