//! Start, output, end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use odeon_ensemble::process::{Child, EndedBy, LAST_LINES_MAX, ProcessId, SpawnError, Spec, Target};

use crate::fixture::{Place, run_to_end, spawn, this_exe, until_dead};
use crate::harness::{say, until};

pub(crate) async fn output_lands_in_the_log() {
    let place = Place::new();
    let record = run_to_end(&place.shell("echo out; echo err >&2; printf 'no end'")).await;
    assert_eq!(record.ended_by, EndedBy::Code(0));
    assert_eq!(place.lines(), ["out", "err", "no end"]);
    assert_eq!(record.last_lines, place.lines());
    // The next child begins on a line of its own.
    run_to_end(&place.shell("echo again")).await;
    assert_eq!(place.lines(), ["out", "err", "no end", "again"]);
}

pub(crate) async fn logs_rotate_and_keep_whole_lines() {
    let place = Place::new();
    let mut spec = place.shell("i=0; while [ $i -lt 2000 ]; do echo \"line number $i\"; i=$((i+1)); done");
    spec.log_bytes_max = 4096;
    spec.log_files_max = 3;
    run_to_end(&spec).await;
    let logs: Vec<_> =
        fs::read_dir(&spec.log_dir).expect("lists").map(|entry| entry.expect("an entry")).collect();
    let servers: Vec<_> =
        logs.iter().filter(|entry| entry.file_name().to_string_lossy().starts_with("server.log")).collect();
    assert_eq!(servers.len(), 3);
    assert!(servers.iter().all(|entry| entry.metadata().expect("metadata").len() <= 4096));
    let lines = place.lines();
    let first = 2000 - lines.len();
    assert!(lines.len() > 300, "{} lines", lines.len());
    let expected: Vec<String> = (first..2000).map(|n| format!("line number {n}")).collect();
    assert_eq!(lines, expected);
}

pub(crate) async fn a_full_disk_does_not_reach_the_child() {
    let place = Place::new();
    let spec = place.shell("head -c 1000000 /dev/zero && echo written && exit 5");
    fs::create_dir_all(&spec.log_dir).expect("creates");
    std::os::unix::fs::symlink("/dev/full", spec.log_dir.join("server.log")).expect("links");
    let record = run_to_end(&spec).await;
    assert_eq!(record.ended_by, EndedBy::Code(5));
    assert!(record.last_lines.last().is_some_and(|line| line.starts_with('\0')), "the record has the output");
}

pub(crate) async fn the_exit_code_is_recorded() {
    let place = Place::new();
    let mut spec = place.shell("i=0; while [ $i -lt 30 ]; do echo $i; i=$((i+1)); done; exit 3");
    spec.generation = 5;
    let child = spawn(&spec).await;
    let record = child.exited().await;
    assert_eq!((record.ended_by, record.pid, record.generation), (EndedBy::Code(3), child.pid(), 5));
    let expected: Vec<String> = (30 - LAST_LINES_MAX..30).map(|n| n.to_string()).collect();
    assert_eq!(record.last_lines, expected);
    assert_eq!(child.exited().await, record);
    let text = fs::read_to_string(spec.dir.join("exit.json")).expect("reads");
    assert!(text.contains(r#""code":3"#), "{text}");
    assert!(!child.state().shim().is_alive(), "the shim has ended, too");
    assert!(!spec.control.exists() && !spec.dir.join("shim.json").exists(), "nothing stale is left");
}

pub(crate) async fn the_deadly_signal_is_recorded() {
    let place = Place::new();
    let record = run_to_end(&place.shell("kill -SEGV $$")).await;
    assert_eq!(record.ended_by, EndedBy::Signal(11));
}

pub(crate) async fn stop_terminates_the_willing() {
    let place = Place::new();
    let child =
        spawn(&place.shell("trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done")).await;
    place.until_logged("ready").await;
    let record = child.stop(Duration::from_secs(20)).await.expect("stops");
    assert_eq!(record.ended_by, EndedBy::Code(7));
    // The shell may have a word to say about its own child.
    assert_eq!(place.lines().last().map(String::as_str), Some("bye"));
}

pub(crate) async fn stop_kills_the_stubborn_after_the_grace() {
    let place = Place::new();
    let child = spawn(&place.shell("trap '' TERM; echo ready; while :; do sleep 0.05; done")).await;
    place.until_logged("ready").await;
    let began = Instant::now();
    let record = child.stop(Duration::from_millis(400)).await.expect("stops");
    assert_eq!(record.ended_by, EndedBy::Signal(9));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(5), "{took:?}");
}

pub(crate) async fn descendants_end_with_the_child() {
    let place = Place::new();
    // One in the group, one that left group and session, one whose parent has already ended.
    let script = "sleep 1000 & echo group $!; setsid sh -c 'echo session $$; exec sleep 1000' & \
                  (sleep 1000 & echo orphan $!); sleep 1000";
    let child = spawn(&place.shell(script)).await;
    let mut left = Vec::new();
    for key in ["group", "session", "orphan"] {
        left.push(place.logged_pid(key).await);
    }
    // Only the child itself is killed: the rest is the shim's work.
    child.signal(9, Target::Child).await.expect("signals");
    let record = child.exited().await;
    assert_eq!(record.ended_by, EndedBy::Signal(9));
    for process in left {
        assert!(!process.is_alive(), "{process:?} is alive after the record");
    }
}

pub(crate) async fn what_cannot_start_says_why() {
    let place = Place::new();
    let spawn = async |spec: &Spec| Child::spawn(spec, &[], &this_exe()).await.expect_err("does not start");
    let exec_error = |error: SpawnError| match error {
        SpawnError::Exec { source, .. } => source.kind(),
        other => panic!("unexpected {other}"),
    };
    let mut spec = place.shell("true");
    spec.exe = "/nowhere/at/all".into();
    assert_eq!(exec_error(spawn(&spec).await), std::io::ErrorKind::NotFound);
    let plain = place.root.path().join("plain");
    fs::write(&plain, "no program").expect("writes");
    spec.exe = plain;
    assert_eq!(exec_error(spawn(&spec).await), std::io::ErrorKind::PermissionDenied);
    let mut spec = place.shell("true");
    spec.cwd = "/nowhere".into();
    let error = spawn(&spec).await;
    assert!(
        matches!(&error, SpawnError::Refused { reason, .. } if reason.contains("start the child")),
        "{error}"
    );
    let mut spec = place.shell("true");
    spec.exe = "true".into();
    assert!(matches!(spawn(&spec).await, SpawnError::Spec(_)));
    let spec = place.shell("true");
    let error = Child::spawn(&spec, &[], "/bin/false".as_ref()).await.expect_err("no shim");
    assert!(matches!(error, SpawnError::NoAnswer { .. }), "{error}");
    let error = Child::spawn(&spec, &[], "/no/shim".as_ref()).await.expect_err("no shim");
    assert!(matches!(error, SpawnError::Shim { .. }), "{error}");
    assert!(!spec.control.exists() && !spec.dir.join("shim.json").exists(), "nothing stale is left");
}

pub(crate) async fn the_environment_is_built_not_inherited() {
    let place = Place::new();
    let mut spec = place.shell("unset ODEON_SHIM PWD; exec env");
    spec.env.insert("GREETING".to_owned(), "hello there".to_owned());
    run_to_end(&spec).await;
    let mut lines = place.lines();
    lines.sort();
    // The shell itself adds a few variables of its own.
    lines
        .retain(|line| !line.starts_with("_=") && !line.starts_with("SHLVL=") && !line.starts_with("OLDPWD"));
    assert_eq!(lines, ["GREETING=hello there", "PATH=/usr/bin:/bin"]);
}

pub(crate) async fn one_directory_has_one_shim() {
    let place = Place::new();
    let child = spawn(&place.shell("sleep 1000")).await;
    let error = Child::spawn(&place.shell("true"), &[], &this_exe()).await.expect_err("occupied");
    assert!(matches!(error, SpawnError::Occupied { .. }), "{error}");
    // The first is none the worse for it.
    let record = child.stop(Duration::from_secs(5)).await.expect("stops");
    assert_eq!(record.ended_by, EndedBy::Signal(15));
    run_to_end(&place.shell("true")).await;
}

pub(crate) async fn a_cancelled_spawn_leaves_nothing() {
    let place = Place::new();
    let pid_file = place.root.path().join("pid");
    let script = place.root.path().join("stuck");
    fs::write(&script, format!("#!/bin/sh\necho $$ > {}\nexec /bin/sleep 1000\n", pid_file.display()))
        .expect("writes");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("sets");
    let spec = place.shell("true");
    let pid = || fs::read_to_string(&pid_file).ok()?.trim().parse::<i32>().ok();
    tokio::select! {
        outcome = Child::spawn(&spec, &[], &script) => panic!("a stuck shim answered: {outcome:?}"),
        () = until("the stuck shim runs", || pid().is_some()) => {}
    }
    assert_eq!(ProcessId::of(pid().expect("just found")), None);
}

pub(crate) async fn the_shim_is_small() {
    const RSS_ANON_KIB_MAX: u64 = 2048;
    let place = Place::new();
    // Some output first, so that all buffers have been used.
    let spec = place.shell("head -c 3000000 /dev/zero | tr '\\0' 'x'; echo; echo ready; sleep 1000");
    let child = spawn(&spec).await;
    place.until_logged("ready").await;
    let status = fs::read_to_string(format!("/proc/{}/status", child.state().shim_pid)).expect("reads");
    let figure = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the key is there");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a figure")
    };
    let (anon, rss) = (figure("RssAnon:"), figure("VmRSS:"));
    say(&format!("shim: RssAnon {anon} KiB, VmRSS {rss} KiB (the rest are pages of the shared binary)"));
    assert_eq!(figure("Threads:"), 1);
    assert!(anon <= RSS_ANON_KIB_MAX, "{anon} KiB");
    child.stop(Duration::from_secs(5)).await.expect("stops");
    until_dead(&child.state().shim()).await;
}
