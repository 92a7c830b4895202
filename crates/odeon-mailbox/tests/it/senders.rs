//! What senders may rely on: bounds, order, giving up, and who is woken when.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Wake, Waker};

use odeon_mailbox::{
    Batch, CAPACITY_DEFAULT, CONTROL_MAX, Cell, ControlError, Entered, Entry, Mailbox, Received, Refused,
    RunQueue, Runner, SendError, Spare, Standing, Ticket, TrySendError, Turn, WAITERS_MAX,
};

use crate::support::{Bell, without_deadlock};

/// What a test does with a mailbox to end it.
type End = fn(&Mailbox<u8, ()>, &mut Batch<u8>);

/// Gets in line.
fn wait<T, C>(mailbox: &Mailbox<T, C>, item: T, bell: &Arc<Bell>) -> Ticket {
    match mailbox.enter(item, &bell.waker()) {
        Ok(Entry::Waits(ticket)) => ticket,
        Ok(Entry::Queued) => panic!("there was room"),
        Err(error) => panic!("{error}"),
    }
}

fn is_admitted<T, C>(mailbox: &Mailbox<T, C>, ticket: Ticket) -> bool {
    matches!(mailbox.stand(ticket, Waker::noop()), Standing::Admitted)
}

#[test]
fn all_that_is_shared_crosses_threads() {
    fn check<X: Send + Sync>() {}
    fn sent<X: Send>() {}
    check::<Mailbox<std::cell::Cell<u8>, String>>();
    check::<Cell<std::cell::Cell<u8>>>();
    sent::<Cell<u8>>();
    sent::<Entered<'static, u8>>();
    check::<Batch<u8>>();
    check::<RunQueue>();
    sent::<Runner>();
    sent::<(Spare, Turn)>();
    check::<odeon_mailbox::ReplyPort<Vec<u8>, String>>();
    check::<odeon_mailbox::ReplyFuture<Vec<u8>, String>>();
}

#[test]
fn data_is_refused_one_past_the_capacity() {
    for capacity in [1, 2, CAPACITY_DEFAULT] {
        let mailbox = Mailbox::<usize, ()>::new(capacity);
        let mut batch = Batch::new();
        for item in 0..capacity {
            assert_eq!(mailbox.try_send(item), Ok(()), "item {item} of {capacity}");
        }
        assert_eq!(mailbox.len(), capacity);
        assert_eq!(mailbox.try_send(capacity), Err(TrySendError::Full(capacity)));
        assert_eq!(mailbox.try_send_with(|| unreachable!("there is no room")), Err(Refused::Full));
        for item in 0..capacity {
            assert_eq!(mailbox.next(&mut batch), Some(Received::Data(item)));
        }
        assert!(mailbox.is_empty());
        assert_eq!(mailbox.try_send(0), Ok(()));
    }
}

#[test]
fn what_the_consumer_has_taken_and_not_handed_out_counts() {
    let mailbox = Mailbox::<u8, ()>::new(3);
    let mut batch = Batch::new();
    for item in 0..3 {
        assert_eq!(mailbox.try_send(item), Ok(()));
    }
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(0)));
    assert_eq!(batch.iter().copied().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(mailbox.len(), 2);
    assert_eq!(mailbox.try_send(3), Ok(()));
    assert_eq!(mailbox.try_send(4), Err(TrySendError::Full(4)));
}

#[test]
fn capacity_is_at_least_one_and_may_be_endless() {
    assert_eq!(Mailbox::<(), ()>::new(0).capacity(), 1);
    assert_eq!(Mailbox::<(), ()>::new(1).capacity(), 1);

    let mailbox = Mailbox::<usize, ()>::new(usize::MAX);
    let mut batch = Batch::new();
    for item in 0..10 * CAPACITY_DEFAULT {
        assert_eq!(mailbox.try_send(item), Ok(()));
    }
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(0)));
    assert_eq!(mailbox.try_send(0), Ok(()));
}

#[test]
fn control_is_refused_one_past_its_bound() {
    let mailbox = Mailbox::<(), usize>::new(1);
    for item in 0..CONTROL_MAX {
        assert_eq!(mailbox.control(item), Ok(()));
    }
    assert_eq!(mailbox.control(CONTROL_MAX), Err(ControlError::Full(CONTROL_MAX)));
    assert_eq!(mailbox.next(&mut Batch::new()), Some(Received::Control(0)));
    assert_eq!(mailbox.control(CONTROL_MAX), Ok(()));
}

#[test]
fn waiting_senders_are_refused_one_past_their_bound() {
    let mailbox = Mailbox::<usize, ()>::new(1);
    let bell = Bell::new();
    assert_eq!(mailbox.try_send(0), Ok(()));
    for item in 1..=WAITERS_MAX {
        wait(&mailbox, item, &bell);
    }
    let refused = mailbox.enter(99, &bell.waker());
    assert!(matches!(refused, Err(SendError::Crowded(99))));

    assert_eq!(mailbox.next(&mut Batch::new()), Some(Received::Data(0)));
    wait(&mailbox, WAITERS_MAX + 1, &bell);
    let refused = mailbox.enter(99, &bell.waker());
    assert!(matches!(refused, Err(SendError::Crowded(99))), "one was admitted, so only one more could wait");
}

#[test]
fn nobody_waits_where_there_is_room() {
    let mailbox = Mailbox::<u8, ()>::new(1);
    let bell = Bell::new();
    assert!(matches!(mailbox.enter(7, &bell.waker()), Ok(Entry::Queued)));
    assert_eq!(mailbox.next(&mut Batch::new()), Some(Received::Data(7)));
    assert_eq!(bell.rings(), 0);
}

#[test]
fn waiting_senders_are_admitted_in_order_and_nobody_barges() {
    let mailbox = Mailbox::<u8, ()>::new(1);
    let mut batch = Batch::new();
    assert_eq!(mailbox.try_send(0), Ok(()));
    let bells = [Bell::new(), Bell::new()];
    let rings = || bells.each_ref().map(|bell| bell.rings());
    let first = wait(&mailbox, 1, &bells[0]);
    let second = wait(&mailbox, 2, &bells[1]);

    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(0)));
    assert_eq!(rings(), [1, 0]);
    assert_eq!(mailbox.len(), 1, "the first item is in the lane before its sender runs");
    assert!(is_admitted(&mailbox, first) && !is_admitted(&mailbox, second));
    assert_eq!(mailbox.try_send(3), Err(TrySendError::Full(3)), "the room was given to the first in line");

    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(1)));
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(2)));
    assert!(is_admitted(&mailbox, second));
    assert_eq!(mailbox.try_send(3), Ok(()));
}

#[test]
fn those_in_line_are_woken_by_the_half_mailbox() {
    let mailbox = Mailbox::<u8, ()>::new(4);
    let mut batch = Batch::new();
    for item in 0..4 {
        assert_eq!(mailbox.try_send(item), Ok(()));
    }
    let bells: Vec<_> = (4..8).map(|_| Bell::new()).collect();
    for (item, bell) in (4..).zip(&bells) {
        wait(&mailbox, item, bell);
    }
    let rings = || bells.iter().map(|bell| bell.rings()).sum::<usize>();
    for (item, woken) in (0..).zip([0, 2, 3, 4]) {
        assert_eq!(mailbox.next(&mut batch), Some(Received::Data(item)));
        assert_eq!(rings(), woken, "after item {item}");
        assert!(mailbox.len() <= 4);
    }
    for item in 4..8 {
        assert_eq!(mailbox.next(&mut batch), Some(Received::Data(item)));
    }
    assert_eq!(mailbox.next(&mut batch), None);
}

#[test]
fn who_gives_up_leaves_the_line_and_drops_the_item() {
    let mailbox = Mailbox::<Arc<u8>, ()>::new(1);
    let mut batch = Batch::new();
    let item = Arc::new(1);
    let bell = Bell::new();
    assert!(mailbox.try_send(Arc::new(0)).is_ok());
    let left = wait(&mailbox, Arc::clone(&item), &bell);
    let kept = wait(&mailbox, Arc::new(2), &bell);
    mailbox.leave(left);
    assert_eq!(Arc::strong_count(&item), 1);
    assert!(!is_admitted(&mailbox, kept));

    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(Arc::new(0))));
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(Arc::new(2))));
    assert_eq!(mailbox.next(&mut batch), None);
}

#[test]
fn the_last_to_leave_the_line_opens_the_mailbox_again() {
    let mailbox = Mailbox::<u8, ()>::new(2);
    let mut batch = Batch::new();
    assert_eq!(mailbox.try_send(0), Ok(()));
    assert_eq!(mailbox.try_send(1), Ok(()));
    let ticket = wait(&mailbox, 2, &Bell::new());
    mailbox.leave(ticket);
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(0)));
    assert_eq!(mailbox.try_send(3), Ok(()));
}

#[test]
fn who_leaves_after_admission_has_sent() {
    let mailbox = Mailbox::<u8, ()>::new(1);
    let mut batch = Batch::new();
    assert_eq!(mailbox.try_send(0), Ok(()));
    let ticket = wait(&mailbox, 1, &Bell::new());
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(0)));
    mailbox.leave(ticket);
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(1)));
}

#[test]
fn only_the_last_waker_of_a_waiting_sender_is_woken() {
    let mailbox = Mailbox::<u8, ()>::new(1);
    let (old, new) = (Bell::new(), Bell::new());
    assert_eq!(mailbox.try_send(0), Ok(()));
    let ticket = wait(&mailbox, 1, &old);
    assert!(matches!(mailbox.stand(ticket, &new.waker()), Standing::Waiting));
    assert_eq!(Arc::strong_count(&old), 1, "the replaced waker is let go");
    assert_eq!(mailbox.next(&mut Batch::new()), Some(Received::Data(0)));
    assert_eq!((old.rings(), new.rings()), (0, 1));
    assert_eq!(Arc::strong_count(&new), 1);
}

#[test]
fn those_in_line_when_the_intake_shuts_get_their_items_back() {
    let shut: [End; 2] = [
        |mailbox, _| mailbox.close_intake(),
        |mailbox, batch| {
            mailbox.close(batch);
        },
    ];
    for shut in shut {
        let mailbox = Mailbox::new(1);
        let mut batch = Batch::new();
        let bell = Bell::new();
        assert_eq!(mailbox.try_send(0), Ok(()));
        let ticket = wait(&mailbox, 1, &bell);

        shut(&mailbox, &mut batch);
        assert_eq!(bell.rings(), 1);
        mailbox.next(&mut batch);
        mailbox.close(&mut batch);
        assert_eq!(bell.rings(), 1, "one fate, one wake");
        assert!(matches!(mailbox.stand(ticket, &bell.waker()), Standing::Closed(1)));
        assert_eq!(mailbox.try_send(3), Err(TrySendError::Closed(3)));
        assert_eq!(mailbox.try_send_with(|| unreachable!("it is shut")), Err(Refused::Closed));
        assert!(matches!(mailbox.enter(4, Waker::noop()), Err(SendError::Closed(4))));
        assert!(mailbox.is_closed());
    }
}

#[test]
fn a_panic_while_making_an_item_leaves_the_mailbox_whole() {
    let mailbox = Mailbox::<u8, ()>::new(1);
    let made = catch_unwind(AssertUnwindSafe(|| mailbox.try_send_with(|| panic!("no item"))));
    assert!(made.is_err());
    assert_eq!(mailbox.try_send_with(|| 5), Ok(()));
    assert_eq!(mailbox.next(&mut Batch::new()), Some(Received::Data(5)));
}

/// A waker that panics.
struct Broken;

impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        panic!("this waker is broken");
    }
}

#[test]
fn a_waker_that_panics_costs_nobody_else_anything() {
    let ends: [End; 3] = [
        |mailbox, batch| assert_eq!(mailbox.next(batch), Some(Received::Data(0))),
        |mailbox, _| mailbox.close_intake(),
        |mailbox, batch| assert_eq!(mailbox.close(batch).data, [0, 1]),
    ];
    for end in ends {
        let mailbox = Mailbox::new(2);
        let bell = Bell::new();
        let mut batch = Batch::new();
        assert_eq!(mailbox.try_send(0), Ok(()));
        assert_eq!(mailbox.try_send(1), Ok(()));
        assert!(matches!(mailbox.enter(2, &Waker::from(Arc::new(Broken))), Ok(Entry::Waits(_))));
        wait(&mailbox, 3, &bell);
        end(&mailbox, &mut batch);
        while mailbox.next(&mut batch).is_some_and(|received| received != Received::Drained) {}
        assert_eq!(bell.rings(), 1);
    }
}

#[test]
fn errors_do_not_print_the_item() {
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
}

/// An item, or a waker, that uses the mailbox when it is dropped: a deadlock if that happened under the lock.
struct Nosy(Arc<Mailbox<Self, Self>>);

impl Nosy {
    fn look(&self) {
        assert!(self.0.len() <= self.0.capacity());
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.look();
    }
}

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

#[test]
fn no_item_and_no_waker_is_used_under_the_lock() {
    without_deadlock(|| {
        let mailbox = Arc::new(Mailbox::new(2));
        let mut batch = Batch::new();
        let nosy = || Nosy(Arc::clone(&mailbox));
        let waker = || Waker::from(Arc::new(nosy()));
        for _ in 0..2 {
            assert!(mailbox.try_send(nosy()).is_ok());
            assert!(mailbox.control(nosy()).is_ok());
        }
        assert!(mailbox.try_send(nosy()).is_err());
        let captured = nosy();
        assert_eq!(mailbox.try_send_with(move || captured), Err(Refused::Full));

        let tickets = [(); 4].map(|()| match mailbox.enter(nosy(), &waker()) {
            Ok(Entry::Waits(ticket)) => ticket,
            _ => panic!("there was room"),
        });
        for ticket in tickets {
            assert!(matches!(mailbox.stand(ticket, &waker()), Standing::Waiting));
        }
        mailbox.leave(tickets[1]);
        for _ in 0..3 {
            drop(mailbox.next(&mut batch).expect("something is queued"));
        }
        assert!(matches!(mailbox.stand(tickets[0], &waker()), Standing::Admitted));
        drop(mailbox.next_matching(&mut batch, |_| true));
        mailbox.close_intake();
        assert!(matches!(mailbox.stand(tickets[3], &waker()), Standing::Closed(_) | Standing::Admitted));
        drop(mailbox.close(&mut batch));
        assert!(mailbox.control(nosy()).is_err());
        assert!(mailbox.enter(nosy(), &waker()).is_err());
    });
}
