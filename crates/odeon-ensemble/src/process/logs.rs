//! Reading a child's log: its last lines, and what comes after them.
//!
//! Holds nothing but an open file; never reads more than [`TAIL_BYTES_MAX`]. Works on the log of a running
//! child as well as on that of one long gone: only files are read, the shim is not asked.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::logfile;
use super::spec::LOG_FILES_MAX;

/// Most lines that are read back at once.
pub const TAIL_LINES_MAX: usize = 10_000;
/// Most bytes that are read back at once: what 10,000 lines of 400 bytes are.
pub const TAIL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many bytes one step of a [`Follow`] gives at most.
pub const FOLLOW_BYTES_MAX: usize = 64 * 1024;
/// How often a log that has ended is looked at again: what a person at a terminal takes for "at once".
const POLL: Duration = Duration::from_millis(100);
/// How often the next file is looked for when rotations get in between.
const ROTATION_TRIES_MAX: usize = 8;

const BLOCK_BYTES: usize = 64 * 1024;

/// The last `lines` lines of the log in `dir`, oldest first, across rotated files.
///
/// At most [`TAIL_LINES_MAX`] lines and [`TAIL_BYTES_MAX`] bytes; a line cut by that limit is left out. Bytes
/// that are no UTF-8 are replaced. A log that does not exist has no lines. Blocks on the disk.
///
/// # Errors
/// If a log file is there and cannot be read.
pub fn tail(dir: &Path, lines: usize) -> io::Result<Vec<String>> {
    Ok(tail_and_follow(dir, lines)?.0)
}

/// [`tail`], and a [`Follow`] that goes on exactly where those lines end. Blocks on the disk.
///
/// # Errors
/// If a log file is there and cannot be read.
pub fn tail_and_follow(dir: &Path, lines: usize) -> io::Result<(Vec<String>, Follow)> {
    let lines = lines.min(TAIL_LINES_MAX);
    let mut file = open(dir, 0)?;
    let mut end = 0;
    let mut backwards = Backwards { wanted: lines, newlines: 0, blocks: Vec::new(), bytes: 0 };
    let mut last_inode = None;
    if let Some(file) = &mut file {
        end = file.seek(SeekFrom::End(0))?;
        last_inode = Some(file.metadata()?.ino());
        backwards.take(file, end)?;
    }
    for index in 1..=LOG_FILES_MAX {
        if backwards.is_enough() {
            break;
        }
        let Some(older) = open(dir, index)? else { break };
        let meta = older.metadata()?;
        // A rotation under our hands moves the file that was just read one up.
        if last_inode != Some(meta.ino()) {
            backwards.take(&older, meta.len())?;
            last_inode = Some(meta.ino());
        }
    }
    Ok((backwards.lines(), Follow { dir: dir.to_owned(), file, offset: end }))
}

/// The bytes that are appended to a log, from rotation to rotation.
#[derive(Debug)]
pub struct Follow {
    dir: PathBuf,
    file: Option<File>,
    offset: u64,
}

impl Follow {
    /// The next bytes, at most [`FOLLOW_BYTES_MAX`]; never empty. Waits for as long as nothing is written.
    ///
    /// A file that was rotated away is read to its end before its successor. If so many rotations happened
    /// that it is gone, it goes on with the oldest file there is.
    ///
    /// # Errors
    /// If a log file is there and cannot be read.
    ///
    /// # Cancel safety
    /// Bytes are taken only when they are returned.
    pub async fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(bytes) = self.step()? {
                return Ok(bytes);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What is there now, or `None`.
    fn step(&mut self) -> io::Result<Option<Vec<u8>>> {
        // At most every file of the log is passed over, each empty, before one waits again.
        for _ in 0..=LOG_FILES_MAX {
            let Some(file) = &self.file else {
                self.file = open(&self.dir, 0)?;
                self.offset = 0;
                if self.file.is_none() {
                    return Ok(None);
                }
                continue;
            };
            if file.metadata()?.len() < self.offset {
                self.offset = 0;
            }
            // Asked before reading: what was written before the rotation is then read in any case.
            let next = self.successor(file)?;
            let bytes = read_at(file, self.offset)?;
            if !bytes.is_empty() {
                self.offset += bytes.len() as u64;
                return Ok(Some(bytes));
            }
            let Some(next) = next else { return Ok(None) };
            self.file = Some(next);
            self.offset = 0;
        }
        Ok(None)
    }

    /// The file that came after `file`, if `file` has been rotated away.
    fn successor(&self, file: &File) -> io::Result<Option<File>> {
        let inode = file.metadata()?.ino();
        for _ in 0..ROTATION_TRIES_MAX {
            let mut newer = None;
            for index in 0..=LOG_FILES_MAX {
                let Some(candidate) = open(&self.dir, index)? else {
                    // Only the first may be missing for a moment, between rotation and the next write.
                    if index == 0 {
                        continue;
                    }
                    break;
                };
                if candidate.metadata()?.ino() == inode {
                    break;
                }
                newer = Some((index, candidate));
            }
            let Some((index, newer)) = newer else {
                return Ok(None);
            };
            // A rotation during the search moves names; only a search without one is believed.
            let still =
                open(&self.dir, index)?.map(|file| file.metadata()).transpose()?.map(|meta| meta.ino());
            if still == Some(newer.metadata()?.ino()) {
                // If `file` was not found at all, rotation deleted it, and this is the oldest that is left.
                return Ok(Some(newer));
            }
        }
        Ok(None)
    }
}

/// Collects blocks from the end of a log towards its beginning.
struct Backwards {
    wanted: usize,
    newlines: usize,
    blocks: Vec<Vec<u8>>,
    bytes: usize,
}

impl Backwards {
    /// One newline more than lines are wanted: the one that ends the line before the first.
    fn is_enough(&self) -> bool {
        self.newlines > self.wanted || self.bytes >= TAIL_BYTES_MAX || self.wanted == 0
    }

    fn take(&mut self, file: &File, end: u64) -> io::Result<()> {
        let mut end = end;
        while end > 0 && !self.is_enough() {
            let begin = end.saturating_sub(BLOCK_BYTES as u64);
            let mut block = vec![0; usize::try_from(end - begin).unwrap_or(BLOCK_BYTES)];
            match file.read_exact_at(&mut block, begin) {
                Ok(()) => {}
                // Truncated meanwhile: what is gone is gone.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
            self.newlines += block.iter().filter(|byte| **byte == b'\n').count();
            self.bytes += block.len();
            self.blocks.push(block);
            end = begin;
        }
        Ok(())
    }

    fn lines(mut self) -> Vec<String> {
        if self.wanted == 0 {
            return Vec::new();
        }
        let cut = self.bytes >= TAIL_BYTES_MAX;
        self.blocks.reverse();
        let all = self.blocks.concat();
        let mut lines: Vec<&[u8]> = all.split(|byte| *byte == b'\n').collect();
        if all.is_empty() || all.ends_with(b"\n") {
            lines.pop();
        }
        let skip = lines.len().saturating_sub(self.wanted).max(usize::from(cut));
        lines.into_iter().skip(skip).map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }
}

fn open(dir: &Path, index: u32) -> io::Result<Option<File>> {
    match File::open(logfile::path(dir, index)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_at(mut file: &File, offset: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(FOLLOW_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::logfile::LogWriter;
    use super::*;

    fn write(log: &mut LogWriter, range: std::ops::Range<usize>) {
        for n in range {
            log.append(format!("line {n}\n").as_bytes());
        }
    }

    #[test]
    fn tail_reads_across_rotated_files() {
        let dir = tempfile::tempdir().expect("temporary directory");
        assert_eq!(tail(dir.path(), 5).expect("no log, no lines"), Vec::<String>::new());
        let mut log = LogWriter::new(dir.path(), 30, 5);
        write(&mut log, 0..12);
        let expected: Vec<String> = (3..12).map(|n| format!("line {n}")).collect();
        assert_eq!(tail(dir.path(), 9).expect("reads"), expected);
        assert_eq!(tail(dir.path(), 1).expect("reads"), ["line 11"]);
        assert_eq!(tail(dir.path(), 0).expect("reads"), Vec::<String>::new());
        assert_eq!(tail(dir.path(), 1000).expect("reads").len(), 12);
        log.append(b"unfinished");
        assert_eq!(tail(dir.path(), 2).expect("reads"), ["line 11", "unfinished"]);
    }

    #[test]
    fn tail_is_bounded_in_lines_and_bytes() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut log = LogWriter::new(dir.path(), u64::MAX, 1);
        write(&mut log, 0..TAIL_LINES_MAX + 1);
        assert_eq!(tail(dir.path(), TAIL_LINES_MAX).expect("reads").len(), TAIL_LINES_MAX);
        assert_eq!(tail(dir.path(), TAIL_LINES_MAX + 1).expect("reads").len(), TAIL_LINES_MAX);
        log.append(&vec![b'x'; 2 * TAIL_BYTES_MAX]);
        log.append(b"\nlast\n");
        assert_eq!(tail(dir.path(), 2).expect("reads"), ["last"]);
    }

    #[test]
    fn follow_goes_on_where_tail_ended_and_through_rotations() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut log = LogWriter::new(dir.path(), 40, 50);
        write(&mut log, 0..3);
        let (lines, mut follow) = tail_and_follow(dir.path(), 10).expect("reads");
        assert_eq!(lines.len(), 3);
        assert_eq!(follow.step().expect("reads"), None);
        write(&mut log, 3..60);
        let mut seen = Vec::new();
        while let Some(bytes) = follow.step().expect("reads") {
            seen.extend(bytes);
        }
        let expected: String = (3..60).map(|n| format!("line {n}\n")).collect();
        assert_eq!(String::from_utf8(seen).expect("text"), expected);
    }

    #[test]
    fn follow_survives_the_loss_of_its_file() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut log = LogWriter::new(dir.path(), 10, 2);
        write(&mut log, 0..1);
        let (_, mut follow) = tail_and_follow(dir.path(), 0).expect("reads");
        write(&mut log, 1..5);
        let mut seen = Vec::new();
        while let Some(bytes) = follow.step().expect("reads") {
            seen.extend(bytes);
        }
        assert_eq!(String::from_utf8(seen).expect("text"), "line 3\nline 4\n");
    }

    #[tokio::test]
    async fn follow_waits_for_a_log_that_is_not_there_yet() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (_, mut follow) = tail_and_follow(dir.path(), 10).expect("no log is no error");
        let mut log = LogWriter::new(dir.path(), 1000, 2);
        let write = async {
            tokio::task::yield_now().await;
            log.append(b"hello\n");
        };
        let (bytes, ()) = tokio::join!(follow.next(), write);
        assert_eq!(bytes.expect("reads"), b"hello\n");
    }
}
