//! Reads the table of one role.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use odeon_core::{Address, Domain, NameError, Role, ServerId, suggest};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::code::ErrorCode;
use super::network;
use super::reader::{self, Listener, Section};
use super::report::Report;
use super::role::{Executable, Numbering, Policy, Restart, RoleConfig};
use super::{
    COMMAND_BYTES_MAX, DURATION_MAX, LOG_BYTES_MIN, LOG_FILES_MAX, RESTARTS_MAX, STOP_GRACE_MAX, WORKERS_MAX,
};

/// Size at which a log file is rotated unless the file says otherwise, in bytes.
const LOG_BYTES_MAX_DEFAULT: u64 = 10_000_000;

/// How many log files are kept unless the file says otherwise.
const LOG_FILES_MAX_DEFAULT: u32 = 5;

/// Shortest restart window: within less, nothing can be counted.
const RESTART_WINDOW_MIN: Duration = Duration::from_secs(1);

/// Shortest back-off and ready timeout: with none, a server that dies at once would be a loop without rest.
const WAIT_MIN: Duration = Duration::from_millis(10);

/// The names of the restart policies.
const RESTARTS: [(&str, Restart); 3] =
    [("always", Restart::Always), ("on-failure", Restart::OnFailure), ("never", Restart::Never)];

/// The keys of a role's table.
pub(super) const KEYS: [&str; 19] = [
    "exe",
    "args",
    "env",
    "workers",
    "servers",
    "listen",
    "address",
    "announce",
    "needs",
    "restart",
    "restart-window",
    "restart-max",
    "backoff-min",
    "backoff-max",
    "ready-timeout",
    "stop-grace",
    "log-bytes-max",
    "log-files-max",
    "settings",
];

/// A role as it stands in the file, with the places needed to check it against the others.
#[derive(Debug)]
pub(super) struct RoleDraft {
    pub(super) config: RoleConfig,
    /// Where each server's id comes from, beside `config.servers`.
    pub(super) server_spans: Vec<Range<usize>>,
    pub(super) needs: Vec<Spanned<Role>>,
    pub(super) listen: Vec<Spanned<Address>>,
    pub(super) address: Vec<Spanned<Address>>,
}

/// Reads the table of `role`, whose name stands at `span`. Paths are taken from `directory`.
pub(super) fn read(
    role: &Spanned<Role>,
    table: &DeTable<'_>,
    domain: &Domain,
    directory: &Path,
    report: &mut Report<'_>,
) -> RoleDraft {
    let section = Section::new(&format!("`[roles.{}]`", role.get_ref()), table, &KEYS, report);
    let (numbering, named) = read_servers(role, &section, domain, report);
    let needs = read_needs(&section, report);
    let listen = section.listen_addresses("listen", Listener::Role, report);
    let address = section.listen_addresses("address", Listener::Server, report);
    let announce = network::read_announce(&section, &address, report);
    if announce.is_empty() {
        network::reachable_somewhere(&format!("role `{}`", role.get_ref()), &address, report);
    }
    let plain = |list: &[Spanned<Address>]| list.iter().map(|a| a.get_ref().clone()).collect();
    let args = section.texts("args", report).unwrap_or_default();
    let config = RoleConfig {
        exe: read_exe(&section, directory, report),
        args: args.iter().map(|arg| (*arg.get_ref()).to_owned()).collect(),
        env: read_env(&section, report),
        servers: named.iter().map(|id| id.get_ref().clone()).collect(),
        numbering,
        listen: plain(&listen),
        address: plain(&address),
        announce,
        needs: needs.iter().map(|need| need.get_ref().clone()).collect(),
        policy: read_policy(&section, report),
        log_bytes_max: section.size("log-bytes-max", LOG_BYTES_MIN, report).unwrap_or(LOG_BYTES_MAX_DEFAULT),
        log_files_max: section
            .integer("log-files-max", 1..=LOG_FILES_MAX, report)
            .unwrap_or(LOG_FILES_MAX_DEFAULT),
        settings: read_settings(&section, report),
    };
    check_command(role, &config, report);
    RoleDraft { config, server_spans: named.iter().map(Spanned::span).collect(), needs, listen, address }
}

/// What is handed to a process must fit, or it could not be started.
fn check_command(role: &Spanned<Role>, config: &RoleConfig, report: &mut Report<'_>) {
    let args = config.args.iter().map(|arg| arg.len() + 1);
    let env = config.env.iter().map(|(name, value)| name.len() + value.len() + 2);
    let settings = serde_json::to_vec(&config.settings).map_or(0, |json| json.len());
    let bytes = args.chain(env).sum::<usize>() + settings;
    if bytes > COMMAND_BYTES_MAX {
        let message = format!("`args`, `env` and `settings` of role `{}` take {bytes} bytes", role.get_ref());
        let help = format!("expected {COMMAND_BYTES_MAX} at most: put the data into a file and name it");
        report.add(ErrorCode::TooMany, role.span(), message, help);
    }
}

/// The id of the worker with an index.
pub(super) fn worker_id(role: &Role, index: usize, domain: &Domain) -> Result<ServerId, NameError> {
    ServerId::new(&format!("{role}-{index}"), domain.clone())
}

fn read_servers(
    role: &Spanned<Role>,
    section: &Section<'_>,
    domain: &Domain,
    report: &mut Report<'_>,
) -> (Numbering, Vec<Spanned<ServerId>>) {
    if let (Some(workers), Some(_)) = (section.span("workers"), section.get("servers")) {
        let message = format!("role `{}` has both `workers` and `servers`", role.get_ref());
        let help = "keep `workers` to count servers, or `servers` to name them".to_owned();
        report.add(ErrorCode::Conflict, workers, message, help);
    }
    if let Some(names) = section.texts("servers", report) {
        return (Numbering::Named, read_names(section, &names, domain, report));
    }
    let most = u32::try_from(WORKERS_MAX).unwrap_or(u32::MAX);
    let workers = section.integer("workers", 1..=most, report).unwrap_or(1);
    let span = section.span("workers").unwrap_or_else(|| role.span());
    let mut ids = Vec::new();
    for index in 0..workers as usize {
        match worker_id(role.get_ref(), index, domain) {
            Ok(id) => ids.push(Spanned::new(span.clone(), id)),
            Err(error) => {
                let help = "give the role a shorter name: `-` and the worker's number are added".to_owned();
                report.add(ErrorCode::BadName, role.span(), error.to_string(), help);
                break;
            }
        }
    }
    (Numbering::Counted, ids)
}

fn read_names(
    section: &Section<'_>,
    names: &[Spanned<&str>],
    domain: &Domain,
    report: &mut Report<'_>,
) -> Vec<Spanned<ServerId>> {
    let span = section.span("servers").unwrap_or_default();
    if names.is_empty() {
        let help = "name at least one server, or remove the role".to_owned();
        report.add(ErrorCode::OutOfRange, span, "`servers` is empty", help);
    } else if names.len() > WORKERS_MAX {
        let message = format!("`servers` has {} names", names.len());
        report.add(ErrorCode::TooMany, span, message, format!("expected {WORKERS_MAX} at most"));
    }
    let mut ids = Vec::new();
    for name in names {
        match ServerId::new(name.get_ref(), domain.clone()) {
            Ok(id) => ids.push(Spanned::new(name.span(), id)),
            Err(error) => report.add(
                ErrorCode::BadName,
                name.span(),
                error.to_string(),
                "expected a name without a domain, such as `front` or `web-0`".to_owned(),
            ),
        }
    }
    ids
}

fn read_needs(section: &Section<'_>, report: &mut Report<'_>) -> Vec<Spanned<Role>> {
    let mut needs = Vec::new();
    for text in section.texts("needs", report).unwrap_or_default() {
        match Role::from_str(text.get_ref()) {
            Ok(role) => needs.push(Spanned::new(text.span(), role)),
            Err(error) => {
                let help = "expected the name of a role of this file".to_owned();
                report.add(ErrorCode::BadName, text.span(), error.to_string(), help);
            }
        }
    }
    needs
}

fn read_exe(section: &Section<'_>, directory: &Path, report: &mut Report<'_>) -> Executable {
    let Some(text) = section.text("exe", report) else {
        return Executable::Program;
    };
    match *text.get_ref() {
        "self" => Executable::Program,
        "" => {
            let help = "expected \"self\" for this program, or the path of another one".to_owned();
            report.add(ErrorCode::BadValue, text.span(), "`exe` is empty", help);
            Executable::Program
        }
        path => Executable::File(directory.join(path)),
    }
}

fn read_env(section: &Section<'_>, report: &mut Report<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let Some(table) = section.table("env", report) else {
        return env;
    };
    let span = section.span("env").unwrap_or_default();
    reader::within_list_limit("env", table.len(), span, report);
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        if name.is_empty() || name.contains(['=', '\0']) {
            let message = format!("`{}` is not the name of a variable", reader::clipped(name));
            let help = "expected a name without `=`, such as `RUST_LOG`".to_owned();
            report.add(ErrorCode::BadName, key.span(), message, help);
        } else if let Some(text) = reader::text(name, value, report) {
            env.insert(name.to_owned(), (*text.get_ref()).to_owned());
        }
    }
    env
}

fn read_policy(section: &Section<'_>, report: &mut Report<'_>) -> Policy {
    let defaults = Policy::default();
    let duration = |key, range, default, report: &mut Report<'_>| {
        section.duration(key, range, report).unwrap_or(default)
    };
    let wait = WAIT_MIN..=DURATION_MAX;
    let window = RESTART_WINDOW_MIN..=DURATION_MAX;
    let policy = Policy {
        restart: read_restart(section, report).unwrap_or(defaults.restart),
        restart_window: duration("restart-window", window, defaults.restart_window, report),
        restart_max: section.integer("restart-max", 0..=RESTARTS_MAX, report).unwrap_or(defaults.restart_max),
        backoff_min: duration("backoff-min", wait.clone(), defaults.backoff_min, report),
        backoff_max: duration("backoff-max", wait.clone(), defaults.backoff_max, report),
        ready_timeout: duration("ready-timeout", wait, defaults.ready_timeout, report),
        stop_grace: duration("stop-grace", Duration::ZERO..=STOP_GRACE_MAX, defaults.stop_grace, report),
    };
    if policy.backoff_min > policy.backoff_max {
        let (min, max) = (policy.backoff_min, policy.backoff_max);
        let span = section.span("backoff-min").or_else(|| section.span("backoff-max"));
        let message = format!("`backoff-min` ({min:?}) is longer than `backoff-max` ({max:?})");
        let help = format!("give `backoff-max` {min:?} or more, or `backoff-min` {max:?} or less");
        report.add(ErrorCode::Conflict, span.unwrap_or_default(), message, help);
    }
    policy
}

fn read_restart(section: &Section<'_>, report: &mut Report<'_>) -> Option<Restart> {
    let text = section.text("restart", report)?;
    let names = RESTARTS.iter().map(|(name, _)| *name);
    let found = RESTARTS.iter().find(|(name, _)| name == text.get_ref());
    if found.is_none() {
        let message = format!("`restart` is `{}`", reader::clipped(text.get_ref()));
        let mut help = format!("expected one of {}", reader::quoted(names.clone()));
        if let Some(near) = suggest(text.get_ref(), names) {
            help = format!("{near} ({help})");
        }
        report.add(ErrorCode::BadValue, text.span(), message, help);
    }
    found.map(|(_, restart)| *restart)
}

fn read_settings(
    section: &Section<'_>,
    report: &mut Report<'_>,
) -> serde_json::Map<String, serde_json::Value> {
    section.table("settings", report).map(|table| json_table(table, report)).unwrap_or_default()
}

fn json_table(table: &DeTable<'_>, report: &mut Report<'_>) -> serde_json::Map<String, serde_json::Value> {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value, report))).collect()
}

/// The JSON of a TOML value. The parser bounds how deep values nest.
fn json(value: &reader::Value<'_>, report: &mut Report<'_>) -> serde_json::Value {
    let number = match value.get_ref() {
        DeValue::String(text) => return text.as_ref().into(),
        DeValue::Boolean(truth) => return (*truth).into(),
        DeValue::Datetime(time) => return time.to_string().into(),
        DeValue::Array(items) => return items.iter().map(|item| json(item, report)).collect(),
        DeValue::Table(table) => return json_table(table, report).into(),
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(serde_json::Number::from)
        }
        DeValue::Float(float) => {
            let float = float.as_str().parse().ok();
            float.and_then(serde_json::Number::from_f64)
        }
    };
    number.map_or_else(
        || {
            let help = "expected a finite number of 64 bits".to_owned();
            report.add(ErrorCode::OutOfRange, value.span(), "JSON has no such number", help);
            serde_json::Value::Null
        },
        Into::into,
    )
}
