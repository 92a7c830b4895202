//! Every crate inherits the lints and the package fields of the workspace; but for those that are a workspace of their
//! own, which cannot.

use toml::{Table, Value};

use crate::finding::Finding;
use crate::tree::Tree;

/// What the root manifest decides for all.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.ending("Cargo.toml").flat_map(|(path, text)| check_manifest(path, text)).collect()
}

fn check_manifest(path: &str, text: &str) -> Vec<Finding> {
    let manifest = match text.parse::<Table>() {
        Ok(manifest) => manifest,
        Err(error) => {
            let line = error.span().map_or(1, |span| crate::source::line_of(text, span.start));
            return vec![Finding::new("manifests", path, line, error.message(), "write valid TOML")];
        }
    };
    let Some(package) = manifest.get("package").and_then(Value::as_table) else {
        return Vec::new();
    };
    if manifest.contains_key("workspace") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if !is_inherited(manifest.get("lints")) {
        let fix = "add `[lints]` with `workspace = true`";
        findings.push(Finding::new("manifests", path, 1, "does not inherit the lints of the workspace", fix));
    }
    for field in INHERITED {
        if !is_inherited(package.get(field)) {
            let what = format!("`{field}` is not inherited from the workspace");
            findings.push(Finding::new(
                "manifests",
                path,
                1,
                what,
                format!("write `{field}.workspace = true`"),
            ));
        }
    }
    if package.get("description").and_then(Value::as_str).is_none_or(str::is_empty) {
        findings.push(Finding::new(
            "manifests",
            path,
            1,
            "has no description",
            "say in one line what it is for",
        ));
    }
    findings
}

fn is_inherited(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"a\"\ndescription = \"does a\"\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
        publish.workspace = true\n[lints]\nworkspace = true\n";

    fn count(manifest: &str) -> usize {
        check(&Tree::of(&[("a/Cargo.toml", manifest)])).len()
    }

    #[test]
    fn a_crate_that_inherits_passes_and_so_does_a_root_without_package() {
        assert_eq!(count(GOOD), 0);
        assert_eq!(count("[workspace]\nmembers = []\n"), 0);
    }

    #[test]
    fn a_crate_that_is_a_workspace_of_its_own_has_nothing_to_inherit() {
        let alone = GOOD.replace("\nversion.workspace = true", "\nversion = \"1\"");
        assert_eq!(count(&format!("[workspace]\n{alone}")), 0);
        assert_eq!(count(&alone), 1);
    }

    #[test]
    fn whatever_is_not_inherited_is_found() {
        for field in INHERITED {
            let line = format!("\n{field}.workspace = true\n");
            assert!(GOOD.contains(&line));
            assert_eq!(count(&GOOD.replace(&line, "\n")), 1, "{field}");
        }
        assert_eq!(count(&GOOD.replace("\nversion.workspace = true", "\nversion = \"1\"")), 1);
        assert_eq!(count(&GOOD.replace("[lints]\nworkspace = true\n", "")), 1);
        assert_eq!(count(&GOOD.replace("does a", "")), 1);
    }

    #[test]
    fn a_manifest_that_is_no_toml_is_found_at_its_line() {
        let findings = check(&Tree::of(&[("a/Cargo.toml", "[package]\nname = \n")]));
        assert_eq!((findings.len(), findings[0].line), (1, 2));
    }
}
