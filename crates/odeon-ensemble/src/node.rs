//! A node: one server of an ensemble, as the function of its role sees it.
//!
//! A node takes its id's place, listens, finds the registry and announces itself; then the role runs. It ends
//! when the role's function returns, when somebody asks the server to shut down, or on SIGTERM and SIGINT.

use std::collections::BTreeMap;
use std::fmt;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use odeon_actor::{Actor, Handle, NameTaken};
use odeon_auth::{AdminFiles, Cookie, CookieError};
use odeon_core::seam::TaskKind;
use odeon_core::{ActorName, Address, AddressError, Domain, NameError, Role, ServerId, chain};
use odeon_server::{
    AdminKey, Authority, ClaimError, Home, HomeError, Server, ServerConfig, StartError, World,
};
use serde::de::DeserializeOwned;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::config::{AuthConfig, TlsUse, announced};
use crate::identity::{IdentityError, identity};
use crate::process::listeners;
use crate::registry::{REGISTRY, RegistryActor, RegistryClient};

/// How long actors may take to stop. The supervisor's own grace is longer and ends in a kill.
const GRACE: Duration = Duration::from_secs(3);

/// How long a server that is ready waits for the registry to know it. A registry that hangs must not keep a server
/// from its work.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(1);

/// The environment variables by which a supervisor tells a server what it is.
pub mod variables {
    /// The ensemble's directory.
    pub const HOME: &str = "ODEON_HOME";
    /// The domain by which bare names are completed.
    pub const DOMAIN: &str = "ODEON_DOMAIN";
    /// The server's role.
    pub const ROLE: &str = "ODEON_ROLE";
    /// Further addresses of the server itself, separated by spaces.
    pub const ADDRESSES: &str = "ODEON_ADDRESSES";
    /// What the registry is told instead of those, separated by spaces.
    pub const ANNOUNCE: &str = "ODEON_ANNOUNCE";
    /// The registry's id; that of the domain if nothing is said.
    pub const REGISTRY: &str = "ODEON_REGISTRY";
    /// Servers whose addresses no registry has to tell, as JSON.
    pub const KNOWN: &str = "ODEON_KNOWN";
    /// Whether certificates are used: `always`, `never`, or where they are there.
    pub const TLS: &str = "ODEON_TLS";
    /// Who may do what, as JSON.
    pub const AUTH: &str = "ODEON_AUTH";
    /// The role's settings, as JSON.
    pub const SETTINGS: &str = "ODEON_SETTINGS";
}

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Who it is.
    pub id: ServerId,
    /// Its role.
    pub role: Role,
    /// The ensemble's directory.
    pub home: PathBuf,
    /// Where it listens beside its unix socket.
    pub addresses: Vec<Address>,
    /// What the registry is told instead of those; nothing else, if this is empty.
    pub announce: Vec<Address>,
    /// The registry.
    pub registry: ServerId,
    /// Servers whose addresses no registry has to tell: the registry's own, if it is elsewhere.
    pub known: BTreeMap<ServerId, Vec<Address>>,
    /// Whether it uses its certificate.
    pub tls: TlsUse,
    /// Who may do what, as the ensemble's file says.
    pub auth: AuthConfig,
    /// What the ensemble's file says to the role.
    pub settings: serde_json::Value,
    /// The role's own arguments, those after `serve ID`.
    pub args: Vec<String>,
}

/// Why a node did not start, or how its role failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A variable that the supervisor sets is missing.
    #[error("{0} is not set: servers are started by `up`, or with `--home` and `--role` given by hand")]
    Missing(&'static str),
    /// A name is malformed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An address is malformed.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The settings are not JSON, or do not fit what the role expects.
    #[error("the role's settings do not fit")]
    Settings(#[source] serde_json::Error),
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The ensemble's secret cannot be read.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// What a variable says of other servers is malformed.
    #[error("{name} is malformed")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        #[source]
        error: serde_json::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The server's place is taken.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The server did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The sockets passed by the supervisor cannot be used.
    #[error("the listening sockets cannot be used")]
    Sockets(#[source] std::io::Error),
    /// Signals cannot be caught.
    #[error("signals cannot be caught")]
    Signals(#[source] std::io::Error),
    /// An actor's name is taken.
    #[error(transparent)]
    Taken(#[from] NameTaken),
    /// The role's function failed.
    #[error("role `{role}` failed")]
    Role {
        /// The role.
        role: Role,
        /// What it said.
        #[source]
        error: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl NodeConfig {
    /// The configuration of server `id`, from the variables a supervisor sets, with the role's own arguments.
    ///
    /// # Errors
    /// When a variable is missing or malformed.
    pub fn from_environment(id: &str, args: Vec<String>) -> Result<Self, NodeError> {
        let variable = |name| std::env::var(name).map_err(|_| NodeError::Missing(name));
        let optional = |name| std::env::var(name).unwrap_or_default();
        let domain = match optional(variables::DOMAIN).as_str() {
            "" => Domain::root(),
            text => text.parse()?,
        };
        let settings = match optional(variables::SETTINGS).as_str() {
            "" => serde_json::Value::Object(serde_json::Map::new()),
            text => serde_json::from_str(text).map_err(NodeError::Settings)?,
        };
        let addresses =
            |name| optional(name).split_whitespace().map(str::parse).collect::<Result<Vec<_>, _>>();
        let id = ServerId::parse_in(id, &domain)?;
        let registry = match optional(variables::REGISTRY).as_str() {
            "" => RegistryClient::id_in(&id),
            text => ServerId::parse_in(text, &domain)?,
        };
        let auth = match optional(variables::AUTH).as_str() {
            "" => AuthConfig::default(),
            text => serde_json::from_str(text)
                .map_err(|error| NodeError::Variable { name: variables::AUTH, error })?,
        };
        let known = match optional(variables::KNOWN).as_str() {
            "" => BTreeMap::new(),
            text => serde_json::from_str(text)
                .map_err(|error| NodeError::Variable { name: variables::KNOWN, error })?,
        };
        Ok(Self {
            id,
            role: variable(variables::ROLE)?.parse()?,
            home: variable(variables::HOME)?.into(),
            addresses: addresses(variables::ADDRESSES)?,
            announce: addresses(variables::ANNOUNCE)?,
            registry,
            known,
            tls: TlsUse::named(&optional(variables::TLS)),
            auth,
            settings,
            args,
        })
    }
}

/// One server of an ensemble, as the function of its role sees it. Cheap to clone.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    server: Server,
    registry: RegistryClient,
    role: Role,
    home: Home,
    settings: serde_json::Value,
    args: Vec<String>,
    listeners: Mutex<Vec<TcpListener>>,
    /// Whether the registry has been told of this server, or could not be; nothing before it was tried.
    announced: OnceLock<watch::Receiver<bool>>,
}

impl Node {
    /// The actor server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.0.server
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ServerId {
        self.0.server.id()
    }

    /// Its role.
    #[must_use]
    pub fn role(&self) -> &Role {
        &self.0.role
    }

    /// The registry: that of the domain, or another one that the file names.
    #[must_use]
    pub fn registry(&self) -> &RegistryClient {
        &self.0.registry
    }

    /// The role's settings of the ensemble's file.
    ///
    /// # Errors
    /// When they do not fit `T`.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, NodeError> {
        serde_json::from_value(self.0.settings.clone()).map_err(NodeError::Settings)
    }

    /// The role's own arguments, those after `serve ID`: `args` of the ensemble's file.
    #[must_use]
    pub fn args(&self) -> &[String] {
        &self.0.args
    }

    /// Takes the listening sockets that the supervisor holds for the role, in the order of the file. They are
    /// given once, non-blocking.
    #[must_use]
    pub fn take_listeners(&self) -> Vec<TcpListener> {
        std::mem::take(&mut *self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Starts an actor under a name.
    ///
    /// # Errors
    /// When the name is malformed or taken.
    pub fn spawn<A: Actor>(&self, name: &str, actor: A) -> Result<Handle<A>, NodeError> {
        Ok(self.server().spawn_named(name.parse::<ActorName>()?, actor)?)
    }

    /// Says that the server is ready to work: `up` waits for it, and so do the roles that need this one. By then
    /// the registry knows it, unless that is out of reach.
    pub async fn ready(&self) {
        let mut announced = self.0.announced.get().cloned();
        let announcement = async {
            if let Some(announced) = &mut announced {
                // Nobody tells when the server's end was requested first.
                let _ = announced.wait_for(|is_told| *is_told).await;
            }
        };
        let clock = self.server().clock();
        tokio::select! {
            biased;
            () = announcement => {}
            () = clock.sleep_until(clock.now() + REGISTRY_PATIENCE) => {}
        }
        self.server().set_ready().await;
    }

    /// Ready once somebody has asked for the server's end, by a message or by SIGTERM or SIGINT; the role's function
    /// should then come to its own. One that does not is killed after its `stop-grace` if a supervisor stops it, and
    /// runs on if it was only asked.
    pub async fn shutdown_requested(&self) {
        self.server().shutdown_requested().await;
    }

    fn announce(&self) {
        let _ = self.0.announced.set(self.registry().announce(vec![self.role().clone()]));
    }

    async fn start(config: &NodeConfig, epoch: odeon_core::Epoch) -> Result<Self, NodeError> {
        let home = Home::open(&config.home)?;
        let cookie = Cookie::load(&home.cookie())?;
        let sockets = listeners().map_err(NodeError::Sockets)?;
        for (_, socket) in &sockets {
            socket.set_nonblocking(true).map_err(NodeError::Sockets)?;
        }
        let world = World::real(home.host().clone());
        let tls = identity(&home, &config.id, config.tls, &config.addresses, &world.clock)?;
        let mut server =
            ServerConfig::new(config.id.clone(), cookie, world).epoch(epoch).listen(home.address(&config.id));
        server.tls = tls;
        server.authority = authority(&home, &config.id, &config.role, &config.auth);
        server.known.clone_from(&config.known);
        if config.id != config.registry {
            // Where the file knows nothing of it, it is a server of this home.
            let here = vec![home.address(&config.registry)];
            server.known.entry(config.registry.clone()).or_insert(here);
        }
        for address in &config.addresses {
            server = server.listen(address.clone());
        }
        let server = Server::start(server).await?;
        let told = announced(server.addresses(), &config.announce);
        let registry = RegistryClient::new(server.clone(), config.registry.clone()).announcing(told);
        server.set_locator(Arc::new(registry.clone()));
        let listeners = Mutex::new(sockets.into_iter().map(|(_, socket)| socket).collect());
        let NodeConfig { role, settings, args, .. } = config.clone();
        let announced = OnceLock::new();
        Ok(Self(Arc::new(Inner { server, registry, role, home, settings, args, listeners, announced })))
    }
}

/// Who may do what at a server of this home.
pub(crate) fn authority(home: &Home, id: &ServerId, role: &Role, auth: &AuthConfig) -> Authority {
    Authority {
        grants: auth.auth.clone(),
        strict: auth.strict,
        roles: vec![role.clone()],
        admin: AdminKey::File(AdminFiles::below(home.root()).public),
        directory: Some(home.server(id)),
    }
}

/// What a role's function may fail with: any error.
pub type RoleError = Box<dyn std::error::Error + Send + Sync>;

/// Runs one server to its end: `role` is the function of its role.
///
/// # Errors
/// When the server cannot start, or the role fails.
async fn serve<F>(config: NodeConfig, role: impl FnOnce(Node) -> F) -> Result<(), NodeError>
where
    F: Future<Output = Result<(), RoleError>>,
{
    let home = Home::open(&config.home)?;
    let claim = home.claim(&config.id)?;
    // Before there is a socket: a process that ends by the signal itself would leave its file.
    let mut terminate = signal(SignalKind::terminate()).map_err(NodeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(NodeError::Signals)?;
    let hangup = signal(SignalKind::hangup()).map_err(NodeError::Signals)?;
    let node = Node::start(&config, claim.epoch).await?;
    if config.role.as_str() != REGISTRY {
        node.announce();
    }
    reload_on_hangup(node.server(), hangup);
    let signalled = async {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        node.server().request_shutdown();
        // The role sees it and ends; how long that may take is the supervisor's business.
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        biased;
        outcome = role(node.clone()) => outcome,
        () = signalled => Ok(()),
    };
    // The lease is let go first, or it would be taken anew behind the withdrawal.
    node.server().request_shutdown();
    node.registry().withdraw().await;
    node.server().shutdown(GRACE).await;
    outcome.map_err(|error| NodeError::Role { role: config.role, error })
}

/// SIGHUP has the certificate loaded anew. Without one it does nothing: a server does not end with its terminal. It is
/// to be caught before there is a socket to leave behind.
pub(crate) fn reload_on_hangup(server: &Server, mut hangup: Signal) {
    let reloading = {
        let server = server.clone();
        async move {
            while hangup.recv().await.is_some() {
                if let Err(error) = server.reload_tls() {
                    tracing::error!(
                        "the new certificate cannot be used, and the old one stays: {}",
                        chain(&error)
                    );
                }
            }
        }
    };
    server.system().tasks().spawn(TaskKind::Service, "hangup", Box::pin(reloading));
}

/// The registry's own role: an actor on a file in its server's directory.
///
/// # Errors
/// When the actor cannot be started.
async fn registry(node: Node) -> Result<(), RoleError> {
    let file = node.0.home.server(node.id()).join("registry.json");
    let actor = RegistryActor::new(Arc::clone(&node.server().world().disk), file);
    let handle = node.spawn(REGISTRY, actor)?;
    // Answered once the file has been read; a corrupt one is the actor's end.
    handle.ping().await?;
    // Not before, since it announces itself to itself.
    node.announce();
    node.ready().await;
    tokio::select! {
        biased;
        () = node.shutdown_requested() => Ok(()),
        reason = handle.ended() => Err(format!("the registry {reason}").into()),
    }
}

/// The functions of a program's roles.
#[derive(Clone, Default)]
pub struct Roles(BTreeMap<Role, RoleFunction>);

type RoleFunction =
    Arc<dyn Fn(Node) -> std::pin::Pin<Box<dyn Future<Output = Result<(), RoleError>> + Send>> + Send + Sync>;

impl Roles {
    /// The registry's role alone, which every program has.
    #[must_use]
    pub fn new() -> Self {
        let mut roles = Self::default();
        roles.insert(REGISTRY.parse().expect("`registry` is a role name"), registry);
        roles
    }

    /// Has `function` run the servers of `role`; the last one said counts.
    pub fn insert<F>(&mut self, role: Role, function: impl Fn(Node) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), RoleError>> + Send + 'static,
    {
        self.0.insert(role, Arc::new(move |node| Box::pin(function(node))));
    }

    /// The roles, in order, the registry's left out.
    #[must_use]
    pub fn names(&self) -> Vec<Role> {
        self.0.keys().filter(|role| role.as_str() != REGISTRY).cloned().collect()
    }

    /// Runs one server to its end, by the function of its role.
    ///
    /// # Errors
    /// When the program has no such role, the server cannot start, or the role fails.
    pub async fn serve(&self, config: NodeConfig) -> Result<(), NodeError> {
        let Some(function) = self.0.get(&config.role).cloned() else {
            let known: Vec<String> = self.names().iter().map(ToString::to_string).collect();
            let error = format!("this program has no such role; it has {}", known.join(", ")).into();
            return Err(NodeError::Role { role: config.role, error });
        };
        serve(config, |node| function(node)).await
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", self.id()).field("role", self.role()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_with_its_causes_says_each_once() {
        let cause = || serde_json::from_str::<u8>("{").expect_err("no number");
        let said = |error: &NodeError| chain(error).matches(&cause().to_string()).count();
        let variable = NodeError::Variable { name: variables::AUTH, error: cause() };
        assert_eq!((said(&variable), said(&NodeError::Settings(cause()))), (1, 1));
        let role = "web".parse().expect("a role");
        let failed = NodeError::Role { role, error: NodeError::Settings(cause()).into() };
        assert_eq!(said(&failed), 1, "{}", chain(&failed));
        assert!(chain(&failed).starts_with("role `web` failed: the role's settings do not fit: "));
    }
}
