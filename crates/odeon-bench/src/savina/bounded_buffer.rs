//! Bounded buffer: producers fill and consumers empty a buffer that a manager keeps; nobody waits for anything but a
//! message. The work that the suite makes up for every item (2,500 logarithms on each side) is left out: it would
//! be 99 % of the time.

use std::collections::VecDeque;

use crate::{
    error::JobError,
    savina::verdict::{Verdict, verdict},
    stages::{Behaviour, Scene, Stage},
};

const PRODUCERS: usize = 40;
const CONSUMERS: usize = 40;
/// Items that wait before producers are held back. The buffer has 50 places, and every producer may have one item
/// on its way already.
const WAITING_MAX: usize = 50 - PRODUCERS;

/// Keeps the buffer.
struct Manager<S: Stage> {
    producers: Vec<S::Address<Producer<S>>>,
    consumers: Vec<S::Address<Consumer<S>>>,
    waiting: VecDeque<u64>,
    held_back: VecDeque<usize>,
    idle: VecDeque<usize>,
    finished: usize,
    sum: u64,
    verdict: Verdict,
}

/// What the manager takes.
enum Message<S: Stage> {
    Open { producers: Vec<S::Address<Producer<S>>>, consumers: Vec<S::Address<Consumer<S>>> },
    Item { from: usize, item: u64 },
    Consumed { by: usize, item: u64 },
    Finished,
}

/// Makes an item when it is asked to.
struct Producer<S: Stage> {
    index: usize,
    next: u64,
    end: u64,
    manager: S::Address<Manager<S>>,
}

/// Takes an item and asks for the next.
struct Consumer<S: Stage> {
    index: usize,
    manager: S::Address<Manager<S>>,
}

/// Four messages per item: made on request, handed in, handed out, consumed. The verdict is the sum of the items.
pub(crate) async fn run<S: Stage>(stage: &S, each: u64) -> Result<u64, JobError> {
    let (verdict, pending) = verdict();
    let manager = stage.spawn(Manager::<S> {
        producers: Vec::new(),
        consumers: Vec::new(),
        waiting: VecDeque::new(),
        held_back: VecDeque::new(),
        idle: (0..CONSUMERS).collect(),
        finished: 0,
        sum: 0,
        verdict,
    });
    let producer = |index: usize| {
        let next = index as u64 * each;
        stage.spawn(Producer::<S> { index, next, end: next + each, manager: manager.clone() })
    };
    let consumer = |index| stage.spawn(Consumer::<S> { index, manager: manager.clone() });
    let producers = (0..PRODUCERS).map(producer).collect();
    let consumers = (0..CONSUMERS).map(consumer).collect();
    S::send(&manager, Message::Open { producers, consumers });
    let items = PRODUCERS as u64 * each;
    pending.expect(items * (items - 1) / 2).await?;
    Ok(4 * items)
}

impl<S: Stage> Manager<S> {
    fn item(&mut self, from: usize, item: u64) {
        match self.idle.pop_front() {
            Some(consumer) => S::send(&self.consumers[consumer], item),
            None => self.waiting.push_back(item),
        }
        if self.waiting.len() >= WAITING_MAX {
            self.held_back.push_back(from);
        } else {
            S::send(&self.producers[from], ());
        }
    }

    fn consumed(&mut self, by: usize, item: u64) {
        self.sum += item;
        let Some(next) = self.waiting.pop_front() else {
            self.idle.push_back(by);
            return;
        };
        S::send(&self.consumers[by], next);
        if let Some(producer) = self.held_back.pop_front() {
            S::send(&self.producers[producer], ());
        }
    }
}

impl<S: Stage> Behaviour<S> for Manager<S> {
    type Message = Message<S>;

    fn receive(&mut self, message: Message<S>, _scene: &mut impl Scene<S, Self>) {
        match message {
            Message::Open { producers, consumers } => {
                self.producers = producers;
                self.consumers = consumers;
                for producer in &self.producers {
                    S::send(producer, ());
                }
            }
            Message::Item { from, item } => self.item(from, item),
            Message::Consumed { by, item } => self.consumed(by, item),
            Message::Finished => self.finished += 1,
        }
        if self.finished == PRODUCERS && self.idle.len() == CONSUMERS {
            self.verdict.tell(self.sum);
        }
    }
}

impl<S: Stage> Behaviour<S> for Producer<S> {
    type Message = ();

    fn receive(&mut self, (): (), _scene: &mut impl Scene<S, Self>) {
        if self.next == self.end {
            S::send(&self.manager, Message::Finished);
            return;
        }
        S::send(&self.manager, Message::Item { from: self.index, item: self.next });
        self.next += 1;
    }
}

impl<S: Stage> Behaviour<S> for Consumer<S> {
    type Message = u64;

    fn receive(&mut self, item: u64, _scene: &mut impl Scene<S, Self>) {
        S::send(&self.manager, Message::Consumed { by: self.index, item });
    }
}
