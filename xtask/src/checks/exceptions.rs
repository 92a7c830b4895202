//! Every exception from a lint says why, and `unsafe` is excepted in one crate only.

use crate::finding::Finding;
use crate::source::{code_only, end_of_block, line_of};
use crate::tree::Tree;

/// The only crate that may use `unsafe`.
const UNSAFE_CRATE: &str = "crates/odeon-mailbox/";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let reasons = tree.ending(".rs").flat_map(|(path, text)| check_text(path, text));
    reasons.chain(tree.ending(".rs").flat_map(|(path, text)| check_unsafe(path, text))).collect()
}

fn check_unsafe(path: &str, text: &str) -> Option<Finding> {
    if path.starts_with(UNSAFE_CRATE) {
        return None;
    }
    let line = line_of(text, code_only(text).find("unsafe_code")?);
    let fix = "do without, or move it into odeon-mailbox behind a safe interface";
    Some(Finding::new("exceptions", path, line, "`unsafe` outside of odeon-mailbox", fix))
}

fn check_text(path: &str, text: &str) -> Vec<Finding> {
    let code = code_only(text);
    ["#[expect(", "#![expect("]
        .iter()
        .flat_map(|start| code.match_indices(start).map(|(offset, start)| (offset, offset + start.len() - 1)))
        .filter(|(_, open)| !code[*open..end_of_block(&code, *open)].contains("reason"))
        .map(|(offset, _)| {
            let line = line_of(text, offset);
            Finding::new("exceptions", path, line, "an exception without a reason", "add `reason = \"..\"`")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_is_for_one_crate() {
        let text = "\n#![expect(unsafe_code, reason = \"why\")]";
        assert_eq!(check(&Tree::of(&[("crates/odeon-mailbox/src/cell.rs", text)])), []);
        let findings = check(&Tree::of(&[("crates/odeon-actor/src/run.rs", text)]));
        assert_eq!((findings.len(), findings[0].line), (1, 2));
    }

    #[test]
    fn an_exception_has_a_reason_on_whatever_line() {
        let good = "#[expect(a::b, reason = \"why\")]\n#![expect(\n    c,\n    reason = \"why\",\n)]\n// #[expect(d)]\n";
        assert_eq!(check(&Tree::of(&[("a.rs", good)])), []);
        for bad in ["\n#[expect(a::b)]\n// reason", "\n#![expect(a)]\nfn reason() {}"] {
            let findings = check(&Tree::of(&[("a.rs", bad)]));
            assert_eq!((findings.len(), findings[0].line), (1, 2), "{bad}");
        }
    }
}
