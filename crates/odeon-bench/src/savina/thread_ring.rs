//! Thread ring: a token goes round a ring until its hops are used up.

use crate::{
    error::JobError,
    savina::verdict::{Verdict, verdict},
    stages::{Behaviour, Scene, Stage},
};

const MEMBERS: usize = 100;

/// A member and its successor.
struct Member<S: Stage> {
    next: Option<S::Address<Self>>,
    index: u64,
    verdict: Verdict,
}

/// What a member takes.
enum Message<S: Stage> {
    Link(S::Address<Member<S>>),
    Token { left: u64 },
}

/// One message per hop, the driver's included. The verdict is the member where the token has come to rest.
pub(crate) async fn run<S: Stage>(stage: &S, hops: u64) -> Result<u64, JobError> {
    let (verdict, pending) = verdict();
    let spawn = |index| stage.spawn(Member::<S> { next: None, index, verdict: verdict.clone() });
    let members: Vec<_> = (0..MEMBERS as u64).map(spawn).collect();
    for (index, member) in members.iter().enumerate() {
        S::send(member, Message::Link(members[(index + 1) % MEMBERS].clone()));
    }
    S::send(&members[0], Message::Token { left: hops - 1 });
    pending.expect((hops - 1) % MEMBERS as u64).await?;
    Ok(hops)
}

impl<S: Stage> Behaviour<S> for Member<S> {
    type Message = Message<S>;

    fn receive(&mut self, message: Message<S>, _scene: &mut impl Scene<S, Self>) {
        match (message, &self.next) {
            (Message::Link(next), _) => self.next = Some(next),
            (Message::Token { left: 0 }, _) => self.verdict.tell(self.index),
            (Message::Token { left }, Some(next)) => S::send(next, Message::Token { left: left - 1 }),
            // All links are on their way before the token is.
            (Message::Token { .. }, None) => {}
        }
    }
}
