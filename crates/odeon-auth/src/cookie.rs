//! The ensemble cookie: 32 random bytes that every server of an ensemble holds, and the file they are kept in.
//!
//! The file holds the 32 bytes and nothing else, and belongs to its owner alone (mode 0600). It appears whole
//! or not at all: it is written beside its place, synced, and then linked or renamed into it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use odeon_core::seam::Rng;
use odeon_core::to_hex;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::files::{self, Contents, FileDeed, FileError, MODE_SECRET, Readers};

const WHAT: &str = "ensemble cookie";

/// Length of the cookie: as much as the output of the HMAC it keys, more would add nothing.
pub const COOKIE_BYTES: usize = 32;

/// What becomes of a cookie that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the call fails.
    Keep,
    /// The new one takes its place; servers that hold the old one are no longer understood.
    Replace,
}

/// Why a cookie could not be loaded or created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// There is no such file.
    #[error("no ensemble cookie at {}: run `admin cookie`", .path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is one already, and it was to be kept.
    #[error(
        "there is an ensemble cookie at {} already: to replace it, stop the ensemble and run `admin cookie --force`",
        .path.display()
    )]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// The file has the wrong length.
    #[error(
        "the ensemble cookie at {} has {} bytes instead of {COOKIE_BYTES}: copy it again, or make a new one with `admin cookie --force`",
        .path.display(),
        Length(*.bytes)
    )]
    Length {
        /// Where it is.
        path: PathBuf,
        /// Its length; one more than a cookie's stands for anything longer.
        bytes: usize,
    },
    /// Others than the owner can get at the file.
    #[error(
        "the ensemble cookie at {} can be read by others (mode {mode:04o}): run `chmod 600 {}`; if they may have read it, make a new one with `admin cookie --force`",
        .path.display(),
        .path.display()
    )]
    Exposed {
        /// Where it is.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The path leads to something else than a file.
    #[error("the ensemble cookie at {} is not a regular file: remove it and run `admin cookie`", .path.display())]
    NotAFile {
        /// Where it is.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("the ensemble cookie at {} cannot be {doing}: check the permissions of the file and its directory", .path.display())]
    Io {
        /// Where it is.
        path: PathBuf,
        /// What could not be done.
        doing: FileDeed,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// The same with what is to be done about a cookie, which `admin cookie` makes.
impl From<FileError> for CookieError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Missing { path, .. } => Self::Missing { path },
            FileError::Exists { path, .. } => Self::Exists { path },
            FileError::Exposed { path, mode, .. } => Self::Exposed { path, mode },
            FileError::NotAFile { path, .. } => Self::NotAFile { path },
            FileError::TooLong { path, bytes_max, .. } => Self::Length { path, bytes: bytes_max + 1 },
            FileError::Io { path, doing, source, .. } => Self::Io { path, doing, source },
        }
    }
}

/// A length as it is printed, where only the first bytes past a cookie's were looked at.
struct Length(usize);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > COOKIE_BYTES { write!(f, "more than {COOKIE_BYTES}") } else { write!(f, "{}", self.0) }
    }
}

/// The ensemble's shared secret. Whoever holds it can join; it is erased from memory when dropped.
///
/// ```
/// use odeon_auth::{Cookie, Side, prove, transcript, verify};
///
/// let (ours, another) = (Cookie::from_bytes([1; 32]), Cookie::from_bytes([2; 32]));
/// let seen = transcript(b"the dialler's hello", b"the listener's hello");
/// let proof = prove(&ours, Side::Dialler, &seen);
/// assert!(verify(&ours, Side::Dialler, &seen, &proof));
/// assert!(!verify(&another, Side::Dialler, &seen, &proof));
/// assert!(!verify(&ours, Side::Listener, &seen, &proof), "a proof sent back proves nothing");
/// ```
#[derive(Clone)]
pub struct Cookie(Zeroizing<[u8; COOKIE_BYTES]>);

impl Cookie {
    /// The cookie with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; COOKIE_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads the cookie from its file.
    ///
    /// # Errors
    /// When it is missing, has another length than [`COOKIE_BYTES`], is no regular file, or can be reached by
    /// others than its owner.
    pub fn load(path: &Path) -> Result<Self, CookieError> {
        let bytes = files::read(path, WHAT, COOKIE_BYTES, Readers::Owner)?;
        let bytes: [u8; COOKIE_BYTES] = bytes
            .as_slice()
            .try_into()
            .map_err(|_| CookieError::Length { path: path.into(), bytes: bytes.len() })?;
        Ok(Self::from_bytes(bytes))
    }

    /// Makes a new cookie from `rng`, which must be fit for secrets, and puts it at `path`, readable by the
    /// owner alone. Missing directories are created, also for the owner alone.
    ///
    /// Of two calls at the same time that keep what exists, one succeeds.
    ///
    /// # Errors
    /// [`CookieError::Exists`] when there is one and it is to be kept; [`CookieError::Io`] when the operating
    /// system refuses: what was at `path` is then untouched, unless only the last sync of the directory failed.
    pub fn create(path: &Path, rng: &dyn Rng, existing: Existing) -> Result<Self, CookieError> {
        let mut cookie = Self::from_bytes([0; COOKIE_BYTES]);
        rng.fill(cookie.0.as_mut_slice());
        let contents = Contents { what: WHAT, path, bytes: cookie.secret(), mode: MODE_SECRET };
        files::write(&contents, existing, rng)?;
        Ok(cookie)
    }

    /// The cookie as 64 lower-case hexadecimal digits. It is as secret as the cookie.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(to_hex(self.secret()))
    }

    /// The secret itself.
    pub(crate) fn secret(&self) -> &[u8; COOKIE_BYTES] {
        &self.0
    }
}

/// In constant time.
impl PartialEq for Cookie {
    fn eq(&self, other: &Self) -> bool {
        self.secret().ct_eq(other.secret()).into()
    }
}

impl Eq for Cookie {}

/// Says that it is a cookie, and not which.
impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Counts up: enough to tell one cookie from the next.
    #[derive(Debug, Default)]
    struct Counting(AtomicU64);

    impl Rng for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for chunk in bytes.chunks_mut(8) {
                let number = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes();
                chunk.copy_from_slice(&number[..chunk.len()]);
            }
        }
    }

    fn home() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    /// A file at a new path, with this content and mode.
    #[expect(clippy::disallowed_methods, reason = "a test prepares the file that is to be refused")]
    fn file(home: &tempfile::TempDir, bytes: &[u8], mode: u32) -> PathBuf {
        let path = home.path().join("cookie");
        std::fs::write(&path, bytes).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode set");
        path
    }

    #[test]
    fn a_created_cookie_is_loaded_again_and_is_the_owners_alone() {
        let home = home();
        let path = home.path().join("new").join("home").join("cookie");
        let made = Cookie::create(&path, &Counting::default(), Existing::Keep).expect("created");
        assert!(Cookie::load(&path).expect("loaded") == made);
        let mode = |path: &Path| path.metadata().expect("metadata").permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().expect("a parent")), 0o700);
        let names: Vec<_> = std::fs::read_dir(path.parent().expect("a parent"))
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(names, ["cookie"], "nothing is left beside it");
    }

    #[test]
    fn an_existing_cookie_is_replaced_only_on_demand() {
        let (home, rng) = (home(), Counting::default());
        let path = home.path().join("cookie");
        let first = Cookie::create(&path, &rng, Existing::Keep).expect("created");
        let error = Cookie::create(&path, &rng, Existing::Keep).expect_err("kept");
        assert!(matches!(error, CookieError::Exists { .. }));
        assert!(error.to_string().contains("--force"), "{error}");
        assert!(Cookie::load(&path).expect("loaded") == first);
        let second = Cookie::create(&path, &rng, Existing::Replace).expect("replaced");
        assert!(second != first && Cookie::load(&path).expect("loaded") == second);
    }

    #[test]
    fn a_missing_cookie_says_what_to_run() {
        let path = home().path().join("cookie");
        let error = Cookie::load(&path).expect_err("missing").to_string();
        assert_eq!(error, format!("no ensemble cookie at {}: run `admin cookie`", path.display()));
    }

    #[test]
    fn a_cookie_has_exactly_32_bytes() {
        for (length, said) in
            [(0, "0 bytes"), (31, "31 bytes"), (33, "more than 32 bytes"), (4_096, "more than 32 bytes")]
        {
            let home = home();
            let error = Cookie::load(&file(&home, &vec![7; length], 0o600)).expect_err("refused");
            assert!(matches!(error, CookieError::Length { .. }), "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
        let home = home();
        assert!(Cookie::load(&file(&home, &[7; 32], 0o600)).is_ok());
    }

    #[test]
    fn a_cookie_open_to_others_is_refused() {
        for mode in [0o640, 0o604, 0o660, 0o644, 0o602, 0o610] {
            let home = home();
            let error = Cookie::load(&file(&home, &[7; 32], mode)).expect_err("refused");
            assert!(error.to_string().contains(&format!("mode {mode:04o}")), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        for mode in [0o600, 0o400, 0o700] {
            let home = home();
            assert!(Cookie::load(&file(&home, &[7; 32], mode)).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn a_directory_is_no_cookie() {
        let home = home();
        assert!(matches!(Cookie::load(home.path()), Err(CookieError::NotAFile { .. })));
    }

    #[test]
    fn hex_shows_all_and_debug_nothing() {
        let cookie = Cookie::from_bytes([0xab; COOKIE_BYTES]);
        assert_eq!(*cookie.to_hex(), "ab".repeat(COOKIE_BYTES));
        assert_eq!(format!("{cookie:?}"), "Cookie(..)");
    }
}
