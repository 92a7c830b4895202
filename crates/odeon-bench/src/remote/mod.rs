//! Servers in two processes: the same questions to Odeon, its peers, and bare sockets.
//!
//! Each repetition has two fresh processes, the *near* one, which asks and measures, and the *far* one, which it
//! starts and ends. Both are this program with hidden subcommands, but for peers in other languages. What is asked
//! is in `question.rs`, the loops are in `drive.rs`; a peer is one file in `peers/` and one row of
//! [`peers::REGISTRY`].

mod cli;
pub(crate) mod drive;
pub(crate) mod far;
pub(crate) mod peers;
pub(crate) mod question;

use std::{
    env,
    process::{Command, Stdio},
};

pub(crate) use cli::{RemoteArgs, SideArgs, far_side, near_side, remote};

use crate::{
    error::{BenchError, JobError},
    figure::{self, Figure, Measure, Subject},
    remote::{
        peers::Row,
        question::{Point, Task},
    },
    workload::{Runtime, Sample, Scale},
};

/// The hidden subcommand that serves.
pub(crate) const FAR_COMMAND: &str = "remote-far";

/// The hidden subcommand that takes one measurement and prints it.
pub(crate) const NEAR_COMMAND: &str = "remote-near";

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    points: Vec<Point>,
    peers: Vec<&'static Row>,
    skipped: Vec<(&'static Row, String)>,
    runtimes: Vec<Runtime>,
    repetitions: usize,
    scale: Scale,
}

/// Measures everything in the plan. Progress goes to stderr.
///
/// # Errors
/// At the first measurement that fails: half a comparison is none.
fn measure(plan: &Plan) -> Result<Vec<Figure>, BenchError> {
    let mut figures = Vec::new();
    for &runtime in &plan.runtimes {
        for &point in &plan.points {
            figures.extend(compare(plan, point, runtime)?);
        }
    }
    Ok(figures)
}

fn compare(plan: &Plan, point: Point, runtime: Runtime) -> Result<Vec<Figure>, BenchError> {
    let rows: Vec<&'static Row> = plan.peers.iter().copied().filter(|row| row.does(point)).collect();
    let mut samples: Vec<Vec<Sample>> = vec![Vec::with_capacity(plan.repetitions); rows.len()];
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    for repetition in 0..plan.repetitions {
        eprint!("{point} on {}, repetition {}/{}:", runtime.label(), repetition + 1, plan.repetitions);
        for turn in 0..rows.len() {
            // Nobody always runs first, or always after the same neighbour's cache.
            let index = (turn + repetition) % rows.len();
            let row = rows[index];
            eprint!(" {}", row.name);
            let full = point.question.count(plan.scale);
            let least = point.question.count(Scale::Smoke);
            let task = Task { point, runtime, scale: plan.scale, count: (full / row.share).max(least) };
            let sample = repeat(row, &task).map_err(|source| BenchError::Remote {
                point: point.to_string(),
                runtime: runtime.label(),
                peer: row.name,
                source,
            })?;
            eprint!(" {} ns", figure::readable(sample.each_ns()));
            samples[index].push(sample);
        }
        eprintln!();
    }
    let measures = Measure::of_remote(point);
    Ok(rows
        .iter()
        .zip(&samples)
        .flat_map(|(row, samples)| {
            let subject = Subject { name: row.name, label: row.name.to_owned(), kind: row.kind };
            figure::figures(&subject, &measures, runtime, samples)
        })
        .collect())
}

fn repeat(row: &Row, task: &Task) -> Result<Sample, JobError> {
    if !row.is_ours() {
        return row.near(*task);
    }
    let program = env::current_exe().map_err(JobError::ChildStart)?;
    let near = Command::new(program)
        .arg(NEAR_COMMAND)
        .args(far::arguments(row.name, task))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(JobError::ChildStart)?;
    if !near.status.success() {
        return Err(JobError::ChildEnd(near.status));
    }
    serde_json::from_slice(&near.stdout).map_err(JobError::ChildOutput)
}
