//! Files fit a reader: about 300 lines, split at 600.

use crate::finding::Finding;
use crate::tree::Tree;

/// Lines in a Rust file. Twice what one should aim at: past this it has two duties.
const LINES_MAX: usize = 600;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.ending(".rs")
        .filter_map(|(path, text)| {
            let lines = text.lines().count();
            (lines > LINES_MAX).then(|| {
                let what = format!("{lines} lines, {LINES_MAX} is the limit");
                Finding::new("length", path, LINES_MAX + 1, what, "split it by duty")
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_passes_and_one_line_more_fails() {
        let (full, over) = ("//\n".repeat(LINES_MAX), "//\n".repeat(LINES_MAX + 1));
        assert_eq!(check(&Tree::of(&[("a.rs", full.as_str()), ("a.md", over.as_str())])), []);
        assert_eq!(check(&Tree::of(&[("a.rs", over.as_str())])).len(), 1);
    }
}
