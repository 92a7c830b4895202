//! What a child is to be: the order that the supervisor gives to a shim.
//!
//! Owned by the caller; it crosses one socket as JSON and is checked on both sides of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most listening sockets one child receives; well below the kernel's 253 descriptors per message.
pub const LISTEN_MAX: usize = 64;
/// Longest encoded specification, arguments and environment included; far above any sane environment.
pub(crate) const SPEC_BYTES_MAX: usize = 256 * 1024;
/// A unix socket path has 108 bytes in the kernel, one of them the terminating zero.
pub(crate) const CONTROL_PATH_BYTES_MAX: usize = 107;
/// Longest grace: whoever wants to wait longer than an hour wants no kill at all.
pub(crate) const GRACE_MS_MAX: u64 = 60 * 60 * 1000;
/// Most rotated log files: each rotation renames all of them.
pub(crate) const LOG_FILES_MAX: u32 = 100;
/// Longest socket name, as systemd has it.
const LISTEN_NAME_BYTES_MAX: usize = 255;

/// The order to run one child.
///
/// All paths are absolute. The environment is the child's whole environment: nothing else is inherited. The shim
/// adds `LISTEN_FDS`, `LISTEN_FDNAMES`, `LISTEN_PID` if there are sockets, and `ODEON_SHIM`, by which the
/// child's descendants are recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The server's id, for people and for the records.
    pub id: String,
    /// Counts the starts of this server; it tells the records of one run from those of the next.
    pub generation: u64,
    /// Where `shim.json`, `shim.lock` and `exit.json` are. Created if absent.
    pub dir: PathBuf,
    /// The program.
    pub exe: PathBuf,
    /// Its arguments, the program's own name not included.
    pub args: Vec<String>,
    /// What tells the program's present content from an earlier one, such as a build's number. It goes into the
    /// fingerprint and nowhere else.
    #[serde(default)]
    pub build: String,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// What else is in its environment, from whoever starts it; `env` prevails. Not part of the fingerprint.
    #[serde(default)]
    pub inherited: BTreeMap<String, String>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Where `server.log`, `server.log.1`, … are. Created if absent.
    pub log_dir: PathBuf,
    /// Size at which `server.log` is rotated, in bytes; at least 1.
    pub log_bytes_max: u64,
    /// How many log files are kept, `server.log` included; 1 to 100.
    pub log_files_max: u32,
    /// The names of the passed sockets, in their order (`LISTEN_FDNAMES`); at most [`LISTEN_MAX`].
    pub listen: Vec<String>,
    /// Path of the shim's control socket; at most 107 bytes. Its directory must exist.
    pub control: PathBuf,
    /// How long a stop without a grace of its own waits between TERM and KILL, in milliseconds.
    pub grace_ms: u64,
}

/// A specification that cannot be run.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecError {
    /// A path is relative.
    #[error("`{field}` of server {id} must be an absolute path, but is `{}`", path.display())]
    Relative {
        /// The server.
        id: String,
        /// The field of the specification.
        field: &'static str,
        /// What it holds.
        path: PathBuf,
    },
    /// A number or a length is out of its bounds.
    #[error("`{field}` of server {id} is {value}, expected {min} to {max}")]
    OutOfRange {
        /// The server.
        id: String,
        /// The field of the specification.
        field: &'static str,
        /// What it holds.
        value: u64,
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// A socket name has characters that the environment variable cannot carry.
    #[error("socket name `{name}` of server {id} must be 1 to 255 visible ASCII characters without `:`")]
    ListenName {
        /// The server.
        id: String,
        /// The name.
        name: String,
    },
    /// An argument or a variable cannot be passed to a process.
    #[error(
        "{what} of server {id} cannot be passed to a process: {name:?} (a zero byte, `=` in a name, or an empty name)"
    )]
    Unpassable {
        /// The server.
        id: String,
        /// "argument" or "environment variable".
        what: &'static str,
        /// The argument, or the variable's name.
        name: String,
    },
    /// It does not parse.
    #[error("not a specification: {reason}")]
    Malformed {
        /// The parser's words.
        reason: String,
    },
}

impl Spec {
    /// A specification with the usual limits: logs of 5 × 10 MiB in `dir/log`, control socket `dir/shim.sock`,
    /// working directory `/`, 10 s of grace, no arguments, environment or sockets.
    #[must_use]
    pub fn new(id: impl Into<String>, dir: impl Into<PathBuf>, exe: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        Self {
            id: id.into(),
            generation: 0,
            exe: exe.into(),
            args: Vec::new(),
            build: String::new(),
            env: BTreeMap::new(),
            inherited: BTreeMap::new(),
            cwd: PathBuf::from("/"),
            log_dir: dir.join("log"),
            log_bytes_max: 10 * 1024 * 1024,
            log_files_max: 5,
            listen: Vec::new(),
            control: dir.join("shim.sock"),
            grace_ms: 10_000,
            dir,
        }
    }

    /// A fingerprint of everything but the generation and what is inherited: equal for a child that would be
    /// started the same way.
    ///
    /// It detects change; it is no protection against forgery.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let same = Self { generation: 0, inherited: BTreeMap::new(), ..self.clone() };
        let bytes = serde_json::to_vec(&same).unwrap_or_default();
        // FNV-1a: stable across builds, which the standard hasher is not.
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }

    /// The checked specification as JSON.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, SpecError> {
        self.check()?;
        let bytes =
            serde_json::to_vec(self).map_err(|error| SpecError::Malformed { reason: error.to_string() })?;
        self.within("specification", bytes.len() as u64, 1, SPEC_BYTES_MAX as u64)?;
        Ok(bytes)
    }

    /// The specification in `bytes`, checked.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, SpecError> {
        let spec: Self = serde_json::from_slice(bytes)
            .map_err(|error| SpecError::Malformed { reason: error.to_string() })?;
        spec.check()?;
        Ok(spec)
    }

    fn check(&self) -> Result<(), SpecError> {
        self.absolute("dir", &self.dir)?;
        self.absolute("exe", &self.exe)?;
        self.absolute("cwd", &self.cwd)?;
        self.absolute("log_dir", &self.log_dir)?;
        self.absolute("control", &self.control)?;
        self.within("control", self.control.as_os_str().len() as u64, 1, CONTROL_PATH_BYTES_MAX as u64)?;
        self.within("log_bytes_max", self.log_bytes_max, 1, u64::MAX)?;
        self.within("log_files_max", u64::from(self.log_files_max), 1, u64::from(LOG_FILES_MAX))?;
        self.within("grace_ms", self.grace_ms, 0, GRACE_MS_MAX)?;
        self.within("listen", self.listen.len() as u64, 0, LISTEN_MAX as u64)?;
        for name in &self.listen {
            let visible = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
            if !visible || name.is_empty() || name.len() > LISTEN_NAME_BYTES_MAX {
                return Err(SpecError::ListenName { id: self.id.clone(), name: name.clone() });
            }
        }
        for arg in &self.args {
            self.passable("argument", arg, !arg.contains('\0'))?;
        }
        for (name, value) in self.env.iter().chain(&self.inherited) {
            let sound = !name.is_empty() && !name.contains(['\0', '=']) && !value.contains('\0');
            self.passable("environment variable", name, sound)?;
        }
        Ok(())
    }

    fn absolute(&self, field: &'static str, path: &Path) -> Result<(), SpecError> {
        if path.is_absolute() {
            return Ok(());
        }
        Err(SpecError::Relative { id: self.id.clone(), field, path: path.to_owned() })
    }

    fn within(&self, field: &'static str, value: u64, min: u64, max: u64) -> Result<(), SpecError> {
        if (min..=max).contains(&value) {
            return Ok(());
        }
        Err(SpecError::OutOfRange { id: self.id.clone(), field, value, min, max })
    }

    fn passable(&self, what: &'static str, name: &str, sound: bool) -> Result<(), SpecError> {
        if sound {
            return Ok(());
        }
        Err(SpecError::Unpassable { id: self.id.clone(), what, name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec::new("web-0@/", "/srv/web-0", "/bin/true")
    }

    fn check(change: impl Fn(&mut Spec), expected: Result<(), &str>) {
        let mut spec = spec();
        change(&mut spec);
        let got = spec.encode().map(|_| ()).map_err(|error| error.to_string());
        match (got, expected) {
            (Ok(()), Ok(())) => {}
            (Err(text), Err(part)) => assert!(text.contains(part), "`{text}` lacks `{part}`"),
            (got, expected) => panic!("got {got:?}, expected {expected:?}"),
        }
    }

    fn control_of(bytes: usize) -> PathBuf {
        PathBuf::from(format!("/{}", "s".repeat(bytes - 1)))
    }

    #[test]
    fn limits_hold_at_the_limit_and_one_past_it() {
        check(|_| {}, Ok(()));
        check(|s| s.control = control_of(CONTROL_PATH_BYTES_MAX), Ok(()));
        check(
            |s| s.control = control_of(CONTROL_PATH_BYTES_MAX + 1),
            Err("`control` of server web-0@/ is 108"),
        );
        check(|s| s.grace_ms = GRACE_MS_MAX, Ok(()));
        check(|s| s.grace_ms = GRACE_MS_MAX + 1, Err("grace_ms"));
        check(|s| s.log_files_max = LOG_FILES_MAX, Ok(()));
        check(|s| s.log_files_max = LOG_FILES_MAX + 1, Err("log_files_max"));
        check(|s| s.log_files_max = 0, Err("log_files_max"));
        check(|s| s.listen = vec!["http".to_owned(); LISTEN_MAX], Ok(()));
        check(|s| s.listen = vec!["http".to_owned(); LISTEN_MAX + 1], Err("`listen`"));
        check(|s| s.listen = vec!["n".repeat(LISTEN_NAME_BYTES_MAX)], Ok(()));
        check(|s| s.listen = vec!["n".repeat(LISTEN_NAME_BYTES_MAX + 1)], Err("socket name"));
        let room = SPEC_BYTES_MAX - spec().encode().expect("sound").len() - 2;
        check(|s| s.args = vec!["a".repeat(room)], Ok(()));
        check(|s| s.args = vec!["a".repeat(room + 1)], Err("specification"));
    }

    #[test]
    fn what_no_process_can_be_given_is_refused() {
        check(|s| s.exe = "bin/true".into(), Err("`exe` of server web-0@/ must be an absolute path"));
        check(|s| s.listen = vec!["tcp:80".to_owned()], Err("without `:`"));
        check(|s| s.args = vec!["a\0b".to_owned()], Err("argument"));
        check(|s| drop(s.env.insert("A=B".to_owned(), String::new())), Err("environment variable"));
        check(|s| drop(s.env.insert(String::new(), String::new())), Err("environment variable"));
    }

    #[test]
    fn fingerprint_ignores_only_the_generation_and_what_is_inherited() {
        let one = spec();
        let path = || BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]);
        let again = Spec { generation: 7, inherited: path(), ..spec() };
        assert_eq!(one.fingerprint(), again.fingerprint());
        for other in [
            Spec { args: vec!["x".to_owned()], ..spec() },
            Spec { build: "2".to_owned(), ..spec() },
            Spec { env: path(), ..spec() },
        ] {
            assert_ne!(one.fingerprint(), other.fingerprint());
        }
    }

    #[test]
    fn decode_refuses_unknown_fields_and_keeps_known_ones() {
        let bytes = spec().encode().expect("sound");
        assert_eq!(Spec::decode(&bytes), Ok(spec()));
        assert!(Spec::decode(br#"{"id":"x","shell":true}"#).is_err());
    }
}
