//! What the tests run as children, and how they arrange them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use odeon_ensemble::process::{Child, ExitRecord, ProcessId, ShimState, Spec, listeners, logs, sockets};

use crate::harness::{say, until};

/// A place for one child, removed with everything that still runs there.
pub(crate) struct Place {
    pub(crate) root: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().expect("temporary directory") }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.root.path().join("server")
    }

    /// A shell script as a child.
    pub(crate) fn shell(&self, script: &str) -> Spec {
        let mut spec = Spec::new("web-0@/", self.dir(), "/bin/sh");
        spec.args = vec!["-c".to_owned(), script.to_owned()];
        spec.env.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
        spec
    }

    /// A fixture of this binary as a child.
    pub(crate) fn fixture(&self, name: &str) -> Spec {
        let mut spec = Spec::new("web-0@/", self.dir(), this_exe());
        spec.args = vec!["fixture".to_owned(), name.to_owned()];
        spec
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        logs::tail(&self.dir().join("log"), logs::TAIL_LINES_MAX).expect("the log is readable")
    }

    pub(crate) async fn until_logged(&self, line: &str) {
        until(&format!("`{line}` is logged"), || self.lines().iter().any(|logged| logged == line)).await;
    }

    /// The number that the child printed after `key `.
    pub(crate) async fn logged_pid(&self, key: &str) -> ProcessId {
        let find = || self.lines().iter().find_map(|line| line.strip_prefix(key)?.trim().parse::<i32>().ok());
        until(&format!("`{key}` is logged"), || find().is_some()).await;
        ProcessId::of(find().expect("just found")).expect("it runs")
    }
}

impl Drop for Place {
    /// A test that failed leaves no process behind: a shim's child dies with it.
    fn drop(&mut self) {
        let state = fs::read(self.dir().join("shim.json")).ok();
        let state = state.and_then(|bytes| serde_json::from_slice::<ShimState>(&bytes).ok());
        if let Some(shim) = state.map(|state| state.shim()).filter(ProcessId::is_alive) {
            kill9(shim.pid);
        }
    }
}

pub(crate) fn this_exe() -> PathBuf {
    std::env::current_exe().expect("this binary has a path")
}

/// Starts `spec` without sockets.
pub(crate) async fn spawn(spec: &Spec) -> Child {
    Child::spawn(spec, &[], &this_exe()).await.expect("starts")
}

/// Starts `spec` and waits for its end.
pub(crate) async fn run_to_end(spec: &Spec) -> ExitRecord {
    spawn(spec).await.exited().await
}

/// A process that is not dead; for the end of an assertion.
pub(crate) async fn until_dead(process: &ProcessId) {
    until(&format!("process {} is dead", process.pid), || !process.is_alive()).await;
}

/// The whole answer of the server at `addr`.
pub(crate) fn read_answer(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("sets");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).expect("connects")
}

/// Kills a process by number.
pub(crate) fn kill9(pid: i32) {
    let status = std::process::Command::new("/bin/kill").arg("-9").arg(pid.to_string()).status();
    assert!(status.expect("kill runs").success(), "kill -9 {pid}");
}

/// Runs a fixture, if the command line names one.
pub(crate) fn run() -> Option<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["fixture", "serve"] => Some(serve()),
        ["supervise", dir, addr] => Some(supervise(Path::new(dir), addr)),
        _ => None,
    }
}

/// A server that answers each connection with its pid, the socket's name, and closes.
fn serve() -> ExitCode {
    let (name, listener) = listeners().expect("sockets").into_iter().next().expect("a socket");
    say("serving");
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        write!(stream, "{} {name}", std::process::id()).expect("writes");
    }
    ExitCode::SUCCESS
}

/// A supervisor that starts a server and does nothing more; it writes what it has to say into `ready`.
fn supervise(dir: &Path, addr: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = sockets::bind(&addr.parse().expect("an address")).expect("binds");
        let bound = listener.local_addr().expect("bound");
        let mut spec = Spec::new("web-0@/", dir, this_exe());
        spec.args = vec!["fixture".to_owned(), "serve".to_owned()];
        spec.listen = vec!["http".to_owned()];
        let passed: [BorrowedFd<'_>; 1] = [listener.as_fd()];
        let outcome = Child::spawn(&spec, &passed, &this_exe()).await;
        let text = outcome
            .as_ref()
            .map_or_else(|error| error.to_string(), |child| format!("{} {bound}", child.pid()));
        fs::write(dir.with_extension("ready.new"), text).expect("writes");
        fs::rename(dir.with_extension("ready.new"), dir.with_extension("ready")).expect("renames");
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}

/// A running helper supervisor; killed when dropped.
pub(crate) struct Supervisor {
    process: std::process::Child,
    pub(crate) child: ProcessId,
    pub(crate) addr: SocketAddr,
}

impl Supervisor {
    /// Starts it by way of `shell`, a script that ends in `exec "$@"`.
    pub(crate) async fn start(place: &Place, shell: &str) -> Self {
        let mut command = std::process::Command::new("/bin/sh");
        command
            .args(["-c", shell, "sh"])
            .arg(this_exe())
            .arg("supervise")
            .arg(place.dir())
            .arg("tcp:127.0.0.1:0");
        let process = command.spawn().expect("starts");
        let ready = place.dir().with_extension("ready");
        until("the supervisor is ready", || ready.exists()).await;
        let text = fs::read_to_string(ready).expect("reads");
        let (pid, addr) = text.split_once(' ').expect("pid and address");
        let pid = pid.parse().unwrap_or_else(|_| panic!("no pid: {text}"));
        Self {
            process,
            child: ProcessId::of(pid).expect("the child runs"),
            addr: addr.parse().expect("an address"),
        }
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("kills");
        self.process.wait().expect("is reaped");
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
