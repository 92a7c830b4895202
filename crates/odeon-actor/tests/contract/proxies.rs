//! Proxies: handles that stand for a reference and deliver to an actor that decides.

use odeon::{
    AskError, Cx, Envelope, ExitReason, Handle, Proxied, Reply, Sender, SpawnOptions, System, TellError,
    TryTellError, actor,
};
use odeon_core::RefusalCode;

use crate::remote::{FakeRoute, reference};
use crate::support::{
    Gate, Log, SECOND, Worker, WorkerCalls, WorkerMessage, WorkerNote, at_once, beside, ended, settle,
    wait_for,
};

/// Decides what becomes of messages for workers.
#[derive(Debug, Default)]
pub(crate) struct Gatekeeper {
    log: Log,
    /// Where messages are passed on to.
    to: Option<Handle<Worker>>,
}

#[actor]
impl Gatekeeper {
    /// Answers odd notes itself, drops the thirteenth, and passes on the others.
    #[handle(boxed)]
    async fn take(&mut self, item: Proxied<Worker>, cx: &mut Cx<Self>) {
        let Proxied { reference, envelope } = item;
        self.log.push(format!("{reference} wants a reply: {}", envelope.wants_reply()));
        assert_eq!(envelope.expires_at(), cx.expires_at(), "one deadline, inside and outside");
        if let WorkerMessage::Note(WorkerNote { n: 13 }, _) = envelope.message() {
            return;
        }
        if let WorkerMessage::Note(WorkerNote { n }, _) = envelope.message()
            && n % 2 == 1
        {
            if let WorkerMessage::Note(WorkerNote { n }, reply) = envelope.into_message() {
                reply.send(n + 100);
            }
            return;
        }
        if let Some(to) = &self.to {
            // Dead or not, the asker is told.
            let _ = to.forward(envelope).await;
        }
    }

    #[handle]
    async fn hold(&mut self, gate: Gate) {
        gate.pass().await;
    }
}

fn proxied(proxy: &Handle<Gatekeeper>) -> Handle<Worker> {
    let wrap = |item| GatekeeperTake { item };
    Handle::via(proxy, reference(), wrap).expect("the proxy is here")
}

struct World {
    log: Log,
    worker: Handle<Worker>,
    proxy: Handle<Gatekeeper>,
    handle: Handle<Worker>,
}

impl World {
    fn new() -> Self {
        Self::with(SpawnOptions::default())
    }

    fn with(options: SpawnOptions) -> Self {
        let (system, log) = (System::new(), Log::default());
        let worker = system.spawn(Worker::logging(&log));
        let keeper = Gatekeeper { log: log.clone(), to: Some(worker.clone()) };
        let proxy = system.spawn_with(options, keeper).expect("no name");
        let handle = proxied(&proxy);
        Self { log, worker, proxy, handle }
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxy_forwards_answers_or_drops() {
    let World { log, handle, .. } = World::new();
    assert_eq!(handle.note(2).await, Ok(2), "passed on, answered by the worker");
    assert_eq!(handle.note(1).await, Ok(101), "answered by the proxy");
    assert_eq!(at_once(handle.note(13)).await, Err(AskError::NoReply), "dropped");
    handle.note(4).tell().await.expect("taken");
    handle.note(6).try_tell().expect("taken");
    wait_for("the last", || log.count("6") == 1).await;
    let (asked, told) =
        ("web-0@/shop:greeter wants a reply: true", "web-0@/shop:greeter wants a reply: false");
    assert_eq!((log.count(asked), log.count(told)), (3, 2));
    let noted: Vec<_> = log.entries().into_iter().filter(|entry| entry.len() == 1).collect();
    assert_eq!(noted, ["2", "4", "6"], "in the order in which they were sent");
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_a_proxy_says_what_it_stands_for_and_who_the_proxy_is() {
    let World { worker, proxy, handle, .. } = World::new();
    assert_eq!(handle.reference(), Some(&reference()));
    assert_eq!(handle.proxy::<Gatekeeper>().map(Handle::id), Some(proxy.id()));
    assert!(handle.proxy::<Worker>().is_none(), "it is no worker");
    assert_eq!(handle.id(), reference().actor);
    assert_eq!(handle.clone().reference(), Some(&reference()));
    assert!(worker.reference().is_none() && worker.proxy::<Gatekeeper>().is_none());
    assert_eq!(
        FakeRoute::new(None).handle().reference(),
        Some(&reference()),
        "one on another server as well"
    );
    let shown = format!("{handle:?}");
    assert!(shown.contains("web-0@/shop:greeter via Handle(") && shown.contains("Gatekeeper"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn raw_messages_cross_a_proxy_as_they_are() {
    let World { log, handle, .. } = World::new();
    let raw = WorkerMessage::Note(WorkerNote { n: 8 }, Reply::nobody());
    handle.forward(Envelope::new(raw)).await.expect("taken");
    wait_for("it to arrive", || log.count("8") == 1).await;
}

/// Tells who sent what it hears.
#[derive(Debug, Default)]
struct Listener {
    log: Log,
}

#[actor]
impl Listener {
    #[handle(boxed)]
    fn hear(&mut self, item: Proxied<Worker>, cx: &mut Cx<Self>) {
        let (inside, outside) = (item.envelope.sender(), cx.sender());
        let number = |sender| match sender {
            Sender::Actor(number) => number,
            _ => 0,
        };
        let (nonce, answered) = (item.envelope.nonce(), item.envelope.in_reply_to());
        self.log.push(format!("{} {} {nonce} {answered:?}", number(inside), number(outside)));
    }
}

/// Sends.
#[derive(Debug)]
struct Speaker;

#[actor]
impl Speaker {
    #[handle]
    async fn speak(&mut self, to: Handle<Worker>) {
        for n in 0..2 {
            to.note(n).tell().await.expect("it lives");
        }
        // Nobody answers.
        let _ = to.note(2).in_reply_to(5).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxy_sees_the_sender_and_its_numbers() {
    let (system, log) = (System::new(), Log::default());
    let listener = system.spawn(Listener { log: log.clone() });
    let handle = Handle::via(&listener, reference(), |item| ListenerHear { item });
    let speaker = system.spawn(Speaker);
    speaker.speak(handle.expect("the proxy is here")).await.expect("it lives");
    let odeon_core::ActorId::Number(number) = speaker.id() else {
        panic!("a local actor has a number");
    };
    wait_for("all", || log.entries().len() == 3).await;
    let expected = ["0 None", "1 None", "2 Some(5)"].map(|rest| format!("{number} {number} {rest}"));
    assert_eq!(log.entries(), expected);
}

#[tokio::test(start_paused = true)]
async fn deadlines_hold_at_the_proxy_and_behind_it() {
    let World { log, proxy, handle, worker } = World::new();
    let gate = Gate::new();
    proxy.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    let asked = handle.note(2).within(SECOND).await;
    assert!(matches!(asked, Err(AskError::Timeout { after }) if after == SECOND), "{asked:?}");
    gate.open();
    settle().await;
    assert_eq!(log.entries(), [""; 0], "expired at the proxy, it was not taken");
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    let asked = handle.note(2).within(SECOND).await;
    assert!(matches!(asked, Err(AskError::Timeout { after }) if after == SECOND), "{asked:?}");
    gate.open();
    wait_for("the worker to go on", || log.count("held handler gone") == 1).await;
    settle().await;
    assert_eq!(log.count("2"), 0, "expired behind the proxy, it was not run");
}

#[tokio::test(start_paused = true)]
async fn a_full_proxy_makes_senders_wait() {
    let World { proxy, handle, .. } = World::with(SpawnOptions::default().capacity(1));
    let gate = Gate::new();
    proxy.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    handle.note(2).tell().await.expect("the one place is free");
    assert_eq!(handle.depth(), 1);
    let tried = handle.note(4).try_tell();
    assert!(matches!(tried, Err(TryTellError::Full(WorkerNote { n: 4 }))), "{tried:?}");
    let telling = beside({
        let handle = handle.clone();
        async move { handle.note(6).tell().await }
    });
    let asking = beside({
        let handle = handle.clone();
        async move { handle.note(8).await }
    });
    settle().await;
    let given_up = handle.note(10).within(SECOND).await;
    assert!(matches!(given_up, Err(AskError::Timeout { .. })), "{given_up:?}");
    gate.open();
    assert_eq!((telling.result().await, asking.result().await), (Ok(()), Ok(8)));
}

#[tokio::test(start_paused = true)]
async fn the_life_of_a_proxys_handle_is_the_proxys() {
    let World { worker, proxy, handle, .. } = World::new();
    handle.stop();
    handle.drain();
    handle.kill();
    assert_eq!(handle.ping().await, Ok(()));
    assert!(!handle.is_dead() && !proxy.is_dead() && !worker.is_dead(), "such a handle only sends");
    proxy.stop();
    assert_eq!(ended(&handle).await, ExitReason::Stopped);
    assert!(handle.is_dead() && !worker.is_dead());
    assert_eq!(at_once(handle.note(2)).await, Err(AskError::Dead(ExitReason::Stopped)));
    assert_eq!(at_once(handle.note(2).tell()).await, Err(TellError::Dead(ExitReason::Stopped)));
    assert!(matches!(handle.note(2).try_tell(), Err(TryTellError::Dead(..))));
}

#[tokio::test(start_paused = true)]
async fn an_asker_learns_of_the_end_of_the_proxy_at_once() {
    let World { proxy, handle, .. } = World::new();
    let gate = Gate::new();
    proxy.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    let asking = beside(async move { at_once(handle.note(2)).await });
    settle().await;
    proxy.kill();
    assert_eq!(asking.result().await, Err(AskError::Dead(ExitReason::Killed)));
}

#[tokio::test(start_paused = true)]
async fn proxies_may_stand_one_behind_the_other() {
    let World { log, handle, .. } = World::new();
    let system = System::new();
    let outer = system.spawn(Gatekeeper { log: log.clone(), to: Some(handle) });
    assert_eq!(proxied(&outer).note(2).await, Ok(2));
    assert_eq!(log.entries().len(), 3, "two proxies and the worker");
}

#[tokio::test(start_paused = true)]
async fn a_proxy_is_an_actor_of_this_process() {
    let far = FakeRoute::new(None).handle();
    let handle = Handle::<Worker>::via(&far, reference(), |_| crate::deliveries::GreeterWhisper {});
    let error = handle.expect_err("it is elsewhere").to_string();
    assert_eq!(error, "web-0@/shop:greeter is on another server: a proxy is an actor of this process");
    let raw =
        crate::deliveries::GreeterMessage::Whisper(crate::deliveries::GreeterWhisper {}, Reply::nobody());
    let sent = far.forward(Envelope::new(raw)).await;
    assert!(matches!(sent, Err(TellError::Refused(why)) if why.code == RefusalCode::BadRequest));
}
