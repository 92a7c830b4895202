//! The limit: a bare task behind an unbounded `kanal` channel.

use kanal::{AsyncReceiver, AsyncSender, unbounded_async};

use crate::{
    peers::kanal::Kanal,
    stages::{Behaviour, Scene, Stage},
};

/// The scene of one task. The task holds its own channel open, and ends by `stop` or with the runtime.
struct Seat<M> {
    me: AsyncSender<M>,
    stopping: bool,
}

impl Stage for Kanal {
    type Address<B: Behaviour<Self>> = AsyncSender<B::Message>;

    fn spawn<B: Behaviour<Self>>(&self, behaviour: B) -> Self::Address<B> {
        spawn(behaviour)
    }

    fn send<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message) {
        // Unbounded, so there is always room and only an ended task refuses.
        let _ = to.try_send(message);
    }
}

fn spawn<B: Behaviour<Kanal>>(behaviour: B) -> AsyncSender<B::Message> {
    let (sender, messages) = unbounded_async();
    tokio::spawn(play(behaviour, messages, sender.clone()));
    sender
}

async fn play<B: Behaviour<Kanal>>(
    mut behaviour: B,
    messages: AsyncReceiver<B::Message>,
    me: AsyncSender<B::Message>,
) {
    let mut seat = Seat { me, stopping: false };
    while !seat.stopping
        && let Ok(message) = messages.recv().await
    {
        behaviour.receive(message, &mut seat);
    }
}

impl<B: Behaviour<Kanal>> Scene<Kanal, B> for Seat<B::Message> {
    fn me(&self) -> AsyncSender<B::Message> {
        self.me.clone()
    }

    fn spawn<C: Behaviour<Kanal>>(&self, behaviour: C) -> AsyncSender<C::Message> {
        spawn(behaviour)
    }

    fn stop(&mut self) {
        self.stopping = true;
    }
}
