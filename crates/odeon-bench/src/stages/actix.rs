//! `actix`: actors spawned by the driver go to the two threads in turn; those spawned by an actor stay on its
//! thread, as `start` has it.

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message};

use crate::{
    peers::actix::Actix,
    stages::{Behaviour, Scene, Stage},
};

/// An actor with this behaviour.
pub(crate) struct Player<B>(B);

// Nothing in a behaviour is pinned in place: it is only ever borrowed.
impl<B> Unpin for Player<B> {}

/// A message without an answer.
pub(crate) struct Post<M>(M);

impl Stage for Actix {
    type Address<B: Behaviour<Self>> = Addr<Player<B>>;

    fn spawn<B: Behaviour<Self>>(&self, behaviour: B) -> Self::Address<B> {
        self.place_in_turn(Player(behaviour))
    }

    fn send<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message) {
        to.do_send(Post(message));
    }
}

impl<M: 'static> Message for Post<M> {
    type Result = ();
}

impl<B: Behaviour<Actix>> Actor for Player<B> {
    type Context = Context<Self>;
}

impl<B: Behaviour<Actix>> Handler<Post<B::Message>> for Player<B> {
    type Result = ();

    fn handle(&mut self, Post(message): Post<B::Message>, context: &mut Context<Self>) {
        self.0.receive(message, context);
    }
}

impl<B: Behaviour<Actix>> Scene<Actix, B> for Context<Player<B>> {
    fn me(&self) -> Addr<Player<B>> {
        self.address()
    }

    fn spawn<C: Behaviour<Actix>>(&self, behaviour: C) -> Addr<Player<C>> {
        Player(behaviour).start()
    }

    fn stop(&mut self) {
        ActorContext::stop(self);
    }
}
