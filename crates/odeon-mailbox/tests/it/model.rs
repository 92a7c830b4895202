//! Random operations on a mailbox, checked step by step against a model that is too simple to be wrong.
//!
//! The model predicts every result and every wake: each waiting sender has a bell of its own, and so has the
//! receiver. Wakes that should not happen fail the test just like wakes that are missing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

use odeon_mailbox::{
    CONTROL_BURST_MAX, ControlError, Received, Receiver, Refused, Send, SendError, Sender, TrySendError,
    mailbox,
};
use proptest::prelude::*;

use crate::support::{Bell, poll_once, with_bell};

type Item = u32;

#[derive(Debug, Clone)]
enum Op {
    TrySend,
    TrySendWith,
    /// Starts a send and polls it once.
    Send,
    /// Polls one of the pending sends again.
    PollSend(prop::sample::Index),
    /// Drops one of the pending sends.
    CancelSend(prop::sample::Index),
    /// Sends so many control items.
    Control(usize),
    /// Polls the receiver so many times, or until it parks.
    Recv(usize),
    RecvControl,
    TryRecv,
    Drain,
    CloseIntake,
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => Just(Op::TrySend),
        4 => Just(Op::TrySendWith),
        16 => Just(Op::Send),
        8 => any::<prop::sample::Index>().prop_map(Op::PollSend),
        4 => any::<prop::sample::Index>().prop_map(Op::CancelSend),
        6 => (1..=CONTROL_BURST_MAX + 8).prop_map(Op::Control),
        12 => (1..=CONTROL_BURST_MAX + 8).prop_map(Op::Recv),
        4 => Just(Op::RecvControl),
        8 => Just(Op::TryRecv),
        1 => Just(Op::Drain),
        1 => Just(Op::CloseIntake),
        1 => Just(Op::Close),
    ]
}

/// What a pending send should come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waits,
    Admitted,
    Closed,
}

/// The model. A pending send is known by its item.
#[derive(Debug)]
struct Model {
    capacity: usize,
    data: VecDeque<Item>,
    control: VecDeque<Item>,
    line: VecDeque<Item>,
    burst: usize,
    data_open: bool,
    control_open: bool,
    /// Whether the receiver is parked, and if so whether data interests it.
    parked: Option<bool>,
    receiver_rings: usize,
}

impl Model {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            data: VecDeque::new(),
            control: VecDeque::new(),
            line: VecDeque::new(),
            burst: 0,
            data_open: true,
            control_open: true,
            parked: None,
            receiver_rings: 0,
        }
    }

    fn ring_receiver(&mut self, for_control: bool) {
        if let Some(wants_data) = self.parked
            && (for_control || wants_data)
        {
            self.parked = None;
            self.receiver_rings += 1;
        }
    }

    fn try_send(&mut self, item: Item) -> Result<(), Refused> {
        if !self.data_open {
            return Err(Refused::Closed);
        }
        if !self.line.is_empty() || self.data.len() == self.capacity {
            return Err(Refused::Full);
        }
        self.data.push_back(item);
        self.ring_receiver(false);
        Ok(())
    }

    fn control(&mut self, item: Item) -> Result<(), ControlError<Item>> {
        if !self.control_open {
            return Err(ControlError::Closed(item));
        }
        self.control.push_back(item);
        self.ring_receiver(true);
        Ok(())
    }

    fn take_control(&mut self) -> Option<Item> {
        let item = self.control.pop_front()?;
        self.burst += 1;
        Some(item)
    }

    /// Returns what is received and the item of the sender admitted.
    fn take(&mut self) -> (Option<Received<Item, Item>>, Option<Item>) {
        let something_else = !self.data.is_empty() || !self.data_open;
        if (self.burst < CONTROL_BURST_MAX || !something_else)
            && let Some(item) = self.take_control()
        {
            return (Some(Received::Control(item)), None);
        }
        self.burst = 0;
        let Some(item) = self.data.pop_front() else {
            return ((!self.data_open).then_some(Received::Drained), None);
        };
        let admitted = self.line.pop_front();
        self.data.extend(admitted);
        (Some(Received::Data(item)), admitted)
    }

    /// Returns the items of the senders who waited.
    fn drain(&mut self) -> VecDeque<Item> {
        self.data_open = false;
        self.ring_receiver(false);
        std::mem::take(&mut self.line)
    }
}

/// A send under way, with what the model says of it.
struct Pending<'a> {
    item: Item,
    send: Send<'a, Item, Item>,
    bell: Arc<Bell>,
    fate: Fate,
}

struct Run<'a> {
    sender: &'a Sender<Item, Item>,
    receiver: Receiver<Item, Item>,
    receiver_bell: Arc<Bell>,
    pending: Vec<Pending<'a>>,
    model: Model,
    item_next: Item,
}

impl<'a> Run<'a> {
    fn new(sender: &'a Sender<Item, Item>, receiver: Receiver<Item, Item>) -> Self {
        let model = Model::new(sender.capacity());
        Self { sender, receiver, receiver_bell: Bell::new(), pending: Vec::new(), model, item_next: 0 }
    }

    fn item(&mut self) -> Item {
        self.item_next += 1;
        self.item_next
    }

    fn decide(&mut self, items: impl IntoIterator<Item = Item>, fate: Fate) {
        for item in items {
            let waiter = self.pending.iter_mut().find(|pending| pending.item == item);
            waiter.expect("the model admits only who waits").fate = fate;
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::TrySend => {
                let item = self.item();
                let expected = self.model.try_send(item).map_err(|refused| match refused {
                    Refused::Full => TrySendError::Full(item),
                    Refused::Closed => TrySendError::Closed(item),
                });
                assert_eq!(self.sender.try_send(item), expected);
            }
            Op::TrySendWith => {
                let item = self.item();
                let mut made = false;
                let sent = self.sender.try_send_with(|| {
                    made = true;
                    item
                });
                assert_eq!(sent, self.model.try_send(item));
                assert_eq!(made, sent.is_ok());
            }
            Op::Send => self.send(),
            Op::PollSend(index) if !self.pending.is_empty() => {
                self.poll_send(index.index(self.pending.len()));
            }
            Op::CancelSend(index) if !self.pending.is_empty() => {
                let cancelled = self.pending.swap_remove(index.index(self.pending.len()));
                self.model.line.retain(|item| *item != cancelled.item);
            }
            Op::PollSend(_) | Op::CancelSend(_) => {}
            Op::Control(times) => {
                for _ in 0..*times {
                    let item = self.item();
                    assert_eq!(self.sender.control(item), self.model.control(item));
                }
            }
            Op::Recv(times) => for _ in (0..*times).take_while(|_| self.recv()) {},
            Op::RecvControl => {
                let expected = self.model.take_control();
                let received = with_bell(&self.receiver_bell, |cx| self.receiver.poll_recv_control(cx));
                assert_eq!(received, expected.map_or(Poll::Pending, Poll::Ready));
                if received.is_pending() {
                    self.model.parked = Some(false);
                }
            }
            Op::TryRecv => {
                let (expected, admitted) = self.model.take();
                assert_eq!(self.receiver.try_recv(), expected);
                self.decide(admitted, Fate::Admitted);
            }
            Op::Drain | Op::CloseIntake => {
                match op {
                    Op::Drain => self.receiver.drain(),
                    _ => self.sender.close_intake(),
                }
                let closed = self.model.drain();
                self.decide(closed, Fate::Closed);
            }
            Op::Close => {
                let left = self.receiver.close();
                let closed = self.model.drain();
                self.decide(closed, Fate::Closed);
                self.model.ring_receiver(true);
                self.model.control_open = false;
                assert_eq!(left.data, std::mem::take(&mut self.model.data));
                assert_eq!(left.control, std::mem::take(&mut self.model.control));
            }
        }
        self.check();
    }

    fn send(&mut self) {
        let item = self.item();
        let bell = Bell::new();
        let mut send = self.sender.send(item);
        let polled = poll_once(&mut send, &bell);
        match self.model.try_send(item) {
            Ok(()) => assert_eq!(polled, Poll::Ready(Ok(()))),
            Err(Refused::Closed) => assert_eq!(polled, Poll::Ready(Err(SendError::Closed(item)))),
            Err(Refused::Full) => {
                assert_eq!(polled, Poll::Pending);
                self.model.line.push_back(item);
                self.pending.push(Pending { item, send, bell, fate: Fate::Waits });
            }
        }
    }

    fn poll_send(&mut self, index: usize) {
        // A new bell: from now on the old one must stay silent, and the sender's next wake must ring this one.
        let bell = Bell::new();
        let pending = &mut self.pending[index];
        let polled = poll_once(&mut pending.send, &bell);
        match pending.fate {
            Fate::Waits => {
                assert_eq!(polled, Poll::Pending);
                assert_eq!(Arc::strong_count(&pending.bell), 1, "the old waker is let go");
                pending.bell = bell;
                return;
            }
            Fate::Admitted => assert_eq!(polled, Poll::Ready(Ok(()))),
            Fate::Closed => assert_eq!(polled, Poll::Ready(Err(SendError::Closed(pending.item)))),
        }
        self.pending.swap_remove(index);
    }

    /// Polls the receiver once; whether something came.
    fn recv(&mut self) -> bool {
        let (expected, admitted) = self.model.take();
        let received = with_bell(&self.receiver_bell, |cx| self.receiver.poll_recv(cx));
        assert_eq!(received, expected.map_or(Poll::Pending, Poll::Ready));
        if received.is_pending() {
            self.model.parked = Some(true);
        }
        self.decide(admitted, Fate::Admitted);
        received.is_ready()
    }

    fn check(&self) {
        assert_eq!(self.sender.len(), self.model.data.len());
        assert_eq!(self.sender.is_closed(), !self.model.data_open);
        assert_eq!(self.receiver_bell.rings(), self.model.receiver_rings);
        for pending in &self.pending {
            assert_eq!(
                pending.bell.rings(),
                usize::from(pending.fate != Fate::Waits),
                "item {}",
                pending.item
            );
        }
    }

    /// Lets every sender and the receiver finish, so that nothing can stay hidden inside.
    fn finish(mut self) {
        while self.recv() && !(self.model.data.is_empty() && self.model.control.is_empty()) {
            self.check();
        }
        self.apply(&Op::Close);
        while !self.pending.is_empty() {
            self.poll_send(0);
        }
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_mailbox_does_what_the_model_does(
        capacity in 1..=4_usize,
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let (sender, receiver) = mailbox(capacity);
        let mut run = Run::new(&sender, receiver);
        for op in &ops {
            run.apply(op);
        }
        run.finish();
    }
}
