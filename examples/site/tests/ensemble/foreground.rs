//! `up` in the foreground, and what it shows.

use rustix::process::Signal;
use serde_json::Value;

use crate::http::Client;
use crate::support::{Project, TWO_WORKERS, signal, state_of};

#[test]
fn ctrl_c_brings_everything_down() {
    for end in [Signal::INT, Signal::TERM] {
        let project = Project::new(TWO_WORKERS);
        let up = project.start(&["up"]);
        up.wait_said("up: 4 servers");
        let address = project.address();
        assert!(up.err().contains(&format!("at {address}")), "{}", up.err());
        assert_eq!(Client::connect(address).expect("connects").get("/").expect("served").status, 200);
        up.signal(end);
        let outcome = up.wait_end();
        assert_eq!(outcome.code, 0, "{outcome:?}");
        assert!(outcome.err.contains("going down"), "{outcome:?}");
        assert!(outcome.err.trim_end().ends_with("down"), "{outcome:?}");
        project.assert_nothing_left();
    }
}

#[test]
fn down_ends_a_foreground_up_too() {
    let project = Project::new(TWO_WORKERS);
    let up = project.start(&["up"]);
    up.wait_said("up: 4 servers");
    project.done(&["down"]);
    let outcome = up.wait_end();
    assert_eq!(outcome.code, 0, "{outcome:?}");
    project.assert_nothing_left();
}

#[test]
fn an_early_ctrl_c_leaves_nothing_either() {
    let project = Project::new(TWO_WORKERS);
    let up = project.start(&["up"]);
    up.wait_said("starting");
    up.signal(Signal::INT);
    let outcome = up.wait_end();
    assert_eq!(outcome.code, 0, "{outcome:?}");
    project.assert_nothing_left();
}

#[test]
fn a_killed_foreground_up_is_taken_over_by_the_next() {
    let project = Project::new(TWO_WORKERS);
    let up = project.start(&["up"]);
    up.wait_said("up: 4 servers");
    let workers = [project.pid("web-0"), project.pid("web-1")];
    up.signal(Signal::KILL);
    up.wait_end();
    let up = project.start(&["up"]);
    up.wait_said("up: 4 servers");
    let said = up.err();
    for (id, pid) in [("web-0", workers[0]), ("web-1", workers[1])] {
        let is_adoption = |line: &str| line.starts_with(id) && line.contains("adopted");
        assert!(said.lines().any(|line| is_adoption(line) && line.contains(&pid.to_string())), "{said}");
    }
    assert_eq!([project.pid("web-0"), project.pid("web-1")], workers);
    up.signal(Signal::INT);
    assert_eq!(up.wait_end().code, 0);
    project.assert_nothing_left();
}

#[test]
fn events_are_lines_of_json_on_demand() {
    let project = Project::new(TWO_WORKERS);
    let up = project.start(&["up", "--json"]);
    up.wait_said(r#""event":"up""#);
    signal(project.pid("web-0"), Signal::KILL);
    up.wait_said("SIGKILL");
    project.wait_row("web-0", "ready again", |row| state_of(row) == "ready");
    project.done(&["down"]);
    let outcome = up.wait_end();
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let events: Vec<Value> =
        outcome.out.lines().map(|line| serde_json::from_str(line).expect("a line is a document")).collect();
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(kinds.len(), events.len(), "each says what it is");
    assert_eq!(kinds[0], "planned");
    let is_up = events.iter().find(|event| event["event"] == "up").expect("up");
    assert!(is_up["listen"][0].as_str().is_some_and(|at| at.starts_with("tcp:127.0.0.1:")), "{is_up}");
    let is_ready = |event: &&Value| event["id"] == "web-0@/" && event["to"] == "ready";
    assert_eq!(events.iter().filter(is_ready).count(), 2, "{events:?}");
    let died = events.iter().find(|event| event["exit"].is_string()).expect("the end of web-0");
    assert_eq!(died["exit"], "killed by signal 9 (SIGKILL)");
}

#[test]
fn a_second_up_is_told_of_the_first() {
    let project = Project::up();
    let pid = project.pid("web-0");
    for command in [&["up"][..], &["up", "--detach"]] {
        let error = project.fails(1, command);
        assert!(error.starts_with("error[already-up]"), "{error}");
        assert!(error.contains("site ps") && error.contains("site down"), "{error}");
    }
    assert_eq!(project.pid("web-0"), pid);
    project.done(&["down"]);
    let up = project.start(&["up"]);
    up.wait_said("up: 4 servers");
    assert!(project.fails(1, &["up", "-d"]).starts_with("error[already-up]"));
}

#[test]
fn a_hangup_ends_nothing_neither_early_nor_late() {
    let project = Project::new(TWO_WORKERS);
    let up = project.start(&["up"]);
    up.wait_said("starting");
    up.signal(Signal::HUP);
    up.wait_said("up: 4 servers");
    let pid = project.supervisor_pid();
    for _ in 0..3 {
        up.signal(Signal::HUP);
        assert_eq!(project.supervisor_pid(), pid);
    }
    up.signal(Signal::INT);
    assert_eq!(up.wait_end().code, 0);
    project.assert_nothing_left();
}
