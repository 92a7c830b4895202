//! Revocation lists that somebody brings: both sides.
//!
//! Who brings one does not matter: its authority has signed it. A newer one is put in the file's place and loaded, by
//! which the links of those that it revokes end. The same one again changes nothing; an older one, or one of somebody
//! else, is refused.

use odeon_actor::{AskError, Sender, message};
use odeon_auth::tls::{Brought, ListFault};
use odeon_core::{Refusal, RefusalCode, ServerId, chain};

use crate::admin::deed_of;
use crate::control::ControlTakeRevocationList;
use crate::route::unreachable;
use crate::server::Server;

/// What is audited as the capability, where a list is brought.
const DEED: &str = "revocation-list";

/// What became of a revocation list that was brought.
#[message(mark = "list-taken/1")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListTaken {
    /// Whether it is newer than what was there; else it was in use already.
    pub is_new: bool,
    /// How many links were closed by it.
    pub closed: u64,
}

/// The side that is asked.
impl Server {
    /// Takes a list in PEM, if it is newer. What was done is written down; what was in use already is no news.
    pub(crate) fn take_list(&self, sender: &Sender, list: &str) -> Result<ListTaken, Refusal> {
        // Before the links are looked at: the one by which it came may be among those that end.
        let link = self.link_of(sender).ok();
        let taken = self.check_list(list);
        let decision = match &taken {
            Ok(taken) if !taken.is_new => return Ok(taken.clone()),
            Ok(taken) => Ok(format!("its authority has signed it; {} links were closed", taken.closed)),
            Err(refusal) => Err(refusal.detail.as_str()),
        };
        if let Some((link, peer)) = link
            && let Some(rights) = link.rights()
        {
            rights.audit_for_all(&peer, &deed_of(sender, DEED), decision);
        }
        taken
    }

    fn check_list(&self, list: &str) -> Result<ListTaken, Refusal> {
        let refuse = |code, detail: String| {
            Err(Refusal::new(code, format!("the revocation list is not taken: {detail}")))
        };
        let Some((context, path)) = self.tls().and_then(|tls| Some((tls, tls.files().crl.clone()?))) else {
            let detail = format!("{} has no certificate, and so no use for it", self.id());
            return refuse(RefusalCode::BadRequest, detail);
        };
        let there = self.world().disk.read(&path).ok();
        let text = match context.judge_lists(list, there.as_deref()) {
            Ok(Brought::Known) => return Ok(ListTaken { is_new: false, closed: 0 }),
            Ok(Brought::Newer(text)) => text,
            Err(fault) => return refuse(code_of(&fault), fault.to_string()),
        };
        if let Err(error) = self.world().disk.replace(&path, text.as_bytes()) {
            return refuse(RefusalCode::Internal, format!("{} cannot be written: {error}", path.display()));
        }
        match self.reload_tls() {
            Ok(refreshed) => {
                let closed = refreshed.map_or(0, |refreshed| refreshed.closed as u64);
                tracing::info!(closed, "a newer revocation list was brought, and is in use");
                Ok(ListTaken { is_new: true, closed })
            }
            Err(error) => {
                let detail = format!("it is kept, and cannot be used: {}", chain(&error));
                Err(Refusal::new(RefusalCode::Internal, detail))
            }
        }
    }
}

const fn code_of(fault: &ListFault) -> RefusalCode {
    match fault {
        ListFault::TooLong { .. } => RefusalCode::LimitReached,
        ListFault::Malformed { .. } => RefusalCode::BadPayload,
        ListFault::Forged { .. } => RefusalCode::NotAuthorised,
        ListFault::Old { .. } => RefusalCode::StaleNumber,
        _ => RefusalCode::BadRequest,
    }
}

/// The side that asks.
impl Server {
    /// Brings a revocation list, in PEM, to another server.
    ///
    /// # Errors
    /// As the other server refuses, or when it cannot be reached.
    ///
    /// # Cancel safety
    /// Dropped half way, the list may be in use there or not; bringing it again does no harm.
    pub async fn bring_list(&self, at: &ServerId, list: String) -> Result<ListTaken, AskError> {
        let link = self.link_to(at).await.map_err(|error| AskError::from(unreachable(&error)))?;
        let list = ControlTakeRevocationList { list };
        let taken: Result<ListTaken, Refusal> =
            self.ask_over(&link, at, "server/1#take-revocation-list", list).await?;
        taken.map_err(AskError::Refused)
    }
}
