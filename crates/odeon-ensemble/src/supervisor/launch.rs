//! How a server is started: the order for its shim, made from its role's configuration.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use odeon_core::{Address, Role, ServerId};
use odeon_server::Home;

use crate::config::{Ensemble, Executable, RoleConfig};
use crate::node::variables;
use crate::process::Spec;
use crate::registry::REGISTRY;

/// Variables of the supervisor's own environment that its servers see; those of the file come before them.
/// Nothing else is inherited. They are not part of what a running server is compared by: another shell's `PATH` is
/// no reason to replace everything.
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
    /// is the same before and after they are bound. The executable's content does: after a build, `up` replaces
    /// what runs the old one.
    pub(super) fn spec(&self, home: &Home, ensemble: &Ensemble, id: &ServerId, role: &Role) -> Spec {
        let config = ensemble.roles.get(role);
        let exe = match config.map(|config| &config.exe) {
            Some(Executable::File(path)) if path.is_absolute() => path.clone(),
            Some(Executable::File(path)) => self.directory.join(path),
            Some(Executable::Program) | None => self.exe.clone(),
        };
        let mut spec = Spec::new(id.to_string(), home.server(id), exe);
        spec.build = build(&spec.exe);
        spec.args = vec!["serve".to_owned(), id.to_string()];
        spec.inherited = inherited();
        spec.cwd.clone_from(&self.directory);
        spec.control = home.socket(id, "shim");
        spec.grace_ms = millis(config.map_or(REGISTRY_GRACE, |config| config.policy.stop_grace));
        let place = &ensemble.registry.place;
        let (mut listen, mut announce) = (&place.listen, &place.announce);
        if let Some(config) = config {
            apply(&mut spec, config);
            (listen, announce) = (&config.address, &config.announce);
        }
        // Last, so that the file cannot make a server another than it is.
        let joined =
            |addresses: &[Address]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        spec.env.extend([
            (variables::HOME.to_owned(), text(home.root())),
            (variables::DOMAIN.to_owned(), ensemble.domain.to_string()),
            (variables::ROLE.to_owned(), role.to_string()),
            (variables::ADDRESSES.to_owned(), joined(listen)),
            (variables::ANNOUNCE.to_owned(), joined(announce)),
            (variables::REGISTRY.to_owned(), ensemble.registry.id.to_string()),
            (variables::KNOWN.to_owned(), serde_json::json!(ensemble.known).to_string()),
            (variables::TLS.to_owned(), ensemble.tls.name().to_owned()),
        ]);
        spec
    }
}

fn apply(spec: &mut Spec, config: &RoleConfig) {
    spec.args.extend(config.args.iter().cloned());
    spec.env.clone_from(&config.env);
    spec.log_bytes_max = config.log_bytes_max;
    spec.log_files_max = config.log_files_max;
    spec.listen = (0..config.listen.len()).map(|index| format!("listen-{index}")).collect();
    let settings = serde_json::Value::Object(config.settings.clone()).to_string();
    spec.env.insert(variables::SETTINGS.to_owned(), settings);
}

fn inherited() -> BTreeMap<String, String> {
    INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
}

/// Tells one build of a program from the next: by size and time, since reading it all would take too long. Empty
/// if there is no such file, which the start will say.
fn build(exe: &Path) -> String {
    exe.metadata().map_or_else(
        |_| String::new(),
        |file| format!("{} bytes of {}.{:09}", file.size(), file.mtime(), file.mtime_nsec()),
    )
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test plays a compiler")]
    fn a_server_is_compared_by_its_file_and_its_program_and_not_by_the_shell() {
        let place = tempfile::tempdir().expect("a directory");
        let home = Home::open(&place.path().join("home")).expect("a home");
        let exe = place.path().join("program");
        let program = Program { exe: exe.clone(), directory: place.path().to_owned() };
        let (id, role) = ("web-0@/".parse().expect("an id"), "web".parse().expect("a role"));
        let order = |file: &str| {
            let ensemble = Ensemble::parse(file, "odeon.toml").expect("a good file");
            program.spec(&home, &ensemble, &id, &role)
        };
        let file = "[roles.web]\nenv = { PATH = '/mine', ODEON_ROLE = 'else' }";
        let missing = order(file);
        std::fs::write(&exe, "one").expect("written");
        let first = order(file);
        assert_eq!(first.env["PATH"], "/mine");
        assert_eq!(first.env[variables::ROLE], "web", "not the file's to say");
        assert_eq!(first.fingerprint(), order(file).fingerprint());
        let other_shell = Spec { inherited: BTreeMap::new(), ..first.clone() };
        assert_eq!(first.fingerprint(), other_shell.fingerprint());

        std::fs::write(&exe, "another").expect("written");
        let second = order(file);
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        File::options().write(true).open(&exe).and_then(|file| file.set_modified(later)).expect("touched");
        let third = order(file);
        let fourth = order("[roles.web]\nargs = ['x']");
        let prints = [&missing, &first, &second, &third, &fourth].map(Spec::fingerprint);
        let different: std::collections::BTreeSet<&String> = prints.iter().collect();
        assert_eq!(different.len(), prints.len(), "{prints:?}");
    }
}
