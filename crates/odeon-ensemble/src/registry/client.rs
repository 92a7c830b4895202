//! The registry as other servers see it: lookups behind every send, and the lease that is kept up.

use std::sync::Arc;
use std::time::Duration;

use odeon_actor::Handle;
use odeon_core::limits::LEASE_RENEWAL;
use odeon_core::seam::{BoxFuture, TaskKind};
use odeon_core::{ActorId, Address, Reference, Role, ServerId};
use odeon_server::{Locate, Server};
use tokio::sync::watch;

use super::actor::{RegistryActor, RegistryActorCalls};
use super::{Entry, Tenure};

/// The registry's actor name.
pub const REGISTRY: &str = "registry";

/// Pause before a failed announcement is tried again. Short, since a registry that restarts is back at once.
const RETRY: Duration = Duration::from_millis(500);

/// The registry, as one server sees it.
#[derive(Debug, Clone)]
pub struct RegistryClient {
    server: Server,
    registry: ServerId,
    /// What it is told of where the server is, if not simply where that listens.
    announced: Option<Arc<[Address]>>,
}

impl RegistryClient {
    /// The registry at server `registry`, as seen from `server`.
    #[must_use]
    pub const fn new(server: Server, registry: ServerId) -> Self {
        Self { server, registry, announced: None }
    }

    /// Announcing these addresses instead of those at which the server listens.
    #[must_use]
    pub fn announcing(mut self, addresses: Vec<Address>) -> Self {
        self.announced = Some(addresses.into());
        self
    }

    /// Which server it is.
    #[must_use]
    pub const fn id(&self) -> &ServerId {
        &self.registry
    }

    /// The registry's id in the domain of `server`.
    #[must_use]
    pub fn id_in(server: &ServerId) -> ServerId {
        ServerId::new(REGISTRY, server.domain().clone()).expect("`registry` is a server name")
    }

    /// The actor itself.
    #[must_use]
    pub fn handle(&self) -> Handle<RegistryActor> {
        let name = REGISTRY.parse().expect("`registry` is an actor name");
        self.server.actor(Reference::new(self.registry.clone(), ActorId::Name(name)))
    }

    /// Announces the server under `roles` and keeps its lease up, until its end is requested. Returns at once: a
    /// registry that is down is found when it is back. What comes back turns true when the first attempt is over,
    /// whatever its outcome.
    pub fn announce(&self, roles: Vec<Role>) -> watch::Receiver<bool> {
        let (client, (asked, was_asked)) = (self.clone(), watch::channel(false));
        let keeping = async move {
            tokio::select! {
                biased;
                () = client.server.shutdown_requested() => {}
                () = client.keep_lease(roles, asked) => {}
            }
        };
        self.server.system().tasks().spawn(TaskKind::Service, "lease", Box::pin(keeping));
        was_asked
    }

    /// Takes the server out of the registry.
    pub async fn withdraw(&self) {
        let removing = self.handle();
        let call = removing.remove(self.server.id().clone(), Some(self.server.epoch()));
        // A registry that is gone needs no word: the lease runs out.
        if let Err(error) = call.within(RETRY).await {
            tracing::debug!(%error, "not withdrawn from the registry");
        }
    }

    async fn keep_lease(&self, roles: Vec<Role>, asked: watch::Sender<bool>) {
        let (server, clock) = (&self.server, Arc::clone(self.server.clock()));
        let (id, epoch) = (server.id().clone(), server.epoch());
        let mut is_added = false;
        loop {
            let handle = self.handle();
            let outcome = if is_added {
                handle.renew(id.clone(), epoch).await
            } else {
                let addresses = self.announced.as_deref().unwrap_or(server.addresses()).to_vec();
                handle.add(id.clone(), addresses, roles.clone(), epoch, Tenure::Leased).await
            };
            asked.send_replace(true);
            is_added = matches!(outcome, Ok(Ok(())));
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(refusal)) => tracing::warn!(%refusal, "the registry refused the lease"),
                Err(error) => tracing::debug!(%error, "the registry is out of reach"),
            }
            let pause = if is_added { LEASE_RENEWAL } else { RETRY };
            clock.sleep_until(clock.now() + pause).await;
        }
    }
}

impl Locate for RegistryClient {
    fn locate<'a>(&'a self, server: &'a ServerId) -> BoxFuture<'a, Result<Vec<Address>, String>> {
        Box::pin(async move {
            if *server == self.registry {
                return Err("it is the registry itself, and is not known".to_owned());
            }
            match self.handle().lookup(server.clone()).await {
                Ok(Ok(Entry { addresses, .. })) => Ok(addresses),
                Ok(Err(refusal)) => Err(refusal.to_string()),
                Err(error) => Err(format!("the registry cannot be asked: {error}")),
            }
        })
    }
}
