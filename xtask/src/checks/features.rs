//! `docs/features.md` has one row for everything the two seed pages name, and no row lies.
//!
//! The names stand in `xtask/data/seed-features.txt` (section, tab, name). A row is
//! `` | `name` | in Odeon | how tested | status | `` below the heading of its section; a row that is
//! `done` names a test that exists, as `` `crate::path::test` ``, `` `file.rs::test` `` or the path of a script.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::source::{code_only, functions};
use crate::tree::Tree;

const PAGE: &str = "docs/features.md";
const SEEDS: &str = include_str!("../../data/seed-features.txt");

const STATUSES: [&str; 3] = ["done", "part", "not yet"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    match tree.text(PAGE) {
        Some(page) => check_page(SEEDS, page, tree),
        None => Vec::new(), // that it exists is a matter of `documents`
    }
}

/// A row of the page.
struct Row<'a> {
    line: usize,
    section: &'a str,
    name: &'a str,
    tested: &'a str,
    status: &'a str,
}

fn check_page(seeds: &str, page: &str, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rows = rows(page, &mut findings);
    let mut wanted = wanted(seeds);
    let sections: BTreeSet<&str> = wanted.iter().map(|(section, _)| *section).collect();
    let tests = tests(tree);
    for row in &rows {
        let mut report = |what: String, fix: &str| {
            findings.push(Finding::new("features", PAGE, row.line, what, fix));
        };
        if sections.contains(row.section) && !wanted.remove(&(row.section, row.name)) {
            let what = format!(
                "`{}` stands twice in \"{}\", or the seeds do not name it there",
                row.name, row.section
            );
            report(what, "correct the name, or move it to a section of our own");
        }
        if !STATUSES.contains(&row.status) {
            report(
                format!("`{}` has the status \"{}\"", row.name, row.status),
                "write `done`, `part` or `not yet`",
            );
        } else if row.status == "done" && code_spans(row.tested).next().is_none() {
            report(format!("`{}` is done but names no test", row.name), "name one, as `crate::path::test`");
        }
        for named in code_spans(row.tested).filter(|named| !exists(named, &tests, tree)) {
            report(
                format!("`{}` names the test `{named}`, which is not there", row.name),
                "name one that exists",
            );
        }
    }
    for (section, name) in wanted {
        let fix = format!("add | `{name}` | — | — | not yet |");
        findings.push(Finding::new(
            "features",
            PAGE,
            1,
            format!("no row for `{name}` in \"{section}\""),
            fix,
        ));
    }
    findings
}

fn wanted(seeds: &str) -> BTreeSet<(&str, &str)> {
    seeds.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t')).collect()
}

/// The rows of all tables below a section's heading.
fn rows<'a>(page: &'a str, findings: &mut Vec<Finding>) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    let mut section = "";
    for (at, text) in page.lines().enumerate() {
        let line = at + 1;
        if let Some(heading) = text.strip_prefix("##") {
            section = heading.trim_start_matches('#').trim();
        }
        let Some(cells) = text.trim().strip_prefix("| `").and_then(|row| row.strip_suffix('|')) else {
            continue;
        };
        let cells: Vec<&str> = cells.split(" | ").map(str::trim).collect();
        let [name, _, tested, status] = cells[..] else {
            let what = format!("a row of {} cells", cells.len());
            findings.push(Finding::new(
                "features",
                PAGE,
                line,
                what,
                "write name, in Odeon, how tested, status",
            ));
            continue;
        };
        rows.push(Row { line, section, name: name.trim_end_matches('`'), tested, status });
    }
    rows
}

/// The names of all tests, and the files in which each stands.
fn tests(tree: &Tree) -> BTreeMap<String, Vec<&str>> {
    let mut tests: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (path, text) in tree.ending(".rs") {
        let code = code_only(text);
        for test in functions(&code).into_iter().filter(|function| function.is_test) {
            tests.entry(test.name.to_owned()).or_default().push(path);
        }
    }
    tests
}

fn code_spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn exists(named: &str, tests: &BTreeMap<String, Vec<&str>>, tree: &Tree) -> bool {
    match named.rsplit_once("::") {
        None => named.contains('.') && tree.has(named),
        Some((place, test)) => {
            let files = tests.get(test).map_or(&[][..], Vec::as_slice);
            !files.is_empty() && (!place.ends_with(".rs") || files.iter().any(|file| file.ends_with(place)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str = "# names\nSending\t->\nSending\t-> expiry:\nGifts\t%fact\n";
    const GOOD: &str = "# Features\n## Sending\n| name | in Odeon | how tested | status |\n|---|---|---|---|\n\
        | `->` | `tell` | `odeon-actor::contract::tell_arrives` | done |\n\
        | `-> expiry:` | — | — | not yet |\n### Gifts\n| `%fact` | `Fact` | `a/t.rs::tell_arrives`, `e2e.sh` | part |\n\
        ## Our own\n| `drain` | `drain` | — | not yet |\n";

    fn found(page: &str) -> Vec<String> {
        let tree = Tree::of(&[("a/t.rs", "#[test]\nfn tell_arrives() {}\nfn helper() {}"), ("e2e.sh", "")]);
        check_page(NAMES, page, &tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_page_with_a_row_for_each_name_passes() {
        assert_eq!(found(GOOD), Vec::<String>::new());
    }

    #[test]
    fn a_name_without_a_row_is_found_also_when_the_row_stands_elsewhere() {
        let findings = found(&GOOD.replace("| `-> expiry:` | — | — | not yet |\n", ""));
        assert!(findings.len() == 1 && findings[0].contains("no row for `-> expiry:` in \"Sending\""));
        assert_eq!(found(&GOOD.replace("### Gifts\n", "")).len(), 2);
    }

    #[test]
    fn a_row_that_the_seeds_do_not_name_or_that_stands_twice_is_found() {
        assert_eq!(found(&GOOD.replace("## Our own\n", "")).len(), 1);
        let row = "| `-> expiry:` | — | — | not yet |\n";
        assert_eq!(found(&GOOD.replace(row, &row.repeat(2))).len(), 1);
    }

    #[test]
    fn a_status_is_one_of_three_and_done_names_a_test_that_exists() {
        for (from, to) in [
            ("| — | not yet |\n###", "| — | soon |\n###"),
            ("`odeon-actor::contract::tell_arrives`", "—"),
            ("contract::tell_arrives", "contract::tell_vanishes"),
            ("contract::tell_arrives", "contract::helper"),
            ("`a/t.rs::", "`a/u.rs::"),
            ("`e2e.sh`", "`gone.sh`"),
            ("| `Fact` |", "|"),
        ] {
            assert!(GOOD.contains(from));
            assert_ne!(found(&GOOD.replace(from, to)), Vec::<String>::new(), "{to}");
        }
    }

    #[test]
    fn the_list_of_names_is_whole() {
        let names = wanted(SEEDS);
        for name in [
            ("Messaging Primitives", "->>"),
            ("Protocols", "!ok"),
            ("Ensemble Supervisory Operations", "ensemble-supervisor-invoke! message:"),
            ("TLS Infrastructure", "generate-actor-tls-cert! location:"),
            ("Agent Notes", "%arvo %$ %whiz"),
            ("Vane Tasks", "%sift"),
        ] {
            assert!(names.contains(&name), "{name:?}");
        }
        assert_eq!(names.len(), SEEDS.lines().filter(|line| !line.starts_with('#')).count());
    }
}
