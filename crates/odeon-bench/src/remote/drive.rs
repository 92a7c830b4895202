//! The loops of the near process, written once for all peers that have a call for one ask and one for one tell.
//!
//! As in the local workloads an answer from the far side stops every clock, and every answer is checked.

use std::{sync::Arc, time::Instant};

use crate::{
    drive::expect,
    error::JobError,
    machine,
    remote::{
        far::Far,
        question::{Question, TELL_BYTES, Task},
    },
    workload::Sample,
};

/// Asks over each link before the clock starts: connections are made, code and buffers are warm.
const WARM_UP_ASKS: u64 = 200;

/// Durations that one repetition keeps: past it only every second, third, … is kept.
const KEPT_MAX: usize = 10_000;

/// A library that reaches actors in another process.
///
/// The far process hosts *counters*: one adds up the tells that have come, answers an ask for `value` with `value`
/// plus that sum, and an ask with bytes with their number.
pub(crate) trait Near: Sized + Send + Sync + 'static {
    /// The way to a counter.
    type Counter: Clone + Send + Sync + 'static;

    /// Makes the near side ready. Nothing is said to the far process before the first message, if the library is
    /// able to wait that long: a first contact is timed from there.
    fn open(task: &Task, far: &Far) -> impl Future<Output = Result<Self, JobError>> + Send;

    /// The way to counter number `actor` behind link number `link`.
    fn counter(
        &self,
        link: usize,
        actor: usize,
    ) -> impl Future<Output = Result<Self::Counter, JobError>> + Send;

    /// Asks and waits for the answer.
    fn ask(counter: &Self::Counter, value: u64) -> impl Future<Output = Result<u64, JobError>> + Send;

    /// Asks with bytes and waits for the answer.
    fn size(counter: &Self::Counter, bytes: Vec<u8>) -> impl Future<Output = Result<u64, JobError>> + Send;

    /// Sends 64 bytes, and waits at most until they are taken.
    fn tell(
        counter: &Self::Counter,
        bytes: [u8; TELL_BYTES],
    ) -> impl Future<Output = Result<(), JobError>> + Send;

    /// Leaves, so that the next one to come is new to the far process.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Runs one repetition in the near process.
pub(crate) async fn run<N: Near>(task: Task, far: Arc<Far>) -> Result<Sample, JobError> {
    let question = task.point.question;
    if question == Question::FirstContact {
        return first_contact::<N>(&task, &far).await;
    }
    let before = resident(&far)?;
    let near = N::open(&task, &far).await?;
    let counters = counters(&near, &task).await?;
    if question == Question::IdleLink {
        return idle::<N>(&task, &far, &counters, before).await;
    }
    for counter in &counters {
        for value in 0..WARM_UP_ASKS / counters.len() as u64 + 1 {
            expect(value, N::ask(counter, value).await?)?;
        }
    }
    let sample = match question {
        Question::Ask | Question::LinksAsk(_) => ask::<N>(&counters, task.count).await,
        Question::AskMany | Question::LinksMany(_) | Question::Actors(_) => {
            many(counters, &task, |counter: N::Counter, value| async move {
                expect(value, N::ask(&counter, value).await?)
            })
            .await
        }
        Question::Size(bytes) => {
            many(counters, &task, move |counter: N::Counter, _| async move {
                expect(u64::from(bytes), N::size(&counter, vec![7; bytes as usize]).await?)
            })
            .await
        }
        Question::Tell => tell::<N>(&counters[0], task.count).await,
        Question::FirstContact | Question::IdleLink => unreachable!("answered above"),
    }?;
    near.close().await;
    Ok(sample)
}

async fn counters<N: Near>(near: &N, task: &Task) -> Result<Vec<N::Counter>, JobError> {
    let mut counters = Vec::new();
    for link in 0..task.links() {
        for actor in 0..task.point.question.actors() {
            counters.push(near.counter(link, actor).await?);
        }
    }
    Ok(counters)
}

/// One at a time, over the links in turn.
async fn ask<N: Near>(counters: &[N::Counter], count: usize) -> Result<Sample, JobError> {
    let mut kept = Kept::new(count);
    let started = Instant::now();
    let mut since = started;
    for value in 0..count {
        expect(value as u64, N::ask(&counters[value % counters.len()], value as u64).await?)?;
        let now = Instant::now();
        kept.push(now - since);
        since = now;
    }
    Ok(kept.stop(started, count))
}

/// So many askers at once, each with one ask open, shared out over links and actors.
async fn many<C, F, A>(counters: Vec<C>, task: &Task, ask: F) -> Result<Sample, JobError>
where
    C: Clone + Send + 'static,
    F: Fn(C, u64) -> A + Clone + Send + 'static,
    A: Future<Output = Result<(), JobError>> + Send,
{
    let open = task.point.question.open();
    let share = (task.count / open).max(1);
    let started = Instant::now();
    let askers: Vec<_> = (0..open)
        .map(|asker| {
            let (counter, ask) = (counters[asker % counters.len()].clone(), ask.clone());
            tokio::spawn(async move {
                let mut kept = Kept::new_of(share, open * share);
                for step in 0..share {
                    let asked = Instant::now();
                    ask(counter.clone(), step as u64).await?;
                    kept.push(asked.elapsed());
                }
                Ok::<_, JobError>(kept)
            })
        })
        .collect();
    let mut all = Vec::with_capacity(open);
    for asker in askers {
        all.push(asker.await.map_err(JobError::Producer)??);
    }
    let elapsed_ns = started.elapsed().as_nanos() as f64;
    let batches_ns = all.into_iter().flat_map(|kept| kept.durations_ns).collect();
    Ok(Sample { elapsed_ns, count: open * share, batches_ns, resident_bytes: None, near_bytes: None })
}

/// The answer to an ask after the last tell comes after all of them, and says how many there were.
async fn tell<N: Near>(counter: &N::Counter, count: usize) -> Result<Sample, JobError> {
    let mut bytes = [7; TELL_BYTES];
    let started = Instant::now();
    for sequence in 0..count {
        bytes[..8].copy_from_slice(&(sequence as u64).to_le_bytes());
        N::tell(counter, bytes).await?;
    }
    expect(count as u64, N::ask(counter, 0).await?)?;
    Ok(Kept::new(0).stop(started, count))
}

async fn first_contact<N: Near>(task: &Task, far: &Far) -> Result<Sample, JobError> {
    let mut durations_ns = Vec::with_capacity(task.count);
    for value in 0..task.count as u64 {
        let near = N::open(task, far).await?;
        let counter = near.counter(0, 0).await?;
        let started = Instant::now();
        expect(value, N::ask(&counter, value).await?)?;
        durations_ns.push(started.elapsed().as_nanos() as f64);
        near.close().await;
    }
    let elapsed_ns = durations_ns.iter().sum();
    Ok(Sample {
        elapsed_ns,
        count: task.count,
        batches_ns: durations_ns,
        resident_bytes: None,
        near_bytes: None,
    })
}

async fn idle<N: Near>(
    task: &Task,
    far: &Far,
    counters: &[N::Counter],
    before: Resident,
) -> Result<Sample, JobError> {
    let started = Instant::now();
    for counter in counters {
        expect(1, N::ask(counter, 1).await?)?;
    }
    let mut sample = Kept::new(0).stop(started, task.links());
    resident(far)?.added_since(before, &mut sample);
    Ok(sample)
}

/// Bytes of both processes that are in memory at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    near: u64,
    far: u64,
}

impl Resident {
    /// Notes how many more there are now.
    pub(crate) fn added_since(self, before: Self, sample: &mut Sample) {
        let (near, far) = (self.near.saturating_sub(before.near), self.far.saturating_sub(before.far));
        sample.near_bytes = Some(near);
        sample.resident_bytes = Some(near + far);
    }
}

/// How many that are now.
pub(crate) fn resident(far: &Far) -> Result<Resident, JobError> {
    let near = machine::resident_bytes().map_err(JobError::Memory)?;
    let far = machine::resident_bytes_of(far.pid()).map_err(JobError::Memory)?;
    Ok(Resident { near, far })
}

/// The durations of some of the operations: all, or every so manyth.
pub(crate) struct Kept {
    every: usize,
    seen: usize,
    durations_ns: Vec<f64>,
}

impl Kept {
    /// Of so many operations.
    pub(crate) fn new(count: usize) -> Self {
        Self::new_of(count, count)
    }

    /// Of so many out of `all`.
    fn new_of(count: usize, all: usize) -> Self {
        let every = all.div_ceil(KEPT_MAX).max(1);
        Self { every, seen: 0, durations_ns: Vec::with_capacity(count / every + 1) }
    }

    /// One operation took so long.
    pub(crate) fn push(&mut self, duration: std::time::Duration) {
        if self.seen.is_multiple_of(self.every) {
            self.durations_ns.push(duration.as_nanos() as f64);
        }
        self.seen += 1;
    }

    /// Ends the measurement of this many operations.
    pub(crate) fn stop(self, started: Instant, count: usize) -> Sample {
        Sample {
            elapsed_ns: started.elapsed().as_nanos() as f64,
            count,
            batches_ns: self.durations_ns,
            resident_bytes: None,
            near_bytes: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn durations_are_thinned_out_past_the_limit() {
        for (count, kept) in [(10, 10), (KEPT_MAX, KEPT_MAX), (KEPT_MAX + 1, KEPT_MAX / 2 + 1)] {
            let mut durations = Kept::new(count);
            for _ in 0..count {
                durations.push(Duration::from_nanos(5));
            }
            assert_eq!(durations.stop(Instant::now(), count).batches_ns, vec![5.0; kept]);
        }
    }
}
