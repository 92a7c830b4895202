//! How a server finds another: the next address, what was looked up, and what watches it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use odeon_actor::AskError;
use odeon_core::seam::BoxFuture;
use odeon_core::{Address, Encoding, ExitReason, ServerId};
use odeon_server::{ConnectError, Limits, Locate, Server, ServerConfig, World};
use odeon_wire::Frame;
use tokio::net::{TcpListener, UnixListener};

use crate::actors::{Echo, EchoCalls as _};
use crate::memory_net::MemoryNet;
use crate::raw::{Raw, ask_id, body, define, open};
use crate::support::{Site, TRANSPORTS, Transport, at, cookie, id, soon, wait_until};

#[tokio::test]
async fn the_next_address_is_tried_when_one_does_not_connect_or_not_prove_itself() {
    let site = Site::new();
    let host = site.home.host().clone();
    let unix = |name: &str| Address::Unix {
        host: host.clone(),
        path: site.home.root().join(name).to_string_lossy().into_owned(),
    };
    let server = site.listener(Transport::Tcp, Limits::default()).await;
    // Unix addresses are tried before others, in the order of their paths.
    let (nobody, rogue) = (unix("1.sock"), unix("2.sock"));
    let Address::Unix { path, .. } = &rogue else { panic!("unix") };
    let listener = UnixListener::bind(path).expect("bound");
    let rogue_saw = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("connected");
        let mut raw = Raw::over(Box::new(stream));
        raw.frame().await.expect("a hello");
        raw.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("sent");
        raw.end().await
    });
    let addresses = [server.addresses()[0].clone(), rogue, nobody.clone()];
    let client = site.knowing("a@/", server.id(), &addresses).await;
    let echo = client.actor::<Echo>(at(&server, "echo"));
    assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
    assert!(soon("the rogue was asked first", rogue_saw).await.is_ok());
    assert_eq!(client.connections()[0].remote, server.addresses()[0].to_string());

    let error = client.connect(&id("c@/"), &[nobody, server.addresses()[0].clone()]).await;
    let Err(ConnectError::AllFailed { tried, .. }) = error else { panic!("{error:?}") };
    let whys: Vec<_> = tried.iter().map(|tried| tried.why.as_str()).collect();
    assert!(whys[0].contains("No such file") && whys[1].contains("wrong-server"), "{whys:?}");
}

#[tokio::test]
async fn a_wrong_word_about_an_address_does_not_replace_the_right_one() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, Limits::default()).await;
        let client = site.client("a@/", &server).await;
        let unused = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let nobody = Address::Tcp(unused.local_addr().expect("bound").to_string());
        drop(unused);
        client.connect(server.id(), &[nobody]).await.expect_err("nobody is there");
        let echo = client.actor::<Echo>(at(&server, "echo"));
        assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
        // And a right one leads there, for as long as the link lasts.
        let other = Server::start(site.config("c@/")).await.expect("starts");
        let remote = other.connect(server.id(), server.addresses()).await.expect("connected");
        assert_eq!(remote, server.addresses()[0].to_string());
        other.actor::<Echo>(at(&server, "echo")).ping().await.expect("alive");
    }
}

#[tokio::test]
async fn who_waits_for_an_attempt_that_hangs_takes_the_link_that_the_peer_makes() {
    let site = Site::new();
    let server = site.listener(Transport::Tcp, Limits::default()).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    server.know(id("c@/"), vec![Address::Tcp(silent.local_addr().expect("bound").to_string())]);
    let echo = server.actor::<Echo>("c@/:echo".parse().expect("a reference"));
    let asked = tokio::spawn(async move { echo.say("hi".into()).await });
    let _held = soon("the attempt", silent.accept()).await.expect("accepted");
    let peer = Server::start(site.config("c@/")).await.expect("starts");
    peer.spawn_named("echo".parse().expect("a name"), Echo::default()).expect("free");
    peer.connect(server.id(), server.addresses()).await.expect("connected");
    let answer = soon("an answer over the peer's link", asked).await.expect("no panic");
    assert_eq!(answer, Ok("hi".to_owned()));
}

/// Says where `b@/` is, and counts how often it was asked. Before the first answers it fails in its own ways.
#[derive(Debug)]
struct Directory {
    asked: AtomicUsize,
    addresses: Vec<Vec<Address>>,
}

impl Locate for Directory {
    fn locate<'a>(&'a self, server: &'a ServerId) -> BoxFuture<'a, Result<Vec<Address>, String>> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let nth = self.addresses.get(asked).or_else(|| self.addresses.last()).cloned().unwrap_or_default();
        Box::pin(async move {
            if *server == id("panics@/") && asked == 0 {
                panic!("as told");
            }
            if *server == id("hangs@/") {
                std::future::pending::<()>().await;
            }
            Ok(nth)
        })
    }
}

fn directory(addresses: Vec<Vec<Address>>) -> Arc<Directory> {
    Arc::new(Directory { asked: AtomicUsize::new(0), addresses })
}

fn memory() -> (MemoryNet, World) {
    let net = MemoryNet::default();
    let world = World { net: Arc::new(net.clone()), ..World::real("memory".into()) };
    (net, world)
}

fn memory_address(n: u16) -> Address {
    Address::Tcp(format!("memory:{n}"))
}

async fn in_memory(name: &str, world: &World, n: u16) -> Server {
    let config = ServerConfig::new(id(name), cookie(), world.clone()).listen(memory_address(n));
    let server = Server::start(config).await.expect("starts");
    server.spawn_named("echo".parse().expect("a name"), Echo::default()).expect("registered");
    server
}

#[tokio::test(start_paused = true)]
async fn what_was_looked_up_is_believed_for_a_while_and_looked_up_anew_when_it_fails() {
    let (_, world) = memory();
    let first = in_memory("b@/", &world, 1).await;
    let client = Server::start(ServerConfig::new(id("a@/"), cookie(), world.clone())).await.expect("starts");
    let directory =
        directory(vec![vec![memory_address(1)], vec![memory_address(1)], vec![memory_address(2)]]);
    client.set_locator(Arc::<Directory>::clone(&directory));
    let echo = client.actor::<Echo>(at(&first, "echo"));
    let asked = || directory.asked.load(Ordering::Relaxed);
    let again = async || {
        // Whoever listens anew at the same place is another incarnation.
        wait_until("the link is gone", || client.connections().is_empty()).await;
        in_memory("b@/", &world, 1).await
    };

    assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
    assert_eq!(asked(), 1);
    first.shutdown(Duration::ZERO).await;
    let second = again().await;
    assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
    assert_eq!(asked(), 1, "it is remembered");

    tokio::time::advance(Limits::default().address_cache_ttl).await;
    assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
    second.shutdown(Duration::ZERO).await;
    let third = again().await;
    assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
    assert_eq!(asked(), 2, "it is not believed for ever");

    third.shutdown(Duration::ZERO).await;
    wait_until("the link is gone", || client.connections().is_empty()).await;
    let _moved = in_memory("b@/", &world, 2).await;
    assert_eq!(echo.say("hi".into()).await.expect("found where it moved"), "hi");
    assert_eq!(asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn how_long_a_looked_up_address_is_believed_is_set_while_the_server_runs() {
    let (_, world) = memory();
    let first = in_memory("b@/", &world, 1).await;
    let mut config = ServerConfig::new(id("a@/"), cookie(), world.clone());
    config.limits.address_cache_ttl = Duration::from_secs(60);
    let client = Server::start(config).await.expect("starts");
    assert_eq!(client.address_cache_ttl(), Duration::from_secs(60));
    let directory = directory(vec![vec![memory_address(1)]]);
    client.set_locator(Arc::<Directory>::clone(&directory));
    let echo = client.actor::<Echo>(at(&first, "echo"));
    let mut server = first;
    for (ttl, pass, asked) in [(60, 0, 1), (60, 59, 1), (10, 0, 2), (10, 9, 2), (3_600, 600, 2), (599, 0, 3)]
    {
        client.set_address_cache_ttl(Duration::from_secs(ttl));
        tokio::time::advance(Duration::from_secs(pass)).await;
        assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
        assert_eq!(directory.asked.load(Ordering::Relaxed), asked, "{ttl} s, {pass} s later");
        server.shutdown(Duration::ZERO).await;
        wait_until("the link is gone", || client.connections().is_empty()).await;
        server = in_memory("b@/", &world, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_breaks_or_hangs_ends_and_the_next_begins_anew() {
    let (_, world) = memory();
    let _server = in_memory("panics@/", &world, 1).await;
    let client = Server::start(ServerConfig::new(id("a@/"), cookie(), world.clone())).await.expect("starts");
    client.set_locator(directory(vec![vec![memory_address(1)]]));
    let error = client.connect(&id("panics@/"), &[]).await.expect_err("it broke");
    assert!(error.to_string().contains("broke off"), "{error}");
    client.connect(&id("panics@/"), &[]).await.expect("a new attempt");
    let error = client.connect(&id("hangs@/"), &[]).await.expect_err("it hung");
    assert!(error.to_string().contains("no answer within 10 s"), "{error}");
    client.set_locator(directory(vec![]));
    let nowhere = client.connect(&id("nowhere@/"), &[]).await;
    assert!(nowhere.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_talks_and_never_reads_is_given_up() {
    let (net, world) = memory();
    let server = in_memory("b@/", &world, 1).await;
    let stream = net.dial(&memory_address(1)).await.expect("connected");
    let mut raw = Raw::over(Box::new(stream));
    raw.prove(&crate::raw::hello("raw@/"), &cookie()).await;
    raw.frame().await.expect("a proof");
    raw.frame().await.expect("accepted");
    define(&mut raw, 0, "echo/1#blob").await;
    let payload = br#"{"bytes":100000}"#;
    open(&mut raw, 0, "echo").await;
    raw.send(&Frame::Ask { ask_id: ask_id(1), body: body(0, 1, 0, Encoding::Json, payload) }).await;
    let mut seconds = 0;
    while !server.connections().is_empty() {
        // It is not silent.
        raw.send(&Frame::Pong { n: 0 }).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        seconds += 1;
        assert!(seconds < 60, "still linked");
    }
    assert!((14..=17).contains(&seconds), "given up after {seconds} s");
}

#[tokio::test]
async fn monitors_by_reference_are_told_once_or_taken_back() {
    let site = Site::new();
    let server = site.listener(Transport::Unix, Limits::default()).await;
    let client = site.client("a@/", &server).await;
    let told = Arc::new(AtomicUsize::new(0));
    let counting = || {
        let told = Arc::clone(&told);
        Box::new(move |_| _ = told.fetch_add(1, Ordering::Relaxed))
    };
    let count = || told.load(Ordering::Relaxed);
    let named = |name: &str| {
        let handle = server.spawn_named(name.parse().expect("a name"), Echo::default()).expect("registered");
        (handle, client.actor::<Echo>(at(&server, name)))
    };
    let (watched, there) = named("watched");
    // Before there is a link, and when there is one.
    let early = there.monitor(counting()).expect("watching");
    there.demonitor(early);
    there.monitor(counting()).expect("watching");
    there.ping().await.expect("alive");
    let late = there.monitor(counting()).expect("watching");
    there.demonitor(late);
    there.monitor(counting()).expect("watching");
    there.ping().await.expect("alive");
    watched.kill();
    wait_until("two are told", || count() == 2).await;
    // By number, at its own server, a reference leads here.
    let here = server.spawn(Echo::default());
    let by_number = server.actor::<Echo>(at(&server, &here.id().to_string()));
    let taken_back = by_number.monitor(counting()).expect("watching");
    by_number.demonitor(taken_back);
    by_number.monitor(counting()).expect("watching");
    here.stop();
    wait_until("a third is told", || count() == 3).await;
    server.actor::<Echo>(at(&server, "4711")).monitor(counting()).expect("watching");
    wait_until("that there is no such actor", || count() == 4).await;
    assert_eq!(client.actor::<Echo>(at(&server, "4711")).ended().await, ExitReason::NoActor);
    let nowhere = client.actor::<Echo>("c@/:echo".parse().expect("a reference"));
    assert!(matches!(nowhere.ended().await, ExitReason::LinkLost(_)));
    assert!(matches!(nowhere.ping().await, Err(AskError::Unreachable { .. })));
    assert_eq!(count(), 4, "those taken back stay silent");
}
