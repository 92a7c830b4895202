//! The supervisor's hands: tasks that start, stop and watch processes and report back to the actor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use odeon_actor::{AskError, Handle};
use odeon_core::seam::TaskKind;
use odeon_core::{ActorId, Instant, Reference, ServerId};
use odeon_server::{Control, ControlCalls, Server};

use super::actor::{Supervisor, SupervisorCalls};
use super::state::ExitStatus;
use crate::process::{Child, EndedBy, ExitRecord, Spec};

/// Pause between two looks for a server that does not listen yet.
const READY_RETRY: Duration = Duration::from_millis(10);

/// What the tasks need.
#[derive(Debug, Clone)]
pub(super) struct Driver {
    pub(super) server: Server,
    pub(super) me: Handle<Supervisor>,
}

/// Which process of a server is meant.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) id: ServerId,
    pub(super) generation: u64,
}

impl Driver {
    fn task(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.server.system().tasks().spawn(TaskKind::Service, name, Box::pin(future));
    }

    /// Starts a process; the actor hears of it by `spawned`.
    pub(super) fn spawn(&self, run: Run, spec: Spec, sockets: Vec<OwnedFd>, shim_exe: &Path) {
        let (driver, shim_exe) = (self.clone(), shim_exe.to_owned());
        self.task("spawn", async move {
            let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
            let outcome = Child::spawn(&spec, &sockets, &shim_exe).await;
            let outcome = outcome.map(Arc::new).map_err(|error| chain(&error));
            // The actor is gone only when the supervisor is; the shim lives on and is found by the next.
            let _ = driver.me.spawned(run.id, run.generation, outcome).tell().await;
        });
    }

    /// Watches a process to its end, and asks it whether it is ready.
    pub(super) fn watch(&self, run: Run, child: Arc<Child>, ready_by: Instant) {
        let (driver, watched) = (self.clone(), run.clone());
        self.task("watch", async move {
            let record = child.exited().await;
            let _ = driver.me.exited(watched.id, watched.generation, Box::new(record)).tell().await;
        });
        let driver = self.clone();
        self.task("ready", async move {
            if driver.wait_ready(&run.id, ready_by).await {
                let _ = driver.me.became_ready(run.id, run.generation).tell().await;
            }
        });
    }

    /// Whether the server has said that it is ready, in time.
    async fn wait_ready(&self, id: &ServerId, by: Instant) -> bool {
        let clock = Arc::clone(self.server.clock());
        let control: Handle<Control> = self.server.actor(Reference::new(id.clone(), ActorId::SERVER));
        while clock.now() < by {
            match control.wait_ready().within(by).await {
                Ok(()) => return true,
                // Not listening yet, or the link of its last incarnation.
                Err(AskError::Unreachable { .. } | AskError::Dead(_)) => {}
                Err(error) => tracing::debug!(server = %id, %error, "not ready"),
            }
            clock.sleep_until(clock.now() + READY_RETRY).await;
        }
        false
    }

    /// Ends a process: asks it, and kills what is left after `grace`.
    pub(super) fn kill(&self, run: Run, child: Arc<Child>, grace: Duration) {
        self.task("stop", async move {
            if let Err(error) = child.stop(grace).await {
                tracing::error!(server = %run.id, pid = child.pid(), error = %chain(&error), "cannot stop");
            }
        });
    }

    /// Has the actor look at its timers at `at`.
    pub(super) fn tick_at(&self, at: Instant) {
        let (me, clock) = (self.me.clone(), Arc::clone(self.server.clock()));
        self.task("tick", async move {
            clock.sleep_until(at).await;
            let _ = me.tick(at).tell().await;
        });
    }
}

/// How a process ended, as the policy sees it.
pub(super) fn status(record: &ExitRecord) -> ExitStatus {
    match record.ended_by {
        EndedBy::Code(code) => ExitStatus::Code(code),
        EndedBy::Signal(signal) => ExitStatus::Signal(signal),
        _ => ExitStatus::Unknown,
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
