//! Other processes, what they print, and what that must show.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use odeon_auth::Existing;
use odeon_auth::ca::{CaFiles, CaOptions, CertificateAuthority, ServerFiles, ServerOrder};
use odeon_auth::keys::Passphrase;
use odeon_core::Capabilities;
use odeon_server::OsRng;
use tempfile::TempDir;

use crate::process::{ARGUMENTS, TEST};

/// How often the printed lines are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Lines of one process with the time at which each came.
type Lines = Arc<Mutex<Vec<(Instant, String)>>>;

/// One process; it ends when this is dropped.
pub(crate) struct Peer {
    pub(crate) id: String,
    /// Where it listens, as it says.
    pub(crate) address: String,
    child: Child,
    lines: Lines,
}

impl Peer {
    /// Starts a process behind `prefix`, such as `ip netns exec NAME`, and waits until it is ready.
    pub(crate) fn start(prefix: &[&str], id: &str, arguments: &[String]) -> Self {
        let binary = std::env::current_exe().expect("this binary has a path");
        let mut command = match prefix {
            [] => Command::new(&binary),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&binary);
                command
            }
        };
        let arguments: Vec<&str> = std::iter::once(id).chain(arguments.iter().map(String::as_str)).collect();
        command.args(["--exact", TEST, "--nocapture"]).env(ARGUMENTS, arguments.join("\n"));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("this very binary starts");
        let lines = Lines::default();
        let (reader, into) = (child.stdout.take().expect("piped"), Arc::clone(&lines));
        thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                into.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), line));
            }
        });
        let mut peer = Self { id: id.to_owned(), address: String::new(), child, lines };
        peer.wait_for_line(peer.began(), "ready ", Duration::from_secs(10));
        let ready = peer.printed(peer.began(), "ready ").remove(0).1;
        peer.address = ready.trim_start_matches("ready ").to_owned();
        peer
    }

    fn began(&self) -> Instant {
        Instant::now().checked_sub(Duration::from_secs(60)).unwrap_or_else(Instant::now)
    }

    /// What it printed from `since` on that begins so.
    pub(crate) fn printed(&self, since: Instant, begins: &str) -> Vec<(Instant, String)> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = lines.iter().filter(|(at, line)| *at >= since && line.starts_with(begins));
        wanted.cloned().collect()
    }

    /// Waits for a line that begins so; how long after `since` it came.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, since: Instant, begins: &str, within: Duration) -> Duration {
        let until = Instant::now() + within;
        loop {
            if let Some((at, _)) = self.printed(since, begins).first() {
                return *at - since;
            }
            let tail = self.printed(since, "");
            let tail = &tail[tail.len().saturating_sub(5)..];
            assert!(
                Instant::now() < until,
                "{} printed no `{begins}` within {within:?}, but {tail:?}",
                self.id
            );
            thread::sleep(LOOK_EVERY);
        }
    }

    /// The time of an ask that was answered, as it is printed.
    pub(crate) fn slowest_answer(&self, since: Instant, peer: &str) -> Duration {
        let answered = self.printed(since, &format!("answered {peer} "));
        let millis = answered.iter().filter_map(|(_, line)| line.rsplit(' ').next()?.parse().ok());
        Duration::from_millis(millis.max().unwrap_or(0))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Checks all that one has told the other: in order, none twice, and for each that the link took and that is missing
/// the sender has a dead letter. What is said last may still be on its way. Returns how many are missing.
#[track_caller]
pub(crate) fn check_tells(sender: &Peer, receiver: &Peer) -> usize {
    let began = sender.began();
    let number = |(_, line): (Instant, String)| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok());
    let got: Vec<u64> =
        receiver.printed(began, &format!("got {} ", sender.id)).into_iter().filter_map(number).collect();
    let who = format!("{} to {}", sender.id, receiver.id);
    assert!(got.windows(2).all(|pair| pair[0] < pair[1]), "tells from {who} came twice or out of order");
    let last = got.last().copied().expect("some arrived");
    let got: BTreeSet<u64> = got.into_iter().collect();
    let told = sender.printed(began, &format!("told {} ", receiver.id)).into_iter().filter_map(number);
    let missing: Vec<u64> = told.filter(|n| *n < last && !got.contains(n)).collect();
    // Those that were taken may be among the letters: their sender does not know.
    wait_for_letters(sender, receiver, &missing);
    missing.len()
}

/// Waits until the sender has said as many letters lost as tells are missing.
#[track_caller]
fn wait_for_letters(sender: &Peer, receiver: &Peer, missing: &[u64]) {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let letters = sender.printed(sender.began(), &format!("lost {} ", receiver.id)).len();
        if letters >= missing.len() {
            return;
        }
        let who = format!("{} to {}", sender.id, receiver.id);
        assert!(
            Instant::now() < until,
            "tells {missing:?} from {who} were lost in silence: {letters} letters"
        );
        thread::sleep(LOOK_EVERY);
    }
}

/// An authority, and the certificates that it has issued.
pub(crate) struct Pki {
    home: TempDir,
}

impl Pki {
    /// An authority that has issued certificates for these servers.
    pub(crate) fn issue(servers: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let passphrase = |text: &str| Passphrase::new(text.to_owned().into()).expect("a passphrase");
        let (root, sub) = (passphrase("correct horse battery"), passphrase("staple correct horse"));
        let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
        let authority = CertificateAuthority::new(CaFiles::below(home.path()), &OsRng, now);
        authority.generate_root(&root, &CaOptions::default()).expect("a root");
        authority.generate_sub(&root, &sub, &CaOptions::default()).expect("a subordinate");
        authority.generate_ca_files(Existing::Keep).expect("written");
        let mut issuer = authority.unlock(&sub).expect("unlocked");
        for server in servers {
            let order = ServerOrder::new(server.parse().expect("an id"), Capabilities::default());
            let place = ServerFiles::below(&home.path().join(Self::directory(server)));
            issuer.issue(&order, &place, Existing::Keep).expect("issued");
        }
        drop(issuer);
        Self { home }
    }

    fn directory(server: &str) -> String {
        server.replace(['@', '/'], "-")
    }

    /// The arguments by which a process uses the certificate of `server`.
    pub(crate) fn arguments(&self, server: &str) -> [String; 3] {
        let path = |path: PathBuf| path.display().to_string();
        let home = self.home.path().to_owned();
        let place = home.join(Self::directory(server));
        ["--tls".to_owned(), path(home), path(place)]
    }
}
