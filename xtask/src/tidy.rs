//! The command `tidy`: reads the tree once, runs every check over it, prints what they find.

use std::io::{self, Write};
use std::path::Path;

use crate::checks::{
    codes, documents, exceptions, features, layers, length, links, manifests, module_docs, sleeps, words,
};
use crate::finding::Finding;
use crate::tree::{ReadError, Tree};

type Check = fn(&Tree) -> Vec<Finding>;

/// All checks, in the order of the house rules they keep.
const CHECKS: [Check; 11] = [
    layers::check,
    manifests::check,
    length::check,
    module_docs::check,
    words::check,
    exceptions::check,
    sleeps::check,
    documents::check,
    links::check,
    codes::check,
    features::check,
];

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A line per finding and the count.
    Lines,
    /// A JSON object per finding and nothing else.
    Json,
}

/// Runs all checks over the repository at `root` and returns how many findings there are.
///
/// # Errors
///
/// If the repository cannot be read.
pub(crate) fn inspect(root: &Path) -> Result<Vec<Finding>, ReadError> {
    let tree = Tree::read(root)?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    findings.sort();
    Ok(findings)
}

/// Prints the findings.
///
/// # Errors
///
/// If the output is closed.
pub(crate) fn print(findings: &[Finding], format: Format, mut to: impl Write) -> io::Result<()> {
    for finding in findings {
        match format {
            Format::Lines => writeln!(to, "{finding}")?,
            Format::Json => writeln!(to, "{}", serde_json::to_string(finding)?)?,
        }
    }
    match (format, findings.len()) {
        (Format::Json, _) => Ok(()),
        (Format::Lines, 0) => writeln!(to, "tidy: nothing found"),
        (Format::Lines, 1) => writeln!(to, "tidy: 1 finding"),
        (Format::Lines, count) => writeln!(to, "tidy: {count} findings"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(findings: &[Finding], format: Format) -> String {
        let mut out = Vec::new();
        print(findings, format, &mut out).expect("a vector takes everything");
        String::from_utf8(out).expect("findings are text")
    }

    #[test]
    fn lines_end_with_the_count_and_json_does_not() {
        let finding = Finding::new("length", "a.rs", 1, "long", "split");
        assert_eq!(printed(&[], Format::Lines), "tidy: nothing found\n");
        assert_eq!(
            printed(std::slice::from_ref(&finding), Format::Lines),
            "a.rs:1: long; split\ntidy: 1 finding\n"
        );
        assert_eq!(printed(&[], Format::Json), "");
        assert_eq!(printed(&[finding], Format::Json).lines().count(), 1);
    }
}
