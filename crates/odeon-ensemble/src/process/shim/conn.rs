//! One connection of the control socket: bytes in, requests out; answers are written at once or not at all.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::super::control::{REQUEST_BYTES_MAX, Request, Response, line};
use super::super::fds;

/// How long a connection that does not watch may say nothing.
pub(super) const IDLE_MS_MAX: u64 = 5000;

/// What arrived on a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A request.
    Request(Request),
    /// A line that is none; it says why.
    Malformed(String),
    /// The connection is to be closed: by the other side, by an error, or for a line too long.
    Close(Option<String>),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Conn {
    stream: UnixStream,
    inbox: Vec<u8>,
    last_used: u64,
    /// Whether the child's end is told here.
    pub(super) watches: bool,
    /// Whether the child's end has been told here.
    pub(super) told: bool,
    /// Whether it is to be dropped.
    pub(super) closed: bool,
}

impl Conn {
    pub(super) fn new(stream: UnixStream, now: u64) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, inbox: Vec::new(), last_used: now, watches: false, told: false, closed: false })
    }

    /// When it will have been silent for too long.
    pub(super) fn deadline(&self) -> Option<u64> {
        (!self.watches).then(|| self.last_used.saturating_add(IDLE_MS_MAX))
    }

    /// Reads what there is, at most one request's worth.
    pub(super) fn read(&mut self, now: u64) -> Vec<Input> {
        let mut buffer = [0; REQUEST_BYTES_MAX];
        let mut inputs = Vec::new();
        match self.stream.read(&mut buffer) {
            Ok(0) => inputs.push(Input::Close(None)),
            Ok(count) => {
                self.last_used = now;
                self.inbox.extend_from_slice(&buffer[..count]);
                split(&mut self.inbox, &mut inputs);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => inputs.push(Input::Close(None)),
        }
        inputs
    }

    /// Answers; a peer that does not read its answers is closed.
    pub(super) fn answer(&mut self, response: &Response, sockets: &[BorrowedFd<'_>]) {
        let bytes = line(response);
        if !fds::send(&self.stream, &bytes, sockets).is_ok_and(|sent| sent == bytes.len()) {
            self.closed = true;
        }
    }
}

impl AsFd for Conn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Takes the whole lines out of `inbox`.
fn split(inbox: &mut Vec<u8>, inputs: &mut Vec<Input>) {
    while let Some(end) = inbox.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = inbox.drain(..=end).collect();
        if line.len() > REQUEST_BYTES_MAX {
            inputs.push(too_long());
            return;
        }
        inputs.push(match serde_json::from_slice(&line) {
            Ok(request) => Input::Request(request),
            Err(error) => Input::Malformed(format!("not a request: {error}")),
        });
    }
    if inbox.len() >= REQUEST_BYTES_MAX {
        inputs.push(too_long());
    }
}

fn too_long() -> Input {
    Input::Close(Some(format!("a request has at most {REQUEST_BYTES_MAX} bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(text: &[u8]) -> (Vec<Input>, usize) {
        let mut inbox = text.to_vec();
        let mut inputs = Vec::new();
        split(&mut inbox, &mut inputs);
        (inputs, inbox.len())
    }

    #[test]
    fn lines_become_requests_and_the_rest_waits() {
        let (inputs, rest) = feed(b"{\"op\":\"status\"}\nnonsense\n{\"op\":");
        assert_eq!(inputs[0], Input::Request(Request::Status));
        assert!(matches!(&inputs[1], Input::Malformed(reason) if reason.contains("not a request")));
        assert_eq!((inputs.len(), rest), (2, 6));
    }

    #[test]
    fn a_request_has_a_longest_length() {
        let padded = |bytes: usize| {
            let mut line = br#"{"op":"status"}"#.to_vec();
            line.resize(bytes - 1, b' ');
            line.push(b'\n');
            line
        };
        assert_eq!(feed(&padded(REQUEST_BYTES_MAX)).0, [Input::Request(Request::Status)]);
        assert!(matches!(feed(&padded(REQUEST_BYTES_MAX + 1)).0[..], [Input::Close(Some(_))]));
        assert!(feed(&vec![b' '; REQUEST_BYTES_MAX - 1]).0.is_empty());
        assert!(matches!(feed(&vec![b' '; REQUEST_BYTES_MAX]).0[..], [Input::Close(Some(_))]));
    }
}
