//! The commands that show something: `ps`, `status`, `ping`, `list`, `lookup`.

use odeon_actor::{AskError, Handle};
use odeon_core::{ActorId, Domain, Reference, Role, ServerId, moment};
use odeon_ensemble::registry::{Entry, Health, RegistryActorCalls};
use odeon_ensemble::supervisor::plan::StepKind;
use odeon_ensemble::supervisor::state::{Phase, ProcessStatus};
use odeon_ensemble::supervisor::{Selection, ServerRow, SupervisorCalls};
use odeon_server::{
    ActorEntry, ConnectionEntry, Control, ControlCalls, Direction, ServerStatus, all_actors, all_connections,
};
use serde_json::json;

use super::certificates;
use crate::args::{List, Select};
use crate::context::{Console, Context};
use crate::error::CliError;
use crate::output::{duration, table, terminal_width};

pub(crate) async fn ps(context: &Context, select: Select) -> Result<(), CliError> {
    let console = context.console().await?;
    let ids = select.ids.iter().map(|id| context.server_id(id)).collect::<Result<Vec<_>, _>>()?;
    let is_all = ids.is_empty() && select.role.is_none();
    let selection = Selection { ids: ids.clone(), role: select.role, domain: None };
    let supervisor = console.supervisor().await?;
    let mut rows = supervisor.ps(selection).within(console.timeout).await?;
    if let Some(missing) = ids.iter().find(|id| rows.iter().all(|row| row.id != **id)) {
        let missing = missing.short(&console.domain);
        let all = supervisor.ps(Selection::default()).within(console.timeout).await?;
        let error = CliError::failed("not-found", format!("{missing} is not supervised here"));
        return Err(error.help(console.meant(&missing, &all)));
    }
    if is_all {
        rows.insert(0, supervisor_row(&console).await?);
    }
    context.output().data(&rows, |rows| ps_table(rows, &console.domain, terminal_width()));
    certificates::warn(context, &console.home, rows.iter().map(|row| &row.id));
    Ok(())
}

/// The supervisor supervises others; its own row comes from its server.
async fn supervisor_row(console: &Console) -> Result<ServerRow, CliError> {
    let id = console.supervisor_id();
    let status = console.control(&id).await?.status().within(console.timeout).await?;
    let process = ProcessStatus {
        state: if status.ready { Phase::Ready } else { Phase::Starting },
        state_age_ms: status.uptime_ms,
        pid: i32::try_from(status.pid).ok(),
        restarts: 0,
        restart_in_ms: None,
        why: None,
        last_exit: None,
        last_lines: Vec::new(),
    };
    let role = "supervisor".parse::<Role>().expect("`supervisor` is a role name");
    Ok(ServerRow {
        id,
        role,
        process,
        uptime_ms: Some(status.uptime_ms),
        listen: Vec::new(),
        origin: StepKind::Start,
    })
}

/// A server, or an actor of it, as people write it in this domain.
pub(crate) fn short(target: &Reference, domain: &Domain) -> String {
    let server = target.server.short(domain);
    if target.actor == ActorId::SERVER { server } else { format!("{server}:{}", target.actor) }
}

/// The same for programs: the domain is always there.
pub(crate) fn full(target: &Reference) -> String {
    if target.actor == ActorId::SERVER { target.server.to_string() } else { target.to_string() }
}

/// The table of `ps`, and of every command that changes what it shows. What there is to say of single servers
/// stands below: why one waits or has failed, how the process before ended.
pub(crate) fn ps_table(rows: &[ServerRow], domain: &Domain, width: usize) -> String {
    let row = |row: &ServerRow| {
        let process = &row.process;
        let dash = || "-".to_owned();
        [
            row.id.short(domain),
            row.role.to_string(),
            process.state.to_string(),
            process.pid.map_or_else(dash, |pid| pid.to_string()),
            process.restarts.to_string(),
            row.uptime_ms.map_or_else(dash, duration),
            if row.listen.is_empty() { dash() } else { row.listen.join(" ") },
        ]
    };
    let heading = ["ID", "ROLE", "STATE", "PID", "RESTARTS", "UPTIME", "LISTEN"];
    let mut text = table(heading, rows.iter().map(row).collect(), "no servers", width);
    let mut gap = "\n";
    for (row, note) in rows.iter().filter_map(|row| Some((row, note(&row.process)?))) {
        text.push_str(&format!("{gap}\n{}: {note}", row.id.short(domain)));
        gap = "";
    }
    for failed in rows.iter().filter(|row| !row.process.last_lines.is_empty()) {
        text.push_str(&format!("\n\nlast lines of {}:", failed.id.short(domain)));
        for line in &failed.process.last_lines {
            text.push_str(&format!("\n  {line}"));
        }
    }
    text
}

fn note(process: &ProcessStatus) -> Option<String> {
    match (&process.why, process.restart_in_ms) {
        (Some(why), Some(ms)) => Some(format!("{why}; again in {}", duration(ms))),
        (Some(why), None) => Some(why.clone()),
        (None, _) => process.last_exit.as_ref().map(|exit| format!("the process before: {exit}")),
    }
}

pub(crate) async fn status(context: &Context, id: &str, metrics: bool) -> Result<(), CliError> {
    let console = context.console().await?;
    let id = context.server_id(id)?;
    let control = console.control(&id).await?;
    if metrics {
        let text = control.metrics().within(console.timeout).await?;
        context.output().data(&json!({ "metrics": text }), |_| text.trim_end().to_owned());
        return Ok(());
    }
    let status = control.status().within(console.timeout).await?;
    let mut document = json!(status);
    let end = certificates::end(&console.home, &id);
    if let (Some(end), Some(document)) = (end, document.as_object_mut()) {
        document.insert("certificate_not_after".to_owned(), json!(moment(end)));
    }
    context.output().data(&document, |_| show_status(&status, end));
    certificates::warn(context, &console.home, [&id]);
    Ok(())
}

fn show_status(status: &ServerStatus, certificate_end: Option<u64>) -> String {
    let addresses: Vec<String> = status.addresses.iter().map(ToString::to_string).collect();
    let rows = [
        ("server", status.server.to_string()),
        ("epoch", status.epoch.to_string()),
        ("pid", status.pid.to_string()),
        ("ready", if status.ready { "yes" } else { "no" }.to_owned()),
        ("uptime", duration(status.uptime_ms)),
        ("addresses", addresses.join(" ")),
        ("actors", status.actors.to_string()),
        ("links", status.links.to_string()),
        ("dead letters", status.dead_letters.to_string()),
        ("version", status.version.clone()),
    ];
    let certificate = certificate_end.map(|end| ("certificate", format!("until {}", moment(end))));
    let rows = rows.into_iter().chain(certificate);
    rows.map(|(name, value)| format!("{name:<14}{value}")).collect::<Vec<_>>().join("\n")
}

pub(crate) async fn ping(context: &Context, target: &str) -> Result<(), CliError> {
    let console = context.console().await?;
    let target = context.reference(target)?;
    console.reach(&target.server).await?;
    let clock = console.server.clock();
    let began = clock.now();
    let actor: Handle<Control> = console.server.actor(target.clone());
    let by = console.timeout;
    tokio::select! {
        biased;
        answered = actor.ping() => answered?,
        () = clock.sleep_until(began + by) => return Err(AskError::Timeout { after: by }.into()),
    }
    let micros = (clock.now() - began).as_micros();
    let document = json!({ "target": full(&target), "answer": "ok", "micros": u64::try_from(micros).ok() });
    let name = short(&target, &console.domain);
    context
        .output()
        .data(&document, |_| format!("{name} is alive ({}.{:03} ms)", micros / 1_000, micros % 1_000));
    Ok(())
}

pub(crate) async fn list(context: &Context, list: List) -> Result<(), CliError> {
    let console = context.console().await?;
    let (output, timeout) = (context.output(), console.timeout);
    match list {
        List::Servers => {
            let entries = console.registry().await?.list().within(timeout).await?;
            output.data(&entries, |entries| show_entries(entries, &console.domain));
        }
        List::Actors { id } => {
            let id = context.server_id(&id)?;
            let actors = all_actors(&console.control(&id).await?, timeout).await?;
            output.data(&actors, |actors| show_actors(actors));
        }
        List::Connections { id } => {
            let id = context.server_id(&id)?;
            let links = all_connections(&console.control(&id).await?, timeout).await?;
            output.data(&links, |links| show_connections(links));
        }
    }
    Ok(())
}

fn show_actors(actors: &[ActorEntry]) -> String {
    let row = |actor: &ActorEntry| {
        let protocol = actor.protocol.clone().unwrap_or_else(|| "-".to_owned());
        [actor.name.clone(), actor.number.to_string(), protocol, actor.depth.to_string(), actor.kind.clone()]
    };
    let heading = ["NAME", "NUMBER", "PROTOCOL", "WAITING", "TYPE"];
    table(heading, actors.iter().map(row).collect(), "no registered actors", terminal_width())
}

fn show_connections(links: &[ConnectionEntry]) -> String {
    let row = |link: &ConnectionEntry| {
        let direction = match link.direction {
            Direction::Outgoing => "out",
            Direction::Incoming => "in",
        };
        let capabilities =
            if link.capabilities.is_empty() { "-".to_owned() } else { link.capabilities.join(" ") };
        let (server, asks) = (link.server.to_string(), link.open_asks.to_string());
        let via = link.transport.to_string();
        [server, link.epoch.to_string(), direction.to_owned(), via, asks, capabilities, link.remote.clone()]
    };
    let heading = ["SERVER", "EPOCH", "DIRECTION", "VIA", "OPEN ASKS", "MAY", "REMOTE"];
    table(heading, links.iter().map(row).collect(), "no links", terminal_width())
}

fn show_entries(entries: &[Entry], domain: &Domain) -> String {
    let row = |entry: &Entry| {
        let health = match entry.health {
            Health::Alive => "alive",
            Health::Dead => "dead",
        };
        let join = |parts: Vec<String>| if parts.is_empty() { "-".to_owned() } else { parts.join(" ") };
        [
            entry.id.short(domain),
            join(entry.roles.iter().map(ToString::to_string).collect()),
            health.to_owned(),
            entry.epoch.to_string(),
            join(entry.addresses.iter().map(ToString::to_string).collect()),
        ]
    };
    table(
        ["ID", "ROLES", "HEALTH", "EPOCH", "ADDRESSES"],
        entries.iter().map(row).collect(),
        "no servers",
        terminal_width(),
    )
}

pub(crate) async fn lookup(
    context: &Context,
    id: Option<String>,
    role: Option<Role>,
) -> Result<(), CliError> {
    let console = context.console().await?;
    let registry = console.registry().await?;
    let entries = match (id, role) {
        (Some(id), _) => {
            let id: ServerId = context.server_id(&id)?;
            vec![registry.lookup(id).within(console.timeout).await??]
        }
        (None, Some(role)) => {
            let entries = registry.lookup_role(role.clone()).within(console.timeout).await?;
            if entries.is_empty() {
                let message = format!("no living server of role {role}");
                let help = format!("see `{} list servers`", context.name());
                return Err(CliError::failed("not-found", message).help(help));
            }
            entries
        }
        (None, None) => return Err(CliError::usage("name a server or a role")),
    };
    context.output().data(&entries, |entries| show_entries(entries, &console.domain));
    Ok(())
}
