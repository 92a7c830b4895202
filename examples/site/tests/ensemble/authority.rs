//! Who may do what, from the command line: keys, grants, what they allow, and what is written down.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Project, TWO_WORKERS};

const PASSPHRASE: &str = "correct horse\n";

/// Runs a command that asks for the admin key's passphrase; its JSON.
fn with_passphrase(project: &Project, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--passphrase-fd", "0", "--json"]].concat();
    let outcome = project.site_with(&arguments, PASSPHRASE);
    assert_eq!(outcome.code, 0, "{arguments:?}: {outcome:?}");
    serde_json::from_str(&outcome.out).expect("JSON")
}

#[test]
fn what_is_granted_counts_until_it_is_retracted_and_is_written_down() {
    let project = Project::up();
    let can = ["can", "web-1", "loader", "--on", "web-0:greeter"];
    let before = project.site(&can);
    assert_eq!((before.code, before.out.trim()), (3, "no: web-1@/ holds nothing at web-0@/"), "{before:?}");

    let made = with_passphrase(&project, &["admin", "keys"]);
    let viewed = project.json(&["admin", "keys", "--view"]);
    assert_eq!(made["key"], viewed["admin"]);
    let again = project.fails(1, &["admin", "keys", "--passphrase-fd", "0"]);
    assert!(again.contains("error[exists]") && again.contains("--force"), "{again}");

    let wrong = ["admin", "authorize", "web-0", "web-1", "loader", "--passphrase-fd", "0"];
    let wrong = project.site_with(&wrong, "wrong horse\n");
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.err.contains("passphrase"), "{wrong:?}");

    let grant =
        with_passphrase(&project, &["admin", "authorize", "web-0", "web-1", "loader", "--actor", "greeter"]);
    assert_eq!(grant["presented"], true);
    let id = grant["id"].as_str().expect("an id");
    let now = project.done(&can);
    assert!(now.starts_with("yes: by grant ") && now.contains("for actor greeter"), "{now}");
    assert_eq!(project.site(&["can", "web-1", "loader", "--on", "web-0"]).code, 3, "another actor");
    assert!(project.done(&["admin", "grants", "web-0"]).starts_with(id));
    assert!(project.done(&["admin", "grants"]).contains(id));

    // A bare name is one of the domain.
    let retracted = project.json(&["admin", "retract", "web-0", "web-1"]);
    assert_eq!(retracted["retracted"], 1);
    assert_eq!(project.site(&can).code, 3);
    assert_eq!(project.json(&["can", "me", "shutdown", "--on", "web-0"])["allowed"], true);

    let log = project.done(&["audit", "web-0"]);
    assert!(log.lines().any(|line| line.contains("server/1#answer-challenge") && line.contains(id)), "{log}");
    assert!(log.lines().any(|line| line.contains("a process of this user, over a unix socket")), "{log}");
    let last = project.done(&["audit", "web-0", "-n", "1", "--json"]);
    assert_eq!(last.lines().count(), 1, "{last}");
}

#[test]
fn a_grant_is_narrowed_offline_by_its_holder_and_by_nobody_else() {
    let project = Project::up();
    with_passphrase(&project, &["admin", "keys"]);
    let console = project.json(&["admin", "keys", "--view"])["console"].as_str().expect("a key").to_owned();
    let to_console = format!("key:{console}");
    let given =
        with_passphrase(&project, &["admin", "authorize", "web-0", &to_console, "admin", "--expires", "1h"]);
    assert_eq!(given["presented"], false, "whoever has the key presents it");
    let id = given["id"].as_str().expect("an id");
    let narrow = ["admin", "narrow", id, "--only", "shutdown", "--actor", "0", "--to", "web-1"];
    let narrowed = project.json(&narrow);
    assert_eq!(narrowed["right"]["capabilities"], serde_json::json!(["shutdown"]));
    assert_eq!(narrowed["right"]["origin"]["grant"].as_array().map(Vec::len), Some(2));
    // Web-1 holds it now, and passes it on; what it holds cannot be widened.
    let wider =
        project.json(&["admin", "narrow", narrowed["id"].as_str().expect("an id"), "--only", "admin"]);
    assert_eq!(wider["right"]["capabilities"], serde_json::json!(["shutdown"]));
    let unknown = project.fails(1, &["admin", "narrow", "nothing"]);
    assert!(unknown.contains("no grant `nothing`"), "{unknown}");
}

#[test]
fn a_command_presents_what_its_user_was_granted_by_itself_and_once() {
    let project = Project::new(&format!("strict = true\n{TWO_WORKERS}"));
    let up = project.start(&["up"]);
    up.wait_said("up: 4 servers");
    let can = ["can", "me", "shutdown", "--on", "web-0"];
    assert_eq!(project.site(&can).code, 3, "a strict server believes no user");
    with_passphrase(&project, &["admin", "keys"]);
    let console = project.json(&["admin", "keys", "--view"])["console"].as_str().expect("a key").to_owned();
    let to = format!("key:{console}");
    with_passphrase(&project, &["admin", "authorize", "web-0", &to, "shutdown"]);
    assert_eq!(project.json(&can)["allowed"], true);
    let answered = || project.done(&["audit", "web-0"]).matches("server/1#answer-challenge").count();
    assert_eq!(answered(), 1);
    // This one reaches for the server twice.
    project.done(&["tell", "web-0:greeter", "set-greeting", r#"{"text":"ho"}"#]);
    assert_eq!(answered(), 2);
    up.signal(Signal::INT);
    assert_eq!(up.wait_end().code, 0);
}

#[test]
fn the_same_failure_has_the_same_code_whichever_command_meets_it() {
    let project = Project::new(TWO_WORKERS);
    for command in [&["audit", "--file", "nothing"][..], &["unpack", "nothing"]] {
        assert_eq!(project.fails_json(1, command)["code"], "unreadable", "{command:?}");
    }
    project.done(&["admin", "cookie"]);
    assert_eq!(project.fails_json(1, &["admin", "cookie"])["code"], "exists");
    assert_eq!(project.fails_json(1, &["admin", "keys", "--view"])["code"], "missing");
    with_passphrase(&project, &["admin", "keys"]);
    let again = ["admin", "keys", "--passphrase-fd", "0"];
    assert_eq!(project.fails_json(1, &again)["code"], "exists");
    let wrong = ["admin", "authorize", "web-0", "web-1", "loader", "--offline", "--passphrase-fd", "0"];
    let wrong = project.site_with(&wrong, "wrong horse\n");
    assert!(wrong.err.contains("error[wrong-passphrase]"), "{wrong:?}");
    assert_eq!(project.fails_json(1, &["admin", "narrow", "nothing"])["code"], "not-found");
    // A file stands where a directory should be.
    project.write(".odeon/grants", "");
    let unwritten = ["admin", "authorize", "web-0", "web-1", "loader", "--offline", "--passphrase-fd", "0"];
    let unwritten = project.site_with(&unwritten, PASSPHRASE);
    assert!(unwritten.err.contains("error[unwritable]"), "{unwritten:?}");
}

#[test]
fn a_strict_ensemble_comes_up_in_the_background_and_says_what_its_commands_lack() {
    let project = Project::new(&format!("strict = true\n{TWO_WORKERS}"));
    let up = project.site(&["up", "--detach"]);
    assert_eq!((up.code, up.out.contains("up: 4 servers")), (0, true), "{up:?}");
    assert!(up.err.contains("web-0        ready     pid "), "{up:?}");
    let refused = project.fails(3, &["ps"]);
    assert!(refused.starts_with("error[not-authorised]: "), "{refused}");
    for advice in ["can me", "admin authorize SERVER key:KEY CAPABILITY", "`auth`", "strict"] {
        assert!(refused.contains(advice), "no `{advice}` in: {refused}");
    }
    let nobody = project.fails(4, &["status", "web-9"]);
    assert!(nobody.starts_with("error[unreachable]: no server web-9 runs here"), "{nobody}");
    // As it advises.
    with_passphrase(&project, &["admin", "keys"]);
    let console = project.json(&["admin", "keys", "--view"])["console"].as_str().expect("a key").to_owned();
    let to = format!("key:{console}");
    with_passphrase(&project, &["admin", "authorize", "supervisor", &to, "supervisor", "shutdown"]);
    project.done(&["ps"]);
    project.done(&["down"]);
    project.assert_nothing_left();
}

#[test]
fn a_grant_that_is_refused_says_so_and_is_not_presented_for_ever() {
    let project = Project::up();
    with_passphrase(&project, &["admin", "keys"]);
    let console = project.json(&["admin", "keys", "--view"])["console"].as_str().expect("a key").to_owned();
    let to = format!("key:{console}");
    let grant = with_passphrase(&project, &["admin", "authorize", "web-0", &to, "loader"]);
    let id = grant["id"].as_str().expect("an id");
    let presented = || project.done(&["audit", "web-0"]).matches("server/1#present-grant").count();
    project.done(&["ping", "web-0"]);
    assert_eq!(project.json(&["admin", "grants"])[0]["refused"], serde_json::json!([]));
    project.done(&["admin", "retract", "web-0", id]);
    let before = presented();
    let first = project.site(&["ping", "web-0"]);
    assert!(first.err.contains("a grant is not taken at web-0@/"), "{first:?}");
    assert_eq!(presented(), before + 1, "it is refused once");
    let next = project.site(&["ping", "web-0"]);
    assert_eq!((next.code, next.err.as_str(), presented()), (0, "", before + 1), "and not presented again");
    let refused = project.json(&["admin", "grants"])[0]["refused"][0].clone();
    assert_eq!(
        (&refused["server"], refused["why"].as_str()),
        (&"web-0@/".into(), Some("the grant was retracted here"))
    );
    let shown = project.done(&["admin", "grants"]);
    assert!(shown.contains("refused at web-0@/, ") && shown.contains("retracted here"), "{shown}");
}

#[test]
fn can_says_when_there_is_nobody_to_do_it_to() {
    let project = Project::up();
    let there = project.json(&["can", "me", "shutdown", "--on", "web-0:greeter"]);
    assert_eq!((&there["allowed"], &there["actor_is_there"]), (&true.into(), &true.into()));
    let nobody = ["can", "me", "shutdown", "--on", "web-0:greter"];
    let missing = project.json(&nobody);
    assert_eq!((&missing["allowed"], &missing["actor_is_there"]), (&true.into(), &false.into()));
    let text = project.done(&nobody);
    assert!(text.starts_with("yes: "), "{text}");
    assert!(text.contains("\nbut there is no actor `greter` at web-0@/ now"), "{text}");
}

#[test]
fn what_is_no_audit_log_is_not_taken_for_an_empty_one() {
    let project = Project::new(TWO_WORKERS);
    assert_eq!(project.fails_json(1, &["audit", "--file", "odeon.toml"])["code"], "not-an-audit-log");
    project.write("bytes", "");
    assert_eq!(project.done(&["audit", "--file", "bytes"]), "", "an empty log is one");
    std::fs::write(project.path().join("bytes"), [0xff, 0xfe, 0]).expect("written");
    assert_eq!(project.fails_json(1, &["audit", "--file", "bytes"])["code"], "not-an-audit-log");
}
