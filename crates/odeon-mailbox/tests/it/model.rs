//! Random operations on a mailbox, checked step by step against a model that is too simple to be wrong.
//!
//! The model predicts every result and every wake: each waiting sender has a bell of its own. Wakes that should not
//! happen fail the test just like wakes that are missing.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use odeon_mailbox::{
    Batch, CONTROL_BURST_MAX, ControlError, Entry, Leftover, Mailbox, Received, Refused, SendError, Standing,
    Ticket, TrySendError,
};
use proptest::prelude::*;

use crate::support::Bell;

type Item = u32;

#[derive(Debug, Clone)]
enum Op {
    TrySend,
    TrySendWith,
    Enter,
    /// Asks how one of those who wait stands.
    Stand(prop::sample::Index),
    /// One of those who wait gives up.
    Leave(prop::sample::Index),
    /// Queues so many control items.
    Control(usize),
    /// Takes what is next so many times, or until there is nothing.
    Next(usize),
    /// Takes the oldest item that this divides.
    NextMatching(Item),
    NextControl,
    CloseIntake,
    OpenIntake,
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        16 => Just(Op::TrySend),
        8 => Just(Op::TrySendWith),
        24 => Just(Op::Enter),
        8 => any::<prop::sample::Index>().prop_map(Op::Stand),
        4 => any::<prop::sample::Index>().prop_map(Op::Leave),
        6 => (1..=CONTROL_BURST_MAX + 8).prop_map(Op::Control),
        12 => (1..=4_usize).prop_map(Op::Next),
        4 => (1..=CONTROL_BURST_MAX + 8).prop_map(Op::Next),
        8 => (1..4_u32).prop_map(Op::NextMatching),
        4 => Just(Op::NextControl),
        1 => Just(Op::CloseIntake),
        2 => Just(Op::OpenIntake),
        1 => Just(Op::Close),
    ]
}

/// The model. Those who wait are known by their items.
#[derive(Debug)]
struct Model {
    capacity: usize,
    /// What the consumer has taken, and what it has not.
    batch: VecDeque<Item>,
    data: VecDeque<Item>,
    control: VecDeque<Item>,
    line: VecDeque<Item>,
    admitted: Vec<Item>,
    burst: usize,
    data_open: bool,
    control_open: bool,
}

impl Model {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            batch: VecDeque::new(),
            data: VecDeque::new(),
            control: VecDeque::new(),
            line: VecDeque::new(),
            admitted: Vec::new(),
            burst: 0,
            data_open: true,
            control_open: true,
        }
    }

    fn len(&self) -> usize {
        self.batch.len() + self.data.len()
    }

    fn try_send(&mut self, item: Item) -> Result<(), Refused> {
        if !self.data_open {
            return Err(Refused::Closed);
        }
        if !self.line.is_empty() || self.len() == self.capacity {
            return Err(Refused::Full);
        }
        self.data.push_back(item);
        Ok(())
    }

    fn control(&mut self, item: Item) -> Result<(), ControlError<Item>> {
        if !self.control_open {
            return Err(ControlError::Closed(item));
        }
        self.control.push_back(item);
        Ok(())
    }

    fn admit(&mut self) {
        while self.data_open
            && self.len() < self.capacity
            && let Some(item) = self.line.pop_front()
        {
            self.data.push_back(item);
            self.admitted.push(item);
        }
    }

    fn next(&mut self) -> Option<Received<Item, Item>> {
        let is_data_due = self.burst >= CONTROL_BURST_MAX && (self.len() > 0 || !self.data_open);
        if !is_data_due && let Some(item) = self.control.pop_front() {
            self.burst += 1;
            return Some(Received::Control(item));
        }
        self.burst = 0;
        if self.batch.is_empty() {
            if self.data.is_empty() {
                self.admit();
            }
            self.batch.append(&mut self.data);
        }
        let Some(item) = self.batch.pop_front() else {
            return (!self.data_open).then_some(Received::Drained);
        };
        if self.batch.len() <= self.capacity / 2 {
            self.admit();
        }
        Some(Received::Data(item))
    }

    fn next_matching(&mut self, is_wanted: impl Fn(&Item) -> bool) -> Option<Item> {
        self.admit();
        self.batch.append(&mut self.data);
        let at = self.batch.iter().position(is_wanted)?;
        let item = self.batch.remove(at);
        self.admit();
        item
    }
}

/// Somebody in line, with what the model says of it.
struct Waiter {
    item: Item,
    ticket: Ticket,
    bell: Arc<Bell>,
    /// How often the bell should have rung: once, when it was admitted or the intake was shut.
    rings: usize,
}

struct Run {
    mailbox: Mailbox<Item, Item>,
    batch: Batch<Item>,
    waiters: Vec<Waiter>,
    model: Model,
    item_next: Item,
    /// What was queued, and what came out, in order.
    sent: Vec<Item>,
    seen: Vec<Item>,
}

impl Run {
    fn new(capacity: usize) -> Self {
        Self {
            mailbox: Mailbox::new(capacity),
            batch: Batch::new(),
            waiters: Vec::new(),
            model: Model::new(capacity),
            item_next: 0,
            sent: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn item(&mut self) -> Item {
        self.item_next += 1;
        self.item_next
    }

    /// Those of them who have not been woken are woken now.
    fn wake(&mut self, items: &[Item]) {
        for waiter in &mut self.waiters {
            if items.contains(&waiter.item) {
                waiter.rings = 1;
            }
        }
    }

    fn shut(&mut self) {
        self.model.data_open = false;
        let line: Vec<_> = self.model.line.iter().copied().collect();
        self.wake(&line);
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::TrySend => {
                let item = self.item();
                let expected = self.model.try_send(item).map_err(|refused| match refused {
                    Refused::Full => TrySendError::Full(item),
                    Refused::Closed => TrySendError::Closed(item),
                });
                self.sent.extend(expected.is_ok().then_some(item));
                assert_eq!(self.mailbox.try_send(item), expected);
            }
            Op::TrySendWith => {
                let item = self.item();
                let mut is_made = false;
                let sent = self.mailbox.try_send_with(|| {
                    is_made = true;
                    item
                });
                assert_eq!(sent, self.model.try_send(item));
                assert_eq!(is_made, sent.is_ok());
                self.sent.extend(is_made.then_some(item));
            }
            Op::Enter => self.enter(),
            Op::Stand(index) if !self.waiters.is_empty() => self.stand(index.index(self.waiters.len())),
            Op::Leave(index) if !self.waiters.is_empty() => {
                let left = self.waiters.swap_remove(index.index(self.waiters.len()));
                self.mailbox.leave(left.ticket);
                if self.model.line.contains(&left.item) {
                    self.forget(left.item);
                }
                assert_eq!(Arc::strong_count(&left.bell), 1, "its waker is let go");
            }
            Op::Stand(_) | Op::Leave(_) => {}
            Op::Control(times) => {
                for _ in 0..*times {
                    let item = self.item();
                    assert_eq!(self.mailbox.control(item), self.model.control(item));
                }
            }
            Op::Next(times) => for _ in (0..*times).take_while(|_| self.next()) {},
            Op::NextMatching(divisor) => {
                let is_wanted = |item: &Item| item.is_multiple_of(*divisor);
                let expected = self.model.next_matching(is_wanted);
                assert_eq!(self.mailbox.next_matching(&mut self.batch, is_wanted), expected);
                // Out of its order, so it is not among those that are checked for theirs.
                self.sent.retain(|item| Some(*item) != expected);
            }
            Op::NextControl => {
                assert_eq!(self.mailbox.next_control(), self.model.control.pop_front());
            }
            Op::CloseIntake => {
                self.mailbox.close_intake();
                self.shut();
            }
            Op::OpenIntake => {
                self.mailbox.open_intake();
                self.model.data_open |= self.model.control_open;
                self.model.admit();
            }
            Op::Close => {
                let left = self.mailbox.close(&mut self.batch);
                self.shut();
                self.model.control_open = false;
                let mut data = mem::take(&mut self.model.batch);
                data.append(&mut self.model.data);
                self.seen.extend(&data);
                assert_eq!(left, Leftover { control: mem::take(&mut self.model.control), data });
            }
        }
        self.check();
    }

    fn enter(&mut self) {
        let item = self.item();
        let bell = Bell::new();
        let entry = self.mailbox.enter(item, &bell.waker());
        match (self.model.try_send(item), entry) {
            (Ok(()), Ok(Entry::Queued)) => self.sent.push(item),
            (Err(Refused::Closed), Err(SendError::Closed(back))) => assert_eq!(back, item),
            (Err(Refused::Full), Ok(Entry::Waits(ticket))) => {
                self.model.line.push_back(item);
                self.waiters.push(Waiter { item, ticket, bell, rings: 0 });
                // Nobody overtakes the line, so this is its place.
                self.sent.push(item);
            }
            (expected, entry) => panic!("{expected:?} was expected, and {entry:?} came"),
        }
    }

    fn stand(&mut self, index: usize) {
        // A new bell: from now on the old one must stay silent, and the next wake must ring this one.
        let bell = Bell::new();
        let waiter = &mut self.waiters[index];
        let item = waiter.item;
        let is_in_line = self.model.line.contains(&item);
        match self.mailbox.stand(waiter.ticket, &bell.waker()) {
            Standing::Waiting if is_in_line && self.model.data_open => {
                assert_eq!(Arc::strong_count(&waiter.bell), 1, "the old waker is let go");
                (waiter.bell, waiter.rings) = (bell, 0);
                return;
            }
            Standing::Admitted if !is_in_line => {}
            Standing::Closed(back) if is_in_line && !self.model.data_open => {
                assert_eq!(back, item);
                self.forget(item);
            }
            standing => panic!("{standing:?} came, in line: {is_in_line}"),
        }
        self.waiters.swap_remove(index);
    }

    /// An item left the line without having been queued.
    fn forget(&mut self, item: Item) {
        self.model.line.retain(|waits| *waits != item);
        self.sent.retain(|sent| *sent != item);
    }

    /// Takes what is next; whether something came.
    fn next(&mut self) -> bool {
        let expected = self.model.next();
        assert_eq!(self.mailbox.next(&mut self.batch), expected);
        let admitted = mem::take(&mut self.model.admitted);
        self.wake(&admitted);
        if let Some(Received::Data(item)) = expected {
            self.seen.push(item);
        }
        if self.mailbox.is_quiet(&self.batch) {
            let model = &self.model;
            let is_idle = model.len() == 0 && model.control.is_empty() && model.line.is_empty();
            assert!(is_idle && model.data_open, "whoever believes it idles forever");
        }
        expected.is_some()
    }

    fn check(&mut self) {
        let admitted = mem::take(&mut self.model.admitted);
        self.wake(&admitted);
        assert_eq!(self.mailbox.len(), self.model.len());
        assert!(self.model.len() <= self.model.capacity);
        assert!(self.batch.iter().eq(&self.model.batch));
        assert_eq!(self.mailbox.is_closed(), !self.model.data_open);
        assert_eq!(self.mailbox.has_control(), !self.model.control.is_empty());
        for waiter in &self.waiters {
            assert_eq!(waiter.bell.rings(), waiter.rings, "item {}", waiter.item);
        }
    }

    /// Lets everybody finish, so that nothing can stay hidden inside.
    fn finish(mut self) {
        while self.model.len() + self.model.control.len() > 0 {
            assert!(self.next());
            self.check();
        }
        self.apply(&Op::Close);
        while !self.waiters.is_empty() {
            self.stand(0);
        }
        self.check();
        assert_eq!(self.seen, self.sent, "all that was queued, once and in order");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_mailbox_does_what_the_model_does(
        capacity in 1..=4_usize,
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut run = Run::new(capacity);
        for op in &ops {
            run.apply(op);
        }
        run.finish();
    }
}
