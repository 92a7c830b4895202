//! A run: every peer takes its turn inside every repetition of every workload.
//!
//! `spawn` is measured in a fresh process per repetition, since a peer's memory is what it adds to an allocator
//! that nobody has used before.

use std::{
    env,
    process::{Command, Stdio},
};

use crate::{
    error::{BenchError, JobError},
    figure::{self, Figure, Measure},
    peers::Row,
    workload::{Job, Runtime, Sample, Scale, Workload},
};

/// The hidden subcommand that takes one spawn measurement and prints it.
pub(crate) const CHILD_COMMAND: &str = "spawn-child";

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) workloads: Vec<Workload>,
    pub(crate) peers: Vec<&'static Row>,
    /// Peers that were asked for and cannot be measured on this machine.
    pub(crate) skipped: Vec<&'static Row>,
    pub(crate) runtimes: Vec<Runtime>,
    pub(crate) repetitions: usize,
    pub(crate) scale: Scale,
}

/// Measures everything in the plan. Progress goes to stderr.
///
/// # Errors
/// At the first measurement that fails: half a comparison is none.
pub(crate) fn measure(plan: &Plan) -> Result<Vec<Figure>, BenchError> {
    let mut figures = Vec::new();
    for &runtime in &plan.runtimes {
        for &workload in &plan.workloads {
            let job = Job { workload, runtime, count: workload.count(plan.scale) };
            figures.extend(compare(plan, job)?);
        }
    }
    Ok(figures)
}

fn compare(plan: &Plan, job: Job) -> Result<Vec<Figure>, BenchError> {
    let rows: Vec<&'static Row> = plan.peers.iter().copied().filter(|row| row.does(job.workload)).collect();
    let mut samples: Vec<Vec<Sample>> = vec![Vec::with_capacity(plan.repetitions); rows.len()];
    for repetition in 0..plan.repetitions {
        eprint!(
            "{} on {}, repetition {}/{}:",
            job.workload.name(),
            job.runtime.label(),
            repetition + 1,
            plan.repetitions
        );
        for turn in 0..rows.len() {
            // Nobody always runs first, or always after the same neighbour's cache.
            let index = (turn + repetition) % rows.len();
            let row = rows[index];
            eprint!(" {}", row.name);
            let sample = repeat(row, job).map_err(|source| BenchError::Job {
                workload: job.workload.name(),
                runtime: job.runtime.label(),
                peer: row.name,
                source,
            })?;
            eprint!(" {} ns", figure::readable(sample.each_ns()));
            samples[index].push(sample);
        }
        eprintln!();
    }
    let measures = Measure::of(job.workload);
    Ok(rows
        .iter()
        .zip(&samples)
        .flat_map(|(row, samples)| figure::figures(&row.subject(), &measures, job.runtime, samples))
        .collect())
}

fn repeat(row: &Row, job: Job) -> Result<Sample, JobError> {
    if job.workload == Workload::Spawn { in_child(row, job) } else { row.run(job) }
}

fn in_child(row: &Row, job: Job) -> Result<Sample, JobError> {
    let program = env::current_exe().map_err(JobError::ChildStart)?;
    let child = Command::new(program)
        .args([CHILD_COMMAND, "--peer", row.name, "--runtime", job.runtime.flag()])
        .args(["--count", &job.count.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(JobError::ChildStart)?;
    if !child.status.success() {
        return Err(JobError::ChildEnd(child.status));
    }
    serde_json::from_slice(&child.stdout).map_err(JobError::ChildOutput)
}
