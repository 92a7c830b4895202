//! `raw-unix`, `raw-tcp`, `raw-tls`: bare sockets, the limit to compare with. No names, no types, no encoding, no
//! mailboxes, no deadlines.
//!
//! One ask at a time, and tells, are blocking calls on two threads (`blocking.rs`): nothing is faster. Many askers at
//! once are tasks that share a connection (`batched.rs`): what has gathered leaves by one write, what has come is
//! answered by one write.

mod batched;
mod blocking;

use std::{net::TcpListener, os::unix::net::UnixListener, path::Path, sync::Arc};

use crate::{
    error::JobError,
    peers::Kind,
    remote::{
        far::Far,
        peers::{Row, Sides, near as with_calls, tls},
        question::{Point, Question, Task, Transport},
    },
    workload::Sample,
};

/// The row over unix sockets.
pub(crate) const UNIX: Row = row("raw-unix", |point| does(point, Transport::Unix));
/// The row over TCP.
pub(crate) const TCP: Row = row("raw-tcp", |point| does(point, Transport::Tcp));
/// The row over TCP with TLS.
pub(crate) const TLS: Row = row("raw-tls", |point| does(point, Transport::Tls));

/// Bytes of one answer without its frame.
const ANSWER_BYTES: usize = size_of::<u64>();

/// Bytes read or written at once.
const BUFFER_BYTES: usize = 64 * 1024;

const fn row(name: &'static str, does: fn(Point) -> bool) -> Row {
    Row {
        name,
        kind: Kind::Limit,
        share: 1,
        does,
        missing: || None,
        sides: Sides::Ours { prepare: tls::prepare, far, near },
    }
}

fn does(point: Point, transport: Transport) -> bool {
    point.transport == transport && !matches!(point.question, Question::Actors(_))
}

/// Whether the question is one for blocking calls.
fn is_blocking(question: Question) -> bool {
    matches!(question, Question::Ask | Question::LinksAsk(_) | Question::Tell | Question::FirstContact)
}

fn far(task: &Task, directory: &Path) -> Result<(), JobError> {
    let (listening, address) = listen(task.point.transport, directory)?;
    if is_blocking(task.point.question) {
        blocking::far(task, listening, address)
    } else {
        batched::far(task, listening, address)
    }
}

fn near(task: Task, far: Far) -> Result<Sample, JobError> {
    if is_blocking(task.point.question) {
        blocking::near(&task, &far)
    } else {
        with_calls::<batched::Batched>(task, far)
    }
}

/// Where the far process accepts.
enum Listening {
    Unix(UnixListener),
    Tcp(TcpListener, Option<Arc<rustls::ServerConfig>>),
}

fn listen(transport: Transport, directory: &Path) -> Result<(Listening, String), JobError> {
    if transport == Transport::Unix {
        let path = directory.join("raw.sock");
        let listener = UnixListener::bind(&path).map_err(JobError::Link)?;
        return Ok((Listening::Unix(listener), path.to_string_lossy().into_owned()));
    }
    let tls = if transport == Transport::Tls { Some(tls::server(directory)?) } else { None };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(JobError::Link)?;
    let address = listener.local_addr().map_err(JobError::Link)?.to_string();
    Ok((Listening::Tcp(listener, tls), address))
}

fn client(task: &Task, far: &Far) -> Result<Option<Arc<rustls::ClientConfig>>, JobError> {
    if task.point.transport == Transport::Tls { tls::client(far.directory()).map(Some) } else { Ok(None) }
}
