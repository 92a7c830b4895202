//! How a program tells the driver its result.

use std::time::Duration;

use tokio::{sync::mpsc, time};

use crate::{
    drive,
    error::{Gone, JobError},
};

/// Longest a program may take: a lost message would otherwise be waited for for ever. The slowest peer at the
/// largest size takes some seconds.
const PATIENCE: Duration = Duration::from_secs(300);

/// The actors' end.
#[derive(Clone, Debug)]
pub(crate) struct Verdict(mpsc::Sender<u64>);

/// The driver's end.
pub(crate) struct Pending(mpsc::Receiver<u64>);

/// Both ends.
pub(crate) fn verdict() -> (Verdict, Pending) {
    let (sender, receiver) = mpsc::channel(1);
    (Verdict(sender), Pending(receiver))
}

impl Verdict {
    /// Tells the result. A program has one; when the driver is gone nobody is waiting.
    pub(crate) fn tell(&self, result: u64) {
        let _ = self.0.try_send(result);
    }
}

impl Pending {
    /// Waits for the result, which must be this one.
    pub(crate) async fn expect(mut self, expected: u64) -> Result<(), JobError> {
        let told = time::timeout(PATIENCE, self.0.recv()).await;
        let result = told.map_err(|_| JobError::Endless { seconds: PATIENCE.as_secs() })?;
        drive::expect(expected, result.ok_or(Gone)?)
    }
}
