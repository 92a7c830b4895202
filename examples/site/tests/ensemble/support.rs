//! A project in a directory of its own, the program that runs in it, and the certainty that nothing is left.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) use crate::common::{DEADLINE, LOOK, Outcome, wait_for};
use crate::http::{Answer, Client};

/// Held by every project; a test that measures holds it alone.
static MACHINE: RwLock<()> = RwLock::new(());

/// Two workers at a port that the operating system chooses.
pub(crate) const TWO_WORKERS: &str = r#"
[roles.web]
workers = 2
listen = ["tcp:127.0.0.1:0"]

[roles.web.settings]
root = "pages"
greeting = "Good evening."
"#;

/// A project, and whatever runs in it.
pub(crate) struct Project {
    directory: tempfile::TempDir,
    _machine: Share,
}

/// A part of the machine, or all of it. That another test has failed meanwhile is its own affair.
enum Share {
    Some { _guard: RwLockReadGuard<'static, ()> },
    All { _guard: RwLockWriteGuard<'static, ()> },
}

impl Project {
    /// With this file, and a page; nothing runs.
    pub(crate) fn new(file: &str) -> Self {
        let guard = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        Self::with(file, Share::Some { _guard: guard })
    }

    /// With two workers, up in the background, while no other test runs.
    pub(crate) fn up_alone() -> Self {
        let guard = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        let project = Self::with(TWO_WORKERS, Share::All { _guard: guard });
        project.done(&["up", "--detach"]);
        project
    }

    fn with(file: &str, machine: Share) -> Self {
        // Socket paths have 107 bytes: a short place is a good one.
        let directory = tempfile::Builder::new().prefix("od").tempdir().expect("a directory");
        let project = Self { directory, _machine: machine };
        fs::create_dir(project.path().join("pages")).expect("made");
        project.write("pages/index.html", "<h1>A page</h1>\n");
        project.write("odeon.toml", file);
        project
    }

    /// With two workers, up in the background.
    pub(crate) fn up() -> Self {
        Self::up_with(TWO_WORKERS)
    }

    /// With this file, up in the background.
    pub(crate) fn up_with(file: &str) -> Self {
        let project = Self::new(file);
        project.done(&["up", "--detach"]);
        project
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path().join(".odeon")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("written");
    }

    /// An executable script of the project.
    pub(crate) fn script(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        self.write(name, text);
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path().join(name), mode).expect("made executable");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_site"));
        command.args(arguments);
        self.prepared(command)
    }

    fn prepared(&self, mut command: Command) -> Command {
        command.current_dir(self.path());
        command.env_remove("ODEON_HOME").env_remove("XDG_RUNTIME_DIR").env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts a command that goes on.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::new(self.command(arguments).spawn().expect("the program starts"))
    }

    /// Runs a command to its end.
    pub(crate) fn site(&self, arguments: &[&str]) -> Outcome {
        self.start(arguments).wait_end()
    }

    /// Runs a command that reads this from its standard input.
    pub(crate) fn site_with(&self, arguments: &[&str], input: &str) -> Outcome {
        use std::io::Write as _;
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command that is refused before it reads has closed its end.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        Running::new(child).wait_end()
    }

    /// Runs a command to its end that finds these lines at the file descriptor 3, as a shell opens it.
    pub(crate) fn site_with_lines(&self, lines: &str, arguments: &[&str]) -> Outcome {
        self.write("lines", lines);
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$0" "$@" 3<lines"#, env!("CARGO_BIN_EXE_site")]).args(arguments);
        Running::new(self.prepared(command).spawn().expect("the shell starts")).wait_end()
    }

    /// Runs a command that must succeed; what it printed.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let outcome = self.site(arguments);
        assert_eq!(outcome.code, 0, "{arguments:?}: {outcome:?}");
        outcome.out
    }

    /// Runs a command with `--json` that must succeed; the document it printed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let out = self.done(&[arguments, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
    }

    /// Runs a command that must fail with this exit status; what it said. With `--json` it must say the same.
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let outcome = self.site(arguments);
        assert_eq!(outcome.code, code, "{arguments:?}: {outcome:?}");
        assert!(outcome.err.starts_with("error["), "{arguments:?}: {outcome:?}");
        outcome.err
    }

    /// Runs a command with `--json` that must fail with this exit status; the `error` it printed.
    pub(crate) fn fails_json(&self, code: i32, arguments: &[&str]) -> Value {
        let outcome = self.site(&[arguments, &["--json"]].concat());
        assert_eq!(outcome.code, code, "{arguments:?}: {outcome:?}");
        let document: Value = serde_json::from_str(&outcome.err)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {outcome:?}"));
        let error = document["error"].clone();
        assert!(error["code"].is_string() && error["message"].is_string(), "{arguments:?}: {document}");
        error
    }

    /// One row of `ps`.
    pub(crate) fn row(&self, id: &str) -> Value {
        self.json(&["ps", id])[0].clone()
    }

    pub(crate) fn pid(&self, id: &str) -> i32 {
        pid_of(&self.row(id)).unwrap_or_else(|| panic!("{id} has no process"))
    }

    /// The supervisor's process.
    pub(crate) fn supervisor_pid(&self) -> i32 {
        pid_of(&self.json(&["ps"])[0]).expect("the supervisor runs")
    }

    /// Where the role `web` listens.
    pub(crate) fn address(&self) -> SocketAddr {
        let row = self.row("web-0");
        let address = row["listen"][0].as_str().and_then(|text| text.strip_prefix("tcp:"));
        address.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no address: {row}"))
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        Client::connect(self.address()).expect("connects").get(target).expect("an answer")
    }

    /// Waits until a server's row is as wanted.
    pub(crate) fn wait_row(&self, id: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(&format!("{id} to be {what}"), || Some(self.row(id)).filter(|row| is_so(row)))
    }

    /// Everything that belongs to this project and runs: its directory stands in the command line or the
    /// environment of each.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let place = self.path().to_str().expect("a readable path").as_bytes();
        let belongs = |bytes: &[u8]| bytes.windows(place.len()).any(|window| window == place);
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let found = pids.filter_map(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let text = String::from_utf8_lossy(&command).replace('\0', " ");
            (belongs(&command) || belongs(&environ)).then_some((pid, text))
        });
        found.collect()
    }

    /// Everything in the socket directory.
    pub(crate) fn sockets(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home().join("run")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Nothing of the ensemble runs any longer, and no socket is left.
    pub(crate) fn assert_nothing_left(&self) {
        // A shim that was released has a moment left.
        wait_for("the last process to end", || self.processes().is_empty().then_some(()));
        assert_eq!(self.sockets(), Vec::<String>::new(), "sockets are left");
    }

    /// The shim of a server.
    pub(crate) fn shim_pid(&self, name: &str) -> i32 {
        let text = format!("__shim {}", self.home().join(format!("servers/@{name}")).display());
        let shim = self.processes().into_iter().find(|(_, command)| command.trim_end().ends_with(&text));
        shim.unwrap_or_else(|| panic!("{name} has no shim")).0
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        // What a supervisor restarts meanwhile is found by the next look.
        while !self.processes().is_empty() && Instant::now() < deadline {
            for (pid, _) in self.processes() {
                signal(pid, Signal::KILL);
            }
        }
        if thread::panicking() {
            for name in ["supervisor", "web-0", "web-1"] {
                let log = self.home().join(format!("servers/@{name}/log/server.log"));
                eprintln!("--- {name}\n{}", fs::read_to_string(log).unwrap_or_default());
            }
        }
    }
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    // One that has ended meanwhile needs no signal.
    let _ = kill_process(Pid::from_raw(pid).expect("a pid"), signal);
}

pub(crate) fn pid_of(row: &Value) -> Option<i32> {
    row["process"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
}

pub(crate) fn state_of(row: &Value) -> &str {
    row["process"]["state"].as_str().expect("a state")
}

/// A command that runs; killed when dropped.
pub(crate) struct Running {
    process: Child,
    out: Pipe,
    err: Pipe,
}

impl Running {
    fn new(mut process: Child) -> Self {
        let out = Pipe::new(process.stdout.take().expect("piped"));
        let err = Pipe::new(process.stderr.take().expect("piped"));
        Self { process, out, err }
    }

    pub(crate) fn signal(&self, signal_: Signal) {
        signal(i32::try_from(self.process.id()).expect("a pid"), signal_);
    }

    /// What it has printed so far.
    pub(crate) fn out(&self) -> String {
        self.out.text()
    }

    pub(crate) fn err(&self) -> String {
        self.err.text()
    }

    /// Waits until it has printed `text` to standard output or standard error.
    pub(crate) fn wait_said(&self, text: &str) {
        let has_said = || self.out().contains(text) || self.err().contains(text);
        let deadline = Instant::now() + DEADLINE;
        while !has_said() {
            let said = format!("{}{}", self.out(), self.err());
            assert!(Instant::now() < deadline, "waited in vain for `{text}` in: {said}");
            thread::sleep(LOOK);
        }
    }

    fn wait_status(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.process.try_wait().expect("can be waited for") {
                return status;
            }
            let said = format!("{}{}", self.out(), self.err());
            assert!(Instant::now() < deadline, "the command does not end; it said: {said}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for its end.
    pub(crate) fn wait_end(mut self) -> Outcome {
        let status = self.wait_status();
        // A command that was killed has no code of its own.
        let code = status.code().unwrap_or(-1);
        Outcome { code, out: self.out.wait_end(), err: self.err.wait_end() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What comes out of a command, read as it comes.
struct Pipe {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Pipe {
    fn new(mut from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let into = text.clone();
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = from.read(&mut buffer) {
                if count == 0 {
                    break;
                }
                into.lock().expect("not poisoned").extend_from_slice(&buffer[..count]);
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().expect("not poisoned")).into_owned()
    }

    fn wait_end(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            wait_for("a command's output to end", || reader.is_finished().then_some(()));
        }
        self.text()
    }
}
