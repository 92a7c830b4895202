//! What goes wrong by itself: servers that die, the registry among them.

use std::fs;
use std::time::{Duration, Instant};

use odeon_core::{ActorId, Reference};
use odeon_ensemble::registry::{Entry, Health, RegistryActorCalls};
use odeon_ensemble::supervisor::SupervisorCalls;
use odeon_ensemble::supervisor::state::Phase;
use odeon_server::{Control, ControlCalls};

use crate::harness::until;
use crate::stage::{Stage, id, kill9, role, send_signal};

pub(crate) async fn a_killed_server_is_back_within_a_second() {
    let stage = Stage::up("[roles.echo]\nworkers = 2\nlisten = ['tcp:127.0.0.1:0']").await;
    let at = stage.listens("echo-0").await;
    let (victim, other) = (stage.child("echo-0"), stage.child("echo-1"));
    let began = Instant::now();
    kill9(victim.pid);
    let rows = stage
        .until("echo-0 has another process", |rows| {
            let process = &rows["echo-0"].process;
            process.state == Phase::Ready && process.pid != Some(victim.pid)
        })
        .await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let process = &rows["echo-0"].process;
    assert_eq!(process.restarts, 1);
    assert_eq!(process.last_exit.as_deref(), Some("killed by signal 9 (SIGKILL)"));
    assert_eq!(stage.child("echo-1"), other);
    crate::stage::heard_at(&at).await;
    stage.down(&["echo-0", "echo-1"]).await;
}

pub(crate) async fn a_hangup_while_a_server_starts_does_not_end_it() {
    let mut stage = Stage::new("[roles.echo]\nlisten = ['tcp:127.0.0.1:0']");
    // It has its socket, and reads this before it goes on.
    let directory = stage.setting.home.server(&id("echo-0"));
    fs::create_dir_all(&directory).expect("made");
    let pipe = directory.join("retractions");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    stage.supervise().await;
    let socket = stage.setting.home.socket(&id("echo-0"), "sock");
    until("it has a socket", || socket.exists()).await;
    let child = stage.child("echo-0");
    send_signal("-HUP", child.pid);
    // Nobody opens it to write before it is opened to be read.
    let text = "odeon retractions 2\n";
    tokio::task::spawn_blocking(move || fs::write(pipe, text)).await.expect("no panic").expect("written");
    let row = stage.until_phase("echo-0", Phase::Ready).await;
    assert_eq!((stage.child("echo-0"), row.process.restarts), (child, 0));
    stage.down(&["echo-0"]).await;
}

pub(crate) async fn a_shut_down_server_is_back_by_policy() {
    let stage = Stage::up("[roles.idle]\nservers = ['a']\n[roles.echo]\nservers = ['b']\nrestart = 'on-failure'\nlisten = ['tcp:127.0.0.1:0']").await;
    let (console, _) = stage.console().await;
    for name in ["a", "b"] {
        let before = stage.child(name);
        let control = console.actor::<Control>(Reference::new(id(name), ActorId::SERVER));
        control.shutdown().await.expect("is asked");
        until(&format!("{name} has ended"), || !before.is_alive()).await;
    }
    let rows = stage
        .until("each is where its policy says", |rows| {
            rows["a"].process.restarts == 1
                && rows["a"].process.state == Phase::Ready
                && rows["b"].process.state == Phase::Stopped
        })
        .await;
    assert_eq!(rows["b"].process.last_exit.as_deref(), Some("exited with code 0"));
}

pub(crate) async fn one_that_dies_at_once_fails_alone() {
    let stage = Stage::begin(
        "[roles.idle]\n[roles.dies]\nargs = ['--adieu', 'world']\nrestart-max = 2\nbackoff-min = '10ms'\nbackoff-max = '20ms'",
    )
    .await;
    stage.until_phase("idle-0", Phase::Ready).await;
    let sound = stage.child("idle-0");
    let process = stage.until_phase("dies-0", Phase::Failed).await.process;
    assert_eq!(process.restarts, 2);
    assert_eq!(process.why.as_deref(), Some("exited with code 1, after 2 restarts within 60s"));
    let lines = ["these are last words: --adieu world", "error: role `dies` failed: it is in its nature"];
    assert_eq!(process.last_lines, lines);
    let tries = stage.events().iter().filter(|event| *event == "dies-0 starting").count();
    assert_eq!(tries, 3);
    assert_eq!(stage.child("idle-0"), sound);
    assert_eq!(stage.log("dies-0").len(), 6, "three lives, two lines each");
    // By hand it is tried again, its past forgiven.
    let rows = stage.supervisor().start_server(role("dies"), id("dies-0")).await.expect("answers");
    assert_eq!(rows.expect("is tried")[0].process.state, Phase::Failed);
    let tries = stage.events().iter().filter(|event| *event == "dies-0 starting").count();
    assert_eq!(tries, 6);
    stage.down(&["idle-0", "dies-0"]).await;
}

pub(crate) async fn one_that_is_never_ready_is_stopped() {
    let stage = Stage::begin(
        "[roles.slow]\nready-timeout = '300ms'\nrestart = 'never'\nsettings = { file = '/nowhere' }",
    )
    .await;
    let process = stage.until_phase("slow-0", Phase::Failed).await.process;
    assert_eq!(process.why.as_deref(), Some("not ready within 300ms"));
    assert_eq!(process.last_exit.as_deref(), Some("exited with code 0"), "it was asked, and went");
}

pub(crate) async fn waiting_for_what_failed_is_said() {
    let file =
        "[roles.dies]\nrestart = 'never'\n[roles.idle]\nneeds = ['dies']\n[roles.stubborn]\nneeds = ['idle']";
    let stage = Stage::begin(file).await;
    // Two needs away, and it is answered all the same.
    let rows = stage.supervisor().start_server(role("stubborn"), id("stubborn-0")).await.expect("answers");
    let process = &rows.expect("is wanted")[0].process;
    assert_eq!(process.state, Phase::Idle);
    assert_eq!(process.why.as_deref(), Some("waits for role `idle`, which is down"));
    let rows = stage.rows().await;
    assert_eq!(rows["idle-0"].process.why.as_deref(), Some("waits for role `dies`, which is down"));
    assert_eq!(rows["dies-0"].process.state, Phase::Failed);
    stage.down(&["dies-0", "idle-0", "stubborn-0"]).await;
}

pub(crate) async fn a_killed_registry_costs_nobody_anything() {
    let stage = Stage::up("[roles.idle]\nworkers = 2").await;
    let workers = [stage.child("idle-0"), stage.child("idle-1")];
    let (console, registry) = stage.console().await;
    let alive = |entries: Vec<Entry>| -> Vec<String> {
        let alive = entries.into_iter().filter(|entry| entry.health == Health::Alive);
        alive.map(|entry| entry.id.name().to_owned()).collect()
    };
    let everybody = ["idle-0", "idle-1", "registry", "supervisor"];
    assert_eq!(alive(registry.handle().list().await.expect("a list")), everybody);
    let victim = stage.child("registry");
    kill9(victim.pid);
    let is_back = |row: &odeon_ensemble::supervisor::ServerRow| {
        row.process.state == Phase::Ready && row.process.pid != Some(victim.pid)
    };
    let rows = stage.until("the registry is back", |rows| is_back(&rows["registry"])).await;
    assert_eq!(rows["registry"].process.restarts, 1);
    assert_eq!(rows["idle-0"].process.state, Phase::Ready);
    assert_eq!(workers, [stage.child("idle-0"), stage.child("idle-1")]);
    // It has read what it knew; the others need not even have noticed.
    assert_eq!(alive(registry.handle().list().await.expect("a list")), everybody);
    let control = console.actor::<Control>(Reference::new(id("idle-1"), ActorId::SERVER));
    assert!(control.status().await.expect("is found through the registry").ready);
    stage.down(&["idle-0", "idle-1"]).await;
}

pub(crate) async fn a_corrupt_registry_file_is_named_and_kept() {
    let mut stage = Stage::new("[roles.idle]");
    let directory = stage.setting.home.server(&id("registry"));
    let file = directory.join("registry.json");
    fs::create_dir_all(&directory).expect("makes");
    fs::write(&file, "{ \"format\": 1, \"serv").expect("writes");
    stage.supervise().await;
    let row = stage.until_phase("registry", Phase::Backoff).await;
    assert_eq!(row.process.why.as_deref(), Some("exited with code 1"));
    let log = stage.log("registry").join("\n");
    for part in [&*file.display().to_string(), "corrupt; move it away", "at line 1 column"] {
        assert!(log.contains(part), "no `{part}` in: {log}");
    }
    assert_eq!(fs::read_to_string(&file).expect("reads"), "{ \"format\": 1, \"serv");
    let rows = stage.rows().await;
    assert_eq!(rows["idle-0"].process.why.as_deref(), Some("waits for the registry"));
    // Repaired, it goes on by itself.
    fs::remove_file(&file).expect("removes");
    stage.until_ready().await;
}
