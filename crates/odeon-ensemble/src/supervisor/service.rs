//! Running a supervisor: its place, its server, what it finds, and its end.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use odeon_actor::Handle;
use odeon_auth::{Cookie, CookieError};
use odeon_core::{ActorName, Address, Domain, NameError, ServerId};
use odeon_server::{Claim, ClaimError, Home, Server, ServerConfig, StartError, World};
use tokio::signal::unix::{SignalKind, signal};

use super::actor::{Beginning, EventHook, Parts, Supervisor};
use super::found;
use super::launch::{Program, registry_role};
use super::plan::{Found, FoundState, Plan, Step, StepKind};
use crate::config::{Ensemble, announced};
use crate::identity::{IdentityError, identity};
use crate::node::{authority, reload_on_hangup};
use crate::process::{AdoptError, Child};
use crate::registry::RegistryClient;

/// The name of a supervisor's server and of its actor.
pub const SUPERVISOR: &str = "supervisor";

/// How long the supervisor's own actors may take to stop; all processes are down by then.
const GRACE: Duration = Duration::from_secs(1);

/// What a supervisor is started with.
pub struct SupervisorConfig {
    /// What should run.
    pub ensemble: Ensemble,
    /// The ensemble's directory on this host.
    pub home: Home,
    /// The program whose roles are run.
    pub program: Program,
    /// Called with every event.
    pub on_event: EventHook,
}

/// Why a supervisor did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// The ensemble's secret cannot be read.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// Another supervisor runs, or the place cannot be used.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The supervisor's certificate cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The server did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Signals cannot be caught.
    #[error("signals cannot be caught")]
    Signals(#[source] io::Error),
    /// What runs already cannot be told.
    #[error("cannot tell what an earlier supervisor left running")]
    Adopt(#[source] AdoptError),
    /// A shim's record names a server wrongly.
    #[error("a shim's record is not ours")]
    Name(#[source] NameError),
    /// A role's socket cannot be bound.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address.
        address: Address,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// The id of the supervisor of a domain.
///
/// # Panics
/// Never: `supervisor` is a server name.
#[must_use]
pub fn supervisor_id(domain: &Domain) -> ServerId {
    ServerId::new(SUPERVISOR, domain.clone()).expect("`supervisor` is a server name")
}

/// A running supervisor. Dropped, it goes on in the background until its runtime ends; what it started lives on.
#[derive(Debug)]
pub struct Supervision {
    server: Server,
    handle: Handle<Supervisor>,
    // The place is ours as long as this lives.
    _claim: Claim,
}

impl Supervision {
    /// Starts a supervisor in the current tokio runtime, and with it everything that should run.
    ///
    /// # Errors
    /// When it cannot start; nothing that ran is touched then.
    pub async fn start(config: SupervisorConfig) -> Result<Self, SupervisorError> {
        let SupervisorConfig { ensemble, home, program, on_event } = config;
        let hangup = signal(SignalKind::hangup()).map_err(SupervisorError::Signals)?;
        let id = supervisor_id(&ensemble.domain);
        let cookie = Cookie::load(&home.cookie())?;
        let claim = home.claim(&id)?;
        let running = found::running(&home, &ensemble.domain).await?;
        let sockets = found::sockets(&ensemble, &running).await?;
        let plan = plan(&ensemble, &home, &program, &running);
        let place = &ensemble.supervisor;
        let world = World::real(home.host().clone());
        let tls = identity(&home, &id, ensemble.tls, &place.listen, &world.clock)?;
        let mut server =
            ServerConfig::new(id.clone(), cookie, world).epoch(claim.epoch).listen(home.address(&id));
        server.tls = tls;
        let role = SUPERVISOR.parse().expect("`supervisor` is a role name");
        server.authority = authority(&home, &id, &role, &ensemble.auth);
        server.known.clone_from(&ensemble.known);
        server.listen.extend(place.listen.iter().cloned());
        let server = Server::start(server).await?;
        reload_on_hangup(&server, hangup);
        let told = announced(server.addresses(), &place.announce);
        let registry = RegistryClient::new(server.clone(), ensemble.registry.id.clone()).announcing(told);
        server.set_locator(Arc::new(registry.clone()));
        let name: ActorName = SUPERVISOR.parse().expect("`supervisor` is an actor name");
        let parts = Parts { ensemble, home, program, server: server.clone(), registry, on_event };
        let supervisor = Supervisor::new(parts, Beginning { plan, running, sockets });
        let handle = server.spawn_named(name, supervisor).expect("nothing else is registered yet");
        server.set_ready().await;
        Ok(Self { server, handle, _claim: claim })
    }

    /// The supervisor's actor.
    #[must_use]
    pub const fn handle(&self) -> &Handle<Supervisor> {
        &self.handle
    }

    /// Ready when the supervisor has ended: when everything is down at somebody's order, or when the supervisor
    /// alone was told to end or failed, which leaves the servers running.
    pub async fn finished(self) {
        tokio::select! {
            biased;
            () = self.server.shutdown_requested() => {}
            reason = self.handle.ended() => {
                tracing::error!(%reason, "the supervisor is over; its servers run on");
            }
        }
        self.server.shutdown(GRACE).await;
    }
}

/// What is to be done, the registry included: it is in no file, and goes first.
fn plan(
    ensemble: &Ensemble,
    home: &Home,
    program: &Program,
    running: &BTreeMap<ServerId, Arc<Child>>,
) -> Plan {
    let registry = RegistryClient::id_in(&supervisor_id(&ensemble.domain));
    // One that was left running here, while the file has it elsewhere, is found as what it is: in no file.
    let is_here = !ensemble.registry.elsewhere;
    let found = |(id, child): (&ServerId, &Arc<Child>)| {
        (id.clone(), Found { spec: child.state().spec.clone(), state: FoundState::Running })
    };
    let mut found: BTreeMap<ServerId, Found> = running.iter().map(found).collect();
    let registry_found = if is_here { found.remove(&registry) } else { None };
    let mut plan = Plan::new(ensemble, &found, |server| {
        program.spec(home, ensemble, &server.id, &server.role).fingerprint()
    });
    if !is_here {
        return plan;
    }
    let wanted = program.spec(home, ensemble, &registry, &registry_role()).fingerprint();
    let kind = match registry_found {
        None => StepKind::Start,
        Some(found) if found.spec == wanted => StepKind::Keep,
        Some(_) => StepKind::Replace,
    };
    plan.waves.insert(0, vec![Step { kind, id: registry }]);
    plan
}

impl fmt::Debug for SupervisorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SupervisorConfig").field("home", &self.home).finish_non_exhaustive()
    }
}
