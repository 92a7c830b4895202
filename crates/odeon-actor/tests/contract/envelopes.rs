//! Envelopes: what a receiver may ask about a message, and messages whose answers go elsewhere.

use odeon::{AskError, Cx, Draft, ExitReason, Handle, Reply, Sender, System, TellError, actor, receive};
use odeon_core::ActorId;
use odeon_core::limits::REPLY_TIMEOUT_DEFAULT;

use crate::support::{
    Gate, Log, SECOND, Worker, WorkerCalls, WorkerHandle, WorkerMessage, WorkerNote, at_once, beside, ended,
    settle, wait_for,
};

/// Sends to itself, and looks at what comes.
struct Mirror(Log);

fn number_of<A: odeon::Actor>(handle: &Handle<A>) -> u64 {
    match handle.id() {
        ActorId::Number(number) | ActorId::NumberOf(number, _) => number,
        other => panic!("{other:?}"),
    }
}

#[actor]
impl Mirror {
    #[handle]
    fn note(&mut self, text: String, cx: &mut Cx<Self>) -> String {
        let (sender, wants) = (cx.sender(), cx.wants_reply());
        self.0.push(format!("{text}: {sender:?}, {}, {:?}, {wants}", cx.nonce(), cx.in_reply_to()));
        text
    }

    #[handle]
    async fn look(&mut self, cx: &mut Cx<Self>) -> Vec<(String, u64, Option<u64>, bool, bool, bool)> {
        let mut seen = Vec::new();
        for text in ["a", "b"] {
            let sent = cx.me().note(text.to_owned()).tell_with_nonce().await.expect("taken");
            assert_eq!(sent, seen.len() as u64);
            let envelope = cx.recv().await.expect("it is there");
            assert_eq!(envelope.nonce(), cx.nonce());
            assert_eq!(envelope.in_reply_to(), cx.in_reply_to());
            assert_eq!(envelope.wants_reply(), cx.wants_reply());
            assert_eq!(envelope.expires_at(), cx.expires_at());
            let is_own = matches!(envelope.sender(), Sender::Actor(n) if n == number_of(cx.me()));
            assert!(matches!(cx.sender(), Sender::Actor(n) if n == number_of(cx.me())));
            let (nonce, to, expires) = (envelope.nonce(), envelope.in_reply_to(), envelope.expires_at());
            let wants = envelope.wants_reply();
            let MirrorMessage::Note(MirrorNote { text }, _) = envelope.into_message() else {
                panic!("another message");
            };
            seen.push((text, nonce, to, expires.is_some(), wants, is_own));
        }
        seen
    }

    /// Asks another and tells a third what it said.
    #[handle]
    async fn ask_for(&mut self, worker: WorkerHandle, n: u64, cx: &mut Cx<Self>) -> u64 {
        let me = cx.me().clone();
        worker.note(n).reply_to(&me, |answer| MirrorHear { answer }).await.expect("taken")
    }

    #[handle]
    fn hear(&mut self, answer: Result<u64, AskError>, cx: &mut Cx<Self>) {
        self.0.push(format!("heard {answer:?} to {:?} from {:?}", cx.in_reply_to(), cx.sender()));
    }

    /// Says how the receive with an `else` went.
    #[handle]
    async fn empty(&mut self, cx: &mut Cx<Self>) -> String {
        receive!(cx, {
            MirrorMessage::Note(MirrorNote { text }, _) => text,
            else => "nothing".to_owned(),
        })
    }

    /// Makes an answer only for those who want one.
    #[handle]
    fn costly(&mut self, reply: Reply<u64>) {
        let log = self.0.clone();
        reply.send_with(|| {
            log.push("made");
            7
        });
    }

    /// Has the answer of a port go to itself.
    #[handle]
    fn port(&mut self, ends: Ends, cx: &mut Cx<Self>) {
        let port: Reply<u64> = cx.reply_to(cx.me(), |answer| MirrorHear { answer });
        assert!(port.is_wanted());
        match ends {
            Ends::Answered => port.send(3),
            Ends::Dropped => drop(port),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Ends {
    Answered,
    Dropped,
}

fn mirror(system: &System) -> (Handle<Mirror>, Log) {
    let log = Log::default();
    (system.spawn(Mirror(log.clone())), log)
}

#[tokio::test(start_paused = true)]
async fn msg_1_a_message_to_oneself_is_seen_with_all_its_envelope_says() {
    let (mirror, _) = mirror(&System::new());
    let expected =
        vec![("a".to_owned(), 0, None, false, false, true), ("b".to_owned(), 1, None, false, false, true)];
    assert_eq!(mirror.look().await, Ok(expected));
}

#[tokio::test(start_paused = true)]
async fn msg_2_who_asks_gets_exactly_what_was_replied() {
    let (mirror, _) = mirror(&System::new());
    assert_eq!(mirror.note("(reply . x)".to_owned()).await.as_deref(), Ok("(reply . x)"));
}

#[tokio::test(start_paused = true)]
async fn msg_3_who_asks_a_silent_actor_hears_of_the_timeout() {
    let worker = System::new().spawn(Worker::default());
    let began = tokio::time::Instant::now();
    assert!(matches!(worker.keep().within(SECOND).await, Err(AskError::Timeout { .. })));
    assert_eq!(began.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn msg_4_who_asks_a_finished_actor_hears_of_it_at_once() {
    let worker = System::new().spawn(Worker::default());
    worker.end().await.expect("answered");
    ended(&worker).await;
    assert_eq!(at_once(worker.note(1)).await, Err(AskError::Dead(ExitReason::Normal)));
}

#[tokio::test(start_paused = true)]
async fn msg_5_a_receive_with_else_on_an_empty_mailbox_gives_its_value() {
    let (mirror, _) = mirror(&System::new());
    assert_eq!(at_once(mirror.empty()).await.as_deref(), Ok("nothing"));
}

#[tokio::test(start_paused = true)]
async fn asks_tells_and_drafts_say_what_they_answer() {
    let (mirror, log) = mirror(&System::new());
    let text = |text: &str| text.to_owned();
    mirror.note(text("ask")).in_reply_to(4).await.expect("answered");
    mirror.note(text("tell")).in_reply_to(5).tell().await.expect("taken");
    mirror.note(text("try")).in_reply_to(6).try_tell().expect("taken");
    let message = |text: &str| MirrorMessage::Note(MirrorNote { text: text.to_owned() }, Reply::nobody());
    let draft = Draft::new(message("draft")).in_reply_to(7).expecting_reply();
    mirror.send_envelope(draft).await.expect("taken");
    mirror.send_envelope(Draft::new(message("late")).within(std::time::Duration::ZERO)).await.expect("taken");
    mirror.note(text("last")).await.expect("answered");
    let said: Vec<_> = log
        .entries()
        .iter()
        .map(|entry| {
            let mut words = entry.split([':', ',']);
            let (text, to, wants) = (words.next(), words.nth(2), words.next());
            [text, to, wants].map(Option::unwrap_or_default).concat()
        })
        .collect();
    let expected = [
        "ask Some(4) true",
        "tell Some(5) false",
        "try Some(6) false",
        "draft Some(7) true",
        "last None true",
    ];
    assert_eq!(said, expected);
}

#[tokio::test(start_paused = true)]
async fn a_sender_counts_its_messages() {
    let system = System::new();
    let (mirror, log) = mirror(&system);
    let counter = system.spawn(Counting(mirror.clone()));
    assert_eq!(counter.send_all().await, Ok(vec![0, 1, 3]));
    mirror.note("end".to_owned()).await.expect("answered");
    let number = number_of(&counter);
    for (at, nonce) in [0, 1, 2, 3].into_iter().enumerate() {
        assert!(log.entries()[at].contains(&format!("Actor({number}), {nonce},")), "{:?}", log.entries());
    }
}

struct Counting(Handle<Mirror>);

#[actor]
impl Counting {
    #[handle]
    async fn send_all(&mut self) -> Vec<u64> {
        let mut nonces = Vec::new();
        let note = || self.0.note("n".to_owned());
        nonces.push(note().tell_with_nonce().await.expect("taken"));
        nonces.push(note().tell_with_nonce().await.expect("taken"));
        note().await.expect("answered");
        let message = MirrorMessage::Note(MirrorNote { text: "n".to_owned() }, Reply::nobody());
        nonces.push(self.0.send_envelope(Draft::new(message)).await.expect("taken"));
        nonces
    }
}

/// Passes on what it is asked.
struct Relay(WorkerHandle);

impl odeon::Actor for Relay {
    type Message = WorkerMessage;

    const HAS_RUN: bool = true;

    async fn handle(&mut self, _: WorkerMessage, _: &mut Cx<Self>) {}

    async fn run(&mut self, cx: &mut Cx<Self>) -> Result<(), odeon::Failure> {
        while let Some(envelope) = cx.recv().await {
            let sender = format!("{:?}", envelope.sender());
            assert_eq!(sender, "Outside");
            self.0.forward(envelope).await?;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_passed_on_keeps_its_envelope() {
    let (system, log) = (System::new(), Log::default());
    let worker = system.spawn(Worker::logging(&log));
    let relay = system.spawn(Relay(worker));
    let message = WorkerMessage::Note(WorkerNote { n: 5 }, Reply::nobody());
    relay.send_envelope(Draft::new(message)).await.expect("taken");
    wait_for("the message", || log.entries() == ["5"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_can_go_to_a_third_actor() {
    let system = System::new();
    let (mirror, log) = mirror(&system);
    let worker = system.spawn(Worker::default());
    let nonce = mirror.ask_for(worker.clone(), 5).await.expect("answered");
    settle().await;
    let number = number_of(&worker);
    assert_eq!(log.entries(), [format!("heard Ok(5) to Some({nonce}) from Actor({number})")]);
}

#[tokio::test(start_paused = true)]
async fn a_third_actor_hears_why_there_is_no_answer() {
    let system = System::new();
    let (mirror, log) = mirror(&system);
    let (worker, gate) = (system.spawn(Worker::default()), Gate::new());
    let heard =
        |n: usize| log.entries().get(n).and_then(|entry| entry.split(" to ").next().map(str::to_owned));
    let hear = |answer| MirrorHear { answer };
    worker.decline().reply_to(&mirror, hear).await.expect("taken");
    wait_for("no reply", || heard(0).as_deref() == Some("heard Err(NoReply)")).await;
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    worker.note(1).within(SECOND).reply_to(&mirror, hear).await.expect("taken");
    worker.note(1).reply_to(&mirror, hear).await.expect("taken");
    tokio::time::sleep(2 * SECOND).await;
    gate.open();
    wait_for("the answer", || log.entries().len() >= 2).await;
    settle().await;
    // The late one has the deadline of its request, and expires with it.
    assert_eq!(heard(1).as_deref(), Some("heard Ok(1)"));
    worker.keep().reply_to(&mirror, hear).await.expect("taken");
    settle().await;
    worker.kill();
    ended(&worker).await;
    wait_for("the end", || heard(2).as_deref() == Some("heard Err(Dead(Killed))")).await;
    let dead = worker.note(1).reply_to(&mirror, hear).await;
    assert_eq!(dead, Err(TellError::Dead(ExitReason::Killed)));
    settle().await;
    assert_eq!(log.entries().len(), 3, "whoever sends hears that, and nobody else");
}

#[tokio::test(start_paused = true)]
async fn a_port_of_ones_own_sends_its_answer_as_a_message() {
    let (mirror, log) = mirror(&System::new());
    mirror.port(Ends::Answered).await.expect("answered");
    mirror.port(Ends::Dropped).await.expect("answered");
    settle().await;
    let entries = log.entries();
    assert!(
        entries[0].starts_with("heard Ok(3)") && entries[1].starts_with("heard Err(NoReply)"),
        "{entries:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_room_at_a_third_actor() {
    let system = System::new();
    let log = Log::default();
    let options = odeon::SpawnOptions::default().capacity(1);
    let third = system.spawn_with(options, Worker::logging(&log)).expect("no name is taken");
    let (worker, gate) = (system.spawn(Worker::default()), Gate::new());
    third.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    for n in 1..=3 {
        let port = |answer: Result<u64, AskError>| WorkerNote { n: answer.unwrap_or_default() };
        worker.note(n).reply_to(&third, port).await.expect("taken");
    }
    settle().await;
    gate.open();
    wait_for("all answers", || log.entries().len() == 4).await;
    assert_eq!(log.entries()[1..], ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_nobody_wants_need_not_be_made() {
    let (mirror, log) = mirror(&System::new());
    mirror.costly().tell().await.expect("taken");
    settle().await;
    assert!(log.entries().is_empty());
    assert_eq!(mirror.costly().await, Ok(7));
    assert_eq!(log.entries(), ["made"]);
}

#[tokio::test(start_paused = true)]
async fn how_long_asks_wait_can_be_set() {
    let system = System::new();
    assert_eq!(system.reply_timeout(), REPLY_TIMEOUT_DEFAULT);
    let worker = system.spawn(Worker::default());
    system.set_reply_timeout(2 * SECOND);
    let began = tokio::time::Instant::now();
    assert!(matches!(worker.keep().await, Err(AskError::Timeout { .. })));
    assert_eq!(began.elapsed().as_secs(), 2);
    assert!(matches!(worker.keep().within(SECOND).await, Err(AskError::Timeout { .. })));
    assert_eq!(began.elapsed().as_secs(), 3);
    // What is answered on the asker's stack has the same deadline.
    let (mirror, _) = mirror(&system);
    let asking = beside({
        let mirror = mirror.clone();
        async move { mirror.note("x".to_owned()).await }
    });
    assert_eq!(asking.result().await.as_deref(), Ok("x"));
}
