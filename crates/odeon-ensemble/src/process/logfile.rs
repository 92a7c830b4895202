//! The log that a shim writes: `server.log`, rotated by size into `server.log.1`, `server.log.2`, …
//!
//! Bytes are written as they come, nothing is added to them; a file ends with a line's end, so that a line is
//! never in two files unless it is longer than [`LINE_BYTES_MAX`]. Trouble with the disk never reaches the
//! child: what cannot be written is dropped and counted, and the log says how much when it works again.

#![expect(clippy::disallowed_methods, reason = "this module owns the log files")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Longest line that is kept in one piece.
pub(crate) const LINE_BYTES_MAX: u64 = 64 * 1024;

const LOG_FILE: &str = "server.log";

/// The path of the `index`-th log file, 0 being the one that is written.
pub(crate) fn path(dir: &Path, index: u32) -> PathBuf {
    if index == 0 { dir.join(LOG_FILE) } else { dir.join(format!("{LOG_FILE}.{index}")) }
}

/// What to do with the next bytes.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Write this many of them.
    Write(usize),
    /// Rotate first.
    Rotate,
}

/// Where in a log file the writer is.
#[derive(Debug, Default, Clone, Copy)]
struct Position {
    /// Bytes in the file.
    size: u64,
    /// Bytes since the last line's end.
    line: u64,
}

impl Position {
    /// The next step for `bytes`, which are not empty. Pure: the decision about rotation.
    fn step(self, bytes: &[u8], size_max: u64) -> Step {
        let room = usize::try_from(size_max.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if bytes.len() <= room {
            return Step::Write(bytes.len());
        }
        if let Some(end) = bytes[..room].iter().rposition(|byte| *byte == b'\n') {
            return Step::Write(end + 1);
        }
        // The line under way does not fit: it starts a new file, or ends this one if it began here.
        if self.size > 0 && (self.line == 0 || self.line >= LINE_BYTES_MAX) {
            return Step::Rotate;
        }
        let cap = usize::try_from(LINE_BYTES_MAX.saturating_sub(self.line)).unwrap_or(usize::MAX).max(1);
        let line = &bytes[..bytes.len().min(cap)];
        Step::Write(line.iter().position(|byte| *byte == b'\n').map_or(line.len(), |end| end + 1))
    }

    fn advance(&mut self, written: &[u8]) {
        let length = written.len() as u64;
        self.size += length;
        self.line = match written.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => length - end as u64 - 1,
            None => self.line + length,
        };
    }
}

/// The writer of one log directory; the only one.
#[derive(Debug)]
pub(crate) struct LogWriter {
    dir: PathBuf,
    bytes_max: u64,
    files_max: u32,
    file: Option<File>,
    at: Position,
    dropped: u64,
    dropped_total: u64,
}

impl LogWriter {
    /// A writer for `dir`, which exists; the file is opened by the first write.
    pub(crate) fn new(dir: &Path, bytes_max: u64, files_max: u32) -> Self {
        Self {
            dir: dir.to_owned(),
            bytes_max,
            files_max,
            file: None,
            at: Position::default(),
            dropped: 0,
            dropped_total: 0,
        }
    }

    /// Bytes that the disk did not take, since the start.
    pub(crate) fn dropped_total(&self) -> u64 {
        self.dropped_total
    }

    /// Writes `bytes`, or drops and counts what the disk does not take.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if self.note_dropped().and_then(|()| self.write(&mut rest)).is_err() {
            self.dropped += rest.len() as u64;
            self.dropped_total += rest.len() as u64;
            // Opened anew for the next bytes: the file may have been replaced or moved meanwhile.
            self.file = None;
        }
    }

    /// Ends an unfinished last line, so that the next child's output begins on its own.
    pub(crate) fn finish(&mut self) {
        if self.at.line > 0 {
            self.append(b"\n");
        }
    }

    /// Says how much is missing, once there is room again.
    fn note_dropped(&mut self) -> io::Result<()> {
        if self.dropped == 0 {
            return Ok(());
        }
        self.open()?;
        let begin = if self.at.line > 0 { "\n" } else { "" };
        let note =
            format!("{begin}[odeon: {} bytes of output lost, the log could not be written]\n", self.dropped);
        self.write(&mut note.as_bytes())?;
        self.dropped = 0;
        Ok(())
    }

    /// Writes all of `rest`; on an error `rest` is what was not written.
    fn write(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            self.open()?;
            match self.at.step(rest, self.bytes_max) {
                Step::Rotate => self.rotate()?,
                Step::Write(count) => {
                    let Some(file) = &mut self.file else {
                        return Err(io::ErrorKind::NotFound.into());
                    };
                    match file.write(&rest[..count]) {
                        Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                        Ok(written) => {
                            self.at.advance(&rest[..written]);
                            *rest = &rest[written..];
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            let file = OpenOptions::new().create(true).append(true).open(path(&self.dir, 0))?;
            self.at.size = file.metadata()?.len();
            self.file = Some(file);
        }
        Ok(())
    }

    /// Moves every file one up, the last one out. A failure leaves the current file in use: nothing is written
    /// beyond its size, and the next bytes try again.
    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        if self.files_max <= 1 {
            super::record::remove(&path(&self.dir, 0))?;
        }
        for index in (0..self.files_max.saturating_sub(1)).rev() {
            match fs::rename(path(&self.dir, index), path(&self.dir, index + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.at = Position::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn step(size: u64, line: u64, bytes: &[u8], size_max: u64) -> Step {
        Position { size, line }.step(bytes, size_max)
    }

    #[test]
    fn rotation_happens_between_lines() {
        assert_eq!(step(0, 0, b"ab\n", 3), Step::Write(3));
        assert_eq!(step(0, 0, b"ab\ncd\n", 4), Step::Write(3));
        assert_eq!(step(3, 0, b"cd\n", 4), Step::Rotate);
        assert_eq!(step(3, 0, b"c", 4), Step::Write(1));
        // A line begun in this file ends in it, though the file is full.
        assert_eq!(step(4, 1, b"d\nef\n", 4), Step::Write(2));
        // A line longer than a whole file is written nevertheless, into a file of its own.
        assert_eq!(step(0, 0, b"abcdef\n", 4), Step::Write(7));
    }

    #[test]
    fn a_line_without_end_is_cut_at_the_limit() {
        let long = vec![b'x'; 2 * 64 * 1024];
        assert_eq!(step(0, 0, &long, 10), Step::Write(64 * 1024));
        assert_eq!(step(LINE_BYTES_MAX - 1, LINE_BYTES_MAX - 1, &long, 10), Step::Write(1));
        assert_eq!(step(LINE_BYTES_MAX, LINE_BYTES_MAX, &long, 10), Step::Rotate);
    }

    #[test]
    fn files_are_bounded_in_number_and_size_and_whole_lines_survive() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut log = LogWriter::new(dir.path(), 100, 3);
        for n in 0..100 {
            log.append(format!("line {n:03}\n").as_bytes());
        }
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 3);
        let mut all = String::new();
        for index in (0..3).rev() {
            let text = fs::read_to_string(path(dir.path(), index)).expect("reads");
            assert!(text.len() <= 100 && text.ends_with('\n'), "{} bytes", text.len());
            all.push_str(&text);
        }
        let lines: Vec<&str> = all.lines().collect();
        assert_eq!(lines.last(), Some(&"line 099"));
        assert_eq!(lines.first().copied(), Some(format!("line {:03}", 100 - lines.len()).as_str()));
    }

    #[test]
    fn a_full_disk_drops_counts_and_says_so_when_it_works_again() {
        let dir = tempfile::tempdir().expect("temporary directory");
        symlink("/dev/full", path(dir.path(), 0)).expect("links");
        let mut log = LogWriter::new(dir.path(), 1000, 2);
        log.append(b"lost\n");
        log.append(b"lost too\n");
        assert_eq!(log.dropped_total(), 14);
        fs::remove_file(path(dir.path(), 0)).expect("unlinks");
        log.append(b"kept\n");
        let text = fs::read_to_string(path(dir.path(), 0)).expect("reads");
        assert_eq!(text, "[odeon: 14 bytes of output lost, the log could not be written]\nkept\n");
        log.append(b"and on\n");
        assert_eq!(log.dropped_total(), 14);
        assert!(fs::read_to_string(path(dir.path(), 0)).expect("reads").ends_with("kept\nand on\n"));
    }

    #[test]
    fn a_rotation_that_fails_never_grows_the_file() {
        let dir = tempfile::tempdir().expect("temporary directory");
        // A directory that is not empty stands where the rotated file would go.
        fs::create_dir_all(path(dir.path(), 1).join("in the way")).expect("creates");
        let mut log = LogWriter::new(dir.path(), 10, 2);
        for _ in 0..100 {
            log.append(b"12345678\n");
        }
        assert_eq!(fs::metadata(path(dir.path(), 0)).expect("is there").len(), 9);
        assert_eq!(log.dropped_total(), 99 * 9);
    }

    #[test]
    fn the_last_line_is_ended() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut log = LogWriter::new(dir.path(), 100, 1);
        log.append(b"no end");
        log.finish();
        log.finish();
        assert_eq!(fs::read_to_string(path(dir.path(), 0)).expect("reads"), "no end\n");
    }
}
