//! Arrows point down only: a crate uses crates of lower floors, never of its own floor or above.
//!
//! Development dependencies are free: they do not travel with the crate.

use toml::{Table, Value};

use crate::finding::Finding;
use crate::tree::Tree;

/// The house, floor by floor; `None` stands beside it: uses everything, is used by nobody.
const FLOORS: [(&str, Option<u8>); 19] = [
    ("odeon", Some(7)),
    ("odeon-cli", Some(6)),
    ("odeon-gateway", Some(5)),
    ("odeon-guest", Some(5)),
    ("odeon-agent", Some(4)),
    ("odeon-ensemble", Some(4)),
    ("odeon-server", Some(3)),
    ("odeon-actor", Some(2)),
    ("odeon-auth", Some(1)),
    ("odeon-journal", Some(1)),
    ("odeon-mailbox", Some(1)),
    ("odeon-wire", Some(1)),
    ("odeon-core", Some(0)),
    ("odeon-macros", Some(0)),
    ("odeon-bench", None),
    ("odeon-bench-clusters", None),
    ("odeon-sim", None),
    ("site", None),
    ("xtask", None),
];

/// The tables of a manifest whose crates become part of the product.
const DEPENDENCY_TABLES: [&str; 2] = ["dependencies", "build-dependencies"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.ending("Cargo.toml")
        .filter_map(|(path, text)| Some((path, text, text.parse::<Table>().ok()?)))
        .flat_map(|(path, text, manifest)| check_manifest(path, text, &manifest))
        .collect()
}

fn check_manifest(path: &str, text: &str, manifest: &Table) -> Vec<Finding> {
    let Some(name) = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str)
    else {
        return Vec::new();
    };
    // A workspace of its own is no part of the house: the fuzzer, which drives the simulator's functions.
    if manifest.contains_key("workspace") {
        return Vec::new();
    }
    let Some(floor) = floor_of(name) else {
        let what = format!("crate `{name}` stands on no floor");
        return vec![Finding::new(
            "layers",
            path,
            1,
            what,
            "give it one in FLOORS of xtask's checks/layers.rs",
        )];
    };
    let mut findings = Vec::new();
    for used in dependencies(manifest) {
        let (what, fix) = match (floor, floor_of(&used)) {
            (_, None) => continue,
            (_, Some(None)) => {
                (format!("`{name}` depends on `{used}`, which stands beside the house"), "remove it")
            }
            (Some(own), Some(Some(other))) if other >= own => (
                format!("`{name}` (floor {own}) depends on `{used}` (floor {other})"),
                "move what both need to a lower floor",
            ),
            _ => continue,
        };
        let line = text.lines().position(|line| line.trim_start().starts_with(&used)).map_or(1, |at| at + 1);
        findings.push(Finding::new("layers", path, line, what, fix));
    }
    findings
}

fn floor_of(name: &str) -> Option<Option<u8>> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

/// The crates a manifest names, by their own name where it renames them.
fn dependencies(manifest: &Table) -> Vec<String> {
    let for_targets = manifest.get("target").and_then(Value::as_table).into_iter();
    let for_targets = for_targets.flat_map(Table::values).filter_map(Value::as_table);
    let mut used = Vec::new();
    for tables in std::iter::once(manifest).chain(for_targets) {
        for name in DEPENDENCY_TABLES {
            let Some(table) = tables.get(name).and_then(Value::as_table) else {
                continue;
            };
            for (key, value) in table {
                let package = value.get("package").and_then(Value::as_str);
                used.push(package.unwrap_or(key).to_owned());
            }
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(manifest: &str) -> Vec<String> {
        let tree = Tree::of(&[("crates/x/Cargo.toml", manifest)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_arrow_down_passes() {
        let down = "[package]\nname = \"odeon-server\"\n[dependencies]\nodeon-wire.workspace = true\ntokio = \"1\"\n";
        assert_eq!(found(down), Vec::<String>::new());
        let upward_for_tests = "[package]\nname = \"odeon-wire\"\n[dev-dependencies]\nodeon-sim = \"0\"\n";
        assert_eq!(found(upward_for_tests), Vec::<String>::new());
        let beside = "[package]\nname = \"odeon-sim\"\n[dependencies]\nodeon-ensemble.workspace = true\n";
        assert_eq!(found(beside), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_up_or_aside_fails_at_its_line() {
        let up = "[package]\nname = \"odeon-wire\"\n[dependencies]\nodeon-actor.workspace = true\n";
        assert_eq!(
            found(up),
            ["crates/x/Cargo.toml:4: `odeon-wire` (floor 1) depends on `odeon-actor` (floor 2); \
              move what both need to a lower floor"]
        );
        for aside in [
            "[package]\nname = \"odeon-wire\"\n[dependencies]\nodeon-auth.workspace = true\n",
            "[package]\nname = \"odeon-wire\"\n[build-dependencies]\nodeon-auth.workspace = true\n",
            "[package]\nname = \"odeon-wire\"\n[target.'cfg(unix)'.dependencies]\na = { package = \"odeon-auth\" }\n",
        ] {
            assert_eq!(found(aside).len(), 1, "{aside}");
        }
    }

    #[test]
    fn nobody_depends_on_what_stands_beside_the_house() {
        for user in ["odeon-cli", "odeon-bench"] {
            let manifest =
                format!("[package]\nname = \"{user}\"\n[dependencies]\nxtask = {{ path = \"x\" }}\n");
            assert_eq!(found(&manifest).len(), 1);
        }
    }

    #[test]
    fn an_unknown_crate_must_be_given_a_floor() {
        assert_eq!(found("[package]\nname = \"odeon-attic\"\n").len(), 1);
    }
}
