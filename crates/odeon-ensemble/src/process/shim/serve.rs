//! The loop around a child's life: output to the log, requests to answers, the end to a record.
//!
//! Owns everything of the shim; [`Machine`] decides, this module does. One `poll` waits for all.

#![expect(clippy::disallowed_methods, reason = "the shim has no runtime: its clock is the system's")]

use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, pidfd_open, wait,
};

use super::super::control::{Request, Response};
use super::super::identity::children_of;
use super::super::logfile::LogWriter;
use super::super::machine::{Action, Machine};
use super::super::record::{self, EndedBy, ExitRecord, LastLines};
use super::super::spec::GRACE_MS_MAX;
use super::conn::{Conn, Input};
use super::launch::{Started, report};

/// Control connections at a time: the supervisor's, and some people looking.
const CONNS_MAX: usize = 16;
/// Bytes read from the child at once: a pipe's whole content.
const READ_BYTES_MAX: usize = 64 * 1024;
/// How often descendants that came to this process are reaped; a zombie costs next to nothing.
const REAP_MS: u64 = 30_000;
/// How often the pipe and the descendants are looked at while a dead child is cleaned up.
const DRAIN_POLL_MS: u64 = 10;
/// How long accepting pauses when it fails, say for want of descriptors.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Serves until the shim may end.
pub(super) fn run(started: Started) -> ExitCode {
    match Shim::new(started).and_then(Shim::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("odeon shim: {error}"));
            ExitCode::FAILURE
        }
    }
}

struct Shim {
    started: Started,
    /// Readable when the child has ended; gone when that was seen.
    pidfd: Option<OwnedFd>,
    /// Whether the output may still bring something.
    output_open: bool,
    buffer: Vec<u8>,
    log: LogWriter,
    last: LastLines,
    conns: Vec<Conn>,
    accept_after: u64,
    machine: Machine,
    ended_by: Option<EndedBy>,
    record: Option<ExitRecord>,
    epoch: Instant,
}

/// What one wait brought.
#[derive(Debug, Default)]
struct Ready {
    output: bool,
    child: bool,
    listener: bool,
    conns: Vec<usize>,
}

impl Shim {
    fn new(started: Started) -> io::Result<Self> {
        let flags = fcntl_getfl(&started.output)?;
        fcntl_setfl(&started.output, flags | OFlags::NONBLOCK)?;
        let spec = &started.spec;
        Ok(Self {
            pidfd: Some(pidfd_open(started.child, PidfdFlags::empty())?),
            output_open: true,
            buffer: vec![0; READ_BYTES_MAX],
            log: LogWriter::new(&spec.log_dir, spec.log_bytes_max, spec.log_files_max),
            last: LastLines::default(),
            conns: Vec::new(),
            accept_after: 0,
            machine: Machine::new(),
            ended_by: None,
            record: None,
            epoch: Instant::now(),
            started,
        })
    }

    fn run(mut self) -> io::Result<()> {
        loop {
            let ready = self.wait()?;
            if ready.output {
                self.read_output();
            }
            for index in ready.conns {
                self.read_conn(index);
            }
            // First those who have gone, then those who come: they need the room.
            self.drop_closed();
            if ready.listener {
                self.accept();
            }
            if ready.child {
                self.pidfd = None;
                let action = self.machine.ended(self.now());
                self.perform(action);
            }
            self.reap();
            if self.machine.is_draining() {
                self.drain();
            }
            while let Some(action) = self.machine.poll(self.now()) {
                if action == Action::Quit {
                    return record::forget_shim(&self.started.spec.dir, &self.started.spec.control);
                }
                self.perform(Some(action));
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn wait(&self) -> io::Result<Ready> {
        let now = self.now();
        let mut fds = Vec::with_capacity(3 + self.conns.len());
        let mut add = |fd| {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            fds.len() - 1
        };
        let output = self.output_open.then(|| add(self.started.output.as_fd()));
        let child = self.pidfd.as_ref().map(|pidfd| add(pidfd.as_fd()));
        let listener = (now >= self.accept_after).then(|| add(self.started.control.as_fd()));
        let conns: Vec<usize> = self.conns.iter().map(|conn| add(conn.as_fd())).collect();
        let timeout = self.timeout_ms(now);
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(timeout % 1000 * 1_000_000).unwrap_or(0),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |index: Option<usize>| index.is_some_and(|index| !fds[index].revents().is_empty());
        Ok(Ready {
            output: is_ready(output),
            child: is_ready(child),
            listener: is_ready(listener),
            conns: (0..conns.len()).filter(|index| is_ready(Some(conns[*index]))).collect(),
        })
    }

    fn timeout_ms(&self, now: u64) -> u64 {
        let mut until = now + if self.machine.is_draining() { DRAIN_POLL_MS } else { REAP_MS };
        let deadlines = self.conns.iter().filter_map(Conn::deadline).chain(self.machine.deadline());
        until = deadlines.fold(until, u64::min);
        if self.accept_after > now {
            until = until.min(self.accept_after);
        }
        until.saturating_sub(now)
    }

    fn perform(&mut self, action: Option<Action>) {
        match action {
            // A group that is gone has nothing left to signal.
            Some(Action::Terminate) => drop(kill_process_group(self.started.child, Signal::TERM)),
            Some(Action::Kill) => drop(kill_process_group(self.started.child, Signal::KILL)),
            Some(Action::Record) => self.write_record(),
            Some(Action::Quit) | None => {}
        }
    }

    /// Reads once; whether there was something.
    fn read_output(&mut self) -> bool {
        match self.started.output.read(&mut self.buffer) {
            Ok(0) => {
                self.output_open = false;
                false
            }
            Ok(count) => {
                self.last.push(&self.buffer[..count]);
                self.log.append(&self.buffer[..count]);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                self.output_open = false;
                false
            }
        }
    }

    /// Reaps what has ended. The child is looked at first and left until its end was seen and its group killed:
    /// until then its pid, and so its group's, cannot be anybody else's.
    fn reap(&mut self) {
        if self.pidfd.as_ref().is_some_and(is_readable) {
            return;
        }
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == self.started.child {
                self.ended_by = Some(ended_by(status));
            }
        }
    }

    /// After the child's end: kills descendants that left the group, reads what the pipe still has.
    fn drain(&mut self) {
        let mut budget = READ_BYTES_MAX * 64;
        while self.output_open && budget > 0 && self.read_output() {
            budget = budget.saturating_sub(READ_BYTES_MAX);
        }
        let here = rustix::process::getpid().as_raw_nonzero().get();
        let left = children_of(here);
        for pid in left.iter().copied().filter_map(Pid::from_raw) {
            // Children of this process are not reaped by anybody else: the pid is theirs.
            let _ = kill_process(pid, Signal::KILL);
        }
        if left.is_empty() && !self.output_open {
            let action = self.machine.drained(self.now());
            self.perform(action);
        }
    }

    fn write_record(&mut self) {
        if self.record.is_none()
            && let Some(EndedBy::Signal(signal)) = self.ended_by
        {
            // A process that is killed has no last word of its own.
            let pid = self.started.state.child_pid;
            self.log.finish();
            self.log.append(format!("-- process {pid} was killed by signal {signal}\n").as_bytes());
        }
        self.log.finish();
        let record = self.record.get_or_insert_with(|| ExitRecord {
            pid: self.started.state.child_pid,
            generation: self.started.state.generation,
            ended_by: self.ended_by.unwrap_or(EndedBy::Signal(Signal::KILL.as_raw())),
            at_ms: record::unix_ms(),
            last_lines: self.last.lines(),
        });
        let written = record::write_exit(&self.started.spec.dir, record);
        let response = Response::Exited { exit: record.clone() };
        if let Err(error) = &written {
            report(&format!("odeon shim: cannot write the exit record: {error}"));
        }
        let now = self.now();
        for conn in self.conns.iter_mut().filter(|conn| conn.watches && !conn.told) {
            conn.told = true;
            conn.answer(&response, &[]);
        }
        // A directory that was removed is a record that nobody wants.
        let unwanted = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        self.machine.recorded(now, written.as_ref().err().is_none_or(unwanted));
    }

    fn accept(&mut self) {
        let now = self.now();
        match self.started.control.accept() {
            // One too many is closed at once: better a clear end than a silent queue.
            Ok((stream, _)) if self.conns.len() < CONNS_MAX => self.conns.extend(Conn::new(stream, now).ok()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.accept_after = now + ACCEPT_PAUSE_MS,
        }
    }

    fn read_conn(&mut self, index: usize) {
        let now = self.now();
        for input in self.conns[index].read(now) {
            match input {
                Input::Request(request) => self.serve(index, request),
                Input::Malformed(reason) => self.conns[index].answer(&Response::Error { reason }, &[]),
                Input::Close(reason) => {
                    if let Some(reason) = reason {
                        self.conns[index].answer(&Response::Error { reason }, &[]);
                    }
                    self.conns[index].closed = true;
                }
            }
        }
    }

    fn serve(&mut self, index: usize, request: Request) {
        let response = match request {
            Request::Status => self.status(),
            Request::Watch => {
                self.conns[index].watches = true;
                self.conns[index].told = self.record.is_some();
                self.status()
            }
            Request::Signal { signo, group } => self.signal(signo, group),
            Request::Stop { grace_ms } => {
                let grace = grace_ms.unwrap_or(self.started.spec.grace_ms).min(GRACE_MS_MAX);
                let action = self.machine.stop(self.now(), grace);
                self.perform(action);
                Response::Done
            }
            Request::Sockets => {
                let names = self.started.spec.listen.clone();
                let sockets: Vec<BorrowedFd<'_>> = self.started.sockets.iter().map(|fd| fd.as_fd()).collect();
                return self.conns[index].answer(&Response::Sockets { names }, &sockets);
            }
            Request::Release => {
                self.machine.release();
                Response::Done
            }
        };
        self.conns[index].answer(&response, &[]);
    }

    fn status(&self) -> Response {
        Response::Status {
            child_pid: self.started.state.child_pid,
            child_start: self.started.state.child_start,
            state: self.machine.state(),
            exit: self.record.clone(),
            dropped_bytes: self.log.dropped_total(),
        }
    }

    fn signal(&self, signo: i32, group: bool) -> Response {
        let Some(signal) = Signal::from_named_raw(signo) else {
            return Response::Error { reason: format!("{signo} is no signal; expected 1 to 31") };
        };
        // Unreaped as long as its end was not seen: the pid is the child's.
        if self.pidfd.is_none() {
            return Response::Error { reason: "the child has ended".to_owned() };
        }
        let send = if group { kill_process_group } else { kill_process };
        match send(self.started.child, signal) {
            Ok(()) => Response::Done,
            Err(error) => Response::Error { reason: format!("cannot signal the child: {error}") },
        }
    }

    fn drop_closed(&mut self) {
        let now = self.now();
        self.conns.retain(|conn| !conn.closed && conn.deadline().is_none_or(|deadline| now < deadline));
        let watchers = self.conns.iter().filter(|conn| conn.watches).count();
        self.machine.watched_by(now, watchers);
    }
}

fn is_readable(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

fn ended_by(status: WaitStatus) -> EndedBy {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => EndedBy::Code(code),
        (None, Some(signal)) => EndedBy::Signal(signal),
        (None, None) => EndedBy::Signal(0),
    }
}
