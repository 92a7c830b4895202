//! One end of a simulated connection, as a stream of bytes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::fabric::{ConnectionId, Fabric, Segment, Side};
use crate::net::Network;

/// Of so many writes one is cut short at random, so that frames are split anywhere.
const SHORT_WRITES_ONE_IN: u64 = 8;

/// One end of a connection. Dropping it closes it.
pub(crate) struct SimStream {
    network: Network,
    id: ConnectionId,
    side: Side,
}

impl SimStream {
    pub(crate) const fn new(network: Network, id: ConnectionId, side: Side) -> Self {
        Self { network, id, side }
    }
}

impl Fabric {
    /// Whether a dialled connection has come about.
    pub(crate) fn poll_opened(&mut self, id: ConnectionId, waker: &Waker) -> Poll<io::Result<()>> {
        let Some(conn) = self.connections.get_mut(&id) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        };
        if conn.ends[0].is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        if conn.is_open {
            return Poll::Ready(Ok(()));
        }
        conn.ends[0].reader = Some(waker.clone());
        Poll::Pending
    }

    fn poll_read(
        &mut self,
        id: ConnectionId,
        side: Side,
        waker: &Waker,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(end) = self.connections.get_mut(&id).map(|conn| &mut conn.ends[side]) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        if end.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let count = end.inbox.len().min(out.remaining());
        if count > 0 {
            let bytes: Vec<u8> = end.inbox.drain(..count).collect();
            out.put_slice(&bytes);
            self.send(id, side, Segment::Read(count));
            return Poll::Ready(Ok(()));
        }
        if end.is_finished {
            return Poll::Ready(Ok(()));
        }
        end.reader = Some(waker.clone());
        Poll::Pending
    }

    fn poll_write(
        &mut self,
        id: ConnectionId,
        side: Side,
        waker: &Waker,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let is_short = self.rng().chance(1, SHORT_WRITES_ONE_IN);
        let Some(conn) = self.connections.get_mut(&id) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let end = &mut conn.ends[side];
        if end.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if conn.pipes[side].is_finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut count = bytes.len().min(end.room);
        if count == 0 && !bytes.is_empty() {
            end.writer = Some(waker.clone());
            return Poll::Pending;
        }
        if is_short && count > 1 {
            count = count.div_ceil(2);
        }
        end.room -= count;
        self.send(id, side, Segment::Data(bytes[..count].to_vec()));
        Poll::Ready(Ok(count))
    }
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (id, side) = (self.id, self.side);
        self.network.step(|fabric| fabric.poll_read(id, side, cx.waker(), out))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let (id, side) = (self.id, self.side);
        self.network.step(|fabric| fabric.poll_write(id, side, cx.waker(), bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.network.step(|fabric| fabric.send(self.id, self.side, Segment::Finish));
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.network.step(|fabric| fabric.let_go(self.id, self.side));
    }
}

impl fmt::Debug for SimStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStream").field("id", &self.id).field("side", &self.side).finish_non_exhaustive()
    }
}
