//! The server's own control plane: actor 0 of every server, an actor like any other.

use odeon_actor::{Cx, Reply, actor, message};
use odeon_core::{ActorId, Address, Epoch, ExitReason, ProtocolDescription, Refusal, RefusalCode, ServerId};

use crate::secure::{LinkCertificate, Transport};
use crate::server::Server;

/// What a server says of itself.
#[message(mark = "server-status/1")]
#[derive(Debug, Clone, PartialEq)]
pub struct ServerStatus {
    /// The server.
    pub server: ServerId,
    /// Its incarnation.
    pub epoch: Epoch,
    /// Its process.
    pub pid: u32,
    /// Whether it has said that it is ready.
    pub ready: bool,
    /// How long it runs, in milliseconds.
    pub uptime_ms: u64,
    /// Where it can be reached.
    pub addresses: Vec<Address>,
    /// How many actors live in it.
    pub actors: u64,
    /// How many links it has.
    pub links: u64,
    /// How many messages reached nobody so far.
    pub dead_letters: u64,
    /// Odeon's version.
    pub version: String,
}

/// One registered actor, in a list.
#[message(mark = "actor-entry/1")]
#[derive(Debug, Clone, PartialEq)]
pub struct ActorEntry {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u64,
    /// Its Rust type.
    pub kind: String,
    /// Its protocol's mark, if it can be reached from other servers.
    pub protocol: Option<String>,
    /// How many messages wait in its mailbox.
    pub depth: u64,
}

/// One link, in a list.
#[message(mark = "connection-entry/1")]
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionEntry {
    /// The server at the other end.
    pub server: ServerId,
    /// Its incarnation.
    pub epoch: Epoch,
    /// The other end's address, or where it came from.
    pub remote: String,
    /// How the link travels.
    pub transport: Transport,
    /// The certificate that the peer has shown, over TLS.
    pub certificate: Option<LinkCertificate>,
    /// Which side connected.
    pub direction: Direction,
    /// What the peer may do here.
    pub capabilities: Vec<String>,
    /// Asks waiting for the peer's answer.
    pub open_asks: u64,
}

/// Which side of a link connected.
#[message(mark = "link-direction/1")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// This server did.
    Outgoing,
    /// The peer did.
    Incoming,
}

/// Actor 0.
#[derive(Debug)]
pub struct Control {
    server: Server,
    waiting_ready: Vec<Reply<()>>,
}

/// Most callers that wait for readiness at once; past it they are refused by the drop of their port.
const READY_WAITERS_MAX: usize = 1_024;

/// The server itself: what it is, what is in it, whom it is linked to.
#[actor(mark = "server/1")]
impl Control {
    /// What the server says of itself.
    #[handle]
    fn status(&self) -> ServerStatus {
        self.server.status()
    }

    /// The registered actors, by name.
    #[handle]
    fn list_actors(&self) -> Vec<ActorEntry> {
        let entry = |actor: odeon_actor::RegisteredActor| ActorEntry {
            name: actor.name.to_string(),
            number: actor.inbox.number(),
            kind: actor.inbox.kind().to_owned(),
            protocol: actor.inbox.protocol().map(|protocol| protocol.mark.to_owned()),
            depth: actor.inbox.depth() as u64,
        };
        self.server.system().registered().into_iter().map(entry).collect()
    }

    /// The links, by server.
    #[handle]
    fn list_connections(&self) -> Vec<ConnectionEntry> {
        self.server.connections()
    }

    /// Asks an actor for a sign of life through its control lane.
    #[handle]
    fn ping_actor(&self, actor: ActorId, cx: &mut Cx<Self>, reply: Reply<Result<(), Refusal>>) {
        let inbox = match self.server.local_inbox(&actor) {
            Ok(inbox) => inbox,
            Err(refusal) => return reply.send(Err(refusal)),
        };
        let ping = inbox.ping();
        let deadline = cx.expires_at();
        // In a task of its own: a busy actor must not hold up the server.
        self.server.spawn_service("ping-actor", async move |clock| {
            let answered = match deadline {
                Some(at) => tokio::select! {
                    biased;
                    answer = ping => Some(answer),
                    () = clock.sleep_until(at) => None,
                },
                None => Some(ping.await),
            };
            if let Some(answer) = answered {
                reply
                    .send(answer.map_err(|error| Refusal::new(RefusalCode::UnknownActor, error.to_string())));
            }
        });
    }

    /// What an actor understands, with JSON Schemas; actor 0 is this server.
    #[handle]
    fn describe(&self, actor: ActorId) -> Result<ProtocolDescription, Refusal> {
        let inbox = self.server.local_inbox(&actor)?;
        inbox.protocol().map(odeon_core::Protocol::describe).ok_or_else(|| {
            let detail = format!("{actor} is private to its server: it has no protocol");
            Refusal::new(RefusalCode::UnknownMark, detail)
        })
    }

    /// Links this server to another, at the addresses given or looked up, and says at which it did.
    #[handle(needs = "connect")]
    fn connect(&self, to: ServerId, addresses: Vec<Address>, reply: Reply<Result<String, Refusal>>) {
        let server = self.server.clone();
        self.server.spawn_service("connect", async move |_| {
            let connected = server.connect(&to, &addresses).await;
            reply.send(connected.map_err(|error| Refusal::new(RefusalCode::NotFound, error.to_string())));
        });
    }

    /// Stops an actor after the message it is handling.
    #[handle(needs = "shutdown")]
    fn stop_actor(&self, actor: ActorId) -> Result<(), Refusal> {
        if actor == ActorId::SERVER {
            let detail = "actor 0 is the server itself: shut the server down instead";
            return Err(Refusal::new(RefusalCode::BadRequest, detail));
        }
        self.server.local_inbox(&actor)?.stop();
        Ok(())
    }

    /// Begins the server's shutdown; answered before the links close.
    #[handle(needs = "shutdown")]
    fn shutdown(&self) {
        self.server.request_shutdown();
    }

    /// Answers once the server is ready.
    #[handle]
    fn wait_ready(&mut self, reply: Reply<()>) {
        if self.server.is_ready() {
            reply.send(());
        } else {
            self.waiting_ready.retain(Reply::is_wanted);
            if self.waiting_ready.len() < READY_WAITERS_MAX {
                self.waiting_ready.push(reply);
            }
        }
    }

    /// The server's own word that it is ready.
    #[handle(local)]
    fn now_ready(&mut self) {
        for waiting in self.waiting_ready.drain(..) {
            waiting.send(());
        }
    }

    #[stopped]
    fn gone(&mut self, reason: &ExitReason) {
        tracing::debug!(server = %self.server.id(), %reason, "control plane ended");
    }
}

impl Control {
    pub(crate) const fn new(server: Server) -> Self {
        Self { server, waiting_ready: Vec::new() }
    }
}
