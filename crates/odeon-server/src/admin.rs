//! Presenting, listing and retracting grants: both sides.
//!
//! Who presents a chain gets a challenge, and answers it with the key of the chain's holder; the right is then theirs
//! as long as the link lasts. An answer with the key that signed the last block presents the chain for its grantee,
//! who then holds it over every link, until it ends or is retracted.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use odeon_actor::{AskError, Deed, Peer, Sender, message};
use odeon_auth::{
    CHALLENGE_BYTES, GrantChain, GrantError, GrantId, GrantKey, GrantQuestion, PublicKey, Signature,
};
use odeon_core::{
    Encoding, ExitReason, Reference, Refusal, RefusalCode, Right, ServerId, chain, decode, from_hex, to_hex,
};

use crate::authority::AdminKey;
use crate::control::{ControlAnswerChallenge, ControlPresentGrant, ControlRetractGrants};
use crate::grants::{By, NotTaken, Retracted, Unread};
use crate::link::{Link, Unsent};
use crate::os::blocking;
use crate::route::{control_call, unreachable};
use crate::server::{Server, StartError};

/// What is audited as the capability, where a grant is presented or retracted.
const DEED: &str = "grant";

/// The files of a server's directory in which grants outlast it.
const RETRACTIONS_FILE: &str = "retractions";
const DELEGATED_FILE: &str = "delegated";

/// What is to be retracted.
#[message(mark = "retract/1")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Retract {
    /// Every grant that this id is part of.
    Grant(String),
    /// Every grant for this server, and what it has passed on, as far as they were made until now.
    Grantee(ServerId),
}

impl fmt::Display for Retract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant(id) => write!(f, "grant {id}"),
            Self::Grantee(grantee) => write!(f, "the grants of {grantee}"),
        }
    }
}

/// What is known of the files of grants, and whose turn it is at them. Whoever waits for a turn holds no thread, so
/// that a disk that hangs has one thread and not all of them.
#[derive(Debug, Default)]
pub(crate) struct GrantFiles {
    /// Whether what others have presented to an earlier incarnation is in the table.
    is_delegated_read: AtomicBool,
    /// Held by whoever changes what is kept, to the end of its writing.
    writing: tokio::sync::Mutex<()>,
    /// Held by whoever reads the admin key: nobody who does waits for what is written.
    reading: tokio::sync::Mutex<()>,
}

impl GrantFiles {
    fn is_delegated_read(&self) -> bool {
        self.is_delegated_read.load(Ordering::Acquire)
    }
}

/// A page of a list of grants.
#[message(mark = "grant-page/1")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantPage {
    /// The grants, by id.
    pub grants: Vec<GrantEntry>,
    /// After which id the next page begins; none on the last.
    pub next: Option<String>,
}

/// One grant that counts at a server.
#[message(mark = "grant-entry/1")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantEntry {
    /// Its id: that of its last block.
    pub id: String,
    /// Whom it is for; whoever has its key, if it does not say.
    pub grantee: Option<ServerId>,
    /// Whether somebody else has presented it.
    pub delegated: bool,
    /// What it allows.
    pub right: Right,
}

impl GrantEntry {
    fn of(chain: &GrantChain, delegated: bool) -> Self {
        let grantee = chain.last().grantee.clone();
        Self { id: chain.id().to_string(), grantee, delegated, right: chain.right(delegated) }
    }
}

fn refuse<T>(code: RefusalCode, detail: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(code, detail))
}

fn not_authorised<T>(detail: impl Into<String>) -> Result<T, Refusal> {
    refuse(RefusalCode::NotAuthorised, detail)
}

/// The side that is asked.
impl Server {
    /// What was kept of an earlier incarnation.
    pub(crate) fn load_grants(&self) -> Result<(), StartError> {
        let Some(directory) = &self.authority().directory else { return Ok(()) };
        let retractions = directory.join(RETRACTIONS_FILE);
        if let Some(text) = self.read_text(&retractions)? {
            self.grants().read_retractions(&text).map_err(|unread| match unread {
                Unread::Line(line) => StartError::Retractions { path: retractions.clone(), line },
                Unread::Old => StartError::OldGrants {
                    path: retractions.clone(),
                    again: "retract again what was, if it was issued again",
                },
            })?;
        }
        self.load_delegated()
    }

    /// Takes in what others have presented to an earlier incarnation, unless that is done. Without the admin key it
    /// cannot be: then the file stays as it is, and with the next grant that is presented it is tried again.
    fn load_delegated(&self) -> Result<(), StartError> {
        let files = self.grant_files();
        let Some(directory) = self.authority().directory.as_ref().filter(|_| !files.is_delegated_read())
        else {
            return Ok(());
        };
        let path = directory.join(DELEGATED_FILE);
        if let Some(text) = self.read_text(&path)? {
            let admin = match self.read_admin_key() {
                Ok(admin) => admin,
                Err(why) => {
                    tracing::warn!(
                        "the grants in {} count for nothing as yet: {}",
                        path.display(),
                        why.detail
                    );
                    return Ok(());
                }
            };
            let read = self.grants().read_delegated(&text, &admin, self.clock().unix_ms());
            read.map_err(|unread| match unread {
                Unread::Line(line) => StartError::Delegated { path, line },
                Unread::Old => {
                    StartError::OldGrants { path, again: "issue and authorise again what is needed" }
                }
            })?;
        }
        files.is_delegated_read.store(true, Ordering::Release);
        Ok(())
    }

    fn read_text(&self, path: &Path) -> Result<Option<String>, StartError> {
        let source = match self.world().disk.read(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => return Ok(Some(text)),
                Err(error) => io::Error::new(io::ErrorKind::InvalidData, error),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => error,
        };
        Err(StartError::Grants { path: path.into(), source })
    }

    /// The same while the server runs. Only as long as it is not done is there anything to wait for.
    async fn delegated_loaded(&self) -> Result<(), Refusal> {
        let files = self.grant_files();
        if files.is_delegated_read() || self.authority().directory.is_none() {
            return Ok(());
        }
        let _turn = files.writing.lock().await;
        blocking(|| self.load_delegated()).map_err(|error| Refusal::new(RefusalCode::Internal, chain(&error)))
    }

    /// Writes a file of grants. The table is not locked meanwhile: whoever asks for a right would wait for the disk.
    fn keep(&self, name: &str, text: &str) -> Result<(), Refusal> {
        let Some(directory) = &self.authority().directory else { return Ok(()) };
        let path = directory.join(name);
        self.world().disk.replace(&path, text.as_bytes()).map_err(|error| {
            let detail = format!("{} cannot be written: {error}", path.display());
            Refusal::new(RefusalCode::Internal, detail)
        })
    }

    /// Keeps what a retraction has changed. It counts already, whether it can be kept or not.
    async fn keep_retracted(&self) -> Result<(), Refusal> {
        let _turn = self.grant_files().writing.lock().await;
        let (unsaved, retractions, delegated) = {
            let mut grants = self.grants();
            let unsaved = grants.take_unsaved();
            let retractions = unsaved.retractions.then(|| grants.retractions_text());
            let delegated = unsaved.delegated.then(|| grants.delegated_text());
            (unsaved, retractions, delegated)
        };
        let write = |name, text: Option<String>| text.map_or(Ok(()), |text| self.keep(name, &text));
        blocking(|| write(RETRACTIONS_FILE, retractions).and_then(|()| write(DELEGATED_FILE, delegated)))
            .inspect_err(|_| self.grants().still_unsaved(unsaved))
    }

    /// A grantee holds a chain from now on; not before that is kept, for else it would end with the process.
    async fn delegate(&self, grantee: &ServerId, chain: GrantChain) -> Result<(), Refusal> {
        self.delegated_loaded().await?;
        let files = self.grant_files();
        let _turn = files.writing.lock().await;
        if self.authority().directory.is_some() && !files.is_delegated_read() {
            return refuse(
                RefusalCode::Internal,
                "what was granted before cannot be read, and would be lost",
            );
        }
        let now_ms = self.clock().unix_ms();
        let text = self.grants().delegated_text_with(grantee, &chain, now_ms).map_err(not_taken)?;
        blocking(|| self.keep(DELEGATED_FILE, &text))?;
        self.grants().delegate(grantee, chain, now_ms).map_err(not_taken)
    }

    /// The ensemble's admin key.
    async fn admin_key(&self) -> Result<PublicKey, Refusal> {
        if let AdminKey::Known(key) = &self.authority().admin {
            return Ok(*key);
        }
        let _turn = self.grant_files().reading.lock().await;
        blocking(|| self.read_admin_key())
    }

    fn read_admin_key(&self) -> Result<PublicKey, Refusal> {
        let path = match &self.authority().admin {
            AdminKey::None => {
                return refuse(RefusalCode::NotFound, format!("{} has no admin key", self.id()));
            }
            AdminKey::Known(key) => return Ok(*key),
            AdminKey::File(path) => path,
        };
        match self.world().disk.read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let detail = format!("{} has no admin key: `admin keys` makes one", self.id());
                refuse(RefusalCode::NotFound, detail)
            }
            Err(error) => {
                refuse(RefusalCode::Internal, format!("{} cannot be read: {error}", path.display()))
            }
            Ok(bytes) => str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()).map_or_else(
                || refuse(RefusalCode::Internal, format!("{} is not an admin key", path.display())),
                Ok,
            ),
        }
    }

    /// The link by which a message came, and its peer.
    pub(crate) fn link_of(&self, sender: &Sender) -> Result<(Arc<Link>, Arc<Peer>), Refusal> {
        let Sender::Remote(remote) = sender else {
            return refuse(
                RefusalCode::BadRequest,
                "code of this process may do everything and presents nothing",
            );
        };
        let is_it = |link: &&Arc<Link>| link.peer().is_some_and(|peer| Arc::ptr_eq(peer, &remote.peer));
        let link = self.peers().of(&remote.peer.server).iter().find(is_it).cloned();
        match link {
            Some(link) => Ok((link, Arc::clone(&remote.peer))),
            None => refuse(RefusalCode::BadRequest, "the link is over by which this came"),
        }
    }

    /// Looks at a chain that somebody presents, and asks them to prove its key.
    pub(crate) async fn present(&self, sender: &Sender, grant: &str) -> Result<String, Refusal> {
        let (link, peer) = self.link_of(sender)?;
        let presented = self.check_presented(&link, grant).await;
        if let (Some(rights), Err(refusal)) = (link.rights(), &presented) {
            rights.audit(&peer, &deed(sender), Err(&refusal.detail));
        }
        presented
    }

    async fn check_presented(&self, link: &Link, grant: &str) -> Result<String, Refusal> {
        let admin = self.admin_key().await?;
        self.delegated_loaded().await?;
        let chain = GrantChain::from_text(grant, &admin).map_err(|error| grant_refusal(&error))?;
        self.grants().check(&chain, self.clock().unix_ms()).map_err(not_taken)?;
        let challenge: [u8; CHALLENGE_BYTES] = self.nonce();
        self.grants().challenge(link.number, chain, challenge, self.clock().now());
        Ok(to_hex(&challenge))
    }

    /// Takes the answer to a challenge, which is used up by it.
    pub(crate) async fn take_answer(
        &self,
        sender: &Sender,
        challenge: &str,
        signature: &str,
    ) -> Result<GrantEntry, Refusal> {
        let (link, peer) = self.link_of(sender)?;
        let taken = self.check_answer(&link, &peer, challenge, signature).await;
        if let Some(rights) = link.rights() {
            let decision = taken.as_ref().map(|entry| &entry.right.origin);
            rights.audit(&peer, &deed(sender), decision.map_err(|refusal| refusal.detail.as_str()));
        }
        taken
    }

    async fn check_answer(
        &self,
        link: &Arc<Link>,
        peer: &Peer,
        challenge: &str,
        signature: &str,
    ) -> Result<GrantEntry, Refusal> {
        let (Some(challenge), Ok(signature)) = (challenge_of(challenge), signature.parse::<Signature>())
        else {
            return refuse(
                RefusalCode::BadPayload,
                "challenge and signature are 32 and 64 bytes in hexadecimal",
            );
        };
        let asked = self.grants().answer(link.number, &challenge, self.clock().now());
        let Some(chain) = asked else {
            return not_authorised(
                "there is no such challenge on this link: it was answered, or is older than 30 s",
            );
        };
        let Some(transcript) = link.transcript() else {
            return refuse(RefusalCode::Internal, "the link has no transcript to bind an answer to");
        };
        let question = GrantQuestion {
            server: self.id(),
            peer: &peer.server,
            epoch: peer.epoch,
            link: &transcript,
            challenge: &challenge,
            chain: &chain,
        };
        let last = chain.last();
        let is_holders = last.holder.is_some_and(|holder| question.is_answered(&holder, &signature));
        if is_holders && last.grantee.as_ref().is_none_or(|grantee| *grantee == peer.server) {
            let entry = GrantEntry::of(&chain, false);
            self.grants().hold(link.number, chain, self.clock().unix_ms()).map_err(not_taken)?;
            return Ok(entry);
        }
        let is_issuers = question.is_answered(&chain.issuer(), &signature);
        match last.grantee.clone() {
            Some(grantee) if is_issuers => {
                let entry = GrantEntry::of(&chain, true);
                self.delegate(&grantee, chain).await?;
                Ok(entry)
            }
            Some(grantee) if is_holders => {
                not_authorised(format!("the grant is for {grantee}, and this link is {}'s", peer.server))
            }
            _ => not_authorised("the challenge is not answered with the key of the grant's holder or maker"),
        }
    }

    /// Retracts grants; returns how many that counted here do no longer. Who may not is told so before anything is
    /// waited for; and what is retracted counts no longer, however long it takes to keep that.
    pub(crate) async fn retract(&self, sender: &Sender, what: &Retract) -> Result<u64, Refusal> {
        let parsed = match what {
            Retract::Grant(id) => id.parse::<GrantId>().map(Retracted::Grant).map_err(|()| {
                Refusal::new(
                    RefusalCode::BadPayload,
                    format!("`{id}` is not the id of a grant: expected 32 digits"),
                )
            })?,
            Retract::Grantee(grantee) => Retracted::Grantee(grantee),
        };
        let is_own = sender.server().is_some_and(|server| self.grants().is_own(server, parsed));
        if !is_own {
            sender.require("admin")?;
        }
        self.delegated_loaded().await?;
        let by = if is_own { By::Grantee } else { By::Admin };
        let retracted = self.grants().retract(parsed, by, self.clock().unix_ms()).map_err(not_taken);
        let retracted = match retracted {
            Ok(count) => self.keep_retracted().await.map(|()| count as u64),
            Err(refusal) => Err(refusal),
        };
        if is_own
            && let Ok((link, peer)) = self.link_of(sender)
            && let Some(rights) = link.rights()
        {
            let (deed, outcome) =
                (deed(sender), retracted.as_ref().map_err(|refusal| refusal.detail.as_str()));
            rights.audit_own(&peer, &deed, outcome.map(|_| what.to_string()));
        }
        retracted
    }

    /// A page of the grants that count now, by id: those after one, at most of so many ids. After what is no id there
    /// are none.
    pub(crate) fn grants_after(&self, after: Option<&str>, most: usize) -> GrantPage {
        let after = match after.map(str::parse::<GrantId>) {
            None => None,
            Some(Ok(after)) => Some(after),
            Some(Err(())) => return GrantPage { grants: Vec::new(), next: None },
        };
        let grants = self.grants();
        let (listed, is_more) = grants.list(self.clock().unix_ms(), after, most);
        let listed = listed.into_values().flatten();
        let entries: Vec<_> =
            listed.map(|(chain, is_delegated)| GrantEntry::of(chain, is_delegated)).collect();
        drop(grants);
        let next = if is_more { entries.last().map(|last| last.id.clone()) } else { None };
        GrantPage { grants: entries, next }
    }
}

/// Presenting or retracting, as the audit log calls it.
fn deed(sender: &Sender) -> Deed<'_> {
    deed_of(sender, DEED)
}

/// What a message does, as the audit log calls it.
pub(crate) fn deed_of<'a>(sender: &'a Sender, capability: &'a str) -> Deed<'a> {
    let message = match sender {
        Sender::Remote(remote) => remote.message(),
        _ => None,
    };
    Deed { capability, message, path: None }
}

fn grant_refusal(error: &GrantError) -> Refusal {
    let code = match error {
        GrantError::TooLong { .. } | GrantError::Blocks { .. } => RefusalCode::LimitReached,
        GrantError::Malformed | GrantError::Old => RefusalCode::BadPayload,
        _ => RefusalCode::NotAuthorised,
    };
    Refusal::new(code, error.to_string())
}

fn not_taken(why: NotTaken) -> Refusal {
    let code = match why {
        NotTaken::Retracted | NotTaken::Expired => RefusalCode::NotAuthorised,
        // It will count once the clocks are right.
        NotTaken::FromTheFuture => RefusalCode::BadRequest,
        NotTaken::LinkFull | NotTaken::DelegatedFull | NotTaken::RetractionsFull => RefusalCode::LimitReached,
    };
    Refusal::new(code, why.to_string())
}

/// The side that asks.
impl Server {
    /// Presents a grant at another server and answers its challenge with `key`: the key of the grant's holder, for
    /// this server to hold it there as long as the link lasts; or the key that made the grant, for its grantee to hold
    /// it until it ends or is retracted.
    ///
    /// # Errors
    /// As the other server refuses, or when it cannot be reached.
    ///
    /// # Cancel safety
    /// Dropped half way, the grant may count or not; presenting it again does no harm.
    pub async fn admin_authorize(
        &self,
        at: &ServerId,
        grant: &GrantChain,
        key: &GrantKey,
    ) -> Result<GrantEntry, AskError> {
        // Question and answer belong to one link.
        let link = self.link_to(at).await.map_err(|error| AskError::from(unreachable(&error)))?;
        let present = ControlPresentGrant { grant: grant.to_text() };
        let challenge: Result<String, Refusal> =
            self.ask_over(&link, at, "server/1#present-grant", present).await?;
        let text = challenge.map_err(AskError::Refused)?;
        let internal = |detail: &str| AskError::Refused(Refusal::new(RefusalCode::Internal, detail));
        let challenge = challenge_of(&text).ok_or_else(|| internal("the challenge is not 32 bytes"))?;
        let transcript = link.transcript().ok_or_else(|| internal("the link has no transcript"))?;
        let question = GrantQuestion {
            server: at,
            peer: self.id(),
            epoch: self.epoch(),
            link: &transcript,
            challenge: &challenge,
            chain: grant,
        };
        let answer = ControlAnswerChallenge { challenge: text, signature: question.answer(key).to_string() };
        let taken: Result<GrantEntry, Refusal> =
            self.ask_over(&link, at, "server/1#answer-challenge", answer).await?;
        taken.map_err(AskError::Refused)
    }

    /// Retracts grants at another server; returns how many that counted there do no longer. What is one's own may
    /// always be retracted; else it takes `admin` there.
    ///
    /// # Errors
    /// As the other server refuses, or when it cannot be reached.
    pub async fn admin_retract(&self, at: &ServerId, what: Retract) -> Result<u64, AskError> {
        let link = self.link_to(at).await.map_err(|error| AskError::from(unreachable(&error)))?;
        let what = ControlRetractGrants { what };
        let retracted: Result<u64, Refusal> =
            self.ask_over(&link, at, "server/1#retract-grants", what).await?;
        retracted.map_err(AskError::Refused)
    }

    pub(crate) async fn ask_over<Q, R>(
        &self,
        link: &Arc<Link>,
        at: &ServerId,
        mark: &'static str,
        arguments: Q,
    ) -> Result<R, AskError>
    where
        Q: serde::Serialize + Send + Sync + 'static,
        R: serde::de::DeserializeOwned,
    {
        let call = control_call(&Reference::new(at.clone(), odeon_core::ActorId::SERVER), mark, arguments);
        let patience = self.system().reply_timeout();
        let until = self.clock().now() + patience;
        let (encoding, bytes): (Encoding, Vec<u8>) = tokio::select! {
            biased;
            answer = async { link.ask(&call).await?.await.map_err(Unsent::Failed) } => {
                answer.map_err(|unsent| match unsent {
                    // Another link would be another challenge.
                    Unsent::Over => AskError::Dead(ExitReason::LinkLost("the link has ended".to_owned())),
                    Unsent::Failed(error) => error,
                })?
            }
            () = self.clock().sleep_until(until) => return Err(AskError::Timeout { after: patience }),
        };
        Ok(decode(encoding, &bytes)?)
    }
}

fn challenge_of(text: &str) -> Option<[u8; CHALLENGE_BYTES]> {
    from_hex(text)?.try_into().ok()
}
