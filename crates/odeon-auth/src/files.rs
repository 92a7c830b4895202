//! Files of secrets and certificates: read under a limit, written whole or not at all.
//!
//! A file is written beside its place, synced, and then linked or renamed into it, so that a crash leaves the
//! old one or the new one. What it leaves beside it goes with a later write. A file with a secret in it is
//! refused when group or others can get at it.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use odeon_core::seam::Rng;
use zeroize::Zeroizing;

use crate::cookie::Existing;

/// Longest file with one key, in bytes: an encrypted one takes less than 500.
pub const KEY_FILE_BYTES_MAX: usize = 16 * 1024;

/// Longest file with certificates, in bytes: what a peer would accept of them in a handshake.
pub const CERTIFICATES_FILE_BYTES_MAX: usize = 64 * 1024;

/// Mode of a file with a secret in it.
pub(crate) const MODE_SECRET: u32 = 0o600;

/// Mode of a file that everybody may read.
pub(crate) const MODE_PUBLIC: u32 = 0o644;

/// How long a file lies beside its place at most. What is older was left there by a crash.
pub const UNDER_WAY_MAX: Duration = Duration::from_secs(10 * 60);

/// The mode bits that let group or others at a file.
const MODE_NOT_OWNER: u32 = 0o077;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is no such file.
    #[error("there is no {what} at {}", .path.display())]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// There is one already, and it was to be kept.
    #[error("there is a {what} at {} already: it is replaced only with `--force`", .path.display())]
    Exists {
        /// What was to be written.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// Others than the owner can get at a secret.
    #[error(
        "the {what} at {} can be reached by others (mode {mode:04o}): run `chmod 600 {}`; if they may have read it, replace it",
        .path.display(),
        .path.display()
    )]
    Exposed {
        /// What it is.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The path leads to something else than a file.
    #[error("the {what} at {} is not a regular file", .path.display())]
    NotAFile {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The file is longer than anything that belongs there.
    #[error("the {what} at {} has more than {bytes_max} bytes", .path.display())]
    TooLong {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The limit.
        bytes_max: usize,
    },
    /// The operating system refused.
    #[error("the {what} at {} cannot be {doing}: check the permissions of the file and its directory", .path.display())]
    Io {
        /// What it is.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What could not be done.
        doing: FileDeed,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileDeed {
    /// It is read.
    Read,
    /// It is written.
    Written,
    /// It is taken against other processes.
    Locked,
}

impl fmt::Display for FileDeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Written => "written",
            Self::Locked => "locked",
        })
    }
}

impl FileError {
    /// Stable name of the reason, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Exists { .. } => "exists",
            Self::Exposed { .. } => "exposed",
            Self::NotAFile { .. } => "not-a-file",
            Self::TooLong { .. } => "too-long",
            Self::Io { doing: FileDeed::Written, .. } => "unwritable",
            Self::Io { doing: FileDeed::Read | FileDeed::Locked, .. } => "unreadable",
        }
    }
}

/// Who may be able to read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its owner alone: it holds a secret.
    Owner,
    /// Anybody.
    All,
}

/// Reads a file of at most `bytes_max` bytes. What was read is erased when dropped.
pub(crate) fn read(
    path: &Path,
    what: &'static str,
    bytes_max: usize,
    readers: Readers,
) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing { what, path: path.into() },
        _ => FileError::Io { what, path: path.into(), doing: FileDeed::Read, source },
    };
    // Opening a pipe would wait for its writer, so what the path leads to is asked first.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(FileError::NotAFile { what, path: path.into() });
    }
    let file = File::open(path).map_err(failed)?;
    // Of the open file and not of the path, which may lead elsewhere by now.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile { what, path: path.into() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if readers == Readers::Owner && mode & MODE_NOT_OWNER != 0 {
        return Err(FileError::Exposed { what, path: path.into(), mode });
    }
    // Room for all of it at once, so that the vector never moves and leaves a copy of a secret.
    let room = usize::try_from(metadata.len()).unwrap_or(usize::MAX).min(bytes_max);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > bytes_max {
        return Err(FileError::TooLong { what, path: path.into(), bytes_max });
    }
    Ok(bytes)
}

/// What is written where.
pub(crate) struct Contents<'a> {
    pub(crate) what: &'static str,
    pub(crate) path: &'a Path,
    pub(crate) bytes: &'a [u8],
    pub(crate) mode: u32,
}

/// Writes a file whole. Missing directories are made, for the owner alone.
pub(crate) fn write(contents: &Contents<'_>, existing: Existing, rng: &dyn Rng) -> Result<(), FileError> {
    let Contents { what, path, bytes, mode } = *contents;
    if existing == Existing::Keep {
        absent(path, what)?;
    }
    put(path, bytes, mode, existing, rng).map_err(|failed| match failed {
        NotPut::Taken => FileError::Exists { what, path: path.into() },
        NotPut::Io(source) => FileError::Io { what, path: path.into(), doing: FileDeed::Written, source },
    })
}

/// Puts `bytes` in the place of a file, readable by its owner alone, so that after a crash either the old or the new
/// content is there, and after success the new. Missing directories are made, for the owner alone. What a crash has
/// left beside it more than [`UNDER_WAY_MAX`] ago is removed.
///
/// # Errors
/// As the operating system says; the old content is then untouched.
pub fn replace_file(path: &Path, bytes: &[u8], rng: &dyn Rng) -> io::Result<()> {
    put(path, bytes, MODE_SECRET, Existing::Replace, rng).map_err(|failed| match failed {
        NotPut::Taken => io::ErrorKind::AlreadyExists.into(),
        NotPut::Io(error) => error,
    })
}

/// Why a file is not in its place.
enum NotPut {
    /// Something is there, and was to be kept.
    Taken,
    Io(io::Error),
}

impl From<io::Error> for NotPut {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn put(path: &Path, bytes: &[u8], mode: u32, existing: Existing, rng: &dyn Rng) -> Result<(), NotPut> {
    let directory = parent(path);
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    // Under a name that nobody can know, and only where there is nothing: the bytes may be a key, and the directory one
    // in which others have put a file or a link.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = directory.join(format!(".{name}.{:016x}", rng.next_u64()));
    let written_at = write_new(&beside, bytes, mode)?;
    place(&beside, path, existing).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists if existing == Existing::Keep => NotPut::Taken,
        _ => NotPut::Io(error),
    })?;
    sweep(directory, &name, written_at);
    // The new name itself is durable once the directory is.
    Ok(File::open(directory)?.sync_all()?)
}

/// Removes what was left beside a file long before `now`. By the times of the files, so that no other clock is asked;
/// and whatever cannot be removed stays.
#[expect(clippy::disallowed_methods, reason = "the files of secrets and certificates are this module's own")]
fn sweep(directory: &Path, name: &str, now: SystemTime) {
    for entry in directory.read_dir().into_iter().flatten().flatten() {
        let file = entry.file_name();
        let chance =
            file.to_str().and_then(|file| file.strip_prefix('.')?.strip_prefix(name)?.strip_prefix('.'));
        let is_ours = chance.is_some_and(|chance| {
            chance.len() == 16 && chance.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        });
        let is_old = || {
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file);
            let left_at = metadata.and_then(|metadata| metadata.modified().ok());
            left_at
                .and_then(|left_at| now.duration_since(left_at).ok())
                .is_some_and(|age| age > UNDER_WAY_MAX)
        };
        if is_ours && is_old() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Removes a file; one that is not there is none.
#[expect(clippy::disallowed_methods, reason = "the files of secrets and certificates are this module's own")]
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Refuses where something is already.
pub(crate) fn absent(path: &Path, what: &'static str) -> Result<(), FileError> {
    if path.symlink_metadata().is_ok() {
        return Err(FileError::Exists { what, path: path.into() });
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes and syncs a file that was not there before, and says when that was; leaves none behind when it fails.
#[expect(clippy::disallowed_methods, reason = "the files of secrets and certificates are this module's own")]
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<SystemTime> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let written = written.and_then(|()| file.metadata()?.modified());
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// Moves the finished file to its place. A hard link, unlike a rename, fails where something is already.
#[expect(clippy::disallowed_methods, reason = "the files of secrets and certificates are this module's own")]
fn place(beside: &Path, path: &Path, existing: Existing) -> io::Result<()> {
    let placed = match existing {
        Existing::Keep => std::fs::hard_link(beside, path),
        Existing::Replace => std::fs::rename(beside, path),
    };
    if existing == Existing::Keep || placed.is_err() {
        // What is left beside is a second name of the same file, or of a file nobody will use.
        let _ = std::fs::remove_file(beside);
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losing_the_race_for_the_place_keeps_the_winner() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let (path, beside) = (home.path().join("key"), home.path().join("beside"));
        write_new(&path, b"the winner's", MODE_SECRET).expect("written");
        write_new(&beside, b"the loser's", MODE_SECRET).expect("written");
        let error = place(&beside, &path, Existing::Keep).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(!beside.exists());
        let kept = read(&path, "key", KEY_FILE_BYTES_MAX, Readers::Owner).expect("read");
        assert_eq!(kept.as_slice(), b"the winner's");
    }
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test leaves what a crash would")]
    fn what_a_crash_left_beside_a_file_goes_with_a_later_write_and_nothing_else_does() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let path = home.path().join("server.key");
        let now = SystemTime::now();
        let minute = Duration::from_secs(60);
        let left = [
            (".server.key.0123456789abcdef", UNDER_WAY_MAX + minute, false),
            (".server.key.00000000000000ff", UNDER_WAY_MAX - minute, true),
            (".server.key.0123456789ABCDEF", 2 * UNDER_WAY_MAX, true),
            (".server.key.0123456789abcde", 2 * UNDER_WAY_MAX, true),
            (".server.crt.0123456789abcdef", 2 * UNDER_WAY_MAX, true),
            ("server.key.0123456789abcdef", 2 * UNDER_WAY_MAX, true),
        ];
        for (name, age, _) in left {
            let file = File::create(home.path().join(name)).expect("made");
            file.set_modified(now - age).expect("its time is set");
        }
        replace_file(&path, b"a key", &crate::testing::Seeded::default()).expect("written");
        for (name, _, stays) in left {
            assert_eq!(home.path().join(name).exists(), stays, "{name}");
        }
        assert_eq!(home.path().read_dir().expect("listed").count(), left.len());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_not_said_to_be_the_file_that_exists() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let taken = home.path().join("taken");
        write_new(&taken, b"a file", MODE_PUBLIC).expect("written");
        let rng = crate::testing::Seeded::default();
        let at = |path: &Path, existing| {
            let contents = Contents { what: "key", path, bytes: b"a key", mode: MODE_SECRET };
            write(&contents, existing, &rng).expect_err("no room").code()
        };
        for existing in [Existing::Keep, Existing::Replace] {
            assert_eq!(at(&taken.join("key"), existing), "unwritable", "{existing:?}");
        }
        assert_eq!(at(&taken, Existing::Keep), "exists");
    }
}
