//! A cell with a mailbox on a run queue, as an actor is: what the tests with threads run. Owns no state beyond a test.
//!
//! Items are seen one by one, or in pairs: an [`Item::Open`] is handled by a future that waits for something else
//! first, and then takes the [`Item::Close`] of the same sender and number out of its turn.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Poll, Wake};

use odeon_mailbox::{
    Batch, Begin, Cell, Entry, Mailbox, Received, RunQueue, Runnable, SendError, Standing, Turn, Waiting,
};

use crate::support::block_on;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    One { sender: usize, number: usize },
    Open { sender: usize, number: usize },
    Close { sender: usize, number: usize },
}

pub(crate) struct Worker {
    cell: Cell<Contents>,
    pub(crate) mailbox: Mailbox<Item, Item>,
    queue: RunQueue,
    takes_messages: AtomicBool,
    inside: AtomicUsize,
}

struct Contents {
    batch: Batch<Item>,
    worker: Option<Arc<Worker>>,
    /// The numbers seen of each sender, in order.
    seen: Vec<Vec<usize>>,
    seen_control: Vec<Vec<usize>>,
    left: usize,
    done: mpsc::Sender<Numbers>,
}

/// What a worker saw of each sender: data, and control.
type Numbers = (Vec<Vec<usize>>, Vec<Vec<usize>>);

pub(crate) type Seen = mpsc::Receiver<Numbers>;

impl Worker {
    /// A worker that tells what it has seen after so many items. A pair counts as one.
    pub(crate) fn new(queue: &RunQueue, capacity: usize, senders: usize, items: usize) -> (Arc<Self>, Seen) {
        let (done, seen) = mpsc::channel();
        let worker = Arc::new(Self {
            cell: Cell::notified(),
            mailbox: Mailbox::new(capacity),
            queue: queue.clone(),
            takes_messages: AtomicBool::new(false),
            inside: AtomicUsize::new(0),
        });
        let mut entered = worker.cell.begin();
        entered.put(Contents {
            batch: Batch::new(),
            worker: Some(Arc::clone(&worker)),
            seen: vec![Vec::new(); senders],
            seen_control: vec![Vec::new(); senders],
            left: items,
            done,
        });
        assert!(entered.try_leave(Waiting::Messages).is_ok());
        (worker, seen)
    }

    fn schedule(self: &Arc<Self>) {
        assert!(self.queue.push(Arc::clone(self) as _).is_ok(), "the queue is open");
    }

    /// To be called after something was put into the mailbox.
    pub(crate) fn notify_message(self: &Arc<Self>) {
        if self.cell.notify_message() {
            self.schedule();
        }
    }

    /// Sends, and waits for room if need be.
    pub(crate) fn send(self: &Arc<Self>, item: Item) {
        let mut ticket = None;
        let mut item = Some(item);
        let sent = block_on(poll_fn(|cx| {
            if let Some(item) = item.take() {
                match self.mailbox.enter(item, cx.waker()) {
                    Ok(Entry::Queued) => {
                        self.notify_message();
                        return Poll::Ready(Ok(()));
                    }
                    Ok(Entry::Waits(got)) => ticket = Some(got),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            match self.mailbox.stand(ticket.expect("it stands in line"), cx.waker()) {
                Standing::Waiting => Poll::Pending,
                Standing::Admitted => Poll::Ready(Ok(())),
                Standing::Closed(item) => Poll::Ready(Err(SendError::Closed(item))),
            }
        }));
        sent.expect("the mailbox is open and not crowded");
    }

    /// Enters the cell as an inline ask does, and looks at nothing. Whether it was idle.
    pub(crate) fn try_visit(self: &Arc<Self>) -> bool {
        let Some(entered) = self.cell.try_enter() else {
            return false;
        };
        self.alone(|| std::hint::black_box(()));
        if let Err(notified) = entered.try_leave(Waiting::Messages) {
            notified.give_way();
            self.schedule();
        }
        true
    }

    /// Fails if two are in the cell at once.
    fn alone<R>(&self, run: impl FnOnce() -> R) -> R {
        assert_eq!(self.inside.fetch_add(1, Ordering::Relaxed), 0, "one at a time is in a cell");
        let result = run();
        self.inside.fetch_sub(1, Ordering::Relaxed);
        result
    }

    fn steps(self: &Arc<Self>, entered: &mut odeon_mailbox::Entered<'_, Contents>, turn: &mut Turn) -> Step {
        let mut has_looked = false;
        loop {
            if entered.is_waiting() {
                if entered.poll(self, &mut turn.spare).is_pending() {
                    let takes = self.takes_messages.load(Ordering::Relaxed);
                    return Step::Idle(if takes { Waiting::Messages } else { Waiting::Other });
                }
                has_looked = false;
            }
            let Some(contents) = entered.contents() else {
                return Step::Idle(Waiting::Messages);
            };
            contents.tell_when_done();
            if has_looked && self.mailbox.is_quiet(&contents.batch) {
                return Step::Idle(Waiting::Messages);
            }
            if !turn.step() {
                return Step::Spent;
            }
            has_looked = true;
            match self.mailbox.next(&mut contents.batch) {
                Some(Received::Data(Item::One { sender, number })) => contents.see(sender, number),
                Some(Received::Data(Item::Open { sender, number })) => {
                    entered.start(Pair { sender, number }, &mut turn.spare);
                }
                Some(Received::Control(Item::One { sender, number })) => {
                    contents.left -= 1;
                    contents.seen_control[sender].push(number);
                }
                None => return Step::Idle(Waiting::Messages),
                other => panic!("{other:?} is for nobody"),
            }
        }
    }
}

enum Step {
    Idle(Waiting),
    Spent,
}

impl Runnable for Worker {
    fn run(self: Arc<Self>, turn: &mut Turn) {
        let mut entered = self.cell.begin();
        loop {
            match self.alone(|| self.steps(&mut entered, turn)) {
                Step::Idle(waiting) => match entered.try_leave(waiting) {
                    Ok(()) => return,
                    Err(notified) => entered = notified,
                },
                Step::Spent => {
                    entered.give_way();
                    assert!(self.queue.push_shared(Arc::clone(&self) as _).is_ok(), "the queue is open");
                    return;
                }
            }
        }
    }
}

impl Wake for Worker {
    fn wake(self: Arc<Self>) {
        if self.cell.notify() {
            self.schedule();
        }
    }
}

impl Contents {
    fn see(&mut self, sender: usize, number: usize) {
        self.seen[sender].push(number);
        self.left -= 1;
    }

    fn tell_when_done(&mut self) {
        if self.left == 0 && self.worker.take().is_some() {
            let seen = (std::mem::take(&mut self.seen), std::mem::take(&mut self.seen_control));
            self.done.send(seen).expect("the test waits for this");
        }
    }
}

struct Pair {
    sender: usize,
    number: usize,
}

impl Begin<Contents> for Pair {
    async fn begin(self, contents: &mut Contents) {
        let Self { sender, number } = self;
        let worker = contents.worker.clone().expect("more is to come");
        // Something else than a message: another thread could as well be the one that wakes.
        let mut is_woken = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut is_woken, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        worker.takes_messages.store(true, Ordering::Relaxed);
        let close = Item::Close { sender, number };
        poll_fn(|_| match worker.mailbox.next_matching(&mut contents.batch, |item| *item == close) {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        })
        .await;
        worker.takes_messages.store(false, Ordering::Relaxed);
        contents.see(sender, number);
    }
}
