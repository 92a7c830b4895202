//! Every source file says first what it is for.

use crate::finding::Finding;
use crate::tree::Tree;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.ending(".rs")
        .filter(|(path, text)| is_source(path) && !text.starts_with("//!"))
        .map(|(path, _)| {
            let fix = "begin it with `//!`: purpose, who owns the state, invariants";
            Finding::new("module docs", path, 1, "does not say what it is for", fix)
        })
        .collect()
}

fn is_source(path: &str) -> bool {
    let mut parts = path.split('/');
    match parts.next() {
        Some("crates" | "examples") => parts.nth(1) == Some("src"),
        Some("xtask") => parts.next() == Some("src"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_begin_with_their_purpose() {
        let good = [("crates/a/src/x/y.rs", "//! Why.\n"), ("crates/a/tests/t.rs", "fn f() {}\n")];
        assert_eq!(check(&Tree::of(&good)), []);
        for path in ["crates/a/src/lib.rs", "examples/a/src/main.rs", "xtask/src/x.rs"] {
            assert_eq!(check(&Tree::of(&[(path, "use a;\n//! Late.\n")])).len(), 1, "{path}");
        }
    }
}
