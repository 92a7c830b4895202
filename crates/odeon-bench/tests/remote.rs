//! The remote questions, a handful of operations each: every peer that is there answers all it says it does.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

/// Runs the program and returns the figures, and what it printed.
fn measured(only: &str) -> (Vec<Value>, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("figures.json");
    let output = Command::new(env!("CARGO_BIN_EXE_odeon-bench"))
        .args(["remote", "--scale", "smoke", "--reps", "1", "--only", only, "--json"])
        .arg(&json)
        .output()
        .expect("it starts");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(json).expect("the figures");
    (serde_json::from_str(&text).expect("JSON"), printed)
}

/// The names of the workloads, and of the peers.
fn names(figures: &[Value], key: &str) -> BTreeSet<String> {
    figures.iter().map(|one| one[key].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn every_peer_answers_the_basic_questions_or_says_why_not() {
    let (figures, printed) = measured("basic");
    let peers = names(&figures, "peer");
    for peer in [
        "odeon",
        "tonic",
        "tonic-stream",
        "ractor-cluster",
        "kameo",
        "erlang",
        "raw-unix",
        "raw-tcp",
        "raw-tls",
    ] {
        assert!(peers.contains(peer) || printed.contains(&format!("{peer}: skipped: ")), "{peer}: {printed}");
    }
    let questions = names(&figures, "workload");
    for question in ["remote-ask", "remote-ask-1000", "remote-tell", "first-contact"] {
        for transport in ["unix", "tcp", "tls"] {
            assert!(
                questions.contains(&format!("{question}/{transport}")),
                "{question}/{transport}: {printed}"
            );
        }
    }
    for one in &figures {
        assert!(one["value"].as_f64().is_some_and(|value| value > 0.0), "{one}");
        let is_tell = one["workload"].as_str().is_some_and(|name| name.starts_with("remote-tell"));
        assert_eq!(one["p99"].is_null(), is_tell, "{one}");
    }
}

#[test]
fn the_scaling_questions_are_answered_at_small_sizes() {
    let (figures, printed) = measured("links-ask-10,links-10,bytes-1,bytes-1048576,actors-2,idle-link");
    let odeon = figures.iter().filter(|one| one["peer"] == "odeon").count();
    let raw = figures.iter().filter(|one| one["peer"] == "raw-tls").count();
    // Five questions that bare sockets answer too, and of the last one each end by itself.
    assert!(odeon >= 12 && raw == 7, "{printed}");
    for title in ["links  odeon/unix", "MB/s", "memory of an idle link", "its near end", "its far end"] {
        assert!(printed.contains(title), "{title}: {printed}");
    }
}
