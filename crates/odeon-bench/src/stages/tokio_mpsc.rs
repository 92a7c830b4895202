//! The limit: a bare task behind an unbounded `tokio::sync::mpsc`.

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::{
    peers::tokio_mpsc::TokioMpsc,
    stages::{Behaviour, Scene, Stage},
};

/// The scene of one task. The task holds its own channel open, and ends by `stop` or with the runtime.
struct Seat<M> {
    me: UnboundedSender<M>,
    stopping: bool,
}

impl Stage for TokioMpsc {
    type Address<B: Behaviour<Self>> = UnboundedSender<B::Message>;

    fn spawn<B: Behaviour<Self>>(&self, behaviour: B) -> Self::Address<B> {
        spawn(behaviour)
    }

    fn send<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message) {
        // Unbounded, so only an ended task refuses.
        let _ = to.send(message);
    }
}

fn spawn<B: Behaviour<TokioMpsc>>(behaviour: B) -> UnboundedSender<B::Message> {
    let (sender, messages) = mpsc::unbounded_channel();
    tokio::spawn(play(behaviour, messages, sender.clone()));
    sender
}

async fn play<B: Behaviour<TokioMpsc>>(
    mut behaviour: B,
    mut messages: UnboundedReceiver<B::Message>,
    me: UnboundedSender<B::Message>,
) {
    let mut seat = Seat { me, stopping: false };
    while !seat.stopping
        && let Some(message) = messages.recv().await
    {
        behaviour.receive(message, &mut seat);
    }
}

impl<B: Behaviour<TokioMpsc>> Scene<TokioMpsc, B> for Seat<B::Message> {
    fn me(&self) -> UnboundedSender<B::Message> {
        self.me.clone()
    }

    fn spawn<C: Behaviour<TokioMpsc>>(&self, behaviour: C) -> UnboundedSender<C::Message> {
        spawn(behaviour)
    }

    fn stop(&mut self) {
        self.stopping = true;
    }
}
