//! Servers that cannot run: they are tried again, then given up, and nobody else suffers.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Project, TWO_WORKERS, pid_of, signal, state_of};

/// A role whose servers die at once, and are given up soon.
const BROKEN: &str = r#"
[roles.broken]
exe = "broken.sh"
restart-max = 3
backoff-min = "20ms"
backoff-max = "80ms"
"#;

#[test]
fn a_server_that_dies_at_once_is_given_up_and_the_others_are_untouched() {
    let project = Project::new(&format!("{TWO_WORKERS}{BROKEN}"));
    project.script("broken.sh", "#!/bin/sh\necho \"the disk of $2 is on fire\" >&2\nexit 3\n");
    let said = project.site(&["up", "--detach"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("error[not-ready]: broken-0 did not come up; the others run"), "{said:?}");
    assert!(said.out.contains("the disk of broken-0@/ is on fire"), "{said:?}");

    let row = project.row("broken-0");
    assert_eq!(state_of(&row), "failed", "{row}");
    assert_eq!(row["process"]["restarts"], 3, "{row}");
    assert_eq!(row["process"]["pid"], Value::Null);
    assert_eq!(row["process"]["last_lines"], json!(["the disk of broken-0@/ is on fire"]), "{row}");
    let why = row["process"]["why"].as_str().expect("a reason");
    assert!(why.contains("exited with code 3"), "{row}");
    let table = project.done(&["ps"]);
    assert!(table.contains("failed") && table.contains("last lines of broken-0"), "{table}");
    // The log has every attempt, and the supervisor's has every wait.
    let log = project.done(&["logs", "broken-0", "--grep", "on fire"]);
    assert_eq!(log.lines().count(), 4, "{log}");
    let log = project.done(&["logs", "supervisor", "--grep", "broken-0"]);
    assert!(log.contains("backoff") && log.contains("failed"), "{log}");

    for id in ["web-0", "web-1"] {
        let row = project.row(id);
        assert_eq!((state_of(&row), &row["process"]["restarts"]), ("ready", &json!(0)), "{row}");
    }
    assert_eq!(project.get("/").status, 200);
    // Once it is mended, it is started by hand; its past is forgiven.
    project.script("broken.sh", "#!/bin/sh\nexec sleep 1000\n");
    let error = project.fails(5, &["start", "broken", "broken-0", "--timeout", "300ms"]);
    assert!(error.contains("--timeout"), "{error}");
    assert_eq!(state_of(&project.row("broken-0")), "starting", "it runs, but says nothing");
    project.done(&["down"]);
    project.assert_nothing_left();
}

#[test]
fn up_ends_when_what_a_role_needs_has_failed() {
    let needy = TWO_WORKERS.replace("workers = 2", "workers = 1\nneeds = [\"broken\"]");
    let project = Project::new(&format!("{needy}{BROKEN}"));
    project.script("broken.sh", "#!/bin/sh\nexit 3\n");
    let said = project.site(&["up", "--detach"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("broken-0, web-0 did not come up"), "{said:?}");
    assert!(said.out.contains("waits for role `broken`, which is down"), "{said:?}");
}

#[test]
fn a_role_that_fails_says_why_in_its_last_lines() {
    let file = TWO_WORKERS.replace(r#"root = "pages""#, r#"root = "no-such-pages""#);
    let file = file.replace("workers = 2", "workers = 1\nrestart-max = 1\nbackoff-min = \"10ms\"");
    let project = Project::new(&file);
    let said = project.site(&["up", "-d", "--json"]);
    assert_eq!(said.code, 1, "{said:?}");
    let rows: Value = serde_json::from_str(&said.out).expect("rows");
    let row = rows.as_array().expect("rows").iter().find(|row| row["id"] == "web-0@/").expect("web-0");
    let lines = row["process"]["last_lines"].to_string();
    assert!(lines.contains("no-such-pages"), "{row}");
    assert_eq!(state_of(&project.row("registry")), "ready");
    let error: Value = serde_json::from_str(&said.err).expect("an error");
    assert_eq!(error["error"]["code"], "not-ready", "{error}");
}

#[test]
fn a_program_that_is_not_there_is_reported() {
    let project = Project::new("[roles.ghost]\nexe = \"no/such/program\"\nrestart-max = 0\n");
    let said = project.site(&["up", "--detach"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("no/such/program"), "{said:?}");
    assert_eq!(state_of(&project.row("ghost-0")), "failed");
}

#[test]
fn a_server_that_does_not_answer_is_a_timeout() {
    let project = Project::up();
    let pid = project.pid("web-0");
    signal(pid, Signal::STOP);
    for command in [
        &["ping", "web-0"][..],
        &["ask", "web-0:greeter", "greeting"],
        &["status", "web-0"],
        &["list", "actors", "web-0"],
    ] {
        let error = project.fails(5, &[command, &["--timeout", "150ms"]].concat());
        assert!(error.contains("--timeout"), "{error}");
    }
    assert_eq!(project.fails_json(5, &["ping", "web-0", "--timeout", "150ms"])["code"], "timed-out");
    signal(pid, Signal::CONT);
    project.done(&["ping", "web-0"]);
    assert_eq!(pid_of(&project.row("web-0")), Some(pid), "it was only slow");
}
