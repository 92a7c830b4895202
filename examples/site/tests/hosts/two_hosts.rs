//! The steps of the guide, on two hosts.

use std::fs;

use serde_json::{Value, json};

use crate::guide;
use crate::host::{Host, Outcome, missing, wait_for};

/// What an operator types at the prompts of `ca setup`, a line each; other commands read the second line's.
const WORDS: [&str; 2] = ["the words of the root\n", "the words of the subordinate\n"];

/// Types a command of the guide.
fn type_in(hosts: &[(&str, &Host)], (name, arguments): &(&str, Vec<&str>)) -> Outcome {
    let host = hosts.iter().find(|(known, _)| known == name).expect("a host of the guide").1;
    match arguments.as_slice() {
        // There is no terminal that could be asked.
        ["ca", verb, ..] => {
            let words = if *verb == "setup" { WORDS.concat() } else { WORDS[1].to_owned() };
            host.site(&[arguments, &["--passphrase-fd", "0"][..]].concat(), &words)
        }
        arguments => host.site(arguments, ""),
    }
}

fn ids(servers: &Value) -> Vec<&str> {
    servers.as_array().expect("a list").iter().filter_map(|entry| entry["id"].as_str()).collect()
}

#[test]
fn two_hosts_are_one_ensemble_over_mutual_tls_by_the_steps_of_the_guide() {
    if let Some(why) = missing() {
        println!("skipped: {why}");
        return;
    }
    let (h1, h2) = (Host::new("h1"), Host::new("h2"));
    h1.cable("10.99.0.1/24", &h2, "10.99.0.2/24");
    for host in [&h1, &h2] {
        host.write("pages/index.html", "<h1>A page</h1>\n");
    }
    h1.write("odeon.toml", guide::file("h1: odeon.toml"));
    h1.write("h2.toml", guide::file("h1: h2.toml"));
    let hosts = [("h1", &h1), ("h2", &h2)];
    let [before, after, revoking] = guide::commands().try_into().expect("three blocks");

    for command in &before {
        let outcome = type_in(&hosts, command);
        assert_eq!(outcome.code, 0, "{command:?}: {outcome:?}");
    }
    check_package(&h1);
    fs::copy(h1.path().join("h2.tar"), h2.path().join("h2.tar")).expect("copied");

    let mut said = Vec::new();
    for command in &after {
        let outcome = type_in(&hosts, command);
        assert_eq!(outcome.code, 0, "{command:?}: {outcome:?}");
        said.push((command.1.join(" "), outcome.out));
    }
    let said = |command: &str| {
        &said.iter().find(|(typed, _)| typed == command).unwrap_or_else(|| panic!("{command}")).1
    };
    assert!(said("ask web-0@/:greeter greeting").contains("from h1"));
    assert!(said("ask web-0@/h2:greeter greeting").contains("from h2"));
    assert!(said("list connections web-0").contains("tls"));
    assert!(said("--domain /h2 ps").contains("web-0"));

    // Both see all of it, and the one supervisor started no registry.
    let all = ["registry@/", "supervisor@/", "web-0@/", "supervisor@/h2", "web-0@/h2"];
    for host in [&h1, &h2] {
        let servers = host.json(&["list", "servers"]);
        assert_eq!(ids(&servers), all);
    }
    assert_eq!(ids(&h2.json(&["ps"])), ["supervisor@/h2", "web-0@/h2"]);
    // The link between the two workers, seen from both ends, is TLS, and each has shown its certificate.
    for (host, own, peer) in [(&h1, "web-0@/", "web-0@/h2"), (&h2, "web-0@/h2", "web-0@/")] {
        let link = link_to(host, own, peer).expect("a link");
        assert_eq!((&link["transport"], &link["certificate"]["server"]), (&json!("tls"), &json!(peer)));
    }
    // Not even the registry's own host lets others in by the cookie: what h2 has is another one.
    let cookies = [&h1, &h2].map(|host| fs::read(host.home().join("cookie")).expect("read"));
    assert_ne!(cookies[0], cookies[1]);

    // A server loads its certificate at once when told to.
    let worker = h1.json(&["ps", "web-0"])[0]["process"]["pid"].as_i64().expect("a pid");
    h1.must(&["kill", "-HUP", &worker.to_string()]);
    wait_for("the certificate to be loaded", || {
        h1.done(&["logs", "web-0"]).contains("certificate loaded").then_some(())
    });

    for command in &revoking {
        let outcome = type_in(&hosts, command);
        assert_eq!(outcome.code, 0, "{command:?}: {outcome:?}");
    }
    let refused = h1.site(&["ping", "web-0@/h2"], "");
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("revoked"), "{refused:?}");
    wait_for("the link of the revoked to be closed", || {
        link_to(&h1, "web-0", "web-0@/h2").is_none().then_some(())
    });
    wait_for("the lease of the revoked to run out", || {
        let servers = h1.json(&["list", "servers"]);
        let gone = servers.as_array()?.iter().find(|entry| entry["id"] == "web-0@/h2")?.clone();
        (gone["health"] == "dead").then_some(())
    });
    assert_eq!(h1.site(&["ping", "supervisor@/h2"], "").code, 0, "others stay");
    for host in [&h2, &h1] {
        host.done(&["down"]);
    }
}

/// The package holds what h2 needs, and nothing that would let it be anybody else.
fn check_package(h1: &Host) {
    use std::os::unix::fs::PermissionsExt as _;
    let package = h1.path().join("h2.tar");
    assert_eq!(package.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    let list = h1.must(&["tar", "-tf", "h2.tar"]);
    let members: Vec<&str> = list.lines().collect();
    assert_eq!(
        members,
        [
            "odeon.toml",
            "home/ca/root.pem",
            "home/ca/ca.pem",
            "home/ca/sub/crl.pem",
            "home/servers/h2/@console/tls/chain.pem",
            "home/servers/h2/@console/tls/server.key",
            "home/servers/h2/@supervisor/tls/chain.pem",
            "home/servers/h2/@supervisor/tls/server.key",
            "home/servers/h2/@web-0/tls/chain.pem",
            "home/servers/h2/@web-0/tls/server.key",
        ]
    );
    // Neither is made anew over what is there, nor unpacked over it.
    let package = ["package", "supervisor@/h2", "--config", "h2.toml", "--output", "h2.tar"];
    assert_eq!(h1.site(&package, "").code, 1);
    let unpacked = h1.site(&["unpack", "h2.tar"], "");
    assert!(unpacked.code == 1 && unpacked.err.contains("error[exists]"), "{unpacked:?}");
    // Somebody could have read it.
    fs::set_permissions(h1.path().join("h2.tar"), fs::Permissions::from_mode(0o640)).expect("set");
    let exposed = h1.site(&["unpack", "h2.tar", "elsewhere"], "");
    assert!(exposed.code == 1 && exposed.err.contains("error[exposed]"), "{exposed:?}");
    fs::set_permissions(h1.path().join("h2.tar"), fs::Permissions::from_mode(0o600)).expect("set");
    // A server that has no certificate is told by name.
    h1.write("three.toml", &guide::file("h1: h2.toml").replace("[roles.web]", "[roles.web]\nworkers = 2"));
    let without = h1.site(&["package", "supervisor@/h2", "-C", "three.toml", "-o", "three.tar"], "");
    assert!(without.code == 1 && without.err.contains("web-1@/h2 has no certificate"), "{without:?}");
}

/// A link of a server, in its list.
fn link_to(host: &Host, server: &str, peer: &str) -> Option<Value> {
    let links = host.json(&["list", "connections", server]);
    links.as_array()?.iter().find(|link| link["server"] == peer).cloned()
}
