//! `ca publish`: the revocation list goes to every known server, over the links that servers trust anyhow.

use std::collections::BTreeSet;

use odeon_actor::AskError;
use odeon_auth::ca::CaFiles;
use odeon_auth::tls::BROUGHT_LIST_BYTES_MAX;
use odeon_core::{RefusalCode, ServerId};
use odeon_ensemble::registry::RegistryActorCalls as _;
use odeon_server::{Home, ListTaken};
use serde::Serialize;

use crate::context::{Console, Context};
use crate::error::CliError;

/// What became of the list at one server.
#[derive(Debug, Serialize)]
pub(crate) struct Brought {
    server: ServerId,
    outcome: Outcome,
    /// How many of its links ended by it.
    closed: u64,
    /// Why it does not have it.
    error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// It has it from now on.
    Taken,
    /// It had it.
    Known,
    /// It speaks no TLS, and looks at no list.
    NotNeeded,
    Failed,
}

pub(crate) async fn publish(context: &Context) -> Result<(), CliError> {
    let Some(home) = context.home_if_made()? else {
        let place = context.home_path_here()?;
        let message = format!("there is no revocation list in {}", place.display());
        return Err(
            CliError::failed("missing", message).help("`ca setup` makes an authority, and its first list")
        );
    };
    let brought = bring(context, &home).await?;
    context.output().data(&brought, |brought| show(brought));
    all_have_it(context, &brought)
}

/// Brings the list of this home to every known server, one after the other. One that cannot have it keeps no other from
/// it.
pub(crate) async fn bring(context: &Context, home: &Home) -> Result<Vec<Brought>, CliError> {
    let list = read(home)?;
    let console = context.console().await?;
    let mut servers: BTreeSet<ServerId> = Context::known_servers().into_iter().collect();
    match registered(&console).await {
        Ok(registered) => servers.extend(registered),
        Err(error) if servers.is_empty() => return Err(error),
        Err(error) => context
            .output()
            .progress(&format!("warning: only the known servers of odeon.toml are told: {}", error.message)),
    }
    let mut all = Vec::new();
    for server in servers {
        let taken = bring_to(&console, &server, list.clone()).await;
        all.push(outcome(server, taken));
    }
    Ok(all)
}

async fn registered(console: &Console) -> Result<Vec<ServerId>, CliError> {
    let entries = console.registry().await?.list().within(console.timeout).await?;
    Ok(entries.into_iter().map(|entry| entry.id).collect())
}

async fn bring_to(console: &Console, server: &ServerId, list: String) -> Result<Option<ListTaken>, CliError> {
    console.reach(server).await?;
    match console.server.bring_list(server, list).await {
        Ok(taken) => Ok(Some(taken)),
        Err(AskError::Refused(refusal)) if refusal.code == RefusalCode::BadRequest => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn outcome(server: ServerId, taken: Result<Option<ListTaken>, CliError>) -> Brought {
    let (outcome, closed, error) = match taken {
        Ok(Some(ListTaken { is_new: true, closed })) => (Outcome::Taken, closed, None),
        Ok(Some(_)) => (Outcome::Known, 0, None),
        Ok(None) => (Outcome::NotNeeded, 0, None),
        Err(error) => (Outcome::Failed, 0, Some(format!("{}: {}", error.code, error.message))),
    };
    Brought { server, outcome, closed, error }
}

fn read(home: &Home) -> Result<String, CliError> {
    use std::io::Read as _;
    let path = CaFiles::below(home.root()).crl();
    let unreadable = |e: std::io::Error| CliError::unreadable(&path, &e).help("`ca setup` makes one");
    let mut text = String::new();
    let file = std::fs::File::open(&path).map_err(unreadable)?;
    file.take(BROUGHT_LIST_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() > BROUGHT_LIST_BYTES_MAX {
        let message = format!(
            "{} has more than {BROUGHT_LIST_BYTES_MAX} bytes, as many as servers take",
            path.display()
        );
        return Err(CliError::failed("too-long", message).help("copy it to the other hosts by hand"));
    }
    Ok(text)
}

/// A line for each server.
pub(crate) fn show(brought: &[Brought]) -> String {
    let line = |brought: &Brought| {
        let Brought { server, outcome, closed, error } = brought;
        match (outcome, error) {
            (Outcome::Taken, _) => {
                format!("{server} has the list from now on; {closed} of its links were closed")
            }
            (Outcome::Known, _) => format!("{server} had the list already"),
            (Outcome::NotNeeded, _) => format!("{server} has no certificate, and looks at no list"),
            (Outcome::Failed, why) => format!("{server} does not have it: {}", why.as_deref().unwrap_or("-")),
        }
    };
    brought.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Fails if a server is left that does not have the list.
pub(crate) fn all_have_it(context: &Context, brought: &[Brought]) -> Result<(), CliError> {
    let without: Vec<String> = brought
        .iter()
        .filter(|brought| brought.outcome == Outcome::Failed)
        .map(|brought| brought.server.to_string())
        .collect();
    if without.is_empty() {
        return Ok(());
    }
    let message = format!("the revocation list has not reached {}", without.join(", "));
    Err(CliError::failed("not-published", message).help(format!(
        "`{} ca publish` again once they can be reached, or copy `ca/sub/crl.pem` to their home",
        context.name()
    )))
}
