//! Links between our pages lead somewhere.

use crate::finding::Finding;
use crate::tree::Tree;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".md") {
        for (line, target) in targets(text) {
            if leads_outside(target) {
                continue;
            }
            let file = target.split('#').next().unwrap_or(target);
            if file.is_empty() || resolve(path, file).is_some_and(|file| tree.has(&file)) {
                continue;
            }
            let what = format!("links to `{target}`, which is not there");
            findings.push(Finding::new("links", path, line, what, "mend or remove the link"));
        }
    }
    findings
}

/// The targets of all links and images outside of code, with their lines.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_fence = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        } else if !in_fence {
            found.extend(targets_in_line(line).map(|target| (at + 1, target)));
        }
    }
    found
}

fn targets_in_line(line: &str) -> impl Iterator<Item = &str> {
    let in_code = |offset: usize| line[..offset].matches('`').count() % 2 == 1;
    line.match_indices("](").filter(move |(offset, _)| !in_code(*offset)).filter_map(|(offset, open)| {
        let inside = &line[offset + open.len()..];
        let target = inside[..inside.find(')')?].split_whitespace().next()?;
        Some(target.trim_start_matches('<').trim_end_matches('>'))
    })
}

fn leads_outside(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// The path from the root of a target named in `from`; none if it leaves the repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&Tree::of(&[("docs/a.md", text), ("docs/b.md", ""), ("README.md", "")])).len()
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        for text in [
            "[b](b.md) and [top](../README.md#use \"title\") and [here](#x)",
            "[dir](../docs/) [root](..) [web](https://example.org/x) [mail](mailto:a@b)",
            "```\n[no](gone.md)\n```\nand `[no](gone.md)`",
        ] {
            assert_eq!(count(text), 0, "{text}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_fail() {
        for text in ["[x](gone.md)", "![x](../docs/c.svg)", "[x](../../README.md)", "`a` [x](gone.md#b)"] {
            assert_eq!(count(text), 1, "{text}");
        }
    }
}
