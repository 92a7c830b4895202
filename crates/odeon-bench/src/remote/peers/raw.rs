//! `raw-unix`, `raw-tcp`, `raw-tls`: bare sockets, the limit to compare with. No frames, no names, no types: a request
//! is a number of bytes that both sides know, an answer is eight bytes that say which answer it is.
//!
//! One ask at a time is blocking calls on two threads. Where more are open, each side reads what has come and answers
//! all of it by one write, on tokio as the peers; so bytes travel in batches as large as the load makes them. Tells
//! are gathered into writes of 64 KiB.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::Arc,
    thread,
    time::Instant,
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::{
    drive::expect,
    error::JobError,
    host,
    peers::Kind,
    remote::{
        drive::{Kept, resident},
        far::{self, Far},
        peers::{Row, Sides, tls},
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

/// Bytes of one answer.
const ANSWER_BYTES: usize = size_of::<u64>();

/// Bytes read or written at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// Bytes that an idle connection keeps for what may come.
const IDLE_BUFFER_BYTES: usize = 4 * 1024;

/// Asks before the clock starts.
const WARM_UP_ASKS: usize = 200;

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

/// A connection for blocking calls.
trait Blocking: Read + Write + Send {
    /// Says that nothing more will come, and still reads.
    fn finish(&mut self) -> io::Result<()>;
}

impl Blocking for UnixStream {
    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Blocking for TcpStream {
    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Blocking for rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    fn finish(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()
    }
}

impl Blocking for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    fn finish(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()
    }
}

/// A connection for tokio.
trait Async: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Async for S {}

/// What one far connection reads at once, and whether by a thread of its own.
fn is_blocking(question: Question) -> bool {
    matches!(question, Question::Ask | Question::LinksAsk(_) | Question::Tell | Question::FirstContact)
}

// The far side.

enum Listening {
    Unix(UnixListener),
    Tcp(TcpListener, Option<Arc<rustls::ServerConfig>>),
}

fn far(task: &Task, directory: &Path) -> Result<(), JobError> {
    let (listening, address) = listen(task.point.transport, directory)?;
    let request_bytes = task.point.question.bytes();
    if is_blocking(task.point.question) {
        thread::spawn(move || {
            while let Ok(mut connection) = accept(&listening) {
                thread::spawn(move || serve(&mut *connection, request_bytes));
            }
        });
        far::announce(&[address])?;
        far::wait_for_the_end();
        return Ok(());
    }
    let buffer_bytes =
        if task.point.question == Question::IdleLink { IDLE_BUFFER_BYTES } else { BUFFER_BYTES };
    host::tokio(task.runtime, async move {
        tokio::spawn(async move {
            match listening {
                Listening::Unix(listener) => {
                    listener.set_nonblocking(true)?;
                    let listener = tokio::net::UnixListener::from_std(listener)?;
                    loop {
                        let (connection, _) = listener.accept().await?;
                        tokio::spawn(serve_async(connection, request_bytes, buffer_bytes));
                    }
                }
                Listening::Tcp(listener, tls) => {
                    listener.set_nonblocking(true)?;
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    loop {
                        let (connection, _) = listener.accept().await?;
                        connection.set_nodelay(true)?;
                        let Some(tls) = tls.clone() else {
                            tokio::spawn(serve_async(connection, request_bytes, buffer_bytes));
                            continue;
                        };
                        tokio::spawn(async move {
                            let connection = tokio_rustls::TlsAcceptor::from(tls).accept(connection).await?;
                            serve_async(connection, request_bytes, buffer_bytes).await
                        });
                    }
                }
            }
            #[expect(unreachable_code, reason = "the type of the block")]
            Ok::<(), io::Error>(())
        });
        far::announce(&[address])?;
        tokio::task::spawn_blocking(far::wait_for_the_end).await.map_err(JobError::Producer)
    })?
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

fn accept(listening: &Listening) -> io::Result<Box<dyn Blocking>> {
    Ok(match listening {
        Listening::Unix(listener) => Box::new(listener.accept()?.0),
        Listening::Tcp(listener, tls) => {
            let connection = listener.accept()?.0;
            connection.set_nodelay(true)?;
            match tls {
                None => Box::new(connection),
                Some(tls) => {
                    let session = rustls::ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
                    Box::new(rustls::StreamOwned::new(session, connection))
                }
            }
        }
    })
}

/// Counts requests in a stream of bytes and makes their answers.
struct Answers {
    request_bytes: usize,
    bytes: usize,
    answered: u64,
}

impl Answers {
    const fn new(request_bytes: usize) -> Self {
        Self { request_bytes, bytes: 0, answered: 0 }
    }

    /// So many bytes have come; the answers that are due because of them.
    fn due(&mut self, bytes: usize, out: &mut Vec<u8>) {
        self.bytes += bytes;
        for _ in 0..self.bytes / self.request_bytes {
            self.answered += 1;
            out.extend_from_slice(&self.answered.to_le_bytes());
        }
        self.bytes %= self.request_bytes;
    }
}

/// Answers every request; tells, which are larger, by their number when the sender is done.
fn serve(connection: &mut dyn Blocking, request_bytes: usize) -> io::Result<()> {
    let is_tell = request_bytes == Question::Tell.bytes();
    let mut answers = Answers::new(request_bytes);
    let (mut buffer, mut out) = (vec![0; BUFFER_BYTES], Vec::new());
    loop {
        let read = connection.read(&mut buffer)?;
        if read == 0 {
            connection.write_all(&answers.answered.to_le_bytes())?;
            return connection.flush();
        }
        out.clear();
        answers.due(read, &mut out);
        if !is_tell {
            connection.write_all(&out)?;
            connection.flush()?;
        }
    }
}

async fn serve_async(
    mut connection: impl Async,
    request_bytes: usize,
    buffer_bytes: usize,
) -> io::Result<()> {
    let mut answers = Answers::new(request_bytes);
    let (mut buffer, mut out) = (vec![0; buffer_bytes], Vec::new());
    loop {
        let read = connection.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        out.clear();
        answers.due(read, &mut out);
        connection.write_all(&out).await?;
        connection.flush().await?;
    }
}

// The near side.

fn near(task: Task, far: Far) -> Result<Sample, JobError> {
    if is_blocking(task.point.question) {
        return near_blocking(&task, &far).map_err(JobError::Link)?;
    }
    host::tokio(task.runtime, near_async(task, far))?
}

fn connect(task: &Task, far: &Far, tls: Option<&Arc<rustls::ClientConfig>>) -> io::Result<Box<dyn Blocking>> {
    let address = &far.addresses()[0];
    if task.point.transport == Transport::Unix {
        return Ok(Box::new(UnixStream::connect(address)?));
    }
    let connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    Ok(match tls {
        None => Box::new(connection),
        Some(config) => {
            let session =
                rustls::ClientConnection::new(Arc::clone(config), tls::name()).map_err(io::Error::other)?;
            Box::new(rustls::StreamOwned::new(session, connection))
        }
    })
}

/// Over each connection in turn; the outer result is of the connections, the inner of the answers.
fn near_blocking(task: &Task, far: &Far) -> io::Result<Result<Sample, JobError>> {
    let tls = match client(task, far) {
        Ok(tls) => tls,
        Err(error) => return Ok(Err(error)),
    };
    let mut kept = Kept::new(task.count);
    if task.point.question == Question::FirstContact {
        let started = Instant::now();
        for _ in 0..task.count {
            let since = Instant::now();
            ping(&mut *connect(task, far, tls.as_ref())?)?;
            kept.push(since.elapsed());
        }
        return Ok(Ok(kept.stop(started, task.count)));
    }
    let mut connections: Vec<Box<dyn Blocking>> =
        (0..task.links()).map(|_| connect(task, far, tls.as_ref())).collect::<Result<_, _>>()?;
    if task.point.question == Question::Tell {
        return pour(&mut *connections[0], task);
    }
    let links = connections.len();
    for turn in 0..WARM_UP_ASKS.max(links) {
        ping(&mut *connections[turn % links])?;
    }
    let started = Instant::now();
    let mut since = started;
    for turn in 0..task.count {
        ping(&mut *connections[turn % links])?;
        let now = Instant::now();
        kept.push(now - since);
        since = now;
    }
    Ok(Ok(kept.stop(started, task.count)))
}

fn client(task: &Task, far: &Far) -> Result<Option<Arc<rustls::ClientConfig>>, JobError> {
    if task.point.transport == Transport::Tls { tls::client(far.directory()).map(Some) } else { Ok(None) }
}

fn ping(connection: &mut dyn Blocking) -> io::Result<u64> {
    connection.write_all(&[7; ANSWER_BYTES])?;
    connection.flush()?;
    let mut answer = [0; ANSWER_BYTES];
    connection.read_exact(&mut answer)?;
    Ok(u64::from_le_bytes(answer))
}

fn pour(connection: &mut dyn Blocking, task: &Task) -> io::Result<Result<Sample, JobError>> {
    let bytes = task.point.question.bytes();
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    let mut message = vec![7; bytes];
    let started = Instant::now();
    for sequence in 0..task.count {
        message[..8].copy_from_slice(&(sequence as u64).to_le_bytes());
        buffer.extend_from_slice(&message);
        if buffer.len() + bytes > BUFFER_BYTES {
            connection.write_all(&buffer)?;
            buffer.clear();
        }
    }
    connection.write_all(&buffer)?;
    connection.flush()?;
    connection.finish()?;
    let mut answer = [0; ANSWER_BYTES];
    connection.read_exact(&mut answer)?;
    let sample = Kept::new(0).stop(started, task.count);
    Ok(expect(task.count as u64, u64::from_le_bytes(answer)).map(|()| sample))
}

async fn near_async(task: Task, far: Far) -> Result<Sample, JobError> {
    let tls = client(&task, &far)?;
    let before = resident(&far)?;
    let mut connections = Vec::new();
    for _ in 0..task.links() {
        connections.push(connect_async(&task, &far, tls.as_ref()).await.map_err(JobError::Link)?);
    }
    let question = task.point.question;
    let (links, bytes) = (connections.len(), question.bytes());
    if question == Question::IdleLink {
        for connection in &mut connections {
            flow(connection, bytes, 1, 1).await?;
        }
        let mut sample = Kept::new(0).stop(Instant::now(), links);
        sample.resident_bytes = Some(resident(&far)?.saturating_sub(before));
        return Ok(sample);
    }
    let (open, share) = ((question.open() / links).max(1), (task.count / links).max(1));
    let started = Instant::now();
    let flows: Vec<_> = connections
        .into_iter()
        .map(|mut connection| tokio::spawn(async move { flow(&mut connection, bytes, open, share).await }))
        .collect();
    let mut durations_ns = Vec::new();
    for flow in flows {
        durations_ns.extend(flow.await.map_err(JobError::Producer)??);
    }
    let elapsed_ns = started.elapsed().as_nanos() as f64;
    Ok(Sample { elapsed_ns, count: links * share, batches_ns: durations_ns, resident_bytes: None })
}

async fn connect_async(
    task: &Task,
    far: &Far,
    tls: Option<&Arc<rustls::ClientConfig>>,
) -> io::Result<Box<dyn Async>> {
    let address = &far.addresses()[0];
    if task.point.transport == Transport::Unix {
        return Ok(Box::new(tokio::net::UnixStream::connect(address).await?));
    }
    let connection = tokio::net::TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    Ok(match tls {
        None => Box::new(connection),
        Some(config) => {
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
            Box::new(connector.connect(tls::name(), connection).await?)
        }
    })
}

/// Keeps `open` requests under way until `count` are answered: as many as have been answered are sent, by one write.
async fn flow(
    connection: &mut Box<dyn Async>,
    request_bytes: usize,
    open: usize,
    count: usize,
) -> Result<Vec<f64>, JobError> {
    let requests = vec![7; request_bytes * open];
    let (mut reader, mut writer) = tokio::io::split(connection);
    let (sent_at, mut sents) = tokio::sync::mpsc::unbounded_channel::<(Instant, usize)>();
    let (credits, mut credit) = tokio::sync::mpsc::unbounded_channel::<usize>();
    let write = async {
        let mut left = count;
        let mut next = open.min(count);
        loop {
            // Whoever has ended has lost the connection, and says so.
            let _ = sent_at.send((Instant::now(), next));
            writer.write_all(&requests[..next * request_bytes]).await?;
            writer.flush().await?;
            left -= next;
            if left == 0 {
                return Ok(());
            }
            let Some(answered) = credit.recv().await else { return Ok(()) };
            next = answered;
            while let Ok(more) = credit.try_recv() {
                next += more;
            }
            next = next.min(left).min(open);
        }
    };
    let read = async {
        let mut waiting: VecDeque<(Instant, usize)> = VecDeque::new();
        let (mut answered, mut partial) = (0, 0);
        let mut durations_ns = Vec::with_capacity(count / open + 1);
        let mut buffer = vec![0; BUFFER_BYTES.min(ANSWER_BYTES * open)];
        while answered < count {
            let read = reader.read(&mut buffer).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            partial += read;
            let mut answers = partial / ANSWER_BYTES;
            partial %= ANSWER_BYTES;
            answered += answers;
            let _ = credits.send(answers);
            let now = Instant::now();
            while let Ok(sent) = sents.try_recv() {
                waiting.push_back(sent);
            }
            while answers > 0 {
                let Some((at, missing)) = waiting.front_mut() else { break };
                let done = answers.min(*missing);
                // One of each batch; those of a batch are as old as each other.
                durations_ns.push((now - *at).as_nanos() as f64);
                answers -= done;
                *missing -= done;
                if *missing == 0 {
                    waiting.pop_front();
                }
            }
        }
        Ok(durations_ns)
    };
    let ((), durations_ns) = tokio::try_join!(write, read).map_err(JobError::Link)?;
    Ok(durations_ns)
}
