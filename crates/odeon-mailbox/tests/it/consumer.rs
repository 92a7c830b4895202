//! What the consumer may rely on: the order of the lanes, choosing, draining, closing, and when it need not look.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use odeon_mailbox::{
    Batch, CONTROL_BURST_MAX, ControlError, Entry, Leftover, Mailbox, Received, TrySendError,
};

use crate::support::Bell;

#[test]
fn control_comes_first_and_each_lane_is_fifo() {
    let mailbox = Mailbox::new(4);
    let mut batch = Batch::new();
    for item in 0..3 {
        assert_eq!(mailbox.try_send(item), Ok(()));
    }
    for item in 10..13 {
        assert_eq!(mailbox.control(item), Ok(()));
    }
    let seen: Vec<_> = std::iter::from_fn(|| mailbox.next(&mut batch)).collect();
    let expected = [10, 11, 12].map(Received::Control).into_iter().chain([0, 1, 2].map(Received::Data));
    assert_eq!(seen, expected.collect::<Vec<_>>());
}

#[test]
fn control_overtakes_a_batch_that_is_taken() {
    let mailbox = Mailbox::new(4);
    let mut batch = Batch::new();
    for item in 0..3 {
        assert_eq!(mailbox.try_send(item), Ok(()));
    }
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(0)));
    assert!(!mailbox.has_control());
    assert_eq!(mailbox.control(9), Ok(()));
    assert!(mailbox.has_control());
    assert_eq!(mailbox.next(&mut batch), Some(Received::Control(9)));
    assert!(!mailbox.has_control());
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(1)));
}

#[test]
fn data_has_one_turn_after_a_full_burst_of_control_and_not_before() {
    let mailbox = Mailbox::new(2);
    let mut batch = Batch::new();
    assert_eq!(mailbox.try_send(0), Ok(()));
    assert_eq!(mailbox.try_send(1), Ok(()));
    for item in 0..=2 * CONTROL_BURST_MAX {
        assert_eq!(mailbox.control(item), Ok(()));
    }
    for round in 0..2 {
        for turn in 0..CONTROL_BURST_MAX {
            let item = round * CONTROL_BURST_MAX + turn;
            assert_eq!(mailbox.next(&mut batch), Some(Received::Control(item)));
        }
        assert_eq!(mailbox.next(&mut batch), Some(Received::Data(round)), "turn {}", CONTROL_BURST_MAX + 1);
    }
    assert_eq!(mailbox.next(&mut batch), Some(Received::Control(2 * CONTROL_BURST_MAX)));
}

#[test]
fn a_burst_goes_on_while_there_is_no_data_and_ends_when_the_mailbox_is_empty() {
    let mailbox = Mailbox::new(1);
    let mut batch = Batch::new();
    for item in 0..2 * CONTROL_BURST_MAX {
        assert_eq!(mailbox.control(item), Ok(()));
        assert_eq!(mailbox.next(&mut batch), Some(Received::Control(item)));
    }
    assert_eq!(mailbox.next(&mut batch), None);
    assert_eq!(mailbox.try_send(0), Ok(()));
    assert_eq!(mailbox.control(1), Ok(()));
    assert_eq!(mailbox.next(&mut batch), Some(Received::Control(1)), "a new burst has begun");
}

#[test]
fn next_control_leaves_data_alone() {
    let mailbox = Mailbox::new(1);
    let mut batch = Batch::new();
    assert_eq!(mailbox.try_send('d'), Ok(()));
    assert_eq!(mailbox.next_control(), None);
    assert_eq!(mailbox.control('c'), Ok(()));
    assert_eq!(mailbox.next_control(), Some('c'));
    assert_eq!(mailbox.next_control(), None);
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data('d')));
}

#[test]
fn what_is_passed_over_stays_in_its_place() {
    let mailbox = Mailbox::<u8, ()>::new(8);
    let mut batch = Batch::new();
    for item in 0..4 {
        assert_eq!(mailbox.try_send(item), Ok(()));
    }
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(0)));
    for item in 4..6 {
        assert_eq!(mailbox.try_send(item), Ok(()));
    }
    assert_eq!(mailbox.next_matching(&mut batch, |item| *item > 3), Some(4), "behind the batch");
    assert_eq!(mailbox.next_matching(&mut batch, |item| *item > 1), Some(2), "from the batch");
    assert_eq!(mailbox.next_matching(&mut batch, |item| *item > 9), None);
    assert_eq!(mailbox.len(), 3);
    let rest: Vec<_> = std::iter::from_fn(|| mailbox.next(&mut batch)).collect();
    assert_eq!(rest, [1, 3, 5].map(Received::Data));
}

#[test]
fn choosing_makes_room() {
    let mailbox = Mailbox::<u8, ()>::new(2);
    let mut batch = Batch::new();
    assert_eq!(mailbox.try_send(0), Ok(()));
    assert_eq!(mailbox.try_send(1), Ok(()));
    let bell = Bell::new();
    assert!(matches!(mailbox.enter(2, &bell.waker()), Ok(Entry::Waits(_))));
    assert_eq!(mailbox.next_matching(&mut batch, |item| *item == 2), None, "it waits in line");
    assert_eq!((mailbox.len(), bell.rings()), (2, 0));
    assert_eq!(mailbox.next_matching(&mut batch, |item| *item == 1), Some(1));
    assert_eq!((mailbox.len(), bell.rings()), (2, 1));
    assert_eq!(mailbox.next_matching(&mut batch, |item| *item == 2), Some(2));
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(0)));
}

#[test]
fn a_choice_that_panics_loses_nothing() {
    let mailbox = Mailbox::<u8, ()>::new(2);
    let mut batch = Batch::new();
    assert_eq!(mailbox.try_send(0), Ok(()));
    let chosen =
        catch_unwind(AssertUnwindSafe(|| mailbox.next_matching(&mut batch, |_| panic!("no choice"))));
    assert!(chosen.is_err());
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(0)));
}

#[test]
fn a_drain_keeps_what_is_queued_and_control_goes_on() {
    let mailbox = Mailbox::new(2);
    let mut batch = Batch::new();
    assert_eq!(mailbox.try_send(1), Ok(()));
    mailbox.close_intake();
    assert_eq!(mailbox.try_send(2), Err(TrySendError::Closed(2)));
    assert_eq!(mailbox.control(3), Ok(()));
    assert_eq!(mailbox.next(&mut batch), Some(Received::Control(3)));
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(1)));
    assert_eq!(mailbox.next(&mut batch), Some(Received::Drained));
    assert_eq!(mailbox.control(4), Ok(()));
    assert_eq!(mailbox.next(&mut batch), Some(Received::Control(4)));
    assert_eq!(mailbox.next(&mut batch), Some(Received::Drained), "as often as asked");
}

#[test]
fn control_cannot_put_off_the_end_of_a_drain() {
    let mailbox = Mailbox::<(), usize>::new(1);
    let mut batch = Batch::new();
    mailbox.close_intake();
    for item in 0..=CONTROL_BURST_MAX {
        assert_eq!(mailbox.control(item), Ok(()));
    }
    for item in 0..CONTROL_BURST_MAX {
        assert_eq!(mailbox.next(&mut batch), Some(Received::Control(item)));
    }
    assert_eq!(mailbox.next(&mut batch), Some(Received::Drained));
    assert_eq!(mailbox.close(&mut batch).control, [CONTROL_BURST_MAX]);
}

#[test]
fn close_returns_what_is_queued_in_order_and_refuses_the_rest() {
    let mailbox = Mailbox::new(3);
    let mut batch = Batch::new();
    for item in 0..3 {
        assert_eq!(mailbox.try_send(item), Ok(()));
    }
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(0)), "the rest is in the batch");
    assert_eq!(mailbox.try_send(3), Ok(()));
    for item in 1..3 {
        assert_eq!(mailbox.control(10 * item), Ok(()));
    }
    let left = mailbox.close(&mut batch);
    assert_eq!(left, Leftover { control: [10, 20].into(), data: [1, 2, 3].into() });
    assert_eq!(mailbox.try_send(4), Err(TrySendError::Closed(4)));
    assert_eq!(mailbox.control(40), Err(ControlError::Closed(40)));
    assert!(mailbox.is_closed() && mailbox.is_empty() && !mailbox.has_control());
    assert_eq!(mailbox.next(&mut batch), Some(Received::Drained));
    assert_eq!(mailbox.close(&mut batch), Leftover { control: [].into(), data: [].into() });
}

#[test]
fn a_closed_mailbox_does_not_go_back_to_draining() {
    let mailbox = Mailbox::<(), u8>::new(1);
    mailbox.close(&mut Batch::new());
    mailbox.close_intake();
    assert_eq!(mailbox.control(1), Err(ControlError::Closed(1)));
}

#[test]
fn a_dropped_mailbox_drops_what_is_queued() {
    let mailbox = Mailbox::new(2);
    let mut batch = Batch::new();
    let item = Arc::new(());
    for _ in 0..2 {
        assert_eq!(mailbox.try_send(Arc::clone(&item)), Ok(()));
    }
    assert_eq!(mailbox.control(Arc::clone(&item)), Ok(()));
    let bell = Bell::new();
    assert!(matches!(mailbox.enter(Arc::clone(&item), &bell.waker()), Ok(Entry::Waits(_))));
    mailbox.next(&mut batch);
    drop((mailbox, batch));
    assert_eq!((Arc::strong_count(&item), Arc::strong_count(&bell)), (1, 1));
}

#[test]
fn a_mailbox_is_quiet_only_after_the_one_item_of_a_look() {
    let mailbox = Mailbox::<u8, u8>::new(4);
    let mut batch = Batch::new();
    assert!(!mailbox.is_quiet(&batch), "nobody has looked");
    assert_eq!(mailbox.try_send(0), Ok(()));
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(0)));
    assert!(mailbox.is_quiet(&batch));

    assert_eq!(mailbox.try_send(1), Ok(()));
    assert_eq!(mailbox.control(2), Ok(()));
    assert!(!mailbox.is_quiet(&batch), "control is there");
    assert_eq!(mailbox.next(&mut batch), Some(Received::Control(2)));
    assert!(!mailbox.is_quiet(&batch), "data was left where it is");

    assert_eq!(mailbox.try_send(3), Ok(()));
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(1)));
    assert!(!mailbox.is_quiet(&batch), "there is more in the batch");
    assert_eq!(mailbox.try_send(4), Ok(()));
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(3)));
    assert!(!mailbox.is_quiet(&batch), "the look is long ago");

    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(4)));
    assert!(mailbox.is_quiet(&batch));
    mailbox.close_intake();
    assert!(!mailbox.is_quiet(&batch), "the end has to be seen");
}

#[test]
fn a_mailbox_that_was_full_or_has_a_line_is_not_quiet() {
    let mailbox = Mailbox::<u8, u8>::new(1);
    let mut batch = Batch::new();
    assert_eq!(mailbox.try_send(0), Ok(()));
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(0)));
    assert!(!mailbox.is_quiet(&batch), "somebody may have got in line meanwhile");

    let mailbox = Mailbox::<u8, u8>::new(2);
    let mut batch = Batch::new();
    assert_eq!(mailbox.try_send(0), Ok(()));
    assert_eq!(mailbox.try_send(1), Ok(()));
    assert!(matches!(mailbox.enter(2, &Bell::new().waker()), Ok(Entry::Waits(_))));
    assert_eq!(mailbox.next(&mut batch), Some(Received::Data(0)));
    assert!(!mailbox.is_quiet(&batch), "the line was let in");
}
