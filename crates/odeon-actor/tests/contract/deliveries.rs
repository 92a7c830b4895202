//! Messages from other servers, as an actor's inbox takes them.

use std::sync::{Arc, Mutex};

use odeon::{
    Actor, AskError, Delivery, ExitReason, Handle, Inbox, Payload, Peer, Reply, ReplySink, Request, Sender,
    System, actor,
};
use odeon_core::{Capabilities, Encoding, Epoch, Fingerprint, Refusal, RefusalCode, decode, encode};
use serde::Serialize;

use crate::support::{Gate, SECOND, ended, settle};

/// Greets.
#[derive(Debug, Default)]
pub(crate) struct Greeter {
    greeting: String,
    kept: Vec<Reply<String>>,
    gate: Option<Gate>,
}

#[actor(mark = "greeter/1")]
impl Greeter {
    /// Greets somebody.
    #[handle]
    pub(crate) async fn greet(&self, name: String, times: Option<u32>) -> String {
        let greeting = if self.greeting.is_empty() { "hello" } else { &self.greeting };
        vec![format!("{greeting} {name}"); times.unwrap_or(1) as usize].join(", ")
    }

    #[handle(needs = "greeting:set")]
    fn set_greeting(&mut self, greeting: String) {
        self.greeting = greeting;
    }

    #[handle]
    fn keep(&mut self, reply: Reply<String>) {
        self.kept.push(reply);
    }

    #[handle]
    fn kept_wanted(&self) -> Vec<bool> {
        self.kept.iter().map(Reply::is_wanted).collect()
    }

    #[handle]
    fn decline(&self, reply: Reply<String>) {
        drop(reply);
    }

    #[handle]
    fn panic(&self) -> String {
        panic!("the greeter panics")
    }

    #[handle(local)]
    pub(crate) fn whisper(&self) -> String {
        "psst".to_owned()
    }

    /// An answer that does not encode.
    #[handle]
    fn map(&self) -> Vec<Unspeakable> {
        vec![Unspeakable]
    }

    #[handle]
    async fn hold(&self) {
        if let Some(gate) = &self.gate {
            gate.pass().await;
        }
    }
}

/// A value whose encoding panics.
#[derive(Debug, serde::Deserialize, odeon_core::private::schemars::JsonSchema)]
#[schemars(crate = "odeon_core::private::schemars")]
pub(crate) struct Unspeakable;

impl Serialize for Unspeakable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("this is not to be said")
    }
}

/// What came for the ask of this number.
pub(crate) type Answer<T> = (u64, Result<T, AskError>);

/// The far side of the asks.
#[derive(Default)]
struct Sink {
    answers: Mutex<Vec<Answer<Vec<u8>>>>,
    has_left: Mutex<bool>,
}

impl ReplySink for Sink {
    fn answer(&self, ask: u64, answer: Result<Vec<u8>, AskError>) {
        self.answers.lock().expect("nothing panics under it").push((ask, answer));
    }

    fn is_wanted(&self, _ask: u64) -> bool {
        !*self.has_left.lock().expect("nothing panics under it")
    }
}

pub(crate) struct World<A: Actor = Greeter> {
    system: System,
    greeter: Handle<A>,
    inbox: Arc<dyn Inbox>,
    sink: Arc<Sink>,
    peer: Arc<Peer>,
}

impl World {
    fn new() -> Self {
        Self::with(odeon::SpawnOptions::default(), Greeter::default(), Capabilities::none())
    }

    fn with(options: odeon::SpawnOptions, greeter: Greeter, capabilities: Capabilities) -> Self {
        let system = System::new();
        let greeter = system.spawn_with(options, greeter).expect("no name is taken");
        Self::around(system, greeter, capabilities)
    }
}

impl<A: Actor> World<A> {
    pub(crate) fn of(system: System, actor: A) -> Self {
        let actor = system.spawn(actor);
        Self::around(system, actor, Capabilities::none())
    }

    fn around(system: System, greeter: Handle<A>, capabilities: Capabilities) -> Self {
        let odeon_core::ActorId::Number(number) = greeter.id() else {
            panic!("a local actor has a number");
        };
        let inbox = system.inbox_by_number(number).expect("it lives");
        let server = "web-0@/shop".parse().expect("a server id");
        let peer = Arc::new(Peer { server, epoch: Epoch::default(), held: Arc::new(capabilities) });
        Self { system, greeter, inbox, sink: Arc::default(), peer }
    }

    /// Delivers an ask in JSON under this number.
    pub(crate) fn ask(&self, ask: u64, mark: &str, json: &str) -> Result<(), Refusal> {
        let payload = Payload { encoding: Encoding::Json, bytes: json.as_bytes() };
        self.inbox.deliver(self.delivery(mark, payload, Some(ask)))
    }

    fn tell(&self, mark: &str, json: &str) -> Result<(), Refusal> {
        let payload = Payload { encoding: Encoding::Json, bytes: json.as_bytes() };
        self.inbox.deliver(self.delivery(mark, payload, None))
    }

    fn delivery<'a>(&self, mark: &'a str, payload: Payload<'a>, ask: Option<u64>) -> Delivery<'a> {
        let reply = ask.map(|ask| (Arc::clone(&self.sink) as Arc<dyn ReplySink>, ask));
        let sender = Sender::remote(Arc::clone(&self.peer), 17);
        Delivery {
            mark,
            method: None,
            payload,
            fingerprint: None,
            sender,
            expires_at: None,
            nonce: 0,
            in_reply_to: None,
            reply,
        }
    }

    /// All answers so far; the answered ones as text.
    pub(crate) async fn answers(&self) -> Vec<Answer<String>> {
        settle().await;
        let answers = std::mem::take(&mut *self.sink.answers.lock().expect("nothing panics under it"));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("JSON");
        answers.into_iter().map(|(ask, answer)| (ask, answer.map(text))).collect()
    }
}

fn assert_refused(outcome: Result<(), Refusal>, code: RefusalCode, detail: &str) {
    let refusal = outcome.expect_err("it is refused");
    assert_eq!(refusal.code, code, "{refusal}");
    assert!(refusal.detail.contains(detail), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn a_message_is_found_by_its_mark_or_by_its_name_in_any_spelling() {
    let world = World::new();
    let spellings = ["greeter/1#kept-wanted", "kept-wanted", "kept_wanted", "KeptWanted", "keptWanted"];
    for (ask, mark) in (1..).zip(spellings) {
        world.ask(ask, mark, "{}").expect("taken");
        assert_eq!(world.answers().await, [(ask, Ok("[]".to_owned()))], "{mark}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_comes_in_the_encoding_of_the_request() {
    let world = World::new();
    world.ask(1, "greet", r#"{"name":"Ada","times":2}"#).expect("taken");
    world.ask(2, "greet", r#"{"name":"Bob"}"#).expect("an option may be left out");
    let (ada, bob) = (r#""hello Ada, hello Ada""#.to_owned(), r#""hello Bob""#.to_owned());
    assert_eq!(world.answers().await, [(1, Ok(ada)), (2, Ok(bob))]);

    let mut bytes = Vec::new();
    let request = GreeterGreet { name: "Eve".to_owned(), times: None };
    encode(&request, Encoding::Cbor, &mut bytes).expect("encodes");
    let payload = Payload { encoding: Encoding::Cbor, bytes: &bytes };
    world.inbox.deliver(world.delivery("greeter/1#greet", payload, Some(3))).expect("taken");
    settle().await;
    let answer = world.sink.answers.lock().expect("nothing panics under it").pop();
    let (ask, Ok(answer)) = answer.expect("answered") else {
        panic!("it was answered");
    };
    let answer: String = decode(Encoding::Cbor, &answer).expect("CBOR");
    assert_eq!((ask, answer.as_str()), (3, "hello Eve"));
}

#[tokio::test(start_paused = true)]
async fn a_compact_request_needs_the_methods_own_fingerprint_and_gets_a_compact_answer() {
    let world = World::new();
    let own = <GreeterGreet as Request<Greeter>>::fingerprint();
    assert!(own.is_some());
    let mut bytes = Vec::new();
    let request = GreeterGreet { name: "Eve".to_owned(), times: Some(2) };
    encode(&request, Encoding::Compact, &mut bytes).expect("encodes");
    assert_eq!(bytes, b"\x03Eve\x01\x02");
    let deliver = |bytes: &[u8], fingerprint| {
        let payload = Payload { encoding: Encoding::Compact, bytes };
        let delivery = world.delivery("greeter/1#greet", payload, Some(3));
        world.inbox.deliver(Delivery { fingerprint, ..delivery })
    };
    let bad = RefusalCode::BadPayload;
    assert_refused(deliver(&bytes, None), bad, "a compact payload of another shape: its fingerprint is none");
    assert_refused(deliver(&bytes, Fingerprint::of::<u8>()), bad, "a compact payload of another shape");
    assert_refused(deliver(&bytes[..5], own), bad, "greeter/1#greet: the payload does not fit");
    assert_refused(deliver(&[0xff; 9], own), bad, "the payload does not fit");
    let trailing = [&bytes[..], &[0]].concat();
    assert_refused(deliver(&trailing, own), bad, "bytes follow the value");

    deliver(&bytes, own).expect("taken");
    settle().await;
    let answer = world.sink.answers.lock().expect("nothing panics under it").pop();
    let (3, Ok(answer)) = answer.expect("answered") else {
        panic!("it was answered");
    };
    assert_eq!(answer, b"\x14hello Eve, hello Eve");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused_and_says_what_would() {
    let world = World::new();
    let (mark, payload) = (RefusalCode::UnknownMark, RefusalCode::BadPayload);
    let cases = [
        ("great", r#"{"name":"Ada"}"#, mark, "did you mean `greet`?"),
        ("greeter/2#greet", r#"{"name":"Ada"}"#, mark, "greeter/1 has no message `greeter/2#greet`"),
        ("fly", "{}", mark, "it understands greet, "),
        ("greet", r#"{"name":"#, payload, "greeter/1#greet: "),
        ("greet", "", payload, "greeter/1#greet: "),
        ("greet", r#"{"name":7}"#, payload, "invalid type: integer `7`, expected a string"),
        ("greet", "{}", payload, "missing field `name`"),
        ("greet", r#"{"name":"Ada","tims":2}"#, payload, "unknown argument `tims`; did you mean `times`?"),
        ("greet", r#"{"name":"Ada","colour":1}"#, payload, "unknown argument `colour`; it takes name, times"),
        ("keep", r#"{"name":"Ada"}"#, payload, "unknown argument `name`; it takes no arguments"),
    ];
    for (mark, json, code, detail) in cases {
        assert_refused(world.ask(1, mark, json), code, detail);
        assert_refused(world.tell(mark, json), code, detail);
    }
    assert_eq!(world.answers().await, [], "the refusal is the whole answer");
    assert!(!world.greeter.is_dead());
    assert_eq!(world.system.dead_letters(), 0);
}

#[tokio::test(start_paused = true)]
async fn garbage_in_cbor_is_refused() {
    let world = World::new();
    for bytes in [&[][..], &[0xff], &[0xa1], &[0x81; 1_000], &[0xbf, 0xff, 0x00], b"{\"name\":\"Ada\"}"] {
        let payload = Payload { encoding: Encoding::Cbor, bytes };
        let outcome = world.inbox.deliver(world.delivery("greet", payload, Some(1)));
        assert_refused(outcome, RefusalCode::BadPayload, "greeter/1#greet: ");
    }
}

#[tokio::test(start_paused = true)]
async fn authority_is_checked_before_anything_is_decoded() {
    let world = World::new();
    let needs = "greeter/1#set-greeting needs the capability `greeting:set`, which web-0@/shop does not hold";
    for json in [r#"{"greeting":"hi"}"#, r#"{"greting":1}"#, "garbage"] {
        assert_refused(world.ask(1, "set-greeting", json), RefusalCode::NotAuthorised, needs);
    }
    let one: Capabilities = ["greeting:set".parse().expect("a capability")].into_iter().collect();
    for capabilities in [one, Capabilities::admin()] {
        let world = World::with(odeon::SpawnOptions::default(), Greeter::default(), capabilities);
        world.ask(1, "set-greeting", r#"{"greeting":"hi"}"#).expect("authorised");
        world.ask(2, "greet", r#"{"name":"Ada"}"#).expect("taken");
        let answers = [(1, Ok("null".to_owned())), (2, Ok(r#""hi Ada""#.to_owned()))];
        assert_eq!(world.answers().await, answers);
    }
    let world = World::new();
    world.greeter.set_greeting("hey".to_owned()).await.expect("code of this process may do everything");
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_refuses_and_says_nothing_else() {
    let gate = Gate::new();
    let greeter = Greeter { gate: Some(gate.clone()), ..Greeter::default() };
    let world = World::with(odeon::SpawnOptions::default().capacity(2), greeter, Capabilities::none());
    world.tell("hold", "{}").expect("taken");
    gate.wait_entered().await;
    world.ask(1, "kept-wanted", "{}").expect("one place");
    world.ask(2, "kept-wanted", "{}").expect("the other");
    assert_eq!(world.inbox.depth(), 2);
    assert_refused(world.ask(3, "kept-wanted", "{}"), RefusalCode::Full, "full (2 messages)");
    assert_eq!(world.answers().await, []);
    gate.open();
    let empty = || Ok("[]".to_owned());
    assert_eq!(world.answers().await, [(1, empty()), (2, empty())]);
    world.ask(4, "kept-wanted", "{}").expect("there is room again");
}

#[tokio::test(start_paused = true)]
async fn an_expired_delivery_is_not_run() {
    let gate = Gate::new();
    let greeter = Greeter { gate: Some(gate.clone()), ..Greeter::default() };
    let world = World::with(odeon::SpawnOptions::default(), greeter, Capabilities::admin());
    world.tell("hold", "{}").expect("taken");
    gate.wait_entered().await;
    let payload = Payload { encoding: Encoding::Json, bytes: br#"{"greeting":"late"}"# };
    let mut delivery = world.delivery("set-greeting", payload, None);
    delivery.expires_at = Some(world.system.clock().now() + SECOND);
    world.inbox.deliver(delivery).expect("taken");
    tokio::time::sleep(SECOND).await;
    gate.open();
    assert_eq!(world.greeter.greet("Ada".to_owned(), None).await, Ok("hello Ada".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_declined_or_unspeakable_answer_is_told() {
    let world = World::new();
    world.ask(1, "decline", "{}").expect("taken");
    assert_eq!(world.answers().await, [(1, Err(AskError::NoReply))]);
    world.ask(2, "map", "{}").expect("taken");
    let answers = world.answers().await;
    let [(2, Err(AskError::Dead(ExitReason::Panicked(report))))] = &answers[..] else {
        panic!("not the panic: {answers:?}");
    };
    assert_eq!(report.message, "this is not to be said");
}

#[tokio::test(start_paused = true)]
async fn is_wanted_asks_the_link() {
    let world = World::new();
    world.ask(1, "keep", "{}").expect("taken");
    world.tell("keep", "{}").expect("taken");
    assert_eq!(world.greeter.kept_wanted().await, Ok(vec![true, false]));
    *world.sink.has_left.lock().expect("nothing panics under it") = true;
    assert_eq!(world.greeter.kept_wanted().await, Ok(vec![false, false]));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_told_to_every_asker_of_another_server() {
    let world = World::new();
    for (ask, mark) in [(1, "keep"), (2, "panic"), (3, "kept-wanted")] {
        world.ask(ask, mark, "{}").expect("taken");
    }
    let answers = world.answers().await;
    let mut asks: Vec<u64> = answers.iter().map(|(ask, _)| *ask).collect();
    asks.sort_unstable();
    assert_eq!(asks, [1, 2, 3], "each once");
    for (ask, answer) in answers {
        let Err(AskError::Dead(ExitReason::Panicked(report))) = answer else {
            panic!("{ask} was told otherwise: {answer:?}");
        };
        assert_eq!(report.message, "the greeter panics");
        assert!(report.location.contains("deliveries.rs:"), "{}", report.location);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_or_draining_actor_is_told_through_the_port() {
    let gate = Gate::new();
    let greeter = Greeter { gate: Some(gate.clone()), ..Greeter::default() };
    let world = World::with(odeon::SpawnOptions::default(), greeter, Capabilities::none());
    world.tell("hold", "{}").expect("taken");
    gate.wait_entered().await;
    world.greeter.drain();
    world.ask(1, "kept-wanted", "{}").expect("no refusal");
    assert_eq!(world.answers().await, [(1, Err(AskError::Dead(ExitReason::Drained)))]);
    world.greeter.kill();
    ended(&world.greeter).await;
    assert_eq!(world.inbox.exit_reason(), Some(ExitReason::Killed));
    world.ask(2, "kept-wanted", "{}").expect("no refusal");
    assert_eq!(world.answers().await, [(2, Err(AskError::Dead(ExitReason::Killed)))]);
    world.tell("kept-wanted", "{}").expect("no refusal");
    assert_eq!(world.system.dead_letters(), 3, "what came too late is counted");
    assert_eq!(world.inbox.ping().await, Err(AskError::Dead(ExitReason::Killed)));
}

#[tokio::test(start_paused = true)]
async fn an_actor_without_a_mark_is_out_of_reach() {
    let system = System::new();
    let worker = system.spawn(crate::support::Worker::default());
    let inbox = system.inbox_by_number(1).expect("it lives");
    let world = World::new();
    let payload = Payload { encoding: Encoding::Json, bytes: b"{}" };
    let outcome = inbox.deliver(world.delivery("note", payload, Some(1)));
    assert_refused(outcome, RefusalCode::UnknownMark, "cannot be reached from other servers");
    assert_eq!(inbox.ping().await, Ok(()), "but it is seen to live");
    assert!(inbox.protocol().is_none());
    inbox.stop();
    assert_eq!(ended(&worker).await, ExitReason::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_local_handler_is_out_of_reach() {
    let world = World::with(odeon::SpawnOptions::default(), Greeter::default(), Capabilities::admin());
    for mark in ["whisper", "greeter/1#whisper"] {
        assert_refused(world.ask(1, mark, "{}"), RefusalCode::UnknownMark, "has no message");
    }
    let description = world.inbox.protocol().expect("it has a mark").describe();
    assert!(description.methods.iter().all(|method| method.name != "whisper"));
    assert_eq!(world.greeter.whisper().await, Ok("psst".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_description_names_every_message_with_its_schema() {
    let world = World::new();
    let description = world.inbox.protocol().expect("it has a mark").describe();
    assert_eq!(description.mark, "greeter/1");
    let greet = description.methods.iter().find(|method| method.name == "greet").expect("it is there");
    assert_eq!((greet.mark.as_str(), greet.doc.as_str()), ("greeter/1#greet", "Greets somebody."));
    assert_eq!(greet.arguments["required"], serde_json::json!(["name"]));
    assert_eq!(greet.reply["type"], "string");
    let set = description.methods.iter().find(|method| method.name == "set-greeting").expect("it is there");
    assert_eq!(set.needs.as_deref(), Some("greeting:set"));
}
