//! Where a command runs: the project, its home, its domain, and the server by which it speaks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use odeon_actor::Handle;
use odeon_auth::Cookie;
use odeon_core::seam::BoxFuture;
use odeon_core::{ActorId, Address, Domain, Reference, ServerId};
use odeon_ensemble::config::{Ensemble, TlsUse};
use odeon_ensemble::identity;
use odeon_ensemble::registry::{REGISTRY, RegistryClient};
use odeon_ensemble::supervisor::{SUPERVISOR, Supervisor, supervisor_id};
use odeon_server::{CONSOLE, Home, Locate, OsRng, Server, ServerConfig, World};

use crate::args::Global;
use crate::error::CliError;
use crate::output::Output;
use crate::program::Program;
use crate::reach::not_up;

/// The ensemble's file.
pub(crate) const FILE: &str = "odeon.toml";

/// How long a question may take if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long servers may take to start or stop: a grace, a way up, and some more of both.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a command runs.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) program: Program,
    pub(crate) global: Global,
}

impl Context {
    pub(crate) const fn new(program: Program, global: Global) -> Self {
        Self { program, global }
    }

    pub(crate) const fn output(&self) -> Output {
        Output { json: self.global.json }
    }

    /// How long to wait for an answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.global.timeout.unwrap_or(TIMEOUT)
    }

    /// How long to wait for servers that start or stop.
    pub(crate) fn patience(&self) -> Duration {
        self.global.timeout.unwrap_or(PATIENCE)
    }

    /// The program's name, for hints.
    pub(crate) fn name(&self) -> &str {
        &self.program.name
    }

    /// The nearest directory with an ensemble's file, from here up.
    pub(crate) fn project() -> Option<PathBuf> {
        let here = std::env::current_dir().ok()?;
        here.ancestors().find(|directory| directory.join(FILE).is_file()).map(Path::to_owned)
    }

    /// The ensemble's directory, of the project at `project` if nothing else is said.
    pub(crate) fn home_of(&self, project: Option<&Path>) -> Result<Home, CliError> {
        Home::open(&self.home_path(project)?).map_err(|e| CliError::of("home", &e))
    }

    fn home_path(&self, project: Option<&Path>) -> Result<PathBuf, CliError> {
        let said = self.global.home.clone().or_else(|| std::env::var_os("ODEON_HOME").map(PathBuf::from));
        said.or_else(|| project.map(|project| project.join(".odeon")))
            .or_else(|| std::env::home_dir().map(|home| home.join(".odeon")))
            .ok_or_else(|| CliError::usage("there is no home directory: say --home DIR"))
    }

    /// Where the home is, or would be.
    pub(crate) fn home_path_here(&self) -> Result<PathBuf, CliError> {
        self.home_path(Self::project().as_deref())
    }

    pub(crate) fn home(&self) -> Result<Home, CliError> {
        self.home_of(Self::project().as_deref())
    }

    /// The home, unless there is none yet: a question makes no directories.
    pub(crate) fn home_if_made(&self) -> Result<Option<Home>, CliError> {
        let root = self.home_path_here()?;
        if root.is_dir() { self.home().map(Some) } else { Ok(None) }
    }

    /// The domain that completes bare names.
    pub(crate) fn domain(&self) -> Domain {
        if let Some(domain) = &self.global.domain {
            return domain.clone();
        }
        Self::file().map_or_else(Domain::root, |ensemble| ensemble.domain)
    }

    /// The ensemble's file, if there is one that is right.
    fn file() -> Option<Ensemble> {
        Self::project().and_then(|project| Ensemble::load(&project.join(FILE)).ok())
    }

    /// The servers whose addresses the file says.
    pub(crate) fn known_servers() -> Vec<ServerId> {
        Self::file().map_or_else(Vec::new, |file| file.known.into_keys().collect())
    }

    pub(crate) fn server_id(&self, text: &str) -> Result<ServerId, CliError> {
        ServerId::parse_in(text, &self.domain()).map_err(|e| CliError::usage(e.to_string()))
    }

    pub(crate) fn reference(&self, text: &str) -> Result<Reference, CliError> {
        Reference::parse_in(text, &self.domain()).map_err(|e| CliError::usage(e.to_string()))
    }

    /// Starts the server by which the command speaks: transient, listening nowhere.
    pub(crate) async fn console(&self) -> Result<Console, CliError> {
        let domain = self.domain();
        let home = self.home_if_made()?.filter(|home| home.cookie().exists());
        let Some(home) = home else {
            let root = self.home_path_here()?;
            return Err(not_up(self.name(), &format!("nothing has been started in {}", root.display())));
        };
        let cookie = Cookie::load(&home.cookie()).map_err(|e| CliError::of("cookie", &e))?;
        let file = Self::file();
        let world = World::real(home.host().clone());
        let tls = file.as_ref().map_or(TlsUse::IfThere, |file| file.tls);
        // Under the certificate of the console of this place, or of one above it. Whoever asks for another domain is
        // nobody else for that.
        let own_domain = file.as_ref().map_or_else(|| domain.clone(), |file| file.domain.clone());
        let identity = own_domain.ancestors().find_map(|domain| {
            let console = ServerId::new(CONSOLE, domain).ok()?;
            identity(&home, &console, tls, &[], &world.clock).ok().flatten()
        });
        let place = identity.as_ref().map_or_else(|| domain.clone(), |identity| identity.own().domain);
        let id = ServerId::transient(CONSOLE, &place, &OsRng).map_err(|e| CliError::usage(e.to_string()))?;
        let mut config = ServerConfig::new(id, cookie, world);
        config.tls = identity;
        config.reply_timeout = self.timeout();
        if let Some(file) = &file {
            config.known.clone_from(&file.known);
        }
        let server = Server::start(config).await.map_err(|e| CliError::of("start", &e))?;
        let own = ServerId::new(REGISTRY, domain.clone()).map_err(|e| CliError::usage(e.to_string()))?;
        let is_here = home.socket(&own, "sock").exists();
        let (registry, is_known) = match file {
            Some(file) if !is_here => (file.registry.id.clone(), file.known.contains_key(&file.registry.id)),
            _ => (own, false),
        };
        let client = RegistryClient::new(server.clone(), registry);
        let locator = HomeLocator { home: home.clone(), registry: client.clone(), is_known };
        server.set_locator(Arc::new(locator));
        Ok(Console {
            server,
            registry: client,
            domain,
            home,
            program: self.name().to_owned(),
            timeout: self.timeout(),
            presented: Mutex::default(),
        })
    }
}

/// A command's server and what it speaks to.
#[derive(Debug)]
pub(crate) struct Console {
    pub(crate) server: Server,
    pub(crate) registry: RegistryClient,
    pub(crate) domain: Domain,
    pub(crate) home: Home,
    /// The program's name, for hints.
    pub(crate) program: String,
    /// How long to wait for a link, and for an answer.
    pub(crate) timeout: Duration,
    /// Where this user's grants were presented.
    pub(crate) presented: Mutex<BTreeSet<ServerId>>,
}

impl Console {
    pub(crate) fn supervisor_id(&self) -> ServerId {
        supervisor_id(&self.domain)
    }

    /// The supervisor's actor, whether it is there or not.
    pub(crate) fn supervisor_unseen(&self) -> Handle<Supervisor> {
        let name = SUPERVISOR.parse().expect("`supervisor` is an actor name");
        self.server.actor(Reference::new(self.supervisor_id(), ActorId::Name(name)))
    }
}

/// Finds servers of this home by their sockets, and others through the registry.
#[derive(Debug)]
struct HomeLocator {
    home: Home,
    registry: RegistryClient,
    /// Whether the file says where the registry is.
    is_known: bool,
}

impl Locate for HomeLocator {
    fn locate<'a>(&'a self, server: &'a ServerId) -> BoxFuture<'a, Result<Vec<Address>, String>> {
        Box::pin(async move {
            let has_socket = |id: &ServerId| self.home.socket(id, "sock").exists();
            let registry = self.registry.id();
            if has_socket(server) {
                Ok(vec![self.home.address(server)])
            } else if server != registry && (self.is_known || has_socket(registry)) {
                self.registry.locate(server).await
            } else {
                Err(format!("it does not run in {}", self.home.root().display()))
            }
        })
    }
}
