//! How a server is started: the order for its shim, made from its role's configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use odeon_core::{Domain, Role, ServerId};
use odeon_server::Home;

use crate::config::{Ensemble, Executable, RoleConfig};
use crate::node::variables;
use crate::process::Spec;
use crate::registry::REGISTRY;

/// Variables of the supervisor's own environment that its servers see. Everything else is given by the file.
const INHERITED: [&str; 10] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "NO_COLOR",
];

/// How long the registry may take to stop.
const REGISTRY_GRACE: Duration = Duration::from_secs(5);

/// The program that is supervised, as the supervisor starts it.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its executable.
    pub exe: PathBuf,
    /// The directory its servers work in: that of the ensemble's file.
    pub directory: PathBuf,
}

impl Program {
    /// The order for the next process of a server. Ports of listening sockets do not appear in it, so that it
    /// is the same before and after they are bound.
    pub(super) fn spec(&self, home: &Home, ensemble: &Ensemble, id: &ServerId, role: &Role) -> Spec {
        let config = ensemble.roles.get(role);
        let exe = match config.map(|config| &config.exe) {
            Some(Executable::File(path)) if path.is_absolute() => path.clone(),
            Some(Executable::File(path)) => self.directory.join(path),
            Some(Executable::Program) | None => self.exe.clone(),
        };
        let mut spec = Spec::new(id.to_string(), home.server(id), exe);
        spec.args = vec!["serve".to_owned(), id.to_string()];
        spec.env = environment(home, &ensemble.domain, role);
        spec.cwd.clone_from(&self.directory);
        spec.control = home.socket(id, "shim");
        spec.grace_ms = millis(config.map_or(REGISTRY_GRACE, |config| config.policy.stop_grace));
        match config {
            Some(config) => apply(&mut spec, config),
            None => {
                let addresses: Vec<String> =
                    ensemble.registry.listen.iter().map(ToString::to_string).collect();
                spec.env.insert(variables::ADDRESSES.to_owned(), addresses.join(" "));
            }
        }
        spec
    }
}

fn apply(spec: &mut Spec, config: &RoleConfig) {
    spec.args.extend(config.args.iter().cloned());
    spec.env.extend(config.env.clone());
    spec.log_bytes_max = config.log_bytes_max;
    spec.log_files_max = config.log_files_max;
    spec.listen = (0..config.listen.len()).map(|index| format!("listen-{index}")).collect();
    let addresses: Vec<String> = config.address.iter().map(ToString::to_string).collect();
    spec.env.insert(variables::ADDRESSES.to_owned(), addresses.join(" "));
    let settings = serde_json::Value::Object(config.settings.clone()).to_string();
    spec.env.insert(variables::SETTINGS.to_owned(), settings);
}

fn environment(home: &Home, domain: &Domain, role: &Role) -> BTreeMap<String, String> {
    let inherited = INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let mut env: BTreeMap<String, String> = inherited.collect();
    env.insert(variables::HOME.to_owned(), text(home.root()));
    env.insert(variables::DOMAIN.to_owned(), domain.to_string());
    env.insert(variables::ROLE.to_owned(), role.to_string());
    env
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The registry's role, which no file names.
pub(super) fn registry_role() -> Role {
    REGISTRY.parse().expect("`registry` is a role name")
}
