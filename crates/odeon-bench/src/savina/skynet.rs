//! Skynet: an actor spawns ten, each of which spawns ten, down to the leaves, whose numbers are summed up on the way
//! back. Every actor ends when it has reported.

use crate::{
    error::JobError,
    savina::verdict::{Verdict, verdict},
    stages::{Behaviour, Scene, Stage},
};

const CHILDREN: u64 = 10;

/// The root of a tree of `leaves`, the first of which has the number `first`.
struct Node<S: Stage> {
    parent: Parent<S>,
    first: u64,
    leaves: u64,
    missing: u64,
    sum: u64,
}

/// To whom a node reports.
enum Parent<S: Stage> {
    Node(S::Address<Node<S>>),
    Driver(Verdict),
}

/// What a node takes.
enum Message {
    Grow,
    Sum(u64),
}

/// Counted in actors: the leaves and the nodes above them.
pub(crate) async fn run<S: Stage>(stage: &S, leaves: u64) -> Result<u64, JobError> {
    let (verdict, pending) = verdict();
    let root = stage.spawn(Node::<S>::new(Parent::Driver(verdict), 0, leaves));
    S::send(&root, Message::Grow);
    pending.expect(leaves * (leaves - 1) / 2).await?;
    Ok((leaves * CHILDREN - 1) / (CHILDREN - 1))
}

impl<S: Stage> Node<S> {
    fn new(parent: Parent<S>, first: u64, leaves: u64) -> Self {
        Self { parent, first, leaves, missing: CHILDREN, sum: 0 }
    }

    fn report(&self, sum: u64) {
        match &self.parent {
            Parent::Node(parent) => S::send(parent, Message::Sum(sum)),
            Parent::Driver(verdict) => verdict.tell(sum),
        }
    }
}

impl<S: Stage> Behaviour<S> for Node<S> {
    type Message = Message;

    fn receive(&mut self, message: Message, scene: &mut impl Scene<S, Self>) {
        match message {
            Message::Grow if self.leaves == 1 => {
                self.report(self.first);
                scene.stop();
            }
            Message::Grow => {
                let leaves = self.leaves / CHILDREN;
                for index in 0..CHILDREN {
                    let parent = Parent::Node(scene.me());
                    let child = scene.spawn(Self::new(parent, self.first + index * leaves, leaves));
                    S::send(&child, Message::Grow);
                }
            }
            Message::Sum(sum) => {
                self.sum += sum;
                self.missing -= 1;
                if self.missing == 0 {
                    self.report(self.sum);
                    scene.stop();
                }
            }
        }
    }
}
