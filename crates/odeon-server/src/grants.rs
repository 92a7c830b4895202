//! The grants of one server: which were presented, for whom, and which are retracted.
//!
//! A table without I/O: links by number, time as an argument. What outlives the process is given out as text and taken
//! in again. A chain is looked up here at every act that needs it, so what is presented, retracted or over counts for
//! the very next message.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use odeon_auth::{CHALLENGE_BYTES, GRANT_TEXT_PREFIX, GrantChain, GrantId, PublicKey};
use odeon_core::{Caveat, Instant, Right, ServerId};

/// Most chains that one link holds: nobody needs more rights of different shapes.
pub const LINK_CHAINS_MAX: usize = 16;

/// Most challenges that one link has open; one more takes the place of the oldest, so nobody is locked out.
pub(crate) const LINK_CHALLENGES_MAX: usize = 4;

/// How long a challenge can be answered.
pub(crate) const CHALLENGE_TTL: Duration = Duration::from_secs(30);

/// Most chains that others have presented for one grantee.
pub(crate) const DELEGATED_PER_GRANTEE_MAX: usize = 16;

/// Most chains that others have presented, for all grantees.
pub(crate) const DELEGATED_MAX: usize = 1_024;

/// Of these, as many are left to admins: whoever got a grant can make keys and names for others without end.
pub(crate) const DELEGATED_OF_ADMINS: usize = 512;

/// Most chains that grow from one grant of the admin's, presented for others. Those left to admins do not count.
pub(crate) const DELEGATED_PER_GRANT_MAX: usize = 128;

/// Most retractions that are remembered.
pub(crate) const RETRACTIONS_MAX: usize = 4_096;

/// Of these, as many are left to admins: others can retract only their own grants, but can hold many.
pub(crate) const RETRACTIONS_OF_ADMINS: usize = 2_048;

/// How far ahead another host's clock may be. A block from further ahead could not be retracted by its grantee's name.
pub(crate) const SKEW_MS_MAX: u64 = 5 * 60 * 1_000;

/// In the first versions of both files ids were what a block said of itself, and match nothing any more.
const RETRACTIONS_HEAD: [&str; 2] = ["odeon retractions 1", "odeon retractions 2"];
const DELEGATED_HEAD: [&str; 2] = ["odeon delegated grants 1", "odeon delegated grants 2"];

/// Why a file of grants is not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// An earlier build has written it.
    Old,
    /// The line of that number makes no sense.
    Line(usize),
}

/// Why a grant is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error("the grant was retracted here")]
    Retracted,
    #[error("the grant has expired")]
    Expired,
    #[error("the grant says that it was made more than 5 minutes from now: set the clocks right")]
    FromTheFuture,
    #[error("this link holds {LINK_CHAINS_MAX} grants already, as many as it may")]
    LinkFull,
    #[error("as many grants were presented here for others as may be: retract some")]
    DelegatedFull,
    #[error("as many retractions are remembered here as may be")]
    RetractionsFull,
}

/// What is to be retracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retracted<'a> {
    /// Every chain with this block.
    Grant(GrantId),
    /// Every chain with a block for this server that was made until now.
    Grantee(&'a ServerId),
}

/// Who retracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Admin,
    /// Somebody who gives up what is theirs.
    Grantee,
}

/// One chain, ready to be asked.
#[derive(Debug, Clone)]
struct Held {
    chain: GrantChain,
    right: Right,
}

#[derive(Debug)]
struct Challenge {
    bytes: [u8; CHALLENGE_BYTES],
    chain: GrantChain,
    until: Instant,
}

#[derive(Debug, Default)]
struct LinkGrants {
    challenges: VecDeque<Challenge>,
    held: Vec<Held>,
}

/// The grants of one server.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    links: BTreeMap<u64, LinkGrants>,
    delegated: BTreeMap<ServerId, Vec<Held>>,
    /// Until when each must be remembered, in seconds since 1970.
    retracted: BTreeMap<GrantId, u64>,
    /// Blocks for them that were made until then are void, in milliseconds since 1970.
    retracted_for: BTreeMap<ServerId, u64>,
    unsaved: Unsaved,
}

/// What has changed since it was last written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsaved {
    pub(crate) retractions: bool,
    pub(crate) delegated: bool,
}

impl Held {
    fn new(chain: GrantChain, is_delegated: bool) -> Self {
        let right = chain.right(is_delegated);
        Self { chain, right }
    }

    /// Whether it is kept when `chain` is taken in.
    fn stays_beside(&self, chain: &GrantChain, now_ms: u64) -> bool {
        !self.is_over(now_ms) && self.chain != *chain
    }

    fn is_over(&self, now_ms: u64) -> bool {
        self.right.not_after().is_some_and(|seconds| now_ms / 1000 >= seconds)
    }
}

/// Chains by id, each with whether it was presented by another.
type Listed<'a> = BTreeMap<GrantId, Vec<(&'a GrantChain, bool)>>;

impl Grants {
    /// A link whose peer has proven itself.
    pub(crate) fn open(&mut self, link: u64) {
        self.links.entry(link).or_default();
    }

    /// The link is over, and what was presented over it.
    pub(crate) fn close(&mut self, link: u64) {
        self.links.remove(&link);
    }

    /// Whether a chain would be taken now.
    pub(crate) fn check(&self, chain: &GrantChain, now_ms: u64) -> Result<(), NotTaken> {
        if chain.blocks().iter().any(|block| block.issued_at_ms > now_ms.saturating_add(SKEW_MS_MAX)) {
            return Err(NotTaken::FromTheFuture);
        }
        if chain.right(false).not_after().is_none_or(|seconds| now_ms / 1000 >= seconds) {
            return Err(NotTaken::Expired);
        }
        let is_void = chain.blocks().iter().any(|block| {
            let until = block.grantee.as_ref().and_then(|grantee| self.retracted_for.get(grantee));
            self.retracted.contains_key(&block.id) || until.is_some_and(|until| block.issued_at_ms <= *until)
        });
        if is_void { Err(NotTaken::Retracted) } else { Ok(()) }
    }

    /// Remembers a challenge that was given over a link for a chain.
    pub(crate) fn challenge(
        &mut self,
        link: u64,
        chain: GrantChain,
        bytes: [u8; CHALLENGE_BYTES],
        now: Instant,
    ) {
        // A link that is over has nobody who could answer.
        let Some(link) = self.links.get_mut(&link) else { return };
        link.challenges.retain(|challenge| challenge.until > now);
        if link.challenges.len() >= LINK_CHALLENGES_MAX {
            link.challenges.pop_front();
        }
        link.challenges.push_back(Challenge { bytes, chain, until: now + CHALLENGE_TTL });
    }

    /// Takes the chain of a challenge, which is thereby used up.
    pub(crate) fn answer(
        &mut self,
        link: u64,
        bytes: &[u8; CHALLENGE_BYTES],
        now: Instant,
    ) -> Option<GrantChain> {
        let challenges = &mut self.links.get_mut(&link)?.challenges;
        challenges.retain(|challenge| challenge.until > now);
        let place = challenges.iter().position(|challenge| challenge.bytes == *bytes)?;
        challenges.remove(place).map(|challenge| challenge.chain)
    }

    /// The peer of a link holds a chain from now on, as long as the link lasts.
    pub(crate) fn hold(&mut self, link: u64, chain: GrantChain, now_ms: u64) -> Result<(), NotTaken> {
        self.check(&chain, now_ms)?;
        let Some(link) = self.links.get_mut(&link) else { return Ok(()) };
        link.held.retain(|held| held.stays_beside(&chain, now_ms));
        if link.held.len() >= LINK_CHAINS_MAX {
            return Err(NotTaken::LinkFull);
        }
        link.held.push(Held::new(chain, false));
        Ok(())
    }

    /// Whether a grantee may hold a chain over whatever link.
    fn check_delegated(&self, grantee: &ServerId, chain: &GrantChain, now_ms: u64) -> Result<(), NotTaken> {
        self.check(chain, now_ms)?;
        let count = |held: &Vec<Held>| held.iter().filter(|held| held.stays_beside(chain, now_ms)).count();
        let of_grantee = self.delegated.get(grantee).map_or(0, count);
        if of_grantee >= DELEGATED_PER_GRANTEE_MAX || !self.has_room_for(chain, now_ms) {
            return Err(NotTaken::DelegatedFull);
        }
        Ok(())
    }

    /// What [`delegated_text`](Self::delegated_text) will be once a grantee holds this chain too.
    pub(crate) fn delegated_text_with(
        &self,
        grantee: &ServerId,
        chain: &GrantChain,
        now_ms: u64,
    ) -> Result<String, NotTaken> {
        self.check_delegated(grantee, chain, now_ms)?;
        let others = self.delegated.values().flatten().filter(|held| held.stays_beside(chain, now_ms));
        Ok(file_text(others.map(|held| &held.chain).chain([chain])))
    }

    /// A grantee holds a chain from now on, over whatever link.
    pub(crate) fn delegate(
        &mut self,
        grantee: &ServerId,
        chain: GrantChain,
        now_ms: u64,
    ) -> Result<(), NotTaken> {
        self.check_delegated(grantee, &chain, now_ms)?;
        self.delegated.retain(|_, held| {
            held.retain(|held| held.stays_beside(&chain, now_ms));
            !held.is_empty()
        });
        self.delegated.entry(grantee.clone()).or_default().push(Held::new(chain, true));
        Ok(())
    }

    /// Whether there is room for one more chain that was presented for another. What the admin gives has all of it;
    /// what a holder passes on has a share, and leaves some to the admin.
    fn has_room_for(&self, chain: &GrantChain, now_ms: u64) -> bool {
        let others = self.delegated.values().flatten().filter(|held| held.stays_beside(chain, now_ms));
        let (root, is_passed_on) = (chain.blocks()[0].id, |chain: &GrantChain| chain.blocks().len() > 1);
        let (mut all, mut of_grant) = (0, 0);
        for held in others {
            all += 1;
            of_grant += usize::from(is_passed_on(&held.chain) && held.chain.blocks()[0].id == root);
        }
        if !is_passed_on(chain) {
            return all < DELEGATED_MAX;
        }
        of_grant < DELEGATED_PER_GRANT_MAX && all < DELEGATED_MAX - DELEGATED_OF_ADMINS
    }

    /// What the peer of a link holds by grants.
    pub(crate) fn rights<'a>(&'a self, link: u64, peer: &ServerId) -> impl Iterator<Item = &'a Right> {
        let own = self.links.get(&link).into_iter().flat_map(|link| &link.held);
        own.map(|held| &held.right).chain(self.delegated_to(peer))
    }

    /// What others have presented for a server.
    pub(crate) fn delegated_to(&self, grantee: &ServerId) -> impl Iterator<Item = &Right> {
        self.delegated.get(grantee).into_iter().flatten().map(|held| &held.right)
    }

    /// The chains that count now, by id: those of the next `most` ids after one, and whether there are more. Each once,
    /// with whether it was presented by another.
    pub(crate) fn list(&self, now_ms: u64, after: Option<GrantId>, most: usize) -> (Listed<'_>, bool) {
        let own = self.links.values().flat_map(|link| &link.held).map(|held| (held, false));
        let all = own.chain(self.delegated.values().flatten().map(|held| (held, true)));
        let is_listed =
            |held: &Held| !held.is_over(now_ms) && after.is_none_or(|after| held.chain.id() > after);
        let (mut listed, mut is_more) = (Listed::new(), false);
        for (held, is_delegated) in all.filter(|(held, _)| is_listed(held)) {
            let of_id = listed.entry(held.chain.id()).or_default();
            if !of_id.contains(&(&held.chain, is_delegated)) {
                of_id.push((&held.chain, is_delegated));
            }
            // What is on a later page takes no room on this one.
            if listed.len() > most {
                listed.pop_last();
                is_more = true;
            }
        }
        (listed, is_more)
    }

    /// Whether a server gives up what is its own: its name, or a block that is for it, of a chain that counts here.
    pub(crate) fn is_own(&self, server: &ServerId, what: Retracted<'_>) -> bool {
        match what {
            Retracted::Grantee(grantee) => grantee == server,
            Retracted::Grant(id) => {
                let mut blocks = self.chains().flat_map(GrantChain::blocks);
                blocks.any(|block| block.id == id && block.grantee.as_ref() == Some(server))
            }
        }
    }

    fn chains(&self) -> impl Iterator<Item = &GrantChain> {
        let own = self.links.values().flat_map(|link| &link.held);
        own.chain(self.delegated.values().flatten()).map(|held| &held.chain)
    }

    /// Retracts; returns how many chains that counted here do no longer. A retraction by a grantee is remembered only
    /// if it took something away: what was never presented is no reason to fill the memory.
    pub(crate) fn retract(&mut self, what: Retracted<'_>, by: By, now_ms: u64) -> Result<usize, NotTaken> {
        let before = self.chains().count();
        let concerns = |chain: &GrantChain| match what {
            Retracted::Grant(id) => chain.blocks().iter().any(|block| block.id == id),
            Retracted::Grantee(grantee) => chain
                .blocks()
                .iter()
                .any(|block| block.grantee.as_ref() == Some(grantee) && block.issued_at_ms <= now_ms),
        };
        let forget_after = self.chains().find(|chain| concerns(chain)).map(|chain| forget_after(chain, what));
        if by == By::Grantee && forget_after.is_none() {
            return Ok(0);
        }
        let seconds = now_ms / 1000;
        self.retracted.retain(|_, forget_after| *forget_after > seconds);
        let is_new = match what {
            Retracted::Grant(id) => !self.retracted.contains_key(&id),
            Retracted::Grantee(grantee) => !self.retracted_for.contains_key(grantee),
        };
        let most = if by == By::Admin { RETRACTIONS_MAX } else { RETRACTIONS_MAX - RETRACTIONS_OF_ADMINS };
        if is_new && self.retracted.len() + self.retracted_for.len() >= most {
            return Err(NotTaken::RetractionsFull);
        }
        match what {
            Retracted::Grant(id) => {
                self.retracted.insert(id, forget_after.unwrap_or(u64::MAX));
            }
            Retracted::Grantee(grantee) => {
                // A clock that was set back takes no retraction back.
                let until = self.retracted_for.entry(grantee.clone()).or_default();
                *until = now_ms.max(*until);
            }
        }
        self.unsaved.retractions = true;
        for link in self.links.values_mut() {
            link.held.retain(|held| !concerns(&held.chain));
        }
        self.unsaved.delegated |= self.delegated.values().flatten().any(|held| concerns(&held.chain));
        self.delegated.retain(|_, held| {
            held.retain(|held| !concerns(&held.chain));
            !held.is_empty()
        });
        Ok(before - self.chains().count())
    }

    /// What is to be written; it counts as written from now on.
    pub(crate) fn take_unsaved(&mut self) -> Unsaved {
        std::mem::take(&mut self.unsaved)
    }

    /// Writing that has failed: it is to be tried again with whatever is written next.
    pub(crate) fn still_unsaved(&mut self, unsaved: Unsaved) {
        self.unsaved.retractions |= unsaved.retractions;
        self.unsaved.delegated |= unsaved.delegated;
    }

    /// The retractions, as they are kept in a file.
    pub(crate) fn retractions_text(&self) -> String {
        let mut text = format!("{}\n", RETRACTIONS_HEAD[1]);
        for (id, until) in &self.retracted {
            text.push_str(&format!("grant {id} {until}\n"));
        }
        for (grantee, until_ms) in &self.retracted_for {
            text.push_str(&format!("grantee {grantee} {until_ms}\n"));
        }
        text
    }

    /// The chains presented for others, as they are kept in a file.
    pub(crate) fn delegated_text(&self) -> String {
        file_text(self.delegated.values().flatten().map(|held| &held.chain))
    }

    /// Takes in what [`retractions_text`](Self::retractions_text) gave; or why not.
    pub(crate) fn read_retractions(&mut self, text: &str) -> Result<(), Unread> {
        for (number, line) in lines(text, RETRACTIONS_HEAD)? {
            let is_read = self.read_retraction(line).is_some();
            if !is_read || self.retracted.len() + self.retracted_for.len() > RETRACTIONS_MAX {
                return Err(Unread::Line(number));
            }
        }
        Ok(())
    }

    fn read_retraction(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        let &[kind, id, until] = words.as_slice() else { return None };
        let until = until.parse().ok()?;
        match kind {
            "grant" => self.retracted.insert(id.parse().ok()?, until),
            "grantee" => self.retracted_for.insert(id.parse().ok()?, until),
            _ => return None,
        };
        Some(())
    }

    /// Takes in what [`delegated_text`](Self::delegated_text) gave, as far as it still counts under this admin key; or
    /// why not.
    pub(crate) fn read_delegated(
        &mut self,
        text: &str,
        admin: &PublicKey,
        now_ms: u64,
    ) -> Result<(), Unread> {
        for (number, line) in lines(text, DELEGATED_HEAD)? {
            if number > DELEGATED_MAX + 1 || !line.starts_with(GRANT_TEXT_PREFIX) {
                return Err(Unread::Line(number));
            }
            // Of another admin key, expired or retracted since: it counts for nothing, and goes at the next write.
            if let Ok(chain) = GrantChain::from_text(line, admin)
                && let Some(grantee) = chain.last().grantee.clone()
            {
                let _ = self.delegate(&grantee, chain, now_ms);
            }
        }
        Ok(())
    }
}

/// Chains, as they are kept in a file.
fn file_text<'a>(chains: impl Iterator<Item = &'a GrantChain>) -> String {
    let lines = chains.map(|chain| chain.to_text() + "\n");
    std::iter::once(format!("{}\n", DELEGATED_HEAD[1])).chain(lines).collect()
}

/// When a retraction of a block may be forgotten: once every chain with that block is over.
fn forget_after(chain: &GrantChain, what: Retracted<'_>) -> u64 {
    let Retracted::Grant(id) = what else { return u64::MAX };
    let mut until = u64::MAX;
    for block in chain.blocks() {
        for caveat in &block.caveats {
            if let Caveat::NotAfter(seconds) = caveat {
                until = until.min(*seconds);
            }
        }
        if block.id == id {
            break;
        }
    }
    until
}

/// The lines below the head, with their numbers.
fn lines<'a>(text: &'a str, head: [&str; 2]) -> Result<impl Iterator<Item = (usize, &'a str)>, Unread> {
    let mut lines = text.split_inclusive('\n').enumerate().map(|(number, line)| (number + 1, line));
    match lines.next() {
        Some((_, first)) if first.strip_suffix('\n') == Some(head[1]) => {}
        Some((_, first)) if first.trim_end_matches('\n') == head[0] => return Err(Unread::Old),
        _ => return Err(Unread::Line(1)),
    }
    // A line without an end was cut, and whatever it says is not what was written.
    if !text.ends_with('\n') {
        return Err(Unread::Line(text.lines().count()));
    }
    Ok(lines.map(|(number, line)| (number, line.trim_end_matches('\n'))))
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
