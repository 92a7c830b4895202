//! The network seam over the fabric: each host has a [`SimNet`], all hosts of a world share one [`Network`].

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use odeon_core::seam::{BoxFuture, Connection, Listener, Net, PeerCredentials};
use odeon_core::{Address, Instant};
use tokio::sync::Notify;

use crate::fabric::{ConnectionId, Fabric, Listening};
use crate::path::{Emerges, Mangling, Pace};
use crate::rng::SimRng;
use crate::stream::SimStream;
use crate::trace::Trace;

/// The first port given to whoever asks for port 0.
const PORTS_FROM: u64 = 49_152;

/// The network between the hosts of one world, and the ways to break it. Clones are the same network.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    began: tokio::time::Instant,
    fabric: Mutex<Fabric>,
    /// Something is due earlier than before.
    changed: Notify,
}

/// What becomes of a host whose processes crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// The host's system lives on: it tells the peers of a dead process.
    Stays,
    /// The whole host is gone: its peers hear nothing.
    Fails,
}

impl Network {
    pub(crate) fn new(began: tokio::time::Instant, rng: SimRng, trace: Trace) -> Self {
        Self(Arc::new(Shared { began, fabric: Mutex::new(Fabric::new(rng, trace)), changed: Notify::new() }))
    }

    /// Cuts the path from one host to the other: bytes wait until it is mended. The way back is not touched.
    pub fn cut(&self, from: &str, to: &str) {
        self.step(|fabric| {
            fabric.note(from, format_args!("path to {to} cut"));
            fabric.paths.cut([from.into(), to.into()]);
        });
    }

    /// Mends the path from one host to the other. What waited goes on its way, each connection after a pause.
    pub fn mend(&self, from: &str, to: &str) {
        self.step(|fabric| {
            fabric.note(from, format_args!("path to {to} mended"));
            fabric.paths.mend(&[from.into(), to.into()]);
            fabric.heal();
        });
    }

    /// Sets how long the path from one host to the other takes; `None` is the usual.
    pub fn set_pace(&self, from: &str, to: &str, pace: Option<Pace>) {
        self.step(|fabric| {
            fabric.note(from, format_args!("path to {to} takes {pace:?}"));
            fabric.paths.set_pace([from.into(), to.into()], pace);
        });
    }

    /// Has so many of 100 segments from one host to the other be lost. A lost one is sent again, and what follows
    /// waits for it; one that is lost again and again ends its connection.
    pub fn set_loss(&self, from: &str, to: &str, percent: u64) {
        self.step(|fabric| {
            fabric.note(from, format_args!("path to {to} loses {percent} %"));
            fabric.paths.set_loss([from.into(), to.into()], percent);
        });
    }

    /// Has a box on the path from one host to the other break connections' bytes; `None` takes it away.
    pub fn set_mangling(&self, from: &str, to: &str, mangling: Option<Mangling>) {
        self.step(|fabric| {
            fabric.note(from, format_args!("path to {to} mangled: {mangling:?}"));
            fabric.paths.set_mangling([from.into(), to.into()], mangling);
        });
    }

    /// Has the connections that are there now keep back what `from` sends to `to`. After `time` it comes out: in its
    /// own connection, or in the youngest between the two, in whatever is being said there.
    pub fn hold_back(&self, from: &str, to: &str, time: Duration, emerges: Emerges) {
        self.step(|fabric| {
            fabric.note(from, format_args!("connections to {to} keep everything back for {time:?}"));
            fabric.hold_back(from, to, time, emerges);
        });
    }

    /// From now on what diallers send is recorded, for [`replay`](Self::replay).
    pub fn record(&self) {
        self.step(Fabric::record_all);
    }

    /// Plays what was recorded of connections to `host` to whoever listens there now: byte for byte what a
    /// dialler said, from a stranger.
    pub fn replay(&self, host: &str) {
        self.step(|fabric| {
            fabric.note(host, format_args!("is played what it was told before"));
            fabric.replay(host);
        });
    }

    /// How often each kind of fault touched something so far.
    #[must_use]
    pub fn bites(&self) -> BTreeMap<&'static str, u64> {
        self.step(|fabric| fabric.bites().clone())
    }

    /// Resets every connection between two hosts; both ends are told at once.
    pub fn reset(&self, one: &str, other: &str) {
        self.step(|fabric| {
            fabric.note(one, format_args!("connections with {other} reset"));
            for id in fabric.between(one, other) {
                fabric.reset(id);
            }
        });
    }

    /// Resets the ends at `host` of its connections with `other`, as a firewall in between does that forgot them.
    /// What those ends have sent still arrives; the other ends hear of it afterwards.
    pub fn reset_end(&self, host: &str, other: &str) {
        self.step(|fabric| {
            fabric.note(host, format_args!("its ends of connections with {other} reset"));
            for id in fabric.between(host, other) {
                fabric.bite("half reset");
                let side = fabric.connections.get(&id).map(|conn| usize::from(*conn.hosts[0] != *host));
                side.into_iter().for_each(|side| fabric.reset_end(id, side));
            }
        });
    }

    /// Has the connections that are there now carry nothing from `from` to `to` for so long; it arrives then. New
    /// connections are not touched, and may be faster.
    pub fn hold(&self, from: &str, to: &str, time: Duration) {
        self.step(|fabric| {
            fabric.note(from, format_args!("connections to {to} are held for {time:?}"));
            let until = fabric.now + time;
            for id in fabric.between(from, to) {
                if let Some(conn) = fabric.connections.get_mut(&id) {
                    let side = usize::from(*conn.hosts[0] != *from);
                    conn.pipes[side].held_until = until;
                }
            }
        });
    }

    /// Has the connections that are there now lose, for ever and in silence, what `from` sends to `to`. New
    /// connections are not touched.
    pub fn black_hole(&self, from: &str, to: &str) {
        self.step(|fabric| {
            fabric.note(from, format_args!("connections to {to} lose everything"));
            for id in fabric.between(from, to) {
                if let Some(conn) = fabric.connections.get_mut(&id) {
                    let side = usize::from(*conn.hosts[0] != *from);
                    conn.pipes[side].is_black_hole = true;
                }
            }
        });
    }

    /// Ends everything a host holds: its listeners and connections.
    pub(crate) fn crash(&self, host: &Arc<str>, power: Power) {
        self.step(|fabric| {
            fabric.note(host, format_args!("crashed, power {power:?}"));
            fabric.crash(host, power == Power::Stays);
        });
    }

    /// The host has power (again).
    pub(crate) fn boot(&self, host: &Arc<str>) {
        self.step(|fabric| {
            fabric.note(host, format_args!("boots"));
            fabric.off.remove(host);
        });
    }

    /// How many connections somebody holds an end of.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.step(|fabric| fabric.connections.len())
    }

    /// Most bytes that one end of a connection ever had sent and the other not read.
    #[must_use]
    pub fn peak_bytes(&self) -> usize {
        self.step(|fabric| fabric.peak_bytes())
    }

    /// Moves what is under way, for as long as the world stands.
    pub(crate) async fn run(self) {
        loop {
            let next = self.step(|fabric| {
                fabric.handle_timeout();
                fabric.poll_timeout()
            });
            let changed = self.0.changed.notified();
            match next {
                None => changed.await,
                Some(at) => tokio::select! {
                    biased;
                    () = changed => {}
                    () = tokio::time::sleep_until(self.0.began + (at - Instant::ZERO)) => {}
                },
            }
        }
    }

    /// Does one thing to the fabric; wakes whoever that concerns when the lock is free again.
    pub(crate) fn step<T>(&self, act: impl FnOnce(&mut Fabric) -> T) -> T {
        let mut fabric = self.0.fabric.lock().unwrap_or_else(PoisonError::into_inner);
        let before = fabric.poll_timeout();
        fabric.now = Instant::ZERO + self.0.began.elapsed();
        let outcome = act(&mut fabric);
        let is_sooner = match (fabric.poll_timeout(), before) {
            (Some(now), Some(before)) => now < before,
            (now, _) => now.is_some(),
        };
        let woken = fabric.take_woken();
        drop(fabric);
        if is_sooner {
            self.0.changed.notify_one();
        }
        for waker in woken {
            waker.wake();
        }
        outcome
    }
}

impl Fabric {
    pub(crate) fn between(&self, one: &str, other: &str) -> Vec<ConnectionId> {
        let is_between = |hosts: &[Arc<str>; 2]| {
            (*hosts[0] == *one && *hosts[1] == *other) || (*hosts[0] == *other && *hosts[1] == *one)
        };
        let all = self.connections.iter();
        all.filter(|(_, conn)| is_between(&conn.hosts)).map(|(id, _)| *id).collect()
    }
}

/// The network as one host sees it. It carries `tcp:` addresses, whose host part is a host of the world.
#[derive(Debug)]
pub struct SimNet {
    host: Arc<str>,
    network: Network,
}

impl SimNet {
    pub(crate) const fn new(host: Arc<str>, network: Network) -> Self {
        Self { host, network }
    }
}

impl Net for SimNet {
    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let (to, _) = parts(address)?;
            let id = self.network.step(|fabric| fabric.dial(&self.host, &to.into(), address.to_string()));
            // From here on the stream holds the end: dropped half way, the wish is withdrawn.
            let stream = SimStream::new(self.network.clone(), id, 0);
            poll_fn(|cx| self.network.step(|fabric| fabric.poll_opened(id, cx.waker()))).await?;
            Ok(Connection {
                stream: Box::new(stream),
                credentials: PeerCredentials::default(),
                remote: address.to_string(),
            })
        })
    }

    fn listen<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let (host, port) = parts(address)?;
            if *host != *self.host {
                let text = format!("{host} is not {}", self.host);
                return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
            }
            let (bound, id) = self.network.step(|fabric| {
                let id = fabric.fresh();
                let port = if port == "0" { (PORTS_FROM + id).to_string() } else { port.to_owned() };
                let bound = Address::Tcp(format!("{host}:{port}"));
                let key = bound.to_string();
                if fabric.listeners.contains_key(&key) {
                    return Err(io::Error::from(io::ErrorKind::AddrInUse));
                }
                fabric.note(&self.host, format_args!("listens at {key}"));
                let listening = Listening {
                    id,
                    host: Arc::clone(&self.host),
                    backlog: std::collections::VecDeque::new(),
                    waker: None,
                };
                fabric.listeners.insert(key, listening);
                Ok((bound, id))
            })?;
            let listener = SimListener { network: self.network.clone(), address: bound, id };
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }
}

fn parts(address: &Address) -> io::Result<(&str, &str)> {
    let parts = match address {
        Address::Tcp(host_port) => host_port.rsplit_once(':'),
        _ => None,
    };
    parts.ok_or_else(|| {
        io::Error::new(io::ErrorKind::Unsupported, "the simulated network carries `tcp:host:port`")
    })
}

/// A bound address; dropped, it is free again and who waits there is reset.
struct SimListener {
    network: Network,
    address: Address,
    id: u64,
}

impl Listener for SimListener {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        let key = self.address.to_string();
        Box::pin(poll_fn(move |cx| {
            let accepted = self.network.step(|fabric| {
                let listening = fabric.listeners.get_mut(&key).filter(|listening| listening.id == self.id);
                let Some(listening) = listening else {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::NotConnected)));
                };
                let Some(id) = listening.backlog.pop_front() else {
                    listening.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                };
                // Given up meanwhile, it ends at the first read.
                let conn = fabric.connections.get(&id);
                let remote = conn.map_or_else(String::new, |conn| conn.hosts[0].to_string());
                Poll::Ready(Ok((id, remote)))
            });
            accepted.map_ok(|(id, remote)| Connection {
                stream: Box::new(SimStream::new(self.network.clone(), id, 1)),
                credentials: PeerCredentials::default(),
                remote,
            })
        }))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let key = self.address.to_string();
        self.network.step(|fabric| {
            if fabric.listeners.get(&key).is_none_or(|listening| listening.id != self.id) {
                return;
            }
            let listening = fabric.listeners.remove(&key);
            for id in listening.into_iter().flat_map(|listening| listening.backlog) {
                fabric.let_go(id, 1);
            }
        });
    }
}

impl fmt::Debug for SimListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimListener({})", self.address)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("connections", &self.connections()).finish_non_exhaustive()
    }
}
