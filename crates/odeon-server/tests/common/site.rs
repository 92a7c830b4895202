//! A place for servers of one host, and waiting for what they do.

use std::time::Duration;

use odeon_core::ServerId;
use odeon_server::{Home, World};

/// No outcome needs a tenth of this; a hang becomes a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn id(text: &str) -> ServerId {
    text.parse().expect("a server id")
}

/// A home in a directory of its own; each group of tests says what servers of it are like.
pub(crate) struct Site {
    _directory: tempfile::TempDir,
    pub(crate) home: Home,
}

impl Site {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let home = Home::open(directory.path()).expect("a home");
        Self { _directory: directory, home }
    }

    pub(crate) fn world(&self) -> World {
        World::real(self.home.host().clone())
    }
}

/// Waits for an outcome.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}
