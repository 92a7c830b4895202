//! `kameo`: one message type per actor, unbounded mailboxes.

use kameo::{
    Actor,
    actor::{ActorRef, Spawn},
    error::Infallible,
    mailbox,
    message::{Context, Message},
};

use crate::{
    peers::kameo::Kameo,
    stages::{Behaviour, Scene, Stage},
};

/// An actor with this behaviour.
pub(crate) struct Player<B>(B);

/// A message, so that one implementation serves them all.
pub(crate) struct Post<M>(M);

impl Stage for Kameo {
    type Address<B: Behaviour<Self>> = ActorRef<Player<B>>;

    fn spawn<B: Behaviour<Self>>(&self, behaviour: B) -> Self::Address<B> {
        spawn(behaviour)
    }

    fn send<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message) {
        // Unbounded, so only a dead actor refuses.
        let _ = to.tell(Post(message)).try_send();
    }
}

fn spawn<B: Behaviour<Kameo>>(behaviour: B) -> ActorRef<Player<B>> {
    Player::spawn_with_mailbox(Player(behaviour), mailbox::unbounded())
}

impl<B: Behaviour<Kameo>> Actor for Player<B> {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(args: Self, _actor: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(args)
    }
}

impl<B: Behaviour<Kameo>> Message<Post<B::Message>> for Player<B> {
    type Reply = ();

    async fn handle(&mut self, Post(message): Post<B::Message>, context: &mut Context<Self, ()>) {
        self.0.receive(message, context);
    }
}

impl<B: Behaviour<Kameo>> Scene<Kameo, B> for Context<Player<B>, ()> {
    fn me(&self) -> ActorRef<Player<B>> {
        self.actor_ref().clone()
    }

    fn spawn<C: Behaviour<Kameo>>(&self, behaviour: C) -> ActorRef<Player<C>> {
        spawn(behaviour)
    }

    fn stop(&mut self) {
        Self::stop(self);
    }
}
