//! A disk in memory. It outlives the hosts that use it: a crash loses nothing that was replaced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use odeon_core::seam::Disk;

/// Largest file. What a server replaces as a whole is small; a larger one is a leak.
pub const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<State>);

#[derive(Debug, Default)]
struct State {
    files: Mutex<BTreeMap<PathBuf, Vec<u8>>>,
    fails: AtomicBool,
}

impl SimDisk {
    /// From now on every write fails, or none does. What is there stays readable.
    pub fn set_failing(&self, fails: bool) {
        self.0.fails.store(fails, Ordering::Relaxed);
    }

    /// Whether every write fails.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.0.fails.load(Ordering::Relaxed)
    }
}

impl Disk for SimDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let files = self.0.files.lock().unwrap_or_else(PoisonError::into_inner);
        files
            .get(path)
            .cloned()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file on the simulated disk"))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.0.fails.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the simulated disk is full"));
        }
        if bytes.len() > FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut files = self.0.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(path.to_owned(), bytes.to_vec());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_replace_leaves_the_old_content() {
        let disk = SimDisk::default();
        let path = Path::new("/state");
        assert_eq!(disk.read(path).expect_err("empty").kind(), io::ErrorKind::NotFound);
        disk.replace(path, b"old").expect("written");
        disk.set_failing(true);
        assert!(disk.replace(path, b"new").is_err());
        assert_eq!(disk.clone().read(path).expect("there"), b"old");
        disk.set_failing(false);
        disk.replace(path, b"new").expect("written");
        assert_eq!(disk.read(path).expect("there"), b"new");
    }

    #[test]
    fn a_file_of_the_largest_size_fits_and_one_byte_more_does_not() {
        let disk = SimDisk::default();
        let path = Path::new("/large");
        assert!(disk.replace(path, &vec![0; FILE_BYTES_MAX]).is_ok());
        assert!(disk.replace(path, &vec![0; FILE_BYTES_MAX + 1]).is_err());
    }
}
