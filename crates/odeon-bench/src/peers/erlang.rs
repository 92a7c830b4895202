//! `erlang`: another runtime altogether, in a child process: `erlang/bench.erl` has the workloads and the programs
//! again, message for message. It is compiled once per process and run anew for every repetition, which prints its
//! sample as the measuring process of `spawn` does; starting the virtual machine is not part of the time.
//!
//! One thread is one scheduler (`+S 1:1`), two workers are two. All else is as `erl` has it, busy waiting included.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use crate::{
    error::JobError,
    peers::{Kind, Mailbox, Row},
    workload::{Job, Runtime, Sample, Workload},
};

/// The peer's row: it implements no [`Peer`](crate::peers::Peer), because nothing of it is in this process.
pub(crate) const ROW: Row = Row {
    name: "erlang",
    kind: Kind::Actors,
    mailbox: Mailbox::Unbounded,
    basic: run,
    programs: Some(run),
    missing,
};

const SOURCE: &str = include_str!("../../erlang/bench.erl");

/// Processes that `erl` allows for when nobody says otherwise.
const PROCESSES_DEFAULT: usize = 262_144;

/// Says what is missing, if Erlang is not installed.
fn missing() -> Option<&'static str> {
    missing_on(&env::var_os("PATH").unwrap_or_default())
}

fn missing_on(path: &OsStr) -> Option<&'static str> {
    let found = |program| env::split_paths(path).any(|directory| directory.join(program).is_file());
    if !found("erl") {
        return Some("no `erl` on PATH (apt-get install erlang-base)");
    }
    (!found("erlc")).then_some("no `erlc` on PATH (apt-get install erlang-base)")
}

fn run(job: Job) -> Result<Sample, JobError> {
    measure(job.workload.name(), job)
}

fn measure(name: &str, job: Job) -> Result<Sample, JobError> {
    let directory = tempfile::tempdir().map_err(JobError::Directory)?;
    fs::write(directory.path().join("bench.beam"), compiled()?).map_err(JobError::Directory)?;
    let schedulers = match job.runtime {
        Runtime::OneThread => "1:1",
        Runtime::TwoWorkers => "2:2",
    };
    // Twice what is needed, or each new process would search for one of the last free places.
    let processes = if job.workload == Workload::Spawn { 2 * job.count } else { 0 };
    let mut command = Command::new("erl");
    command.args(["-noinput", "+S", schedulers, "+P", &processes.max(PROCESSES_DEFAULT).to_string()]).args([
        "-run",
        "bench",
        "main",
        name,
        &job.count.to_string(),
    ]);
    let output = finish(&mut command, directory.path())?;
    serde_json::from_slice(&output.stdout).map_err(JobError::ChildOutput)
}

/// The module's code. Two threads that come at once compile it twice, and get the same.
fn compiled() -> Result<&'static [u8], JobError> {
    static CODE: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(code) = CODE.get() {
        return Ok(code);
    }
    let directory = tempfile::tempdir().map_err(JobError::Directory)?;
    fs::write(directory.path().join("bench.erl"), SOURCE).map_err(JobError::Directory)?;
    finish(Command::new("erlc").args(["-Werror", "bench.erl"]), directory.path())?;
    let code = fs::read(directory.path().join("bench.beam")).map_err(JobError::Directory)?;
    Ok(CODE.get_or_init(|| code))
}

/// Runs a command in that directory. When it fails, what it printed is why.
fn finish(command: &mut Command, directory: &Path) -> Result<Output, JobError> {
    let output = command
        .current_dir(directory)
        // A crash is told on stderr; nobody wants a dump of it.
        .env("ERL_CRASH_DUMP_SECONDS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(JobError::ChildStart)?;
    if output.status.success() {
        return Ok(output);
    }
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
    Err(JobError::ChildEnd(output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path();
        let says = |name| {
            let text = format!("no `{name}` on PATH (apt-get install erlang-base)");
            assert_eq!(missing_on(path.as_os_str()), Some(text.as_str()));
            fs::write(path.join(name), "").expect("the directory is ours");
        };
        says("erl");
        says("erlc");
        assert_eq!(missing_on(path.as_os_str()), None);
    }

    #[test]
    fn a_workload_it_does_not_know_fails() {
        if let Some(missing) = missing() {
            println!("erlang: skipped: {missing}");
            return;
        }
        let job = Job { workload: Workload::Ring, runtime: Runtime::OneThread, count: 1_000 };
        assert!(matches!(measure("rings", job), Err(JobError::ChildEnd(_))));
    }
}
