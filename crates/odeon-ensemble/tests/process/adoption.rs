//! Supervisors come and go.

use std::fs;
use std::time::{Duration, Instant};

use odeon_ensemble::process::{AdoptError, Adopted, Child, EndedBy, ProcessId, ShimState, Target};

use crate::fixture::{Place, Supervisor, connect, kill9, read_answer, spawn, until_dead};
use crate::harness::until;

async fn adopt(place: &Place) -> Box<Child> {
    match Child::adopt(&place.dir()).await.expect("adopts") {
        Adopted::Running(child) => child,
        other => panic!("not running: {other:?}"),
    }
}

async fn is_gone(place: &Place) -> bool {
    matches!(Child::adopt(&place.dir()).await.expect("adopts"), Adopted::Gone)
}

pub(crate) async fn a_dropped_child_is_adopted() {
    let place = Place::new();
    let child = spawn(&place.shell("echo ready; sleep 1000")).await;
    let (pid, started, state) = (child.pid(), child.started_at(), child.state().clone());
    drop(child);
    let child = adopt(&place).await;
    assert_eq!((child.pid(), child.started_at(), child.state()), (pid, started, &state));
    // Two may watch; both learn the end.
    let second = adopt(&place).await;
    let (stopped, seen) = tokio::join!(child.stop(Duration::from_secs(5)), second.exited());
    assert_eq!(stopped.expect("stops"), seen);
    assert_eq!(seen.ended_by, EndedBy::Signal(15));
    assert!(matches!(Child::adopt(&place.dir()).await, Ok(Adopted::Exited(record)) if record == seen));
}

pub(crate) async fn a_killed_supervisor_is_succeeded() {
    let place = Place::new();
    let mut supervisor = Supervisor::start(&place, "exec \"$@\"").await;
    let served_by = format!("{} http", supervisor.child.pid);
    assert_eq!(read_answer(connect(supervisor.addr)), served_by);
    supervisor.kill();
    assert!(supervisor.child.is_alive(), "the child outlives its supervisor");
    assert_eq!(read_answer(connect(supervisor.addr)), served_by);
    let child = adopt(&place).await;
    assert_eq!(child.pid(), supervisor.child.pid);
    let sockets = child.sockets().await.expect("sockets");
    let [(name, socket)] = <[_; 1]>::try_from(sockets).expect("one socket");
    let socket = std::net::TcpListener::from(socket);
    assert_eq!((name.as_str(), socket.local_addr().expect("bound")), ("http", supervisor.addr));
    child.signal(9, Target::Child).await.expect("signals");
    assert_eq!(child.exited().await.ended_by, EndedBy::Signal(9));
    // The socket is now in one hand only, and still listens.
    let queued = connect(supervisor.addr);
    drop(socket.accept().expect("the connection is in the queue"));
    drop(queued);
}

pub(crate) async fn a_stop_outlives_its_supervisor() {
    let place = Place::new();
    let child = spawn(&place.shell("trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done")).await;
    place.until_logged("ready").await;
    let (process, began) = (child.state().child(), Instant::now());
    tokio::select! {
        outcome = child.stop(Duration::from_millis(600)) => panic!("ended before the grace: {outcome:?}"),
        () = place.until_logged("asked") => {}
    }
    drop(child);
    assert!(process.is_alive());
    until_dead(&process).await;
    assert!(began.elapsed() >= Duration::from_millis(600), "{:?}", began.elapsed());
}

pub(crate) async fn an_end_nobody_saw_is_found() {
    let place = Place::new();
    let child = spawn(&place.shell("exit 4")).await;
    drop(child);
    until("the record is written", || place.dir().join("exit.json").exists()).await;
    let Adopted::Exited(record) = Child::adopt(&place.dir()).await.expect("adopts") else {
        panic!("not exited");
    };
    assert!(matches!(record.ended_by, EndedBy::Code(code) if code != 0), "{record:?}");
    assert!(!place.dir().join("shim.json").exists(), "the lingering shim was released");
    assert!(matches!(Child::adopt(&place.dir()).await, Ok(Adopted::Exited(again)) if again == record));
}

pub(crate) async fn a_reused_pid_is_nobody() {
    let place = Place::new();
    assert!(is_gone(&place).await, "an absent directory has no child");
    fs::create_dir_all(place.dir()).expect("creates");
    let here = ProcessId::of(i32::try_from(std::process::id()).expect("fits")).expect("this process runs");
    let state = ShimState {
        id: "web-0@/".to_owned(),
        generation: 0,
        shim_pid: here.pid,
        shim_start: here.start + 1,
        child_pid: here.pid,
        child_start: here.start + 1,
        boot: here.boot.clone(),
        started_at_ms: 0,
        control: place.dir().join("shim.sock"),
        log_dir: place.dir().join("log"),
        spec: String::new(),
    };
    let other_boot = ShimState { shim_start: here.start, boot: "another boot".to_owned(), ..state.clone() };
    for stale in [state, other_boot] {
        let text = serde_json::to_string(&stale).expect("serialises");
        fs::write(place.dir().join("shim.json"), text).expect("writes");
        assert!(is_gone(&place).await);
        assert!(!place.dir().join("shim.json").exists(), "the stale file is removed");
    }
}

pub(crate) async fn a_broken_record_is_reported() {
    let place = Place::new();
    fs::create_dir_all(place.dir()).expect("creates");
    fs::write(place.dir().join("shim.json"), "{").expect("writes");
    let error = Child::adopt(&place.dir()).await.expect_err("broken");
    assert!(error.to_string().contains("remove shim.json"), "{error}");
}

pub(crate) async fn a_lost_shim_takes_its_child_along() {
    let place = Place::new();
    let script =
        "echo ready; setsid sh -c 'echo session $$; exec sleep 1000' & sleep 1000 & echo group $!; wait";
    let child = spawn(&place.shell(script)).await;
    let session = place.logged_pid("session").await;
    let group = place.logged_pid("group").await;
    kill9(child.state().shim_pid);
    let record = child.exited().await;
    assert_eq!(record.ended_by, EndedBy::ShimLost(()));
    assert!(record.last_lines.contains(&"ready".to_owned()), "{record:?}");
    for process in [&child.state().child(), &session, &group] {
        assert!(!process.is_alive(), "{process:?} outlived its shim");
    }
    assert!(!child.state().control.exists(), "no stale socket");
    assert!(is_gone(&place).await);
}

pub(crate) async fn what_a_lost_shim_left_is_cleaned_up() {
    let place = Place::new();
    let child = spawn(&place.shell("echo ready; sleep 1000 & echo group $!; wait")).await;
    let (shim, process) = (child.state().shim(), child.state().child());
    let group = place.logged_pid("group").await;
    drop(child);
    kill9(shim.pid);
    // The kernel kills the child; its own child has nobody.
    until_dead(&process).await;
    assert!(group.is_alive());
    assert!(is_gone(&place).await);
    assert!(!group.is_alive());
    // The place is free again.
    let child = spawn(&place.shell("sleep 1000")).await;
    child.stop(Duration::from_secs(5)).await.expect("stops");
}

pub(crate) async fn a_silent_shim_is_reported_not_replaced() {
    let place = Place::new();
    let child = spawn(&place.shell("sleep 1000")).await;
    let process = child.state().child();
    let control = child.state().control.clone();
    fs::remove_file(&control).expect("removes");
    let error = Child::adopt(&place.dir()).await.expect_err("cannot be reached");
    assert!(matches!(error, AdoptError::Unreachable { .. }), "{error}");
    assert!(process.is_alive(), "nothing was changed");
    kill9(child.state().shim_pid);
    child.exited().await;
    assert!(!process.is_alive());
}
