//! What an operator sees and says while all is well.

use serde_json::{Value, json};

use crate::http::Client;
use crate::support::{Project, pid_of, state_of, wait_for};

#[test]
fn up_serves_pages_and_ps_shows_who_does() {
    let project = Project::new(crate::support::TWO_WORKERS);
    let said = project.site(&["up", "--detach"]);
    assert_eq!(said.code, 0, "{said:?}");
    let address = project.address();
    assert!(said.out.contains(&format!("servers, at {address}")), "{said:?}");
    for id in ["registry", "web-0", "web-1"] {
        assert!(said.err.lines().any(|line| line.starts_with(id) && line.contains("ready")), "{said:?}");
    }

    let page = project.get("/");
    assert_eq!((page.status, page.body.as_str()), (200, "<h1>A page</h1>\n"));
    assert_eq!(project.get("/no-such-page").status, 404);
    assert_eq!(project.get("/../odeon.toml").status, 404);

    let rows = project.json(&["ps"]);
    let ids: Vec<&str> = rows.as_array().expect("rows").iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(ids, ["supervisor@/", "registry@/", "web-0@/", "web-1@/"]);
    for row in rows.as_array().expect("rows") {
        assert_eq!(state_of(row), "ready", "{row}");
        assert_eq!(row["process"]["restarts"], 0, "{row}");
        assert!(row["uptime_ms"].as_u64().is_some_and(|ms| ms < 60_000), "{row}");
        let pid = pid_of(row).expect("a process");
        assert!(project.processes().iter().any(|(found, _)| *found == pid), "{row}");
    }
    assert_eq!(rows[2]["role"], "web");
    assert_eq!(rows[2]["listen"], json!([format!("tcp:{address}")]));

    let table = project.done(&["ps"]);
    let heading: Vec<&str> = table.lines().next().expect("a heading").split_whitespace().collect();
    assert_eq!(heading, ["ID", "ROLE", "STATE", "PID", "RESTARTS", "UPTIME", "LISTEN"]);
    assert!(project.done(&["ps", "--role", "web"]).lines().count() == 3);
    assert!(project.done(&["ps", "web-1"]).contains("web-1"));
}

#[test]
fn a_greeting_is_changed_while_it_is_served() {
    let project = Project::up();
    let address = project.address();
    let greeting = || -> Value {
        let mut client = Client::connect(address).expect("connects");
        serde_json::from_str(&client.get("/greeting").expect("an answer").body).expect("JSON")
    };
    assert_eq!(greeting()["text"], "Good evening.");
    // Both forms of the name that an operator may know; the answer is the greeting before.
    assert_eq!(
        project.json(&["ask", "web-0:greeter", "SetGreeting", r#"{"text":"hi"}"#]),
        json!({"Ok": "Good evening."})
    );
    assert_eq!(project.json(&["ask", "web-0:greeter", "greeting"]), json!("hi"));
    project.done(&["tell", "web-1:greeter", "greeter/1#set-greeting", r#"{"text":"ho"}"#]);
    for (worker, text) in [("web-0@/", "hi"), ("web-1@/", "ho")] {
        let page = wait_for("a page of each worker", || {
            Some(greeting()).filter(|page| worker.starts_with(page["served_by"].as_str().expect("a server")))
        });
        assert_eq!(page["text"], text, "{page}");
    }
    // An actor that refuses has answered; a script sees it as a failure all the same.
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(201));
    let refused = project.site(&["ask", "web-0:greeter", "set-greeting", &long, "--json"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let answer: Value = serde_json::from_str(&refused.out).expect("the answer");
    assert_eq!(answer["Err"], "a greeting has at most 200 characters");
    let error: Value = serde_json::from_str(&refused.err).expect("the error");
    assert_eq!(error["error"]["code"], "err-answer");
}

#[test]
fn servers_and_actors_show_themselves() {
    let project = Project::up();
    let ping = project.json(&["ping", "web-0"]);
    assert_eq!((&ping["target"], &ping["answer"]), (&json!("web-0@/"), &json!("ok")));
    assert!(ping["micros"].as_u64().is_some_and(|micros| micros > 0), "{ping}");
    assert_eq!(project.json(&["ping", "web-0:greeter"])["target"], "web-0@/:greeter");
    assert!(project.done(&["ping", "web-1"]).starts_with("web-1 is alive"));

    let found = project.json(&["lookup", "--role", "web"]);
    let ids: Vec<&Value> = found.as_array().expect("a list").iter().map(|entry| &entry["id"]).collect();
    assert_eq!(ids, ["web-0@/", "web-1@/"]);
    let found = project.json(&["lookup", "web-1"]);
    assert_eq!(found[0]["id"], "web-1@/");
    assert_eq!(found[0]["health"], "alive");
    assert!(found[0]["addresses"][0].as_str().is_some_and(|text| text.starts_with("unix:")), "{found}");
    let nobody = project.site(&["lookup", "--role", "wob"]);
    assert_eq!((nobody.code, nobody.out.as_str()), (1, ""), "{nobody:?}");
    assert!(nobody.err.contains("error[not-found]: no living server of role wob"), "{nobody:?}");

    let servers = project.json(&["list", "servers"]);
    let ids: Vec<&Value> = servers.as_array().expect("a list").iter().map(|entry| &entry["id"]).collect();
    assert!(["registry@/", "web-0@/", "web-1@/"].iter().all(|id| ids.contains(&&json!(id))), "{servers}");
    let actors = project.json(&["list", "actors", "web-0"]);
    assert_eq!((&actors[0]["name"], &actors[0]["protocol"]), (&json!("greeter"), &json!("greeter/1")));
    let links = project.json(&["list", "connections", "web-0"]);
    let links = links.as_array().expect("a list");
    assert!(links.iter().any(|link| link["server"] == "registry@/" && link["direction"] == "outgoing"));

    let status = project.json(&["status", "web-0"]);
    assert_eq!((&status["server"], &status["ready"]), (&json!("web-0@/"), &json!(true)));
    assert_eq!(status["pid"].as_i64(), Some(i64::from(project.pid("web-0"))));

    let metrics = project.done(&["status", "web-0", "--metrics"]);
    assert!(metrics.contains("# TYPE odeon_links gauge") && metrics.ends_with("# EOF\n"), "{metrics}");
    let metrics = project.json(&["status", "web-0", "--metrics"]);
    assert!(metrics["metrics"].as_str().is_some_and(|text| text.contains("odeon_handshakes_total")));

    let linked = project.json(&["connect", "web-0", "web-1"]);
    assert_eq!((&linked["from"], &linked["to"]), (&json!("web-0@/"), &json!("web-1@/")));
    let links = project.done(&["list", "connections", "web-0"]);
    assert!(links.lines().any(|line| line.contains("web-1")), "{links}");
    // Where it is can be said, and a wrong word is a server that cannot be reached.
    let at = found[0]["addresses"][0].as_str().expect("an address");
    assert_eq!(project.json(&["connect", "registry", "web-1", at])["to"], "web-1@/");
    for lost in [&["connect", "web-0", "nowhere"][..], &["connect", "web-0", "nowhere", "tcp:127.0.0.1:1"]] {
        let lost = project.site(lost);
        assert_eq!(lost.code, 4, "{lost:?}");
        assert!(lost.err.contains("error[unreachable]: ") && lost.err.contains("nowhere"), "{lost:?}");
    }
}

#[test]
fn an_actor_describes_its_messages_with_their_schemas() {
    let project = Project::up();
    let protocol = project.json(&["describe", "web-0:greeter"]);
    assert_eq!(protocol["mark"], "greeter/1");
    let methods = protocol["methods"].as_array().expect("methods");
    let set = methods.iter().find(|method| method["name"] == "set-greeting").expect("set-greeting");
    assert_eq!(set["mark"], "greeter/1#set-greeting");
    assert_eq!(set["arguments"]["properties"]["text"]["type"], "string");
    assert_eq!(set["arguments"]["required"], json!(["text"]));
    let text = project.done(&["describe", "web-0:greeter"]);
    assert!(text.contains("greeter/1#set-greeting"), "{text}");
    assert!(text.contains(r#""properties":{"text":{"type":"string"}}"#), "{text}");
    // A server is an actor too; what it understands fits a screen.
    let text = project.done(&["describe", "web-0"]);
    assert!(text.contains("server/1#list-actors"), "{text}");
}

#[test]
fn the_program_explains_itself() {
    let project = Project::new(crate::support::TWO_WORKERS);
    assert!(project.done(&["version"]).starts_with("site "));
    let version = project.json(&["version"]);
    assert_eq!((&version["program"], version["odeon"].is_string()), (&json!("site"), true));
    for (shell, sign) in [("bash", "complete -F"), ("zsh", "#compdef site"), ("fish", "complete -c site")] {
        let script = project.done(&["completions", shell]);
        assert!(script.contains(sign), "{shell}: {script}");
    }
    let help = project.done(&["help"]);
    for command in ["up", "down", "ps", "logs", "ask", "scale"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
    let checked = project.json(&["config", "check"]);
    assert_eq!(checked["roles"]["web"]["servers"], json!(["web-0@/", "web-1@/"]));
    assert!(!project.home().exists(), "looking has made nothing");
}

#[test]
fn the_cookie_is_made_once_and_replaced_on_demand() {
    let project = Project::new(crate::support::TWO_WORKERS);
    let made = project.json(&["admin", "cookie"]);
    assert!(made["path"].as_str().is_some_and(|path| path.ends_with("cookie")), "{made}");
    let cookie = project.json(&["admin", "cookie", "--view"])["cookie"].clone();
    assert!(cookie.as_str().is_some_and(|text| text.len() == 64), "{cookie}");
    let refused = project.fails(1, &["admin", "cookie"]);
    assert!(refused.contains("--force"), "{refused}");
    assert_eq!(project.json(&["admin", "cookie", "--view"])["cookie"], cookie, "it was kept");
    project.done(&["admin", "cookie", "--force"]);
    assert_ne!(project.json(&["admin", "cookie", "--view"])["cookie"], cookie, "it was replaced");
}

#[test]
fn down_leaves_no_process_and_no_socket() {
    let project = Project::up();
    let address = project.address();
    assert_eq!(project.processes().len(), 7, "a supervisor, and three servers under three shims");
    assert!(!project.sockets().is_empty());
    let stopped = project.json(&["down"]);
    assert_eq!(stopped["stopped"], json!(["registry@/", "web-0@/", "web-1@/"]));
    project.assert_nothing_left();
    assert!(Client::connect(address).is_err(), "nobody listens");
    // And again from the same place.
    let rows = project.json(&["up", "-d"]);
    assert_eq!(rows.as_array().map(Vec::len), Some(3), "{rows}");
    assert!(project.done(&["down"]).starts_with("down: 4 servers"));
    project.assert_nothing_left();
    assert!(project.fails(4, &["down"]).contains("not up"));
}
