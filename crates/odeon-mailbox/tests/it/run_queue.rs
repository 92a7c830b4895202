//! What runners and those who push may rely on: order, turns, who is woken, and how a queue ends.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use odeon_mailbox::{RunQueue, Runnable, Runner, STEPS_PER_TURN_MAX, Turn};

use crate::support::{Bell, poll_once, without_deadlock};

/// What was run, in order.
type Log = Arc<Mutex<Vec<usize>>>;

/// An entry that notes its number, and does more if it has to.
struct Task<F>(usize, Log, F);

impl<F: Fn(&mut Turn) + Send + Sync + 'static> Runnable for Task<F> {
    fn run(self: Arc<Self>, turn: &mut Turn) {
        self.1.lock().expect("nobody panics with it").push(self.0);
        (self.2)(turn);
    }
}

fn task(number: usize, log: &Log) -> Arc<dyn Runnable> {
    task_with(number, log, |_| {})
}

fn task_with(number: usize, log: &Log, run: impl Fn(&mut Turn) + Send + Sync + 'static) -> Arc<dyn Runnable> {
    Arc::new(Task(number, Arc::clone(log), run))
}

fn push(queue: &RunQueue, entry: Arc<dyn Runnable>) {
    assert!(queue.push(entry).is_ok(), "the queue is open");
}

fn queue() -> RunQueue {
    RunQueue::new(|| {})
}

/// Polls once with a bell nobody listens to.
fn poll(runner: &mut Runner) -> Poll<()> {
    poll_once(runner, &Bell::new())
}

fn taken(log: &Log) -> Vec<usize> {
    std::mem::take(&mut *log.lock().expect("nobody panics with it"))
}

#[test]
fn entries_run_in_the_order_of_their_arrival() {
    let (queue, log) = (queue(), Log::default());
    let mut runner = queue.runner();
    (0..4).for_each(|number| push(&queue, task(number, &log)));
    assert!(poll(&mut runner).is_pending());
    assert_eq!(taken(&log), [0, 1, 2, 3]);
    assert!(queue.pop().is_none());
}

#[test]
fn what_becomes_ready_while_a_runner_runs_is_next_and_displaces_what_was() {
    let (queue, log) = (queue(), Log::default());
    let mut runner = queue.runner();
    let inner = (queue.clone(), Arc::clone(&log));
    push(
        &queue,
        task_with(0, &log, move |_| (10..13).for_each(|number| push(&inner.0, task(number, &inner.1)))),
    );
    push(&queue, task(1, &log));
    assert!(poll(&mut runner).is_pending());
    assert_eq!(taken(&log), [0, 12, 1, 10, 11], "the last first, the displaced behind what was there");
}

#[test]
fn what_is_pushed_to_all_waits_behind_all() {
    let (queue, log) = (queue(), Log::default());
    let mut runner = queue.runner();
    let inner = (queue.clone(), Arc::clone(&log));
    push(&queue, task_with(0, &log, move |_| assert!(inner.0.push_shared(task(9, &inner.1)).is_ok())));
    push(&queue, task(1, &log));
    assert!(poll(&mut runner).is_pending());
    assert_eq!(taken(&log), [0, 1, 9]);
}

/// An entry that pushes itself to the runner's own place, so many times.
struct Again(RunQueue, Log, AtomicUsize);

impl Runnable for Again {
    fn run(self: Arc<Self>, _turn: &mut Turn) {
        self.1.lock().expect("nobody panics with it").push(0);
        if self.2.fetch_sub(1, Ordering::Relaxed) > 1 {
            push(&self.0.clone(), self);
        }
    }
}

fn again(queue: &RunQueue, log: &Log, times: usize) -> Arc<dyn Runnable> {
    Arc::new(Again(queue.clone(), Arc::clone(log), AtomicUsize::new(times)))
}

#[test]
fn the_shared_queue_has_its_turn_after_so_many_of_a_runners_own() {
    /// `OWN_IN_A_ROW_MAX`, and the one from the shared queue that begins the row.
    const ROW: usize = 1 + 32;
    for (times, at) in [(ROW, ROW), (ROW + 1, ROW), (2 * ROW, ROW)] {
        let (queue, log) = (queue(), Log::default());
        let mut runner = queue.runner();
        push(&queue, again(&queue, &log, times));
        push(&queue, task(1, &log));
        assert!(poll(&mut runner).is_pending());
        let ran = taken(&log);
        assert_eq!(ran.len(), times + 1);
        assert_eq!(ran.iter().position(|number| *number == 1), Some(at), "of {times}");
    }
}

#[test]
fn a_poll_ends_after_so_many_steps_and_comes_again() {
    const STEPS_PER_POLL_MAX: usize = 512;
    for (entries, ran, rings) in [
        (STEPS_PER_POLL_MAX - 1, STEPS_PER_POLL_MAX - 1, 0),
        (STEPS_PER_POLL_MAX, STEPS_PER_POLL_MAX, 1),
        (STEPS_PER_POLL_MAX + 1, STEPS_PER_POLL_MAX, 1),
    ] {
        let (queue, log) = (queue(), Log::default());
        let mut runner = queue.runner();
        (0..entries).for_each(|number| push(&queue, task(number, &log)));
        let bell = Bell::new();
        assert!(poll_once(&mut runner, &bell).is_pending());
        assert_eq!((taken(&log).len(), bell.rings()), (ran, rings), "{entries} entries");
        assert!(poll_once(&mut runner, &bell).is_pending());
        assert_eq!((taken(&log).len(), bell.rings()), (entries - ran, rings));
    }
}

#[test]
fn steps_count_for_the_poll_and_what_is_left_of_it_stays_ready() {
    let (queue, log) = (queue(), Log::default());
    let mut runner = queue.runner();
    for number in 0..5 {
        push(&queue, task_with(number, &log, |turn| while turn.step() {}));
    }
    let bell = Bell::new();
    assert!(poll_once(&mut runner, &bell).is_pending());
    assert_eq!((taken(&log).len(), bell.rings()), (4, 1), "four whole turns are a poll");
    push(&queue, again(&queue, &log, 2 * 512));
    assert!(poll_once(&mut runner, &bell).is_pending());
    assert_eq!(bell.rings(), 2);
    assert!(queue.pop().is_some(), "the own place is empty between two polls");
}

#[test]
fn a_turn_has_so_many_steps_and_each_entry_a_whole_one() {
    let mut turn = Turn::new();
    assert_eq!((0..=STEPS_PER_TURN_MAX).filter(|_| turn.step()).count(), STEPS_PER_TURN_MAX);
    assert!(!turn.step(), "it stays spent");

    let (queue, log) = (queue(), Log::default());
    let mut runner = queue.runner();
    let steps = Arc::new(Mutex::new(Vec::new()));
    for number in 0..2 {
        let steps = Arc::clone(&steps);
        let count = move |turn: &mut Turn| {
            steps
                .lock()
                .expect("nobody panics with it")
                .push(std::iter::from_fn(|| turn.step().then_some(())).count());
        };
        push(&queue, task_with(number, &log, count));
    }
    assert!(poll(&mut runner).is_pending());
    assert_eq!(*steps.lock().expect("nobody panics with it"), [STEPS_PER_TURN_MAX; 2]);
}

#[test]
fn an_idle_runner_is_woken_by_a_push_and_only_once() {
    let (queue, log) = (queue(), Log::default());
    let mut runner = queue.runner();
    let bell = Bell::new();
    assert!(poll_once(&mut runner, &bell).is_pending());
    assert!(poll_once(&mut runner, &bell).is_pending());
    push(&queue, task(0, &log));
    push(&queue, task(1, &log));
    assert_eq!(bell.rings(), 1);
    assert!(poll_once(&mut runner, &bell).is_pending());
    assert_eq!((taken(&log), bell.rings()), (vec![0, 1], 1));
}

#[test]
fn a_push_wakes_one_idle_runner_at_a_time() {
    let (queue, log) = (queue(), Log::default());
    let mut runners = [queue.runner(), queue.runner()];
    let bells = [Bell::new(), Bell::new()];
    for (runner, bell) in runners.iter_mut().zip(&bells) {
        assert!(poll_once(runner, bell).is_pending());
    }
    let rings = || bells.each_ref().map(|bell| bell.rings()).iter().sum::<usize>();
    for number in 0..3 {
        push(&queue, task(number, &log));
        assert_eq!(rings(), (number + 1).min(2));
    }
}

#[test]
fn a_runner_that_runs_is_not_woken_and_what_it_displaces_wakes_another() {
    let (queue, log) = (queue(), Log::default());
    let (mut runner, mut idle) = (queue.runner(), queue.runner());
    let bell = Bell::new();
    assert!(poll_once(&mut idle, &bell).is_pending());
    let inner = (queue.clone(), Arc::clone(&log));
    // Behind the back of the idle runner, so that only what happens while it runs can wake it.
    let pushes = move |_: &mut Turn| push(&inner.0, task(10, &inner.1));
    push(&queue, task_with(0, &log, pushes.clone()));
    assert_eq!(bell.rings(), 1);
    assert!(poll_once(&mut idle, &bell).is_pending());
    assert_eq!((taken(&log), bell.rings()), (vec![0, 10], 1), "its own place wakes nobody");

    let inner = (queue.clone(), Arc::clone(&log));
    push(
        &queue,
        task_with(1, &log, move |_| (20..22).for_each(|number| push(&inner.0, task(number, &inner.1)))),
    );
    assert_eq!(bell.rings(), 2);
    assert!(poll(&mut runner).is_pending());
    assert_eq!(taken(&log), [1, 21, 20]);
    drop(pushes);
}

#[test]
fn a_runner_polled_by_another_task_is_woken_there() {
    let (queue, log) = (queue(), Log::default());
    let mut runner = queue.runner();
    let (old, new) = (Bell::new(), Bell::new());
    assert!(poll_once(&mut runner, &old).is_pending());
    assert!(poll_once(&mut runner, &new).is_pending());
    assert_eq!(Arc::strong_count(&old), 1, "the replaced waker is let go");
    push(&queue, task(0, &log));
    assert_eq!((old.rings(), new.rings()), (0, 1));
}

#[test]
fn a_dropped_runner_takes_no_wake_with_it() {
    let (queue, log) = (queue(), Log::default());
    let [mut kept, mut idle, mut woken] = [(); 3].map(|()| queue.runner());
    let bells = [(); 3].map(|()| Bell::new());
    for (runner, bell) in [&mut kept, &mut idle, &mut woken].into_iter().zip(&bells) {
        assert!(poll_once(runner, bell).is_pending());
    }
    drop(idle);
    push(&queue, task(0, &log));
    assert_eq!(bells.each_ref().map(|bell| bell.rings()), [0, 0, 1]);
    drop(woken);
    assert_eq!(bells.each_ref().map(|bell| bell.rings()), [1, 0, 1], "somebody else has to run it");
    assert!(poll_once(&mut kept, &bells[0]).is_pending());
    assert_eq!(taken(&log), [0]);
}

#[test]
fn a_closed_queue_ends_its_runners_drops_what_is_ready_and_refuses_the_rest() {
    let lost = Arc::new(AtomicUsize::new(0));
    let queue = RunQueue::new({
        let lost = Arc::clone(&lost);
        move || {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    });
    let log = Log::default();
    let mut runners = [queue.runner(), queue.runner()];
    let bells = [Bell::new(), Bell::new()];
    for (runner, bell) in runners.iter_mut().zip(&bells) {
        assert!(poll_once(runner, bell).is_pending());
    }
    push(&queue, task(0, &log));
    let entry = task(1, &log);
    push(&queue, Arc::clone(&entry));
    queue.close();
    queue.close();
    assert_eq!(bells.each_ref().map(|bell| bell.rings()), [1, 1]);
    assert_eq!(Arc::strong_count(&entry), 1);
    assert!(queue.push(Arc::clone(&entry)).is_err() && queue.push_shared(Arc::clone(&entry)).is_err());
    assert_eq!(Arc::strong_count(&entry), 1, "it came back, and was dropped here");
    for runner in &mut runners {
        assert!(poll(runner).is_ready());
        assert!(poll(runner).is_ready(), "as often as asked");
    }
    assert!(poll(&mut queue.runner()).is_ready());
    drop(runners);
    assert_eq!((taken(&log), lost.load(Ordering::Relaxed)), (vec![], 0));
    assert!(queue.pop().is_none());
}

#[test]
fn what_is_ready_in_a_runners_own_place_goes_with_a_closed_queue() {
    let (queue, log) = (queue(), Log::default());
    let mut runner = queue.runner();
    let entry = again(&queue, &log, usize::MAX);
    let inner = (queue.clone(), Arc::clone(&entry));
    push(
        &queue,
        task_with(1, &log, move |_| {
            push(&inner.0, Arc::clone(&inner.1));
            inner.0.close();
        }),
    );
    while poll(&mut runner).is_pending() {}
    drop(runner);
    let ran = taken(&log);
    assert!(ran.len() <= 512, "a poll at most");
    assert!(Arc::strong_count(&entry) <= 2, "the queue has let go of it");
}

#[test]
fn an_entry_whose_drop_panics_keeps_no_runner_from_its_end() {
    struct Bomb;
    impl Runnable for Bomb {
        fn run(self: Arc<Self>, _turn: &mut Turn) {}
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let queue = queue();
    let mut runners = [queue.runner(), queue.runner()];
    let bells = [Bell::new(), Bell::new()];
    for (runner, bell) in runners.iter_mut().zip(&bells) {
        assert!(poll_once(runner, bell).is_pending());
    }
    push(&queue, Arc::new(Bomb));
    let closed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| queue.close()));
    assert!(closed.is_err());
    assert_eq!(bells.each_ref().map(|bell| bell.rings()), [1, 1]);
    assert!(runners.iter_mut().all(|runner| poll(runner).is_ready()));
}

#[test]
fn the_last_runner_that_falls_is_told_of_once_and_loses_nothing() {
    let lost = Arc::new(AtomicUsize::new(0));
    let queue = RunQueue::new({
        let lost = Arc::clone(&lost);
        move || {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    });
    let log = Log::default();
    let runners = [queue.runner(), queue.runner()];
    push(&queue, task(0, &log));
    for (runner, told) in runners.into_iter().zip([0, 1]) {
        drop(runner);
        assert_eq!(lost.load(Ordering::Relaxed), told);
    }
    push(&queue, task(1, &log));
    drop(queue.runner());
    assert_eq!(lost.load(Ordering::Relaxed), 1, "once");
    let mut turn = Turn::new();
    while let Some(entry) = queue.pop() {
        entry.run(&mut turn);
    }
    assert_eq!(taken(&log), [0, 1]);
}

/// Runs eight entries that push one more each, in an order from a seed.
fn run_by_seed(mut seed: u64) -> Vec<usize> {
    let (queue, log) = (queue(), Log::default());
    let mut runner = queue.runner();
    queue.order_by(move |ready| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).expect("31 bits fit") % ready
    });
    for number in 0..8 {
        let inner = (queue.clone(), Arc::clone(&log));
        push(&queue, task_with(number, &log, move |_| push(&inner.0, task(10 + number, &inner.1))));
    }
    assert!(poll(&mut runner).is_pending());
    taken(&log)
}

#[test]
fn a_seed_gives_the_order() {
    let orders: Vec<_> = (0..8).map(run_by_seed).collect();
    for (seed, order) in (0..).zip(&orders) {
        assert_eq!(*order, run_by_seed(seed), "the same again");
        let mut all = order.clone();
        all.sort_unstable();
        assert!(all.into_iter().eq((0..8).chain(10..18)), "each once");
    }
    assert!(orders.iter().any(|order| *order != orders[0]));
}

#[test]
fn a_choice_out_of_bounds_is_the_last() {
    let (queue, log) = (queue(), Log::default());
    let mut runner = queue.runner();
    queue.order_by(|ready| ready);
    (0..3).for_each(|number| push(&queue, task(number, &log)));
    assert!(poll(&mut runner).is_pending());
    assert_eq!(taken(&log), [2, 1, 0]);
    assert!(queue.pop().is_none(), "with nothing ready nothing is chosen");
}

#[test]
fn several_queues_on_one_thread_keep_to_themselves() {
    let (outer, inner, log) = (queue(), queue(), Log::default());
    let mut runner = outer.runner();
    let nested = Arc::new(Mutex::new(inner.runner()));
    let (queues, numbers) = ((outer.clone(), inner.clone()), Arc::clone(&log));
    push(
        &outer,
        task_with(0, &log, move |_| {
            let (outer, inner) = &queues;
            push(outer, task(1, &numbers));
            let (queues, numbers) = (queues.clone(), Arc::clone(&numbers));
            let again = (outer.clone(), Arc::clone(&numbers));
            push(
                inner,
                task_with(10, &again.1.clone(), move |_| {
                    push(&queues.1, task(11, &numbers));
                    push(&again.0, task(2, &numbers));
                }),
            );
            let mut runner = nested.lock().expect("nobody panics with it");
            assert!(Pin::new(&mut *runner).poll(&mut Context::from_waker(&Bell::new().waker())).is_pending());
        }),
    );
    assert!(poll(&mut runner).is_pending());
    assert_eq!(taken(&log), [0, 10, 11, 1, 2], "own places are put by, and come back");
    assert!(outer.pop().is_none() && inner.pop().is_none());
}

/// An entry, and a waker, that use the queue when they are dropped: a deadlock if that happened under the lock.
struct Nosy(RunQueue);

impl Nosy {
    fn look(&self) {
        assert!(format!("{:?}", self.0).starts_with("RunQueue"));
    }
}

impl Runnable for Nosy {
    fn run(self: Arc<Self>, _turn: &mut Turn) {
        self.look();
    }
}

impl std::task::Wake for Nosy {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.look();
    }
}

#[test]
fn nothing_is_used_under_the_lock() {
    without_deadlock(|| {
        let shared = RunQueue::new(|| {});
        let queue = RunQueue::new({
            let nosy = Nosy(shared.clone());
            move || nosy.look()
        });
        let nosy = |queue: &RunQueue| Arc::new(Nosy(queue.clone()));
        let mut runners = [queue.runner(), queue.runner()];
        for _ in 0..2 {
            for runner in &mut runners {
                let waker = nosy(&queue).into();
                assert!(Pin::new(runner).poll(&mut Context::from_waker(&waker)).is_pending());
            }
        }
        push(&queue, nosy(&queue));
        push(&queue, nosy(&queue));
        let [first, mut second] = runners;
        drop(first);
        assert!(poll(&mut second).is_pending());
        push(&queue, nosy(&queue));
        queue.close();
        assert!(queue.push(nosy(&queue)).is_err());
        let captured = Nosy(queue.clone());
        queue.order_by(move |_| {
            let _ = &captured;
            0
        });
        queue.order_by(|_| 0);
    });
}
