//! The seams of time and tasks, standing on tokio.

use std::time::{SystemTime, UNIX_EPOCH};

use odeon_core::Instant;
use odeon_core::seam::{BoxFuture, Clock, Spawn, TaskKind};
use tokio::runtime::Handle;

/// Tokio's clock: it follows virtual time in tests with paused time.
#[derive(Debug, Clone)]
pub struct TokioClock {
    began: tokio::time::Instant,
}

impl TokioClock {
    /// A clock that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { began: tokio::time::Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        Instant::ZERO + self.began.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock seam")]
    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(self.began + (at - Instant::ZERO)))
    }
}

/// Tasks of one tokio runtime.
#[derive(Debug, Clone)]
pub struct TokioSpawn {
    runtime: Handle,
}

impl TokioSpawn {
    /// Tasks of the runtime this is called in.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn current() -> Self {
        Self { runtime: Handle::current() }
    }
}

impl Spawn for TokioSpawn {
    fn spawn(&self, kind: TaskKind, name: &str, future: BoxFuture<'static, ()>) {
        tracing::trace!(?kind, name, "task spawned");
        self.runtime.spawn(future);
    }

    fn threads(&self) -> usize {
        self.runtime.metrics().num_workers()
    }

    fn is_here(&self) -> bool {
        Handle::try_current().is_ok_and(|current| current.id() == self.runtime.id())
    }
}
