//! A place for one ensemble, with its supervisor, for a test to look at and to steer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use odeon_actor::Handle;
use odeon_auth::{Cookie, Existing};
use odeon_core::{Domain, Role, ServerId};
use odeon_ensemble::config::Ensemble;
use odeon_ensemble::process::{ProcessId, ShimState, logs};
use odeon_ensemble::registry::RegistryClient;
use odeon_ensemble::supervisor::state::Phase;
use odeon_ensemble::supervisor::{
    EventHook, Program, Selection, ServerRow, Supervision, Supervisor, SupervisorCalls, SupervisorConfig,
    SupervisorError, SupervisorEvent,
};
use odeon_server::{Home, OsRng, Server, ServerConfig, World};

use crate::harness::until;

/// Far more than anything here takes; past it a condition does not hold.
const PATIENCE: Duration = Duration::from_secs(10);

/// A directory with an ensemble's file and home.
pub(crate) struct Setting {
    root: PathBuf,
    pub(crate) home: Home,
}

impl Setting {
    pub(crate) fn at(root: &Path) -> Self {
        let home = Home::open(&root.join("home")).expect("a home");
        let _ = Cookie::create(&home.cookie(), &OsRng, Existing::Keep);
        Self { root: root.to_owned(), home }
    }

    /// Starts a supervisor in this process.
    pub(crate) async fn start(&self, on_event: EventHook) -> Result<Supervision, SupervisorError> {
        let ensemble = Ensemble::load(&self.root.join("odeon.toml")).expect("a good file");
        let exe = std::env::current_exe().expect("this binary has a path");
        let program = Program { exe, directory: self.root.clone() };
        Supervision::start(SupervisorConfig { ensemble, home: self.home.clone(), program, on_event }).await
    }
}

pub(crate) fn no_hook() -> EventHook {
    Arc::new(|_| {})
}

/// The servers by name.
pub(crate) type Rows = BTreeMap<String, ServerRow>;

/// An ensemble, removed with everything that still runs in it.
pub(crate) struct Stage {
    place: tempfile::TempDir,
    pub(crate) setting: Setting,
    supervision: Option<Supervision>,
    events: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    /// Nothing runs yet.
    pub(crate) fn new(file: &str) -> Self {
        let place = tempfile::tempdir().expect("temporary directory");
        let setting = Setting::at(place.path());
        let stage = Self { place, setting, supervision: None, events: Arc::default() };
        stage.write(file);
        stage
    }

    /// A supervisor that has just begun.
    pub(crate) async fn begin(file: &str) -> Self {
        let mut stage = Self::new(file);
        stage.supervise().await;
        stage
    }

    /// Everything is ready.
    pub(crate) async fn up(file: &str) -> Self {
        let stage = Self::begin(file).await;
        stage.until_ready().await;
        stage
    }

    /// Puts another file in the place of the ensemble's.
    pub(crate) fn write(&self, file: &str) {
        fs::write(self.place.path().join("odeon.toml"), file).expect("writes");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Starts a supervisor here, which must succeed.
    pub(crate) async fn supervise(&mut self) {
        let events = Arc::clone(&self.events);
        let hook: EventHook = Arc::new(move |event| {
            let line = match event {
                SupervisorEvent::Planned(_) => return,
                SupervisorEvent::Adopted { id, .. } => format!("{} adopted", id.name()),
                SupervisorEvent::Changed { id, change, .. } => format!("{} {}", id.name(), change.to.phase()),
            };
            events.lock().expect("no test panics in a hook").push(line);
        });
        self.supervision = Some(self.setting.start(hook).await.expect("the supervisor starts"));
    }

    /// Has a supervisor in a process of its own bring everything up, and kills it with signal 9.
    pub(crate) async fn leave_by_a_killed_supervisor(&self) {
        let ready = self.path("ready");
        let mut command = std::process::Command::new(std::env::current_exe().expect("a path"));
        let mut supervisor =
            command.arg("supervise").arg(self.place.path()).arg(&ready).spawn().expect("starts");
        until("everything is up", || ready.exists()).await;
        supervisor.kill().expect("kills");
        supervisor.wait().expect("is reaped");
        fs::remove_file(ready).expect("removes");
    }

    pub(crate) fn supervisor(&self) -> &Handle<Supervisor> {
        self.supervision.as_ref().expect("it runs").handle()
    }

    /// What has happened so far, such as `web-0 ready`.
    pub(crate) fn events(&self) -> Vec<String> {
        self.events.lock().expect("no test panics in a hook").clone()
    }

    /// When it happened first, among the events.
    pub(crate) fn when(&self, event: &str) -> usize {
        let events = self.events();
        events.iter().position(|seen| seen == event).unwrap_or_else(|| panic!("no `{event}` in {events:?}"))
    }

    pub(crate) async fn rows(&self) -> Rows {
        let rows = self.supervisor().ps(Selection::default()).await.expect("the supervisor answers");
        rows.into_iter().map(|row| (row.id.name().to_owned(), row)).collect()
    }

    /// Waits until the servers are as they should be.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Rows) -> bool) -> Rows {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rows = self.rows().await;
            if condition(&rows) {
                return rows;
            }
            assert!(Instant::now() < deadline, "waited in vain until {what}: {rows:#?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn until_ready(&self) -> Rows {
        self.until("everything is ready", |rows| rows.values().all(|row| row.process.state == Phase::Ready))
            .await
    }

    pub(crate) async fn until_phase(&self, name: &str, phase: Phase) -> ServerRow {
        let is_there = |rows: &Rows| rows.get(name).is_some_and(|row| row.process.state == phase);
        let mut rows = self.until(&format!("{name} is {phase}"), is_there).await;
        rows.remove(name).expect("it is there")
    }

    /// Who runs under the shim of a server.
    pub(crate) fn shim(&self, name: &str) -> Option<ShimState> {
        let bytes = fs::read(self.setting.home.server(&id(name)).join("shim.json")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(crate) fn child(&self, name: &str) -> ProcessId {
        self.shim(name).expect("it runs").child()
    }

    pub(crate) fn log(&self, name: &str) -> Vec<String> {
        let log = self.setting.home.server(&id(name)).join("log");
        logs::tail(&log, logs::TAIL_LINES_MAX).expect("the log is readable")
    }

    /// The role's first listening address.
    pub(crate) async fn listens(&self, name: &str) -> String {
        let rows = self.rows().await;
        rows[name].listen[0].strip_prefix("tcp:").expect("tcp").to_owned()
    }

    /// A server that belongs to nobody, and the registry as it sees it.
    pub(crate) async fn console(&self) -> (Server, RegistryClient) {
        let home = &self.setting.home;
        let cookie = Cookie::load(&home.cookie()).expect("the cookie");
        let registry = id("registry");
        let config = ServerConfig::new(id("console"), cookie, World::real(home.host().clone()))
            .known(registry.clone(), vec![home.address(&registry)]);
        let server = Server::start(config).await.expect("starts");
        let client = RegistryClient::new(server.clone(), registry);
        server.set_locator(Arc::new(client.clone()));
        (server, client)
    }

    /// Goes down, and checks that nothing is left of these servers.
    pub(crate) async fn down(mut self, names: &[&str]) -> Vec<String> {
        let children: Vec<ProcessId> =
            names.iter().filter_map(|name| Some(self.shim(name)?.child())).collect();
        let rows = self.supervisor().down().within(PATIENCE).await.expect("answers").expect("goes down");
        assert!(rows.iter().all(|row| row.process.pid.is_none()), "{rows:#?}");
        self.supervision.take().expect("it runs").finished().await;
        for child in children {
            assert!(!child.is_alive(), "{child:?} is left");
        }
        for name in names.iter().copied().chain(["registry", "supervisor"]) {
            for kind in ["sock", "shim"] {
                assert!(!self.setting.home.socket(&id(name), kind).exists(), "the {kind} of {name} is left");
            }
            assert_eq!(self.shim(name), None);
        }
        self.events()
    }
}

impl Drop for Stage {
    /// A test that failed leaves no process behind: a shim's child dies with it.
    fn drop(&mut self) {
        let mut open = vec![self.setting.home.root().join("servers")];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                open.push(entry.path());
                let state = fs::read(entry.path().join("shim.json")).ok();
                let state = state.and_then(|bytes| serde_json::from_slice::<ShimState>(&bytes).ok());
                if let Some(shim) = state.map(|state| state.shim()).filter(ProcessId::is_alive) {
                    kill9(shim.pid);
                }
            }
        }
    }
}

/// A server of the root domain.
pub(crate) fn id(name: &str) -> ServerId {
    ServerId::new(name, Domain::root()).expect("a name")
}

pub(crate) fn role(name: &str) -> Role {
    name.parse().expect("a role")
}

/// These servers.
pub(crate) fn these(names: &[&str]) -> Selection {
    Selection::of(names.iter().map(|name| id(name)).collect())
}

/// Kills a process by number.
pub(crate) fn kill9(pid: i32) {
    send_signal("-9", pid);
}

pub(crate) fn send_signal(signal: &str, pid: i32) {
    let status = std::process::Command::new("/bin/kill").arg(signal).arg(pid.to_string()).status();
    assert!(status.expect("kill runs").success(), "kill {signal} {pid}");
}

/// What the server at `address` says.
pub(crate) async fn heard_at(address: &str) -> String {
    use tokio::io::AsyncReadExt as _;
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
    let mut text = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await;
    read.expect("in time").expect("an answer");
    text
}
