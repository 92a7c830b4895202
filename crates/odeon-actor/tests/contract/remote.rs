//! Handles of actors on other servers: the same calls, over a route.

use std::sync::{Arc, Mutex};

use odeon::{
    Arguments, AskError, Down, ExitReason, Handle, MonitorId, RemoteCall, Request, Route, System, TellError,
    TryTellError, actor,
};
use odeon_core::seam::{BoxFuture, Clock};
use odeon_core::{ActorId, Encoding, Reference, RefusalCode, encode};

use crate::deliveries::{Greeter, GreeterCalls, GreeterGreet};
use crate::support::{Log, SECOND, Worker, WorkerCalls, at_once, ended, name};

/// A route that writes down what it is given.
#[derive(Debug)]
pub(crate) struct FakeRoute {
    clock: Arc<dyn Clock>,
    log: Log,
    calls: Mutex<Vec<RemoteCall>>,
    /// What an ask comes to; none means that nothing ever comes.
    answer: Option<Result<&'static str, AskError>>,
    /// How the answer is encoded.
    encoding: Encoding,
}

impl FakeRoute {
    pub(crate) fn new(answer: Option<Result<&'static str, AskError>>) -> Arc<Self> {
        Arc::new(Self::plain(answer))
    }

    fn plain(answer: Option<Result<&'static str, AskError>>) -> Self {
        let clock = Arc::clone(System::new().clock());
        Self { clock, log: Log::default(), calls: Mutex::default(), answer, encoding: Encoding::Cbor }
    }

    pub(crate) fn handle(self: &Arc<Self>) -> Handle<Greeter> {
        Handle::remote(reference(), Arc::clone(self) as Arc<dyn Route>)
    }

    pub(crate) fn call(&self) -> RemoteCall {
        self.calls.lock().expect("nothing panics under it").pop().expect("there was a call")
    }
}

pub(crate) fn reference() -> Reference {
    Reference::new("web-0@/shop".parse().expect("a server id"), ActorId::Name(name("greeter")))
}

impl Route for FakeRoute {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    fn tell(self: Arc<Self>, call: RemoteCall) -> BoxFuture<'static, Result<(), TellError>> {
        self.calls.lock().expect("nothing panics under it").push(call);
        Box::pin(async { Ok(()) })
    }

    fn ask(self: Arc<Self>, call: RemoteCall) -> BoxFuture<'static, Result<(Encoding, Vec<u8>), AskError>> {
        self.calls.lock().expect("nothing panics under it").push(call);
        Box::pin(async move {
            let Some(answer) = &self.answer else {
                return std::future::pending().await;
            };
            let mut bytes = Vec::new();
            encode(answer.as_ref().map_err(Clone::clone)?, self.encoding, &mut bytes).expect("encodes");
            Ok((self.encoding, bytes))
        })
    }

    fn ping(self: Arc<Self>, to: Reference) -> BoxFuture<'static, Result<(), AskError>> {
        self.log.push(format!("ping {to}"));
        Box::pin(async { Ok(()) })
    }

    fn stop(&self, to: &Reference) {
        self.log.push(format!("stop {to}"));
    }

    fn monitor(&self, to: &Reference, monitor: MonitorId, notify: Box<dyn FnOnce(Down) + Send>) {
        self.log.push(format!("monitor {to}"));
        let reason = ExitReason::LinkLost("the cable was cut".to_owned());
        notify(Down { monitor, server: Some(to.server.clone()), actor: to.actor.clone(), reason });
    }

    fn demonitor(&self, _: MonitorId) {
        self.log.push("demonitor");
    }
}

#[tokio::test(start_paused = true)]
async fn a_remote_ask_travels_by_its_mark_with_its_deadline() {
    let route = FakeRoute::new(Some(Ok("hello Ada")));
    let answer = route.handle().greet("Ada".to_owned(), None).await;
    assert_eq!(answer, Ok("hello Ada".to_owned()));
    let call = route.call();
    assert_eq!((call.to, call.from, &*call.mark), (reference(), 0, "greeter/1#greet"));
    assert_eq!(call.expires_at, Some(route.clock.now() + 5 * SECOND));
    let (encoding, bytes) = call.arguments.encoded(Encoding::Cbor).expect("encodes");
    assert_eq!(encoding, Encoding::Cbor);
    let map: std::collections::BTreeMap<String, Option<String>> =
        odeon_core::decode(encoding, &bytes).expect("field names travel");
    assert_eq!(map["name"].as_deref(), Some("Ada"));
}

#[tokio::test(start_paused = true)]
async fn a_remote_call_is_encoded_by_its_route_as_the_receiver_understands() {
    let route = FakeRoute::new(Some(Ok("hello Ada")));
    route.handle().greet("Ada".to_owned(), None).tell().await.expect("taken");
    let call = route.call();
    assert_eq!(call.arguments.fingerprint(), <GreeterGreet as Request<Greeter>>::fingerprint());
    assert_eq!(call.arguments.encoded(Encoding::Compact), Ok((Encoding::Compact, b"\x03Ada\x00"[..].into())));

    let json = Arguments::Encoded { encoding: Encoding::Json, bytes: b"{}".to_vec() };
    assert_eq!(json.fingerprint(), None);
    assert_eq!(
        json.encoded(Encoding::Compact),
        Ok((Encoding::Json, b"{}"[..].into())),
        "bytes go as they are"
    );
    assert_eq!(Arguments::named(7_u8).fingerprint(), None);

    let compact =
        Arc::new(FakeRoute { encoding: Encoding::Compact, ..FakeRoute::plain(Some(Ok("hello Ada"))) });
    assert_eq!(compact.handle().greet("Ada".to_owned(), None).await, Ok("hello Ada".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_names_is_refused_where_the_asker_needs_them() {
    let route = Arc::new(FakeRoute { encoding: Encoding::Compact, ..FakeRoute::plain(Some(Ok("\u{ff}"))) });
    let hollow: Handle<Hollow> = Handle::remote(reference(), Arc::clone(&route) as Arc<dyn Route>);
    // As compact bytes it would be a list of as many nothings as the peer likes to have counted.
    let Err(AskError::Refused(why)) = hollow.nothings().await else {
        panic!("it is refused");
    };
    assert!(why.detail.contains("without the names it needs"), "{why}");
}

/// Answers nothings.
struct Hollow;

#[actor(mark = "hollow/1")]
impl Hollow {
    #[handle]
    fn nothings(&self) -> Vec<()> {
        Vec::new()
    }
}

#[tokio::test(start_paused = true)]
async fn a_remote_tell_has_no_deadline_and_one_that_is_tried_needs_a_link() {
    let route = FakeRoute::new(None);
    let greeter = route.handle();
    greeter.greet("Ada".to_owned(), None).tell().await.expect("taken");
    assert_eq!(route.call().expires_at, None);
    let tried = greeter.greet("Ada".to_owned(), Some(3)).try_tell();
    let Err(TryTellError::NoLink(request)) = tried else {
        panic!("the route takes nothing at once");
    };
    assert_eq!((request.name.as_str(), request.times), ("Ada", Some(3)));
    let private: Handle<Worker> = Handle::remote(reference(), route as Arc<dyn Route>);
    let tried = private.note(1).try_tell();
    assert!(matches!(tried, Err(TryTellError::Failed(_, TellError::Refused(_)))), "{tried:?}");
}

#[tokio::test(start_paused = true)]
async fn a_remote_ask_times_out_here_even_if_the_route_says_nothing() {
    let asked = FakeRoute::new(None).handle().greet("Ada".to_owned(), None).within(2 * SECOND).await;
    assert!(matches!(asked, Err(AskError::Timeout { after }) if after >= 2 * SECOND), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_route_says_is_what_the_asker_hears() {
    let lost = AskError::Dead(ExitReason::LinkLost("the cable was cut".to_owned()));
    let server = "web-0@/shop".to_owned();
    let unreachable = AskError::Unreachable { server, why: "nobody listens".to_owned() };
    for error in [lost, unreachable, AskError::NoReply, AskError::Dead(ExitReason::NoActor)] {
        let asked = at_once(FakeRoute::new(Some(Err(error.clone()))).handle().kept_wanted()).await;
        assert_eq!(asked, Err(error));
    }
    let undecodable = FakeRoute::new(Some(Ok("a text"))).handle().kept_wanted().await;
    assert!(matches!(undecodable, Err(AskError::Refused(why)) if why.code == RefusalCode::BadPayload));
}

#[tokio::test(start_paused = true)]
async fn a_private_actor_cannot_be_called_from_afar() {
    let route = FakeRoute::new(Some(Ok("never asked")));
    let worker: Handle<Worker> = Handle::remote(reference(), Arc::clone(&route) as Arc<dyn Route>);
    let Err(AskError::Refused(why)) = worker.note(1).await else {
        panic!("it cannot travel");
    };
    assert!(why.detail.contains("#[actor(mark = "), "{why}");
    assert!(matches!(worker.note(1).tell().await, Err(TellError::Refused(_))));
    assert!(route.calls.lock().expect("nothing panics under it").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_local_handler_cannot_be_called_from_afar() {
    let route = FakeRoute::new(Some(Ok("never asked")));
    assert!(matches!(route.handle().whisper().await, Err(AskError::Refused(_))));
    assert!(route.calls.lock().expect("nothing panics under it").is_empty());
}

#[tokio::test(start_paused = true)]
async fn life_and_death_go_over_the_route() {
    let route = FakeRoute::new(None);
    let greeter = route.handle();
    assert_eq!(greeter.id(), ActorId::Name(name("greeter")));
    assert!(!greeter.is_dead());
    assert_eq!(greeter.ping().await, Ok(()));
    greeter.stop();
    greeter.drain();
    greeter.kill();
    assert_eq!(ended(&greeter).await, ExitReason::LinkLost("the cable was cut".to_owned()));
    let (ping, stop) = ("ping web-0@/shop:greeter", "stop web-0@/shop:greeter");
    assert_eq!(route.log.entries(), [ping, stop, stop, stop, "monitor web-0@/shop:greeter"]);
}
