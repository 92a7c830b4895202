//! The repository as the checks see it: the path of every file, and the text of those that are text.
//!
//! The tree is read once and never written. Checks get it whole, so that a test can hand them a
//! tree of a few lines; no check touches the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fmt, fs, io};

/// Files with these endings are read; of all others only the path is known.
const TEXT_ENDINGS: [&str; 8] = [".rs", ".md", ".toml", ".sh", ".svg", ".html", ".txt", ".ci/run"];

/// Directories that a walk without git leaves out.
const NOT_WALKED: [&str; 2] = ["target", ".git"];

/// All files of the repository.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    paths: BTreeSet<String>,
    texts: BTreeMap<String, String>,
}

impl Tree {
    /// Reads the files below `root`: those git tracks or would track, or all if git cannot say.
    ///
    /// # Errors
    ///
    /// If a directory or file cannot be read.
    pub(crate) fn read(root: &Path) -> Result<Self, ReadError> {
        let paths = match listed_by_git(root) {
            Some(paths) => paths,
            None => walked(root)?,
        };
        let mut tree = Self::default();
        for path in paths {
            let on_disk = root.join(&path);
            // git still lists a file that was deleted but not yet staged as such
            if !on_disk.exists() {
                continue;
            }
            if TEXT_ENDINGS.iter().any(|ending| path.ends_with(ending)) {
                let bytes = fs::read(&on_disk).map_err(|source| ReadError { path: on_disk, source })?;
                tree.texts.insert(path.clone(), String::from_utf8_lossy(&bytes).into_owned());
            }
            tree.paths.insert(path);
        }
        Ok(tree)
    }

    /// Whether the path is a file, or a directory with a file in it.
    pub(crate) fn has(&self, path: &str) -> bool {
        let below = format!("{path}/");
        path.is_empty()
            || self.paths.contains(path)
            || self.paths.range(below.clone()..).next().is_some_and(|first| first.starts_with(&below))
    }

    /// The text of a file, if it is there and is text.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// All text files in the order of their paths.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text files whose path ends so.
    pub(crate) fn ending<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts().filter(move |(path, _)| path.ends_with(ending))
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self {
            paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
            texts: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect(),
        }
    }
}

/// A file or directory of the repository could not be read.
#[derive(Debug)]
pub(crate) struct ReadError {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}: {}", self.path.display(), self.source)
    }
}

fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let listing = String::from_utf8_lossy(&output.stdout);
    let paths: Vec<String> = listing.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    // an archive unpacked inside somebody else's repository is listed as nothing
    (!paths.is_empty()).then_some(paths)
}

fn walked(root: &Path) -> Result<Vec<String>, ReadError> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        let failed = |source| ReadError { path: directory.clone(), source };
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() && !NOT_WALKED.iter().any(|name| entry.file_name() == *name) {
                waiting.push(entry.path());
            } else if kind.is_file()
                && let Ok(inside) = entry.path().strip_prefix(root)
            {
                found.push(inside.to_string_lossy().into_owned());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_there_when_a_file_is_in_it() {
        let tree = Tree::of(&[("docs/a.md", ""), ("docs-old/b.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/a.md") && tree.has(""));
        assert!(!tree.has("doc") && !tree.has("docs/b.md"));
    }

    #[test]
    fn git_and_the_walk_both_find_this_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let walked = walked(&root).expect("the repository is readable");
        assert!(walked.iter().any(|path| path == "xtask/src/tree.rs"));
        assert!(!walked.iter().any(|path| path.starts_with("target/")));
        let tree = Tree::read(&root).expect("the repository is readable");
        assert!(tree.text("xtask/src/tree.rs").is_some());
    }
}
