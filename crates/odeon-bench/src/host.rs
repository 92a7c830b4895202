//! The tokio runtimes on which peers run, built anew for every measurement so that none inherits another's tasks.

use crate::{error::JobError, workload::Runtime};

/// Runs `work` as a task of a fresh tokio runtime and returns its output.
///
/// The work is spawned, never polled by the calling thread itself: otherwise "two workers" would mean three
/// threads, and the caller of every ask would sit outside the runtime.
pub(crate) fn tokio<W>(runtime: Runtime, work: W) -> Result<W::Output, JobError>
where
    W: Future + Send + 'static,
    W::Output: Send + 'static,
{
    let host = match runtime {
        Runtime::OneThread => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        Runtime::TwoWorkers => {
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
        }
    }
    .map_err(JobError::Runtime)?;
    host.block_on(async { tokio::spawn(work).await.map_err(JobError::Producer) })
}
