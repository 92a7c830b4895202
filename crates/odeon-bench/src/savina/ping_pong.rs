//! Ping-pong: one actor sends a message, the other sends it back.

use crate::{
    error::JobError,
    savina::verdict::{Verdict, verdict},
    stages::{Behaviour, Scene, Stage},
};

/// Sends the pings; every message is an answer but the first.
struct Pinger<S: Stage> {
    ponger: S::Address<Ponger>,
    left: u64,
    answers: u64,
    verdict: Verdict,
}

/// What the pinger takes.
enum Answer {
    Start,
    Pong,
}

/// Answers whoever pings.
struct Ponger;

/// Two messages per ping.
pub(crate) async fn run<S: Stage>(stage: &S, pings: u64) -> Result<u64, JobError> {
    let (verdict, pending) = verdict();
    let ponger = stage.spawn(Ponger);
    let pinger = stage.spawn(Pinger { ponger, left: pings, answers: 0, verdict });
    S::send(&pinger, Answer::Start);
    pending.expect(pings).await?;
    Ok(2 * pings)
}

impl<S: Stage> Behaviour<S> for Pinger<S> {
    type Message = Answer;

    fn receive(&mut self, answer: Answer, scene: &mut impl Scene<S, Self>) {
        self.answers += u64::from(matches!(answer, Answer::Pong));
        if self.left == 0 {
            self.verdict.tell(self.answers);
            return;
        }
        self.left -= 1;
        S::send(&self.ponger, scene.me());
    }
}

impl<S: Stage> Behaviour<S> for Ponger {
    type Message = S::Address<Pinger<S>>;

    fn receive(&mut self, pinger: Self::Message, _scene: &mut impl Scene<S, Self>) {
        S::send(&pinger, Answer::Pong);
    }
}
