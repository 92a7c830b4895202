//! `ractor-cluster` and `kameo`: in `clusters/`, a program of its own, since they switch features of their libraries on
//! that would slow the local peers down. It is looked for beside this program.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    error::JobError,
    peers::Kind,
    remote::{
        far::Far,
        peers::{Row, Sides},
        question::{Point, Question, Task, Transport},
    },
    workload::Sample,
};

/// The row of `ractor_cluster`.
pub(crate) const RACTOR: Row = Row {
    name: "ractor-cluster",
    kind: Kind::Actors,
    share: 10,
    does,
    missing,
    sides: Sides::Others(|task| measure("ractor-cluster", task)),
};

/// The row of kameo.
pub(crate) const KAMEO: Row = Row {
    name: "kameo",
    kind: Kind::Actors,
    share: 50,
    does,
    missing,
    sides: Sides::Others(|task| measure("kameo", task)),
};

const PROGRAM: &str = "odeon-bench-clusters";

fn does(point: Point) -> bool {
    point.transport == Transport::Tcp
        && matches!(point.question, Question::Ask | Question::AskMany | Question::Tell)
}

fn program() -> Option<PathBuf> {
    let found = env::current_exe().ok()?.with_file_name(PROGRAM);
    found.is_file().then_some(found)
}

fn missing() -> Option<String> {
    let build =
        "cargo build --release --manifest-path crates/odeon-bench/clusters/Cargo.toml --target-dir target";
    program().is_none().then(|| format!("no `{PROGRAM}` beside this program ({build})"))
}

fn measure(peer: &str, task: &Task) -> Result<Sample, JobError> {
    let program = program().ok_or(JobError::FarEnd)?;
    let directory = tempfile::tempdir().map_err(JobError::Directory)?;
    let runtime = task.runtime.flag();
    let far = Far::start_as(Command::new(&program).args(["far", peer, runtime]), directory.path())?;
    let near = Command::new(&program)
        .args(["near", peer, runtime, &task.point.question.name(), &task.count.to_string()])
        .arg(&far.addresses()[0])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(JobError::ChildStart)?;
    if !near.status.success() {
        return Err(JobError::ChildEnd(near.status));
    }
    serde_json::from_slice(&near.stdout).map_err(JobError::ChildOutput)
}
