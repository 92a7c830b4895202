//! A unix socket that is woken for what it waits for, and for nothing else.
//!
//! The kernel reports room to write whenever the other end reads, not only after there was none. A socket that is
//! registered for both would wake its thread once for every message that the other end takes: as many switches again
//! as the messages cost. So this one is registered for reading, and for writing only while a write waits; then anew,
//! under the number that it has, since a second one may not be had when it is needed.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// The socket.
#[derive(Debug)]
pub(crate) struct QuietUnix {
    socket: Arc<UnixStream>,
    /// Its registration; none after one that failed.
    watch: Option<AsyncFd<Arc<UnixStream>>>,
    /// Whether it is registered for writing too: a write waits.
    waits_for_room: bool,
    /// Who waits for something to read. A new registration knows nobody.
    reader: Option<Waker>,
}

impl QuietUnix {
    /// Takes over a connected socket. Called where the runtime is.
    ///
    /// # Errors
    /// As the operating system says.
    pub(crate) fn new(stream: tokio::net::UnixStream) -> io::Result<Self> {
        let socket = Arc::new(stream.into_std()?);
        let mut quiet = Self { socket, watch: None, waits_for_room: false, reader: None };
        quiet.register(false)?;
        Ok(quiet)
    }

    /// Has the runtime watch the socket for reading, and for writing or not.
    #[expect(
        deprecated,
        reason = "what took its place is not safe to call; a socket of the standard library owns its number"
    )]
    fn register(&mut self, for_room: bool) -> io::Result<()> {
        let interest = if for_room { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        // One registration ends before the next begins: there is one for each number.
        self.watch = None;
        self.watch = Some(AsyncFd::with_interest(Arc::clone(&self.socket), interest)?);
        self.waits_for_room = for_room;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Ok(())
    }

    fn watch(&self) -> io::Result<&AsyncFd<Arc<UnixStream>>> {
        self.watch.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for QuietUnix {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let Poll::Ready(readable) = self.watch()?.poll_read_ready(cx) else {
                if !self.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
                    self.reader = Some(cx.waker().clone());
                }
                return Poll::Pending;
            };
            let mut readable = readable?;
            let rest = buffer.initialize_unfilled();
            let wanted = rest.len();
            match readable.try_io(|stream| (&**stream.get_ref()).read(rest)) {
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
            if self.waits_for_room {
                // Whatever was heard before the write is no reason to try it again.
                ready!(self.watch()?.poll_write_ready(cx))?.clear_ready();
            }
            match (&*self.socket).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.waits_for_room => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.register(true)?,
                wrote => {
                    if self.waits_for_room {
                        self.register(false)?;
                    }
                    return Poll::Ready(wrote);
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.socket.shutdown(Shutdown::Write) {
            // The other end has closed it already.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            ended => ended,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
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
            assert!(!near.waits_for_room, "nothing waits");
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

    /// How many numbers of this process mean the same socket.
    fn numbers_of(socket: &UnixStream) -> usize {
        use std::os::fd::AsRawFd as _;
        let numbers = Path::new("/proc/self/fd");
        let same = numbers.join(socket.as_raw_fd().to_string()).read_link().expect("an open socket");
        let all = numbers.read_dir().expect("listed").flatten();
        all.filter(|number| number.path().read_link().is_ok_and(|found| found == same)).count()
    }

    #[expect(clippy::disallowed_methods, reason = "one end reads and writes at once, without a server")]
    #[tokio::test]
    async fn a_write_that_waits_takes_no_number_more_and_who_waits_to_read_is_still_woken() {
        let (near, mut far) = pair();
        let socket = Arc::clone(&near.socket);
        let (mut reading, mut writing) = tokio::io::split(near);
        let read = tokio::spawn(async move {
            let mut byte = [0];
            reading.read_exact(&mut byte).await.map(|_| byte[0])
        });
        // It waits before there is a write that does.
        tokio::task::yield_now().await;
        let write = tokio::spawn(async move {
            writing.write_all(&[7; 4_000_000]).await.expect("written");
            writing
        });
        tokio::task::yield_now().await;
        assert!(!write.is_finished(), "there is no room for so much");
        assert_eq!(numbers_of(&socket), 1);
        far.write_all(b"x").await.expect("written");
        let read = tokio::time::timeout(Duration::from_secs(20), read).await.expect("in time");
        assert_eq!(read.expect("no panic").expect("read"), b'x');
        let mut rest = vec![0; 4_000_000];
        let read = tokio::time::timeout(Duration::from_secs(20), far.read_exact(&mut rest)).await;
        read.expect("in time").expect("read");
        write.await.expect("no panic");
        assert_eq!(numbers_of(&socket), 1);
    }
}
