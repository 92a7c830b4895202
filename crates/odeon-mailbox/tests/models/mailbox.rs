//! Mailboxes: bounds, the line, and their end.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use loom::thread;
use odeon_mailbox::{
    Batch, Cell, ControlError, Entry, Mailbox, Received, SendError, Standing, TrySendError, Waiting,
};

use super::{block_on, check, check_bounded};

/// Sends, and waits for room if need be; calls `tell` when the consumer has to be told.
fn send(mailbox: &Mailbox<u8, u8>, item: u8, tell: impl Fn()) -> Result<(), SendError<u8>> {
    let (mut ticket, mut item) = (None, Some(item));
    block_on(poll_fn(|cx| {
        if let Some(item) = item.take() {
            match mailbox.enter(item, cx.waker()) {
                Ok(Entry::Queued) => {
                    tell();
                    return Poll::Ready(Ok(()));
                }
                Ok(Entry::Waits(got)) => {
                    ticket = Some(got);
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        match mailbox.stand(ticket.expect("it stands in line"), cx.waker()) {
            Standing::Waiting => Poll::Pending,
            Standing::Admitted => Poll::Ready(Ok(())),
            Standing::Closed(item) => Poll::Ready(Err(SendError::Closed(item))),
        }
    }))
}

#[test]
fn what_is_queued_and_taken_never_exceeds_the_capacity() {
    check(|| {
        let mailbox = Arc::new(Mailbox::<u8, u8>::new(2));
        assert_eq!(mailbox.try_send(0), Ok(()));
        let others = [1, 2].map(|item| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                let is_sent = match mailbox.try_send(item) {
                    Ok(()) => true,
                    Err(TrySendError::Full(back)) => {
                        assert_eq!(back, item);
                        false
                    }
                    Err(TrySendError::Closed(_)) => panic!("it is open"),
                };
                assert!(mailbox.len() <= 2);
                is_sent
            })
        });
        let mut batch = Batch::new();
        assert_eq!(mailbox.next(&mut batch), Some(Received::Data(0)));
        let left = batch.iter().count();
        assert!(mailbox.len() <= 2 && mailbox.len() >= left);
        let sent = others.map(|other| other.join().expect("it ends well"));
        let count = sent.into_iter().filter(|is_sent| *is_sent).count();
        assert!(count >= 1, "there was room for one");
        let rest: Vec<_> = std::iter::from_fn(|| mailbox.next(&mut batch)).collect();
        assert_eq!(rest.len(), count);
    });
}

/// A mailbox with a cell that is run by whoever has to put it on a run queue.
struct Worker {
    cell: Cell<(Batch<u8>, Vec<u8>)>,
    mailbox: Mailbox<u8, u8>,
}

impl Worker {
    fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { cell: Cell::idle((Batch::new(), Vec::new())), mailbox: Mailbox::new(capacity) })
    }

    fn send(&self, item: u8) {
        assert!(send(&self.mailbox, item, || self.notify()).is_ok(), "it is open");
    }

    fn notify(&self) {
        if !self.cell.notify_message() {
            return;
        }
        let mut entered = self.cell.begin();
        loop {
            let (batch, seen) = entered.contents().expect("no future has them");
            let mut has_looked = false;
            while !(has_looked && self.mailbox.is_quiet(batch)) {
                has_looked = true;
                match self.mailbox.next(batch) {
                    Some(Received::Data(item)) => seen.push(item),
                    Some(other) => panic!("{other:?} is not expected"),
                    None => break,
                }
            }
            match entered.try_leave(Waiting::Messages) {
                Ok(()) => return,
                Err(notified) => entered = notified,
            }
        }
    }

    fn seen(&self) -> Vec<u8> {
        let mut entered = self.cell.try_enter().expect("it is idle");
        let (batch, seen) = entered.take().expect("no future has them");
        assert_eq!(batch.iter().count() + self.mailbox.len(), 0, "nothing is stranded");
        seen
    }
}

#[test]
fn who_gets_in_line_while_the_last_item_is_handed_out_is_let_in() {
    check_bounded(|| {
        let worker = Worker::new(1);
        let other = thread::spawn({
            let worker = Arc::clone(&worker);
            move || (1..=2).for_each(|item| worker.send(item))
        });
        worker.send(3);
        other.join().expect("it ends well");
        let seen = worker.seen();
        let of_other: Vec<_> = seen.iter().copied().filter(|item| *item < 3).collect();
        assert_eq!((seen.len(), of_other), (3, vec![1, 2]));
    });
}

#[test]
fn who_gets_in_line_while_a_full_mailbox_is_handed_out_is_let_in() {
    check(|| {
        let worker = Worker::new(2);
        assert_eq!(worker.mailbox.try_send(1), Ok(()));
        assert_eq!(worker.mailbox.try_send(2), Ok(()));
        let other = thread::spawn({
            let worker = Arc::clone(&worker);
            move || worker.send(3)
        });
        worker.notify();
        other.join().expect("it ends well");
        assert_eq!(worker.seen(), [1, 2, 3]);
    });
}

#[test]
fn the_line_is_let_in_in_its_order_and_before_others() {
    check(|| {
        let mailbox = Arc::new(Mailbox::<u8, u8>::new(1));
        assert_eq!(mailbox.try_send(0), Ok(()));
        let noop = std::task::Waker::noop();
        let line = [1, 2].map(|item| match mailbox.enter(item, noop) {
            Ok(Entry::Waits(ticket)) => ticket,
            _ => panic!("it is full"),
        });
        let barger = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.try_send(9).is_ok()
        });
        let leaver = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            // Lets go of the first place; the item may be in by then.
            move || mailbox.leave(line[0])
        });
        let mut batch = Batch::new();
        let mut seen = Vec::new();
        for _ in 0..2 {
            if let Some(Received::Data(item)) = mailbox.next(&mut batch) {
                seen.push(item);
            }
        }
        let has_barged = barger.join().expect("it ends well");
        leaver.join().expect("it ends well");
        while let Some(Received::Data(item)) = mailbox.next(&mut batch) {
            seen.push(item);
        }
        let expected: &[&[u8]] =
            if has_barged { &[&[0, 1, 2, 9], &[0, 2, 9]] } else { &[&[0, 1, 2], &[0, 2]] };
        assert!(expected.contains(&seen.as_slice()), "{seen:?}");
        assert!(matches!(mailbox.stand(line[1], noop), Standing::Admitted));
    });
}

#[test]
fn an_item_is_let_in_or_dropped_with_its_ticket() {
    check(|| {
        let alive = Arc::new(());
        let mailbox = Arc::new(Mailbox::<Arc<()>, u8>::new(1));
        assert!(mailbox.try_send(Arc::clone(&alive)).is_ok());
        let Ok(Entry::Waits(ticket)) = mailbox.enter(Arc::clone(&alive), std::task::Waker::noop()) else {
            panic!("it is full");
        };
        let leaver = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.leave(ticket)
        });
        let mut batch = Batch::new();
        assert!(mailbox.next(&mut batch).is_some());
        leaver.join().expect("it ends well");
        let queued = mailbox.len();
        assert_eq!(Arc::strong_count(&alive), 1 + queued);
        assert_eq!(std::iter::from_fn(|| mailbox.next(&mut batch)).count(), queued);
        assert_eq!(Arc::strong_count(&alive), 1);
        assert!(mailbox.try_send(Arc::clone(&alive)).is_ok(), "there is room, and no line");
    });
}

#[test]
fn an_item_sent_while_the_mailbox_closes_is_handed_back_or_left_over() {
    check(|| {
        let mailbox = Arc::new(Mailbox::<u8, u8>::new(1));
        let other = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || (1..=2).filter(|item| send(&mailbox, *item, || {}).is_err()).count()
        });
        let mut batch = Batch::new();
        let received = usize::from(mailbox.next(&mut batch).is_some());
        let left = mailbox.close(&mut batch).data.len();
        let refused = other.join().expect("it ends well");
        assert_eq!(received + left + refused, 2);
        assert_eq!(mailbox.next(&mut batch), Some(Received::Drained));
    });
}

#[test]
fn a_drain_comes_after_all_that_was_sent() {
    check(|| {
        let mailbox = Arc::new(Mailbox::<u8, u8>::new(1));
        let other = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || (1..=2).filter(|item| send(&mailbox, *item, || {}).is_ok()).count()
        });
        let mut batch = Batch::new();
        let mut received = usize::from(mailbox.next(&mut batch).is_some());
        mailbox.close_intake();
        while mailbox.next(&mut batch) != Some(Received::Drained) {
            received += 1;
        }
        assert_eq!(other.join().expect("it ends well"), received);
    });
}

#[test]
fn control_sent_while_the_mailbox_closes_is_handed_back_or_left_over() {
    check(|| {
        let mailbox = Arc::new(Mailbox::<u8, u8>::new(1));
        let other = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || (1..=2).filter(|item| mailbox.control(*item) == Err(ControlError::Closed(*item))).count()
        });
        let mut batch = Batch::new();
        let received =
            usize::from(mailbox.next(&mut batch).is_some()) + usize::from(mailbox.next_control().is_some());
        let left = mailbox.close(&mut batch).control.len();
        assert!(!mailbox.has_control());
        assert_eq!(received + left + other.join().expect("it ends well"), 2);
    });
}
