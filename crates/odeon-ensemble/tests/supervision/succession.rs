//! Supervisors that follow one another: what the next one finds, keeps, replaces and stops.

use std::fs;

use odeon_ensemble::process::{Child, ProcessId, Spec};
use odeon_ensemble::supervisor::plan::StepKind;
use odeon_ensemble::supervisor::state::Phase;
use odeon_ensemble::supervisor::{Selection, SupervisorCalls, SupervisorError};
use odeon_server::ClaimError;

use crate::harness::until;
use crate::stage::{Stage, heard_at, id, kill9, no_hook};

const ECHO: &str = "[roles.echo]\nworkers = 2\nlisten = ['tcp:127.0.0.1:0']";

pub(crate) async fn a_killed_supervisor_is_succeeded() {
    let mut stage = Stage::new(ECHO);
    stage.leave_by_a_killed_supervisor().await;
    let before = ["echo-0", "echo-1", "registry"].map(|name| stage.child(name));
    assert!(before.iter().all(ProcessId::is_alive), "they outlive it");
    stage.supervise().await;
    let rows = stage.until_ready().await;
    assert_eq!(before, ["echo-0", "echo-1", "registry"].map(|name| stage.child(name)));
    assert!(rows.values().all(|row| row.origin == StepKind::Keep), "{rows:?}");
    assert_eq!(stage.events().iter().filter(|event| event.ends_with(" adopted")).count(), 3);
    // The socket is the one they had: whoever answers, it is one of them.
    let at = stage.listens("echo-0").await;
    let answer: i32 = heard_at(&at).await.parse().expect("a pid");
    assert!(before.iter().any(|process| process.pid == answer));
    // The end of an adopted one is seen, and its successor has the same socket.
    kill9(before[0].pid);
    let rows = stage
        .until("echo-0 is back", |rows| {
            rows["echo-0"].process.state == Phase::Ready && rows["echo-0"].process.pid != Some(before[0].pid)
        })
        .await;
    assert_eq!(rows["echo-0"].process.last_exit.as_deref(), Some("killed by signal 9 (SIGKILL)"));
    assert_eq!(rows["echo-0"].origin, StepKind::Start);
    assert_eq!(stage.listens("echo-0").await, at);
    stage.down(&["echo-0", "echo-1"]).await;
}

pub(crate) async fn what_has_changed_is_replaced() {
    let both =
        |settings: &str| format!("{ECHO}\nneeds = ['idle']\n[roles.idle]\nsettings = {{ {settings} }}");
    let mut stage = Stage::new(&both("a = 1"));
    stage.leave_by_a_killed_supervisor().await;
    let names = ["echo-0", "echo-1", "idle-0"];
    let before = names.map(|name| stage.child(name));
    stage.write(&both("a = 2").replace("workers = 2", "workers = 2\nargs = ['x']"));
    stage.supervise().await;
    let rows = stage.until_ready().await;
    assert_eq!(rows["registry"].origin, StepKind::Keep);
    for (name, before) in names.iter().zip(&before) {
        assert_eq!(rows[*name].origin, StepKind::Replace, "{name}");
        assert!(!before.is_alive() && stage.child(name) != *before, "{name} has another process");
        assert_eq!(rows[*name].process.restarts, 0);
    }
    // What was needed came up first.
    let events = stage.events();
    let at = |event: &str| events.iter().rposition(|seen| seen == event).expect("it happened");
    assert!(at("idle-0 ready") < at("echo-0 ready"), "{events:?}");
    let answer: i32 = heard_at(&stage.listens("echo-0").await).await.parse().expect("a pid");
    assert!([stage.child("echo-0").pid, stage.child("echo-1").pid].contains(&answer));
    stage.down(&names).await;
}

/// The stray one holds the very port that another role wants now.
pub(crate) async fn what_is_not_in_the_file_is_stopped_first() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let at = free.local_addr().expect("is bound").to_string();
    drop(free);
    let file =
        |name: &str| format!("[roles.echo]\nservers = ['{name}']\nlisten = ['tcp:{at}']\n[roles.idle]");
    let mut stage = Stage::new(&file("old"));
    stage.leave_by_a_killed_supervisor().await;
    let (old, idle) = (stage.child("old"), stage.child("idle-0"));
    stage.write(&file("new"));
    stage.supervise().await;
    let rows = stage.until("only the new are there", |rows| !rows.contains_key("old")).await;
    assert!(!old.is_alive());
    assert!(rows.contains_key("new"));
    stage.until_ready().await;
    assert!(stage.when("old stopped") < stage.when("new starting"), "{:?}", stage.events());
    assert_eq!(stage.child("idle-0"), idle);
    assert_eq!(heard_at(&at).await, stage.child("new").pid.to_string(), "the socket was never closed");
    stage.down(&["old", "new", "idle-0"]).await;
}

pub(crate) async fn what_died_meanwhile_is_started() {
    let mut stage = Stage::new("[roles.idle]\nworkers = 2");
    stage.leave_by_a_killed_supervisor().await;
    let (dead, alive) = (stage.child("idle-0"), stage.child("idle-1"));
    kill9(dead.pid);
    until("it is dead", || !dead.is_alive()).await;
    stage.supervise().await;
    let rows = stage.until_ready().await;
    assert_eq!(rows["idle-0"].origin, StepKind::Start);
    assert_eq!(stage.child("idle-1"), alive);
    stage.down(&["idle-0", "idle-1"]).await;
}

/// A supervisor that is killed while it starts a server leaves a shim that comes up behind its successor's back.
pub(crate) async fn what_comes_up_late_is_taken_over() {
    let mut stage = Stage::new("");
    let go = stage.path("go").display().to_string();
    stage.write(&format!("[roles.slow]\nsettings = {{ file = '{go}' }}\n[roles.idle]\nneeds = ['slow']\n"));
    stage.supervise().await;
    let mut spec = Spec::new("idle-0@/", stage.setting.home.server(&id("idle-0")), "/bin/sleep");
    spec.args = vec!["1000".to_owned()];
    let exe = std::env::current_exe().expect("a path");
    let late = Child::spawn(&spec, &[], &exe).await.expect("starts").state().child();
    fs::write(&go, "").expect("writes");
    let rows = stage.until_ready().await;
    assert!(!late.is_alive());
    let last_exit = rows["idle-0"].process.last_exit.as_deref().expect("it was in the way");
    assert!(last_exit.ends_with("of another supervisor was in its place; it is stopped now"), "{last_exit}");
    stage.down(&["idle-0", "slow-0"]).await;
}

pub(crate) async fn two_domains_of_one_home_leave_each_other_alone() {
    let stage = Stage::up("[roles.idle]").await;
    let before = stage.child("idle-0");
    stage.write("domain = '/shop'\n[roles.idle]");
    let other = stage.setting.start(no_hook()).await.expect("starts");
    let rows = other.handle().ps(Selection::default()).await.expect("rows");
    assert!(rows.iter().all(|row| row.id.domain().to_string() == "/shop"), "{rows:?}");
    other.handle().down().await.expect("answers").expect("goes down");
    other.finished().await;
    assert_eq!(stage.child("idle-0"), before);
    assert!(before.is_alive());
    stage.down(&["idle-0"]).await;
}

pub(crate) async fn a_second_supervisor_is_refused() {
    let stage = Stage::up("[roles.idle]").await;
    let before = stage.child("idle-0");
    let refused = stage.setting.start(no_hook()).await.expect_err("it is held");
    assert!(matches!(refused, SupervisorError::Claim(ClaimError::Held { .. })), "{refused}");
    assert_eq!(stage.child("idle-0"), before);
    assert_eq!(stage.rows().await["idle-0"].process.state, Phase::Ready);
    assert!(fs::exists(stage.path("odeon.toml")).expect("looks"));
}
