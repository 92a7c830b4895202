//! `up` and `down`: the whole ensemble.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use odeon_actor::Handle;
use odeon_auth::{Cookie, CookieError, Existing};
use odeon_core::{Domain, ServerId};
use odeon_ensemble::config::Ensemble;
use odeon_ensemble::process::logs::tail;
use odeon_ensemble::supervisor::plan::StepKind;
use odeon_ensemble::supervisor::state::Phase;
use odeon_ensemble::supervisor::{
    EventHook, Program as Supervised, Selection, ServerRow, Supervision, Supervisor, SupervisorCalls,
    SupervisorConfig, SupervisorError, SupervisorEvent, supervisor_id,
};
use odeon_server::{Home, OsRng};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Up;
use crate::commands::config::{load, no_file};
use crate::commands::see::ps_table;
use crate::commands::steer::not_ready;
use crate::context::{Context, FILE};
use crate::error::{CliError, ExitStatus};
use crate::output::{Output, terminal_width};

/// Pause between two looks at an ensemble that is coming up.
const LOOK: Duration = Duration::from_millis(20);

/// How long a supervisor in the background may say nothing, or take to end.
const SUPERVISOR_TIMEOUT: Duration = Duration::from_secs(10);

/// Size at which a supervisor's log is set aside when it starts, in bytes. It has a line per change of a server.
const SUPERVISOR_LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// Lines shown of a supervisor that ended at once.
const EARLY_LINES: usize = 20;

/// How long `down` may take: every server's grace, one wave after the other.
const DOWN_TIMEOUT: Duration = Duration::from_secs(600);

/// What `up` works on.
struct Project {
    directory: PathBuf,
    ensemble: Ensemble,
    home: Home,
}

impl Project {
    fn open(context: &Context, dir: Option<&Path>) -> Result<Self, CliError> {
        let directory = match dir {
            Some(dir) => dir.to_owned(),
            None => Context::project().ok_or_else(no_file)?,
        };
        // Everything is checked before anything is made or started.
        let ensemble = load(context, &directory.join(FILE))?;
        let directory = directory.canonicalize().map_err(|e| CliError::of("directory", &e))?;
        let home = context.home_of(Some(&directory))?;
        match Cookie::create(&home.cookie(), &OsRng, Existing::Keep) {
            Ok(_) | Err(CookieError::Exists { .. }) => {}
            Err(error) => return Err(CliError::of("cookie", &error)),
        }
        Ok(Self { directory, ensemble, home })
    }

    fn supervised(&self) -> Result<Supervised, CliError> {
        let exe = std::env::current_exe().map_err(|e| CliError::of("executable", &e))?;
        Ok(Supervised { exe, directory: self.directory.clone() })
    }
}

pub(crate) async fn up(context: &Context, up: Up) -> Result<(), CliError> {
    let project = Project::open(context, up.dir.as_deref())?;
    if up.detach { detach(context, &project).await } else { foreground(context, project, Shown::Here).await }
}

pub(crate) async fn supervisor(
    context: &Context,
    dir: Option<PathBuf>,
    is_reporting: bool,
) -> Result<(), CliError> {
    // Away from the terminal that started it. One that leads its group already is away.
    let _ = rustix::process::setsid();
    let shown = if is_reporting {
        Shown::To(given_socket().map_err(|e| CliError::of("supervisor", &e))?)
    } else {
        Shown::Nowhere
    };
    foreground(context, Project::open(context, dir.as_deref())?, shown).await
}

/// Who sees how the servers come up.
enum Shown {
    /// Whoever looks at this process.
    Here,
    /// Who has started it in the background.
    To(UnixStream),
    Nowhere,
}

/// Runs the supervisor in this process until it has gone down: by `down`, SIGINT or SIGTERM.
async fn foreground(context: &Context, project: Project, shown: Shown) -> Result<(), CliError> {
    let domain = project.ensemble.domain.clone();
    let output = context.output();
    let on_event: EventHook = if matches!(shown, Shown::Here) {
        Arc::new(move |event| show_event(output, &domain, event))
    } else {
        Arc::new(|event| tracing::info!("{}", describe(event, &Domain::root())))
    };
    let program = project.supervised()?;
    let Project { ensemble, home, .. } = project;
    let expected = server_count(&ensemble);
    let config = SupervisorConfig { ensemble, home, program, on_event };
    // Caught before anything starts, so that an early Ctrl-C leaves nothing behind either.
    let failed = |e: std::io::Error| CliError::of("signals", &e);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    // What it means is the supervisor's business: one that comes before there is a supervisor ends nobody either.
    let _hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let supervision = Supervision::start(config).await.map_err(|error| start_error(context, &error))?;
    let supervisor = supervision.handle().clone();
    let ends = async {
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        output.progress("going down; once more leaves the servers running");
        let down = supervisor.down().within(DOWN_TIMEOUT);
        tokio::select! {
            biased;
            _ = interrupt.recv() => std::process::ExitCode::FAILURE,
            _ = down => {
                // The supervisor ends by itself now.
                std::future::pending::<()>().await;
                std::process::ExitCode::SUCCESS
            }
        }
    };
    let all_ready = async {
        match shown {
            Shown::Here => announce(output, &supervisor, expected).await,
            Shown::To(socket) => report(&supervisor, socket).await,
            Shown::Nowhere => {}
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = supervision.finished() => {
            output.progress("down");
            Ok(())
        }
        _ = ends => Err(CliError::failed("interrupted", "the supervisor was interrupted; its servers run on")
            .help(format!("`{} up` takes them over again", context.name()))),
        () = all_ready => Ok(()),
    }
}

/// How many servers the supervisor has, the registry included if it is one of them.
fn server_count(ensemble: &Ensemble) -> usize {
    ensemble.servers().len() + usize::from(!ensemble.registry.elsewhere)
}

/// Says once that everything is up, with the addresses for clients.
async fn announce(output: Output, supervisor: &Handle<Supervisor>, expected: usize) {
    loop {
        if let Ok(rows) = supervisor.ps(Selection::default()).await
            && rows.len() >= expected
            && rows.iter().all(|row| row.process.state == Phase::Ready)
        {
            if output.json {
                output.event(&json!({ "event": "up", "listen": listens(&rows) }), |_| String::new());
            } else {
                output.progress(&format!("\n{}\n", up_line(&rows)));
            }
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn listens(rows: &[ServerRow]) -> Vec<String> {
    let listens: BTreeSet<String> = rows.iter().flat_map(|row| row.listen.clone()).collect();
    listens.into_iter().collect()
}

/// What the person who typed `up` was waiting for.
fn up_line(rows: &[ServerRow]) -> String {
    // What is spoken there, nobody here knows.
    let urls: Vec<String> =
        listens(rows).iter().map(|listen| listen.trim_start_matches("tcp:").to_owned()).collect();
    let at = if urls.is_empty() { String::new() } else { format!(", at {}", urls.join(" ")) };
    format!("up: {} servers{at}", rows.len() + 1)
}

fn start_error(context: &Context, error: &SupervisorError) -> CliError {
    let failed = CliError::of("supervisor", error);
    match error {
        SupervisorError::Claim(odeon_server::ClaimError::Held { .. }) => CliError {
            code: "already-up".to_owned(),
            ..failed.help(format!("see `{0} ps`; stop it with `{0} down`", context.name()))
        },
        SupervisorError::Listen { .. } => {
            failed.help("choose another address in odeon.toml, or stop what uses this one")
        }
        _ => failed,
    }
}

fn show_event(output: Output, domain: &Domain, event: &SupervisorEvent) {
    if output.json {
        output.event(&event_json(event), |_| String::new());
    } else {
        let text = describe(event, domain);
        if !text.is_empty() {
            output.progress(&text);
        }
    }
}

fn event_json(event: &SupervisorEvent) -> serde_json::Value {
    match event {
        SupervisorEvent::Planned(plan) => json!({ "event": "planned", "plan": plan }),
        SupervisorEvent::Adopted { id, pid } => json!({ "event": "adopted", "id": id, "pid": pid }),
        SupervisorEvent::Changed { id, change, pid } => json!({
            "event": "changed", "id": id, "from": change.from, "to": change.to.phase(), "pid": pid,
            "why": change.to.why().map(ToString::to_string), "exit": change.exit.as_ref().map(ToString::to_string),
        }),
    }
}

/// An event as a line for people.
fn describe(event: &SupervisorEvent, domain: &Domain) -> String {
    match event {
        SupervisorEvent::Planned(plan) if plan.steps().all(|step| step.kind == StepKind::Start) => {
            format!("starting {} servers", plan.steps().count())
        }
        SupervisorEvent::Planned(plan) => plan.to_string(),
        SupervisorEvent::Adopted { id, pid } => format!("{:<12} adopted   pid {pid}", id.short(domain)),
        SupervisorEvent::Changed { id, change, pid } => {
            let pid = pid.map_or_else(String::new, |pid| format!("pid {pid}"));
            let why = match (change.to.why(), &change.exit) {
                (Some(why), _) => why.to_string(),
                (None, Some(exit)) => exit.to_string(),
                (None, None) => pid,
            };
            let state = match (change.to.phase(), &change.exit) {
                (Phase::Starting, Some(_)) => "restarts".to_owned(),
                (state, _) => state.to_string(),
            };
            format!("{:<12} {state:<9} {why}", id.short(domain)).trim_end().to_owned()
        }
    }
}

/// Starts a supervisor in the background and returns when every server is ready.
///
/// It has no shim of its own: a shim ends with all that its child has started, and a supervisor's servers are to
/// outlive it.
async fn detach(context: &Context, project: &Project) -> Result<(), CliError> {
    let id = supervisor_id(&project.ensemble.domain);
    // Asked here, since the answer of a process in the background would stand in its log.
    drop(project.home.claim(&id).map_err(|error| start_error(context, &SupervisorError::Claim(error)))?);
    let log = project.home.server(&id).join("log");
    let told = spawn_supervisor(project, &log).map_err(|e| CliError::of("supervisor", &e))?;
    come_up(context, project, told, &log).await
}

/// Starts it; what it tells comes out of the socket.
#[expect(clippy::disallowed_methods, reason = "the supervisor is the one process that has no shim")]
fn spawn_supervisor(project: &Project, log: &Path) -> std::io::Result<UnixStream> {
    std::fs::create_dir_all(log)?;
    let path = log.join("server.log");
    if path.metadata().is_ok_and(|file| file.len() > SUPERVISOR_LOG_BYTES_MAX) {
        std::fs::rename(&path, log.join("server.log.1"))?;
    }
    let output = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    let (ours, its) = UnixStream::pair()?;
    let its = its.into_std()?;
    its.set_nonblocking(false)?;
    std::process::Command::new(std::env::current_exe()?)
        .arg("--home")
        .arg(project.home.root())
        .args(["supervisor", "--report"])
        .arg(&project.directory)
        .current_dir(&project.directory)
        .stdin(OwnedFd::from(its))
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    Ok(ours)
}

fn ended_early(log: &Path) -> CliError {
    let mut message = "the supervisor ended before everything was up; its last lines:".to_owned();
    for line in tail(log, EARLY_LINES).unwrap_or_default() {
        message.push_str("\n  ");
        message.push_str(&line);
    }
    CliError::failed("supervisor", message)
}

/// Shows each server becoming ready, until all are, or one has failed.
async fn come_up(context: &Context, project: &Project, told: UnixStream, log: &Path) -> Result<(), CliError> {
    let (output, domain) = (context.output(), &project.ensemble.domain);
    let expected = server_count(&project.ensemble);
    let mut told = BufReader::new(told).lines();
    let mut shown: BTreeMap<ServerId, Phase> = BTreeMap::new();
    loop {
        let line = tokio::time::timeout(SUPERVISOR_TIMEOUT, told.next_line()).await.map_err(|_| {
            let message = format!("the supervisor has said nothing for {} s", SUPERVISOR_TIMEOUT.as_secs());
            CliError::new(ExitStatus::TimedOut, "timed-out", message).help("see `logs supervisor`")
        })?;
        // Its end of the socket is open as long as it lives.
        let Ok(Some(line)) = line else { return Err(ended_early(log)) };
        let rows: Vec<ServerRow> = serde_json::from_str(&line).map_err(|e| CliError::of("supervisor", &e))?;
        for row in &rows {
            let state = row.process.state;
            if shown.insert(row.id.clone(), state) != Some(state) && state == Phase::Ready {
                let pid = row.process.pid.unwrap_or_default();
                let origin = match row.origin {
                    StepKind::Keep => ", adopted as it ran",
                    StepKind::Replace => ", replaced: its configuration has changed",
                    StepKind::Start | StepKind::Stop => "",
                };
                output.progress(&format!("{:<12} {state:<9} pid {pid}{origin}", row.id.short(domain)));
            }
        }
        // Once nothing moves, what is idle waits for something that is down, and will not come up by itself.
        let moves =
            |row: &ServerRow| matches!(row.process.state, Phase::Starting | Phase::Backoff | Phase::Stopping);
        if rows.len() >= expected && !rows.iter().any(moves) {
            return all_up(context, domain, &rows);
        }
    }
}

/// Tells whoever has started the supervisor how far the servers are, again and again, until they have gone.
/// They are told by the socket between the two, since they may hold no right to ask: a strict ensemble believes
/// no user.
async fn report(supervisor: &Handle<Supervisor>, mut to: UnixStream) {
    loop {
        if let Ok(rows) = supervisor.ps(Selection::default()).await {
            let mut line = serde_json::to_vec(&rows).unwrap_or_default();
            line.push(b'\n');
            if to.write_all(&line).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The socket that this process was given as its standard input.
fn given_socket() -> std::io::Result<UnixStream> {
    let socket = std::os::unix::net::UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

fn all_up(context: &Context, domain: &Domain, rows: &Vec<ServerRow>) -> Result<(), CliError> {
    let failed: Vec<String> =
        rows.iter().filter(|row| row.process.state != Phase::Ready).map(|row| row.id.short(domain)).collect();
    if failed.is_empty() {
        context.output().data(rows, |rows| up_line(rows));
        return Ok(());
    }
    context.output().data(rows, |rows| ps_table(rows, domain, terminal_width()));
    Err(not_ready(context, &failed, "; the others run"))
}

pub(crate) async fn down(context: &Context) -> Result<(), CliError> {
    let console = context.console().await?;
    let rows =
        console.supervisor().await?.down().within(context.global.timeout.unwrap_or(DOWN_TIMEOUT)).await??;
    let id = console.supervisor_id();
    // The supervisor itself ends after its answer; only then is nothing left.
    let socket = console.home.socket(&id, "sock");
    let clock = console.server.clock();
    let give_up = clock.now() + SUPERVISOR_TIMEOUT;
    while socket.exists() || console.home.claim(&id).is_err() {
        if clock.now() >= give_up {
            return Err(CliError::failed("not-down", format!("{id} does not end")).help("look at its log"));
        }
        clock.sleep_until(clock.now() + LOOK).await;
    }
    let count = rows.len() + 1;
    context.output().data(&json!({ "stopped": rows.iter().map(|row| &row.id).collect::<Vec<_>>() }), |_| {
        format!("down: {count} servers")
    });
    Ok(())
}
