//! The one predicate: what the peer of a link may do here, asked at every act that needs a right.

use std::collections::BTreeSet;
use std::fmt;

use odeon_actor::{Deed, Holds, Peer, message};
use odeon_core::{Act, ActorId, Capability, Caveat, Origin, Right, ServerId};

use crate::audit::{Entry, chain_of};
use crate::secure::Transport;
use crate::server::Server;

/// What a peer holds over one link.
pub(crate) struct LinkRights {
    server: Server,
    /// The link's number.
    link: u64,
    transport: Transport,
    certificate: Option<String>,
    /// Whatever the link began with: it lasts as long as the link.
    fixed: Vec<Right>,
}

/// Whether somebody may do something, and why.
#[message(mark = "verdict/1")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether they may.
    pub allowed: bool,
    /// By which right, or why not.
    pub why: String,
    /// All that they hold here at this moment.
    pub rights: Vec<Right>,
}

/// What is asked about, when somebody wants to know before they try.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) capability: &'a Capability,
    pub(crate) actor: Option<&'a ActorId>,
    pub(crate) mark: Option<&'a str>,
    pub(crate) path: Option<&'a str>,
}

impl LinkRights {
    pub(crate) const fn new(
        server: Server,
        link: u64,
        transport: Transport,
        certificate: Option<String>,
        fixed: Vec<Right>,
    ) -> Self {
        Self { server, link, transport, certificate, fixed }
    }

    /// The right that allows an act, by where it comes from; or none.
    fn find(&self, peer: &Peer, act: &Act<'_>, actors: impl FnOnce() -> Vec<ActorId>) -> Option<Origin> {
        if let Some(right) = self.fixed.iter().find(|right| right.allows(act)) {
            return Some(right.origin.clone());
        }
        // Names are looked up before the table is locked, and only where there is something to compare them with.
        let names_actors = {
            let grants = self.server.grants();
            let mut rights = grants.rights(self.link, &peer.server).peekable();
            rights.peek()?;
            rights.flat_map(|right| &right.caveats).any(|caveat| matches!(caveat, Caveat::Actors(_)))
        };
        let actors = if names_actors { actors() } else { Vec::new() };
        let act = Act { actors: &actors, ..*act };
        let grants = self.server.grants();
        let found = grants.rights(self.link, &peer.server).find(|right| right.allows(&act));
        found.map(|right| right.origin.clone())
    }

    /// Writes down an act that was decided.
    pub(crate) fn audit(&self, peer: &Peer, deed: &Deed<'_>, decision: Result<&Origin, &str>) {
        let why = decision.map_or_else(ToOwned::to_owned, ToString::to_string);
        self.add(peer, deed, (decision.is_ok(), why), decision.map_or(&[], chain_of));
    }

    /// Writes down that somebody has given up what is theirs, or that it failed.
    pub(crate) fn audit_own(&self, peer: &Peer, deed: &Deed<'_>, decision: Result<String, &str>) {
        self.audit_for_all(peer, deed, decision.map(|what| format!("its own: {what}")));
    }

    /// Writes down an act that takes no right, or that it failed.
    pub(crate) fn audit_for_all(&self, peer: &Peer, deed: &Deed<'_>, decision: Result<String, &str>) {
        let is_allowed = decision.is_ok();
        self.add(peer, deed, (is_allowed, decision.unwrap_or_else(ToOwned::to_owned)), &[]);
    }

    fn add(&self, peer: &Peer, deed: &Deed<'_>, (allowed, why): (bool, String), chain: &[String]) {
        let unix_ms = self.server.clock().unix_ms();
        let mark = deed.message.map(|(_, mark)| mark);
        let so_far = if allowed {
            None
        } else {
            let counted = self.server.audit().count(unix_ms, &peer.server, mark, deed.capability);
            // Before anything is looked up for it: a peer is refused as often as it likes.
            let Some(so_far) = counted else { return };
            Some(so_far)
        };
        let actor = deed.message.map(|(number, _)| self.server.actor_id(number));
        self.server.audit().add(Entry {
            unix_ms,
            server: self.server.id(),
            peer: &peer.server,
            peer_epoch: peer.epoch,
            transport: self.transport,
            certificate: self.certificate.as_deref(),
            actor: actor.as_ref(),
            mark,
            capability: deed.capability,
            path: deed.path,
            allowed,
            why,
            chain,
            so_far,
            left_out: None,
        });
    }
}

impl Holds for LinkRights {
    fn allows(&self, peer: &Peer, deed: &Deed<'_>) -> bool {
        let act = Act {
            capability: deed.capability,
            server: self.server.id(),
            roles: &self.server.authority().roles,
            actors: &[],
            mark: deed.message.map(|(_, mark)| mark),
            path: deed.path,
            unix_ms: self.server.clock().unix_ms(),
        };
        let actors = || deed.message.map_or_else(Vec::new, |(number, _)| self.server.actor_ids(number));
        let found = self.find(peer, &act, actors);
        let decision = found.as_ref().ok_or("no right that it holds here covers this");
        self.audit(peer, deed, decision);
        found.is_some()
    }

    fn rights(&self, peer: &Peer) -> Vec<Right> {
        let unix_ms = self.server.clock().unix_ms();
        let grants = self.server.grants();
        let granted = grants.rights(self.link, &peer.server).filter(|right| is_current(right, unix_ms));
        self.fixed.iter().chain(granted).cloned().collect()
    }
}

fn is_current(right: &Right, unix_ms: u64) -> bool {
    right.not_after().is_none_or(|seconds| unix_ms / 1000 < seconds)
}

impl Server {
    /// Every name of an actor of this server; 0 for the server itself.
    fn actor_ids(&self, number: u64) -> Vec<ActorId> {
        if self.is_control(number) {
            return vec![ActorId::SERVER];
        }
        let registered = self.system().registered().into_iter();
        registered.filter(|actor| actor.inbox.number() == number).map(|actor| actor.name.into()).collect()
    }

    /// The actor as people know it.
    fn actor_id(&self, number: u64) -> ActorId {
        self.actor_ids(number).into_iter().next().unwrap_or(ActorId::Number(number))
    }

    /// What a server holds here: over its links, by the configuration, and by grants presented for it.
    pub(crate) fn rights_of(&self, who: &ServerId) -> Vec<Right> {
        let links = self.peers().of(who).to_vec();
        let mut rights: Vec<Right> = Vec::new();
        let linked = links.iter().filter_map(|link| link.peer());
        let over_links = linked.flat_map(|peer| peer.held.rights(peer));
        let unix_ms = self.clock().unix_ms();
        let others: Vec<Right> = self.authority().configured(who).into_iter().collect();
        let delegated: Vec<Right> = self.grants().delegated_to(who).cloned().collect();
        let delegated = delegated.into_iter().filter(|right| is_current(right, unix_ms));
        for right in over_links.chain(others).chain(delegated) {
            if !rights.contains(&right) {
                rights.push(right);
            }
        }
        rights
    }

    /// Whether a server may do something here, before it tries.
    pub(crate) fn verdict(&self, who: &ServerId, question: Question<'_>) -> Verdict {
        let rights = self.rights_of(who);
        let act = Act {
            capability: question.capability.as_str(),
            server: self.id(),
            roles: &self.authority().roles,
            actors: question.actor.map(std::slice::from_ref).unwrap_or_default(),
            mark: question.mark,
            path: question.path,
            unix_ms: self.clock().unix_ms(),
        };
        let found = rights.iter().find(|right| right.allows(&act));
        let why = match found {
            Some(right) => format!("by {}: {right}", right.origin),
            None if rights.is_empty() => format!("{who} holds nothing at {}", self.id()),
            None => {
                let held: Vec<String> = rights.iter().map(ToString::to_string).collect();
                format!("no right of {who} at {} covers this; it holds: {}", self.id(), held.join(" | "))
            }
        };
        Verdict { allowed: found.is_some(), why, rights }
    }
}

/// The capabilities of some rights, whatever their limits.
pub(crate) fn names(rights: &[Right]) -> Vec<String> {
    let held: BTreeSet<&Capability> = rights.iter().flat_map(|right| right.capabilities.iter()).collect();
    held.into_iter().map(ToString::to_string).collect()
}

impl fmt::Debug for LinkRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkRights")
            .field("link", &self.link)
            .field("fixed", &self.fixed)
            .finish_non_exhaustive()
    }
}
