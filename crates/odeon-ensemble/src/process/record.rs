//! The two files in a child's directory that tell the next supervisor what it finds.
//!
//! Written by the shim alone, each whole: beside, synced, renamed. Read by supervisors.

#![expect(
    clippy::disallowed_methods,
    reason = "this module owns shim.json and exit.json, and their time stamps"
)]

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::identity::ProcessId;

/// How many of the last lines of output an exit record carries.
pub const LAST_LINES_MAX: usize = 20;
/// Longest of those lines, in bytes; the rest of a longer one is in the log.
pub(crate) const LAST_LINE_BYTES_MAX: usize = 1024;
/// Longest record that is read back: twenty lines of replacement characters and the rest fit well.
const RECORD_BYTES_MAX: u64 = 256 * 1024;

const STATE_FILE: &str = "shim.json";
const EXIT_FILE: &str = "exit.json";
const LOCK_FILE: &str = "shim.lock";

/// Who runs in a directory: `shim.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimState {
    /// The server's id.
    pub id: String,
    /// The generation of the specification.
    pub generation: u64,
    /// The shim's process id.
    pub shim_pid: i32,
    /// The shim's start, in clock ticks since boot.
    pub shim_start: u64,
    /// The child's process id; also its process group.
    pub child_pid: i32,
    /// The child's start, in clock ticks since boot.
    pub child_start: u64,
    /// The boot to which the pids belong.
    pub boot: String,
    /// When the child was started, in milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// The shim's control socket.
    pub control: PathBuf,
    /// Where the log is.
    pub log_dir: PathBuf,
    /// The fingerprint of the specification.
    pub spec: String,
}

impl ShimState {
    /// The shim's identity.
    #[must_use]
    pub fn shim(&self) -> ProcessId {
        ProcessId { pid: self.shim_pid, start: self.shim_start, boot: self.boot.clone() }
    }

    /// The child's identity.
    #[must_use]
    pub fn child(&self) -> ProcessId {
        ProcessId { pid: self.child_pid, start: self.child_start, boot: self.boot.clone() }
    }

    /// What the child's environment carries as [`super::identity::MARKER`].
    pub(crate) fn marker(&self) -> String {
        marker(self.shim_pid, self.shim_start)
    }
}

/// How a child ended: `exit.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The child's process id.
    pub pid: i32,
    /// The generation of its specification.
    pub generation: u64,
    /// How it ended.
    #[serde(flatten)]
    pub ended_by: EndedBy,
    /// When it ended, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Its last lines of output, at most [`LAST_LINES_MAX`], each cut at 1 KiB.
    pub last_lines: Vec<String>,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndedBy {
    /// It exited with this code.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
    /// Its shim was killed, and the child with it; how it would have ended nobody knows.
    ShimLost(()),
}

/// The marker of a shim's descendants.
pub(crate) fn marker(shim_pid: i32, shim_start: u64) -> String {
    format!("{shim_pid}-{shim_start}")
}

/// Milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The path of the lock that the living shim of `dir` holds.
pub(crate) fn lock_path(dir: &Path) -> PathBuf {
    dir.join(LOCK_FILE)
}

pub(crate) fn write_state(dir: &Path, state: &ShimState) -> io::Result<()> {
    write(&dir.join(STATE_FILE), state)
}

pub(crate) fn read_state(dir: &Path) -> io::Result<Option<ShimState>> {
    read(&dir.join(STATE_FILE))
}

pub(crate) fn write_exit(dir: &Path, record: &ExitRecord) -> io::Result<()> {
    write(&dir.join(EXIT_FILE), record)
}

pub(crate) fn read_exit(dir: &Path) -> io::Result<Option<ExitRecord>> {
    read(&dir.join(EXIT_FILE))
}

/// Removes the exit record of an earlier child.
pub(crate) fn forget_exit(dir: &Path) -> io::Result<()> {
    remove(&dir.join(EXIT_FILE))
}

/// Removes what only a living shim needs: its state file and its control socket.
pub(crate) fn forget_shim(dir: &Path, control: &Path) -> io::Result<()> {
    remove(control)?;
    remove(&dir.join(STATE_FILE))
}

/// Removes a file that may be absent.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    let mut file = File::create(&beside)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    // Without the sync a power failure can leave an empty file under the final name.
    file.sync_data()?;
    fs::rename(&beside, path)
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(RECORD_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// The last lines of a stream of output, within [`LAST_LINES_MAX`] and 1 KiB each.
#[derive(Debug, Default)]
pub(crate) struct LastLines {
    lines: VecDeque<Vec<u8>>,
    open: Option<Vec<u8>>,
}

impl LastLines {
    /// Takes more of the output.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let open = self.open.get_or_insert_default();
            let room = LAST_LINE_BYTES_MAX.saturating_sub(open.len());
            open.extend_from_slice(&text[..text.len().min(room)]);
            if part.ends_with(b"\n") {
                self.close();
            }
        }
    }

    /// The lines, the unfinished one included; bytes that are no UTF-8 are replaced.
    pub(crate) fn lines(&self) -> Vec<String> {
        let all: Vec<&Vec<u8>> = self.lines.iter().chain(&self.open).collect();
        let skip = all.len().saturating_sub(LAST_LINES_MAX);
        all.into_iter().skip(skip).map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    fn close(&mut self) {
        if self.lines.len() == LAST_LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.extend(self.open.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_record_reads_as_documented() {
        let record = ExitRecord {
            pid: 7,
            generation: 2,
            ended_by: EndedBy::Signal(9),
            at_ms: 5,
            last_lines: vec!["x".to_owned()],
        };
        let text = serde_json::to_string(&record).expect("serialises");
        assert_eq!(text, r#"{"pid":7,"generation":2,"signal":9,"at_ms":5,"last_lines":["x"]}"#);
        for ended_by in [EndedBy::Code(3), EndedBy::Signal(9), EndedBy::ShimLost(())] {
            let record = ExitRecord { ended_by, ..record.clone() };
            let text = serde_json::to_string(&record).expect("serialises");
            assert_eq!(serde_json::from_str::<ExitRecord>(&text).expect("parses"), record);
        }
    }

    #[test]
    fn records_are_replaced_whole_and_may_be_absent() {
        let dir = tempfile::tempdir().expect("temporary directory");
        assert_eq!(read_exit(dir.path()).expect("no file is no error"), None);
        let record = ExitRecord {
            pid: 1,
            generation: 0,
            ended_by: EndedBy::Code(0),
            at_ms: 1,
            last_lines: Vec::new(),
        };
        write_exit(dir.path(), &record).expect("writes");
        write_exit(dir.path(), &ExitRecord { pid: 2, ..record.clone() }).expect("replaces");
        let read_back = read_exit(dir.path()).expect("reads").map(|record| record.pid);
        assert_eq!(read_back, Some(2));
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1);
    }

    #[test]
    fn last_lines_are_bounded_in_number_and_length() {
        let mut last = LastLines::default();
        for n in 0..LAST_LINES_MAX {
            last.push(format!("line {n}\n").as_bytes());
        }
        assert_eq!(last.lines().len(), LAST_LINES_MAX);
        assert_eq!(last.lines()[0], "line 0");
        last.push(b"one ");
        last.push(b"more");
        assert_eq!(last.lines().len(), LAST_LINES_MAX);
        assert_eq!(last.lines()[0], "line 1");
        assert_eq!(last.lines()[LAST_LINES_MAX - 1], "one more");
        last.push(&[b'x'; LAST_LINE_BYTES_MAX]);
        assert_eq!(last.lines()[LAST_LINES_MAX - 1].len(), LAST_LINE_BYTES_MAX);
        last.push(b"\n\n");
        assert_eq!(last.lines()[LAST_LINES_MAX - 1], "");
    }
}
