//! `odeon`: the actor trait by hand, since `#[actor]` takes no generic types.

use odeon_actor::{Actor, Cx, Handle, Reply, Request, SpawnOptions, System};

use crate::{
    peers::odeon::Odeon,
    stages::{Behaviour, Scene, Stage},
};

/// An actor with this behaviour.
pub(crate) struct Player<B>(B);

/// A tell of this message.
struct Post<B: Behaviour<Odeon>>(B::Message);

impl Stage for Odeon {
    type Address<B: Behaviour<Self>> = Handle<Player<B>>;

    fn spawn<B: Behaviour<Self>>(&self, behaviour: B) -> Self::Address<B> {
        spawn(&self.0, behaviour)
    }

    fn send<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message) {
        // Unbounded and local, so only a dead actor refuses.
        let _ = to.call(Post::<B>(message)).try_tell();
    }
}

fn spawn<B: Behaviour<Odeon>>(system: &System, behaviour: B) -> Handle<Player<B>> {
    let options = SpawnOptions::default().capacity(usize::MAX);
    system.spawn_with(options, Player(behaviour)).expect("an actor without a name cannot take one")
}

impl<B: Behaviour<Odeon>> Actor for Player<B> {
    type Message = B::Message;

    const HAS_START: bool = false;

    fn waits(_: &B::Message) -> bool {
        false
    }

    fn handle_now(&mut self, message: B::Message, cx: &mut Cx<Self>) {
        self.0.receive(message, cx);
    }

    async fn handle(&mut self, message: B::Message, cx: &mut Cx<Self>) {
        self.handle_now(message, cx);
    }
}

impl<B: Behaviour<Odeon>> Request<Player<B>> for Post<B> {
    type Reply = ();

    fn into_message(self, _reply: Reply<()>) -> B::Message {
        self.0
    }
}

impl<B: Behaviour<Odeon>> Scene<Odeon, B> for Cx<Player<B>> {
    fn me(&self) -> Handle<Player<B>> {
        Self::me(self).clone()
    }

    fn spawn<C: Behaviour<Odeon>>(&self, behaviour: C) -> Handle<Player<C>> {
        spawn(self.system(), behaviour)
    }

    fn stop(&mut self) {
        Self::stop(self);
    }
}
