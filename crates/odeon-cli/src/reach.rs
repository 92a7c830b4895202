//! Reaching a server before it is asked, so that a failure can be told in the words of the ensemble: who runs,
//! who is stopped, what was probably meant. Sockets and addresses are no help to somebody who mistyped a name.

use std::sync::PoisonError;
use std::time::Duration;

use odeon_actor::{AskError, Handle};
use odeon_core::{ActorId, Caveat, Reference, RefusalCode, ServerId, suggest};
use odeon_ensemble::registry::RegistryActor;
use odeon_ensemble::supervisor::state::Phase;
use odeon_ensemble::supervisor::{Selection, ServerRow, Supervisor, SupervisorCalls};
use odeon_server::{ConnectError, Control, Fault, LINK_CHAINS_MAX};

use crate::commands::admin::{console_key, has_console_key};
use crate::commands::grant::{kept, note_refused};
use crate::context::Console;
use crate::error::{CliError, ExitStatus};

/// How long the supervisor may take to say who runs; without an answer the error says less.
const EXPLAIN_TIMEOUT: Duration = Duration::from_secs(1);

impl Console {
    /// The supervisor's actor.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub(crate) async fn supervisor(&self) -> Result<Handle<Supervisor>, CliError> {
        self.reach(&self.supervisor_id()).await?;
        Ok(self.supervisor_unseen())
    }

    /// The registry's actor.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub(crate) async fn registry(&self) -> Result<Handle<RegistryActor>, CliError> {
        self.reach(&self.registry.id().clone()).await?;
        Ok(self.registry.handle())
    }

    /// A server's control plane.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub(crate) async fn control(&self, id: &ServerId) -> Result<Handle<Control>, CliError> {
        self.reach(id).await?;
        Ok(self.server.actor(Reference::new(id.clone(), ActorId::SERVER)))
    }

    /// Makes sure that there is a link to `id`.
    ///
    /// # Errors
    /// When there is none in time; the error says why, as the supervisor knows it.
    pub(crate) async fn reach(&self, id: &ServerId) -> Result<(), CliError> {
        let (clock, within) = (self.server.clock(), self.timeout);
        let failure = tokio::select! {
            biased;
            linked = self.link(id) => match linked {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            },
            () = clock.sleep_until(clock.now() + within) => {
                return Err(AskError::Timeout { after: within }.into());
            }
        };
        if let Some(error) = self.denied(id, &failure) {
            return Err(error);
        }
        if *id == self.supervisor_id() { Err(self.not_up()) } else { Err(self.explain(id, &failure).await) }
    }

    /// A link to `id` over which everything is presented that there is.
    async fn link(&self, id: &ServerId) -> Result<(), ConnectError> {
        let is_new = !self.server.connections().iter().any(|link| link.server == *id);
        self.server.connect(id, &[]).await?;
        let is_first = self.presented.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        if is_new || is_first {
            self.present_kept(id).await;
        }
        Ok(())
    }

    /// Presents what grants this home keeps for this user's commands: over a unix socket too, since the server may be
    /// strict. One that is refused there is no reason to ask nothing.
    async fn present_kept(&self, id: &ServerId) {
        if !has_console_key(&self.home) {
            return;
        }
        let (Ok(key), Ok(kept)) = (console_key(&self.home), kept(&self.home)) else { return };
        let own = kept.iter().filter(|kept| {
            let is_for = |caveat: &Caveat| matches!(caveat, Caveat::Servers(servers) if servers.contains(id));
            let chain = &kept.chain;
            let is_own = chain.last().holder == Some(key.public());
            is_own && chain.blocks()[0].caveats.iter().any(is_for) && kept.is_good_at(id)
        });
        for kept in own.take(LINK_CHAINS_MAX) {
            let Err(error) = self.server.admin_authorize(id, &kept.chain, &key).await else { continue };
            tracing::warn!(grant = %kept.chain.id(), %error, "a grant is not taken at {id}");
            if let AskError::Refused(refusal) = &error
                && refusal.code == RefusalCode::NotAuthorised
                && let Err(error) = note_refused(kept, id, &refusal.detail)
            {
                tracing::warn!("and it will be presented again: {}", error.message);
            }
        }
    }

    /// The error, if the two do not accept each other.
    fn denied(&self, id: &ServerId, failure: &ConnectError) -> Option<CliError> {
        let ConnectError::AllFailed { tried, .. } = failure else { return None };
        let short = id.short(&self.domain);
        let denied = |message, help: &str| {
            Some(CliError::new(ExitStatus::NotAuthorised, "not-authorised", message).help(help))
        };
        if tried.iter().any(|tried| tried.fault == Fault::Cookie) {
            let cookie = self.home.cookie();
            let message = format!(
                "{short} does not accept the cookie of {}: it was started with another one",
                cookie.display()
            );
            return denied(
                message,
                "put the ensemble's cookie back, or stop its servers and start them anew",
            );
        }
        if tried.iter().all(|tried| tried.fault == Fault::NoCertificate) {
            let message =
                format!("{short} is reached by TLS only, and this home has no console's certificate");
            return denied(
                message,
                "issue one with `ca cert console`, or bring it in the package of this host",
            );
        }
        let tried = tried.iter().find(|tried| tried.fault == Fault::Certificate)?;
        let message = format!("{short} at {}: {}", tried.address, tried.why);
        denied(message, "see the certificates with `ca view`; renew one with `ca renew`")
    }

    /// The ensemble is not up.
    fn not_up(&self) -> CliError {
        not_up(&self.program, &format!("no supervisor answers in {}", self.home.root().display()))
    }

    async fn explain(&self, id: &ServerId, failure: &ConnectError) -> CliError {
        let (short, program) = (id.short(&self.domain), &self.program);
        let rows = match self.supervisor_unseen().ps(Selection::default()).within(EXPLAIN_TIMEOUT).await {
            Ok(rows) => rows,
            // It is up and does not tell everybody what it runs: the rest can be told without.
            Err(AskError::Refused(refusal)) if refusal.code == RefusalCode::NotAuthorised => Vec::new(),
            Err(_) => return self.not_up(),
        };
        let unreachable = |message: String| CliError::new(ExitStatus::Unreachable, "unreachable", message);
        if let Some(row) = rows.iter().find(|row| row.id == *id) {
            return match row.process.state {
                Phase::Stopped | Phase::Idle => unreachable(format!("{short} is stopped"))
                    .help(format!("start it with `{program} start {} {short}`", row.role)),
                Phase::Failed => unreachable(format!("{short} has failed{}", because(row)))
                    .help(format!("see `{program} logs {short}`")),
                state => {
                    unreachable(format!("{short} is {state}{}, and cannot be reached yet", because(row)))
                        .help(format!("try again; `{program} ps {short}` shows its state"))
                }
            };
        }
        match failure {
            // The registry of the domain has been asked, or there is none: nobody knows the name.
            ConnectError::NoAddresses { .. } => {
                let error = unreachable(format!("no server {short} runs here"));
                error.help(self.meant(&short, &rows))
            }
            other => unreachable(other.to_string()),
        }
    }

    /// What a wrong name was probably meant to be.
    pub(crate) fn meant(&self, wrong: &str, rows: &[ServerRow]) -> String {
        let names: Vec<String> = rows.iter().map(|row| row.id.short(&self.domain)).collect();
        match suggest(wrong, names.iter().map(String::as_str)) {
            Some(near) => near.to_string(),
            None => format!("see `{} ps`", self.program),
        }
    }
}

/// The ensemble is not up, for this reason.
pub(crate) fn not_up(program: &str, why: &str) -> CliError {
    CliError::new(ExitStatus::Unreachable, "unreachable", format!("the ensemble is not up: {why}"))
        .help(format!("start it with `{program} up`, or say --home DIR if it is elsewhere"))
}

fn because(row: &ServerRow) -> String {
    row.process.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"))
}
