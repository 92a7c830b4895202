//! `ractor`: the behaviour is the actor's state.

use std::marker::PhantomData;

use ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime};

use crate::{
    peers::ractor::Ractor,
    stages::{Behaviour, Scene, Stage},
};

/// An actor with this behaviour.
struct Player<B>(PhantomData<fn() -> B>);

/// The scene of one message.
struct Turn<'a, B: Behaviour<Ractor>> {
    me: &'a ActorRef<B::Message>,
}

impl Stage for Ractor {
    type Address<B: Behaviour<Self>> = ActorRef<B::Message>;

    fn spawn<B: Behaviour<Self>>(&self, behaviour: B) -> Self::Address<B> {
        spawn(behaviour)
    }

    fn send<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message) {
        // Unbounded, so only a dead actor refuses.
        let _ = to.send_message(message);
    }
}

/// The one way to spawn that does not wait for the new actor's first turn: a behaviour cannot wait.
fn spawn<B: Behaviour<Ractor>>(behaviour: B) -> ActorRef<B::Message> {
    let (actor, _task) = ActorRuntime::spawn_instant(None, Player(PhantomData), behaviour)
        .expect("an actor without a name cannot take one");
    actor
}

impl<B: Behaviour<Ractor>> Actor for Player<B> {
    type Msg = B::Message;
    type State = B;
    type Arguments = B;

    async fn pre_start(&self, _me: ActorRef<B::Message>, behaviour: B) -> Result<B, ActorProcessingErr> {
        Ok(behaviour)
    }

    async fn handle(
        &self,
        me: ActorRef<B::Message>,
        message: B::Message,
        behaviour: &mut B,
    ) -> Result<(), ActorProcessingErr> {
        behaviour.receive(message, &mut Turn { me: &me });
        Ok(())
    }
}

impl<B: Behaviour<Ractor>> Scene<Ractor, B> for Turn<'_, B> {
    fn me(&self) -> ActorRef<B::Message> {
        self.me.clone()
    }

    fn spawn<C: Behaviour<Ractor>>(&self, behaviour: C) -> ActorRef<C::Message> {
        spawn(behaviour)
    }

    fn stop(&mut self) {
        self.me.stop(None);
    }
}
