//! Links between actors of two servers: each server makes the side of its own actor.
//!
//! Whoever links asks the other server by a message to make the other side, and is believed as far as its server is:
//! the actor that is linked to is one of the sender's server, whatever a payload says. What the other server watches
//! for is an actor's number, and by the time it does that actor may have ended; so it is held until the answer is
//! here, and what is told of its end is the truth.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use odeon_actor::{AskError, Inbox, Route, Sender, link_side, unlink_side};
use odeon_core::{ActorId, Epoch, ExitReason, Reference, Refusal, RefusalCode, decode};

use crate::control::{ControlLinkActor, ControlUnlinkActor};
use crate::route::{ServerRoute, control_call};
use crate::server::Server;

/// Actors whose wish to be linked is on its way, with how many such wishes each has.
#[derive(Default)]
pub(crate) struct Linking(Mutex<Wishing>);

/// By number.
type Wishing = BTreeMap<u64, (Arc<dyn Inbox>, usize)>;

impl Linking {
    fn held(&self) -> MutexGuard<'_, Wishing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, actor: &Arc<dyn Inbox>) {
        self.held().entry(actor.number()).or_insert_with(|| (Arc::clone(actor), 0)).1 += 1;
    }

    fn let_go(&self, number: u64) {
        let mut held = self.held();
        let Some((_, wishes)) = held.get_mut(&number) else { return };
        *wishes -= 1;
        let last = if *wishes == 0 { held.remove(&number) } else { None };
        drop(held);
        // Outside the lock: it may be the last of an actor.
        drop(last);
    }

    /// The actor of that number in this incarnation, though it may have ended.
    pub(crate) fn actor(&self, actor: &ActorId, epoch: Epoch) -> Option<Arc<dyn Inbox>> {
        let number = match actor {
            ActorId::NumberOf(number, of) if *of == epoch => number,
            _ => return None,
        };
        self.held().get(number).map(|(actor, _)| Arc::clone(actor))
    }
}

impl fmt::Debug for Linking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linking").field("count", &self.held().len()).finish()
    }
}

/// Lets go of an actor however the wish ends.
struct Held {
    server: Server,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.server.linking().let_go(self.number);
    }
}

impl Server {
    /// Has the server of `to` link that actor to `from`, and calls `lost` if it does not.
    pub(crate) fn link_there(
        &self,
        to: &Reference,
        from: &Arc<dyn Inbox>,
        lost: Box<dyn FnOnce(ExitReason) + Send>,
    ) {
        let number = from.number();
        self.linking().hold(from);
        let held = Held { server: self.clone(), number };
        let mut call = control_call(to, "server/1#link-actor", ControlLinkActor { actor: to.actor.clone() });
        call.from = number;
        let server = self.clone();
        self.spawn_service("link-actor", async move |clock| {
            let asked = async {
                call.expires_at = Some(clock.now() + server.system().reply_timeout());
                let (encoding, bytes) = server.ask_encoded(call).await?;
                decode::<Result<(), Refusal>>(encoding, &bytes)?.map_err(AskError::Refused)
            };
            let outcome: Result<(), AskError> = asked.await;
            drop(held);
            if let Err(error) = outcome {
                lost(ExitReason::LinkLost(format!("it was not linked: {error}")));
            }
        });
    }

    /// Has the server of `to` take back that actor's side of a link to the actor with this number.
    pub(crate) fn unlink_there(&self, to: &Reference, from: u64) {
        let mut call =
            control_call(to, "server/1#unlink-actor", ControlUnlinkActor { actor: to.actor.clone() });
        call.from = from;
        // At once, where that is possible: what is told of the actor's end then comes behind it.
        let link = self.peers().live(&to.server);
        if let Some(link) = link
            && matches!(link.try_tell(&call), Ok(Ok(())))
        {
            return;
        }
        let server = self.clone();
        self.spawn_service("unlink-actor", async move |_| {
            // Nobody waits: without a link there is nothing left to take back.
            if let Err(error) = server.tell_encoded(call).await {
                tracing::debug!(%error, "cannot take back a link");
            }
        });
    }

    /// Makes the side of our actor for a link that an actor of a peer's wants.
    pub(crate) fn link_for(&self, actor: &ActorId, sender: &Sender) -> Result<(), Refusal> {
        let (inbox, other) = self.ends(actor, sender)?;
        let route: Arc<dyn Route> = Arc::new(ServerRoute(self.clone()));
        link_side(&inbox, &other, &route)
            .map_err(|error| Refusal::new(RefusalCode::LimitReached, error.to_string()))
    }

    /// Takes it back.
    pub(crate) fn unlink_for(&self, actor: &ActorId, sender: &Sender) -> Result<(), Refusal> {
        let (inbox, other) = self.ends(actor, sender)?;
        unlink_side(&inbox, &other);
        Ok(())
    }

    fn ends(&self, actor: &ActorId, sender: &Sender) -> Result<(Arc<dyn Inbox>, Reference), Refusal> {
        let other = match sender {
            Sender::Remote(remote) if remote.number > 0 => {
                let actor = ActorId::NumberOf(remote.number, remote.peer.epoch);
                Reference::new(remote.peer.server.clone(), actor)
            }
            Sender::Remote(_) | Sender::Outside => {
                return Err(Refusal::new(RefusalCode::BadRequest, "only an actor can be linked to"));
            }
            Sender::Actor(number) => Reference::new(self.id().clone(), ActorId::Number(*number)),
        };
        if *actor == ActorId::SERVER {
            let detail = "actor 0 is the server itself: it is linked to nobody";
            return Err(Refusal::new(RefusalCode::BadRequest, detail));
        }
        Ok((self.local_inbox(actor)?, other))
    }
}
