//! Big: many actors, each of which pings a random other one and waits for its answer, all at once.

use std::sync::Arc;

use crate::{
    error::JobError,
    savina::{collector::Collector, random::Random, verdict::verdict},
    stages::{Behaviour, Scene, Stage},
};

const MEMBERS: usize = 120;

/// Pings, and answers pings.
struct Member<S: Stage> {
    index: usize,
    members: Arc<[S::Address<Self>]>,
    random: Random,
    left: u64,
    answers: u64,
    collector: S::Address<Collector>,
}

/// What a member takes.
enum Message<S: Stage> {
    Meet(Arc<[S::Address<Member<S>>]>),
    Start,
    Ping { from: usize },
    Pong,
}

/// Two messages per ping.
pub(crate) async fn run<S: Stage>(stage: &S, pings: u64) -> Result<u64, JobError> {
    let (verdict, pending) = verdict();
    let collector = stage.spawn(Collector::new(MEMBERS as u64, verdict));
    let spawn = |index| {
        stage.spawn(Member::<S> {
            index,
            members: Arc::new([]),
            random: Random::new(index as u64),
            left: pings,
            answers: 0,
            collector: collector.clone(),
        })
    };
    let members: Arc<[_]> = (0..MEMBERS).map(spawn).collect();
    for member in &*members {
        S::send(member, Message::Meet(Arc::clone(&members)));
    }
    // Nobody is pinged before it knows the others.
    for member in &*members {
        S::send(member, Message::Start);
    }
    pending.expect(pings * MEMBERS as u64).await?;
    Ok(2 * pings * MEMBERS as u64)
}

impl<S: Stage> Member<S> {
    fn ping(&mut self) {
        if self.left == 0 {
            S::send(&self.collector, self.answers);
            return;
        }
        self.left -= 1;
        let target = usize::try_from(self.random.below(MEMBERS as u64)).unwrap_or(0);
        S::send(&self.members[target], Message::Ping { from: self.index });
    }
}

impl<S: Stage> Behaviour<S> for Member<S> {
    type Message = Message<S>;

    fn receive(&mut self, message: Message<S>, _scene: &mut impl Scene<S, Self>) {
        match message {
            Message::Meet(members) => self.members = members,
            Message::Start => self.ping(),
            Message::Ping { from } => S::send(&self.members[from], Message::Pong),
            Message::Pong => {
                self.answers += 1;
                self.ping();
            }
        }
    }
}
