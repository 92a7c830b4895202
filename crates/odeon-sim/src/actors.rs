//! The actor that the scenario's servers send to.

use std::time::Duration;

use odeon_actor::{Cx, Reply, actor};
use odeon_core::ActorId;

use crate::history::{Life, Recorder, What};

/// Takes messages of all kinds and records each.
#[derive(Debug)]
pub(crate) struct Worker {
    life: Life,
    history: Recorder,
}

impl Worker {
    /// A worker of the server in this life.
    #[must_use]
    pub(crate) const fn new(life: Life, history: Recorder) -> Self {
        Self { life, history }
    }

    fn record(&self, flow: String, seq: u64, cx: &Cx<Self>) {
        let ActorId::Number(worker) = cx.me().id() else { return };
        let odeon_actor::Sender::Remote(sender) = &cx.sender() else { return };
        let from = Life { server: sender.peer.server.name().to_owned(), epoch: sender.peer.epoch.0 };
        self.history.record(What::Received { flow, seq, at: self.life.clone(), worker, from });
    }
}

/// Takes messages of all kinds.
#[actor(mark = "sim-worker/1")]
impl Worker {
    /// Answers at once, with the message's number.
    #[handle]
    fn note(&mut self, flow: String, seq: u64, padding: String, cx: &mut Cx<Self>) -> u64 {
        drop(padding);
        self.record(flow, seq, cx);
        seq
    }

    /// Answers after a while, in which nothing else is handled.
    #[handle]
    async fn ponder(&mut self, flow: String, seq: u64, millis: u64, cx: &mut Cx<Self>) -> u64 {
        self.record(flow, seq, cx);
        let clock = cx.system().clock();
        let wait = clock.sleep_until(clock.now() + Duration::from_millis(millis));
        wait.await;
        seq
    }

    /// Drops the request unanswered.
    #[handle]
    fn forget(&mut self, flow: String, seq: u64, cx: &mut Cx<Self>, reply: Reply<u64>) {
        self.record(flow, seq, cx);
        drop(reply);
    }

    /// Ends after this message.
    #[handle]
    fn quit(&mut self, cx: &mut Cx<Self>) {
        cx.stop();
    }
}
