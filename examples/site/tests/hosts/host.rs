//! A host made of namespaces: its own network, name and mounts, a directory of its own, and a cable to others.
//!
//! It takes root, and the commands `ip`, `unshare` and `nsenter`; [`missing`] says what is not there. A host lives as
//! long as its first process, which is killed when it is dropped, and with it whatever still runs there.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

pub(crate) use crate::common::{DEADLINE, Outcome, wait_for};

/// Counts the cables of this process, so that each has a name of its own.
static CABLES: AtomicU32 = AtomicU32::new(0);

/// Why there can be no hosts here; nothing, if there can.
pub(crate) fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it takes root".to_owned());
    }
    let probes: [&[&str]; 3] =
        [&["unshare", "--net", "--uts", "--mount", "true"], &["nsenter", "--version"], &["ip", "-Version"]];
    probes.into_iter().find_map(|probe| {
        let outcome = Command::new(probe[0]).args(&probe[1..]).output();
        match outcome {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(format!("`{}`: {}", probe.join(" "), String::from_utf8_lossy(&output.stderr))),
            Err(error) => Some(format!("`{}`: {error}", probe[0])),
        }
    })
}

/// One host.
pub(crate) struct Host {
    name: &'static str,
    directory: tempfile::TempDir,
    first: Child,
}

impl Host {
    /// A host with a directory of its own, and no network but itself.
    pub(crate) fn new(name: &'static str) -> Self {
        // Socket paths have 107 bytes: a short place is a good one.
        let directory = tempfile::Builder::new().prefix("od").tempdir().expect("a directory");
        let first = Command::new("unshare")
            .args(["--net", "--uts", "--mount", "--propagation", "private", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare starts");
        let host = Self { name, directory, first };
        let own = fs::read_link("/proc/self/ns/net").expect("namespaces");
        let place = format!("/proc/{}/ns/net", host.first.id());
        wait_for("the host's namespaces", || fs::read_link(&place).ok().filter(|net| *net != own));
        host.must(&["hostname", name]);
        host.must(&["ip", "link", "set", "lo", "up"]);
        host
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path().join(".odeon")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("inside")).expect("made");
        fs::write(path, text).expect("written");
    }

    /// A cable between two hosts, each end with its address.
    pub(crate) fn cable(&self, address: &str, other: &Self, other_address: &str) {
        let number = CABLES.fetch_add(1, Ordering::Relaxed);
        let ends = ["a", "b"].map(|end| format!("od{}{end}{number}", std::process::id() % 100_000));
        let pids = [self.first.id().to_string(), other.first.id().to_string()];
        run(&[
            "ip", "link", "add", &ends[0], "netns", &pids[0], "type", "veth", "peer", "name", &ends[1],
            "netns", &pids[1],
        ]);
        for (host, end, address) in [(self, &ends[0], address), (other, &ends[1], other_address)] {
            host.must(&["ip", "address", "add", address, "dev", end]);
            host.must(&["ip", "link", "set", end, "up"]);
        }
    }

    /// A command on this host, in its directory.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.first.id().to_string();
        command.args(["--target", &target, "--net", "--uts", "--mount", "--wd=."]);
        // Nothing of the tester's own ensembles, if there are any.
        command.args(["--", "env", "-u", "ODEON_HOME", "-u", "XDG_RUNTIME_DIR", "-u", "RUST_LOG"]);
        command.args(arguments).current_dir(self.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command that must succeed.
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        let output = wait_output(self.command(arguments), b"");
        assert!(output.status.success(), "{}: {arguments:?}: {output:?}", self.name);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs the program with these arguments; `input` is what it may read.
    pub(crate) fn site(&self, arguments: &[&str], input: &str) -> Outcome {
        let program = env!("CARGO_BIN_EXE_site");
        let output = wait_output(self.command(&[&[program], arguments].concat()), input.as_bytes());
        Outcome {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs the program with these arguments; it must succeed.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let outcome = self.site(arguments, "");
        assert_eq!(outcome.code, 0, "{}: {arguments:?}: {outcome:?}", self.name);
        outcome.out
    }

    /// Runs the program with `--json`; the document it printed.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let out = self.done(&[arguments, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
    }

    /// Processes whose command line or environment names this host's directory.
    fn processes(&self) -> Vec<i32> {
        let place = self.path().to_str().expect("a readable path").as_bytes();
        let belongs = |path: String| {
            fs::read(path).is_ok_and(|bytes| bytes.windows(place.len()).any(|window| window == place))
        };
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| belongs(format!("/proc/{pid}/cmdline")) || belongs(format!("/proc/{pid}/environ")))
            .collect()
    }

    fn show_logs(&self) {
        for entry in walk(&self.home().join("servers")) {
            if entry.extension().is_some_and(|extension| extension == "log") {
                let text = fs::read_to_string(&entry).unwrap_or_default();
                eprintln!("--- {}: {}\n{text}", self.name, entry.display());
            }
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show_logs();
        }
        let deadline = Instant::now() + DEADLINE;
        // What a supervisor restarts meanwhile is found by the next look.
        loop {
            let left = self.processes();
            if left.is_empty() || Instant::now() > deadline {
                break;
            }
            for pid in left {
                let _ = kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL);
            }
        }
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

fn run(arguments: &[&str]) {
    let output = Command::new(arguments[0]).args(&arguments[1..]).output().expect("it starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// Waits for the end of a command, which is killed at the deadline.
fn wait_output(mut command: Command, input: &[u8]) -> Output {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().expect("nsenter starts");
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read it has ended.
        let _ = stdin.write_all(input);
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("not 0");
    let (ended, watching) = std::sync::mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        if watching.recv_timeout(DEADLINE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    let output = child.wait_with_output().expect("it can be waited for");
    drop(ended);
    watch.join().expect("no panic");
    output
}
