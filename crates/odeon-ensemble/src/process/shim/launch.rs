//! From nothing to a running child: the order comes in, the child is started, the answer goes out.

#![expect(
    clippy::disallowed_methods,
    reason = "the shim is what starts processes, and it owns its lock file"
)]

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{Pid, set_child_subreaper, setsid, umask};
use thiserror::Error;

use super::super::control::{Launch, line};
use super::super::identity::{MARKER, boot_id, stat};
use super::super::record::{self, ShimState};
use super::super::spec::{SPEC_BYTES_MAX, Spec};
use super::super::{EXEC_COMMAND, fds};
use super::serve;

/// How long each step of the launch may take: a supervisor that says nothing, a program on a stalled disk.
const STEP_MAX: Duration = Duration::from_secs(10);
/// First of the passed descriptors, by the protocol of `LISTEN_FDS`.
const FIRST_FD: i32 = 3;
/// Last descriptor that every shell can close by name.
const CLOSABLE_FD_MAX: i32 = 9;
/// Tells a re-executed shim that descriptors were closed already, so that it does not try for ever.
const CLOSED_MARK: &str = "--closed";

/// What a started child consists of, for the shim.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) spec: Spec,
    pub(super) state: ShimState,
    pub(super) child: Pid,
    pub(super) output: PipeReader,
    pub(super) control: UnixListener,
    pub(super) sockets: Vec<OwnedFd>,
    /// Held, not read: it is the right to serve the directory.
    pub(super) _lock: fs::File,
}

#[derive(Debug, Error)]
enum LaunchError {
    #[error("another shim serves this directory")]
    Occupied,
    #[error("the program could not be started")]
    Exec { errno: i32 },
    #[error("{step}: {source}")]
    Io { step: &'static str, source: io::Error },
    #[error(
        "descriptor {fd} was left open by the process that started this one, so socket {wanted} cannot be passed; close it there"
    )]
    FdTaken { fd: i32, wanted: i32 },
    #[error("{0}")]
    Spec(#[from] super::super::SpecError),
}

/// The shim's entry.
pub(super) fn main(args: &[OsString]) -> ExitCode {
    if let Err(error) = close_inherited(args) {
        report(&format!("odeon shim: cannot close inherited descriptors: {error}"));
    }
    let outcome = launch();
    let answer = match &outcome {
        Ok(started) => Launch::Started { state: started.state.clone() },
        Err(LaunchError::Occupied) => Launch::Occupied,
        Err(LaunchError::Exec { errno }) => Launch::Exec { errno: *errno },
        Err(error) => Launch::Failed { reason: error.to_string() },
    };
    // A supervisor that has died meanwhile does not read this; its successor adopts the child.
    if let Ok(caller) = io::stdin().as_fd().try_clone_to_owned() {
        let mut caller = UnixStream::from(caller);
        let _ = caller.write_all(&line(&answer));
        let _ = caller.shutdown(std::net::Shutdown::Both);
    }
    match outcome {
        Ok(started) => serve::run(started),
        Err(_) => ExitCode::FAILURE,
    }
}

/// Says something into the shim's own log, or nowhere.
pub(super) fn report(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn launch() -> Result<Started, LaunchError> {
    setsid().map_err(io_at("new session"))?;
    let (spec, sockets) = receive_order()?;
    create_dir(&spec.dir).map_err(io_at("create the directory"))?;
    create_dir(&spec.log_dir).map_err(io_at("create the log directory"))?;
    let lock = lock(&spec.dir)?;
    // Descendants whose parents have died come to this process, so that none escapes its end.
    set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(io_at("become the reaper of descendants"))?;
    record::forget_exit(&spec.dir).map_err(io_at("remove the old exit record"))?;
    let control = bind_control(&spec.control).map_err(io_at("bind the control socket"))?;
    let result = start(&spec, &sockets);
    let (state, child, output) = match result {
        Ok(started) => started,
        Err(error) => {
            let _ = record::forget_shim(&spec.dir, &spec.control);
            return Err(error);
        }
    };
    // Nothing is pinned by a process that may live for months.
    std::env::set_current_dir("/").map_err(io_at("leave the working directory"))?;
    Ok(Started { spec, state, child, output, control, sockets, _lock: lock })
}

fn start(spec: &Spec, sockets: &[OwnedFd]) -> Result<(ShimState, Pid, PipeReader), LaunchError> {
    let shim_pid = rustix::process::getpid().as_raw_nonzero().get();
    let no_proc = || LaunchError::Io { step: "read /proc", source: io::ErrorKind::NotFound.into() };
    let shim_start = stat(shim_pid).ok_or_else(no_proc)?.start;
    let boot = boot_id().ok_or_else(no_proc)?;
    let marker = record::marker(shim_pid, shim_start);
    let started_at_ms = record::unix_ms();
    let (child, output) = spawn(spec, sockets, &marker)?;
    let child_pid = child.as_raw_nonzero().get();
    let state = ShimState {
        id: spec.id.clone(),
        generation: spec.generation,
        shim_pid,
        shim_start,
        child_pid,
        child_start: stat(child_pid).ok_or_else(no_proc)?.start,
        boot,
        started_at_ms,
        control: spec.control.clone(),
        log_dir: spec.log_dir.clone(),
        spec: spec.fingerprint(),
    };
    // On a failure the child dies with this process.
    record::write_state(&spec.dir, &state).map_err(io_at("write shim.json"))?;
    Ok((state, child, output))
}

/// Starts the child and waits until it has become its program.
fn spawn(spec: &Spec, sockets: &[OwnedFd], marker: &str) -> Result<(Pid, PipeReader), LaunchError> {
    let (output, output_in) = io::pipe().map_err(io_at("make the output pipe"))?;
    let errors_in = output_in.try_clone().map_err(io_at("make the output pipe"))?;
    let (status, status_in) = UnixStream::pair().map_err(io_at("make the status socket"))?;
    for socket in sockets {
        fcntl_setfd(socket, FdFlags::empty()).map_err(io_at("pass a socket"))?;
    }
    // By this name the very file that runs is started again, even if its path leads to a newer one by now.
    let mut command = Command::new("/proc/self/exe");
    command.arg(EXEC_COMMAND).arg(&spec.exe).args(&spec.args);
    command.env_clear().envs(&spec.inherited).envs(&spec.env).env(MARKER, marker);
    if !sockets.is_empty() {
        command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", spec.listen.join(":"));
    }
    command.current_dir(&spec.cwd).process_group(0);
    command.stdin(OwnedFd::from(status_in)).stdout(output_in).stderr(errors_in);
    let child = command.spawn().map_err(io_at("start the child"))?;
    // The command holds our copies of the child's ends.
    drop(command);
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid =
        pid.ok_or_else(|| LaunchError::Io { step: "start the child", source: io::ErrorKind::Other.into() })?;
    await_program(status)?;
    Ok((pid, output))
}

fn await_program(mut status: UnixStream) -> Result<(), LaunchError> {
    status.set_read_timeout(Some(STEP_MAX)).map_err(io_at("wait for the program"))?;
    let mut errno = Vec::new();
    (&mut status).take(4).read_to_end(&mut errno).map_err(io_at("wait for the program"))?;
    match <[u8; 4]>::try_from(errno.as_slice()) {
        Ok(bytes) => Err(LaunchError::Exec { errno: i32::from_le_bytes(bytes) }),
        Err(_) => Ok(()),
    }
}

/// Reads the order from standard input: four bytes of length, then JSON; the sockets come with the first byte.
fn receive_order() -> Result<(Spec, Vec<OwnedFd>), LaunchError> {
    let caller = io::stdin();
    rustix::net::sockopt::set_socket_timeout(&caller, rustix::net::sockopt::Timeout::Recv, Some(STEP_MAX))
        .map_err(io_at("read the order"))?;
    let mut sockets = Vec::new();
    let mut length = [0; 4];
    read_exact(&mut length, &mut sockets)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > SPEC_BYTES_MAX {
        let source = io::Error::new(io::ErrorKind::InvalidData, "the specification is too long");
        return Err(LaunchError::Io { step: "read the order", source });
    }
    let mut bytes = vec![0; length];
    read_exact(&mut bytes, &mut sockets)?;
    let spec = Spec::decode(&bytes)?;
    if sockets.len() != spec.listen.len() {
        let source = io::Error::new(io::ErrorKind::InvalidData, "as many sockets as names are expected");
        return Err(LaunchError::Io { step: "read the order", source });
    }
    for (wanted, socket) in (FIRST_FD..).zip(&sockets) {
        if socket.as_raw_fd() != wanted {
            return Err(LaunchError::FdTaken { fd: wanted, wanted });
        }
    }
    Ok((spec, sockets))
}

fn read_exact(bytes: &mut [u8], sockets: &mut Vec<OwnedFd>) -> Result<(), LaunchError> {
    let mut filled = 0;
    while filled < bytes.len() {
        match fds::receive(io::stdin(), &mut bytes[filled..], sockets) {
            Ok(0) => return Err(io_at("read the order")(Errno::PIPE)),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(LaunchError::Io { step: "read the order", source });
            }
        }
    }
    Ok(())
}

/// Descriptors that the supervisor inherited itself, say from a CI runner's shell, would take the numbers of the
/// sockets. Safe code cannot close a bare number; a shell can, and then becomes this program again.
fn close_inherited(args: &[OsString]) -> io::Result<()> {
    if args.iter().any(|arg| arg == CLOSED_MARK) {
        return Ok(());
    }
    let open = fs::read_dir("/proc/self/fd")?;
    let numbers: Vec<i32> =
        open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // The listing itself had a descriptor, which is closed by now.
    let stale = |fd: &i32| {
        (FIRST_FD..=CLOSABLE_FD_MAX).contains(fd) && Path::new(&format!("/proc/self/fd/{fd}")).exists()
    };
    let stale: Vec<String> = numbers.into_iter().filter(stale).map(|fd| format!("{fd}<&-")).collect();
    if stale.is_empty() {
        return Ok(());
    }
    let script = format!("exec {}; exec \"$@\"", stale.join(" "));
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(script).arg("sh").arg(std::env::current_exe()?).arg(super::SHIM_COMMAND);
    Err(shell.args(args).arg(CLOSED_MARK).exec())
}

fn create_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn lock(dir: &Path) -> Result<fs::File, LaunchError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(record::lock_path(dir));
    let file = file.map_err(io_at("open the lock"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(LaunchError::Occupied),
        Err(error) => Err(io_at("take the lock")(error)),
    }
}

/// The lock is held: a socket that is there is stale.
fn bind_control(path: &Path) -> io::Result<UnixListener> {
    record::remove(path)?;
    let before = umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    umask(before);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn io_at<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> LaunchError {
    move |source| LaunchError::Io { step, source: source.into() }
}
