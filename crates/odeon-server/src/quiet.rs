//! A unix socket that is woken for what it waits for, and for nothing else.
//!
//! The kernel reports room to write whenever the other end reads, not only after there was none. A socket that is
//! registered for both would wake its thread once for every message that the other end takes: as many switches again
//! as the messages cost. So this one is registered for reading, and for writing only while a write waits.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// The socket.
#[derive(Debug)]
pub(crate) struct QuietUnix {
    /// Registered for reading.
    stream: AsyncFd<UnixStream>,
    /// The same socket, registered for writing while a write waits.
    room: Option<AsyncFd<UnixStream>>,
}

impl QuietUnix {
    /// Takes over a connected socket. Called where the runtime is.
    ///
    /// # Errors
    /// As the operating system says.
    pub(crate) fn new(stream: tokio::net::UnixStream) -> io::Result<Self> {
        let stream = registered(stream.into_std()?, Interest::READABLE)?;
        Ok(Self { stream, room: None })
    }
}

/// A socket that the runtime watches for one thing.
#[expect(
    deprecated,
    reason = "what took its place is not safe to call; a socket of the standard library owns its number"
)]
fn registered(socket: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    AsyncFd::with_interest(socket, interest)
}

impl AsyncRead for QuietUnix {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut readable = ready!(self.stream.poll_read_ready(cx))?;
            let rest = buffer.initialize_unfilled();
            let wanted = rest.len();
            match readable.try_io(|stream| stream.get_ref().read(rest)) {
                Ok(Ok(n)) => {
                    // Less than there was room for is all that there was: the next read would find nothing.
                    if (1..wanted).contains(&n) {
                        readable.clear_ready();
                    }
                    buffer.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                // Not ready after all.
                Err(_) => {}
            }
        }
    }
}

impl AsyncWrite for QuietUnix {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.stream.get_ref().write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                wrote => {
                    self.room = None;
                    return Poll::Ready(wrote);
                }
            }
            if self.room.is_none() {
                let same = self.stream.get_ref().try_clone()?;
                self.room = Some(registered(same, Interest::WRITABLE)?);
            }
            if let Some(room) = &self.room {
                ready!(room.poll_write_ready(cx))?.clear_ready();
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.stream.get_ref().shutdown(Shutdown::Write) {
            // The other end has closed it already.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            ended => ended,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn pair() -> (QuietUnix, QuietUnix) {
        let (near, far) = tokio::net::UnixStream::pair().expect("a pair");
        (QuietUnix::new(near).expect("registered"), QuietUnix::new(far).expect("registered"))
    }

    #[tokio::test]
    async fn what_is_written_past_the_sockets_room_arrives_whole_and_then_the_end() {
        let (mut near, mut far) = pair();
        let sent: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 251) as u8).collect();
        let copy = sent.clone();
        let writing = async {
            near.write_all(&copy).await.expect("written");
            near.shutdown().await.expect("shut down");
            assert!(near.room.is_none(), "nothing waits");
        };
        let mut received = Vec::new();
        let both = async { tokio::join!(writing, far.read_to_end(&mut received)) };
        let (_, read) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("in time");
        assert_eq!(read.expect("read"), sent.len());
        assert!(received == sent);
    }

    #[tokio::test]
    async fn a_write_that_waits_ends_when_the_other_end_goes() {
        let (mut near, far) = pair();
        let writing = async { near.write_all(&[7; 4_000_000]).await };
        let going = async {
            tokio::task::yield_now().await;
            drop(far);
        };
        let both = async { tokio::join!(writing, going) };
        let (wrote, ()) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("in time");
        assert!(wrote.is_err());
    }
}
