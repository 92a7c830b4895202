//! What a sender may rely on: bounds, order, cancellation, and who is woken when.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use odeon_mailbox::{
    CAPACITY_DEFAULT, CONTROL_MAX, ControlError, Received, Receiver, Refused, Send, SendError, Sender,
    TrySendError, WAITERS_MAX, mailbox,
};

use crate::support::{Bell, poll_once, without_deadlock};

#[test]
fn handles_and_futures_cross_threads() {
    fn check<X: std::marker::Send + Sync + Unpin>() {}
    check::<Sender<Vec<u8>, String>>();
    check::<Send<'static, Vec<u8>, String>>();
    check::<Receiver<Vec<u8>, String>>();
    check::<odeon_mailbox::ReplyPort<Vec<u8>, String>>();
    check::<odeon_mailbox::ReplyFuture<Vec<u8>, String>>();
}

#[test]
fn data_is_refused_one_past_the_capacity() {
    for capacity in [1, 2, CAPACITY_DEFAULT] {
        let (sender, mut receiver) = mailbox::<usize, ()>(capacity);
        for item in 0..capacity {
            assert_eq!(sender.try_send(item), Ok(()), "item {item} of {capacity}");
        }
        assert_eq!(sender.len(), capacity);
        assert_eq!(sender.try_send(capacity), Err(TrySendError::Full(capacity)));
        assert_eq!(sender.try_send_with(|| unreachable!("there is no room")), Err(Refused::Full));
        for item in 0..capacity {
            assert_eq!(receiver.try_recv(), Some(Received::Data(item)));
        }
        assert!(sender.is_empty());
        assert_eq!(sender.try_send(0), Ok(()));
    }
}

#[test]
fn capacity_is_at_least_one_and_may_be_endless() {
    assert_eq!(mailbox::<(), ()>(0).0.capacity(), 1);
    assert_eq!(mailbox::<(), ()>(1).0.capacity(), 1);

    let (sender, _receiver) = mailbox::<usize, ()>(usize::MAX);
    for item in 0..10 * CAPACITY_DEFAULT {
        assert_eq!(sender.try_send(item), Ok(()));
    }
}

#[test]
fn control_is_refused_one_past_its_bound() {
    let (sender, mut receiver) = mailbox::<(), usize>(1);
    for item in 0..CONTROL_MAX {
        assert_eq!(sender.control(item), Ok(()));
    }
    assert_eq!(sender.control(CONTROL_MAX), Err(ControlError::Full(CONTROL_MAX)));
    assert_eq!(receiver.try_recv(), Some(Received::Control(0)));
    assert_eq!(sender.control(CONTROL_MAX), Ok(()));
}

#[test]
fn waiting_senders_are_refused_one_past_their_bound() {
    let (sender, mut receiver) = mailbox::<usize, ()>(1);
    let bell = Bell::new();
    sender.try_send(0).expect("there is room");

    let mut waiting: Vec<_> = (1..=WAITERS_MAX).map(|item| sender.send(item)).collect();
    for send in &mut waiting {
        assert_eq!(poll_once(send, &bell), Poll::Pending);
    }
    let mut late = sender.send(99);
    assert_eq!(poll_once(&mut late, &bell), Poll::Ready(Err(SendError::Crowded(99))));

    assert_eq!(receiver.try_recv(), Some(Received::Data(0)));
    let mut next = sender.send(WAITERS_MAX + 1);
    assert_eq!(poll_once(&mut next, &bell), Poll::Pending, "one was admitted, so one more may wait");
}

#[test]
fn send_does_not_wait_when_there_is_room() {
    let (sender, mut receiver) = mailbox::<u8, ()>(1);
    let bell = Bell::new();
    let mut send = sender.send(7);
    assert_eq!(sender.len(), 0, "nothing happens before the first poll");
    assert_eq!(poll_once(&mut send, &bell), Poll::Ready(Ok(())));
    assert_eq!(receiver.try_recv(), Some(Received::Data(7)));
    assert_eq!(bell.rings(), 0);
}

#[test]
fn waiting_senders_are_admitted_in_order_and_nobody_barges() {
    let (sender, mut receiver) = mailbox::<u8, ()>(1);
    sender.try_send(0).expect("there is room");
    let bells = [Bell::new(), Bell::new()];
    let mut first = sender.send(1);
    let mut second = sender.send(2);
    assert!(poll_once(&mut first, &bells[0]).is_pending());
    assert!(poll_once(&mut second, &bells[1]).is_pending());

    assert_eq!(receiver.try_recv(), Some(Received::Data(0)));
    assert_eq!(bells.each_ref().map(|bell| bell.rings()), [1, 0]);
    assert_eq!(sender.len(), 1, "the first item is in the lane before its sender runs");
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)), "the room was given to the first in line");

    assert_eq!(receiver.try_recv(), Some(Received::Data(1)));
    assert_eq!(receiver.try_recv(), Some(Received::Data(2)));
    assert_eq!(poll_once(&mut second, &bells[1]), Poll::Ready(Ok(())));
    assert_eq!(poll_once(&mut first, &bells[0]), Poll::Ready(Ok(())));
    assert_eq!(bells.each_ref().map(|bell| bell.rings()), [1, 1]);
}

#[test]
fn a_cancelled_send_leaves_the_line_and_drops_its_item() {
    let (sender, mut receiver) = mailbox::<Arc<u8>, ()>(1);
    let item = Arc::new(1);
    let bell = Bell::new();
    sender.try_send(Arc::new(0)).expect("there is room");

    drop(sender.send(Arc::clone(&item)));
    let mut cancelled = sender.send(Arc::clone(&item));
    assert!(poll_once(&mut cancelled, &bell).is_pending());
    let mut kept = sender.send(Arc::new(2));
    assert!(poll_once(&mut kept, &bell).is_pending());
    drop(cancelled);
    assert_eq!(Arc::strong_count(&item), 1);

    assert_eq!(receiver.try_recv(), Some(Received::Data(Arc::new(0))));
    assert_eq!(receiver.try_recv(), Some(Received::Data(Arc::new(2))));
    assert_eq!(receiver.try_recv(), None);
}

#[test]
fn a_send_dropped_after_admission_stays_sent() {
    let (sender, mut receiver) = mailbox::<u8, ()>(1);
    sender.try_send(0).expect("there is room");
    let mut send = sender.send(1);
    assert!(poll_once(&mut send, &Bell::new()).is_pending());
    assert_eq!(receiver.try_recv(), Some(Received::Data(0)));
    drop(send);
    assert_eq!(receiver.try_recv(), Some(Received::Data(1)));
}

#[test]
fn only_the_last_waker_of_a_waiting_sender_is_woken() {
    let (sender, mut receiver) = mailbox::<u8, ()>(1);
    let (old, new) = (Bell::new(), Bell::new());
    sender.try_send(0).expect("there is room");
    let mut send = sender.send(1);
    assert!(poll_once(&mut send, &old).is_pending());
    assert!(poll_once(&mut send, &new).is_pending());
    assert_eq!(Arc::strong_count(&old), 1, "the replaced waker is let go");
    assert_eq!(receiver.try_recv(), Some(Received::Data(0)));
    assert_eq!((old.rings(), new.rings()), (0, 1));
}

#[test]
fn senders_waiting_when_the_intake_shuts_get_their_items_back() {
    let from_outside: fn(&Sender<u8, ()>, &mut Receiver<u8, ()>) = |sender, _| sender.close_intake();
    let shut = [
        from_outside,
        |_, receiver| receiver.drain(),
        |_, receiver| {
            receiver.close();
        },
    ];
    for shut in shut {
        let (sender, mut receiver) = mailbox(1);
        let bell = Bell::new();
        sender.try_send(0).expect("there is room");
        let mut polled = sender.send(1);
        assert!(poll_once(&mut polled, &bell).is_pending());
        let mut unpolled = sender.send(2);

        shut(&sender, &mut receiver);
        assert_eq!(bell.rings(), 1);
        receiver.close();
        drop(receiver);
        assert_eq!(bell.rings(), 1, "one fate, one wake");
        assert_eq!(poll_once(&mut polled, &bell), Poll::Ready(Err(SendError::Closed(1))));
        assert_eq!(poll_once(&mut unpolled, &bell), Poll::Ready(Err(SendError::Closed(2))));
        assert_eq!(sender.try_send(3), Err(TrySendError::Closed(3)));
        assert_eq!(sender.try_send_with(|| unreachable!("it is shut")), Err(Refused::Closed));
        assert!(sender.is_closed());
    }
}

#[test]
fn a_send_polled_after_its_end_panics() {
    let (sender, _receiver) = mailbox::<u8, ()>(1);
    let mut send = sender.send(1);
    assert!(poll_once(&mut send, &Bell::new()).is_ready());
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(&mut send, &Bell::new()))).is_err());
    assert_eq!(sender.len(), 1);
}

#[test]
fn a_panic_while_making_an_item_leaves_the_mailbox_whole() {
    let (sender, mut receiver) = mailbox::<u8, ()>(1);
    let made = catch_unwind(AssertUnwindSafe(|| sender.try_send_with(|| panic!("no item"))));
    assert!(made.is_err());
    assert_eq!(sender.try_send_with(|| 5), Ok(()));
    assert_eq!(receiver.try_recv(), Some(Received::Data(5)));
}

#[test]
fn handles_neither_keep_the_mailbox_open_nor_close_it() {
    let (sender, mut receiver) = mailbox::<u8, ()>(2);
    let other = sender.clone();
    assert!(sender.same_channel(&other));
    assert!(!sender.same_channel(&mailbox(2).0));
    sender.try_send(1).expect("there is room");
    drop(sender);
    other.try_send(2).expect("there is room");
    drop(other);
    assert_eq!(receiver.try_recv(), Some(Received::Data(1)));
    assert_eq!(receiver.try_recv(), Some(Received::Data(2)));
    assert_eq!(receiver.try_recv(), None, "open although nobody can send");
}

#[test]
fn errors_give_the_item_back_and_do_not_print_it() {
    fn check(error: impl std::error::Error, debug: &str, display: &str) {
        assert_eq!(format!("{error:?}"), debug);
        assert_eq!(error.to_string(), display);
    }
    check(TrySendError::Full("secret"), "Full(..)", "the mailbox is full");
    check(TrySendError::Closed("secret"), "Closed(..)", "the mailbox is closed");
    check(Refused::Full, "Full", "the mailbox is full");
    check(Refused::Closed, "Closed", "the mailbox is closed");
    check(SendError::Closed("secret"), "Closed(..)", "the mailbox is closed");
    check(SendError::Crowded("secret"), "Crowded(..)", "too many senders already wait for the mailbox");
    check(ControlError::Closed("secret"), "Closed(..)", "the mailbox is closed");
    check(ControlError::Full("secret"), "Full(..)", "the control lane of the mailbox is full");

    assert_eq!(TrySendError::Full(1).into_inner(), 1);
    assert_eq!(SendError::Crowded(2).into_inner(), 2);
    assert_eq!(ControlError::Full(3).into_inner(), 3);
}

/// An item whose drop uses the mailbox it is in: it would deadlock if it were dropped under the lock.
struct Nosy(Sender<Self, Self>);

impl Drop for Nosy {
    fn drop(&mut self) {
        assert!(self.0.len() <= self.0.capacity());
    }
}

#[test]
fn no_item_is_dropped_under_the_lock() {
    without_deadlock(|| {
        let (sender, mut receiver) = mailbox(2);
        let nosy = || Nosy(sender.clone());
        for _ in 0..2 {
            assert!(sender.try_send(nosy()).is_ok());
            assert!(sender.control(nosy()).is_ok());
        }
        assert!(sender.try_send(nosy()).is_err());
        let captured = nosy();
        assert_eq!(sender.try_send_with(move || captured), Err(Refused::Full));

        let mut cancelled = sender.send(nosy());
        let mut closed = sender.send(nosy());
        assert!(poll_once(&mut cancelled, &Bell::new()).is_pending());
        assert!(poll_once(&mut closed, &Bell::new()).is_pending());
        drop(cancelled);
        drop(receiver.try_recv());
        drop(receiver);
        assert!(matches!(poll_once(&mut closed, &Bell::new()), Poll::Ready(Err(SendError::Closed(_)))));
        assert!(sender.control(nosy()).is_err());
    });
}
