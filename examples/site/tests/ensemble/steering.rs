//! Starting, stopping, scaling and restarting, and following what servers write.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Project, TWO_WORKERS, pid_of, signal, state_of, wait_for};

fn ids(rows: &Value) -> Vec<&str> {
    rows.as_array().expect("rows").iter().filter_map(|row| row["id"].as_str()).collect()
}

#[test]
fn a_stopped_server_stays_down_until_it_is_started() {
    let project = Project::up();
    let before = project.pid("web-0");
    let rows = project.json(&["stop", "web-0"]);
    assert_eq!(ids(&rows), ["web-0@/"]);
    assert_eq!((state_of(&rows[0]), pid_of(&rows[0])), ("stopped", None), "{rows}");
    // The other one goes through a whole crash and restart; this one stays where it is.
    let other = project.pid("web-1");
    signal(other, Signal::KILL);
    project.wait_row("web-1", "ready again", |row| {
        state_of(row) == "ready" && pid_of(row).is_some_and(|pid| pid != other)
    });
    assert_eq!(state_of(&project.row("web-0")), "stopped");
    let unreachable = project.fails(4, &["ping", "web-0"]);
    assert!(unreachable.contains("web-0"), "{unreachable}");
    let rows = project.json(&["start", "web", "web-0"]);
    assert_eq!(state_of(&rows[0]), "ready", "{rows}");
    assert_ne!(pid_of(&rows[0]), Some(before));
    assert_eq!(rows[0]["process"]["restarts"], 0, "it was not policy");
}

#[test]
fn servers_are_stopped_by_role_and_by_domain() {
    let project = Project::up();
    let stopped = |arguments: &[&str]| {
        let rows = project.json(arguments);
        assert!(rows.as_array().expect("rows").iter().all(|row| state_of(row) == "stopped"), "{rows}");
        ids(&rows).join(" ")
    };
    assert_eq!(stopped(&["stop", "--role", "web"]), "web-0@/ web-1@/");
    assert_eq!(state_of(&project.row("registry")), "ready", "it has another role");
    assert_eq!(stopped(&["stop", "--in", "/"]), "registry@/ web-0@/ web-1@/");
    assert_eq!(project.site(&["stop"]).code, 2, "a selection must be said");
}

#[test]
fn a_role_is_scaled_up_and_down() {
    let project = Project::up();
    let before = [project.pid("web-0"), project.pid("web-1")];
    let rows = project.json(&["scale", "web", "4"]);
    assert_eq!(ids(&rows), ["web-0@/", "web-1@/", "web-2@/", "web-3@/"]);
    assert!(rows.as_array().expect("rows").iter().all(|row| state_of(row) == "ready"), "{rows}");
    assert_eq!([project.pid("web-0"), project.pid("web-1")], before, "those that ran run on");
    wait_for("a page of the newest", || (project.get("/").served_by == "web-3").then_some(()));
    let rows = project.json(&["scale", "web", "1"]);
    assert_eq!(ids(&rows), ["web-0@/"]);
    assert_eq!(ids(&project.json(&["ps"])), ["supervisor@/", "registry@/", "web-0@/"]);
    assert_eq!(ids(&project.json(&["lookup", "--role", "web"])), ["web-0@/"], "the others have left");
    assert_eq!(ids(&project.json(&["lookup", "--role", "supervisor"])), ["supervisor@/"]);
    assert_eq!(project.pid("web-0"), before[0]);
    let rows = project.json(&["scale", "web", "0"]);
    assert_eq!(rows, json!([]));
    project.json(&["scale", "web", "2"]);
    assert_eq!(project.get("/").status, 200);
    project.done(&["down"]);
    project.assert_nothing_left();
}

#[test]
fn servers_are_restarted_by_hand_one_or_all_of_a_role() {
    let project = Project::up();
    let (first, second) = (project.pid("web-0"), project.pid("web-1"));
    let rows = project.json(&["restart", "web-0"]);
    assert_eq!((ids(&rows), state_of(&rows[0])), (vec!["web-0@/"], "ready"));
    assert_ne!(project.pid("web-0"), first);
    assert_eq!(project.pid("web-1"), second);
    let rows = project.json(&["restart", "--role", "web"]);
    assert_eq!(ids(&rows), ["web-0@/", "web-1@/"]);
    assert_ne!(project.pid("web-1"), second);
    assert!(rows.as_array().expect("rows").iter().all(|row| row["process"]["restarts"] == 0), "{rows}");
    let rows = project.json(&["restart", "--in", "/"]);
    assert_eq!(ids(&rows), ["registry@/", "web-0@/", "web-1@/"]);
    assert_eq!(project.site(&["restart"]).code, 2, "a selection must be said");
}

#[test]
fn a_shutdown_is_followed_by_policy() {
    let project = Project::up();
    let before = project.pid("web-0");
    assert_eq!(project.json(&["shutdown", "web-0"])["asked"], "web-0@/");
    let row = project.wait_row("web-0", "back", |row| {
        state_of(row) == "ready" && pid_of(row).is_some_and(|pid| pid != before)
    });
    assert_eq!(row["process"]["restarts"], 1, "{row}");
    assert_eq!(row["process"]["last_exit"], "exited with code 0", "{row}");
    assert!(project.done(&["shutdown", "web-1"]).contains("web-1"));
    // An actor alone: its server goes on without it.
    project.done(&["shutdown", "web-0:greeter"]);
    let error = wait_for("the greeter's end", || {
        Some(project.site(&["ping", "web-0:greeter"])).filter(|outcome| outcome.code != 0)
    });
    assert!(error.err.contains("greeter"), "{error:?}");
    project.done(&["ping", "web-0"]);
}

#[test]
fn roles_wait_for_those_they_need() {
    let project = Project::new(&format!("{TWO_WORKERS}needs-nothing = true\n"));
    assert_eq!(project.site(&["config", "check"]).code, 0, "settings are the role's own affair");
    let file = TWO_WORKERS.replace("workers = 2", "servers = [\"front\", \"back\"]");
    project.write("odeon.toml", &file);
    let rows = project.json(&["up", "-d"]);
    assert_eq!(ids(&rows), ["back@/", "front@/", "registry@/"]);
    let error = project.fails(1, &["scale", "web", "3"]);
    assert!(error.contains("named"), "{error}");
    // A server that is not in the file joins its role.
    let rows = project.json(&["start", "web", "side"]);
    assert_eq!((ids(&rows), state_of(&rows[0])), (vec!["side@/"], "ready"));
    assert!(project.done(&["ps"]).contains("side"));
    let error = project.fails(1, &["start", "web", "registry"]);
    assert!(error.contains("registry"), "{error}");
    project.done(&["down"]);
    project.assert_nothing_left();
}

#[test]
fn logs_show_the_last_lines_and_follow() {
    let project = Project::up();
    assert!(project.done(&["logs", "web-0"]).contains("web-0@/ begins"));
    assert_eq!(project.done(&["logs", "supervisor", "-n", "2"]).lines().count(), 2);
    assert_eq!(project.done(&["logs", "web-0", "--grep", "no such line"]), "");
    for line in project.done(&["logs", "supervisor", "--json"]).lines() {
        let document: Value = serde_json::from_str(line).expect("a document");
        assert!(document["line"].is_string(), "{line}");
    }
    let all = project.start(&["logs", "-f", "web-0"]);
    let some = project.start(&["logs", "-f", "web-0", "--grep", "ends", "--json"]);
    all.wait_said("begins");
    project.done(&["restart", "web-0"]);
    some.wait_said("ends");
    wait_for("the second begin", || (all.out().matches("begins").count() == 2).then_some(()));
    assert!(!some.out().contains("begins"), "{}", some.out());
    for running in [all, some] {
        running.signal(Signal::INT);
        let outcome = running.wait_end();
        assert_eq!(outcome.code, 0, "{outcome:?}");
    }
    let error = project.fails(1, &["logs", "web-9"]);
    assert!(error.contains("web-9") && error.contains("site ps"), "{error}");
}
