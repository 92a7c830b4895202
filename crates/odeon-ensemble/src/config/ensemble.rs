//! The ensemble as a whole: loading, start order, and changes of size.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use odeon_core::{Address, Domain, Role, ServerId, suggest};
use serde::Serialize;
use toml::Spanned;
use toml::de::DeTable;

use super::code::ErrorCode;
use super::network::{NetworkDraft, Place, RegistryConfig, TlsUse};
use super::reader::{self, Section};
use super::report::{ConfigErrors, Report, Source};
use super::role::{Executable, Numbering, RoleConfig};
use super::role_reader::{self, RoleDraft};
use super::{CONFIG_BYTES_MAX, ROLES_MAX, WORKERS_MAX, check};

/// The format this program reads, for the optional key `config`.
const FORMAT: &str = "ensemble-v0";

/// The keys of the file's top level.
const KEYS: [&str; 7] = ["config", "domain", "known", "registry", "roles", "supervisor", "tls"];

/// An ensemble as its file describes it, checked and complete.
///
/// ```
/// # use odeon_ensemble::config::Ensemble;
/// let ensemble = Ensemble::parse("[roles.web]\nworkers = 2\n", "odeon.toml").unwrap();
/// let ids: Vec<_> = ensemble.servers().iter().map(|server| server.id.to_string()).collect();
/// assert_eq!(ids, ["web-0@/", "web-1@/"]);
///
/// let errors = Ensemble::parse("[roles.web]\nwokers = 2\n", "odeon.toml").unwrap_err();
/// assert!(errors.to_string().contains("did you mean `workers`?"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ensemble {
    /// The domain of all its servers.
    pub domain: Domain,
    /// The registry's part.
    pub registry: RegistryConfig,
    /// Where the supervisor takes links.
    pub supervisor: Place,
    /// Where servers are that no registry knows, the registry itself above all.
    pub known: BTreeMap<ServerId, Vec<Address>>,
    /// Whether servers use their certificates.
    pub tls: TlsUse,
    /// The roles.
    pub roles: BTreeMap<Role, RoleConfig>,
    /// The text and where each role is named in it, for [`Ensemble::check_roles`].
    #[serde(skip)]
    source: Arc<Source>,
    #[serde(skip)]
    role_spans: BTreeMap<Role, Range<usize>>,
}

/// One server that should run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerSpec {
    /// Its id.
    pub id: ServerId,
    /// Its role.
    pub role: Role,
    /// Its place among the servers of the role, from 0.
    pub index: usize,
}

/// Why the number of a role's servers cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScaleError {
    /// There is no such role.
    #[error("there is no role `{role}`; the roles are {known}")]
    UnknownRole {
        /// The role asked for.
        role: Role,
        /// The roles there are.
        known: String,
    },
    /// The servers of the role are named, not counted.
    #[error("the servers of role `{role}` are named in the file: change `servers` there")]
    Named {
        /// The role.
        role: Role,
    },
    /// More than a role may have.
    #[error("{workers} workers are more than the {WORKERS_MAX} a role may have")]
    TooMany {
        /// How many were asked for.
        workers: usize,
    },
    /// A new worker would take the id of a server of another role.
    #[error("the id `{id}` belongs to role `{role}` already")]
    DuplicateId {
        /// The id.
        id: ServerId,
        /// Whose it is.
        role: Role,
    },
}

impl Ensemble {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// All that is wrong with it; or that it is missing, unreadable, not UTF-8, or larger than
    /// [`CONFIG_BYTES_MAX`].
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let file = path.display().to_string();
        let unreadable = |error: std::io::Error| {
            let (code, help) = match error.kind() {
                ErrorKind::NotFound => (
                    ErrorCode::FileMissing,
                    "write one with a table `[roles.NAME]` for each role, or name another file",
                ),
                _ => (ErrorCode::FileUnreadable, "expected a file this user can read"),
            };
            ConfigErrors::of_file(&file, code, format!("the file cannot be read: {error}"), help)
        };
        let mut bytes = Vec::new();
        let limit = u64::try_from(CONFIG_BYTES_MAX).unwrap_or(u64::MAX);
        File::open(path)
            .and_then(|opened| opened.take(limit.saturating_add(1)).read_to_end(&mut bytes))
            .map_err(unreadable)?;
        match String::from_utf8(bytes) {
            Ok(text) => {
                // Errors name the file as the user did; what is started needs the whole path.
                let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                Self::parse_in(&text, &file, whole.parent().unwrap_or(path))
            }
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..good].iter().filter(|b| **b == b'\n').count() + 1;
                let message = format!("the file is not UTF-8: byte {good}, in line {line}");
                let help = "save it as UTF-8 text";
                Err(ConfigErrors::of_file(&file, ErrorCode::NotUtf8, message, help))
            }
        }
    }

    /// Reads and checks a text. `file_name` stands in errors; paths in the text are relative to its directory.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigErrors> {
        let directory = Path::new(file_name).parent().unwrap_or_else(|| Path::new(""));
        Self::parse_in(text, file_name, directory)
    }

    fn parse_in(text: &str, file_name: &str, directory: &Path) -> Result<Self, ConfigErrors> {
        if text.len() > CONFIG_BYTES_MAX {
            let message = format!("the file is larger than {CONFIG_BYTES_MAX} bytes");
            let help = "keep data out of it: `settings` can name a file";
            return Err(ConfigErrors::of_file(file_name, ErrorCode::FileTooLarge, message, help));
        }
        let source = Arc::new(Source { file: file_name.to_owned(), text: text.to_owned() });
        let (table, broken) = DeTable::parse_recoverable(&source.text);
        let mut report = Report::new(&source);
        for error in broken {
            let span = error.span().unwrap_or_default();
            report.add(ErrorCode::Syntax, span, error.message(), None);
        }
        // What was recovered from broken syntax would give errors that are not there.
        report.finish()?;
        let mut report = Report::new(&source);
        let parsed = read(table.get_ref(), &source, directory, &mut report);
        report.finish().map(|()| parsed)
    }

    /// Checks that the program has every role that runs the program itself.
    ///
    /// # Errors
    /// The roles that are not among `known`, each with its place and the nearest known one.
    pub fn check_roles(&self, known: &[Role]) -> Result<(), ConfigErrors> {
        let mut report = Report::new(&self.source);
        for (role, config) in &self.roles {
            if config.exe != Executable::Program || known.contains(role) {
                continue;
            }
            let names = known.iter().map(Role::as_str);
            let help = match suggest(role.as_str(), names.clone()) {
                Some(near) => near.to_string(),
                None if known.is_empty() => "this program has no roles: set `exe` to another one".to_owned(),
                None => format!("this program has {}", reader::quoted(names)),
            };
            let message = format!("this program has no role `{role}`");
            let span = self.role_spans.get(role).cloned().unwrap_or_default();
            report.add(ErrorCode::UnknownRole, span, message, help);
        }
        report.finish()
    }

    /// Every server, in start order: roles after those they need, then by name.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerSpec> {
        let roles = self.waves().into_iter().flatten();
        roles.flat_map(|role| self.servers_of(role)).collect()
    }

    /// The servers of one role, in order of their index; none if there is no such role.
    #[must_use]
    pub fn servers_of(&self, role: &Role) -> Vec<ServerSpec> {
        let ids = self.roles.get(role).map(|config| config.servers.as_slice());
        let spec = |(index, id): (usize, &ServerId)| ServerSpec { id: id.clone(), role: role.clone(), index };
        ids.unwrap_or_default().iter().enumerate().map(spec).collect()
    }

    /// The roles in waves: all roles of a wave may start at once when the waves before it are ready.
    #[must_use]
    pub fn waves(&self) -> Vec<Vec<&Role>> {
        let mut waves = Vec::new();
        let mut placed = BTreeSet::new();
        while placed.len() < self.roles.len() {
            let waiting = self.roles.iter().filter(|(role, _)| !placed.contains(role));
            let wave: Vec<&Role> = waiting
                .clone()
                .filter(|(_, config)| config.needs.iter().all(|need| placed.contains(need)))
                .map(|(role, _)| role)
                .collect();
            // The file has no circles; a value changed by hand might, and must not turn in one here.
            let wave = if wave.is_empty() { waiting.map(|(role, _)| role).collect() } else { wave };
            placed.extend(wave.iter().copied());
            waves.push(wave);
        }
        waves
    }

    /// Changes how many servers a counted role has; 0 is allowed. Returns the servers it has now.
    ///
    /// # Errors
    /// See [`ScaleError`]; nothing is changed then.
    pub fn scale(&mut self, role: &Role, workers: usize) -> Result<Vec<ServerSpec>, ScaleError> {
        let config = self.roles.get(role).ok_or_else(|| ScaleError::UnknownRole {
            role: role.clone(),
            known: reader::quoted(self.roles.keys().map(Role::as_str)),
        })?;
        if config.numbering == Numbering::Named {
            return Err(ScaleError::Named { role: role.clone() });
        }
        if workers > WORKERS_MAX {
            return Err(ScaleError::TooMany { workers });
        }
        // An index past the longest name a role may have is as much too many as 1025.
        let ids: Vec<ServerId> = (0..workers)
            .map(|index| role_reader::worker_id(role, index, &self.domain))
            .collect::<Result<_, _>>()
            .map_err(|_| ScaleError::TooMany { workers })?;
        for (other, config) in self.roles.iter().filter(|(other, _)| *other != role) {
            if let Some(id) = ids.iter().find(|id| config.servers.contains(id)) {
                return Err(ScaleError::DuplicateId { id: id.clone(), role: other.clone() });
            }
        }
        if let Some(config) = self.roles.get_mut(role) {
            config.servers = ids;
        }
        Ok(self.servers_of(role))
    }
}

fn read(table: &DeTable<'_>, source: &Arc<Source>, directory: &Path, report: &mut Report<'_>) -> Ensemble {
    let top = Section::new("the file", table, &KEYS, report);
    check_format(&top, report);
    let domain = read_domain(&top, report);
    let network = NetworkDraft::read(&top, &domain, report);
    let mut drafts: BTreeMap<Role, (Range<usize>, RoleDraft)> = BTreeMap::new();
    let roles = top.table("roles", report);
    for (key, value) in roles.into_iter().flatten().take(ROLES_MAX) {
        let role = match Role::from_str(key.get_ref()) {
            Ok(role) => Spanned::new(key.span(), role),
            Err(error) => {
                let help = "expected a name such as `web`".to_owned();
                report.add(ErrorCode::BadName, key.span(), error.to_string(), help);
                continue;
            }
        };
        if let Some(table) = reader::table(key.get_ref(), value, report) {
            let draft = role_reader::read(&role, table, &domain, directory, report);
            drafts.insert(role.get_ref().clone(), (key.span(), draft));
        }
    }
    let names: Vec<&str> =
        roles.into_iter().flat_map(DeTable::keys).map(|key| key.get_ref().as_ref()).collect();
    check_count(&top, names.len(), report);
    check::needs(&drafts, &names, report);
    check::ids(&drafts, report);
    check::addresses(&network, &drafts, report);

    let role_spans = drafts.iter().map(|(role, (span, _))| (role.clone(), span.clone()));
    Ensemble {
        domain,
        registry: network.registry,
        supervisor: network.supervisor,
        known: network.known,
        tls: network.tls,
        role_spans: role_spans.collect(),
        roles: drafts.into_iter().map(|(role, (_, draft))| (role, draft.config)).collect(),
        source: Arc::clone(source),
    }
}

fn check_format(top: &Section<'_>, report: &mut Report<'_>) {
    if let Some(format) = top.text("config", report).filter(|format| *format.get_ref() != FORMAT) {
        let message = format!("the format `{}` is unknown", reader::clipped(format.get_ref()));
        let help = format!("this program reads `{FORMAT}`");
        report.add(ErrorCode::UnknownFormat, format.span(), message, help);
    }
}

fn read_domain(top: &Section<'_>, report: &mut Report<'_>) -> Domain {
    let Some(text) = top.text("domain", report) else {
        return Domain::root();
    };
    text.get_ref().parse().unwrap_or_else(|error: odeon_core::NameError| {
        let help = "expected an absolute domain such as `/` or `/shop/eu1`".to_owned();
        report.add(ErrorCode::BadName, text.span(), error.to_string(), help);
        Domain::root()
    })
}

fn check_count(top: &Section<'_>, roles: usize, report: &mut Report<'_>) {
    let span = top.span("roles").unwrap_or_default();
    let is_table = top.get("roles").is_none_or(|value| value.get_ref().is_table());
    if roles == 0 && is_table {
        let help = "add a table `[roles.NAME]` for each kind of server".to_owned();
        report.add(ErrorCode::Missing, span, "the file describes no role", help);
    } else if roles > ROLES_MAX {
        let message = format!("the file describes {roles} roles");
        report.add(ErrorCode::TooMany, span, message, format!("expected {ROLES_MAX} at most"));
    }
}
