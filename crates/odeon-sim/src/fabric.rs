//! The simulated network as a state machine: hosts, paths between them, connections over the paths.
//!
//! A connection is two pipes, one per direction; a pipe delivers its segments in order, each no earlier than the
//! path's delay after it was sent, as TCP does. Time is an argument. Whoever is to run because of a step is in
//! [`Fabric::take_woken`], to be woken outside of any lock.
//!
//! Invariants: a pipe has at most one event scheduled, for its first segment, and none while it is stalled by a
//! cut; what an end has sent and the other end has not read is at most [`WINDOW_BYTES`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use odeon_core::Instant;

use crate::middlebox::Tapes;
use crate::path::{Emerges, Loss, Paths};
use crate::rng::SimRng;
use crate::trace::{Trace, short_hash};

/// Bytes one end may have sent that the other end has not read: a socket buffer's worth.
pub const WINDOW_BYTES: usize = 64 * 1024;

/// Connections that wait to be accepted at one listener, as `listen(2)` is usually told.
pub const BACKLOG_MAX: usize = 128;

/// Longest time until a stalled pipe tries again once the path is back: TCP backs off while nothing passes.
const RETRY_MS_MAX: u64 = 3_000;

/// Names a connection; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(u64);

/// One of the two ends of a connection: 0 dialled, 1 was dialled.
pub(crate) type Side = usize;

/// The whole network.
#[derive(Debug)]
pub(crate) struct Fabric {
    pub(crate) now: Instant,
    pub(crate) paths: Paths,
    pub(crate) connections: BTreeMap<ConnectionId, Conn>,
    pub(crate) listeners: BTreeMap<String, Listening>,
    /// Hosts without power: what arrives there is gone.
    pub(crate) off: BTreeSet<Arc<str>>,
    pub(crate) tapes: Tapes,
    /// How often each kind of fault touched something.
    bites: BTreeMap<&'static str, u64>,
    events: BTreeMap<(Instant, u64), Due>,
    next: u64,
    rng: SimRng,
    trace: Trace,
    pub(crate) woken: Vec<Waker>,
    peak_bytes: usize,
}

/// What happens at a moment.
#[derive(Debug)]
pub(crate) enum Due {
    /// The first segment of a pipe arrives.
    Arrival(ConnectionId, Side),
    /// Bytes that were kept back come out again.
    Emerge {
        /// The connection in which they were sent, and by whom.
        id: ConnectionId,
        side: Side,
        /// Between whom it was, the dialler first.
        hosts: [Arc<str>; 2],
        /// Where they come out.
        emerges: Emerges,
        /// What it had sent.
        bytes: Vec<u8>,
    },
    /// Whoever dialled lets go.
    LetGo(ConnectionId),
}

/// A bound address.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) id: u64,
    pub(crate) host: Arc<str>,
    pub(crate) backlog: VecDeque<ConnectionId>,
    pub(crate) waker: Option<Waker>,
}

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) hosts: [Arc<str>; 2],
    pub(crate) address: String,
    pub(crate) is_open: bool,
    pub(crate) ends: [End; 2],
    pub(crate) pipes: [Pipe; 2],
    /// What the dialler has sent, where connections are recorded.
    pub(crate) recorded: Vec<u8>,
}

/// What one end knows.
#[derive(Debug)]
pub(crate) struct End {
    /// Somebody holds it.
    pub(crate) is_held: bool,
    pub(crate) inbox: VecDeque<u8>,
    pub(crate) is_finished: bool,
    pub(crate) is_reset: bool,
    /// Bytes it may send before more have been read.
    pub(crate) room: usize,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
}

/// What one end sends to the other.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    queue: VecDeque<(Instant, Segment)>,
    is_stalled: bool,
    /// Until then nothing of it arrives.
    pub(crate) held_until: Instant,
    pub(crate) is_finished: bool,
    pub(crate) is_closed: bool,
    /// Segments leave and never arrive, and nobody is told.
    pub(crate) is_black_hole: bool,
    /// Data leaves and comes out elsewhere, so much later.
    pub(crate) detour: Option<(Duration, Emerges)>,
    /// A segment that the next one overtakes.
    pub(crate) kept: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(crate) enum Segment {
    Open,
    Opened,
    Data(Vec<u8>),
    /// So many bytes have been read.
    Read(usize),
    Finish,
    Reset,
}

impl Fabric {
    pub(crate) fn new(rng: SimRng, trace: Trace) -> Self {
        Self {
            now: Instant::ZERO,
            paths: Paths::default(),
            connections: BTreeMap::new(),
            listeners: BTreeMap::new(),
            off: BTreeSet::new(),
            tapes: Tapes::default(),
            bites: BTreeMap::new(),
            events: BTreeMap::new(),
            next: 0,
            rng,
            trace,
            woken: Vec::new(),
            peak_bytes: 0,
        }
    }

    pub(crate) fn note(&self, host: &str, what: std::fmt::Arguments<'_>) {
        self.trace.record(self.now, host, what);
    }

    pub(crate) const fn rng(&self) -> &SimRng {
        &self.rng
    }

    pub(crate) fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Most bytes that one end ever had under way or unread.
    pub(crate) const fn peak_bytes(&self) -> usize {
        self.peak_bytes
    }

    /// Counts that a fault touched something.
    pub(crate) fn bite(&mut self, how: &'static str) {
        *self.bites.entry(how).or_default() += 1;
    }

    pub(crate) const fn bites(&self) -> &BTreeMap<&'static str, u64> {
        &self.bites
    }

    pub(crate) fn take_woken(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.woken)
    }

    /// When something arrives next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// Delivers everything that is due.
    pub(crate) fn handle_timeout(&mut self) {
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= self.now
        {
            match entry.remove() {
                Due::Arrival(id, side) => self.arrive(id, side),
                Due::Emerge { side, hosts, emerges: Emerges::Elsewhere, bytes, .. } => {
                    self.emerge(&hosts, side, bytes);
                }
                Due::Emerge { id, side, bytes, .. } => {
                    self.bite("late");
                    self.deliver(id, side, Segment::Data(bytes));
                    self.sweep(id);
                }
                Due::LetGo(id) => self.let_go(id, 0),
            }
        }
    }

    /// A new connection from `from`, on its way to `address` at `to`.
    pub(crate) fn dial(&mut self, from: &Arc<str>, to: &Arc<str>, address: String) -> ConnectionId {
        let id = ConnectionId(self.fresh());
        let conn = Conn::new(from, to, address);
        self.connections.insert(id, conn);
        self.send(id, 0, Segment::Open);
        id
    }

    /// Puts a segment on its way.
    pub(crate) fn send(&mut self, id: ConnectionId, side: Side, segment: Segment) {
        let Some(conn) = self.connections.get_mut(&id) else { return };
        let pipe = &mut conn.pipes[side];
        // After a reset nothing follows; after a finish no more data, but what was read is still told.
        let is_late = pipe.is_finished && matches!(segment, Segment::Data(_) | Segment::Finish);
        if pipe.is_closed || is_late {
            return;
        }
        pipe.is_finished |= matches!(segment, Segment::Finish);
        pipe.is_closed = matches!(segment, Segment::Reset);
        self.peak_bytes = self.peak_bytes.max(WINDOW_BYTES - conn.ends[side].room);
        if let Segment::Data(bytes) = &segment {
            self.tape(id, side, bytes);
        }
        for segment in self.mangle(id, side, segment) {
            self.put(id, side, segment);
        }
    }

    /// Puts a segment into its pipe.
    pub(crate) fn put(&mut self, id: ConnectionId, side: Side, segment: Segment) {
        let Some(conn) = self.connections.get_mut(&id) else { return };
        let path = conn.path(side);
        let late = match self.paths.loss(&path, &self.rng) {
            Loss::Late(late) => late,
            Loss::GivenUp => {
                self.bite("given up");
                return self.reset(id);
            }
        };
        if !late.is_zero() {
            self.bite("lost");
        }
        if self.paths.is_slow(&path) {
            self.bite("slow");
        }
        let due = self.now + late + self.paths.delay(&path, &self.rng);
        let Some(conn) = self.connections.get_mut(&id) else { return };
        let pipe = &mut conn.pipes[side];
        let due = pipe.queue.back().map_or(due, |(last, _)| due.max(*last));
        pipe.queue.push_back((due, segment));
        if pipe.queue.len() == 1 && !pipe.is_stalled {
            self.plan(due, Due::Arrival(id, side));
        }
    }

    /// The holder lets go of its end: what it has sent still arrives.
    pub(crate) fn let_go(&mut self, id: ConnectionId, side: Side) {
        let Some(conn) = self.connections.get_mut(&id) else { return };
        let end = &mut conn.ends[side];
        if !std::mem::take(&mut end.is_held) {
            return;
        }
        // As TCP: to close on unread bytes is to reset, so that the other end knows they were not read.
        let rude = !end.inbox.is_empty() || !conn.is_open;
        end.inbox.clear();
        self.send(id, side, if rude { Segment::Reset } else { Segment::Finish });
        self.sweep(id);
    }

    /// Ends a connection for both at once, as a router that lost its tables does.
    pub(crate) fn reset(&mut self, id: ConnectionId) {
        self.bite("reset");
        for side in [0, 1] {
            self.end_reset(id, side);
        }
    }

    /// Has one end believe that the connection was reset. What it has sent still arrives.
    pub(crate) fn reset_end(&mut self, id: ConnectionId, side: Side) {
        let Some(conn) = self.connections.get_mut(&id) else { return };
        let end = &mut conn.ends[side];
        end.is_reset = true;
        end.inbox.clear();
        end.wake_into(&mut self.woken);
    }

    /// Lets go of everything `host` holds. With power, its system says so to the peers; without, nothing does.
    pub(crate) fn crash(&mut self, host: &Arc<str>, has_power: bool) {
        self.listeners.retain(|_, listening| listening.host != *host);
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            for side in [0, 1] {
                let Some(conn) = self.connections.get_mut(&id) else { continue };
                if conn.hosts[side] != *host || !std::mem::take(&mut conn.ends[side].is_held) {
                    continue;
                }
                if has_power {
                    self.send(id, side, Segment::Reset);
                } else {
                    conn.pipes[side].queue.clear();
                }
                self.sweep(id);
            }
        }
        if !has_power {
            self.off.insert(Arc::clone(host));
        }
    }

    /// Starts the stalled pipes whose path is open again, each after a while of its own.
    pub(crate) fn heal(&mut self) {
        let stalled: Vec<_> = self
            .connections
            .iter()
            .flat_map(|(id, conn)| [(*id, 0, conn), (*id, 1, conn)])
            .filter(|(_, side, conn)| conn.pipes[*side].is_stalled && !self.paths.is_cut(&conn.path(*side)))
            .map(|(id, side, _)| (id, side))
            .collect();
        for (id, side) in stalled {
            if let Some(conn) = self.connections.get_mut(&id) {
                conn.pipes[side].is_stalled = false;
            }
            let at = self.now + Duration::from_millis(self.rng.below(RETRY_MS_MAX));
            self.plan(at, Due::Arrival(id, side));
        }
    }

    pub(crate) fn plan(&mut self, at: Instant, due: Due) {
        let n = self.fresh();
        self.events.insert((at, n), due);
    }

    /// The first segment of a pipe is due.
    fn arrive(&mut self, id: ConnectionId, side: Side) {
        let Some(conn) = self.connections.get_mut(&id) else { return };
        let path = conn.path(side);
        let pipe = &mut conn.pipes[side];
        if self.paths.is_cut(&path) {
            pipe.is_stalled = true;
            return self.bite("stalled");
        }
        if self.now < pipe.held_until && !pipe.queue.is_empty() {
            let until = pipe.held_until;
            self.plan(until, Due::Arrival(id, side));
            return self.bite("held");
        }
        let Some((_, segment)) = pipe.queue.pop_front() else { return };
        let is_lost = pipe.is_black_hole || self.off.contains(&path[1]);
        if let Some((due, _)) = pipe.queue.front() {
            let at = self.now.max(*due);
            self.plan(at, Due::Arrival(id, side));
        }
        if is_lost {
            self.bite("swallowed");
        } else {
            self.deliver(id, side, segment);
        }
        self.sweep(id);
    }

    pub(crate) fn deliver(&mut self, id: ConnectionId, from: Side, segment: Segment) {
        let to = 1 - from;
        let Some(conn) = self.connections.get_mut(&id) else { return };
        let [source, target] = conn.path(from);
        let end = &mut conn.ends[to];
        match segment {
            Segment::Open => self.opening(id),
            Segment::Reset => {
                self.note(&target, format_args!("reset from {source}"));
                self.end_reset(id, to);
            }
            // Nobody is there (any more), and the host says so.
            _ if !end.is_held => self.send(id, to, Segment::Reset),
            Segment::Opened => {
                conn.is_open = true;
                end.wake_into(&mut self.woken);
            }
            Segment::Data(bytes) => {
                let (count, hash) = (bytes.len(), short_hash(&bytes));
                end.inbox.extend(bytes);
                end.wake_into(&mut self.woken);
                self.note(&target, format_args!("{count} bytes {hash} from {source}"));
            }
            Segment::Read(count) => {
                // A box that made bytes twice has more read than was sent.
                end.room = WINDOW_BYTES.min(end.room + count);
                end.wake_into(&mut self.woken);
            }
            Segment::Finish => {
                end.is_finished = true;
                end.wake_into(&mut self.woken);
                self.note(&target, format_args!("finish from {source}"));
            }
        }
    }

    /// A wish to connect arrives.
    fn opening(&mut self, id: ConnectionId) {
        let Some(conn) = self.connections.get_mut(&id) else { return };
        let [source, target] = conn.path(0);
        let listening = self.listeners.get_mut(&conn.address);
        let Some(listening) = listening.filter(|listening| listening.backlog.len() < BACKLOG_MAX) else {
            self.note(&target, format_args!("refused a connection from {source}"));
            return self.send(id, 1, Segment::Reset);
        };
        conn.ends[1].is_held = true;
        listening.backlog.push_back(id);
        self.woken.extend(listening.waker.take());
        self.note(&target, format_args!("connection from {source}"));
        self.send(id, 1, Segment::Opened);
    }

    fn end_reset(&mut self, id: ConnectionId, side: Side) {
        self.reset_end(id, side);
        let Some(conn) = self.connections.get_mut(&id) else { return };
        conn.pipes[side].queue.clear();
        conn.pipes[side].is_closed = true;
    }

    /// Forgets a connection that nobody holds: what is on its way in it reaches nobody.
    fn sweep(&mut self, id: ConnectionId) {
        let is_held = |conn: &Conn| conn.ends.iter().any(|end| end.is_held);
        // One on its way to a listener is held by its dialler.
        if self.connections.get(&id).is_some_and(|conn| !is_held(conn)) {
            let conn = self.connections.remove(&id);
            conn.into_iter().for_each(|conn| self.keep_tape(conn));
        }
    }
}

impl Conn {
    /// From which host to which a side sends.
    pub(crate) fn path(&self, side: Side) -> [Arc<str>; 2] {
        [Arc::clone(&self.hosts[side]), Arc::clone(&self.hosts[1 - side])]
    }
}

impl End {
    pub(crate) const fn new(is_held: bool) -> Self {
        Self {
            is_held,
            inbox: VecDeque::new(),
            is_finished: false,
            is_reset: false,
            room: WINDOW_BYTES,
            reader: None,
            writer: None,
        }
    }

    fn wake_into(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(self.reader.take());
        woken.extend(self.writer.take());
    }
}
