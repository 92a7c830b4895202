//! Who a process is: its pid alone is reused, so its start time and the boot belong to its name.
//!
//! Reads `/proc` only; holds no state.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// The variable by which the descendants of a shim's child are recognised.
pub(crate) const MARKER: &str = "ODEON_SHIM";

/// A process of one boot of one host: unique, unlike a pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The process id.
    pub pid: i32,
    /// Its start, in clock ticks since boot.
    pub start: u64,
    /// The kernel's id of that boot.
    pub boot: String,
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) dead: bool,
    pub(crate) parent: i32,
    pub(crate) start: u64,
}

impl ProcessId {
    /// The identity of the running process `pid`, or `None` if there is none (a zombie is none).
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let stat = stat(pid).filter(|stat| !stat.dead)?;
        Some(Self { pid, start: stat.start, boot: boot_id()? })
    }

    /// Whether exactly this process still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now == *self)
    }
}

/// The kernel's id of this boot.
pub(crate) fn boot_id() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|text| text.trim().to_owned())
}

/// The state of process `pid`, or `None` if it is gone.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// All processes whose parent is `parent`.
pub(crate) fn children_of(parent: i32) -> Vec<i32> {
    pids().filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == parent)).collect()
}

/// Kills every process whose environment carries `marker`; answers how many were found alive.
///
/// A process that has wiped its environment is not found.
pub(crate) fn kill_marked(marker: &str) -> usize {
    let entry = format!("{MARKER}={marker}");
    let mut found = 0;
    for pid in pids() {
        let Some(pid) = Pid::from_raw(pid) else { continue };
        // The descriptor comes first: it pins the process whose environment is read next.
        let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
            continue;
        };
        let environ = Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join("environ");
        let Ok(environ) = fs::read(environ) else { continue };
        if environ.split(|byte| *byte == 0).any(|variable| variable == entry.as_bytes())
            && pidfd_send_signal(&pidfd, Signal::KILL).is_ok()
        {
            found += 1;
        }
    }
    found
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The name (field 2) stands in parentheses and may itself hold spaces and parentheses: count from the last.
fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let after_name = bytes.iter().rposition(|byte| *byte == b')')? + 1;
    let text = str::from_utf8(&bytes[after_name..]).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    // Field 22 of the line is field 19 from the state on; two are read.
    let start = fields.nth(17)?.parse().ok()?;
    Some(Stat { dead: matches!(state, "Z" | "X"), parent, start })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "1 0 0 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 9 9";

    #[test]
    fn stat_is_parsed_whatever_the_name_holds() {
        let line = format!("42 (a) R (b) S {LINE}");
        let expected = Stat { dead: false, parent: 1, start: 777 };
        assert_eq!(parse_stat(line.as_bytes()), Some(expected));
        let zombie = format!("42 (x) Z {LINE}");
        assert!(parse_stat(zombie.as_bytes()).is_some_and(|stat| stat.dead));
        assert_eq!(parse_stat(b"42 (x) S 1 2"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn this_process_is_alive_and_another_start_is_not_it() {
        let pid = i32::try_from(std::process::id()).expect("a pid fits");
        let here = ProcessId::of(pid).expect("this process runs");
        assert!(here.is_alive());
        assert!(!ProcessId { start: here.start + 1, ..here.clone() }.is_alive());
        assert!(!ProcessId { boot: "another".to_owned(), ..here }.is_alive());
    }
}
