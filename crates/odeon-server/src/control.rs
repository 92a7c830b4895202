//! The server's own control plane: actor 0 of every server, an actor like any other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use odeon_actor::{AskError, Cx, Handle, Reply, Sender, actor, message};
use odeon_core::{
    ActorId, ActorName, Address, Capability, Epoch, ExitReason, Mark, ProtocolDescription, Refusal,
    RefusalCode, ServerId,
};

use crate::admin::{GrantEntry, GrantPage, Retract};
use crate::connect::ConnectError;
use crate::os::blocking;
use crate::revocations::ListTaken;
use crate::rights::{Question, Verdict};
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

/// A page of a list of actors.
#[message(mark = "actor-page/1")]
#[derive(Debug, Clone, PartialEq)]
pub struct ActorPage {
    /// The actors, by name.
    pub actors: Vec<ActorEntry>,
    /// After which name the next page begins; none on the last.
    pub next: Option<ActorName>,
}

/// A page of a list of links.
#[message(mark = "connection-page/1")]
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionPage {
    /// The links, by server.
    pub connections: Vec<ConnectionEntry>,
    /// After which server the next page begins; none on the last.
    pub next: Option<ServerId>,
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

impl Direction {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Outgoing => "outgoing",
            Self::Incoming => "incoming",
        }
    }
}

/// Actor 0.
#[derive(Debug)]
pub struct Control {
    server: Server,
    waiting_ready: Vec<(Option<ServerId>, Reply<()>)>,
    pinging: Shares,
    granting: Shares,
    /// Shared by the one look at a revocation list that is under way.
    judging: Arc<()>,
}

/// What each server has under way here.
#[derive(Debug, Default)]
struct Shares(BTreeMap<ServerId, Arc<()>>);

impl Shares {
    /// A place for one more, held as long as it is under way; none, if the peer has `most`. Code of this process needs
    /// none.
    fn take(&mut self, sender: &Sender, most: usize, what: &str) -> Result<Option<Arc<()>>, Refusal> {
        let Some(peer) = sender.server() else { return Ok(None) };
        self.0.retain(|_, shares| Arc::strong_count(shares) > 1);
        let shares = self.0.entry(peer.clone()).or_default();
        if Arc::strong_count(shares) > most {
            let detail = format!("{peer} has {most} {what} under way here, as many as it may");
            return Err(Refusal::new(RefusalCode::LimitReached, detail));
        }
        Ok(Some(Arc::clone(shares)))
    }
}

/// Most callers that wait for readiness at once; past it they are refused by the drop of their port.
const READY_WAITERS_MAX: usize = 1_024;

/// Of these, most of one peer.
pub(crate) const READY_WAITERS_OF_PEER_MAX: usize = 64;

/// Most pings of actors that one peer has under way.
pub(crate) const PINGS_OF_PEER_MAX: usize = 256;

/// Most grants that one peer is presenting or retracting: what it waits for is the disk.
pub(crate) const GRANT_WORK_OF_PEER_MAX: usize = 64;

/// Texts of revocation lists that are looked at at once.
const JUDGED_MAX: usize = 1;

/// The server itself: what it is, what is in it, whom it is linked to.
#[actor(mark = "server/1")]
impl Control {
    /// What the server says of itself.
    #[handle]
    fn status(&self) -> ServerStatus {
        self.server.status()
    }

    /// What the server has counted, as OpenMetrics text.
    #[handle]
    fn metrics(&self) -> String {
        self.server.metrics()
    }

    /// A page of the registered actors, by name: those after a name, at most so many.
    #[handle]
    fn list_actors(&self, after: Option<ActorName>, limit: Option<u32>) -> ActorPage {
        let entry = |actor: odeon_actor::RegisteredActor| ActorEntry {
            name: actor.name.to_string(),
            number: actor.inbox.number(),
            kind: actor.inbox.kind().to_owned(),
            protocol: actor.inbox.protocol().map(|protocol| protocol.mark.to_owned()),
            depth: actor.inbox.depth() as u64,
        };
        let (actors, is_more) = self.server.system().registered_after(after.as_ref(), page(limit));
        let actors: Vec<_> = actors.into_iter().map(entry).collect();
        let next = if is_more { actors.last().and_then(|last| last.name.parse().ok()) } else { None };
        ActorPage { actors, next }
    }

    /// A page of the links, by server: those to servers after one, to at most so many.
    #[handle]
    fn list_connections(&self, after: Option<ServerId>, limit: Option<u32>) -> ConnectionPage {
        self.server.connections_after(after.as_ref(), page(limit))
    }

    /// Asks an actor for a sign of life through its control lane.
    #[handle]
    fn ping_actor(&mut self, actor: ActorId, cx: &mut Cx<Self>, reply: Reply<Result<(), Refusal>>) {
        let share = match self.pinging.take(&cx.sender(), PINGS_OF_PEER_MAX, "pings") {
            Ok(share) => share,
            Err(refusal) => return reply.send(Err(refusal)),
        };
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
            drop(share);
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
            reply.send(connected.map_err(|error| Refusal::new(refusal_of(&error), error.to_string())));
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

    /// Links an actor to the one that asks: each ends when the other ends abnormally.
    #[handle(needs = "shutdown")]
    fn link_actor(&self, actor: ActorId, cx: &mut Cx<Self>) -> Result<(), Refusal> {
        self.server.link_for(&actor, &cx.sender())
    }

    /// Takes such a link back, as far as the actor here is concerned.
    #[handle(needs = "shutdown")]
    fn unlink_actor(&self, actor: ActorId, cx: &mut Cx<Self>) -> Result<(), Refusal> {
        self.server.unlink_for(&actor, &cx.sender())
    }

    /// Begins the server's shutdown; answered before the links close.
    #[handle(needs = "shutdown")]
    fn shutdown(&self) {
        self.server.request_shutdown();
    }

    /// Presents a grant, as text; answers with a challenge, in hexadecimal. Whoever answers it holds the grant.
    #[handle]
    fn present_grant(&mut self, grant: String, cx: &mut Cx<Self>, reply: Reply<Result<String, Refusal>>) {
        let sender = cx.sender();
        let by = sender.clone();
        self.beside("present-grant", &by, reply, async move |server| server.present(&sender, &grant).await);
    }

    /// Answers a challenge by a signature, in hexadecimal, by the key of the grant's holder. What is signed names the
    /// challenge, the link, both servers and the grant: `GrantQuestion` of `odeon-auth`.
    #[handle]
    fn answer_challenge(
        &mut self,
        challenge: String,
        signature: String,
        cx: &mut Cx<Self>,
        reply: Reply<Result<GrantEntry, Refusal>>,
    ) {
        let sender = cx.sender();
        let by = sender.clone();
        self.beside("answer-challenge", &by, reply, async move |server| {
            server.take_answer(&sender, &challenge, &signature).await
        });
    }

    /// Retracts grants; says how many that counted do no longer. One's own, or with `admin`.
    #[handle]
    fn retract_grants(&mut self, what: Retract, cx: &mut Cx<Self>, reply: Reply<Result<u64, Refusal>>) {
        let sender = cx.sender();
        let by = sender.clone();
        self.beside("retract-grants", &by, reply, async move |server| server.retract(&sender, &what).await);
    }

    /// A page of the grants that count at this moment, by id: those after one, at most of so many ids.
    #[handle(needs = "admin")]
    fn list_grants(&self, after: Option<String>, limit: Option<u32>) -> GrantPage {
        self.server.grants_after(after.as_deref(), page(limit))
    }

    /// Takes revocation lists in PEM that are newer than what is in use, from whoever brings them: they are
    /// signed by the ensemble's authorities. At most 1 MiB, and one text at a time.
    #[handle]
    fn take_revocation_list(
        &self,
        list: String,
        cx: &mut Cx<Self>,
        reply: Reply<Result<ListTaken, Refusal>>,
    ) {
        let share = Arc::clone(&self.judging);
        if Arc::strong_count(&share) > JUDGED_MAX + 1 {
            let detail = "another revocation list is being looked at here: try again";
            return reply.send(Err(Refusal::new(RefusalCode::LimitReached, detail)));
        }
        let (server, sender) = (self.server.clone(), cx.sender());
        // Signatures take time, and what is new is written.
        self.server.spawn_service("take-revocation-list", async move |_| {
            let taken = blocking(|| server.take_list(&sender, &list));
            drop(share);
            reply.send(taken);
        });
    }

    /// Whether a server may do something here, and by which right. Of oneself, or with `admin`.
    #[handle]
    fn can(
        &self,
        who: ServerId,
        what: Capability,
        actor: Option<ActorId>,
        mark: Option<Mark>,
        path: Option<String>,
        cx: &mut Cx<Self>,
    ) -> Result<Verdict, Refusal> {
        if cx.sender().server() != Some(&who) {
            cx.sender().require("admin")?;
        }
        let (mark, path) = (mark.as_ref().map(Mark::as_str), path.as_deref());
        Ok(self.server.verdict(&who, Question { capability: &what, actor: actor.as_ref(), mark, path }))
    }

    /// The last lines of the audit log, oldest first, as JSON: at most 256.
    #[handle(needs = "admin")]
    fn audit(&self, most: u32) -> Vec<String> {
        self.server.audit().recent(most as usize)
    }

    /// Answers once the server is ready.
    #[handle]
    fn wait_ready(&mut self, cx: &mut Cx<Self>, reply: Reply<()>) {
        if self.server.is_ready() {
            reply.send(());
        } else {
            self.waiting_ready.retain(|(_, waiting)| waiting.is_wanted());
            let peer = cx.sender().server().cloned();
            let of_peer = self.waiting_ready.iter().filter(|(whose, _)| *whose == peer).count();
            let has_share = peer.is_none() || of_peer < READY_WAITERS_OF_PEER_MAX;
            if has_share && self.waiting_ready.len() < READY_WAITERS_MAX {
                self.waiting_ready.push((peer, reply));
            }
        }
    }

    /// The server's own word that it is ready.
    #[handle(local)]
    fn now_ready(&mut self) {
        for (_, waiting) in self.waiting_ready.drain(..) {
            waiting.send(());
        }
    }

    #[stopped]
    fn gone(&mut self, reason: &ExitReason) {
        tracing::debug!(server = %self.server.id(), %reason, "control plane ended");
    }
}

/// Most entries of a page, and as many as it has if nothing is said: with the longest names and types they are far
/// from filling a frame.
const PAGE_MAX: u32 = 1_024;

fn page(limit: Option<u32>) -> usize {
    limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX) as usize
}

/// Every registered actor of a server, page by page.
///
/// # Errors
/// As for any ask; each page has `within` of its own.
///
/// # Cancel safety
/// Dropping the future gives the question up.
pub async fn all_actors(control: &Handle<Control>, within: Duration) -> Result<Vec<ActorEntry>, AskError> {
    all_pages(async |after| {
        let page = control.list_actors(after, None).within(within).await?;
        Ok((page.actors, page.next))
    })
    .await
}

/// Every link of a server, page by page.
///
/// # Errors
/// As for any ask; each page has `within` of its own.
///
/// # Cancel safety
/// Dropping the future gives the question up.
pub async fn all_connections(
    control: &Handle<Control>,
    within: Duration,
) -> Result<Vec<ConnectionEntry>, AskError> {
    all_pages(async |after| {
        let page = control.list_connections(after, None).within(within).await?;
        Ok((page.connections, page.next))
    })
    .await
}

/// What stands on all pages: each page says after what the next begins.
async fn all_pages<Entry, Key>(
    ask: impl AsyncFn(Option<Key>) -> Result<(Vec<Entry>, Option<Key>), AskError>,
) -> Result<Vec<Entry>, AskError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (entries, next) = ask(after).await?;
        all.extend(entries);
        match next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// Every grant that counts at a server, page by page.
///
/// # Errors
/// As for any ask; each page has `within` of its own.
///
/// # Cancel safety
/// Dropping the future gives the question up.
pub async fn all_grants(control: &Handle<Control>, within: Duration) -> Result<Vec<GrantEntry>, AskError> {
    all_pages(async |after| {
        let page = control.list_grants(after, None).within(within).await?;
        Ok((page.grants, page.next))
    })
    .await
}

/// What kind of refusal it is that there is no link.
const fn refusal_of(error: &ConnectError) -> RefusalCode {
    match error {
        ConnectError::Itself(_) => RefusalCode::BadRequest,
        _ => RefusalCode::Unreachable,
    }
}

impl Control {
    pub(crate) fn new(server: Server) -> Self {
        let (pinging, granting) = (Shares::default(), Shares::default());
        Self { server, waiting_ready: Vec::new(), pinging, granting, judging: Arc::default() }
    }

    /// Does something about grants in a task of its own: a slow disk must not hold up the server.
    fn beside<T, F>(
        &mut self,
        name: &'static str,
        sender: &Sender,
        reply: Reply<Result<T, Refusal>>,
        work: impl FnOnce(Server) -> F,
    ) where
        T: Send + 'static,
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        match self.granting.take(sender, GRANT_WORK_OF_PEER_MAX, "grants") {
            Ok(share) => {
                let done = work(self.server.clone());
                self.server.spawn_service(name, async move |_| {
                    reply.send(done.await);
                    drop(share);
                });
            }
            Err(refusal) => reply.send(Err(refusal)),
        }
    }
}
