//! The supervisor's hands: tasks that start, stop and watch processes and report back to the actor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use odeon_actor::{AskError, Handle};
use odeon_core::seam::TaskKind;
use odeon_core::{ActorId, Instant, Reference, ServerId, chain};
use odeon_server::{Control, ControlCalls, Server};
use tokio::sync::watch;

use super::actor::{Supervisor, SupervisorCalls};
use super::policy::KILL_RETRY;
use super::state::ExitStatus;
use crate::process::{Adopted, Child, EndedBy, ExitRecord, SpawnError, Spec};

/// Pause between two looks for a server that does not listen yet.
const READY_RETRY: Duration = Duration::from_millis(10);

/// What the tasks need.
#[derive(Debug, Clone)]
pub(super) struct Driver {
    pub(super) server: Server,
    pub(super) me: Handle<Supervisor>,
}

/// Which process of a server is meant.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: ServerId,
    pub(super) generation: u64,
}

impl Driver {
    fn task(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.server.system().tasks().spawn(TaskKind::Service, name, Box::pin(future));
    }

    /// Starts a process; the actor hears of it by `spawned`, also when there is none.
    pub(super) fn spawn(&self, run: Run, spec: Spec, sockets: io::Result<Vec<OwnedFd>>, shim_exe: &Path) {
        let (driver, shim_exe) = (self.clone(), shim_exe.to_owned());
        self.task("spawn", async move {
            let outcome = match sockets {
                Ok(sockets) => spawn(&spec, &sockets, &shim_exe).await.map(Arc::new),
                Err(error) => Err(format!("its listening sockets cannot be passed: {error}")),
            };
            // The actor is gone only when the supervisor is; the shim lives on and is found by the next.
            let _ = driver.me.spawned(run.id, run.generation, outcome).tell().await;
        });
    }

    /// Asks a process whether it is ready, and watches it to its end.
    pub(super) fn watch(&self, run: Run, child: Arc<Child>, ready_by: Instant) {
        let driver = self.clone();
        self.task("watch", async move {
            let Run { id, generation } = run;
            tokio::select! {
                biased;
                _ = child.exited() => {}
                is_ready = driver.wait_ready(&id, ready_by) => {
                    if is_ready {
                        let _ = driver.me.became_ready(id.clone(), generation).tell().await;
                    }
                }
            }
            let record = child.exited().await;
            let _ = driver.me.exited(id, generation, Box::new(record)).tell().await;
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

    /// Ends a process: asks it, and kills what is left after `grace`. The policy sees to it if that fails.
    pub(super) fn kill(&self, id: &ServerId, child: Arc<Child>, grace: Duration) {
        let (id, clock) = (id.clone(), Arc::clone(self.server.clock()));
        let give_up = clock.now() + grace + KILL_RETRY;
        self.task("stop", async move {
            let outcome = tokio::select! {
                biased;
                outcome = child.stop(grace) => outcome,
                // The shim goes on; a process that cannot even be killed must not collect tasks.
                () = clock.sleep_until(give_up) => return,
            };
            if let Err(error) = outcome {
                tracing::error!(server = %id, pid = child.pid(), error = %chain(&error), "cannot stop");
            }
        });
    }

    /// Has the actor look at its timers whenever the time in `due` has come, for as long as the actor lives.
    pub(super) fn keep_time(&self, mut due: watch::Receiver<Option<Instant>>) {
        let (me, clock) = (self.me.clone(), Arc::clone(self.server.clock()));
        self.task("timer", async move {
            loop {
                let at = *due.borrow_and_update();
                let come = async {
                    match at {
                        Some(at) => clock.sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    changed = due.changed() => {
                        if changed.is_err() {
                            return;
                        }
                    }
                    () = come => {
                        // Asked, not told: the next look at `due` finds what the actor has made of it.
                        if let Err(AskError::Dead(_)) = me.tick().await {
                            return;
                        }
                    }
                }
            }
        });
    }
}

/// Starts a process, or says why not.
async fn spawn(spec: &Spec, sockets: &[OwnedFd], shim_exe: &Path) -> Result<Child, String> {
    let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
    match Child::spawn(spec, &sockets, shim_exe).await {
        Err(SpawnError::Occupied { .. }) => take_over(spec).await,
        outcome => outcome.map_err(|error| chain(&error)),
    }
}

/// What holds the server's place was started by a supervisor that was killed before it was there to be found. If it
/// is what should run, it will do.
async fn take_over(spec: &Spec) -> Result<Child, String> {
    match Child::adopt(&spec.dir).await {
        Ok(Adopted::Running(child)) if child.state().spec == spec.fingerprint() => Ok(*child),
        Ok(Adopted::Running(child)) => {
            let stopped = child.stop(Duration::from_millis(spec.grace_ms)).await;
            stopped.map_err(|error| chain(&error))?;
            Err(format!("process {} of another supervisor was in its place; it is stopped now", child.pid()))
        }
        Ok(Adopted::Exited(_) | Adopted::Gone) => Err("another shim is just leaving its place".to_owned()),
        Err(error) => Err(chain(&error)),
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
