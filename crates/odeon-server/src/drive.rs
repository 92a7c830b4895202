//! The driver of one link: one task that feeds the session what arrives and writes what it makes.
//!
//! In each round it acts on what the session reports, then waits for whatever comes first: bytes, room for
//! bytes, work, or the time. All four are looked at every time, so that none can starve the others. However the
//! task ends, by a panic or with its runtime, everybody who waits on the link is told.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use odeon_actor::AnswerPort;
use odeon_core::Instant;
use odeon_core::seam::{BoxFuture, Stream};
use odeon_wire::{DEAD_AFTER, Event};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::events::answered;
use crate::intake::Intake;
use crate::link::Link;

/// Bytes read at once to begin with: a hello fits, and a thousand idle links cost half a MiB.
const READ_BYTES_MIN: usize = 512;

/// Bytes read at once on a link that has proven to be busy, by filling what it was given.
const READ_BYTES_MAX: usize = 64 * 1024;

/// How long nothing must have come before the memory of a busy link is given back.
const RELAXED_AFTER: Duration = Duration::from_secs(1);

/// Bytes gathered for one write: what one call takes at a time.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// How long the last frames may take to leave, and to be read, once a link is over.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a peer may take nothing of what is written: as long as it may be silent.
const STALLED_AFTER: Duration = DEAD_AFTER;

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Everything.
    Open,
    /// The link is over; the last frames are to leave.
    Flushing,
    /// They have left; the peer is to see the end. A connection closed over unread bytes is reset, and the reset
    /// can overtake the last frames; so from here on what comes is read and thrown away.
    HalfClosing,
    /// Until the peer, having read the last frames, closes too.
    Draining,
    /// Nothing.
    Done,
}

/// What came in one round; at least one of these.
#[derive(Debug, Default)]
struct Round {
    is_work: bool,
    is_time: bool,
    wrote: Option<io::Result<usize>>,
    read: Option<io::Result<usize>>,
}

/// Drives one link.
pub(crate) struct Driver {
    link: Arc<Link>,
    stream: Box<dyn Stream>,
    input: Vec<u8>,
    output: Output,
    intake: Intake,
    events: VecDeque<Event>,
    ports: VecDeque<Option<AnswerPort>>,
    stage: Stage,
    /// Until when the last frames may leave.
    ending_at: Instant,
    /// When something was last written, or the first byte began to wait.
    wrote_at: Instant,
    read_at: Instant,
    timer: Option<(Instant, BoxFuture<'static, ()>)>,
}

impl Driver {
    pub(crate) fn new(link: Arc<Link>, stream: Box<dyn Stream>) -> Self {
        Self {
            link,
            stream,
            input: vec![0; READ_BYTES_MIN],
            output: Output::default(),
            intake: Intake::default(),
            events: VecDeque::new(),
            ports: VecDeque::new(),
            stage: Stage::Open,
            ending_at: Instant::ZERO,
            wrote_at: Instant::ZERO,
            read_at: Instant::ZERO,
            timer: None,
        }
    }

    /// Feeds the session and writes what it makes, until the link is over.
    pub(crate) async fn run(mut self) {
        let link = Arc::clone(&self.link);
        loop {
            self.act_on_events();
            self.refill();
            if self.stage == Stage::Flushing && self.output.is_empty() {
                // A stranger has nothing under way that matters.
                self.stage = if link.peer().is_some() { Stage::HalfClosing } else { Stage::Done };
            }
            if self.stage == Stage::Done {
                return;
            }
            self.arm();
            let mut work = pin!(link.work.notified());
            let round = std::future::poll_fn(|cx| self.poll_round(cx, work.as_mut())).await;
            let is_work = round.is_work;
            self.take(round);
            if is_work && self.is_crowded() {
                step_back().await;
            }
        }
    }

    /// Whether others are likely to have something to send as well: who is ready to run comes first then, and all goes
    /// in one write. A runtime runs whom it was told of last before all others: without this each ask would be a write.
    fn is_crowded(&self) -> bool {
        let state = self.link.state();
        state.asks.len() + state.answering.len() > 1
    }

    fn act_on_events(&mut self) {
        let link = Arc::clone(&self.link);
        loop {
            let (mut events, mut ports) = (std::mem::take(&mut self.events), std::mem::take(&mut self.ports));
            link.next_events(&mut events, &mut ports);
            let is_quiet = events.is_empty();
            for event in events.drain(..) {
                self.act_on(&link, event, &mut ports);
            }
            (self.events, self.ports) = (events, ports);
            self.intake.go_on(&link);
            if is_quiet {
                return;
            }
        }
    }

    fn act_on(&mut self, link: &Arc<Link>, event: Event, ports: &mut VecDeque<Option<AnswerPort>>) {
        match self.intake.take(link, event) {
            None => {}
            Some(Event::Reply { outcome, .. }) => {
                if let Some(port) = ports.pop_front().flatten() {
                    port.answer(answered(outcome));
                }
            }
            Some(Event::Closed(reason)) => {
                self.intake.over(link);
                link.over(&reason);
                if link.channel.is_securing() {
                    self.stage = Stage::Done;
                } else if self.stage == Stage::Open {
                    self.stage = Stage::Flushing;
                    self.ending_at = link.server.clock().now() + FLUSH_TIMEOUT;
                }
            }
            Some(event) => link.on_event(event),
        }
    }

    fn refill(&mut self) {
        if !self.output.is_empty() {
            return;
        }
        let mut state = self.link.state();
        if !state.session.poll_transmit(&mut self.output.bytes, WRITE_BYTES_MAX) {
            state.is_driver_asleep = true;
            return;
        }
        // Not at every write: each sender that waits would try anew.
        let has_room = state.session.queued_bytes() <= self.link.server.limits().outbound_bytes_max / 2;
        drop(state);
        if has_room {
            self.link.room.notify_waiters();
        }
        self.wrote_at = self.link.server.clock().now();
    }

    /// When there is something to do at the latest.
    fn due_at(&self) -> Option<Instant> {
        if self.stage != Stage::Open {
            return Some(self.ending_at);
        }
        let session_at = self.link.state().session.poll_timeout();
        let stalled_at = (!self.output.is_empty()).then(|| self.wrote_at + STALLED_AFTER);
        session_at.into_iter().chain(stalled_at).min()
    }

    /// Sets the timer. One that is set too early stays: going off for nothing once costs less than setting it
    /// anew for each byte.
    fn arm(&mut self) {
        let due_at = self.due_at();
        match (&self.timer, due_at) {
            (Some((set, _)), Some(at)) if *set <= at => {}
            (_, at) => self.timer = at.map(|at| (at, self.link.server.clock().sleep_until(at))),
        }
    }

    fn poll_round(&mut self, cx: &mut Context<'_>, work: Pin<&mut impl Future<Output = ()>>) -> Poll<Round> {
        let mut round = Round { is_work: work.poll(cx).is_ready(), ..Round::default() };
        if let Some((_, timer)) = &mut self.timer {
            round.is_time = timer.as_mut().poll(cx).is_ready();
        }
        let stream = &mut self.stream;
        let wrote = if !self.output.is_empty() {
            Pin::new(&mut *stream).poll_write(cx, self.output.rest())
        } else if self.stage == Stage::HalfClosing {
            Pin::new(&mut *stream).poll_shutdown(cx).map_ok(|()| 0)
        } else {
            Poll::Pending
        };
        if self.stage != Stage::Flushing {
            let mut buffer = ReadBuf::new(&mut self.input);
            if let Poll::Ready(read) = Pin::new(stream).poll_read(cx, &mut buffer) {
                round.read = Some(read.map(|()| buffer.filled().len()));
            }
        }
        if let Poll::Ready(wrote) = wrote {
            round.wrote = Some(wrote);
        }
        let is_something = round.is_work || round.is_time || round.read.is_some() || round.wrote.is_some();
        if is_something { Poll::Ready(round) } else { Poll::Pending }
    }

    fn take(&mut self, round: Round) {
        let now = self.link.server.clock().now();
        // First what the peer said: if it has closed the connection, its last words say why.
        match round.read {
            None => {}
            Some(Ok(0)) => self.lost("the peer closed the connection"),
            Some(Ok(n)) if self.stage == Stage::Open => {
                self.link.server.counters().bytes_in.add(n as u64);
                self.read_at = now;
                self.link.state().session.handle_bytes(&self.input[..n], now);
                if n == self.input.len() && n < READ_BYTES_MAX && self.link.peer().is_some() {
                    self.input.resize(2 * n, 0);
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => self.lost(&error.to_string()),
        }
        match round.wrote {
            None => {}
            Some(Ok(0)) if self.stage == Stage::HalfClosing => self.stage = Stage::Draining,
            Some(Ok(0)) => self.lost("the connection takes no more bytes"),
            Some(Ok(n)) => {
                self.link.server.counters().bytes_out.add(n as u64);
                self.output.advance(n);
                self.wrote_at = now;
            }
            Some(Err(error)) => self.lost(&error.to_string()),
        }
        if round.is_time {
            self.timer = None;
            self.take_time(now);
        }
    }

    fn take_time(&mut self, now: Instant) {
        if self.stage != Stage::Open {
            if now >= self.ending_at {
                self.stage = Stage::Done;
            }
        } else if !self.output.is_empty() && now >= self.wrote_at + STALLED_AFTER {
            self.lost(&format!("the peer has read nothing for {} s", STALLED_AFTER.as_secs()));
        } else {
            self.link.state().session.handle_timeout(now);
            if now >= self.read_at + RELAXED_AFTER {
                self.relax();
            }
        }
    }

    /// Gives back the memory that only a busy link needs.
    fn relax(&mut self) {
        if self.input.len() > READ_BYTES_MIN {
            self.input = vec![0; READ_BYTES_MIN];
        }
        if self.output.is_empty() {
            self.output = Output::default();
        }
        (self.events, self.ports) = (VecDeque::new(), VecDeque::new());
        let mut state = self.link.state();
        state.asks.relax();
        state.answering.relax();
    }

    /// The connection is of no more use.
    fn lost(&mut self, why: &str) {
        self.link.state().session.handle_lost(why);
        self.stage = Stage::Done;
    }
}

/// Lets all run that are ready, once.
async fn step_back() {
    let mut is_behind = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut is_behind, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Drop for Driver {
    fn drop(&mut self) {
        // After an orderly end there is nothing left to tell.
        self.lost("the server stopped driving the link");
        self.act_on_events();
        self.link.sample();
        self.link.server.link_over(&self.link);
    }
}

/// Bytes on their way out.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    sent: usize,
}

impl Output {
    const fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    fn advance(&mut self, n: usize) {
        self.sent += n;
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}
