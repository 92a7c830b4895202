//! The far process: this program once more, or another one, for as long as one repetition lasts.
//!
//! It prints one line when it can be reached, a JSON array of its addresses, and ends when its standard input does;
//! so none is left over, however the near process ends.

use std::{
    env,
    ffi::OsStr,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    error::JobError,
    remote::{FAR_COMMAND, question::Task},
};

/// The far process, as the near one sees it. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Far {
    child: Child,
    addresses: Vec<String>,
    directory: PathBuf,
}

impl Far {
    /// Starts this program as the far side of `peer` and waits until it can be reached.
    pub(crate) fn start(peer: &str, task: &Task, directory: &Path) -> Result<Self, JobError> {
        let program = env::current_exe().map_err(JobError::ChildStart)?;
        let mut command = Command::new(program);
        command.arg(FAR_COMMAND).args(arguments(peer, task)).arg("--directory").arg(directory);
        Self::start_as(&mut command, directory)
    }

    /// Starts another program as the far side.
    pub(crate) fn start_as(command: &mut Command, directory: &Path) -> Result<Self, JobError> {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(JobError::ChildStart)?;
        let mut far = Self { child, addresses: Vec::new(), directory: directory.to_owned() };
        let mut line = String::new();
        if let Some(output) = far.child.stdout.as_mut() {
            BufReader::new(output).read_line(&mut line).map_err(JobError::ChildStart)?;
        }
        if line.is_empty() {
            return Err(JobError::FarEnd);
        }
        far.addresses = serde_json::from_str(&line).map_err(JobError::ChildOutput)?;
        Ok(far)
    }

    /// Where it is reached; one address for each server.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// What both processes may use for sockets and keys.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a task is told to the far and the near process.
pub(crate) fn arguments(peer: &str, task: &Task) -> Vec<String> {
    let Task { point, runtime, scale, count } = task;
    [
        "--peer",
        peer,
        "--question",
        &point.question.name(),
        "--transport",
        point.transport.name(),
        "--runtime",
        runtime.flag(),
        "--scale",
        scale.flag(),
        "--count",
        &count.to_string(),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Says, in the far process, where it can be reached.
pub(crate) fn announce(addresses: &[String]) -> Result<(), JobError> {
    let line = serde_json::to_string(addresses).map_err(JobError::ChildOutput)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(JobError::Link)
}

/// Blocks, in the far process, until the near one is done with it.
pub(crate) fn wait_for_the_end() {
    // A broken pipe is an end as well.
    let _ = io::stdin().lock().read_to_end(&mut Vec::new());
}

/// Whether a program is on the path.
pub(crate) fn on_path(path: &OsStr, program: &str) -> bool {
    env::split_paths(path).any(|directory| directory.join(program).is_file())
}
