//! Many askers that share a connection, on tokio as the peers. A frame is its length, a number, and bytes; an answer
//! carries the number of its request. Askers append to one buffer, which leaves by one write; who waits stands in line,
//! since answers come in the order of the requests.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{Notify, oneshot},
};

use super::{ANSWER_BYTES, BUFFER_BYTES, Listening, client};
use crate::{
    error::{Gone, JobError},
    host,
    remote::{
        drive::Near,
        far::{self, Far},
        peers::tls,
        question::{TELL_BYTES, Task, Transport},
    },
};

/// Bytes that an idle connection keeps for what may come.
const IDLE_BUFFER_BYTES: usize = 4 * 1024;

/// Bytes before the bytes of a frame: its length without them, and its number.
const HEAD_BYTES: usize = 4 + 8;

trait Connection: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Connection for S {}

fn put(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Bytes that have come, as frames.
struct Input {
    buffer: Vec<u8>,
    filled: usize,
}

impl Input {
    fn new() -> Self {
        Self { buffer: vec![0; IDLE_BUFFER_BYTES], filled: 0 }
    }

    /// Waits for bytes and calls `each` with the number and the bytes of every frame. Whether more may come.
    async fn read(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        mut each: impl FnMut(u64, &[u8]),
    ) -> io::Result<bool> {
        let read = from.read(&mut self.buffer[self.filled..]).await?;
        self.filled += read;
        let mut taken = 0;
        let mut wanted = 0;
        while let Some((head, rest)) = self.buffer[taken..self.filled].split_at_checked(HEAD_BYTES) {
            let length = u32::from_le_bytes(head[..4].try_into().map_err(io::Error::other)?) as usize;
            let number = u64::from_le_bytes(head[4..].try_into().map_err(io::Error::other)?);
            let Some(bytes) = rest.get(..length) else {
                wanted = HEAD_BYTES + length;
                break;
            };
            each(number, bytes);
            taken += HEAD_BYTES + length;
        }
        let is_full = self.filled == self.buffer.len();
        self.buffer.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        let size = self.buffer.len();
        if wanted > size || (is_full && size < BUFFER_BYTES) {
            self.buffer.resize(wanted.max((2 * size).min(BUFFER_BYTES)).max(size), 0);
        }
        Ok(read > 0)
    }
}

/// Serves each connection by a task of its own.
pub(super) fn far(task: &Task, listening: Listening, address: String) -> Result<(), JobError> {
    host::tokio(task.runtime, async move {
        tokio::spawn(accept(listening));
        far::announce(&[address])?;
        tokio::task::spawn_blocking(far::wait_for_the_end).await.map_err(JobError::Producer)
    })?
}

async fn accept(listening: Listening) -> io::Result<()> {
    match listening {
        Listening::Unix(listener) => {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::UnixListener::from_std(listener)?;
            loop {
                tokio::spawn(serve(listener.accept().await?.0));
            }
        }
        Listening::Tcp(listener, tls) => {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                let (connection, _) = listener.accept().await?;
                connection.set_nodelay(true)?;
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => serve(connection).await,
                        Some(tls) => {
                            serve(tokio_rustls::TlsAcceptor::from(tls).accept(connection).await?).await
                        }
                    }
                });
            }
        }
    }
}

/// Answers eight bytes with themselves, others with their number.
async fn serve(mut connection: impl Connection) -> io::Result<()> {
    let (mut input, mut out) = (Input::new(), Vec::new());
    loop {
        let is_open = input
            .read(&mut connection, |number, bytes| {
                let size = (bytes.len() as u64).to_le_bytes();
                put(&mut out, number, if bytes.len() == ANSWER_BYTES { bytes } else { &size });
            })
            .await?;
        if !is_open {
            return Ok(());
        }
        connection.write_all(&out).await?;
        connection.flush().await?;
        out.clear();
    }
}

/// The near side's connections.
pub(super) struct Batched(Vec<Arc<Link>>);

/// One connection, as askers see it.
pub(super) struct Link {
    state: Mutex<State>,
    work: Notify,
}

#[derive(Default)]
struct State {
    out: Vec<u8>,
    waiting: VecDeque<oneshot::Sender<u64>>,
    asked: u64,
    is_over: bool,
}

impl Link {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, bytes: &[u8]) -> Result<u64, JobError> {
        let (port, answer) = oneshot::channel();
        let is_first = {
            let mut state = self.state();
            let is_first = state.out.is_empty();
            let number = state.asked;
            state.asked += 1;
            put(&mut state.out, number, bytes);
            state.waiting.push_back(port);
            is_first
        };
        if is_first {
            self.work.notify_one();
        }
        answer.await.map_err(|_| Gone.into())
    }

    async fn write(&self, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
        let mut out = Vec::new();
        loop {
            std::mem::swap(&mut out, &mut self.state().out);
            if out.is_empty() {
                if self.state().is_over {
                    return to.shutdown().await;
                }
                self.work.notified().await;
            } else {
                to.write_all(&out).await?;
                to.flush().await?;
                out.clear();
            }
        }
    }

    async fn read(&self, mut from: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut input = Input::new();
        let mut answers: Vec<u64> = Vec::new();
        loop {
            let is_open = input
                .read(&mut from, |_, bytes| {
                    answers.extend(bytes.try_into().map(u64::from_le_bytes));
                })
                .await?;
            let mut state = self.state();
            if !is_open {
                // Their ports fall, and say that no answer will come.
                state.waiting.clear();
                return Ok(());
            }
            for answer in answers.drain(..) {
                if let Some(port) = state.waiting.pop_front() {
                    let _ = port.send(answer);
                }
            }
        }
    }
}

async fn connect(
    task: &Task,
    far: &Far,
    tls: Option<&Arc<rustls::ClientConfig>>,
) -> io::Result<Box<dyn Connection>> {
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

impl Near for Batched {
    type Counter = Arc<Link>;

    async fn open(task: &Task, far: &Far) -> Result<Self, JobError> {
        let tls = client(task, far)?;
        let mut links = Vec::new();
        for _ in 0..task.links() {
            let connection = connect(task, far, tls.as_ref()).await.map_err(JobError::Link)?;
            let (reader, writer) = tokio::io::split(connection);
            let link = Arc::new(Link { state: Mutex::default(), work: Notify::new() });
            let (reading, writing) = (Arc::clone(&link), Arc::clone(&link));
            tokio::spawn(async move { reading.read(reader).await });
            tokio::spawn(async move { writing.write(writer).await });
            links.push(link);
        }
        Ok(Self(links))
    }

    async fn counter(&self, link: usize, _actor: usize) -> Result<Arc<Link>, JobError> {
        Ok(Arc::clone(&self.0[link]))
    }

    async fn ask(counter: &Arc<Link>, value: u64) -> Result<u64, JobError> {
        counter.ask(&value.to_le_bytes()).await
    }

    async fn size(counter: &Arc<Link>, bytes: Vec<u8>) -> Result<u64, JobError> {
        counter.ask(&bytes).await
    }

    async fn tell(_counter: &Arc<Link>, _bytes: [u8; TELL_BYTES]) -> Result<(), JobError> {
        Err(JobError::Unfit { workload: "tells" })
    }

    async fn close(self) {
        for link in self.0 {
            link.state().is_over = true;
            link.work.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_found_however_they_are_cut() {
        let mut sent = Vec::new();
        let sizes = [0, 1, 8, IDLE_BUFFER_BYTES, 3, BUFFER_BYTES + 5, 64];
        for (number, size) in (0..).zip(sizes) {
            put(&mut sent, number, &vec![7; size]);
        }
        for step in [1, 7, 5_000, sent.len()] {
            let (mut to, mut from) = tokio::io::duplex(step);
            let bytes = sent.clone();
            tokio::spawn(async move { to.write_all(&bytes).await });
            let (mut input, mut found) = (Input::new(), Vec::new());
            while input
                .read(&mut from, |number, bytes| found.push((number, bytes.len())))
                .await
                .expect("a duplex does not fail")
            {}
            assert_eq!(found, (0..).zip(sizes).collect::<Vec<(u64, usize)>>(), "{step}");
        }
    }
}
