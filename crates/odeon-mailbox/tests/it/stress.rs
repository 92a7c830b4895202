//! Real threads: nothing is lost, nothing comes twice, each sender's items stay in order, and nobody sleeps for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use odeon_mailbox::{Batch, Mailbox, Received, RunQueue, TrySendError};

use crate::support::{Bell, DEADLINE, block_on};
use crate::worker::{Item, Worker};

const SENDERS: usize = 3;

/// Runs `test` with a queue that has so many threads.
fn with_runners(runners: usize, test: impl FnOnce(&RunQueue)) {
    let queue = RunQueue::new(|| panic!("the queue is closed before its runners are dropped"));
    thread::scope(|scope| {
        for _ in 0..runners {
            let runner = queue.runner();
            scope.spawn(move || block_on(runner));
        }
        let closes = Closes(&queue);
        test(&queue);
        drop(closes);
    });
}

/// Closes the queue, so that a test that fails does not wait for its runners.
struct Closes<'q>(&'q RunQueue);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Sends `items` of each sender to a worker, from a thread per sender, and checks what it saw.
fn check(runners: usize, capacity: usize, items: usize, send: impl Fn(&Arc<Worker>, usize, usize) + Sync) {
    with_runners(runners, |queue| {
        let (worker, seen) = Worker::new(queue, capacity, SENDERS, SENDERS * items);
        thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (worker, send) = (&worker, &send);
                scope.spawn(move || (0..items).for_each(|number| send(worker, sender, number)));
            }
            let (data, control) = seen.recv_timeout(DEADLINE).expect("all is seen before the deadline");
            for (data, control) in data.into_iter().zip(control) {
                assert!(data.is_sorted() && control.is_sorted(), "in order");
                let mut all = [data, control].concat();
                all.sort_unstable();
                assert!(all.into_iter().eq(0..items), "all, and once");
            }
        });
    });
}

#[test]
fn every_item_is_seen_once_and_in_order() {
    for (runners, capacity) in [(1, 1), (2, 1), (2, 8), (3, 1_024)] {
        check(runners, capacity, 4_000, |worker, sender, number| {
            let item = Item::One { sender, number };
            match number % 8 {
                0 => {
                    assert!(worker.mailbox.control(item).is_ok());
                    worker.notify_message();
                }
                1 | 2 => match worker.mailbox.try_send(item) {
                    Ok(()) => worker.notify_message(),
                    Err(TrySendError::Full(item)) => worker.send(item),
                    Err(TrySendError::Closed(_)) => panic!("the mailbox is open"),
                },
                _ => worker.send(item),
            }
            assert!(worker.mailbox.len() <= capacity, "the bound holds");
        });
    }
}

#[test]
fn a_future_that_waits_for_something_and_then_for_a_message_gets_it() {
    // Without a bound: the end of a pair must not stand in line behind what is not taken before it.
    for runners in [1, 2] {
        check(runners, usize::MAX, 2_000, |worker, sender, number| {
            if number % 4 == 3 {
                worker.send(Item::One { sender, number });
            } else {
                worker.send(Item::Open { sender, number });
                worker.send(Item::Close { sender, number });
            }
        });
    }
}

#[test]
fn visits_on_the_stack_lose_no_message() {
    let visits = AtomicUsize::new(0);
    check(2, 4, 4_000, |worker, sender, number| {
        worker.send(Item::One { sender, number });
        visits.fetch_add(usize::from(worker.try_visit()), Ordering::Relaxed);
    });
    assert!(visits.into_inner() > 0);
}

#[test]
fn many_workers_share_the_runners() {
    const WORKERS: usize = 8;
    const ITEMS: usize = 500;
    with_runners(2, |queue| {
        let (workers, seen): (Vec<_>, Vec<_>) =
            (0..WORKERS).map(|_| Worker::new(queue, 4, WORKERS, WORKERS * ITEMS)).unzip();
        thread::scope(|scope| {
            for sender in 0..2 {
                let workers = &workers;
                scope.spawn(move || {
                    for number in 0..ITEMS {
                        for worker in workers {
                            for sender in (sender..WORKERS).step_by(2) {
                                worker.send(Item::One { sender, number });
                            }
                        }
                    }
                });
            }
        });
        for seen in seen {
            let (data, _) = seen.recv_timeout(DEADLINE).expect("all is seen before the deadline");
            assert!(data.into_iter().all(|numbers| numbers.into_iter().eq(0..ITEMS)));
        }
    });
}

#[test]
fn closing_under_fire_accounts_for_every_item() {
    const ITEMS: usize = 40;
    for round in 0..SENDERS * ITEMS {
        let mailbox = Mailbox::<Arc<()>, ()>::new(2);
        let alive = Arc::new(());
        let (received, left, refused) = thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS)
                .map(|_| {
                    scope.spawn(|| {
                        let send = |_: &usize| {
                            let mut item = Arc::clone(&alive);
                            loop {
                                match mailbox.try_send(item) {
                                    Ok(()) => return false,
                                    Err(TrySendError::Closed(_)) => return true,
                                    Err(TrySendError::Full(back)) => item = back,
                                }
                                thread::yield_now();
                            }
                        };
                        (0..ITEMS).filter(send).count()
                    })
                })
                .collect();
            let mut batch = Batch::new();
            let mut received = 0;
            while received < round {
                match mailbox.next(&mut batch) {
                    Some(Received::Data(_)) => received += 1,
                    Some(other) => panic!("{other:?} is not expected"),
                    None => thread::yield_now(),
                }
            }
            let left = mailbox.close(&mut batch).data.len();
            let refused: usize =
                senders.into_iter().map(|sender| sender.join().expect("the sender ends well")).sum();
            (received, left, refused)
        });
        assert_eq!(received + left + refused, SENDERS * ITEMS);
        assert_eq!(Arc::strong_count(&alive), 1, "every item was dropped once");
    }
}

#[test]
fn who_gives_up_blocks_nobody() {
    const ITEMS: usize = 5_000;
    let mailbox = Mailbox::<(usize, usize), ()>::new(1);
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let mailbox = &mailbox;
                scope.spawn(move || {
                    let bell = Bell::new();
                    for number in 0..ITEMS {
                        match mailbox.enter((sender, number), &bell.waker()) {
                            Ok(odeon_mailbox::Entry::Waits(ticket)) => mailbox.leave(ticket),
                            Ok(odeon_mailbox::Entry::Queued) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        let mut batch = Batch::new();
        let mut seen = vec![Vec::new(); SENDERS];
        let mut take = || {
            while let Some(Received::Data((sender, number))) = mailbox.next(&mut batch) {
                seen[sender].push(number);
            }
        };
        while senders.iter().any(|sender| !sender.is_finished()) {
            take();
            thread::yield_now();
        }
        take();
        assert!(seen.iter().all(|numbers| numbers.is_sorted_by(|a, b| a < b)), "in order and not twice");
        assert_eq!(mailbox.try_send((0, 0)), Ok(()), "nobody is left in the line");
    });
}
