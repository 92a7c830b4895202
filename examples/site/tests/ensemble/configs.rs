//! A file that is wrong is refused before anything starts, with the place and what to write instead.

use std::net::TcpListener;

use crate::support::{Project, TWO_WORKERS};

/// A wrong file: its text, the place of the mistake, what the error must say.
const WRONG: [(&str, &str, &str, &str); 9] = [
    ("unknown key", "[roles.web]\nwokers = 2\n", "odeon.toml:2:1", "did you mean `workers`?"),
    ("bad type", "[roles.web]\nworkers = \"two\"\n", "odeon.toml:2:11", "number"),
    ("out of range", "[roles.web]\nworkers = 0\n", "odeon.toml:2:11", "1"),
    (
        "unknown role in needs",
        "[roles.web]\nneeds = [\"wob\"]\n[roles.wab]\nexe = \"/bin/true\"\n",
        "odeon.toml:2:10",
        "did you mean",
    ),
    (
        "duplicate id",
        "[roles.web]\nworkers = 2\n[roles.other]\nexe = \"/bin/true\"\nservers = [\"web-1\"]\n",
        "odeon.toml:2:11",
        "`web-1` of role `web` is one of role `other` as well",
    ),
    (
        "cycle in needs",
        "[roles.web]\nneeds = [\"db\"]\n[roles.db]\nexe = \"/bin/true\"\nneeds = [\"web\"]\n",
        "odeon.toml:2:10",
        "web",
    ),
    ("unknown role of the program", "[roles.wev]\nworkers = 2\n", "odeon.toml:1:8", "did you mean `web`?"),
    ("not TOML", "[roles.web\nworkers = 2\n", "odeon.toml:1:11", "]"),
    ("bad address", "[roles.web]\nlisten = [\"tpc:127.0.0.1:80\"]\n", "odeon.toml:2:11", "tcp:"),
];

#[test]
fn a_wrong_file_is_refused_with_its_place_and_a_suggestion() {
    for (what, file, place, advice) in WRONG {
        let project = Project::new(file);
        for command in [&["config", "check"][..], &["up"], &["up", "--detach"]] {
            let error = project.fails(1, command);
            assert!(error.starts_with("error[config]"), "{what}: {error}");
            assert!(error.contains(place), "{what}: not at {place}: {error}");
            assert!(error.contains(advice), "{what}: no `{advice}` in: {error}");
        }
        let error = project.fails_json(1, &["up", "-d"]);
        assert_eq!(error["code"], "config", "{what}: {error}");
        let first = &error["errors"][0];
        assert!(first["line"].is_u64() && first["column"].is_u64(), "{what}: {error}");
        assert!(!project.home().exists(), "{what}: something was made");
        assert!(project.processes().is_empty(), "{what}: something was started");
    }
}

#[test]
fn every_mistake_is_reported_at_once() {
    let project = Project::new("domian = \"/\"\n[roles.web]\nwokers = 2\nlisten = 8080\n");
    let error = project.fails(1, &["up", "-d"]);
    for place in ["odeon.toml:1:1", "odeon.toml:3:1", "odeon.toml:4:10"] {
        assert!(error.contains(place), "{error}");
    }
    let errors = project.fails_json(1, &["config", "check"])["errors"].clone();
    assert_eq!(errors.as_array().map(Vec::len), Some(3), "{errors}");
}

#[test]
fn a_missing_file_and_a_missing_directory_are_named() {
    let project = Project::new(TWO_WORKERS);
    std::fs::remove_file(project.path().join("odeon.toml")).expect("removed");
    assert!(project.fails(2, &["up", "-d"]).contains("no odeon.toml here or above"));
    let error = project.fails(1, &["up", "-d", "nowhere"]);
    assert!(error.contains("nowhere/odeon.toml"), "{error}");
    assert!(!project.home().exists());
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_left() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = format!("tcp:{}", taken.local_addr().expect("bound"));
    let project = Project::new(&TWO_WORKERS.replace("tcp:127.0.0.1:0", &address));
    for command in [&["up"][..], &["up", "--detach"]] {
        let error = project.fails(1, command);
        assert!(error.contains(&address) && error.contains("in use"), "{error}");
        assert!(error.contains("choose another address"), "{error}");
        project.assert_nothing_left();
    }
    drop(taken);
    project.done(&["up", "--detach"]);
}
