//! A connection whose handshake computes only in its turn.
//!
//! What comes is kept back until it is this connection's turn, and is then given to TLS, which computes with it at
//! once. The turn is given back one round of the runtime later, not at the end of the step: else a runtime of one
//! thread would make the step of every handshake before it came to anything else.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use odeon_core::seam::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::turns::{Awaited, Turn, Turns};
use crate::strangers::Source;

/// Most bytes that are kept back while it is not their turn: a flight of a handshake, most often.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// What the first byte of TLS says: that a handshake begins.
const HANDSHAKE: u8 = 0x16;

/// The connection.
#[derive(Debug)]
pub(super) struct Paced {
    stream: Box<dyn Stream>,
    /// None where nothing waits for a turn: at a dialler, and after the handshake.
    pace: Option<Box<Pace>>,
}

#[derive(Debug)]
struct Pace {
    turns: Arc<Turns>,
    source: Source,
    /// Nothing has come so far.
    is_fresh: bool,
    /// The handshake is over, and the last turn is still to be given back.
    is_last: bool,
    kept: Vec<u8>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Nothing has come to compute with.
    Idle,
    /// Something has; its turn has not.
    Waiting(Awaited),
    /// It is our turn.
    Chosen(Turn),
    /// What came was given to TLS.
    Computing(Turn),
    /// Until the runtime has come round.
    Resting(Turn),
}

impl Paced {
    /// One that waits for no turn.
    pub(super) const fn free(stream: Box<dyn Stream>) -> Self {
        Self { stream, pace: None }
    }

    /// One whose other end, at `source`, waits for its turns.
    pub(super) fn new(stream: Box<dyn Stream>, turns: Arc<Turns>, source: Source) -> Self {
        let pace = Pace { turns, source, is_fresh: true, is_last: false, kept: Vec::new(), step: Step::Idle };
        Self { stream, pace: Some(Box::new(pace)) }
    }

    /// The handshake is over, well or not: what comes from here on waits for nothing.
    pub(super) fn end(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.is_last = true;
        }
    }

    /// Ready when something has come and it is its turn; or the end, which needs none.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(pace) = &mut self.pace else { return Poll::Ready(Ok(())) };
        loop {
            pace.step = match std::mem::replace(&mut pace.step, Step::Idle) {
                Step::Idle if pace.is_last => {
                    self.pace = None;
                    return Poll::Ready(Ok(()));
                }
                Step::Idle => match ready!(pace.poll_keep(&mut self.stream, cx))? {
                    0 => return Poll::Ready(Ok(())),
                    _ => Step::Waiting(pace.turns.next(pace.source)),
                },
                Step::Waiting(mut awaited) => match Pin::new(&mut awaited).poll(cx) {
                    Poll::Pending => {
                        pace.step = Step::Waiting(awaited);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(turn)) => Step::Chosen(turn),
                    // They last as long as the server, and turns are given to the last.
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                },
                Step::Chosen(turn) => {
                    pace.step = Step::Chosen(turn);
                    return Poll::Ready(Ok(()));
                }
                Step::Computing(turn) => {
                    pace.step = Step::Resting(turn);
                    // Behind all that is ready, and behind a look at the sockets: by itself a runtime would look at
                    // them after dozens of steps.
                    return pin!(tokio::task::yield_now()).poll(cx).map(Ok);
                }
                Step::Resting(turn) => {
                    drop(turn);
                    Step::Idle
                }
            };
        }
    }
}

impl Pace {
    /// Reads what has come; 0 is the end.
    fn poll_keep(&mut self, stream: &mut Box<dyn Stream>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; KEPT_BYTES_MAX];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        let come = buffer.filled();
        if std::mem::take(&mut self.is_fresh) && come.first().is_some_and(|first| *first != HANDSHAKE) {
            let error = io::Error::new(io::ErrorKind::InvalidData, "this is no TLS");
            return Poll::Ready(Err(error));
        }
        self.kept = come.to_vec();
        Poll::Ready(Ok(self.kept.len()))
    }

    /// Gives TLS what was kept back, in its turn.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let n = self.kept.len().min(buffer.remaining());
        buffer.put_slice(&self.kept[..n]);
        self.kept.drain(..n);
        if self.kept.is_empty() {
            self.kept = Vec::new();
            self.step = match std::mem::replace(&mut self.step, Step::Idle) {
                Step::Chosen(turn) => Step::Computing(turn),
                other => other,
            };
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.pace.is_some() {
            ready!(self.poll_turn(cx))?;
        }
        if let Some(pace) = &mut self.pace {
            pace.give(buffer);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    const A: Source = Source::V4(1);

    fn paced(turns: &Arc<Turns>) -> (Paced, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(16 * 1024);
        (Paced::new(Box::new(ours), Arc::clone(turns), A), theirs)
    }

    /// What one poll reads, if anything.
    fn read_once(paced: &mut Paced) -> Option<Vec<u8>> {
        let mut bytes = [0; 64];
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = Pin::new(paced).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer);
        read.is_ready().then(|| buffer.filled().to_vec())
    }

    fn is_free(turns: &Arc<Turns>) -> bool {
        turns.next(A).try_recv().is_ok()
    }

    #[tokio::test]
    async fn what_comes_is_kept_back_until_its_turn_and_the_turn_is_given_back_a_round_later() {
        let turns = Turns::new(1);
        let others = turns.next(A).try_recv().expect("it is free");
        let (mut paced, mut far) = paced(&turns);
        assert_eq!(read_once(&mut paced), None);
        assert_eq!(turns.waiting(), 0, "whoever says nothing waits for nothing");
        far.write_all(&[HANDSHAKE, 1, 2]).await.expect("written");
        assert_eq!(read_once(&mut paced), None);
        assert_eq!(turns.waiting(), 1);
        drop(others);
        assert_eq!(read_once(&mut paced), Some(vec![HANDSHAKE, 1, 2]));
        assert!(!is_free(&turns), "it computes");
        assert_eq!(read_once(&mut paced), None);
        assert!(!is_free(&turns), "others come first");
        assert_eq!(read_once(&mut paced), None, "there is nothing more");
        assert!(is_free(&turns));
    }

    #[tokio::test]
    async fn after_the_handshake_nothing_waits_any_more() {
        let turns = Turns::new(1);
        let (mut paced, mut far) = paced(&turns);
        far.write_all(&[HANDSHAKE]).await.expect("written");
        assert_eq!(read_once(&mut paced), Some(vec![HANDSHAKE]));
        paced.end();
        assert!(!is_free(&turns), "its last step counts as well");
        assert_eq!(read_once(&mut paced), None);
        assert_eq!(read_once(&mut paced), None);
        let _others = turns.next(A).try_recv().expect("it was given back");
        far.write_all(b"hello").await.expect("written");
        assert_eq!(read_once(&mut paced), Some(b"hello".to_vec()));
        assert!(paced.pace.is_none());
    }

    #[tokio::test]
    async fn whoever_goes_gives_its_turn_back() {
        let turns = Turns::new(1);
        let (mut paced, mut far) = paced(&turns);
        far.write_all(&[HANDSHAKE]).await.expect("written");
        assert!(read_once(&mut paced).is_some());
        drop(paced);
        assert!(is_free(&turns));
    }

    #[tokio::test]
    async fn what_is_no_tls_is_refused_without_a_turn_and_the_end_is_seen_without_one() {
        let turns = Turns::new(1);
        let _others = turns.next(A).try_recv().expect("it is free");
        let (mut stranger, mut far) = paced(&turns);
        far.write_all(b"GET / HTTP/1.1").await.expect("written");
        let error = stranger.read_u8().await.expect_err("refused");
        assert_eq!(error.to_string(), "this is no TLS");
        let (mut gone, far) = paced(&turns);
        drop(far);
        assert_eq!(read_once(&mut gone), Some(Vec::new()));
        assert_eq!(turns.waiting(), 0);
    }
}
