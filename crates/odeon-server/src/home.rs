//! The home: the directory that makes an ensemble on one host, and where everything in it is.
//!
//! ```text
//! HOME/cookie                        the shared secret, 0600
//! HOME/servers/DOMAIN/@NAME/epoch    the incarnation counter; locked while the server runs
//! HOME/servers/DOMAIN/@NAME/log/     what the server printed
//! HOME/run/                          sockets; in $XDG_RUNTIME_DIR/odeon if their paths would be too long here
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use odeon_core::limits::SOCKET_PATH_BYTES_MAX;
use odeon_core::{Address, Epoch, HostId, ServerId};
use rustix::fs::FlockOperation;

/// The directory of one ensemble on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
    run: PathBuf,
    host: HostId,
}

/// Where a server's directory has its incarnation.
const EPOCH_FILE: &str = "epoch";

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// A directory or file could not be made or read.
    #[error("cannot use {}", .path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Sockets would have paths that the operating system refuses.
    #[error(
        "the socket directory {} is too long: paths must fit {SOCKET_PATH_BYTES_MAX} bytes; choose a shorter --home or set XDG_RUNTIME_DIR",
        .run.display()
    )]
    RunTooLong {
        /// The directory.
        run: PathBuf,
    },
}

/// Why a server id cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The server runs already.
    #[error("{server} runs already: another process holds {}", .path.display())]
    Held {
        /// The server.
        server: ServerId,
        /// The locked file.
        path: PathBuf,
    },
    /// The epoch file holds something else than a number.
    #[error("{} does not hold an epoch; restore it from a backup, or write a number above every earlier one", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be read or written.
    #[error("cannot use {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// A named server's place, held by this process alone until dropped, and the epoch of this incarnation.
#[derive(Debug)]
pub struct Claim {
    /// This incarnation.
    pub epoch: Epoch,
    // The lock lives as long as the open file.
    _lock: File,
}

impl Home {
    /// Uses `root`, making it if it is not there, readable by the owner alone.
    ///
    /// # Errors
    /// When a directory cannot be made, or socket paths in it would be too long.
    pub fn open(root: &Path) -> Result<Self, HomeError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| HomeError::Io { path, source }
        };
        make_private(root).map_err(failed(root))?;
        let root = root.canonicalize().map_err(failed(root))?;
        let run = run_directory(&root);
        if !fits(&run) {
            return Err(HomeError::RunTooLong { run });
        }
        make_private(&run).map_err(failed(&run))?;
        let host = host_id(&root);
        Ok(Self { root, run, host })
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where sockets are.
    #[must_use]
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The id of this host in `unix:` addresses: of this boot and this home.
    #[must_use]
    pub fn host(&self) -> &HostId {
        &self.host
    }

    /// The cookie's file.
    #[must_use]
    pub fn cookie(&self) -> PathBuf {
        self.root.join("cookie")
    }

    /// The directory of one server.
    #[must_use]
    pub fn server(&self, id: &ServerId) -> PathBuf {
        let mut path = self.root.join("servers");
        path.extend(id.domain().segments());
        // A name may equal a subdomain's segment; the prefix keeps the two apart.
        path.join(format!("@{}", id.name()))
    }

    /// The unix address a server listens at by default.
    #[must_use]
    pub fn address(&self, id: &ServerId) -> Address {
        let path = self.socket(id, "sock").to_string_lossy().into_owned();
        Address::Unix { host: self.host.clone(), path }
    }

    /// The path of a server's socket of some kind, `kind` being at most four letters.
    #[must_use]
    pub fn socket(&self, id: &ServerId, kind: &str) -> PathBuf {
        let hash = fnv1a(&[self.root.as_os_str().as_encoded_bytes(), id.to_string().as_bytes()]);
        self.run.join(format!("{hash:016x}.{kind}"))
    }

    /// Whether a server has run in this home. Only then are the files in its directory its own: certificates are issued
    /// here for servers of other hosts too.
    #[must_use]
    pub fn has_run(&self, id: &ServerId) -> bool {
        self.server(id).join(EPOCH_FILE).exists()
    }

    /// Takes a server's place: locks it against other processes and raises its epoch.
    ///
    /// # Errors
    /// When another process holds it, or the file cannot be used.
    #[expect(clippy::disallowed_methods, reason = "a lock is not in the disk seam: it is about processes")]
    pub fn claim(&self, id: &ServerId) -> Result<Claim, ClaimError> {
        let directory = self.server(id);
        let path = directory.join(EPOCH_FILE);
        let failed = |source| ClaimError::Io { path: path.clone(), source };
        make_private(&directory).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(ClaimError::Held { server: id.clone(), path });
            }
            Err(error) => return Err(failed(error.into())),
        }
        let mut text = String::new();
        (&file).take(64).read_to_string(&mut text).map_err(failed)?;
        let last = match text.trim() {
            "" => Some(0),
            number => number.parse::<u64>().ok(),
        };
        let next = last.and_then(|last| last.checked_add(1));
        let epoch = Epoch(next.ok_or_else(|| ClaimError::Corrupt { path: path.clone() })?);
        // Written in place: a torn write of a few bytes within one sector does not happen, and the lock must stay.
        file.rewind().map_err(failed)?;
        file.write_all(format!("{:020}\n", epoch.0).as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(Claim { epoch, _lock: file })
    }
}

/// Makes a directory and its parents, readable by the owner alone.
fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// `run` in the home; where that is too long, `$XDG_RUNTIME_DIR/odeon`. The home comes first because whoever
/// finds it finds the sockets, whatever the environment of their shell.
fn run_directory(root: &Path) -> PathBuf {
    let run = root.join("run");
    let place = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match place.filter(|place| place.is_absolute() && place.is_dir()) {
        Some(place) if !fits(&run) => place.join("odeon"),
        _ => run,
    }
}

/// Whether sockets in `run` have paths that the operating system takes.
fn fits(run: &Path) -> bool {
    // A slash, 16 digits of hash, and `.sock` or `.shim`.
    run.as_os_str().len() + 22 <= SOCKET_PATH_BYTES_MAX
}

/// Distinguishes hosts that share a file system, and containers on one host.
fn host_id(root: &Path) -> HostId {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{:016x}", fnv1a(&[boot.trim().as_bytes(), root.as_os_str().as_encoded_bytes()]))
}

/// FNV-1a, 64 bits: stable between builds, which the standard hasher is not. Not for secrets.
fn fnv1a(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter().copied().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ServerId {
        text.parse().expect("a server id")
    }

    #[test]
    fn an_epoch_rises_at_each_claim_and_only_one_process_holds_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = Home::open(directory.path()).expect("a home");
        let first = home.claim(&id("web-0@/")).expect("claimed");
        assert_eq!(first.epoch, Epoch(1));
        fs::create_dir_all(home.server(&id("elsewhere@/")).join("tls")).expect("made");
        assert!(home.has_run(&id("web-0@/")) && !home.has_run(&id("elsewhere@/")));
        let second = home.claim(&id("web-0@/")).expect_err("held");
        assert!(matches!(second, ClaimError::Held { .. }), "{second}");
        assert!(home.claim(&id("web-1@/")).is_ok(), "another server is free");
        drop(first);
        assert_eq!(home.claim(&id("web-0@/")).expect("claimed again").epoch, Epoch(2));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test plays a broken disk")]
    fn a_corrupt_epoch_is_refused_rather_than_begun_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = Home::open(directory.path()).expect("a home");
        drop(home.claim(&id("web-0@/")).expect("claimed"));
        let file = home.server(&id("web-0@/")).join("epoch");
        for corrupt in ["seven", "-1", &u64::MAX.to_string()] {
            fs::write(&file, corrupt).expect("written");
            assert!(matches!(home.claim(&id("web-0@/")), Err(ClaimError::Corrupt { .. })), "{corrupt}");
        }
        fs::write(&file, (u64::MAX - 1).to_string()).expect("written");
        assert_eq!(home.claim(&id("web-0@/")).expect("claimed").epoch, Epoch(u64::MAX));
    }

    #[test]
    fn a_run_directory_of_85_bytes_fits_and_86_do_not() {
        let run = |length: usize| PathBuf::from(format!("/{}", "r".repeat(length - 1)));
        assert!(fits(&run(SOCKET_PATH_BYTES_MAX - 22)));
        assert!(!fits(&run(SOCKET_PATH_BYTES_MAX - 21)));
    }

    #[test]
    fn servers_of_different_domains_have_different_places() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = Home::open(directory.path()).expect("a home");
        assert_ne!(home.server(&id("a@/b")), home.server(&id("b@/a")));
        assert_ne!(home.address(&id("a@/b")), home.address(&id("b@/a")));
        assert_eq!(home.address(&id("a@/b")), home.address(&id("a@/b")));
    }
}
