//! What the receiver may rely on: the order of the lanes, draining, closing, and one wake per park.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use odeon_mailbox::{
    CONTROL_BURST_MAX, ControlError, Leftover, Received, Receiver, Sender, TrySendError, mailbox,
};

use crate::support::{Bell, block_on, with_bell, without_deadlock};

fn park<T, C>(receiver: &mut Receiver<T, C>, bell: &Arc<Bell>) {
    assert!(with_bell(bell, |cx| receiver.poll_recv(cx)).is_pending());
}

fn park_control<T, C>(receiver: &mut Receiver<T, C>, bell: &Arc<Bell>) {
    assert!(with_bell(bell, |cx| receiver.poll_recv_control(cx)).is_pending());
}

#[test]
fn control_comes_first_and_each_lane_is_fifo() {
    let (sender, mut receiver) = mailbox(4);
    for item in 0..3 {
        sender.try_send(item).expect("there is room");
    }
    for item in 10..13 {
        sender.control(item).expect("it is open");
    }
    let mut seen = Vec::new();
    while let Some(received) = receiver.try_recv() {
        seen.push(received);
    }
    let expected = [10, 11, 12].map(Received::Control).into_iter().chain([0, 1, 2].map(Received::Data));
    assert_eq!(seen, expected.collect::<Vec<_>>());
}

#[test]
fn data_has_one_turn_after_a_full_burst_of_control_and_not_before() {
    let (sender, mut receiver) = mailbox(2);
    sender.try_send(0).expect("there is room");
    sender.try_send(1).expect("there is room");
    for item in 0..=2 * CONTROL_BURST_MAX {
        sender.control(item).expect("it is open");
    }
    for round in 0..2 {
        for turn in 0..CONTROL_BURST_MAX {
            let item = round * CONTROL_BURST_MAX + turn;
            assert_eq!(receiver.try_recv(), Some(Received::Control(item)));
        }
        assert_eq!(receiver.try_recv(), Some(Received::Data(round)), "turn {}", CONTROL_BURST_MAX + 1);
    }
    assert_eq!(receiver.try_recv(), Some(Received::Control(2 * CONTROL_BURST_MAX)));
}

#[test]
fn a_burst_goes_on_while_there_is_no_data_and_ends_when_the_mailbox_is_empty() {
    let (sender, mut receiver) = mailbox(1);
    for item in 0..2 * CONTROL_BURST_MAX {
        sender.control(item).expect("it is open");
        assert_eq!(receiver.try_recv(), Some(Received::Control(item)));
    }
    assert_eq!(receiver.try_recv(), None);
    sender.try_send(0).expect("there is room");
    sender.control(1).expect("it is open");
    assert_eq!(receiver.try_recv(), Some(Received::Control(1)), "a new burst has begun");
}

#[test]
fn recv_control_leaves_data_alone() {
    let (sender, mut receiver) = mailbox(1);
    let bell = Bell::new();
    sender.try_send('d').expect("there is room");
    park_control(&mut receiver, &bell);
    sender.control('c').expect("it is open");
    assert_eq!(bell.rings(), 1);
    assert_eq!(block_on(receiver.recv_control()), 'c');
    assert_eq!(block_on(receiver.recv()), Received::Data('d'));
}

#[test]
fn drain_keeps_what_is_queued_and_control_goes_on() {
    let from_outside: fn(&Sender<u8, u8>, &mut Receiver<u8, u8>) = |sender, _| sender.close_intake();
    for drain in [from_outside, |_, receiver| receiver.drain()] {
        let (sender, mut receiver) = mailbox(2);
        sender.try_send(1).expect("there is room");
        drain(&sender, &mut receiver);
        assert_eq!(sender.try_send(2), Err(TrySendError::Closed(2)));
        assert_eq!(sender.control(3), Ok(()));
        assert_eq!(receiver.try_recv(), Some(Received::Control(3)));
        assert_eq!(receiver.try_recv(), Some(Received::Data(1)));
        assert_eq!(receiver.try_recv(), Some(Received::Drained));
        assert_eq!(sender.control(4), Ok(()));
        assert_eq!(receiver.try_recv(), Some(Received::Control(4)));
        assert_eq!(receiver.try_recv(), Some(Received::Drained), "as often as asked");
    }
}

#[test]
fn control_cannot_put_off_the_end_of_a_drain() {
    let (sender, mut receiver) = mailbox::<(), usize>(1);
    receiver.drain();
    for item in 0..=CONTROL_BURST_MAX {
        sender.control(item).expect("it is open");
    }
    for item in 0..CONTROL_BURST_MAX {
        assert_eq!(receiver.try_recv(), Some(Received::Control(item)));
    }
    assert_eq!(receiver.try_recv(), Some(Received::Drained));
    assert_eq!(receiver.close().control, [CONTROL_BURST_MAX]);
}

#[test]
fn close_returns_what_is_queued_in_order_and_refuses_the_rest() {
    let (sender, mut receiver) = mailbox(3);
    for item in 1..=3 {
        sender.try_send(item).expect("there is room");
        sender.control(10 * item).expect("it is open");
    }
    let left = receiver.close();
    assert_eq!(left, Leftover { control: [10, 20, 30].into(), data: [1, 2, 3].into() });
    assert_eq!(sender.try_send(4), Err(TrySendError::Closed(4)));
    assert_eq!(sender.control(40), Err(ControlError::Closed(40)));
    assert!(sender.is_closed() && sender.is_empty());
    assert_eq!(receiver.try_recv(), Some(Received::Drained));
    park_control(&mut receiver, &Bell::new());
    assert_eq!(receiver.close(), Leftover { control: [].into(), data: [].into() });
}

#[test]
fn a_closed_mailbox_does_not_go_back_to_draining() {
    let (sender, mut receiver) = mailbox::<(), u8>(1);
    receiver.close();
    receiver.drain();
    sender.close_intake();
    assert_eq!(sender.control(1), Err(ControlError::Closed(1)));
}

#[test]
fn dropping_the_receiver_closes_and_drops_what_is_queued() {
    let (sender, receiver) = mailbox(1);
    let item = Arc::new(());
    sender.try_send(Arc::clone(&item)).expect("there is room");
    sender.control(Arc::clone(&item)).expect("it is open");
    drop(receiver);
    assert_eq!(Arc::strong_count(&item), 1);
    assert!(sender.is_closed());
}

#[test]
fn a_parked_receiver_is_woken_once_per_park() {
    let (sender, mut receiver) = mailbox(8);
    let bell = Bell::new();
    park(&mut receiver, &bell);
    park(&mut receiver, &bell);
    for item in 0..4 {
        sender.try_send(item).expect("there is room");
        sender.control(item).expect("it is open");
    }
    sender.close_intake();
    assert_eq!(bell.rings(), 1);
    while receiver.try_recv() != Some(Received::Drained) {}
    assert!(with_bell(&bell, |cx| receiver.poll_recv(cx)) == Poll::Ready(Received::Drained));
    assert_eq!(bell.rings(), 1, "nobody is parked, nobody is woken");
}

#[test]
fn a_parked_receiver_is_woken_by_each_kind_of_event() {
    let events: [fn(&Sender<u8, u8>); 4] = [
        |sender| sender.try_send(1).expect("there is room"),
        |sender| sender.try_send_with(|| 1).expect("there is room"),
        |sender| sender.control(1).expect("it is open"),
        Sender::close_intake,
    ];
    for (n, event) in events.into_iter().enumerate() {
        let (sender, mut receiver) = mailbox(1);
        let bell = Bell::new();
        park(&mut receiver, &bell);
        event(&sender);
        assert_eq!(bell.rings(), 1, "event {n}");
        assert!(with_bell(&bell, |cx| receiver.poll_recv(cx)).is_ready(), "event {n}");
    }
}

#[test]
fn a_receiver_parked_for_control_is_woken_only_by_control() {
    let (sender, mut receiver) = mailbox(2);
    let bell = Bell::new();
    park_control(&mut receiver, &bell);
    sender.try_send(1).expect("there is room");
    sender.close_intake();
    assert_eq!(bell.rings(), 0);
    sender.control(2).expect("it is open");
    assert_eq!(bell.rings(), 1);
}

#[test]
fn only_the_last_waker_is_kept_and_none_survives_the_receiver() {
    let (sender, mut receiver) = mailbox::<u8, u8>(1);
    let (old, new) = (Bell::new(), Bell::new());
    park(&mut receiver, &old);
    park_control(&mut receiver, &new);
    assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (1, 2));
    drop(receiver);
    assert_eq!(Arc::strong_count(&new), 1, "a handle must not keep a task alive");
    drop(sender);
}

#[test]
fn a_cancelled_recv_loses_nothing() {
    let (sender, mut receiver) = mailbox::<u8, u8>(1);
    let bell = Bell::new();
    {
        let mut recv = Box::pin(receiver.recv());
        assert!(with_bell(&bell, |cx| recv.as_mut().poll(cx)).is_pending());
        sender.try_send(1).expect("there is room");
    }
    assert_eq!(receiver.try_recv(), Some(Received::Data(1)));
}

/// A waker that uses the mailbox: it would deadlock if it were woken, cloned or dropped under the lock.
struct Nosy(Sender<u8, u8>);

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {
        assert!(self.0.len() <= self.0.capacity());
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        assert!(self.0.len() <= self.0.capacity());
    }
}

#[test]
fn no_waker_runs_under_the_lock() {
    without_deadlock(|| {
        let (sender, mut receiver) = mailbox(1);
        let waker = || Waker::from(Arc::new(Nosy(sender.clone())));
        let mut park = |times: usize| {
            for _ in 0..times {
                assert!(receiver.poll_recv(&mut Context::from_waker(&waker())).is_pending());
            }
        };
        park(2);
        sender.control(1).expect("it is open");
        assert_eq!(receiver.try_recv(), Some(Received::Control(1)));
        assert!(receiver.poll_recv(&mut Context::from_waker(&waker())).is_pending());
        sender.try_send(1).expect("there is room");

        let mut sends = [2, 3, 4].map(|item| Box::pin(sender.send(item)));
        for send in &mut sends {
            for _ in 0..2 {
                assert!(send.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
            }
        }
        let [admitted, cancelled, closed] = sends;
        drop(cancelled);
        assert_eq!(receiver.try_recv(), Some(Received::Data(1)));
        drop(receiver);
        for mut send in [admitted, closed] {
            assert!(send.as_mut().poll(&mut Context::from_waker(&waker())).is_ready());
        }
    });
}
