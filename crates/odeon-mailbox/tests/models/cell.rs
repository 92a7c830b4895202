//! Cells: who runs them, and whether each notification and each message gets its look.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool as Plain, Ordering::Relaxed};
use std::task::{Poll, Wake};

use loom::sync::atomic::AtomicBool;
use loom::thread;
use odeon_mailbox::{Batch, Begin, Cell, Entered, Mailbox, Received, Spare, Waiting};

use super::{check, check_bounded};

/// A cell that is run by whoever has to put it on a run queue.
struct Worker<C> {
    cell: Cell<C>,
    mailbox: Mailbox<u8, u8>,
    /// What is told by notifying alone. Relaxed: the cell's word has to order it.
    is_told: AtomicBool,
}

impl<C> Worker<C> {
    fn new(contents: C) -> Arc<Self> {
        Self::with_capacity(contents, 4)
    }

    fn with_capacity(contents: C, capacity: usize) -> Arc<Self> {
        let (cell, mailbox) = (Cell::idle(contents), Mailbox::new(capacity));
        Arc::new(Self { cell, mailbox, is_told: AtomicBool::new(false) })
    }

    fn run(&self, mut steps: impl FnMut(&mut Entered<'_, C>) -> Waiting) {
        let mut entered = self.cell.begin();
        loop {
            let waiting = steps(&mut entered);
            match entered.try_leave(waiting) {
                Ok(()) => return,
                Err(notified) => entered = notified,
            }
        }
    }
}

#[derive(Default)]
struct Contents {
    batch: Batch<u8>,
    seen: Vec<u8>,
    is_told: bool,
}

/// Takes all there is, as an actor does.
fn take_all(worker: &Worker<Contents>, entered: &mut Entered<'_, Contents>) -> Waiting {
    let contents = entered.contents().expect("no future has them");
    contents.is_told |= worker.is_told.load(Relaxed);
    let mut has_looked = false;
    while !(has_looked && worker.mailbox.is_quiet(&contents.batch)) {
        has_looked = true;
        match worker.mailbox.next(&mut contents.batch) {
            Some(Received::Data(item) | Received::Control(item)) => contents.seen.push(item),
            Some(Received::Drained) | None => break,
        }
    }
    Waiting::Messages
}

fn send(worker: &Worker<Contents>, item: u8) {
    assert_eq!(worker.mailbox.try_send(item), Ok(()));
    if worker.cell.notify_message() {
        worker.run(|entered| take_all(worker, entered));
    }
}

fn control(worker: &Worker<Contents>, item: u8) {
    assert_eq!(worker.mailbox.control(item), Ok(()));
    if worker.cell.notify_message() {
        worker.run(|entered| take_all(worker, entered));
    }
}

/// What the cell has seen, once everybody is done: it is idle, and nothing is left.
fn seen(worker: &Worker<Contents>) -> Vec<u8> {
    let mut entered = worker.cell.try_enter().expect("it is idle");
    let contents = entered.contents().expect("no future has them");
    assert!(worker.mailbox.next(&mut contents.batch).is_none(), "nothing is stranded");
    let mut seen = std::mem::take(&mut contents.seen);
    assert!(entered.try_leave(Waiting::Messages).is_ok());
    seen.sort_unstable();
    seen
}

#[test]
fn no_notification_is_lost_and_one_at_a_time_is_in_the_cell() {
    check_bounded(|| {
        let worker = Worker::new(0_u8);
        let tell = |worker: Arc<Worker<u8>>| {
            move || {
                worker.is_told.store(true, Relaxed);
                if worker.cell.notify() {
                    worker.run(|entered| {
                        // Loom fails where two touch the contents at once.
                        *entered.contents().expect("no future has them") +=
                            u8::from(worker.is_told.swap(false, Relaxed));
                        Waiting::Messages
                    });
                }
            }
        };
        let others = [(); 2].map(|()| thread::spawn(tell(Arc::clone(&worker))));
        tell(Arc::clone(&worker))();
        for other in others {
            other.join().expect("it ends well");
        }
        assert!(!worker.is_told.load(Relaxed), "the last look came after the last word");
        let mut entered = worker.cell.try_enter().expect("it is idle");
        assert!((1..=3).contains(entered.contents().expect("no future has them")));
    });
}

#[test]
fn what_is_told_before_a_cell_gives_way_is_known_after() {
    check(|| {
        let worker = Worker::new(());
        let other = thread::spawn({
            let worker = Arc::clone(&worker);
            move || {
                worker.is_told.store(true, Relaxed);
                // Whoever gives way runs it again.
                worker.cell.notify()
            }
        });
        let mut is_known = false;
        if let Some(entered) = worker.cell.try_enter() {
            entered.give_way();
            worker.run(|_| {
                is_known |= worker.is_told.load(Relaxed);
                Waiting::Messages
            });
        }
        if other.join().expect("it ends well") {
            worker.run(|_| {
                is_known |= worker.is_told.load(Relaxed);
                Waiting::Messages
            });
        }
        assert!(is_known);
    });
}

#[test]
fn no_message_is_stranded() {
    check(|| {
        let worker = Worker::new(Contents::default());
        let other = thread::spawn({
            let worker = Arc::clone(&worker);
            move || (1..=2).for_each(|item| send(&worker, item))
        });
        send(&worker, 3);
        other.join().expect("it ends well");
        assert_eq!(seen(&worker), [1, 2, 3]);
    });
}

#[test]
fn no_message_is_stranded_behind_control() {
    check(|| {
        let worker = Worker::new(Contents::default());
        let other = thread::spawn({
            let worker = Arc::clone(&worker);
            move || control(&worker, 1)
        });
        send(&worker, 2);
        send(&worker, 3);
        other.join().expect("it ends well");
        assert_eq!(seen(&worker), [1, 2, 3]);
    });
}

#[test]
fn a_visit_on_the_stack_strands_nothing() {
    check(|| {
        let worker = Worker::new(Contents::default());
        let other = thread::spawn({
            let worker = Arc::clone(&worker);
            move || send(&worker, 1)
        });
        if let Some(entered) = worker.cell.try_enter()
            && let Err(notified) = entered.try_leave(Waiting::Messages)
        {
            notified.give_way();
            worker.run(|entered| take_all(&worker, entered));
        }
        other.join().expect("it ends well");
        assert_eq!(seen(&worker), [1]);
    });
}

#[test]
fn a_cell_may_be_left_with_a_batch_that_is_not_used_up() {
    check(|| {
        let worker = Worker::new(Contents::default());
        assert_eq!(worker.mailbox.try_send(1), Ok(()));
        assert_eq!(worker.mailbox.try_send(2), Ok(()));
        assert!(worker.cell.notify_message());
        let other = thread::spawn({
            let worker = Arc::clone(&worker);
            move || send(&worker, 3)
        });
        let mut entered = worker.cell.begin();
        let contents = entered.contents().expect("no future has them");
        assert_eq!(worker.mailbox.next(&mut contents.batch), Some(Received::Data(1)));
        contents.seen.push(1);
        entered.give_way();
        worker.run(|entered| take_all(&worker, entered));
        other.join().expect("it ends well");
        assert_eq!(seen(&worker), [1, 2, 3]);
    });
}

/// What a worker with a future waits for.
struct Waits {
    batch: Batch<u8>,
    worker: Option<Arc<Selective>>,
}

struct Selective {
    cell: Cell<Waits>,
    mailbox: Mailbox<u8, u8>,
    is_elsewhere: AtomicBool,
    takes_messages: Plain,
}

/// Waits for something else first, then for a message; what is no message for it stays.
struct Receive;

impl Begin<Waits> for Receive {
    async fn begin(self, waits: &mut Waits) {
        let worker = Arc::clone(waits.worker.as_ref().expect("it is there until the end"));
        poll_fn(|_| match worker.is_elsewhere.load(Relaxed) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        worker.takes_messages.store(true, Relaxed);
        poll_fn(|_| match worker.mailbox.next_matching(&mut waits.batch, |item| *item == 7) {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        })
        .await;
        waits.worker = None;
    }
}

impl Wake for Selective {
    fn wake(self: Arc<Self>) {
        if self.cell.notify() {
            self.run(self.cell.begin());
        }
    }
}

impl Selective {
    fn run(self: &Arc<Self>, mut entered: Entered<'_, Waits>) {
        loop {
            let polled = entered.poll(self, &mut Spare::new());
            let takes = polled.is_ready() || self.takes_messages.load(Relaxed);
            match entered.try_leave(if takes { Waiting::Messages } else { Waiting::Other }) {
                Ok(()) => return,
                Err(notified) => entered = notified,
            }
        }
    }
}

#[test]
fn a_message_put_in_while_a_busy_cell_begins_to_wait_for_it_is_taken() {
    check(|| {
        let worker = Arc::new(Selective {
            cell: Cell::idle(Waits { batch: Batch::new(), worker: None }),
            mailbox: Mailbox::new(4),
            is_elsewhere: AtomicBool::new(false),
            takes_messages: Plain::new(false),
        });
        let mut entered = worker.cell.try_enter().expect("it is idle");
        entered.contents().expect("no future has them").worker = Some(Arc::clone(&worker));
        entered.start(Receive, &mut Spare::new());
        let other = thread::spawn({
            let worker = Arc::clone(&worker);
            move || {
                worker.is_elsewhere.store(true, Relaxed);
                worker.wake();
            }
        });
        let sender = thread::spawn({
            let worker = Arc::clone(&worker);
            move || {
                assert_eq!(worker.mailbox.try_send(7), Ok(()));
                if worker.cell.notify_message() {
                    worker.run(worker.cell.begin());
                }
            }
        });
        worker.run(entered);
        other.join().expect("it ends well");
        sender.join().expect("it ends well");
        let mut entered = worker.cell.try_enter().expect("it is idle");
        assert!(!entered.is_waiting(), "the message was taken");
        assert!(entered.take().is_some());
    });
}
