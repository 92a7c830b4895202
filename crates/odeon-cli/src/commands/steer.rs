//! The commands that change what runs: `start`, `stop`, `restart`, `scale`, `shutdown`, `connect`.

use odeon_actor::AskError;
use odeon_core::{ActorId, Address, Refusal, Role};
use odeon_ensemble::supervisor::state::Phase;
use odeon_ensemble::supervisor::{Selection, ServerRow, SupervisorCalls};
use odeon_server::ControlCalls;
use serde_json::json;

use crate::args::Chosen;
use crate::commands::see::{full, ps_table, short};
use crate::context::{Console, Context};
use crate::error::CliError;
use crate::output::terminal_width;

pub(crate) async fn start(context: &Context, role: Role, id: &str) -> Result<(), CliError> {
    let console = context.console().await?;
    let id = context.server_id(id)?;
    let rows = console.supervisor().await?.start_server(role, id).within(context.patience()).await;
    let rows = done(context, rows)?;
    settled(context, &console, &rows)
}

pub(crate) async fn stop(context: &Context, chosen: Chosen) -> Result<(), CliError> {
    let console = context.console().await?;
    let selection = selection(context, chosen)?;
    let rows = console.supervisor().await?.stop_servers(selection).within(context.patience()).await;
    let rows = done(context, rows)?;
    show(context, &console, &rows);
    Ok(())
}

pub(crate) async fn restart(context: &Context, chosen: Chosen) -> Result<(), CliError> {
    let console = context.console().await?;
    let selection = selection(context, chosen)?;
    let rows = console.supervisor().await?.restart_servers(selection).within(context.patience()).await;
    let rows = done(context, rows)?;
    settled(context, &console, &rows)
}

pub(crate) async fn scale(context: &Context, role: Role, workers: u32) -> Result<(), CliError> {
    let console = context.console().await?;
    let rows = console.supervisor().await?.scale(role, workers).within(context.patience()).await;
    let rows = done(context, rows)?;
    settled(context, &console, &rows)
}

pub(crate) async fn shutdown(context: &Context, target: &str) -> Result<(), CliError> {
    let console = context.console().await?;
    let target = context.reference(target)?;
    let control = console.control(&target.server).await?;
    if target.actor == ActorId::SERVER {
        control.shutdown().within(console.timeout).await?;
    } else {
        control.stop_actor(target.actor.clone()).within(console.timeout).await??;
    }
    let name = short(&target, &console.domain);
    context.output().data(&json!({ "asked": full(&target) }), |_| format!("asked {name} to end"));
    Ok(())
}

pub(crate) async fn connect(
    context: &Context,
    from: &str,
    to: &str,
    addresses: Vec<Address>,
) -> Result<(), CliError> {
    let console = context.console().await?;
    let (from, to) = (context.server_id(from)?, context.server_id(to)?);
    let control = console.control(&from).await?;
    let at = control.connect(to.clone(), addresses).within(console.timeout).await??;
    let document = json!({ "from": from.to_string(), "to": to.to_string(), "address": at });
    let (from, to) = (from.short(&console.domain), to.short(&console.domain));
    context.output().data(&document, |_| format!("{from} is linked to {to} at {at}"));
    Ok(())
}

fn selection(context: &Context, chosen: Chosen) -> Result<Selection, CliError> {
    let Chosen { ids, role, within } = chosen;
    let ids = ids.iter().map(|id| context.server_id(id)).collect::<Result<_, _>>()?;
    Ok(Selection { ids, role, domain: within })
}

/// What the supervisor has answered; without an answer in time it goes on all the same.
fn done(
    context: &Context,
    answer: Result<Result<Vec<ServerRow>, Refusal>, AskError>,
) -> Result<Vec<ServerRow>, CliError> {
    match answer {
        Err(error @ AskError::Timeout { .. }) => {
            let help = format!("it goes on, see `{} ps`; wait longer with --timeout", context.name());
            Err(CliError::from(error).help(help))
        }
        answer => Ok(answer??),
    }
}

fn show(context: &Context, console: &Console, rows: &Vec<ServerRow>) {
    context.output().data(rows, |rows| ps_table(rows, &console.domain, terminal_width()));
}

/// Shows the servers; one that did not come up is an error.
fn settled(context: &Context, console: &Console, rows: &Vec<ServerRow>) -> Result<(), CliError> {
    show(context, console, rows);
    let failed: Vec<String> = rows
        .iter()
        .filter(|row| row.process.state == Phase::Failed)
        .map(|row| row.id.short(&console.domain))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(not_ready(context, &failed, ""))
}

/// These servers, one at least, did not come up; `rest` says what became of the others.
pub(crate) fn not_ready(context: &Context, failed: &[String], rest: &str) -> CliError {
    let message = format!("{} did not come up{rest}", failed.join(", "));
    CliError::failed("not-ready", message).help(format!("see `{} logs {}`", context.name(), failed[0]))
}
