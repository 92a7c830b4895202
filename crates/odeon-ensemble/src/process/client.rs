//! A supervisor's connection to a shim: requests out, lines in, descriptors with them.
//!
//! Each question has a connection of its own, so that questions never wait for one another; the one that watches
//! stays open and belongs to the `Child`.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::control::{RESPONSE_BYTES_MAX, Request, Response, line};
use super::fds;

/// How long a shim may take to answer: it does nothing that takes long, but the machine may be busy.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(5);

const READ_BYTES: usize = 4096;

/// One connection, with what was read ahead of a line's end.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    inbox: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, inbox: Vec::new(), fds: Vec::new() }
    }

    /// Connects and asks the first question.
    pub(super) async fn open(path: &Path, request: &Request) -> io::Result<(Self, Response)> {
        let ask = async {
            let mut connection = Self::new(UnixStream::connect(path).await?);
            connection.send(&line(request), &[]).await?;
            let response = connection.response().await?;
            Ok((connection, response))
        };
        timeout(ANSWER_MAX, ask).await?
    }

    /// Sends all of `bytes`, `fds` with the first of them.
    pub(super) async fn send(&self, bytes: &[u8], fds: &[std::os::fd::BorrowedFd<'_>]) -> io::Result<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            let fds = if sent == 0 { fds } else { &[] };
            let write = || fds::send(&self.stream, &bytes[sent..], fds);
            sent += self.stream.async_io(Interest::WRITABLE, write).await?;
        }
        Ok(())
    }

    /// The next answer.
    ///
    /// # Cancel safety
    /// What was read of a line is kept for the next call.
    pub(super) async fn response(&mut self) -> io::Result<Response> {
        Ok(serde_json::from_slice(&self.line().await?)?)
    }

    /// The next line.
    ///
    /// # Cancel safety
    /// What was read of it is kept for the next call.
    pub(super) async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.inbox.iter().position(|byte| *byte == b'\n') {
                return Ok(self.inbox.drain(..=end).collect());
            }
            if self.inbox.len() > RESPONSE_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the shim's answer is too long"));
            }
            let mut buffer = [0; READ_BYTES];
            let (stream, fds) = (&self.stream, &mut self.fds);
            let count =
                stream.async_io(Interest::READABLE, || fds::receive(stream, &mut buffer, fds)).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.inbox.extend_from_slice(&buffer[..count]);
        }
    }

    /// The descriptors that came so far.
    pub(super) fn take_fds(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.fds)
    }
}
