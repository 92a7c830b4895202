//! Dining philosophers: whoever is hungry asks the arbitrator, and when a fork is missing, asks again at once.

use crate::{
    error::JobError,
    savina::verdict::{Verdict, verdict},
    stages::{Behaviour, Scene, Stage},
};

const PHILOSOPHERS: usize = 20;

/// Keeps the forks.
struct Arbitrator<S: Stage> {
    philosophers: Vec<S::Address<Philosopher<S>>>,
    taken: [bool; PHILOSOPHERS],
    meals: u64,
    left: usize,
    verdict: Verdict,
}

/// What the arbitrator takes.
enum Message<S: Stage> {
    Open(Vec<S::Address<Philosopher<S>>>),
    Hungry(usize),
    Done(usize),
    Left,
}

/// One philosopher.
struct Philosopher<S: Stage> {
    index: usize,
    left: u64,
    arbitrator: S::Address<Arbitrator<S>>,
}

/// What a philosopher takes.
enum Turn {
    Start,
    Denied,
    Eat,
}

/// Three messages per meal: hungry, eat, done. How often somebody is denied depends on the schedule, so those
/// messages are not counted, and a library that denies more often pays for it. The verdict is the number of meals
/// taken with both forks.
pub(crate) async fn run<S: Stage>(stage: &S, meals: u64) -> Result<u64, JobError> {
    let (verdict, pending) = verdict();
    let arbitrator = stage.spawn(Arbitrator::<S> {
        philosophers: Vec::new(),
        taken: [false; PHILOSOPHERS],
        meals: 0,
        left: PHILOSOPHERS,
        verdict,
    });
    let spawn = |index| stage.spawn(Philosopher::<S> { index, left: meals, arbitrator: arbitrator.clone() });
    let philosophers: Vec<_> = (0..PHILOSOPHERS).map(spawn).collect();
    S::send(&arbitrator, Message::Open(philosophers.clone()));
    for philosopher in &philosophers {
        S::send(philosopher, Turn::Start);
    }
    pending.expect(PHILOSOPHERS as u64 * meals).await?;
    Ok(3 * PHILOSOPHERS as u64 * meals)
}

impl<S: Stage> Arbitrator<S> {
    fn hungry(&mut self, index: usize) {
        let other = (index + 1) % PHILOSOPHERS;
        let turn = if self.taken[index] || self.taken[other] {
            Turn::Denied
        } else {
            self.taken[index] = true;
            self.taken[other] = true;
            Turn::Eat
        };
        S::send(&self.philosophers[index], turn);
    }

    fn done(&mut self, index: usize) {
        let other = (index + 1) % PHILOSOPHERS;
        self.meals += u64::from(self.taken[index] && self.taken[other]);
        self.taken[index] = false;
        self.taken[other] = false;
    }
}

impl<S: Stage> Behaviour<S> for Arbitrator<S> {
    type Message = Message<S>;

    fn receive(&mut self, message: Message<S>, _scene: &mut impl Scene<S, Self>) {
        match message {
            Message::Open(philosophers) => self.philosophers = philosophers,
            Message::Hungry(index) => self.hungry(index),
            Message::Done(index) => self.done(index),
            Message::Left => {
                self.left -= 1;
                if self.left == 0 {
                    self.verdict.tell(self.meals);
                }
            }
        }
    }
}

impl<S: Stage> Behaviour<S> for Philosopher<S> {
    type Message = Turn;

    fn receive(&mut self, turn: Turn, _scene: &mut impl Scene<S, Self>) {
        if matches!(turn, Turn::Eat) {
            self.left -= 1;
            S::send(&self.arbitrator, Message::Done(self.index));
        }
        let next = if self.left == 0 { Message::Left } else { Message::Hungry(self.index) };
        S::send(&self.arbitrator, next);
    }
}
