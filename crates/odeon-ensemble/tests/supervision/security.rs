//! Every way in, as `docs/security.md` lists them, tried by a server that has the cookie and nothing else.

use std::collections::BTreeMap;

use odeon_actor::{Arguments, AskError, Handle, RemoteCall};
use odeon_auth::Cookie;
use odeon_core::{ActorId, Address, Encoding, MethodDescription, Reference, RefusalCode, ServerId};
use odeon_ensemble::registry::RegistryActorCalls as _;
use odeon_server::{Control, ControlCalls as _, Server, ServerConfig, World};
use serde_json::{Value, json};

use crate::stage::{Stage, id};

/// The page, whose table is the promise.
const PAGE: &str = include_str!("../../../../docs/security.md");

/// What a message needs, as the page says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Needs {
    Nothing,
    Capability(String),
    OwnOrAdmin,
}

/// The rows of the page's tables that begin with a method's mark.
fn promised() -> BTreeMap<String, Needs> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix('|')?.split('|').map(|cell| cell.trim().trim_matches('`'));
        let mark = cells.next().filter(|mark| mark.contains('#'))?;
        let needs = match cells.next()? {
            "nothing" => Needs::Nothing,
            "own, or `admin" => Needs::OwnOrAdmin,
            capability => Needs::Capability(capability.to_owned()),
        };
        Some((mark.to_owned(), needs))
    };
    PAGE.lines().filter_map(row).collect()
}

/// Arguments by which a message gets as far as its own check.
fn arguments(mark: &str) -> Value {
    let other = "other@/";
    match mark.split_once('#').map_or(mark, |(_, method)| method) {
        "ping-actor" | "describe" => json!({ "actor": "0" }),
        "present-grant" => json!({ "grant": "none" }),
        "answer-challenge" => json!({ "challenge": "00", "signature": "00" }),
        "take-revocation-list" => json!({ "list": "none" }),
        "retract-grants" => json!({ "what": { "grantee": other } }),
        "can" => json!({ "who": other, "what": "admin" }),
        "add" => json!({ "id": other, "addresses": [], "roles": [], "epoch": 1, "tenure": "leased" }),
        "renew" => json!({ "id": other, "epoch": 1 }),
        "remove" => json!({ "id": other }),
        "lookup" => json!({ "id": "registry@/" }),
        "lookup-role" => json!({ "role": "registry" }),
        _ => json!({}),
    }
}

async fn ask(stranger: &Server, to: &Reference, mark: &str) -> Result<Value, AskError> {
    let call = RemoteCall {
        to: to.clone(),
        from: 0,
        nonce: 0,
        in_reply_to: None,
        mark: mark.to_owned().into(),
        arguments: Arguments::Encoded {
            encoding: Encoding::Json,
            bytes: arguments(mark).to_string().into_bytes(),
        },
        expires_at: Some(stranger.clock().now() + std::time::Duration::from_secs(5)),
    };
    let (_, bytes) = stranger.ask_encoded(call).await?;
    Ok(serde_json::from_slice(&bytes).expect("JSON"))
}

/// Tries one message, and checks that the page says what came of it.
async fn try_one(
    stranger: &Server,
    to: &Reference,
    method: &MethodDescription,
    promised: &BTreeMap<String, Needs>,
) {
    let mark = &method.mark;
    let needs =
        promised.get(mark).unwrap_or_else(|| panic!("docs/security.md does not say what {mark} needs"));
    let said = method.needs.clone().map(Needs::Capability);
    let outcome = ask(stranger, to, mark).await;
    match needs {
        Needs::Capability(_) => {
            assert_eq!(said.as_ref(), Some(needs), "{mark}");
            let is_refused = matches!(&outcome, Err(AskError::Refused(refusal)) if refusal.code == RefusalCode::NotAuthorised);
            assert!(is_refused, "{mark}: {outcome:?}");
        }
        Needs::OwnOrAdmin => {
            let answer = outcome.unwrap_or_else(|error| panic!("{mark}: {error}"));
            assert_eq!((said, &answer["Err"]["code"]), (None, &json!("not-authorised")), "{mark}: {answer}");
        }
        Needs::Nothing => {
            assert_eq!(said, None, "{mark}");
            assert!(outcome.is_ok(), "{mark}: {outcome:?}");
        }
    }
}

fn only_tcp(addresses: &[Address]) -> Vec<Address> {
    addresses.iter().filter(|address| matches!(address, Address::Tcp(_))).cloned().collect()
}

pub(crate) async fn every_remote_entry_point_is_what_the_page_says() {
    let listen = "listen = ['tcp:127.0.0.1:0']";
    let stage =
        Stage::up(&format!("registry = {{ {listen} }}\nsupervisor = {{ {listen} }}\n[roles.idle]")).await;
    let (_console, registry) = stage.console().await;
    let cookie = Cookie::load(&stage.setting.home.cookie()).expect("the cookie");
    let mut config =
        ServerConfig::new(id("stranger"), cookie, World::real(stage.setting.home.host().clone()));
    for server in [id("registry"), id("supervisor")] {
        let entry = registry.handle().lookup(server.clone()).await.expect("answers").expect("known");
        config = config.known(server, only_tcp(&entry.addresses));
    }
    let stranger = Server::start(config).await.expect("starts");

    let promised = promised();
    let mut tried = 0;
    for (server, actor) in [("registry", "0"), ("registry", "registry"), ("supervisor", "supervisor")] {
        let server: ServerId = id(server);
        let actor: ActorId = actor.parse().expect("an actor");
        let control: Handle<Control> = stranger.actor(Reference::new(server.clone(), ActorId::SERVER));
        let protocol = control.describe(actor.clone()).await.expect("answers").expect("has a protocol");
        let to = Reference::new(server, actor);
        for method in &protocol.methods {
            try_one(&stranger, &to, method, &promised).await;
            tried += 1;
        }
    }
    assert_eq!(tried, promised.len(), "the page names messages that nobody understands");
    assert!(stranger.connections().iter().all(|link| link.remote.starts_with("tcp:")), "over tcp alone");
    stage.down(&["idle-0"]).await;
}

pub(crate) async fn strict_servers_believe_no_user() {
    let file =
        "strict = true\nauth = { console = ['shutdown'] }\n[roles.idle]\nauth = { console = ['connect'] }";
    let stage = Stage::up(file).await;
    let (console, _registry) = stage.console().await;
    console.know(id("idle-0"), vec![stage.setting.home.address(&id("idle-0"))]);
    let there: Handle<Control> = console.actor(Reference::new(id("idle-0"), ActorId::SERVER));
    let refused = there.list_grants(None, None).await;
    assert!(
        matches!(&refused, Err(AskError::Refused(why)) if why.code == RefusalCode::NotAuthorised),
        "{refused:?}"
    );
    for (capability, is_held) in [("connect", true), ("shutdown", true), ("admin", false)] {
        let what = capability.parse().expect("a capability");
        let verdict =
            there.can(id("console"), what, None, None, None).await.expect("answers").expect("one's own");
        assert_eq!(verdict.allowed, is_held, "{capability}: {}", verdict.why);
    }
    stage.down(&["idle-0"]).await;
}
