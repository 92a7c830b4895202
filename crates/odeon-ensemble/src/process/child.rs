//! The supervisor's side: start a child under a shim, find one again, ask, stop, and learn its end.
//!
//! A [`Child`] owns the watching connection to its shim. It owns no process: dropping it leaves shim and child
//! running, for another to adopt.

#![expect(
    clippy::disallowed_methods,
    reason = "this is where shims are started, and where their own log is opened"
)]

use std::fs::{self, File};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::client::Connection;
use super::control::{Launch, Request, Response, Target, line};
use super::error::{AdoptError, ControlError, SpawnError};
use super::identity::{ProcessId, kill_marked};
use super::record::{EndedBy, ExitRecord, LAST_LINES_MAX, ShimState};
use super::spec::Spec;
use super::{SHIM_COMMAND, logs, record};

/// How long a launch may take: reading the order and starting the program have 10 s each in the shim.
const LAUNCH_MAX: Duration = Duration::from_secs(25);
/// How long a shim may take to end after its release, or after it was killed.
const SHIM_END_MAX: Duration = Duration::from_secs(2);
/// How often one looks whether a shim has ended.
const END_POLL: Duration = Duration::from_millis(5);
/// How often a shim that is alive is asked again when its socket does not answer: it may just be starting.
const CONNECT_TRIES_MAX: u32 = 3;
const CONNECT_PAUSE: Duration = Duration::from_millis(100);
/// How often what a lost shim left behind is killed, until nothing is found: it may be forking meanwhile.
const SWEEPS_MAX: u32 = 100;
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// What was found in a child's directory.
#[derive(Debug)]
pub enum Adopted {
    /// The child runs, and is watched again.
    Running(Box<Child>),
    /// The child has ended. Its shim, if it was still there, was released.
    Exited(ExitRecord),
    /// No child and no word about its end: never started, lost with its shim, or with the machine.
    Gone,
}

/// A child under its shim.
#[derive(Debug)]
pub struct Child {
    dir: PathBuf,
    state: ShimState,
    watch: Mutex<Watch>,
}

/// What `exited` needs, and what it found.
#[derive(Debug)]
struct Watch {
    connection: Option<Connection>,
    record: Option<ExitRecord>,
    /// Whether the shim was seen to its end.
    finished: bool,
    /// The shim's process, if it was started here: it must be reaped here.
    shim: Option<std::process::Child>,
}

impl Child {
    /// Starts `spec` under a new shim, which is `shim_exe` (a program whose `main` calls
    /// [`run_hidden`](super::run_hidden)), and passes it `sockets`, in the order of `spec.listen`.
    ///
    /// Returns when the program has begun. Must be called inside a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`SpawnError`]; nothing runs then.
    ///
    /// # Cancel safety
    /// If dropped before it returns, the shim is killed, and the child with it.
    pub async fn spawn(spec: &Spec, sockets: &[BorrowedFd<'_>], shim_exe: &Path) -> Result<Self, SpawnError> {
        let order = spec.encode()?;
        let id = || spec.id.clone();
        if sockets.len() != spec.listen.len() {
            return Err(SpawnError::Sockets { id: id(), names: spec.listen.len(), sockets: sockets.len() });
        }
        let failed = |source| SpawnError::Shim { id: id(), exe: shim_exe.to_owned(), source };
        let (shim, connection) = start_shim(spec, shim_exe).map_err(failed)?;
        let mut shim = KillUnlessKept(Some(shim));
        let mut connection = Connection::new(connection);
        let launch = async {
            // Four bytes suffice for the length: the specification has been checked against its maximum.
            let mut bytes = u32::try_from(order.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
            bytes.extend_from_slice(&order);
            connection.send(&bytes, sockets).await?;
            io::Result::Ok(serde_json::from_slice(&connection.line().await?)?)
        };
        let answer = timeout(LAUNCH_MAX, launch).await.unwrap_or_else(|late| Err(late.into()));
        let no_answer = |source| SpawnError::NoAnswer { id: id(), log: shim_log(spec), source };
        let state = match answer.map_err(no_answer)? {
            Launch::Started { state } => state,
            Launch::Occupied => {
                return Err(SpawnError::Occupied { id: id(), dir: spec.dir.clone() });
            }
            Launch::Exec { errno } => {
                let source = io::Error::from_raw_os_error(errno);
                return Err(SpawnError::Exec { id: id(), exe: spec.exe.clone(), source });
            }
            Launch::Failed { reason } => return Err(SpawnError::Refused { id: id(), reason }),
        };
        // A child that has ended already is not lost: the shim is asked for its record.
        let (connection, record) = watch_shim(&state).await.map_err(no_answer)?;
        let watch = Watch { connection: Some(connection), record, finished: false, shim: shim.0.take() };
        Ok(Self { dir: spec.dir.clone(), state, watch: Mutex::new(watch) })
    }

    /// Looks in `dir` for a child of an earlier supervisor.
    ///
    /// If its shim is dead, whatever the child left running is killed and stale files are removed. Must be
    /// called inside a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`AdoptError`] if a record is unreadable or a living shim does not answer; nothing is changed then.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub async fn adopt(dir: &Path) -> Result<Adopted, AdoptError> {
        let unreadable = |source| AdoptError::Record { dir: dir.to_owned(), source };
        let Some(state) = record::read_state(dir).map_err(unreadable)? else {
            return ended(dir, None);
        };
        let mut tries = 0;
        while state.shim().is_alive() {
            match watch_shim(&state).await {
                Ok((connection, record)) => {
                    let exited = record.clone();
                    let watch = Watch { connection: Some(connection), record, finished: false, shim: None };
                    let child = Self { dir: dir.to_owned(), state, watch: Mutex::new(watch) };
                    let Some(exited) = exited else {
                        return Ok(Adopted::Running(Box::new(child)));
                    };
                    child.exited().await;
                    return Ok(Adopted::Exited(exited));
                }
                Err(_) if tries < CONNECT_TRIES_MAX => {
                    tries += 1;
                    tokio::time::sleep(CONNECT_PAUSE).await;
                }
                Err(source) => {
                    return Err(AdoptError::Unreachable { id: state.id, pid: state.shim_pid, source });
                }
            }
        }
        clean_up(dir, &state).await;
        ended(dir, Some(&state))
    }

    /// Waits for the child's end and releases its shim. At a later call the same record again.
    ///
    /// If the shim itself was lost, the kernel has killed the child with it; what the child had started is
    /// found by its environment and killed, and the record says [`EndedBy::ShimLost`]. A shim that lives but
    /// no longer answers is killed, to the same end.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub async fn exited(&self) -> ExitRecord {
        let mut watch = self.watch.lock().await;
        let record = match watch.record.clone() {
            Some(record) => record,
            None => {
                let record = self.await_record(&mut watch).await;
                watch.record = Some(record.clone());
                record
            }
        };
        if !watch.finished {
            self.see_shim_off(&mut watch).await;
            watch.finished = true;
        }
        record
    }

    /// Asks the child to end (TERM to its group), kills it after `grace` (at most an hour), and waits for it.
    ///
    /// The shim keeps the time: the kill comes even if this process is gone by then. An earlier stop with a
    /// nearer end prevails.
    ///
    /// # Errors
    /// [`ControlError`] if the shim cannot be asked although it lives.
    ///
    /// # Cancel safety
    /// If dropped, the stop goes on.
    pub async fn stop(&self, grace: Duration) -> Result<ExitRecord, ControlError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        match self.ask(&Request::Stop { grace_ms: Some(grace_ms) }).await {
            Err(ControlError::Unreachable { source, .. }) if self.state.shim().is_alive() => {
                Err(ControlError::Unreachable { id: self.state.id.clone(), source })
            }
            Err(refused @ ControlError::Refused { .. }) => Err(refused),
            // With the shim gone the child has ended, and `exited` knows how.
            Ok(_) | Err(_) => Ok(self.exited().await),
        }
    }

    /// Sends signal number `signo` (1 to 31).
    ///
    /// # Errors
    /// [`ControlError`], also if the child has ended.
    ///
    /// # Cancel safety
    /// If dropped, the signal may have been sent.
    pub async fn signal(&self, signo: i32, target: Target) -> Result<(), ControlError> {
        self.ask(&Request::Signal { signo, group: target == Target::Group }).await.map(drop)
    }

    /// The listening sockets that the shim holds, with their names, in their order.
    ///
    /// # Errors
    /// [`ControlError`].
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub async fn sockets(&self) -> Result<Vec<(String, OwnedFd)>, ControlError> {
        let (mut connection, response) = self.ask(&Request::Sockets).await?;
        let fds = connection.take_fds();
        match response {
            Response::Sockets { names } if names.len() == fds.len() => {
                Ok(names.into_iter().zip(fds).collect())
            }
            other => Err(self.refused(format!("unexpected answer {other:?}"))),
        }
    }

    /// The child's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.state.child_pid
    }

    /// When the child was started.
    #[must_use]
    pub fn started_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.state.started_at_ms)
    }

    /// Who runs: both processes, the generation, the fingerprint of the specification.
    #[must_use]
    pub fn state(&self) -> &ShimState {
        &self.state
    }

    async fn ask(&self, request: &Request) -> Result<(Connection, Response), ControlError> {
        match Connection::open(&self.state.control, request).await {
            Ok((_, Response::Error { reason })) => Err(self.refused(reason)),
            Ok(answered) => Ok(answered),
            Err(source) => Err(ControlError::Unreachable { id: self.state.id.clone(), source }),
        }
    }

    fn refused(&self, reason: String) -> ControlError {
        ControlError::Refused { id: self.state.id.clone(), reason }
    }

    async fn await_record(&self, watch: &mut Watch) -> ExitRecord {
        for _ in 0..=CONNECT_TRIES_MAX {
            while let Some(connection) = &mut watch.connection {
                match connection.response().await {
                    Ok(Response::Exited { exit } | Response::Status { exit: Some(exit), .. }) => return exit,
                    Ok(_) => {}
                    Err(_) => watch.connection = None,
                }
            }
            // A connection that ends mostly means that the shim is ending just now.
            await_end(&self.state.shim(), CONNECT_PAUSE).await;
            if !self.state.shim().is_alive() {
                break;
            }
            if let Ok((connection, record)) = watch_shim(&self.state).await {
                watch.connection = Some(connection);
                if let Some(record) = record {
                    return record;
                }
            }
        }
        kill(&self.state.shim());
        await_end(&self.state.shim(), SHIM_END_MAX).await;
        clean_up(&self.dir, &self.state).await;
        let written = record::read_exit(&self.dir).ok().flatten();
        written.filter(|record| self.is_mine(record)).unwrap_or_else(|| self.lost())
    }

    fn is_mine(&self, record: &ExitRecord) -> bool {
        record.pid == self.state.child_pid && record.generation == self.state.generation
    }

    fn lost(&self) -> ExitRecord {
        ExitRecord {
            pid: self.state.child_pid,
            generation: self.state.generation,
            ended_by: EndedBy::ShimLost(()),
            at_ms: record::unix_ms(),
            last_lines: logs::tail(&self.state.log_dir, LAST_LINES_MAX).unwrap_or_default(),
        }
    }

    /// Releases the shim and waits for its end, so that the directory is free for the next one.
    async fn see_shim_off(&self, watch: &mut Watch) {
        if let Some(connection) = &mut watch.connection {
            // Unread or lost, it makes no difference: the shim then ends by itself a little later.
            let _ = connection.send(&line(&Request::Release), &[]).await;
        }
        await_end(&self.state.shim(), SHIM_END_MAX).await;
        watch.connection = None;
        if let Some(shim) = &mut watch.shim {
            let _ = shim.try_wait();
        }
    }
}

/// Kills and reaps a shim whose launch did not come to its end.
#[derive(Debug)]
struct KillUnlessKept(Option<std::process::Child>);

impl Drop for KillUnlessKept {
    fn drop(&mut self) {
        if let Some(shim) = &mut self.0 {
            let _ = shim.kill();
            let _ = shim.wait();
        }
    }
}

fn shim_log(spec: &Spec) -> PathBuf {
    spec.log_dir.join("shim.log")
}

fn start_shim(spec: &Spec, shim_exe: &Path) -> io::Result<(std::process::Child, UnixStream)> {
    let (here, there) = StdStream::pair()?;
    here.set_nonblocking(true)?;
    fs::create_dir_all(&spec.log_dir)?;
    // The shim writes here when it has trouble, at most one line a second; each launch starts it anew.
    let errors = File::create(shim_log(spec)).map_or_else(|_| Stdio::null(), Stdio::from);
    let mut command = Command::new(shim_exe);
    command.arg(SHIM_COMMAND).arg(&spec.dir).env_clear();
    command.stdin(OwnedFd::from(there)).stdout(Stdio::null()).stderr(errors);
    Ok((command.spawn()?, UnixStream::from_std(here)?))
}

/// Connects to the shim of `state` as one who watches.
async fn watch_shim(state: &ShimState) -> io::Result<(Connection, Option<ExitRecord>)> {
    match Connection::open(&state.control, &Request::Watch).await? {
        (connection, Response::Status { child_pid, child_start, exit, .. })
            if child_pid == state.child_pid && child_start == state.child_start =>
        {
            Ok((connection, exit))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the socket belongs to another child")),
    }
}

/// What `exit.json` says about the child of `state`, or about whichever ended last.
fn ended(dir: &Path, state: Option<&ShimState>) -> Result<Adopted, AdoptError> {
    let record =
        record::read_exit(dir).map_err(|source| AdoptError::Record { dir: dir.to_owned(), source })?;
    let is_its = |record: &ExitRecord| {
        state.is_none_or(|state| record.pid == state.child_pid && record.generation == state.generation)
    };
    Ok(record.filter(is_its).map_or(Adopted::Gone, Adopted::Exited))
}

/// Removes what a dead shim left: processes of this boot, its socket, its state file.
async fn clean_up(dir: &Path, state: &ShimState) {
    if super::identity::boot_id().is_some_and(|boot| boot == state.boot) {
        for _ in 0..SWEEPS_MAX {
            if kill_marked(&state.marker()) == 0 {
                break;
            }
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
    }
    // Left behind they do no harm: a socket without a listener, a state without its process.
    let _ = record::forget_shim(dir, &state.control);
}

fn kill(process: &ProcessId) {
    if let Some(pidfd) = open(process) {
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
}

/// Waits for the end of `process`, for at most `max`.
///
/// By looking again and again: the runtime's readiness of a bare descriptor cannot be had in safe code, and the
/// end of a shim is a matter of a few milliseconds.
async fn await_end(process: &ProcessId, max: Duration) {
    let gone = async {
        while process.is_alive() {
            tokio::time::sleep(END_POLL).await;
        }
    };
    // Elapsed: the caller goes on with a process that hangs.
    let _ = timeout(max, gone).await;
}

/// A descriptor of exactly this process: it is opened by pid, then the identity is compared.
fn open(process: &ProcessId) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    process.is_alive().then_some(pidfd)
}
