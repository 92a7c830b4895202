//! Processes that die when nobody expects it.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::http::Client;
use crate::load::Load;
use crate::support::{Project, pid_of, signal, state_of, wait_for};

/// Readers of each manner.
const READERS: usize = 4;

#[test]
fn a_worker_killed_under_load_is_restarted_and_only_what_it_held_is_lost() {
    let project = Project::up_alone();
    let (pid, other) = (project.pid("web-0"), project.pid("web-1"));
    let load = Load::start(project.address(), READERS);
    load.wait_answers(200);
    let killed = Instant::now();
    signal(pid, Signal::KILL);
    let row = project.wait_row("web-0", "ready again", |row| {
        state_of(row) == "ready" && pid_of(row).is_some_and(|now| now != pid)
    });
    let restarted = killed.elapsed();
    load.wait_answers(200);
    let tallies = load.end();

    let answers: u64 = tallies.iter().map(|tally| tally.answers).sum();
    let lost: Vec<_> = tallies.iter().flat_map(|tally| &tally.lost).collect();
    println!("restarted in {restarted:?}; {answers} answers, lost: {lost:?}");
    assert!(restarted < Duration::from_secs(1), "{restarted:?}");
    for tally in &tallies {
        assert!(tally.refused.is_empty(), "no connection is refused: {tally:?}");
        assert!(tally.bad.is_empty(), "{tally:?}");
        assert!(tally.lost.len() <= 1, "no reader loses more than what the dead worker held: {tally:?}");
        assert!(tally.lost.iter().all(|(by, _)| by.is_empty() || by == "web-0"), "{tally:?}");
    }
    assert_eq!(row["process"]["restarts"], 1, "{row}");
    assert_eq!(row["process"]["last_exit"], "killed by signal 9 (SIGKILL)", "{row}");
    assert!(project.done(&["ps"]).contains("killed by signal 9 (SIGKILL)"));
    let log = project.done(&["logs", "web-0"]);
    assert!(log.contains(&format!("-- process {pid} was killed by signal 9\n")), "{log}");
    let log = project.done(&["logs", "supervisor", "--grep", "web-0"]);
    assert!(log.contains("killed by signal 9 (SIGKILL)"), "{log}");
    assert_eq!(project.pid("web-1"), other, "the other one is untouched");
    assert_eq!(project.row("web-1")["process"]["restarts"], 0);
}

#[test]
fn those_who_come_while_nobody_serves_wait_in_the_queue() {
    let project = Project::up_with(&crate::support::TWO_WORKERS.replace("workers = 2", "workers = 1"));
    let (address, pid) = (project.address(), project.pid("web-0"));
    signal(pid, Signal::KILL);
    wait_for("its end", || project.processes().iter().all(|(found, _)| *found != pid).then_some(()));
    let mut waiting: Vec<Client> =
        (0..20).map(|_| Client::connect(address).expect("the queue is open")).collect();
    for client in &mut waiting {
        assert_eq!(client.get("/").expect("answered by the next").status, 200);
    }
    assert_eq!(project.row("web-0")["process"]["restarts"], 1);
}

#[test]
fn a_killed_shim_takes_its_server_along_and_both_come_back() {
    let project = Project::up();
    let (pid, other) = (project.pid("web-0"), project.pid("web-1"));
    signal(project.shim_pid("web-0"), Signal::KILL);
    let row = project.wait_row("web-0", "ready again", |row| {
        state_of(row) == "ready" && pid_of(row).is_some_and(|now| now != pid)
    });
    assert_eq!(row["process"]["restarts"], 1, "{row}");
    assert_eq!(project.pid("web-1"), other);
    assert!(project.processes().iter().all(|(found, _)| *found != pid), "the old one is gone");
    assert_eq!(project.get("/").status, 200);
    project.done(&["down"]);
    project.assert_nothing_left();
}

#[test]
fn a_killed_registry_comes_back_and_is_told_again_who_lives() {
    let project = Project::up();
    let workers = [project.pid("web-0"), project.pid("web-1")];
    signal(project.pid("registry"), Signal::KILL);
    wait_for("the registry to know both workers", || {
        let found = project.site(&["lookup", "--role", "web", "--json"]);
        let found: serde_json::Value = serde_json::from_str(&found.out).ok()?;
        let ids: Vec<_> = found.as_array()?.iter().map(|entry| entry["id"].clone()).collect();
        (ids == [json!("web-0@/"), json!("web-1@/")]).then_some(())
    });
    assert_eq!(project.row("registry")["process"]["restarts"], 1);
    assert_eq!([project.pid("web-0"), project.pid("web-1")], workers);
}

/// Kills the supervisor and waits until it is gone; everything else lives.
fn kill_supervisor(project: &Project) {
    let pid = project.supervisor_pid();
    signal(pid, Signal::KILL);
    wait_for("the supervisor's end", || {
        project.processes().iter().all(|(found, _)| *found != pid).then_some(())
    });
}

#[test]
fn a_killed_supervisor_leaves_its_servers_at_work_and_the_next_one_adopts_them() {
    let project = Project::up();
    let (address, registry) = (project.address(), project.pid("registry"));
    let workers = [project.pid("web-0"), project.pid("web-1")];
    kill_supervisor(&project);

    assert_eq!(Client::connect(address).expect("connects").get("/").expect("served").status, 200);
    project.done(&["ask", "web-0:greeter", "set-greeting", r#"{"text":"still here"}"#]);
    let unreachable = project.fails(4, &["ps"]);
    assert!(unreachable.contains("supervisor") && unreachable.contains("site up"), "{unreachable}");

    let said = project.site(&["up", "--detach"]);
    assert_eq!(said.code, 0, "{said:?}");
    for id in ["registry", "web-0", "web-1"] {
        assert!(said.err.lines().any(|line| line.starts_with(id) && line.contains("adopted")), "{said:?}");
    }
    assert_eq!([project.pid("web-0"), project.pid("web-1")], workers, "the same processes");
    assert_eq!(project.pid("registry"), registry);
    assert_eq!(project.address(), address, "at the same port");
    assert_eq!(project.row("web-0")["origin"], "keep");
    assert_eq!(project.json(&["ask", "web-0:greeter", "greeting"]), json!("still here"));
    // Those adopted are supervised as before.
    signal(workers[0], Signal::KILL);
    project.wait_row("web-0", "ready again", |row| {
        state_of(row) == "ready" && pid_of(row).is_some_and(|now| now != workers[0])
    });
    assert_eq!(Client::connect(address).expect("connects").get("/").expect("served").status, 200);
    project.done(&["down"]);
    project.assert_nothing_left();
}

#[test]
fn a_supervisor_after_a_changed_file_replaces_what_differs_and_stops_what_is_not_wanted() {
    let project = Project::up();
    let (address, registry) = (project.address(), project.pid("registry"));
    let workers = [project.pid("web-0"), project.pid("web-1")];
    kill_supervisor(&project);
    let changed = crate::support::TWO_WORKERS.replace("Good evening.", "Good morning.");
    project.write("odeon.toml", &changed.replace("workers = 2", "workers = 1"));
    let said = project.site(&["up", "--detach"]);
    assert_eq!(said.code, 0, "{said:?}");
    let line = |id: &str| said.err.lines().find(|line| line.starts_with(id)).unwrap_or_default().to_owned();
    assert!(line("registry").contains("adopted"), "{said:?}");
    assert!(line("web-0").contains("replaced"), "{said:?}");
    assert_eq!(project.pid("registry"), registry);
    assert_ne!(project.pid("web-0"), workers[0]);
    assert_eq!(project.address(), address, "the socket is kept: no waiting connection was lost");
    assert_eq!(project.json(&["ask", "web-0:greeter", "greeting"]), json!("Good morning."));
    wait_for("web-1 to be stopped", || {
        project.json(&["ps"]).as_array()?.iter().all(|row| row["id"] != "web-1@/").then_some(())
    });
    let log = project.done(&["logs", "supervisor"]);
    assert!(log.contains("web-1@/: stop, it is not in the file"), "{log}");
    project.done(&["down"]);
    project.assert_nothing_left();
}

#[test]
fn what_is_left_after_everything_was_killed_does_not_hinder_the_next_up() {
    let project = Project::up();
    for (pid, _) in project.processes() {
        signal(pid, Signal::KILL);
    }
    wait_for("the end of all", || project.processes().is_empty().then_some(()));
    assert!(!project.sockets().is_empty(), "stale sockets are left");
    let unreachable = project.fails(4, &["ping", "web-0"]);
    assert!(unreachable.contains("not up"), "{unreachable}");
    assert!(!unreachable.contains(".sock"), "{unreachable}");
    assert!(project.fails(4, &["ps"]).contains("not up"));
    project.done(&["up", "--detach"]);
    assert_eq!(project.get("/").status, 200);
    project.done(&["down"]);
    project.assert_nothing_left();
}
