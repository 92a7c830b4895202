//! The control socket against those who use it badly.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use odeon_ensemble::process::{Child, ControlError, EndedBy, Target};

use crate::fixture::{Place, spawn};

/// Connections that a shim serves at a time, the supervisor's included.
const CONNECTIONS_MAX: usize = 16;

fn open(child: &Child) -> UnixStream {
    let stream = UnixStream::connect(&child.state().control).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("sets");
    stream
}

/// One question, one line of answer.
fn ask(stream: &UnixStream, request: &str) -> serde_json::Value {
    let mut stream = stream;
    writeln!(stream, "{request}").expect("writes");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("reads");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("`{line}`: {error}"))
}

/// Whether the other side closes, with nothing more to read.
fn is_closed(mut stream: &UnixStream) -> bool {
    let mut rest = Vec::new();
    // Closed with unread bytes of ours, it is a reset.
    stream
        .read_to_end(&mut rest)
        .map_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset, |n| n == 0)
}

async fn resident(place: &Place) -> Child {
    let child = spawn(&place.shell("echo ready; sleep 1000")).await;
    place.until_logged("ready").await;
    child
}

async fn end(child: Child) {
    child.stop(Duration::from_secs(5)).await.expect("stops");
}

pub(crate) async fn the_control_socket_is_private() {
    let place = Place::new();
    let child = resident(&place).await;
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&child.state().control), 0o600);
    let status = ask(&open(&child), r#"{"op":"status"}"#);
    assert_eq!((&status["answer"], &status["state"]), (&"status".into(), &"running".into()));
    assert_eq!(status["child_pid"], child.pid());
    end(child).await;
}

pub(crate) async fn nonsense_is_answered_and_survived() {
    let place = Place::new();
    let child = resident(&place).await;
    let stream = open(&child);
    for bad in ["", "{", r#"{"op":"explode"}"#, r#"{"op":"signal","signo":99}"#, "\u{1F3AD}"] {
        assert_eq!(ask(&stream, bad)["answer"], "error", "{bad}");
    }
    assert_eq!(ask(&stream, r#"{"op":"status"}"#)["answer"], "status");
    // Without a line's end, too much is too much.
    let mut stream = open(&child);
    stream.write_all(&[b'x'; 4096]).expect("writes");
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).expect("reads");
    assert!(line.contains("at most 4096 bytes"), "{line}");
    assert!(is_closed(&stream));
    assert_eq!(ask(&open(&child), r#"{"op":"status"}"#)["answer"], "status");
    end(child).await;
}

pub(crate) async fn connections_are_bounded() {
    let place = Place::new();
    let child = resident(&place).await;
    // The supervisor's own is one of them.
    let streams: Vec<UnixStream> = (1..CONNECTIONS_MAX).map(|_| open(&child)).collect();
    for stream in &streams {
        assert_eq!(ask(stream, r#"{"op":"status"}"#)["answer"], "status");
    }
    assert!(is_closed(&open(&child)), "one too many is closed");
    drop(streams);
    end(child).await;
}

pub(crate) async fn idle_connections_are_closed() {
    let place = Place::new();
    let child = resident(&place).await;
    let (idle, watching) = (open(&child), open(&child));
    ask(&watching, r#"{"op":"watch"}"#);
    let began = Instant::now();
    assert!(is_closed(&idle));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(4500) && took < Duration::from_secs(9), "{took:?}");
    assert_eq!(ask(&watching, r#"{"op":"status"}"#)["answer"], "status");
    end(child).await;
}

pub(crate) async fn signals_reach_the_child() {
    let place = Place::new();
    let script = "trap 'echo got one' USR1; echo ready; while :; do sleep 0.05; done";
    let child = spawn(&place.shell(script)).await;
    place.until_logged("ready").await;
    child.signal(10, Target::Child).await.expect("signals");
    place.until_logged("got one").await;
    let error = child.signal(0, Target::Child).await.expect_err("no signal");
    assert!(
        matches!(&error, ControlError::Refused { reason, .. } if reason.contains("0 is no signal")),
        "{error}"
    );
    child.signal(9, Target::Group).await.expect("signals");
    assert_eq!(child.exited().await.ended_by, EndedBy::Signal(9));
    assert!(child.signal(10, Target::Child).await.is_err());
}
