//! Run queues: whether each push is run, and each runner ends.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use odeon_mailbox::{RunQueue, Runnable, Turn};

use super::{block_on, check, check_bounded};

/// An entry that counts its runs, and closes the queue after so many.
struct Counted {
    queue: RunQueue,
    ran: AtomicUsize,
    last: usize,
}

impl Counted {
    fn new(queue: &RunQueue, last: usize) -> Arc<Self> {
        Arc::new(Self { queue: queue.clone(), ran: AtomicUsize::new(0), last })
    }

    fn ran(&self) -> usize {
        self.ran.load(Ordering::SeqCst)
    }
}

impl Runnable for Counted {
    fn run(self: Arc<Self>, _turn: &mut Turn) {
        if self.ran.fetch_add(1, Ordering::SeqCst) + 1 == self.last {
            self.queue.close();
        }
    }
}

fn never_lost() -> RunQueue {
    RunQueue::new(|| panic!("it was closed"))
}

#[test]
fn what_is_pushed_while_a_runner_goes_idle_is_run() {
    check(|| {
        let queue = never_lost();
        let entry = Counted::new(&queue, 2);
        let runner = thread::spawn({
            let runner = queue.runner();
            move || block_on(runner)
        });
        for _ in 0..2 {
            assert!(queue.push(entry.clone()).is_ok());
        }
        runner.join().expect("it ends well");
        assert_eq!(entry.ran(), 2);
    });
}

#[test]
fn two_runners_run_each_push_once_and_both_end() {
    check_bounded(|| {
        let queue = never_lost();
        let entry = Counted::new(&queue, 2);
        let runners = [(); 2].map(|()| {
            let runner = queue.runner();
            thread::spawn(move || block_on(runner))
        });
        for _ in 0..2 {
            assert!(queue.push(entry.clone()).is_ok());
        }
        for runner in runners {
            runner.join().expect("it ends well");
        }
        assert_eq!(entry.ran(), 2);
    });
}

/// Pushes another entry from a runner's own thread, once or twice.
struct Pushes(Arc<Counted>, usize);

impl Runnable for Pushes {
    fn run(self: Arc<Self>, _turn: &mut Turn) {
        for _ in 0..self.1 {
            assert!(self.0.queue.push(self.0.clone()).is_ok());
        }
    }
}

#[test]
fn what_a_runner_pushes_is_run_by_it_or_another() {
    check_bounded(|| {
        let queue = never_lost();
        let entry = Counted::new(&queue, 2);
        let runners = [(); 2].map(|()| {
            let runner = queue.runner();
            thread::spawn(move || block_on(runner))
        });
        assert!(queue.push(Arc::new(Pushes(entry.clone(), 2))).is_ok());
        for runner in runners {
            runner.join().expect("it ends well");
        }
        assert_eq!(entry.ran(), 2);
    });
}

#[test]
fn what_is_pushed_while_the_queue_closes_is_run_or_dropped() {
    check(|| {
        let queue = never_lost();
        let entry = Counted::new(&queue, 9);
        let runner = thread::spawn({
            let runner = queue.runner();
            move || block_on(runner)
        });
        let pusher = thread::spawn({
            let (queue, entry) = (queue.clone(), entry.clone());
            move || queue.push(entry).is_ok()
        });
        queue.close();
        runner.join().expect("it ends well");
        let is_pushed = pusher.join().expect("it ends well");
        assert!(entry.ran() <= usize::from(is_pushed));
        assert_eq!(Arc::strong_count(&entry), 1, "nobody keeps it");
    });
}

#[test]
fn what_is_pushed_while_the_last_runner_falls_is_there_for_the_owner() {
    check(|| {
        let lost = Arc::new(AtomicUsize::new(0));
        let queue = RunQueue::new({
            let lost = Arc::clone(&lost);
            move || {
                lost.fetch_add(1, Ordering::SeqCst);
            }
        });
        let entry = Counted::new(&queue, 9);
        let runners = [queue.runner(), queue.runner()];
        let falls = runners.map(|runner| thread::spawn(move || drop(runner)));
        assert!(queue.push(entry.clone()).is_ok());
        for fall in falls {
            fall.join().expect("it ends well");
        }
        assert_eq!(lost.load(Ordering::SeqCst), 1);
        assert!(queue.pop().is_some() && queue.pop().is_none());
    });
}

#[test]
fn what_a_runner_was_woken_for_is_run_although_it_falls() {
    check(|| {
        let queue = never_lost();
        let entry = Counted::new(&queue, 1);
        let kept = thread::spawn({
            let runner = queue.runner();
            move || block_on(runner)
        });
        let falls = thread::spawn({
            let mut runner = queue.runner();
            move || {
                let noop = &mut std::task::Context::from_waker(std::task::Waker::noop());
                let _ = std::pin::Pin::new(&mut runner).poll(noop);
                drop(runner);
            }
        });
        assert!(queue.push(entry.clone()).is_ok());
        falls.join().expect("it ends well");
        kept.join().expect("it ends well");
        assert_eq!(entry.ran(), 1);
    });
}
