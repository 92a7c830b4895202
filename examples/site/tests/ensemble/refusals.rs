//! What cannot be done is said clearly, with an exit status of its own, and the servers go on.

use std::fs;

use crate::support::Project;

/// Who is asked for what, the exit status, the code, and what the sentence must hold.
const REFUSED: [(&[&str], i32, &str, &str); 19] = [
    (&["ping", "web-9"], 4, "unreachable", "did you mean `web-0`?"),
    (&["status", "web-9"], 4, "unreachable", "web-9"),
    (&["ask", "wob-0:greeter", "greeting"], 4, "unreachable", "did you mean `web-0`?"),
    (&["lookup", "web-9"], 1, "not-found", "did you mean"),
    (&["ps", "web-9"], 1, "not-found", "did you mean `web-0`?"),
    (&["ping", "web-0:nobody"], 1, "unknown-actor", "nobody"),
    (&["ask", "web-0:greter", "greeting"], 1, "unknown-actor", "did you mean `greeter`?"),
    (&["ask", "web-0:greeter", "SetGreting"], 1, "unknown-mark", "did you mean `set-greeting`?"),
    (&["ask", "web-0:greeter", "set-greeting", "{\"text\":"], 2, "malformed-json", "line 1"),
    (&["ask", "web-0:greeter", "set-greeting", "{\"txt\":\"x\"}"], 1, "bad-payload", "did you mean `text`?"),
    (&["ask", "web-0:greeter", "set-greeting", "{\"text\":7}"], 1, "bad-payload", "string"),
    (&["tell", "web-0:greeter", "set-greeting", "{}"], 1, "bad-payload", "text"),
    (&["stop", "web-9"], 1, "not-found", "web-9"),
    (&["start", "wob", "wob-0"], 1, "not-found", "did you mean `web`?"),
    (&["scale", "wob", "2"], 1, "bad-request", "web"),
    (&["ping", "Not A Name"], 2, "usage", "Not A Name"),
    (&["lookup", "--role", "wob"], 1, "not-found", "no living server of role wob"),
    (&["connect", "web-0", "web-0"], 1, "bad-request", "itself"),
    (&["config", "check", "no-such-file.toml"], 1, "config", "there is no file no-such-file.toml"),
];

#[test]
fn what_cannot_be_done_has_a_reason_and_a_status() {
    let project = Project::up();
    let pids = [project.pid("web-0"), project.pid("web-1")];
    for (command, status, code, advice) in REFUSED {
        let error = project.fails(status, command);
        assert!(error.starts_with(&format!("error[{code}]: ")), "{command:?}: {error}");
        assert!(error.contains(advice), "{command:?}: no `{advice}` in: {error}");
        assert!(!error.contains(".sock"), "{command:?}: {error}");
        assert_eq!(project.fails_json(status, command)["code"], code, "{command:?}");
    }
    let unknown = project.site(&["pin", "web-0"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.err.contains("'ping'"), "{unknown:?}");
    let error = project.fails_json(2, &["pin", "web-0"]);
    assert_eq!(error["code"], "usage", "{error}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("'ping'")), "{error}");
    assert_eq!([project.pid("web-0"), project.pid("web-1")], pids, "the servers go on");
    assert_eq!(project.get("/").status, 200);
}

#[test]
fn a_wrong_cookie_opens_nothing() {
    let project = Project::up();
    let path = project.home().join("cookie");
    let right = fs::read(&path).expect("a cookie");
    project.done(&["admin", "cookie", "--force"]);
    for command in [
        &["ps"][..],
        &["ping", "web-0"],
        &["ask", "web-0:greeter", "greeting"],
        &["list", "servers"],
        &["down"],
    ] {
        let error = project.fails(3, command);
        assert!(error.contains("cookie"), "{command:?}: {error}");
        let error = project.fails_json(3, command);
        assert_eq!(error["code"], "not-authorised", "{command:?}: {error}");
    }
    fs::write(&path, right).expect("restored");
    project.done(&["ping", "web-0"]);
    assert_eq!(project.get("/").status, 200);
    assert_eq!(project.row("web-0")["process"]["restarts"], 0);
}

#[test]
fn without_an_ensemble_every_command_says_so_and_makes_nothing() {
    let project = Project::new(crate::support::TWO_WORKERS);
    for command in [&["ps"][..], &["down"], &["ping", "web-0"], &["list", "servers"], &["scale", "web", "3"]]
    {
        let error = project.fails(4, command);
        assert!(error.contains("not up") && error.contains("site up"), "{command:?}: {error}");
        assert_eq!(project.fails_json(4, command)["code"], "unreachable");
    }
    assert!(project.fails(1, &["logs", "web-0"]).contains("web-0"));
    assert!(!project.home().exists(), "a question makes nothing");
}
