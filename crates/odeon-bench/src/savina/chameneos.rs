//! Chameneos: creatures of three colours meet in pairs through one mall, and both change to the third colour.

use crate::{
    error::JobError,
    savina::verdict::{Verdict, verdict},
    stages::{Behaviour, Scene, Stage},
};

const CREATURES: u64 = 100;

/// A creature's colour: 0, 1 or 2.
#[derive(Clone, Copy)]
struct Colour(u64);

/// Pairs those who come.
struct Mall<S: Stage> {
    meetings_left: u64,
    waiting: Option<S::Address<Creature<S>>>,
    faded: u64,
    met: u64,
    verdict: Verdict,
}

/// What the mall takes.
enum Visit<S: Stage> {
    Meet(Colour, S::Address<Creature<S>>),
    Faded { met: u64 },
}

/// One creature.
struct Creature<S: Stage> {
    mall: S::Address<Mall<S>>,
    colour: Colour,
    met: u64,
}

/// What a creature takes.
enum Message<S: Stage> {
    Start,
    Meet(Colour, S::Address<Creature<S>>),
    Change(Colour),
    Exit,
}

/// Four messages per meeting: two come, one is sent to the other, who tells it the new colour. The verdict is how
/// often the creatures have met, by their own count.
pub(crate) async fn run<S: Stage>(stage: &S, meetings: u64) -> Result<u64, JobError> {
    let (verdict, pending) = verdict();
    let mall = stage.spawn(Mall::<S> { meetings_left: meetings, waiting: None, faded: 0, met: 0, verdict });
    for index in 0..CREATURES {
        let creature = Creature::<S> { mall: mall.clone(), colour: Colour(index % 3), met: 0 };
        S::send(&stage.spawn(creature), Message::Start);
    }
    pending.expect(2 * meetings).await?;
    Ok(4 * meetings)
}

impl Colour {
    fn complement(self, other: Self) -> Self {
        if self.0 == other.0 { self } else { Self(3 - self.0 - other.0) }
    }
}

impl<S: Stage> Behaviour<S> for Mall<S> {
    type Message = Visit<S>;

    fn receive(&mut self, visit: Visit<S>, _scene: &mut impl Scene<S, Self>) {
        match visit {
            Visit::Meet(_, creature) if self.meetings_left == 0 => S::send(&creature, Message::Exit),
            Visit::Meet(colour, creature) => match self.waiting.take() {
                None => self.waiting = Some(creature),
                Some(waiting) => {
                    self.meetings_left -= 1;
                    S::send(&waiting, Message::Meet(colour, creature));
                }
            },
            Visit::Faded { met } => {
                self.met += met;
                self.faded += 1;
                if self.faded == CREATURES {
                    self.verdict.tell(self.met);
                }
            }
        }
    }
}

impl<S: Stage> Creature<S> {
    fn visit(&self, scene: &impl Scene<S, Self>) {
        S::send(&self.mall, Visit::Meet(self.colour, scene.me()));
    }
}

impl<S: Stage> Behaviour<S> for Creature<S> {
    type Message = Message<S>;

    fn receive(&mut self, message: Message<S>, scene: &mut impl Scene<S, Self>) {
        match message {
            Message::Start => self.visit(scene),
            Message::Meet(colour, other) => {
                self.colour = self.colour.complement(colour);
                self.met += 1;
                S::send(&other, Message::Change(self.colour));
                self.visit(scene);
            }
            Message::Change(colour) => {
                self.colour = colour;
                self.met += 1;
                self.visit(scene);
            }
            Message::Exit => S::send(&self.mall, Visit::Faded { met: self.met }),
        }
    }
}
