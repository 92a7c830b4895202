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
    pub(crate) async fn expect(self, expected: u64) -> Result<(), JobError> {
        self.expect_within(expected, PATIENCE).await
    }

    async fn expect_within(mut self, expected: u64, patience: Duration) -> Result<(), JobError> {
        let told = time::timeout(patience, self.0.recv()).await;
        let result = told.map_err(|_| JobError::Endless { seconds: patience.as_secs() })?;
        drive::expect(expected, result.ok_or(Gone)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_expected_result_is_fine_and_no_other() {
        for (told, fine) in [(7, true), (8, false)] {
            let (verdict, pending) = verdict();
            verdict.tell(told);
            assert_eq!(pending.expect(7).await.is_ok(), fine, "{told}");
        }
    }

    #[tokio::test]
    async fn actors_that_are_gone_or_silent_fail_the_run() {
        let (gone, pending) = verdict();
        drop(gone);
        assert!(matches!(pending.expect(7).await, Err(JobError::Gone(_))));
        let (_silent, pending) = verdict();
        let error = pending.expect_within(7, Duration::from_millis(1)).await.expect_err("nobody tells");
        assert_eq!(error.to_string(), "no verdict within 0 s: a message was lost");
    }
}
