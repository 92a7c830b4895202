//! What people do: up, down, stop, start, restart, scale.

use std::fs;
use std::time::{Duration, Instant};

use odeon_core::RefusalCode;
use odeon_ensemble::supervisor::state::Phase;
use odeon_ensemble::supervisor::{Selection, SupervisorCalls};

use crate::harness::until;
use crate::stage::{Stage, id, role, these};

/// A database that takes its time, and what needs it.
fn slow_file(stage: &str) -> String {
    format!("[roles.slow]\nsettings = {{ file = '{stage}' }}\n[roles.idle]\nworkers = 2\nneeds = ['slow']")
}

/// A stage whose role `slow` is not ready before the file `go` is there.
async fn begin_slow() -> Stage {
    let mut stage = Stage::new("");
    stage.write(&slow_file(&stage.path("go").display().to_string()));
    stage.supervise().await;
    stage
}

pub(crate) async fn servers_start_in_the_order_of_their_needs() {
    let stage = begin_slow().await;
    stage.until_phase("slow-0", Phase::Starting).await;
    let rows = stage.rows().await;
    assert_eq!(rows["registry"].process.state, Phase::Ready);
    assert_eq!(rows["idle-1"].process.state, Phase::Idle);
    assert_eq!(rows["idle-1"].process.why.as_deref(), Some("waits for role `slow`"));
    fs::write(stage.path("go"), "").expect("writes");
    let rows = stage.until_ready().await;
    assert_eq!(rows["idle-1"].process.why, None);
    let order = ["registry ready", "slow-0 starting", "slow-0 ready", "idle-0 starting"];
    assert!(order.is_sorted_by_key(|event| stage.when(event)), "{:?}", stage.events());
    let (_console, registry) = stage.console().await;
    use odeon_ensemble::registry::RegistryActorCalls as _;
    let listed = registry.handle().list().await.expect("a list");
    let listed: Vec<String> = listed.iter().map(|entry| entry.id.name().to_owned()).collect();
    assert_eq!(listed, ["idle-0", "idle-1", "registry", "slow-0", "supervisor"]);
}

pub(crate) async fn down_goes_the_other_way_and_leaves_nothing() {
    let stage = begin_slow().await;
    fs::write(stage.path("go"), "").expect("writes");
    stage.until_ready().await;
    let again = stage.supervisor().clone();
    let (events, second) =
        tokio::join!(stage.down(&["idle-0", "idle-1", "slow-0"]), async move { again.down().await });
    second.expect("answers").expect("twice is once");
    let at = |event: &str| events.iter().rposition(|seen| seen == event).expect("it happened");
    assert!(at("idle-0 stopped") < at("slow-0 stopping"), "{events:?}");
    assert!(at("idle-1 stopped") < at("slow-0 stopping"), "{events:?}");
    assert!(at("slow-0 stopped") < at("registry stopping"), "{events:?}");
    assert!(events.iter().filter(|event| event.ends_with("stopping")).count() == 4, "{events:?}");
}

pub(crate) async fn down_while_servers_start_is_down() {
    let stage = begin_slow().await;
    let supervisor = stage.supervisor().clone();
    let waiting = async move { supervisor.start_server(role("idle"), id("idle-0")).await };
    // The registry may not even have a process yet.
    let (events, started) = tokio::join!(stage.down(&["idle-0", "idle-1", "slow-0"]), waiting);
    assert!(!events.iter().any(|event| event.starts_with("idle")), "nothing waits any more: {events:?}");
    let rows = started.expect("answers").map(|rows| rows[0].process.state);
    assert!(matches!(rows, Ok(Phase::Idle) | Err(_)), "{rows:?}");

    let stage = begin_slow().await;
    stage.until_phase("slow-0", Phase::Starting).await;
    stage.down(&["idle-0", "idle-1", "slow-0"]).await;
}

pub(crate) async fn stop_keeps_it_down_and_start_brings_it_back() {
    let stage = Stage::up("[roles.idle]\nworkers = 2").await;
    let other = stage.child("idle-1");
    let rows = stage.supervisor().stop_servers(these(&["idle-0"])).await.expect("answers").expect("stops");
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].process.state, rows[0].process.pid), (Phase::Stopped, None));
    assert_eq!(rows[0].process.last_exit.as_deref(), Some("exited with code 0"));
    let (_console, registry) = stage.console().await;
    use odeon_ensemble::registry::RegistryActorCalls as _;
    let gone = registry.handle().lookup(id("idle-0")).await.expect("answers").expect_err("deregistered");
    assert_eq!(gone.code, RefusalCode::NotFound);
    let started = stage.supervisor().start_server(role("idle"), id("idle-0")).await.expect("answers");
    assert_eq!(started.expect("starts")[0].process.state, Phase::Ready);
    let extra = stage.supervisor().start_server(role("idle"), id("extra")).await.expect("answers");
    assert_eq!(extra.expect("starts")[0].process.state, Phase::Ready);
    assert_eq!(stage.child("idle-1"), other, "the others are left alone");
    assert_eq!(stage.rows().await["idle-0"].process.restarts, 0);
    stage.down(&["idle-0", "idle-1", "extra"]).await;
}

pub(crate) async fn the_stubborn_are_killed_after_their_grace() {
    let stage = Stage::up("[roles.stubborn]\nstop-grace = '300ms'").await;
    let began = Instant::now();
    let rows = stage.supervisor().stop_servers(Selection::default()).await.expect("answers").expect("stops");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(2), "{took:?}");
    let stubborn = rows.iter().find(|row| row.id == id("stubborn-0")).expect("a row");
    assert_eq!(stubborn.process.state, Phase::Stopped);
    assert_eq!(stubborn.process.last_exit.as_deref(), Some("killed by signal 9 (SIGKILL)"));
    // Without a registry nothing can start, and that is said at once.
    let rows = stage.supervisor().start_server(role("stubborn"), id("stubborn-0")).await.expect("answers");
    let process = &rows.expect("is wanted")[0].process;
    assert_eq!(process.why.as_deref(), Some("waits for the registry, which is down"));
    let rows = stage.supervisor().start_server(role("registry"), id("registry")).await.expect("answers");
    assert_eq!(rows.expect("starts")[0].process.state, Phase::Ready);
    stage.until_ready().await;
}

pub(crate) async fn restart_gives_a_new_process() {
    let stage = Stage::up("[roles.idle]\nworkers = 2").await;
    let before = [stage.child("idle-0"), stage.child("idle-1")];
    let rows = stage.supervisor().restart_servers(these(&["idle-0"])).await.expect("answers").expect("ok");
    let process = &rows[0].process;
    assert_eq!((process.state, process.restarts), (Phase::Ready, 0), "by hand is not by policy");
    assert!(!before[0].is_alive() && process.pid.is_some_and(|pid| pid != before[0].pid));
    assert_eq!(stage.child("idle-1"), before[1]);
    let again = Selection { role: Some(role("idle")), ..Selection::default() };
    let rows = stage.supervisor().restart_servers(again).await.expect("answers").expect("ok");
    assert!(rows.len() == 2 && rows.iter().all(|row| row.process.state == Phase::Ready), "{rows:?}");
    assert!(!before[1].is_alive());
}

pub(crate) async fn scaling_adds_and_removes_the_last() {
    let stage = Stage::up("[roles.echo]\nlisten = ['tcp:127.0.0.1:0']").await;
    let at = stage.listens("echo-0").await;
    let rows = stage.supervisor().scale(role("echo"), 3).await.expect("answers").expect("scales");
    assert!(rows.len() == 3 && rows.iter().all(|row| row.process.state == Phase::Ready), "{rows:?}");
    assert!(rows.iter().all(|row| row.listen == [format!("tcp:{at}")]), "one socket for all: {rows:?}");
    let (first, last) = (stage.child("echo-0"), stage.child("echo-2"));
    let rows = stage.supervisor().scale(role("echo"), 1).await.expect("answers").expect("scales");
    assert_eq!(rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>(), [id("echo-0")]);
    assert!(first.is_alive() && !last.is_alive());
    assert_eq!(stage.rows().await.len(), 2, "with the registry");
    for _ in 0..3 {
        assert_eq!(crate::stage::heard_at(&at).await, first.pid.to_string());
    }
    let rows = stage.supervisor().scale(role("echo"), 0).await.expect("answers").expect("scales");
    assert_eq!(rows, []);
    stage.down(&["echo-0", "echo-1", "echo-2"]).await;
}

pub(crate) async fn one_that_leaves_may_stay_after_all() {
    let stage = Stage::up("[roles.stubborn]\nworkers = 2\nstop-grace = '400ms'").await;
    let before = stage.child("stubborn-1");
    let supervisor = stage.supervisor();
    let back = async {
        stage.until_phase("stubborn-1", Phase::Stopping).await;
        supervisor.scale(role("stubborn"), 2).await
    };
    let (fewer, more) = tokio::join!(supervisor.scale(role("stubborn"), 1), back);
    fewer.expect("answers").expect("scales");
    let rows = more.expect("answers").expect("scales");
    assert!(rows.len() == 2 && rows.iter().all(|row| row.process.state == Phase::Ready), "{rows:?}");
    assert!(!before.is_alive());

    let start = async {
        stage.until_phase("stubborn-1", Phase::Stopping).await;
        supervisor.start_server(role("stubborn"), id("stubborn-1")).await
    };
    let (fewer, started) = tokio::join!(supervisor.scale(role("stubborn"), 1), start);
    fewer.expect("answers").expect("scales");
    assert_eq!(started.expect("answers").expect("starts")[0].process.state, Phase::Ready);
    let rows = supervisor.stop_servers(these(&["stubborn-1"])).await.expect("answers").expect("stops");
    assert_eq!(rows.len(), 1, "it stays in the table");
    assert!(stage.rows().await.contains_key("stubborn-1"));
}

/// A start is under way for some milliseconds before there is a process to stop.
pub(crate) async fn a_stop_overtakes_a_start() {
    let stage = Stage::up("[roles.idle]").await;
    let supervisor = stage.supervisor();
    for _ in 0..5 {
        let both = these(&["idle-0"]);
        let (_, stopped) = tokio::join!(
            supervisor.restart_servers(both.clone()).within(Duration::from_millis(1)),
            supervisor.stop_servers(both)
        );
        assert_eq!(stopped.expect("answers").expect("stops")[0].process.state, Phase::Stopped);
        let (_, stopped) = tokio::join!(
            supervisor.start_server(role("idle"), id("idle-0")).within(Duration::from_millis(1)),
            supervisor.stop_servers(these(&["idle-0"]))
        );
        assert_eq!(stopped.expect("answers").expect("stops")[0].process.state, Phase::Stopped);
        until("its shim is gone", || stage.shim("idle-0").is_none()).await;
        let rows = supervisor.start_server(role("idle"), id("idle-0")).await.expect("answers");
        assert_eq!(rows.expect("starts")[0].process.state, Phase::Ready);
    }
    stage.down(&["idle-0"]).await;
}

pub(crate) async fn what_cannot_be_meant_is_refused() {
    let stage = Stage::up("[roles.idle]\n[roles.stubborn]\nservers = ['mule']\nstop-grace = '50ms'").await;
    let supervisor = stage.supervisor();
    let start = async |of: &str, name: &str| {
        let id = name.parse().expect("an id");
        supervisor.start_server(role(of), id).await.expect("answers").expect_err("refused")
    };
    let refusal = start("ilde", "extra@/").await;
    assert_eq!(refusal.detail, "there is no role `ilde`; did you mean `idle`?");
    let refusal = start("idle", "mule@/").await;
    assert_eq!(refusal.detail, "mule@/ is a server of role `stubborn`, not of `idle`");
    assert_eq!(start("idle", "registry@/").await.code, RefusalCode::NameTaken);
    assert_eq!(start("idle", "supervisor@/").await.detail, "supervisor@/ is the supervisor itself");
    assert_eq!(start("idle", "x@/sub").await.detail, "x@/sub is not in the supervised domain /");
    let unknown = supervisor.stop_servers(these(&["idle-7"])).await.expect("answers").expect_err("refused");
    assert_eq!(unknown.detail, "idle-7@/ is not supervised here; did you mean `idle-0@/`?");
    let nothing = Selection { role: Some(role("web")), ..Selection::default() };
    let nothing = supervisor.restart_servers(nothing).await.expect("answers").expect_err("refused");
    assert_eq!(nothing.code, RefusalCode::NotFound);
    let named = supervisor.scale(role("stubborn"), 2).await.expect("answers").expect_err("refused");
    assert!(named.detail.contains("named in the file"), "{named}");
    assert_eq!(stage.rows().await.len(), 3, "nothing has changed");
}
