//! The audit log: who did what by which right, and who was refused.
//!
//! One line of JSON for each privileged act. Lines are gathered in memory and written by a task of their own, so no
//! actor waits for the disk; what is not written, for want of room, by the disk's fault or as one more refusal
//! of the same kind, is counted in the next line that is. Refusals have a file of their own, so that nobody can
//! push out what was allowed by being refused often, and the same refusal of the same peer is written when its
//! number is a power of two.
//!
//! Each file has one predecessor. A line is there after the process has ended; after a power cut the last may be
//! missing.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use odeon_core::seam::Disk;
use odeon_core::{ActorId, Encoding, Epoch, Origin, PATH_BYTES_MAX, ServerId, encode};
use serde::Serialize;
use tokio::sync::Notify;

use crate::secure::Transport;

/// Largest of the two generations of a file, in bytes: some three thousand acts.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Most lines that wait for the disk.
const QUEUE_LINES_MAX: usize = 1_024;

/// Most lines of acts kept in memory, and most of refusals, for whoever asks the server instead of reading the file.
const RECENT_LINES_MAX: usize = 256;

/// Most different refusals that are told apart within a minute.
const REFUSALS_TOLD_APART_MAX: usize = 256;

/// Where the acts of a server are written, in its directory.
pub const AUDIT_FILE: &str = "audit.jsonl";

/// Where the refusals are.
pub const AUDIT_REFUSED_FILE: &str = "audit-refused.jsonl";

/// One act, as it is written.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    pub(crate) unix_ms: u64,
    pub(crate) server: &'a ServerId,
    pub(crate) peer: &'a ServerId,
    pub(crate) peer_epoch: Epoch,
    pub(crate) transport: Transport,
    pub(crate) certificate: Option<&'a str>,
    pub(crate) actor: Option<&'a ActorId>,
    pub(crate) mark: Option<&'a str>,
    pub(crate) capability: &'a str,
    pub(crate) path: Option<&'a str>,
    pub(crate) allowed: bool,
    /// Where the right comes from, or why there is none.
    pub(crate) why: String,
    /// The ids of the blocks of the grant, from the admin's on.
    pub(crate) chain: &'a [String],
    /// The how manieth refusal of this kind it is, within a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) so_far: Option<u64>,
    /// How many acts since the line before are not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) left_out: Option<u64>,
}

/// The blocks of a grant, if the right comes from one.
pub(crate) fn chain_of(origin: &Origin) -> &[String] {
    match origin {
        Origin::Grant(ids) | Origin::Delegated(ids) => ids,
        _ => &[],
    }
}

/// The log of one server.
#[derive(Debug)]
pub(crate) struct Audit {
    disk: Arc<dyn Disk>,
    allowed: Option<PathBuf>,
    refused: Option<PathBuf>,
    gathered: Mutex<Gathered>,
    /// Held while files are written.
    writing: Mutex<Sizes>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Gathered {
    allowed: Lines,
    refused: Lines,
    /// Apart, so that nobody pushes out what was done by being refused often. Numbered in the order of all.
    acts: VecDeque<(u64, String)>,
    refusals: VecDeque<(u64, String)>,
    lines: u64,
    minute: u64,
    counts: BTreeMap<(ServerId, String), u64>,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: VecDeque<Line>,
    left_out: u64,
}

#[derive(Debug)]
struct Line {
    text: String,
    /// What it says was left out before it: should it be lost, so is that.
    left_out: u64,
}

/// How long the files are; unknown before the first write.
#[derive(Debug, Default)]
struct Sizes {
    allowed: Option<usize>,
    refused: Option<usize>,
    failures: u64,
}

impl Audit {
    /// A log in `directory`; without one, in memory alone.
    pub(crate) fn new(disk: Arc<dyn Disk>, directory: Option<&Path>) -> Self {
        let place = |name| directory.map(|directory| directory.join(name));
        let (allowed, refused) = (place(AUDIT_FILE), place(AUDIT_REFUSED_FILE));
        let (gathered, writing) = (Mutex::default(), Mutex::default());
        Self { disk, allowed, refused, gathered, writing, wake: Notify::new() }
    }

    /// Whether there is a file to write.
    pub(crate) fn has_file(&self) -> bool {
        self.allowed.is_some()
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a refusal; the how manieth of its kind it is, if it is to be added.
    pub(crate) fn count(
        &self,
        unix_ms: u64,
        peer: &ServerId,
        mark: Option<&str>,
        capability: &str,
    ) -> Option<u64> {
        self.gathered().count(unix_ms, peer, mark, capability)
    }

    /// Adds one act; a refusal only once it was counted. Does not wait.
    pub(crate) fn add(&self, mut entry: Entry<'_>) {
        entry.path = entry.path.map(|path| &path[..path.floor_char_boundary(PATH_BYTES_MAX)]);
        let mut gathered = self.gathered();
        let has_file = self.has_file();
        let lines = if entry.allowed { &mut gathered.allowed } else { &mut gathered.refused };
        if lines.waiting.len() >= QUEUE_LINES_MAX {
            lines.left_out += 1;
            return;
        }
        let left_out = std::mem::take(&mut lines.left_out);
        entry.left_out = Some(left_out).filter(|lines| *lines > 0);
        let mut bytes = Vec::new();
        if encode(&entry, Encoding::Json, &mut bytes).is_err() {
            return;
        }
        let line = String::from_utf8(bytes).unwrap_or_default();
        if has_file {
            lines.waiting.push_back(Line { text: line.clone(), left_out });
        }
        gathered.lines += 1;
        let number = gathered.lines;
        let recent = if entry.allowed { &mut gathered.acts } else { &mut gathered.refusals };
        recent.push_back((number, line));
        if recent.len() > RECENT_LINES_MAX {
            recent.pop_front();
        }
        drop(gathered);
        self.wake.notify_one();
    }

    /// The last lines, oldest first. However many refusals came last, half of the lines are left to acts.
    pub(crate) fn recent(&self, most: usize) -> Vec<String> {
        let most = most.min(RECENT_LINES_MAX);
        let Gathered { acts, refusals, .. } = &*self.gathered();
        let mut numbers: Vec<(u64, bool)> = acts.iter().map(|(number, _)| (*number, false)).collect();
        numbers.extend(refusals.iter().map(|(number, _)| (*number, true)));
        numbers.sort_unstable();
        let came_last = numbers.iter().rev().take(most).filter(|(_, is_refusal)| *is_refusal).count();
        let of_refusals = came_last.min(most - acts.len().min(most / 2));
        let of_acts = acts.len().min(most - of_refusals);
        let last = |lines: &VecDeque<(u64, String)>, many: usize| -> Vec<(u64, String)> {
            lines.iter().skip(lines.len() - many).cloned().collect()
        };
        let mut lines = last(acts, of_acts);
        lines.extend(last(refusals, of_refusals));
        lines.sort_unstable();
        lines.into_iter().map(|(_, line)| line).collect()
    }

    /// Ready when there may be something to write.
    pub(crate) async fn wait(&self) {
        self.wake.notified().await;
    }

    /// Writes what has gathered.
    pub(crate) fn flush(&self) {
        let mut sizes = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (allowed, refused) = {
            let mut gathered = self.gathered();
            (std::mem::take(&mut gathered.allowed.waiting), std::mem::take(&mut gathered.refused.waiting))
        };
        let Sizes { allowed: allowed_bytes, refused: refused_bytes, failures } = &mut *sizes;
        let of_acts = self.write(self.allowed.as_deref(), allowed_bytes, &allowed);
        let of_refusals = self.write(self.refused.as_deref(), refused_bytes, &refused);
        for (outcome, is_of_acts) in [(of_acts, true), (of_refusals, false)] {
            let Err((error, lost)) = outcome else { continue };
            let mut gathered = self.gathered();
            let lines = if is_of_acts { &mut gathered.allowed } else { &mut gathered.refused };
            lines.left_out += lost;
            drop(gathered);
            *failures += 1;
            if failures.is_power_of_two() {
                tracing::error!(%error, lost, failures, "the audit log cannot be written");
            }
        }
    }

    /// Writes lines at the end of a file; or what the disk said, and how many acts are not written for that.
    fn write(
        &self,
        path: Option<&Path>,
        size: &mut Option<usize>,
        lines: &VecDeque<Line>,
    ) -> Result<(), (io::Error, u64)> {
        let Some(path) = path else { return Ok(()) };
        for (written, line) in lines.iter().enumerate() {
            self.write_line(path, size, &line.text)
                .map_err(|error| (error, lines.iter().skip(written).map(|lost| 1 + lost.left_out).sum()))?;
        }
        Ok(())
    }

    fn write_line(&self, path: &Path, size: &mut Option<usize>, line: &str) -> io::Result<()> {
        let before = match *size {
            Some(size) => size,
            None => match self.disk.read(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                read => read?.len(),
            },
        };
        let before = if before > 0 && before + line.len() >= FILE_BYTES_MAX {
            let whole = self.disk.read(path)?;
            self.disk.replace(&path.with_extension("jsonl.1"), &whole)?;
            self.disk.replace(path, &[])?;
            0
        } else {
            before
        };
        // Unknown again if the write fails half way.
        *size = None;
        self.disk.append(path, format!("{line}\n").as_bytes())?;
        *size = Some(before + line.len() + 1);
        Ok(())
    }
}

impl Gathered {
    /// The how manieth refusal of its kind this is, if it is to be written.
    fn count(&mut self, unix_ms: u64, peer: &ServerId, mark: Option<&str>, capability: &str) -> Option<u64> {
        let minute = unix_ms / 60_000;
        if minute != self.minute {
            self.minute = minute;
            self.counts.clear();
        }
        let what = format!("{} {capability}", mark.unwrap_or_default());
        let key = (peer.clone(), what);
        if self.counts.len() >= REFUSALS_TOLD_APART_MAX && !self.counts.contains_key(&key) {
            self.refused.left_out += 1;
            return None;
        }
        let so_far = self.counts.entry(key).or_default();
        *so_far += 1;
        if so_far.is_power_of_two() {
            return Some(*so_far);
        }
        self.refused.left_out += 1;
        None
    }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "audit_recent_tests.rs"]
mod recent_tests;
