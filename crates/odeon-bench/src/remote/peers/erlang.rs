//! `erlang`: two nodes with Erlang's own distribution, in `erlang/remote.erl`. No `epmd`: the port is agreed upon
//! beforehand. Threads are as in the local workloads: one scheduler, or two.

use std::{
    env,
    ffi::OsStr,
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::{
    error::JobError,
    peers::Kind,
    remote::{
        far::{Far, on_path},
        peers::{Row, Sides, does_basics_over_tcp},
        question::Task,
    },
    workload::{Runtime, Sample},
};

/// The peer's row.
pub(crate) const ROW: Row = Row {
    name: "erlang",
    kind: Kind::Actors,
    share: 4,
    does: does_basics_over_tcp,
    missing: || missing_on(&env::var_os("PATH").unwrap_or_default()),
    sides: Sides::Others(measure),
};

const SOURCE: &str = include_str!("../../../erlang/remote.erl");

/// The far node's name.
const FAR: &str = "far@127.0.0.1";

fn missing_on(path: &OsStr) -> Option<String> {
    let lacks = ["erl", "erlc"].into_iter().find(|program| !on_path(path, program))?;
    Some(format!("no `{lacks}` on PATH (apt-get install erlang-base)"))
}

fn measure(task: &Task) -> Result<Sample, JobError> {
    let directory = tempfile::tempdir().map_err(JobError::Directory)?;
    fs::write(directory.path().join("remote.beam"), compiled()?).map_err(JobError::Directory)?;
    // Free at this moment; it is the far node's in the next.
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(JobError::Link)?
        .port();
    let far = Far::start_as(
        node(task, FAR, port, directory.path()).args(["-run", "remote", "far"]),
        directory.path(),
    )?;
    let output = node(task, "near@127.0.0.1", port, directory.path())
        .args(["-dist_listen", "false", "-run", "remote", "near"])
        .args([&task.point.question.name(), &task.count.to_string(), &far.addresses()[0]])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(JobError::ChildStart)?;
    if !output.status.success() {
        return Err(JobError::ChildEnd(output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(JobError::ChildOutput)
}

/// A node in that directory, listening on loopback alone.
fn node(task: &Task, name: &str, port: u16, directory: &Path) -> Command {
    let schedulers = match task.runtime {
        Runtime::OneThread => "1:1",
        Runtime::TwoWorkers => "2:2",
    };
    let mut command = Command::new("erl");
    command
        .current_dir(directory)
        // A cookie file would be made at home.
        .env("HOME", directory)
        .env("ERL_CRASH_DUMP_SECONDS", "0")
        .args(["-noinput", "+S", schedulers, "-name", name, "-setcookie", "bench", "-start_epmd", "false"])
        .args(["-erl_epmd_port", &port.to_string()])
        .args(["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]);
    command
}

/// The module's code. Two threads that come at once compile it twice, and get the same.
fn compiled() -> Result<&'static [u8], JobError> {
    static CODE: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(code) = CODE.get() {
        return Ok(code);
    }
    let directory = tempfile::tempdir().map_err(JobError::Directory)?;
    fs::write(directory.path().join("remote.erl"), SOURCE).map_err(JobError::Directory)?;
    let status = Command::new("erlc")
        .args(["-Werror", "remote.erl"])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .status()
        .map_err(JobError::ChildStart)?;
    if !status.success() {
        return Err(JobError::ChildEnd(status));
    }
    let code = fs::read(directory.path().join("remote.beam")).map_err(JobError::Directory)?;
    Ok(CODE.get_or_init(|| code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path();
        for name in ["erl", "erlc"] {
            let text = format!("no `{name}` on PATH (apt-get install erlang-base)");
            assert_eq!(missing_on(path.as_os_str()), Some(text));
            fs::write(path.join(name), "").expect("the directory is ours");
        }
        assert_eq!(missing_on(path.as_os_str()), None);
    }
}
