//! Configurations, good and bad.

use std::fmt::Write as _;
use std::time::Duration;

use odeon_core::Role;
use serde_json::json;

use super::*;

fn good(text: &str) -> Ensemble {
    Ensemble::parse(text, "dir/odeon.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

pub(super) fn bad(text: &str) -> ConfigErrors {
    Ensemble::parse(text, "odeon.toml").expect_err(text)
}

fn role(name: &str) -> Role {
    name.parse().expect("a role")
}

fn names(servers: &[ServerSpec]) -> Vec<String> {
    servers.iter().map(|server| server.id.to_string()).collect()
}

/// Every key of the format.
const FULL: &str = r#"
config = "ensemble-v0"
domain = "/shop"
registry = { listen = ["tcp:127.0.0.1:4999", "tls:0.0.0.0:4998"], announce = ["tls:east.example:0"] }
supervisor = { listen = ["tls:0.0.0.0:0"], announce = ["tls:east.example:0"] }
known = { "registry@/" = ["tls:10.0.0.1:4999"], edge = ["tcp:h:1", "tls:[::1]:2"] }
tls = true

[roles.db]

[roles.web]
exe = "bin/web"
args = ["--x", "y"]
env = { RUST_LOG = "info" }
workers = 2
listen = ["tcp:127.0.0.1:8080"]
address = ["tcp:127.0.0.1:0", "tls:0.0.0.0:0"]
announce = ["tls:10.0.0.2:0"]
needs = ["db"]
restart = "on-failure"
restart-window = "2m"
restart-max = 7
backoff-min = "250ms"
backoff-max = "1m"
ready-timeout = "3s"
stop-grace = "0s"
log-bytes-max = "64KiB"
log-files-max = 3

[roles.web.settings]
root = "pages"
depth = 0x10
ratio = 0.5
on = true
since = 2026-01-02
list = [1, { a = "b" }]

[roles.edge]
servers = ["front", "back"]
needs = ["web"]
"#;

#[test]
fn every_key_is_read_and_written_as_json() {
    let ensemble = good(FULL);
    assert_eq!(
        serde_json::to_value(&ensemble).expect("JSON")["roles"]["web"],
        json!({
            "exe": "dir/bin/web", "args": ["--x", "y"], "env": {"RUST_LOG": "info"},
            "servers": ["web-0@/shop", "web-1@/shop"], "numbering": "counted",
            "listen": ["tcp:127.0.0.1:8080"], "address": ["tcp:127.0.0.1:0", "tls:0.0.0.0:0"],
            "announce": ["tls:10.0.0.2:0"], "needs": ["db"],
            "restart": "on-failure", "restart-window": "2m", "restart-max": 7, "backoff-min": "250ms",
            "backoff-max": "1m", "ready-timeout": "3s", "stop-grace": "0ms",
            "log-bytes-max": 65536, "log-files-max": 3,
            "settings": {"root": "pages", "depth": 16, "ratio": 0.5, "on": true, "since": "2026-01-02",
                         "list": [1, {"a": "b"}]},
        })
    );
    assert_eq!(ensemble.domain.as_str(), "/shop");
    let whole = serde_json::to_value(&ensemble).expect("JSON");
    assert_eq!(
        whole["registry"],
        json!({"id": "registry@/shop", "elsewhere": false,
               "listen": ["tcp:127.0.0.1:4999", "tls:0.0.0.0:4998"], "announce": ["tls:east.example:0"]})
    );
    assert_eq!(whole["supervisor"], json!({"listen": ["tls:0.0.0.0:0"], "announce": ["tls:east.example:0"]}));
    assert_eq!(
        whole["known"],
        json!({"registry@/": ["tls:10.0.0.1:4999"], "edge@/shop": ["tcp:h:1", "tls:[::1]:2"]})
    );
    assert_eq!(whole["tls"], "always");
    for key in role_reader::KEYS {
        assert!(FULL.contains(&format!("{key} =")) || FULL.contains(&format!(".{key}]")), "{key}");
    }
}

#[test]
fn the_registry_may_be_elsewhere() {
    let known = "[known]\n\"registry@/\" = [\"tls:10.0.0.1:4999\"]\n[roles.web]";
    let ensemble = good(&format!("domain = '/h2'\nregistry = 'registry@/'\n{known}"));
    assert_eq!((ensemble.registry.id.to_string(), ensemble.registry.elsewhere), ("registry@/".into(), true));
    assert_eq!(ensemble.known[&ensemble.registry.id][0].to_string(), "tls:10.0.0.1:4999");
    assert_eq!(ensemble.tls, TlsUse::IfThere);
    let own = good("domain = '/h2'\n[roles.web]").registry;
    assert_eq!((own.id.to_string(), own.elsewhere), ("registry@/h2".into(), false));
}

#[test]
fn an_empty_role_is_one_worker_of_the_program_itself() {
    let ensemble = good("[roles.web]");
    let web = &ensemble.roles[&role("web")];
    assert_eq!(names(&ensemble.servers()), ["web-0@/"]);
    assert_eq!(web.exe, Executable::Program);
    assert_eq!(web.policy, Policy::default());
    assert_eq!(web.policy.restart_window, Duration::from_secs(60));
    assert_eq!((web.log_bytes_max, web.log_files_max), (10_000_000, 5));
}

#[test]
fn servers_start_after_those_they_need_then_by_name() {
    let ensemble = good(FULL);
    let order = ["db-0@/shop", "web-0@/shop", "web-1@/shop", "front@/shop", "back@/shop"];
    assert_eq!(names(&ensemble.servers()), order);
    let text = "[roles.a]\nneeds=['d']\n[roles.b]\n[roles.c]\nneeds=['b']\n[roles.d]";
    let ensemble = good(text);
    let waves: Vec<Vec<_>> =
        ensemble.waves().into_iter().map(|wave| wave.into_iter().map(Role::as_str).collect()).collect();
    assert_eq!(waves, [["b", "d"], ["a", "c"]]);
}

#[test]
fn a_circle_made_by_hand_still_gives_an_order() {
    let mut ensemble = good("[roles.a]\n[roles.b]\nneeds=['a']");
    let a = ensemble.roles.get_mut(&role("a")).expect("a");
    a.needs.insert(role("b"));
    assert_eq!(ensemble.servers().len(), 2);
}

#[test]
fn a_role_the_program_does_not_have_is_refused_with_its_place() {
    let ensemble = good("[roles.web]\n[roles.dd]\n[roles.other]\nexe = '/bin/other'\n");
    assert!(ensemble.check_roles(&[role("web"), role("dd")]).is_ok());
    let errors = ensemble.check_roles(&[role("web"), role("db")]).expect_err("dd is unknown");
    assert_eq!(errors.errors.len(), 1);
    assert_eq!(errors.errors[0].code, ErrorCode::UnknownRole);
    assert_eq!(errors.errors[0].position, Some(Position { line: 2, column: 8 }));
    assert!(errors.to_string().contains("did you mean `db`?"), "{errors}");
    assert_eq!(ensemble.check_roles(&[]).expect_err("none is known").errors.len(), 2);
}

#[test]
fn limits_hold_at_the_last_and_fail_past_it() {
    fn roles(count: usize, workers: usize) -> String {
        (0..count).fold(String::new(), |mut text, i| {
            let _ = writeln!(text, "[roles.r{i}]\nworkers = {workers}");
            text
        })
    }
    let list = |count: usize| format!("[roles.a]\nargs = [{}]", "'x',".repeat(count));
    let named = |count: usize| {
        let names = (0..count).fold(String::new(), |mut text, i| {
            let _ = write!(text, "'s{i}',");
            text
        });
        format!("[roles.a]\nservers = [{names}]")
    };
    let comment = |bytes: usize| format!("[roles.a]\n#{}", "x".repeat(bytes - 11));
    let listen = |count: usize| format!("[roles.a]\nlisten = [{}]", "'tcp:0.0.0.0:0',".repeat(count));
    let address = |count: usize| format!("[roles.a]\naddress = [{}]", "'tcp:h:0',".repeat(count));
    // One argument and its closing zero, and the two braces of empty settings.
    let command = |bytes: usize| format!("[roles.a]\nargs = ['{}']", "x".repeat(bytes - 3));
    let long_role = |length: usize| format!("[roles.{}]", "r".repeat(length));
    for (at, past, code) in [
        (roles(ROLES_MAX, 1), roles(ROLES_MAX + 1, 1), ErrorCode::TooMany),
        (roles(4, WORKERS_MAX), roles(4, WORKERS_MAX + 1), ErrorCode::OutOfRange),
        (roles(4, 1024), roles(4, 1024) + "[roles.x]", ErrorCode::TooMany),
        (list(LIST_ITEMS_MAX), list(LIST_ITEMS_MAX + 1), ErrorCode::TooMany),
        (named(WORKERS_MAX), named(WORKERS_MAX + 1), ErrorCode::TooMany),
        (listen(LISTEN_MAX), listen(LISTEN_MAX + 1), ErrorCode::TooMany),
        (address(SERVER_ADDRESSES_MAX), address(SERVER_ADDRESSES_MAX + 1), ErrorCode::TooMany),
        (command(COMMAND_BYTES_MAX), command(COMMAND_BYTES_MAX + 1), ErrorCode::TooMany),
        (comment(CONFIG_BYTES_MAX), comment(CONFIG_BYTES_MAX + 1), ErrorCode::FileTooLarge),
        (long_role(61), long_role(62), ErrorCode::BadName),
    ] {
        good(&at);
        assert_eq!(bad(&past).errors[0].code, code);
    }
    assert_eq!(good(&roles(4, 1024)).servers().len(), ENSEMBLE_SERVERS_MAX);
}

#[test]
fn deep_nesting_and_long_chains_of_needs_are_no_trouble() {
    let deep = format!("[roles.a]\nsettings.x = {}1{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(bad(&deep).errors[0].code, ErrorCode::Syntax);
    let chain = (1..ROLES_MAX).fold("[roles.r0]\n".to_owned(), |mut text, i| {
        let _ = writeln!(text, "[roles.r{i}]\nneeds = ['r{}']", i - 1);
        text
    });
    assert_eq!(good(&chain).waves().len(), ROLES_MAX);
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("odeon.toml");
    let code = |path: &std::path::Path| Ensemble::load(path).map_err(|errors| errors.errors[0].code);
    assert_eq!(code(&path), Err(ErrorCode::FileMissing));
    assert_eq!(code(directory.path()), Err(ErrorCode::FileUnreadable));
    let write = |bytes: &[u8]| {
        use std::io::Write as _;
        let mut file = tempfile::NamedTempFile::new_in(&directory).expect("a file");
        file.write_all(bytes).expect("written");
        file.persist(&path).expect("in place");
    };
    write(b"[roles.web]\n# \xff\n");
    assert_eq!(code(&path), Err(ErrorCode::NotUtf8));
    write(&vec![b'#'; CONFIG_BYTES_MAX + 1]);
    assert_eq!(code(&path), Err(ErrorCode::FileTooLarge));
    write(b"[roles.web]\nexe = 'bin/web'\n");
    let ensemble = Ensemble::load(&path).expect("a good file");
    let expected = Executable::File(directory.path().join("bin/web"));
    assert_eq!(ensemble.roles[&role("web")].exe, expected);
}

#[test]
fn only_counted_roles_are_scaled_and_within_limits() {
    let mut ensemble = good("[roles.web]\n[roles.x]\nservers=['web-5']");
    let web = role("web");
    assert_eq!(names(&ensemble.scale(&web, 3).expect("scaled")), ["web-0@/", "web-1@/", "web-2@/"]);
    assert_eq!(ensemble.scale(&web, 0), Ok(vec![]));
    let scale = |ensemble: &mut Ensemble, role: &Role, n| ensemble.scale(role, n).map(|all| all.len());
    let id = "web-5@/".parse().expect("an id");
    let duplicate = ScaleError::DuplicateId { id, role: role("x") };
    assert_eq!(scale(&mut ensemble, &web, 6), Err(duplicate));
    assert_eq!(scale(&mut ensemble, &role("x"), 2), Err(ScaleError::Named { role: role("x") }));
    assert!(matches!(scale(&mut ensemble, &role("y"), 2), Err(ScaleError::UnknownRole { .. })));
    assert_eq!(ensemble.servers_of(&web), []);
    let mut alone = good("[roles.web]");
    assert_eq!(scale(&mut alone, &web, WORKERS_MAX), Ok(WORKERS_MAX));
    assert_eq!(
        scale(&mut alone, &web, WORKERS_MAX + 1),
        Err(ScaleError::TooMany { workers: WORKERS_MAX + 1 })
    );
}
