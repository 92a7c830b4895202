//! The documents a visitor looks for are there, and the map of the house names every room.

use crate::finding::Finding;
use crate::tree::Tree;

/// Documents that must exist.
const REQUIRED: [&str; 9] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "docs/features.md",
    "docs/glossary.md",
    "docs/semantics.md",
];

const MAP: &str = "ARCHITECTURE.md";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let missing = REQUIRED
        .iter()
        .filter(|path| !tree.has(path))
        .map(|path| Finding::new("documents", path, 1, "does not exist", "write it"));
    let mut findings: Vec<Finding> = missing.collect();
    let Some(map) = tree.text(MAP) else {
        return findings;
    };
    for (path, _) in tree.ending("/Cargo.toml") {
        let name = path.trim_end_matches("/Cargo.toml").rsplit('/').next().unwrap_or(path);
        if !map.contains(&format!("`{name}`")) {
            let what = format!("does not name the crate `{name}`");
            findings.push(Finding::new(
                "documents",
                MAP,
                1,
                what,
                "say what it does and what it does not know",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> Vec<(&'static str, &'static str)> {
        REQUIRED.iter().map(|path| (*path, "")).collect()
    }

    #[test]
    fn each_missing_document_is_found() {
        assert_eq!(check(&Tree::of(&complete())), []);
        for without in 0..REQUIRED.len() {
            let mut files = complete();
            let (path, _) = files.remove(without);
            assert_eq!(check(&Tree::of(&files))[0].file, path);
        }
    }

    #[test]
    fn the_map_names_every_crate() {
        let mut files = complete();
        files.retain(|(path, _)| *path != MAP);
        files.extend([(MAP, "the crate `odeon-core` is"), ("crates/odeon-core/Cargo.toml", "")]);
        assert_eq!(check(&Tree::of(&files)), []);
        files.push(("crates/odeon/Cargo.toml", ""));
        assert!(check(&Tree::of(&files))[0].what.contains("`odeon`"));
    }
}
