//! Tasks of one host: all of them vanish when it crashes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use odeon_core::seam::{BoxFuture, Spawn, TaskKind};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// The tasks of one host in one of its lives.
pub struct SimSpawn {
    host: Arc<str>,
    runtime: Handle,
    tasks: Arc<Mutex<Tasks>>,
}

#[derive(Default)]
struct Tasks {
    next: u64,
    running: BTreeMap<u64, (String, AbortHandle)>,
    panicked: Vec<String>,
    is_over: bool,
}

impl SimSpawn {
    /// No tasks yet.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(host: Arc<str>) -> Self {
        Self { host, runtime: Handle::current(), tasks: Arc::default() }
    }

    /// How many tasks run.
    #[must_use]
    pub fn running(&self) -> usize {
        lock(&self.tasks).running.len()
    }

    /// The names of the tasks that run.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let tasks = lock(&self.tasks);
        tasks.running.values().map(|(name, _)| name.clone()).collect()
    }

    /// The names of the tasks that panicked.
    #[must_use]
    pub fn panicked(&self) -> Vec<String> {
        lock(&self.tasks).panicked.clone()
    }

    /// Ends every task where it stands; none is polled again, and none can be started any more.
    pub fn crash(&self) {
        let running = {
            let mut tasks = lock(&self.tasks);
            tasks.is_over = true;
            std::mem::take(&mut tasks.running)
        };
        // All are marked before the runtime drops the first, since this task does not yield here.
        for (_, task) in running.into_values() {
            task.abort();
        }
    }
}

impl Spawn for SimSpawn {
    fn spawn(&self, _: TaskKind, name: &str, future: BoxFuture<'static, ()>) {
        let id = {
            let mut tasks = lock(&self.tasks);
            if tasks.is_over {
                return;
            }
            tasks.next += 1;
            tasks.next
        };
        let name = name.to_owned();
        let guard = Guard { tasks: Arc::clone(&self.tasks), id, name: name.clone() };
        let task = self.runtime.spawn(async move {
            let _guard = guard;
            future.await;
        });
        lock(&self.tasks).running.insert(id, (name, task.abort_handle()));
    }
}

/// Takes a task out of the table, however it ends.
struct Guard {
    tasks: Arc<Mutex<Tasks>>,
    id: u64,
    name: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut tasks = lock(&self.tasks);
        tasks.running.remove(&self.id);
        if std::thread::panicking() {
            tasks.panicked.push(std::mem::take(&mut self.name));
        }
    }
}

fn lock(tasks: &Mutex<Tasks>) -> MutexGuard<'_, Tasks> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for SimSpawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimSpawn")
            .field("host", &self.host)
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_crash_ends_every_task_and_lets_none_start() {
        let spawn = SimSpawn::new("a".into());
        let (alive, mut gone) = tokio::sync::mpsc::channel::<()>(1);
        for _ in 0..3 {
            let alive = alive.clone();
            spawn.spawn(TaskKind::Service, "waits", Box::pin(async move { alive.closed().await }));
        }
        drop(alive);
        tokio::task::yield_now().await;
        assert_eq!(spawn.running(), 3);
        spawn.crash();
        assert_eq!(gone.recv().await, None, "every task has been dropped");
        spawn.spawn(TaskKind::Service, "late", Box::pin(async { panic!("must not run") }));
        tokio::task::yield_now().await;
        assert_eq!((spawn.running(), spawn.panicked().len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_or_panics_leaves_the_table() {
        let spawn = SimSpawn::new("a".into());
        spawn.spawn(TaskKind::Service, "ends", Box::pin(async {}));
        spawn.spawn(TaskKind::Link, "breaks", Box::pin(async { panic!("as planned") }));
        tokio::task::yield_now().await;
        assert_eq!((spawn.running(), spawn.panicked()), (0, vec!["breaks".to_owned()]));
    }
}
