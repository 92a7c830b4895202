//! `ca`: authorities and certificates, from the command line.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Outcome, Project, TWO_WORKERS, signal, wait_for};

/// The root's passphrase, then the subordinate's.
const BOTH: &str = "the root's words\nthe subordinate's words\n";
const SUB: &str = "the subordinate's words\n";

/// Runs a command of `ca` with these passphrases.
fn ca(project: &Project, lines: &str, arguments: &[&str]) -> Outcome {
    project.site_with_lines(lines, &[&["ca"], arguments, &["--passphrase-fd", "3"]].concat())
}

/// The same, which must succeed; the document it printed.
fn ca_json(project: &Project, lines: &str, arguments: &[&str]) -> Value {
    let outcome = ca(project, lines, &[arguments, &["--json"]].concat());
    assert_eq!(outcome.code, 0, "{arguments:?}: {outcome:?}");
    assert_eq!(outcome.err, "", "progress is for people");
    serde_json::from_str(&outcome.out).expect("a document")
}

fn with_authorities() -> Project {
    let project = Project::new(TWO_WORKERS);
    let outcome = ca(&project, BOTH, &["setup", "--organization", "A Shop", "--country", "CH"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    project
}

#[test]
fn set_up_makes_the_authorities_and_the_consoles_certificate() {
    let project = Project::new(TWO_WORKERS);
    assert_eq!(project.done(&["ca", "view"]).trim(), "nothing is in force");
    let outcome = ca(&project, BOTH, &["setup", "--organization", "A Shop", "--country", "CH"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.out.starts_with("console@/ may admin, until "), "{outcome:?}");
    for (file, mode) in [
        ("ca/root/root.key", 0o600),
        ("ca/root/root.crt", 0o644),
        ("ca/sub/sub.key", 0o600),
        ("ca/sub/sub.crt", 0o644),
        ("ca/ca.pem", 0o644),
        ("ca/root.pem", 0o644),
        ("ca/sub/crl.pem", 0o644),
        ("servers/@console/tls/server.key", 0o600),
        ("servers/@console/tls/chain.pem", 0o644),
    ] {
        let path = project.home().join(file);
        let found = path.metadata().unwrap_or_else(|e| panic!("{file}: {e}")).permissions().mode() & 0o777;
        assert_eq!(found, mode, "{file}");
        assert!(outcome.err.contains(&format!("wrote {}\n", path.display())), "{file}: {outcome:?}");
    }
    let root = project.json(&["ca", "view", ".odeon/ca/root.pem"]);
    assert_eq!(root[0]["subject"], "CN=A Shop Root CA,L=Internet,O=A Shop,C=CH");
    assert_eq!(root[0]["authority"], true);
    let shown = project.done(&["ca", "view", "console@/"]);
    assert!(shown.contains("may           admin\n"), "{shown}");
    assert!(shown.contains("issuer        CN=A Shop Subordinate CA,L=Internet,O=A Shop,C=CH\n"), "{shown}");

    let before = fs::read(project.home().join("ca/root/root.key")).expect("read");
    let again = ca(&project, BOTH, &["setup"]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.err.contains("error[ca-exists]"), "{again:?}");
    assert_eq!(fs::read(project.home().join("ca/root/root.key")).expect("read"), before);
}

#[test]
fn a_servers_certificate_is_issued_shown_renewed_and_revoked() {
    let project = with_authorities();
    let made =
        ca_json(&project, SUB, &["cert", "web-0", "loader", "watch:cart", "--days", "6", "--key", "p256"]);
    assert_eq!(
        (&made["server"], &made["capabilities"]),
        (&json!("web-0@/"), &json!(["loader", "watch:cart"]))
    );
    let key = project.home().join("servers/@web-0/tls/server.key");
    let first = fs::read(&key).expect("read");

    let kept = ca(&project, SUB, &["cert", "web-0"]);
    assert_eq!(kept.code, 1, "{kept:?}");
    assert!(kept.err.contains("error[exists]") && kept.err.contains("--force"), "{kept:?}");

    let listed = project.done(&["ca", "view"]);
    assert!(listed.starts_with("SERVER     MAY"), "{listed}");
    let row = listed.lines().find(|line| line.starts_with("web-0@/")).expect("a row");
    assert!(
        row.contains("loader watch:cart  ends in 5 days, at ") || row.contains("ends in 6 days"),
        "{row}"
    );
    let shown = project.done(&["ca", "view", "web-0"]);
    assert!(shown.contains("warning       ends in "), "{shown}");

    let renewed = ca_json(&project, SUB, &["renew", "web-0"]);
    assert_eq!(renewed[0]["capabilities"], made["capabilities"]);
    assert_ne!(renewed[0]["serial"], made["serial"]);
    assert_eq!(fs::read(&key).expect("read"), first, "the key stays");
    let all = ca_json(&project, SUB, &["renew", "--all", "--new-key", "ed25519"]);
    let servers: Vec<&str> =
        all.as_array().expect("a list").iter().filter_map(|m| m["server"].as_str()).collect();
    assert_eq!(servers, ["console@/", "web-0@/"]);
    assert_ne!(fs::read(&key).expect("read"), first, "a new key was wanted");

    let serial = made["serial"].as_str().expect("a serial number");
    let one = ca_json(&project, SUB, &["revoke", serial]);
    assert_eq!(one["revoked"], json!([{ "server": "web-0@/", "serial": serial }]));
    let rest = ca(&project, SUB, &["revoke", "web-0"]);
    assert_eq!(rest.out.matches("web-0@/ is revoked (serial number ").count(), 2, "{rest:?}");
    fs::remove_file(project.home().join("ca/sub/crl.pem")).expect("the list was not written, say");
    let retried = ca(&project, SUB, &["revoke", "web-0"]);
    assert_eq!(retried.out.matches("web-0@/ is revoked (serial number ").count(), 3, "{retried:?}");
    assert!(project.home().join("ca/sub/crl.pem").exists(), "it is written again");
    let none = ca(&project, SUB, &["revoke", "web-9"]);
    assert_eq!(none.code, 1, "{none:?}");
    assert!(none.err.contains("error[not-issued]"), "{none:?}");
    let listed = project.done(&["ca", "view"]);
    assert!(listed.contains("console@/") && !listed.contains("web-0@/"), "{listed}");
    let refused = ca(&project, SUB, &["renew", "web-0"]);
    assert!(refused.err.contains("error[certificate-revoked]"), "{refused:?}");
    let again = ca(&project, SUB, &["cert", "web-0", "--force"]);
    assert_eq!(again.code, 0, "{again:?}");
}

#[test]
fn passphrases_are_needed_and_must_be_right() {
    let project = Project::new(TWO_WORKERS);
    let none = ca(&project, SUB, &["cert", "web-0"]);
    assert!(none.err.contains("there is no authority in ") && none.err.contains("`ca setup`"), "{none:?}");
    let one = ca(&project, SUB, &["setup"]);
    assert!(one.err.contains("there is no line with the passphrase of the subordinate CA"), "{one:?}");
    let short = ca(&project, "short\nlong enough\n", &["setup"]);
    assert!(short.err.contains("a passphrase has at least 8 characters"), "{short:?}");
    assert!(!project.home().join("ca").exists(), "nothing was made");

    let made = ca(&project, BOTH, &["setup"]);
    assert_eq!(made.code, 0, "{made:?}");
    let wrong = ca(&project, BOTH, &["cert", "web-0"]);
    assert_eq!(wrong.code, 1, "the first line is the root's: {wrong:?}");
    assert!(wrong.err.contains("error[wrong-passphrase]"), "{wrong:?}");
    assert!(!project.home().join("servers/@web-0/tls").exists(), "nothing was made");
    let closed = project.site(&["ca", "cert", "web-0", "--passphrase-fd", "9"]);
    assert_eq!(closed.code, 2, "{closed:?}");
}

#[test]
fn status_and_ps_warn_before_a_certificate_ends() {
    let project = with_authorities();
    let made = ca(&project, SUB, &["cert", "web-0", "--days", "6"]);
    assert_eq!(made.code, 0, "{made:?}");
    project.done(&["up", "--detach"]);
    let shown = project.site(&["status", "web-0"]);
    assert!(shown.out.contains("certificate   until "), "{shown:?}");
    assert!(shown.err.contains("warning: the certificate of web-0@/ ends in "), "{shown:?}");
    assert!(shown.err.contains("run `site ca renew web-0@/`"), "{shown:?}");
    let rows = project.site(&["ps"]);
    assert_eq!(rows.err.matches("warning: the certificate of ").count(), 1, "{rows:?}");
    assert!(project.json(&["status", "web-0"])["certificate_not_after"].is_string());
    let renewed = ca(&project, SUB, &["renew", "web-0"]);
    assert_eq!(renewed.code, 0, "{renewed:?}");
    assert_eq!(project.site(&["ps"]).err, "");
    assert!(project.json(&["status", "web-1"])["certificate_not_after"].is_null());
}

#[test]
fn a_hangup_has_the_supervisor_load_its_certificate_anew() {
    let project = with_authorities();
    let made = ca(&project, SUB, &["cert", "supervisor"]);
    assert_eq!(made.code, 0, "{made:?}");
    project.done(&["up", "--detach"]);
    let log = project.home().join("servers/@supervisor/log/server.log");
    let loaded = || fs::read_to_string(&log).unwrap_or_default().matches("certificate loaded").count();
    let (pid, before) = (project.supervisor_pid(), loaded());
    signal(pid, Signal::HUP);
    wait_for("the certificate to be loaded", || (loaded() > before).then_some(()));
    assert_eq!(project.supervisor_pid(), pid);
}

#[test]
fn a_server_of_another_host_has_no_files_here_but_its_certificate() {
    let project = with_authorities();
    let made = ca(&project, SUB, &["cert", "web-9"]);
    assert_eq!(made.code, 0, "{made:?}");
    project.done(&["up", "--detach"]);
    // It is asked, and not told from a directory that only holds what was made for it.
    assert_eq!(project.fails_json(4, &["audit", "web-9"])["code"], "unreachable");
    assert_eq!(project.site_with(&["admin", "keys", "--passphrase-fd", "0"], "correct horse\n").code, 0);
    let authorize = ["admin", "authorize", "web-0", "web-9", "loader", "--offline", "--passphrase-fd", "0"];
    let authorized = project.site_with(&authorize, "correct horse\n");
    assert_eq!(authorized.code, 0, "{authorized:?}");
    assert!(!project.home().join("servers/@web-9/grant.key").exists(), "its key is its own");
}

#[test]
fn only_what_was_done_is_said_and_what_fails_makes_nothing() {
    let project = Project::new(TWO_WORKERS);
    let none = ca(&project, SUB, &["cert", "web-0"]);
    assert!(none.err.contains("error[missing]: there is no authority in "), "{none:?}");
    assert!(!project.home().exists(), "not even a home");
    let project = with_authorities();
    let made = ca(&project, SUB, &["cert", "web-0"]);
    assert_eq!(made.err.matches("wrote ").count(), 2, "{made:?}");
    let kept = ca(&project, SUB, &["cert", "web-0"]);
    assert!(kept.err.starts_with("error[exists]: "), "it says nothing before: {kept:?}");
}

#[test]
fn a_file_that_is_no_certificate_is_called_what_it_is() {
    let project = with_authorities();
    for (file, is) in [
        (".odeon/servers/@console/tls/server.key", "a private key;"),
        (".odeon/ca/sub/sub.key", "a private key under a passphrase;"),
        ("odeon.toml", "text;"),
    ] {
        let error = project.fails(1, &["ca", "view", file]);
        assert!(error.starts_with("error[not-a-certificate]: "), "{error}");
        assert!(error.contains(&format!("{file} is {is} expected a certificate in PEM")), "{error}");
    }
    let list = project.done(&["ca", "view", ".odeon/ca/sub/crl.pem"]);
    assert!(
        list.starts_with("list of       CN=A Shop Subordinate CA,") && list.contains("revoked       nothing"),
        "{list}"
    );
    assert_eq!(project.json(&["ca", "view", ".odeon/ca/sub/crl.pem"])[0]["number"], "01");
    assert_eq!(ca(&project, SUB, &["cert", "supervisor"]).code, 0);
    project.done(&["package", "supervisor", "--output", "host.tar"]);
    let package = project.done(&["ca", "view", "host.tar"]);
    assert!(package.contains("home/servers/@supervisor/tls/server.key"), "{package}");
    assert!(!package.contains("PRIVATE"), "{package}");

    project.write("a.grant", "odeon-grant-1:00\n");
    assert_eq!(project.fails_json(1, &["ca", "view", "a.grant"])["code"], "missing", "there is no admin key");
    assert_eq!(project.site_with(&["admin", "keys", "--passphrase-fd", "0"], "correct horse\n").code, 0);
    assert_eq!(project.fails_json(1, &["ca", "view", "a.grant"])["code"], "grant");
    let authorize = ["admin", "authorize", "web-0", "web-9", "loader", "--offline", "--passphrase-fd", "0"];
    let authorized = project.site_with(&[&authorize[..], &["--json"]].concat(), "correct horse\n");
    let grant: Value = serde_json::from_str(&authorized.out).expect("a document");
    let shown = project.done(&["ca", "view", grant["file"].as_str().expect("a file")]);
    assert!(shown.contains("for           web-9@/\nmay           loader; at web-0@/"), "{shown}");
}

#[test]
fn a_revocation_list_is_brought_to_every_server() {
    let project = with_authorities();
    for server in ["web-0", "web-9"] {
        assert_eq!(ca(&project, SUB, &["cert", server]).code, 0);
    }
    let down = project.fails_json(4, &["ca", "publish"]);
    assert_eq!(down["code"], "unreachable");
    project.done(&["up", "--detach"]);
    let revoked = ca_json(&project, SUB, &["revoke", "web-9", "--publish"]);
    let outcomes = |published: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let rows = published.as_array().expect("rows").iter();
        rows.map(|row| (text(&row["server"]), text(&row["outcome"]))).collect()
    };
    let published = outcomes(&revoked["published"]);
    // The file is this home's own, so it stands there already; who has no certificate looks at none.
    let at =
        |id: &str| published.iter().find(|(server, _)| server == id).map(|(_, outcome)| outcome.as_str());
    assert!(matches!(at("web-0@/"), Some("taken" | "known")), "{published:?}");
    assert_eq!(at("web-1@/"), Some("not-needed"), "{published:?}");
    assert_eq!(outcomes(&project.json(&["ca", "publish"])).len(), published.len());
    assert!(project.done(&["ca", "publish"]).contains("web-0@/ had the list already"));
}
