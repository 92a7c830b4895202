//! The workloads themselves, written once for all peers, so that no library gets a kinder loop than another.
//!
//! Every clock is stopped by an acknowledgement from the far side, and every answer is checked: a message lost or
//! repeated fails the measurement.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::sync::mpsc;

use crate::{
    error::{Gone, JobError},
    machine,
    peers::{Mailbox, Peer},
    workload::{
        FAN_IN_PRODUCERS, FAN_OUT_SUBSCRIBERS, Job, MAILBOX_MAX, Note, RING_MEMBERS, Sample, Workload,
    },
};

/// Operations between two readings of the clock where percentiles are taken. One reading costs 30–50 ns, so that
/// one per operation would be a tenth of the figure; per hundred it is lost in it.
pub(crate) const BATCH: usize = 100;

/// Asks before the clock starts, so that first-touch page faults and lazy set-up are not counted.
const WARM_UP_ASKS: u64 = 1_000;

/// How a member tells the driver that it is linked, or that a token has come to rest.
#[derive(Clone, Debug)]
pub(crate) struct Done(Arc<Missing>);

/// How many reports the driver still waits for, and how it hears of the last one.
#[derive(Debug)]
struct Missing {
    reports: AtomicUsize,
    all_in: mpsc::Sender<()>,
}

impl Done {
    /// Reports once. The driver waits for the last report before it causes the next, so one place is enough; when
    /// the driver is gone nobody is waiting.
    pub(crate) fn report(&self) {
        if self.0.reports.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.0.all_in.try_send(());
        }
    }
}

/// The driver's end of a [`Done`].
struct Reports {
    done: Done,
    all_in: mpsc::Receiver<()>,
}

impl Reports {
    fn new() -> Self {
        let (sender, all_in) = mpsc::channel(1);
        Self { done: Done(Arc::new(Missing { reports: AtomicUsize::new(0), all_in: sender })), all_in }
    }

    /// From now on this many reports are missing.
    fn expect(&self, reports: usize) {
        self.done.0.reports.store(reports, Ordering::Release);
    }

    /// Waits until none is missing, and none came twice.
    async fn wait(&mut self) -> Result<(), JobError> {
        self.all_in.recv().await.ok_or(Gone)?;
        // One report too many has gone below zero.
        expect(0, self.done.0.reports.load(Ordering::Acquire) as u64)
    }
}

/// Runs one repetition of `job` for the peer `P`.
pub(crate) fn run<P: Peer>(job: Job) -> Result<Sample, JobError> {
    P::host(job.runtime, async move {
        let peer = P::start(job.runtime).await?;
        match job.workload {
            Workload::Ask => ask(&peer, job.count).await,
            Workload::Tell => tell(&peer, 1, job.count).await,
            Workload::FanIn => tell(&peer, FAN_IN_PRODUCERS, job.count).await,
            Workload::FanOut => fan_out(&peer, job.count).await,
            Workload::Ring => ring(&peer, job.count).await,
            Workload::Spawn => spawn(&peer, job.count).await,
            Workload::Savina(_) => Err(JobError::Unfit { workload: job.workload.name() }),
        }
    })?
}

async fn ask<P: Peer>(peer: &P, count: usize) -> Result<Sample, JobError> {
    let counter = peer.counter().await?;
    warm_up::<P>(&counter).await?;
    let mut clock = Clock::start(count / BATCH);
    for batch in 0..count / BATCH {
        for step in 0..BATCH {
            let value = (batch * BATCH + step) as u64;
            expect(value, P::ask(&counter, value).await?)?;
        }
        clock.lap();
    }
    Ok(clock.stop(count))
}

async fn tell<P: Peer>(peer: &P, producers: usize, count: usize) -> Result<Sample, JobError> {
    let counter = peer.counter().await?;
    warm_up::<P>(&counter).await?;
    let share = count / producers;
    let clock = Clock::start(0);
    let tasks: Vec<_> =
        (0..producers).map(|producer| tokio::spawn(produce::<P>(counter.clone(), producer, share))).collect();
    for task in tasks {
        task.await.map_err(JobError::Producer)??;
    }
    let sample = clock.stop(share * producers);
    expect((share * producers) as u64, P::ask(&counter, 0).await?)?;
    Ok(sample)
}

/// Sends `share` messages and asks once: the answer comes after all of them, because order holds per sender.
async fn produce<P: Peer>(counter: P::Counter, producer: usize, share: usize) -> Result<(), Gone> {
    for sequence in 0..share {
        P::tell(&counter, Note { producer: producer as u64, sequence: sequence as u64 }).await?;
        // Nothing ever holds this producer back, so on one thread the actor would not run before the last
        // message: let it have its turn as often as a full mailbox would.
        if P::MAILBOX == Mailbox::Unbounded && sequence % MAILBOX_MAX == MAILBOX_MAX - 1 {
            tokio::task::yield_now().await;
        }
    }
    P::ask(&counter, 0).await?;
    Ok(())
}

/// The subscribers are members without a successor: a token with no hops left is a message that is acknowledged.
async fn fan_out<P: Peer>(peer: &P, count: usize) -> Result<Sample, JobError> {
    let mut reports = Reports::new();
    let mut subscribers = Vec::with_capacity(FAN_OUT_SUBSCRIBERS);
    for index in 0..FAN_OUT_SUBSCRIBERS {
        // By turns of a ring's length, so that a library that splits the ring in halves splits these as well.
        subscribers.push(peer.member(index % RING_MEMBERS, reports.done.clone()).await?);
    }
    publish::<P>(&subscribers, &mut reports).await?;
    let rounds = count / FAN_OUT_SUBSCRIBERS;
    let clock = Clock::start(0);
    for _ in 0..rounds {
        publish::<P>(&subscribers, &mut reports).await?;
    }
    Ok(clock.stop(rounds * FAN_OUT_SUBSCRIBERS))
}

async fn publish<P: Peer>(subscribers: &[P::Member], reports: &mut Reports) -> Result<(), JobError> {
    reports.expect(subscribers.len());
    for subscriber in subscribers {
        P::hop(subscriber, 0).await?;
    }
    reports.wait().await
}

async fn ring<P: Peer>(peer: &P, hops: usize) -> Result<Sample, JobError> {
    let mut reports = Reports::new();
    let mut members = Vec::with_capacity(RING_MEMBERS);
    for index in 0..RING_MEMBERS {
        members.push(peer.member(index, reports.done.clone()).await?);
    }
    for index in 0..RING_MEMBERS {
        reports.expect(1);
        P::link(&members[index], members[(index + 1) % RING_MEMBERS].clone()).await?;
        reports.wait().await?;
    }
    // One lap to warm up; then the driver's hop is the first and the rest are between members.
    pass::<P>(&members[0], RING_MEMBERS, &mut reports).await?;
    let clock = Clock::start(0);
    pass::<P>(&members[0], hops - 1, &mut reports).await?;
    Ok(clock.stop(hops))
}

async fn pass<P: Peer>(first: &P::Member, left: usize, reports: &mut Reports) -> Result<(), JobError> {
    reports.expect(1);
    P::hop(first, left as u64).await?;
    reports.wait().await
}

async fn spawn<P: Peer>(peer: &P, count: usize) -> Result<Sample, JobError> {
    let mut actors = Vec::with_capacity(count);
    let before = machine::resident_bytes().map_err(JobError::Memory)?;
    let mut clock = Clock::start(count / BATCH);
    for batch in 0..count / BATCH {
        for step in 0..BATCH {
            let value = (batch * BATCH + step) as u64;
            let actor = peer.counter().await?;
            expect(value, P::ask(&actor, value).await?)?;
            actors.push(actor);
        }
        clock.lap();
    }
    let mut sample = clock.stop(count);
    let after = machine::resident_bytes().map_err(JobError::Memory)?;
    sample.resident_bytes = Some(after.saturating_sub(before));
    Ok(sample)
}

async fn warm_up<P: Peer>(counter: &P::Counter) -> Result<(), JobError> {
    for value in 0..WARM_UP_ASKS {
        expect(value, P::ask(counter, value).await?)?;
    }
    Ok(())
}

/// Checks an answer.
pub(crate) fn expect(expected: u64, got: u64) -> Result<(), JobError> {
    if expected == got { Ok(()) } else { Err(JobError::Answer { expected, got }) }
}

/// The time since the start, and the time per operation of each batch.
pub(crate) struct Clock {
    started: Instant,
    lap: Instant,
    batches_ns: Vec<f64>,
}

impl Clock {
    /// Starts, with room for this many batches.
    pub(crate) fn start(laps: usize) -> Self {
        let batches_ns = Vec::with_capacity(laps);
        let now = Instant::now();
        Self { started: now, lap: now, batches_ns }
    }

    /// Ends a batch.
    fn lap(&mut self) {
        let now = Instant::now();
        self.batches_ns.push((now - self.lap).as_nanos() as f64 / BATCH as f64);
        self.lap = now;
    }

    /// Ends the measurement of this many operations.
    pub(crate) fn stop(self, count: usize) -> Sample {
        Sample {
            elapsed_ns: self.started.elapsed().as_nanos() as f64,
            count,
            batches_ns: self.batches_ns,
            resident_bytes: None,
            near_bytes: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Runtime, Scale};

    #[test]
    fn an_unexpected_answer_fails() {
        assert!(expect(3, 3).is_ok());
        let error = expect(3, 4).expect_err("4 is not 3").to_string();
        assert_eq!(error, "the actor answered 4, expected 3: messages were lost or repeated");
    }

    #[test]
    fn asks_and_spawns_come_in_whole_batches() {
        for scale in [Scale::Full, Scale::Quick] {
            assert_eq!(Workload::Ask.count(scale) % BATCH, 0);
            assert_eq!(Workload::Spawn.count(scale) % BATCH, 0);
        }
    }

    #[test]
    fn every_peer_does_every_workload_on_both_runtimes() {
        for row in crate::peers::REGISTRY {
            if let Some(missing) = row.missing() {
                println!("{}: skipped: {missing}", row.name);
                continue;
            }
            for runtime in [Runtime::OneThread, Runtime::TwoWorkers] {
                for (workload, count) in [
                    (Workload::Ask, 200),
                    (Workload::Tell, 4_000),
                    (Workload::FanIn, 4_000),
                    (Workload::FanOut, 20_000),
                    (Workload::Ring, 3_000),
                    (Workload::Spawn, 200),
                ] {
                    let sample = row
                        .run(Job { workload, runtime, count })
                        .unwrap_or_else(|error| panic!("{} {workload:?} {runtime:?}: {error}", row.name));
                    assert_eq!(sample.count, count);
                    assert!(sample.elapsed_ns > 0.0);
                    let batches = matches!(workload, Workload::Ask | Workload::Spawn);
                    assert_eq!(sample.batches_ns.len(), if batches { 2 } else { 0 });
                    assert_eq!(sample.resident_bytes.is_some(), workload == Workload::Spawn);
                }
            }
        }
    }
}
