//! Two servers over real sockets: what one can ask of the other.

#![expect(clippy::disallowed_methods, reason = "tests run tasks of their own")]

extern crate odeon_actor as odeon;

mod common;

use std::time::Duration;

use odeon_actor::{AskError, Cx, Reply, actor};
use odeon_auth::Cookie;
use odeon_core::{Address, Epoch, ExitReason, Reference, RefusalCode, ServerId};
use odeon_server::{Control, ControlCalls, Home, Server, ServerConfig, World};

use common::wait_until;

#[derive(Debug, Default)]
struct Echo {
    held: Vec<Reply<String>>,
}

/// Says it back.
#[actor(mark = "echo/1")]
impl Echo {
    /// Says it back.
    #[handle]
    fn say(&self, text: String) -> String {
        text
    }

    /// Never answers.
    #[handle]
    fn hold(&mut self, reply: Reply<String>) {
        self.held.push(reply);
    }

    /// Panics.
    #[handle]
    fn boom(&self) {
        panic!("as asked");
    }

    /// Who asks?
    #[handle]
    fn whoami(&self, cx: &mut Cx<Self>) -> String {
        cx.sender().server().map_or_else(String::new, ToString::to_string)
    }

    /// For those who may.
    #[handle(needs = "secrets")]
    fn secret(&self) -> u32 {
        42
    }
}

fn id(text: &str) -> ServerId {
    text.parse().expect("a server id")
}

fn at(server: &Server, actor: &str) -> Reference {
    Reference::new(server.id().clone(), actor.parse().expect("an actor"))
}

struct Pair {
    _directory: tempfile::TempDir,
    home: Home,
    a: Server,
    b: Server,
}

/// `b` listens and has an echo; `a` knows where it is.
async fn pair(listen: impl Fn(&Home) -> Address, cookies: [u8; 2]) -> Pair {
    let directory = tempfile::tempdir().expect("a directory");
    let home = Home::open(directory.path()).expect("a home");
    let world = || World::real(home.host().clone());
    let cookie = |byte| Cookie::from_bytes([byte; 32]);
    let config =
        ServerConfig::new(id("b@/"), cookie(cookies[1]), world()).epoch(Epoch(1)).listen(listen(&home));
    let b = Server::start(config).await.expect("b starts");
    b.spawn_named("echo".parse().expect("a name"), Echo::default()).expect("registered");
    let config =
        ServerConfig::new(id("a@/"), cookie(cookies[0]), world()).known(id("b@/"), b.addresses().to_vec());
    let a = Server::start(config).await.expect("a starts");
    Pair { _directory: directory, home, a, b }
}

async fn unix_pair() -> Pair {
    pair(|home| home.address(&id("b@/")), [7, 7]).await
}

fn tcp(_: &Home) -> Address {
    "tcp:127.0.0.1:0".parse().expect("an address")
}

#[tokio::test]
async fn naming_a_server_is_enough_to_ask_over_unix_and_tcp() {
    for pair in [unix_pair().await, pair(tcp, [7, 7]).await] {
        let echo = pair.a.actor::<Echo>(at(&pair.b, "echo"));
        assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
        assert_eq!(echo.whoami().await.expect("answered"), "a@/");
        echo.say("into the void".into()).tell().await.expect("taken");
        assert_eq!(echo.ping().await, Ok(()));
        assert_eq!(pair.a.connections().len(), 1);
        let control = pair.a.actor::<Control>(at(&pair.b, "0"));
        let actors = control.list_actors(None, None).await.expect("a list").actors;
        assert_eq!(actors.iter().map(|actor| actor.name.as_str()).collect::<Vec<_>>(), ["echo"]);
        assert_eq!(
            control.list_connections(None, None).await.expect("a list").connections[0].server,
            id("a@/")
        );
    }
}

/// Answers come in while others ask: the place of an answered ask is not given to the next before its asker is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_of_asks_from_many_tasks_each_get_their_own_answer() {
    let pair = unix_pair().await;
    let echo = pair.a.actor::<Echo>(at(&pair.b, "echo"));
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let echo = echo.clone();
            tokio::spawn(async move {
                for n in 0..1_000 {
                    let text = format!("{task}-{n}");
                    assert_eq!(echo.say(text.clone()).await, Ok(text));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no ask failed");
    }
}

#[tokio::test]
async fn over_tcp_the_cookie_alone_gives_no_capability() {
    let Pair { a, b, _directory, .. } = pair(tcp, [7, 7]).await;
    let refused = a.actor::<Echo>(at(&b, "echo")).secret().await;
    assert!(matches!(refused, Err(AskError::Refused(refusal)) if refusal.code == RefusalCode::NotAuthorised));
    let Pair { a, b, _directory, .. } = unix_pair().await;
    assert_eq!(a.actor::<Echo>(at(&b, "echo")).secret().await, Ok(42), "our own user is admin");
}

#[tokio::test]
async fn another_cookie_is_refused_and_says_so() {
    let Pair { a, b, _directory, .. } = pair(tcp, [7, 8]).await;
    let error = a.actor::<Echo>(at(&b, "echo")).say("hi".into()).await.expect_err("refused");
    assert!(error.to_string().contains("cookie"), "{error}");
    assert!(b.connections().is_empty());
}

#[tokio::test]
async fn unknown_servers_and_actors_are_told_apart() {
    let Pair { a, b, _directory, .. } = unix_pair().await;
    let nowhere = a.actor::<Echo>("c@/:echo".parse().expect("a reference")).say("hi".into()).await;
    assert!(matches!(nowhere, Err(AskError::Unreachable { .. })), "{nowhere:?}");
    let nobody = a.actor::<Echo>(at(&b, "ecko")).say("hi".into()).await.expect_err("refused");
    assert!(nobody.to_string().contains("did you mean `echo`?"), "{nobody}");
}

#[tokio::test]
async fn death_is_told_to_askers_and_monitors() {
    let Pair { a, b, _directory, .. } = unix_pair().await;
    let echo = a.actor::<Echo>(at(&b, "echo"));
    let (tell, ended) = tokio::sync::oneshot::channel();
    echo.monitor(Box::new(move |down| drop(tell.send(down)))).expect("watching");
    // The ping comes after the monitor on the same link, so the monitor is in place.
    echo.ping().await.expect("alive");
    let boom = echo.boom().await.expect_err("dead");
    assert!(
        matches!(&boom, AskError::Dead(ExitReason::Panicked(panic)) if panic.message == "as asked"),
        "{boom:?}"
    );
    let down = ended.await.expect("told");
    assert!(matches!(down.reason, ExitReason::Panicked(_)));
}

/// Until all before it has been taken a message above the window waits, and what others send waits behind it.
#[tokio::test]
async fn a_large_message_that_waits_is_not_overtaken_for_ever() {
    let pair = unix_pair().await;
    let echo = pair.a.actor::<Echo>(at(&pair.b, "echo"));
    let large = "x".repeat(usize::try_from(odeon_wire::FLOW_WINDOW_BYTES).expect("small") + 1);
    echo.say(String::new()).await.expect("there is a link");
    // Nothing else runs between these: nothing is taken meanwhile.
    echo.say(String::new()).tell().await.expect("sent");
    let mut first = Box::pin(echo.say(large.clone()).tell());
    let mut second = Box::pin(echo.say(String::new()).tell());
    assert!(looked_at(&mut first).is_none(), "the one before it has not been taken");
    assert!(looked_at(&mut second).is_none(), "it waits behind");
    first.await.expect("sent");
    second.await.expect("sent");
    // One that is given up holds up nobody.
    let mut first = Box::pin(echo.say(large).tell());
    assert!(looked_at(&mut first).is_none(), "as above");
    drop(first);
    let mut second = Box::pin(echo.say(String::new()).tell());
    assert!(looked_at(&mut second).is_some_and(|sent| sent.is_ok()), "it goes at once");
}

/// What a future gives when it is looked at once.
fn looked_at<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

/// One link uses up a quarter of an actor's places at most; and who is refused one is not told that a link is lost.
#[tokio::test]
async fn a_monitor_too_many_says_so_and_a_link_has_a_quarter_of_an_actors_places() {
    let pair = unix_pair().await;
    let (far, near) = (pair.a.actor::<Echo>(at(&pair.b, "echo")), pair.b.actor::<Echo>(at(&pair.b, "echo")));
    far.ping().await.expect("there is a link");
    let refused = |reason: ExitReason| {
        assert!(matches!(&reason, ExitReason::NotMonitored(_)), "{reason:?}");
    };
    for _ in 0..odeon_wire::MONITORS_MAX {
        far.monitor(Box::new(|_| {})).expect("the link tells");
    }
    refused(far.ended().await);
    // The peer has them all, and there is room for three times as many.
    far.ping().await.expect("in order");
    let left = 65_536 - odeon_wire::MONITORS_MAX;
    let monitors: Vec<_> = (0..left).map(|_| near.monitor(Box::new(|_| {})).expect("told")).collect();
    refused(near.ended().await);
    assert_eq!(left, 3 * odeon_wire::MONITORS_MAX);
    // Another link's is refused by the actor, and told the same.
    let config =
        ServerConfig::new(id("c@/"), Cookie::from_bytes([7; 32]), World::real(pair.home.host().clone()))
            .known(id("b@/"), pair.b.addresses().to_vec());
    let c = Server::start(config).await.expect("c starts");
    let other = c.actor::<Echo>(at(&pair.b, "echo"));
    refused(other.ended().await);
    near.demonitor(monitors[0]);
    let mut ended = std::pin::pin!(other.ended());
    tokio::select! {
        reason = &mut ended => panic!("there is room again: {reason:?}"),
        () = async { other.ping().await.expect("in order") } => {}
    }
}

#[tokio::test]
async fn the_end_of_a_link_is_told_to_askers_and_monitors() {
    let Pair { a, b, _directory, .. } = unix_pair().await;
    let echo = a.actor::<Echo>(at(&b, "echo"));
    echo.ping().await.expect("alive");
    let (tell, ended) = tokio::sync::oneshot::channel();
    echo.monitor(Box::new(move |down| drop(tell.send(down)))).expect("watching");
    let asking = tokio::spawn(async move { echo.hold().within(Duration::from_secs(60)).await });
    wait_until("the ask is on the link", || a.connections()[0].open_asks == 1).await;
    b.shutdown(Duration::from_millis(100)).await;
    let answer = asking.await.expect("no panic").expect_err("no answer");
    assert!(matches!(answer, AskError::Dead(_)), "{answer:?}");
    assert!(ended.await.is_ok());
}

#[tokio::test]
async fn a_server_that_stops_leaves_no_socket_and_a_new_incarnation_is_found() {
    let Pair { a, b, _directory, .. } = unix_pair().await;
    let echo = a.actor::<Echo>(at(&b, "echo"));
    echo.ping().await.expect("alive");
    let address = b.addresses()[0].clone();
    let Address::Unix { path, host } = &address else { panic!("a unix address") };
    b.shutdown(Duration::from_secs(1)).await;
    assert!(!std::path::Path::new(path).exists());
    wait_until("the end of the link is noticed", || a.connections().is_empty()).await;
    let config = ServerConfig::new(id("b@/"), Cookie::from_bytes([7; 32]), World::real(host.clone()))
        .epoch(Epoch(2))
        .listen(address.clone());
    let again = Server::start(config).await.expect("starts again");
    again.spawn_named("echo".parse().expect("a name"), Echo::default()).expect("registered");
    assert_eq!(echo.say("back".into()).await.expect("answered"), "back");
    again.shutdown(Duration::from_secs(1)).await;
    wait_until("the end of the link is noticed", || a.connections().is_empty()).await;
    let config = ServerConfig::new(id("b@/"), Cookie::from_bytes([7; 32]), World::real(host.clone()))
        .epoch(Epoch(1))
        .listen(address.clone());
    let _stale = Server::start(config).await.expect("starts");
    let error = echo.say("old".into()).await.expect_err("a stale incarnation");
    assert!(error.to_string().contains("incarnation"), "{error}");
}
