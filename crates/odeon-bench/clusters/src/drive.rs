//! The loops of the near process, as in `remote/drive.rs` of the benchmarks.

use std::time::{Duration, Instant};

use crate::Failure;

const WARM_UP_ASKS: u64 = 200;
const OPEN_ASKS: usize = 1_000;
const KEPT_MAX: usize = 10_000;
/// Time for all tells to come.
const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes of one tell.
pub(crate) const TELL_BYTES: usize = 64;

/// A library that reaches an actor in another process; the actor counts tells and answers with their sum and the value.
pub(crate) trait Near: Clone + Send + Sync + 'static {
    /// Joins the far process and finds its counter.
    fn open(address: String) -> impl Future<Output = Result<Self, Failure>> + Send;
    /// Asks and waits for the answer.
    fn ask(&self, value: u64) -> impl Future<Output = Result<u64, Failure>> + Send;
    /// Sends 64 bytes.
    fn tell(&self, bytes: [u8; TELL_BYTES]) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What one repetition gave.
pub(crate) struct Sample {
    elapsed_ns: u128,
    count: usize,
    durations_ns: Vec<u128>,
}

pub(crate) fn print(sample: Sample) -> Result<(), Failure> {
    let durations: Vec<String> = sample.durations_ns.iter().map(ToString::to_string).collect();
    println!(
        "{{\"elapsed_ns\":{},\"count\":{},\"batches_ns\":[{}],\"resident_bytes\":null}}",
        sample.elapsed_ns,
        sample.count,
        durations.join(",")
    );
    Ok(())
}

pub(crate) async fn run<N: Near>(question: &str, count: usize, address: String) -> Result<Sample, Failure> {
    let near = N::open(address).await?;
    for value in 0..WARM_UP_ASKS {
        expect(value, near.ask(value).await?)?;
    }
    match question {
        "remote-ask" => tokio::spawn(async move { asks(&near, count, count).await }).await?,
        "remote-ask-1000" => many(near, count).await,
        "remote-tell" => tokio::spawn(async move { tells(&near, count).await }).await?,
        other => Err(format!("no question `{other}`").into()),
    }
}

/// One at a time; keeps the durations of every so manyth.
async fn asks<N: Near>(near: &N, count: usize, all: usize) -> Result<Sample, Failure> {
    let every = all.div_ceil(KEPT_MAX).max(1);
    let mut durations_ns = Vec::with_capacity(count / every + 1);
    let started = Instant::now();
    let mut since = started;
    for value in 0..count {
        expect(value as u64, near.ask(value as u64).await?)?;
        let now = Instant::now();
        if value % every == 0 {
            durations_ns.push((now - since).as_nanos());
        }
        since = now;
    }
    Ok(Sample { elapsed_ns: started.elapsed().as_nanos(), count, durations_ns })
}

async fn many<N: Near>(near: N, count: usize) -> Result<Sample, Failure> {
    let share = (count / OPEN_ASKS).max(1);
    let started = Instant::now();
    let askers: Vec<_> = (0..OPEN_ASKS)
        .map(|_| {
            let near = near.clone();
            tokio::spawn(async move { asks(&near, share, OPEN_ASKS * share).await })
        })
        .collect();
    let mut durations_ns = Vec::new();
    for asker in askers {
        durations_ns.extend(asker.await??.durations_ns);
    }
    Ok(Sample { elapsed_ns: started.elapsed().as_nanos(), count: OPEN_ASKS * share, durations_ns })
}

/// The answer to an ask after the last tell says how many have come. It is asked again while some are missing: not
/// every library keeps them in order.
async fn tells<N: Near>(near: &N, count: usize) -> Result<Sample, Failure> {
    let started = Instant::now();
    for sequence in 0..count {
        let mut bytes = [7; TELL_BYTES];
        bytes[..8].copy_from_slice(&(sequence as u64).to_le_bytes());
        near.tell(bytes).await?;
    }
    let mut come = near.ask(0).await?;
    while come < count as u64 && started.elapsed() < PATIENCE {
        come = near.ask(0).await?;
    }
    expect(count as u64, come)?;
    Ok(Sample { elapsed_ns: started.elapsed().as_nanos(), count, durations_ns: Vec::new() })
}

fn expect(expected: u64, got: u64) -> Result<(), Failure> {
    if expected == got { Ok(()) } else { Err(format!("answered {got}, expected {expected}").into()) }
}
