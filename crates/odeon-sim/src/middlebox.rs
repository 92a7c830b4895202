//! What boxes between two hosts do to connections that a network should never do: bytes twice, bytes in another
//! order, bytes an hour late in another connection, and whole connections recorded and played again.
//!
//! None of it is a fault that TCP lets through by itself; a broken proxy or a hostile one does it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::fabric::{Conn, ConnectionId, Due, End, Fabric, Pipe, Segment, Side};
use crate::path::{Emerges, Mangling};

/// Of so many segments on a mangled path one is mangled.
const MANGLED_ONE_IN: u64 = 6;

/// The most that is recorded of one connection: its handshake and many messages.
const RECORDED_BYTES_MAX: usize = 256 * 1024;

/// The most recordings that are kept of connections that are over, the oldest of which go first.
const RECORDINGS_MAX: usize = 16;

/// How long whoever plays a recording stays.
const PLAYS_FOR: Duration = Duration::from_secs(20);

/// The host from which recordings are played.
const NOBODY: &str = "nobody";

/// What somebody sent who dialled.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    to: Arc<str>,
    address: String,
    bytes: Vec<u8>,
}

/// The recordings of one network.
#[derive(Debug, Default)]
pub(crate) struct Tapes {
    is_on: bool,
    over: VecDeque<Recording>,
}

impl Fabric {
    /// From now on every connection is recorded.
    pub(crate) fn record_all(&mut self) {
        self.tapes.is_on = true;
    }

    /// Takes down what a dialler sends.
    pub(crate) fn tape(&mut self, id: ConnectionId, side: Side, bytes: &[u8]) {
        if !self.tapes.is_on || side != 0 {
            return;
        }
        let Some(conn) = self.connections.get_mut(&id) else { return };
        let room = RECORDED_BYTES_MAX - conn.recorded.len();
        conn.recorded.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Keeps what was recorded of a connection that is over.
    pub(crate) fn keep_tape(&mut self, conn: Conn) {
        if conn.recorded.is_empty() || *conn.hosts[0] == *NOBODY {
            return;
        }
        if self.tapes.over.len() == RECORDINGS_MAX {
            self.tapes.over.pop_front();
        }
        let [_, to] = conn.hosts;
        self.tapes.over.push_back(Recording { to, address: conn.address, bytes: conn.recorded });
    }

    /// Plays every recording of a connection to `host` to whoever listens there now.
    pub(crate) fn replay(&mut self, host: &str) {
        let live = self.connections.values().filter(|conn| *conn.hosts[0] != *NOBODY);
        let live = live.map(|conn| Recording {
            to: Arc::clone(&conn.hosts[1]),
            address: conn.address.clone(),
            bytes: conn.recorded.clone(),
        });
        let tapes: Vec<_> = self.tapes.over.iter().cloned().chain(live).collect();
        for tape in tapes.into_iter().filter(|tape| *tape.to == *host && !tape.bytes.is_empty()) {
            let id = self.dial(&NOBODY.into(), &tape.to, tape.address);
            self.bite("replayed");
            self.put(id, 0, Segment::Data(tape.bytes));
            let over_at = self.now + PLAYS_FOR;
            self.plan(over_at, Due::LetGo(id));
        }
    }

    /// Has the connections that are there now keep back what `from` sends to `to`, for so long.
    pub(crate) fn hold_back(&mut self, from: &str, to: &str, time: Duration, emerges: Emerges) {
        for id in self.between(from, to) {
            if let Some(conn) = self.connections.get_mut(&id) {
                let side = usize::from(*conn.hosts[0] != *from);
                conn.pipes[side].detour = Some((time, emerges));
            }
        }
    }

    /// Bytes that were kept back come out of the youngest connection that leads there.
    pub(crate) fn emerge(&mut self, hosts: &[Arc<str>; 2], side: Side, bytes: Vec<u8>) {
        let leads_there = |conn: &Conn| conn.hosts == *hosts && conn.is_open && conn.ends[1 - side].is_held;
        let youngest = self.connections.iter().rfind(|(_, conn)| leads_there(conn));
        let Some(id) = youngest.map(|(id, _)| *id) else { return };
        self.bite("stray");
        self.note(&hosts[1 - side], format_args!("{} stray bytes from {}", bytes.len(), hosts[side]));
        self.deliver(id, side, Segment::Data(bytes));
    }

    /// What becomes of a segment on its way into a pipe.
    pub(crate) fn mangle(&mut self, id: ConnectionId, side: Side, segment: Segment) -> Vec<Segment> {
        let Some(conn) = self.connections.get_mut(&id) else { return vec![segment] };
        let path = conn.path(side);
        // Nothing goes by what is kept for the next one, but that.
        let kept = conn.pipes[side].kept.take();
        let Segment::Data(bytes) = segment else {
            return kept.map(Segment::Data).into_iter().chain([segment]).collect();
        };
        if let Some((time, emerges)) = conn.pipes[side].detour {
            let hosts = conn.hosts.clone();
            let at = self.now + time;
            self.plan(at, Due::Emerge { id, side, hosts, emerges, bytes });
            return Vec::new();
        }
        let overtaken = kept.map(Segment::Data);
        if overtaken.is_some() {
            self.bite("overtaken");
        }
        let mangling = self.paths.mangling(&path).filter(|_| self.rng().chance(1, MANGLED_ONE_IN));
        match (mangling, overtaken) {
            (Some(Mangling::Duplicates), overtaken) => {
                self.bite("duplicated");
                let twice = [Segment::Data(bytes.clone()), Segment::Data(bytes)];
                twice.into_iter().chain(overtaken).collect()
            }
            (Some(Mangling::Reorders), None) => {
                if let Some(conn) = self.connections.get_mut(&id) {
                    conn.pipes[side].kept = Some(bytes);
                }
                Vec::new()
            }
            (_, overtaken) => [Segment::Data(bytes)].into_iter().chain(overtaken).collect(),
        }
    }
}

impl Conn {
    pub(crate) fn new(from: &Arc<str>, to: &Arc<str>, address: String) -> Self {
        Self {
            hosts: [Arc::clone(from), Arc::clone(to)],
            address,
            is_open: false,
            ends: [End::new(true), End::new(false)],
            pipes: [Pipe::default(), Pipe::default()],
            recorded: Vec::new(),
        }
    }
}
