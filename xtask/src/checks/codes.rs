//! The guide tells every code by which a command can fail, and none that is nowhere in the source.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::tree::Tree;

const GUIDE: &str = "docs/guide.md";

/// The guide's section; the tables of codes are in it.
const HEADING: &str = "\n## When things go wrong\n";

/// Where commands name their codes: after one of these stands the code as a literal.
const COMMANDS: &str = "crates/odeon-cli/src/";
const BEFORE_A_CODE: [&str; 6] =
    ["failed(\"", "CliError::of(\"", "Failed, \"", "Usage, \"", "NotAuthorised, \"", "code: \""];
const BEFORE_A_CODE_OF_THE_WAY: [&str; 2] = ["TimedOut, \"", "Unreachable, \""];

/// Files whose codes commands pass on, and the function in which they stand, in the arms of a `match`.
const PASSED_ON: [(&str, &str); 6] = [
    ("crates/odeon-core/src/refusal.rs", "fn as_str("),
    ("crates/odeon-auth/src/admin.rs", "fn code("),
    ("crates/odeon-auth/src/ca/error.rs", "fn code("),
    ("crates/odeon-auth/src/certificate.rs", "fn code("),
    ("crates/odeon-auth/src/files.rs", "fn code("),
    ("crates/odeon-auth/src/keys.rs", "fn code("),
];
const BEFORE_A_CODE_IN_AN_ARM: [&str; 1] = ["=> \""];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some((before, section)) = tree.text(GUIDE).and_then(|guide| guide.split_once(HEADING)) else {
        return Vec::new();
    };
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let told = told(section);
    let used = used(tree);
    let is_told = |code: &str| {
        told.keys().any(|word| word.strip_suffix('…').map_or(*word == code, |start| code.starts_with(start)))
    };
    let untold = used.iter().filter(|(code, _)| !is_told(code)).map(|(code, (file, line))| {
        let what = format!("the code `{code}` is not in the guide, under \"When things go wrong\"");
        Finding::new("codes", file, *line, what, "say there why it comes and what to do")
    });
    let is_used = |word: &str| {
        used.keys().any(|code| word.strip_suffix('…').map_or(*code == word, |start| code.starts_with(start)))
    };
    let lines_before = before.matches('\n').count() + 3;
    let twice = twice(section).into_iter().map(|(word, line)| {
        let what = format!("the code `{word}` has two rows");
        Finding::new("codes", GUIDE, lines_before + line, what, "make them one")
    });
    let unused = told.iter().filter(|(word, _)| !is_used(word)).map(|(word, line)| {
        let what = format!("no command fails with the code `{word}`");
        Finding::new("codes", GUIDE, lines_before + line, what, "take it out")
    });
    untold.chain(unused).chain(twice).collect()
}

/// The words in the first column of the tables' rows, but for exit statuses, with the line that they stand in; of those
/// all codes are in the last column.
fn told(section: &str) -> BTreeMap<&str, usize> {
    let mut told = BTreeMap::new();
    for (number, row) in section.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
        let columns: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let is_status = columns[0].bytes().all(|byte| byte.is_ascii_digit());
        let column = if is_status { columns.last() } else { columns.first() };
        let words = column.into_iter().flat_map(|column| column.split('`').skip(1).step_by(2));
        told.extend(words.map(|word| (word, number)));
    }
    told
}

/// What stands in the first column of more than one row, with the line of the second.
fn twice(section: &str) -> Vec<(&str, usize)> {
    let mut seen = BTreeSet::new();
    let rows = section.lines().enumerate().filter(|(_, line)| line.starts_with('|'));
    rows.flat_map(|(number, row)| {
        let first = row.trim_matches('|').split('|').next().unwrap_or_default();
        first.split('`').skip(1).step_by(2).map(move |word| (word, number))
    })
    .filter(|(word, _)| !seen.insert(*word))
    .collect()
}

/// Every code in the source, with one place of it.
fn used(tree: &Tree) -> BTreeMap<&str, (&str, usize)> {
    let in_commands: BTreeSet<&str> = BEFORE_A_CODE.into_iter().chain(BEFORE_A_CODE_OF_THE_WAY).collect();
    let mut used = BTreeMap::new();
    for (path, text) in tree.ending(".rs") {
        if path.starts_with(COMMANDS) && !path.ends_with("snapshots.rs") {
            find(path, 0, text, &in_commands, &mut used);
        } else if let Some((_, function)) = PASSED_ON.iter().find(|(passed, _)| *passed == path) {
            for (at, _) in text.match_indices(function) {
                let body = text[at..].split("\n    }\n").next().unwrap_or_default();
                let lines_before = text[..at].matches('\n').count();
                find(path, lines_before, body, &BEFORE_A_CODE_IN_AN_ARM.into(), &mut used);
            }
        }
    }
    used
}

fn find<'a>(
    path: &'a str,
    lines_before: usize,
    text: &'a str,
    before: &BTreeSet<&str>,
    used: &mut BTreeMap<&'a str, (&'a str, usize)>,
) {
    let text = text.split_once("#[cfg(test)]").map_or(text, |(code, _)| code);
    for (number, line) in text.lines().enumerate() {
        for (at, _) in
            before.iter().flat_map(|before| line.match_indices(*before).map(|(i, b)| (i + b.len(), b)))
        {
            let code = line[at..].split('"').next().unwrap_or_default();
            if !code.is_empty() && code.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase()) {
                used.entry(code).or_insert((path, lines_before + number + 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "crates/odeon-cli/src/up.rs";

    fn findings(guide: &str, source: &str) -> Vec<String> {
        let guide = format!("# Guide\n\n## When things go wrong\n\n{guide}\n## Next\n\n| `elsewhere` | |\n");
        let tree = Tree::of(&[(GUIDE, guide.as_str()), (SOURCE, source)]);
        check(&tree)
            .into_iter()
            .map(|finding| format!("{}:{}: {}", finding.file, finding.line, finding.what))
            .collect()
    }

    #[test]
    fn a_code_that_the_guide_does_not_tell_is_found() {
        let found =
            findings("| `home` | |", "CliError::of(\"home\", &e);\nCliError::failed(\"no-log\", \"x\")");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/odeon-cli/src/up.rs:2: the code `no-log`"), "{found:?}");
    }

    #[test]
    fn a_code_that_nothing_uses_is_found_with_its_line() {
        let found = findings(
            "| 4 | unreachable | `gone` |\n| `home` | see `other` |",
            "of(\"home\", &e); CliError::of(\"home\", &e)",
        );
        assert_eq!(found, ["docs/guide.md:5: no command fails with the code `gone`"]);
    }

    #[test]
    fn a_code_that_is_told_twice_is_found_with_its_line() {
        let found =
            findings("| `home` | |\n| `gone`, `home` | |", "of(\"home\"); CliError::of(\"home\", &e)");
        assert!(found.iter().any(|f| f == "docs/guide.md:6: the code `home` has two rows"), "{found:?}");
        assert!(findings("| 4 | `home` |\n| `home` | |", "CliError::of(\"home\", &e)").is_empty());
    }

    #[test]
    fn the_beginning_of_many_codes_stands_for_all_of_them() {
        assert!(findings("| `ca-…` | |", "failed(\"ca-busy\", e)").is_empty());
        assert_eq!(findings("| `ca-…` | |", "failed(\"home\", e)").len(), 2);
    }
}
