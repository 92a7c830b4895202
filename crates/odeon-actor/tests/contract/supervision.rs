//! Supervision: who is started again, when, and what is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use odeon::tree::{Backoff, ChildState, Intensity, Restart, Shutdown, Strategy};
use odeon::{
    AskError, ChildError, ChildSpec, Cx, ExitReason, Failure, Handle, Supervision, Supervisor,
    SupervisorCalls, System, actor,
};
use odeon_core::ActorId;
use tokio::time::Instant;

use crate::support::{
    Gate, Log, PANIC_TEXT, SECOND, Worker, WorkerCalls, at_once, beside, ended, name, settle, wait_for,
};

/// Writes its starts and ends into a log.
pub(crate) struct Part {
    label: &'static str,
    log: Log,
    starts: Arc<AtomicU64>,
    /// Cannot start at this one.
    fails_at: Option<u64>,
    handled: u64,
}

#[actor]
impl Part {
    #[started]
    async fn begin(&mut self) -> Result<(), Failure> {
        let n = self.starts.fetch_add(1, Ordering::Relaxed) + 1;
        // Whoever overlaps with another shows.
        settle().await;
        if self.fails_at == Some(n) {
            return Err(std::io::Error::other("no beginning").into());
        }
        self.log.push(format!("+{}", self.label));
        Ok(())
    }

    #[stopped]
    async fn finish(&mut self, _: &ExitReason) {
        settle().await;
        self.log.push(format!("-{}", self.label));
    }

    #[handle]
    fn count(&mut self) -> u64 {
        self.handled += 1;
        self.handled
    }

    #[handle]
    fn fall(&mut self) {
        panic!("{} falls", self.label)
    }

    #[handle]
    async fn fall_behind(&mut self, gate: Gate) {
        gate.pass().await;
        panic!("{} falls", self.label)
    }

    #[handle]
    fn end(&mut self, cx: &mut Cx<Self>) {
        cx.stop();
    }

    #[handle]
    async fn hang(&mut self) {
        std::future::pending().await
    }
}

pub(crate) fn part(label: &'static str, log: &Log) -> ChildSpec<Part> {
    part_failing(label, log, None)
}

/// One that cannot start at its `fails_at`th start.
pub(crate) fn part_failing(label: &'static str, log: &Log, fails_at: Option<u64>) -> ChildSpec<Part> {
    let (log, starts) = (log.clone(), Arc::new(AtomicU64::new(0)));
    ChildSpec::new(move || Part {
        label,
        log: log.clone(),
        starts: Arc::clone(&starts),
        fails_at,
        handled: 0,
    })
}

/// A tree that restarts at once, as often as need be.
pub(crate) fn tree(system: &System, strategy: Strategy) -> Supervision {
    let intensity = Intensity { restarts: 1_000, within: SECOND };
    system.supervision(strategy).intensity(intensity).backoff(at_once_again())
}

pub(crate) fn at_once_again() -> Backoff {
    Backoff { first: Duration::ZERO, cap: Duration::ZERO, jitter_percent: 0, quiet: SECOND }
}

/// Three children, started.
async fn three(strategy: Strategy, log: &Log) -> (Handle<Supervisor>, [Handle<Part>; 3]) {
    let system = System::new();
    let mut tree = tree(&system, strategy);
    let children = ["a", "b", "c"].map(|label| tree.child(part(label, log)).expect("there is room"));
    let supervisor = tree.start();
    supervisor.ping().await.expect("it starts");
    (supervisor, children)
}

pub(crate) fn is_panicked<T: std::fmt::Debug>(answer: &Result<T, AskError>) -> bool {
    matches!(answer, Err(AskError::Dead(ExitReason::Panicked(_))))
}

#[tokio::test(start_paused = true)]
async fn each_strategy_restarts_those_concerned_in_order() {
    let rows: [(Strategy, &[&str]); 4] = [
        (Strategy::OneForOne, &["+b"]),
        (Strategy::OneForAll, &["-c", "-a", "+a", "+b", "+c"]),
        (Strategy::RestForOne, &["-c", "+b", "+c"]),
        (Strategy::Dynamic, &["+b"]),
    ];
    for (strategy, expected) in rows {
        let log = Log::default();
        let (supervisor, [a, b, c]) = three(strategy, &log).await;
        wait_for("all start", || log.entries().len() == 3).await;
        assert!(is_panicked(&at_once(b.fall()).await));
        let len = 3 + expected.len();
        wait_for("they are back", || log.entries().len() == len).await;
        assert_eq!(log.entries()[3..], *expected, "{strategy:?}");
        for child in [a, b, c] {
            assert_eq!(at_once(child.count()).await, Ok(1), "{strategy:?}");
        }
        supervisor.stop();
        assert_eq!(ended(&supervisor).await, ExitReason::Stopped);
        assert_eq!(log.entries()[len..], ["-c", "-b", "-a"], "{strategy:?}");
    }
}

type Ending = fn(&Handle<Part>);

#[tokio::test(start_paused = true)]
async fn each_restart_policy_answers_each_end() {
    let endings: [(Ending, bool); 5] = [
        (|part| part.stop(), false),
        (|part| part.drain(), false),
        (|part| part.end().try_tell().expect("there is room"), false),
        (|part| part.kill(), true),
        (|part| part.fall().try_tell().expect("there is room"), true),
    ];
    for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
        for (row, (end, is_abnormal)) in endings.iter().enumerate() {
            let (system, log) = (System::new(), Log::default());
            let mut tree = tree(&system, Strategy::OneForOne);
            let child = tree.child(part("a", &log).restart(restart)).expect("there is room");
            let supervisor = tree.start();
            at_once(child.count()).await.expect("it starts");
            end(&child);
            settle().await;
            settle().await;
            let is_back = restart == Restart::Permanent || (restart == Restart::Transient && *is_abnormal);
            assert_eq!(child.incarnation(), 1 + u64::from(is_back), "{restart:?}, row {row}");
            assert_eq!(child.is_dead(), restart == Restart::Temporary, "{restart:?}, row {row}");
            if is_back {
                assert_eq!(at_once(child.count()).await, Ok(1), "{restart:?}, row {row}");
            }
            let shown = at_once(supervisor.children()).await.expect("it lives");
            assert_eq!(shown.len(), usize::from(restart != Restart::Temporary));
            let is_finished = shown.first().is_some_and(|child| child.status.state == ChildState::Finished);
            assert_eq!(is_finished, restart == Restart::Transient && !is_abnormal);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_what_waits_the_address_the_names_and_the_handles() {
    let (system, log, gate) = (System::new(), Log::default(), Gate::new());
    let mut tree = tree(&system, Strategy::OneForOne);
    let child = tree.child(part("a", &log).named(name("a"))).expect("there is room");
    system.register(name("b"), &child).expect("it is free");
    let supervisor = tree.start();
    let falling = beside({
        let (child, gate) = (child.clone(), gate.clone());
        async move { child.fall_behind(gate).await }
    });
    gate.wait_entered().await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let child = child.clone();
        waiting.push(beside(async move { child.count().await }));
    }
    settle().await;
    let (id, monitor) = (
        child.id(),
        beside({
            let child = child.clone();
            async move { child.ended().await }
        }),
    );
    gate.open();
    assert!(is_panicked(&at_once(falling.result()).await), "it died with the incarnation");
    for (n, waiting) in (1..).zip(waiting) {
        assert_eq!(at_once(waiting.result()).await, Ok(n), "it waited for the next");
    }
    assert_eq!((child.id(), child.incarnation(), child.is_dead()), (id, 2, false));
    for other in ["a", "b"] {
        let found = system.lookup::<Part>(&name(other)).expect("it keeps its name");
        assert_eq!(found.id(), child.id());
    }
    assert_eq!(system.dead_letters(), 0);
    // The old handle ends the new incarnation, too.
    for (n, end) in [Handle::<Part>::kill as Ending, Handle::stop, Handle::drain].iter().enumerate() {
        end(&child);
        wait_for("it is back", || child.incarnation() == 3 + n as u64).await;
        assert_eq!(at_once(child.count()).await, Ok(1));
    }
    supervisor.stop();
    assert_eq!(at_once(monitor.result()).await, ExitReason::Stopped, "told once, at the last end");
    assert!(system.lookup::<Part>(&name("a")).is_none() && system.live() == 0);
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_a_sequence() {
    let log = Log::default();
    let (supervisor, [_, b, _]) = three(Strategy::OneForOne, &log).await;
    for _ in 0..3 {
        let before = log.entries().len();
        supervisor.restart_child(b.id()).await.expect("it lives").expect("it is there");
        wait_for("it is back", || log.entries().len() == before + 2).await;
    }
    assert_eq!(log.entries()[3..], ["-b", "+b", "-b", "+b", "-b", "+b"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_of_an_incarnation_is_not_asked_of_the_next() {
    let system = System::new();
    let wait = Backoff { first: SECOND, cap: SECOND, jitter_percent: 0, quiet: 60 * SECOND };
    let mut tree = tree(&system, Strategy::OneForOne).backoff(wait);
    let log = Log::default();
    let child = tree.child(part("a", &log)).expect("there is room");
    let _supervisor = tree.start();
    assert!(is_panicked(&child.fall().await));
    assert!(is_panicked(&child.fall().await));
    wait_for("it is down", || child.depth() == 0).await;
    settle().await;
    let waiting = beside({
        let child = child.clone();
        async move { child.count().await }
    });
    settle().await;
    child.stop();
    child.kill();
    child.drain();
    assert_eq!(waiting.result().await, Ok(1), "it is down, and has nothing to end");
    assert_eq!((child.incarnation(), child.count().await), (3, Ok(2)));
}

#[tokio::test(start_paused = true)]
async fn what_makes_a_child_may_fail_or_panic() {
    let (system, log) = (System::new(), Log::default());
    let mut tree = tree(&system, Strategy::OneForOne);
    let mut n = 0;
    let spec = ChildSpec::fallible({
        let log = log.clone();
        move || {
            n += 1;
            match n {
                2 => Err(std::io::Error::other("no disk").into()),
                3 => panic!("no luck"),
                _ => Ok(Worker::logging(&log)),
            }
        }
    });
    let child = tree.child(spec).expect("there is room");
    let supervisor = tree.start();
    assert_eq!(at_once(child.note(1)).await, Ok(1));
    child.kill();
    wait_for("it is back", || child.incarnation() == 4).await;
    assert_eq!(at_once(child.note(2)).await, Ok(2));
    let shown = at_once(supervisor.children()).await.expect("it lives");
    let Some(ExitReason::Panicked(report)) = &shown[0].status.last_exit else { panic!("{shown:?}") };
    assert_eq!((report.message.as_str(), shown[0].status.restarts), ("no luck", 3));
}

#[tokio::test(start_paused = true)]
async fn a_start_does_not_travel_through_the_mailbox() {
    let (system, log) = (System::new(), Log::default());
    let mut tree = tree(&system, Strategy::OneForOne);
    let child = tree.child(part("a", &log).capacity(1)).expect("there is room");
    child.fall().try_tell().expect("there is room for one");
    child.count().try_tell().expect_err("there is no room for two");
    let waits = beside({
        let child = child.clone();
        async move { child.count().await }
    });
    settle().await;
    let _supervisor = tree.start();
    assert_eq!(at_once(waits.result()).await, Ok(1), "the next incarnation has it");
    assert_eq!(child.incarnation(), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_asked_an_incarnation_that_fell_hears_its_reason_at_once() {
    let system = System::new();
    let mut tree = tree(&system, Strategy::OneForOne);
    let child = tree.child(ChildSpec::new(Worker::default)).expect("there is room");
    let _supervisor = tree.start();
    let kept = beside({
        let child = child.clone();
        async move { child.keep().await }
    });
    settle().await;
    let Err(AskError::Dead(ExitReason::Panicked(report))) = at_once(child.panic()).await else {
        panic!("it panicked")
    };
    assert_eq!(report.message, PANIC_TEXT);
    assert!(is_panicked(&at_once(kept.result()).await), "its port fell with the actor");
    assert_eq!(at_once(child.decline()).await, Err(AskError::NoReply), "this one lives");
    // Dropped at its await, although the next incarnation is there before the asker looks.
    let gate = Gate::new();
    let held = beside({
        let (child, gate) = (child.clone(), gate.clone());
        async move { child.hold(gate).await }
    });
    gate.wait_entered().await;
    child.kill();
    assert_eq!(at_once(held.result()).await, Err(AskError::Dead(ExitReason::Killed)));
    assert_eq!(at_once(child.note(1)).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_port_of_another_actor_that_falls_with_one_is_no_reply() {
    let system = System::new();
    let mut tree = tree(&system, Strategy::OneForOne);
    let asked = tree.child(ChildSpec::new(Worker::default)).expect("there is room");
    let delegate = tree.child(ChildSpec::new(|| crate::support::Delegate)).expect("there is room");
    let _supervisor = tree.start();
    let answer = at_once(asked.delegate(delegate, crate::support::Delegation::Panicking)).await;
    assert_eq!(answer, Err(AskError::NoReply), "the asked one lives");
}

#[tokio::test(start_paused = true)]
async fn restarts_wait_longer_each_time() {
    let system = System::new();
    let backoff = Backoff { first: SECOND, cap: 3 * SECOND, jitter_percent: 0, quiet: 60 * SECOND };
    let (log, began) = (Log::default(), Instant::now());
    let mut tree = tree(&system, Strategy::OneForOne).backoff(backoff).on_restart({
        let log = log.clone();
        move |child| log.push(format!("{} after {} s", child.status.restarts, began.elapsed().as_secs()))
    });
    let child = tree.child(ChildSpec::new(Worker::default)).expect("there is room");
    let supervisor = tree.start();
    for _ in 0..4 {
        assert!(is_panicked(&child.panic().await));
        settle().await;
    }
    let shown = at_once(supervisor.children()).await.expect("it lives");
    assert!(matches!(shown[0].status.state, ChildState::Waiting { .. }), "{shown:?}");
    assert_eq!(child.note(1).await, Ok(1), "it waits for the restart");
    assert_eq!(log.entries(), ["1 after 0 s", "2 after 1 s", "3 after 3 s", "4 after 6 s"]);
    assert_eq!(at_once(supervisor.restart_child(child.id())).await, Ok(Ok(())));
    let unknown = ActorId::Number(999);
    let answer = at_once(supervisor.restart_child(unknown.clone())).await;
    assert_eq!(answer, Ok(Err(ChildError::NoChild(unknown))));
}

#[tokio::test(start_paused = true)]
async fn an_incarnation_does_not_hear_of_what_the_one_before_watched() {
    let (system, log) = (System::new(), Log::default());
    let mut tree = tree(&system, Strategy::OneForOne);
    let spec = ChildSpec::new({
        let log = log.clone();
        move || Worker::logging(&log)
    });
    let child = tree.child(spec).expect("there is room");
    let _supervisor = tree.start();
    let watched = system.spawn(Worker::default());
    assert_eq!(child.watch(watched.clone()).await, Ok(true));
    child.kill();
    wait_for("it is back", || child.incarnation() == 2).await;
    watched.stop();
    ended(&watched).await;
    assert_eq!(at_once(child.note(1)).await, Ok(1));
    assert_eq!(log.entries(), ["1"]);
}

/// A child with a restart every few messages, many senders, and several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn asks_that_meet_restarts_are_answered_or_told_why() {
    let (system, log) = (System::new(), Log::default());
    let forever = Intensity { restarts: 1, within: Duration::ZERO };
    let mut tree = tree(&system, Strategy::OneForOne).intensity(forever);
    let child = tree.child(part("a", &log)).expect("there is room");
    let supervisor = tree.start();
    let senders: Vec<_> = (0..8_u64)
        .map(|sender| {
            let (child, supervisor) = (child.clone(), supervisor.clone());
            beside(async move {
                for n in 0..200 {
                    let answer = match (n + sender) % 40 {
                        0 => child.fall().await.map(|()| 0),
                        10 => {
                            child.stop();
                            child.count().await
                        }
                        20 => {
                            child.kill();
                            child.count().await
                        }
                        30 => {
                            let restarted = supervisor.restart_child(child.id()).await.expect("it lives");
                            restarted.expect("it is there");
                            child.count().await
                        }
                        _ => child.count().await,
                    };
                    match answer {
                        Ok(_)
                        | Err(AskError::Dead(
                            ExitReason::Panicked(_) | ExitReason::Stopped | ExitReason::Killed,
                        )) => {}
                        Err(other) => panic!("neither answered nor told why: {other:?}"),
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        sender.result().await;
    }
    assert_eq!(system.dead_letters(), 0, "what waits is kept");
    assert!(child.incarnation() > 1);
    supervisor.stop();
    assert_eq!(ended(&supervisor).await, ExitReason::Stopped);
    assert!(child.is_dead() && system.live() == 0);
    // No incarnation began before the one before had ended: ends that ran the hook are followed by a start.
    let entries = log.entries();
    assert!(!entries.windows(2).any(|pair| pair[0] == "-a" && pair[1] == "-a"));
}

/// A handler that computes cannot be ended: the supervisor gives it up, and begins the next when it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_child_that_cannot_be_killed_is_given_up_and_never_doubled() {
    use std::sync::mpsc;

    struct Busy(Log);
    #[actor]
    impl Busy {
        #[started]
        fn begin(&mut self) -> Result<(), Failure> {
            self.0.push("begins");
            Ok(())
        }
        #[handle]
        fn compute(&mut self, done: mpsc::Receiver<()>) {
            self.0.push("computes");
            done.recv().expect("the test says so");
            self.0.push("has computed");
        }
        #[handle]
        fn greet(&self) {}
    }
    let (system, log) = (System::new(), Log::default());
    let mut tree = tree(&system, Strategy::OneForOne);
    let spec = ChildSpec::new({
        let log = log.clone();
        move || Busy(log.clone())
    });
    let child = tree.child(spec.shutdown(Shutdown::Kill)).expect("there is room");
    let other = tree.child(ChildSpec::new(Worker::default)).expect("there is room");
    let supervisor = tree.start();
    supervisor.ping().await.expect("it starts");
    let (done, receiver) = mpsc::channel();
    child.compute(receiver).tell().await.expect("taken");
    wait_for_real("it computes", || log.count("computes") == 1).await;
    supervisor.restart_child(child.id()).await.expect("it lives").expect("it is there");
    let is_given_up = async || {
        let shown = supervisor.children().await.expect("it lives");
        shown[0].status.state == ChildState::Starting
    };
    let deadline = Instant::now() + 10 * SECOND;
    while !is_given_up().await {
        assert!(Instant::now() < deadline, "it is given up");
        tokio::task::yield_now().await;
    }
    assert_eq!(other.note(1).await, Ok(1), "nobody else waits");
    assert_eq!(log.entries(), ["begins", "computes"]);
    done.send(()).expect("it waits");
    child.greet().await.expect("it is back");
    assert_eq!(log.entries(), ["begins", "computes", "has computed", "begins"]);
    supervisor.stop();
    assert_eq!(ended(&supervisor).await, ExitReason::Stopped);
}

/// As `wait_for`, where other threads take real time.
async fn wait_for_real(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + 10 * SECOND;
    while !condition() {
        assert!(Instant::now() < deadline, "this did not come: {what}");
        tokio::task::yield_now().await;
    }
}
