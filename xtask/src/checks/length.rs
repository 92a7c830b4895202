//! Files fit a reader: about 300 lines, split at 600; comments, which rustfmt leaves as they are, fit a window.

use crate::finding::Finding;
use crate::tree::Tree;

/// Lines in a Rust file. Twice what one should aim at: past this it has two duties.
const LINES_MAX: usize = 600;

/// Characters in a line that is a comment, but for rows of tables, which cannot be broken.
const COMMENT_WIDTH_MAX: usize = 120;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.ending(".rs")
        .flat_map(|(path, text)| too_long(path, text).into_iter().chain(too_wide(path, text)))
        .collect()
}

fn too_long(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    (lines > LINES_MAX).then(|| {
        let what = format!("{lines} lines, {LINES_MAX} is the limit");
        Finding::new("length", path, LINES_MAX + 1, what, "split it by duty")
    })
}

fn too_wide(path: &str, text: &str) -> Vec<Finding> {
    let comments = text.lines().enumerate().filter_map(|(at, line)| {
        let words = line.trim_start().strip_prefix("//")?.trim_start_matches(['/', '!', ' ']);
        Some((at, line.chars().count(), words))
    });
    comments
        .filter(|(_, width, words)| *width > COMMENT_WIDTH_MAX && !words.starts_with('|'))
        .map(|(at, width, _)| {
            let what = format!("a comment of {width} characters, {COMMENT_WIDTH_MAX} is the limit");
            Finding::new("length", path, at + 1, what, "break the line")
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

    #[test]
    fn a_comment_of_the_limit_passes_and_one_character_more_fails_but_in_a_table() {
        let line = |start: &str, width: usize| format!("{start}{}\n", "x".repeat(width - start.len()));
        let widths = |start: &str| {
            [COMMENT_WIDTH_MAX, COMMENT_WIDTH_MAX + 1]
                .map(|width| check(&Tree::of(&[("a.rs", line(start, width).as_str())])).len())
        };
        assert_eq!([widths("    /// "), widths("//! "), widths("//! | ")], [[0, 1], [0, 1], [0, 0]]);
    }
}
