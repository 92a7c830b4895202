//! The cases of one and of two servers.

use std::time::Duration;

use odeon_core::{Address, ExitReason};
use odeon_server::{ConnectError, ControlCalls as _, Direction, Fault, Server};

use crate::support::{
    Echo, EchoCalls as _, Site, at, control, cookie, echo, hello_world, id, names, serve, soon, start, tcp,
    wait_until,
};

#[tokio::test]
async fn srv_1_a_registered_actor_is_listed_alone_answers_and_ends_with_its_server() {
    let server = start(Site::new().config("a@/")).await;
    let handle = echo(&server);
    assert_eq!(names(&server), ["echo"]);
    let listed = control(&server, server.id()).list_actors(None, None).await.expect("a list");
    assert_eq!(listed.actors.iter().map(|actor| actor.name.as_str()).collect::<Vec<_>>(), ["echo"]);
    let referred = server.actor::<Echo>(at(server.id(), "echo"));
    assert_eq!(referred.ping().await, Ok(()));
    assert_eq!(handle.say("hello".into()).await, Ok(hello_world()));
    assert_eq!(referred.say("hello".into()).await, Ok(hello_world()));
    let served = serve(&server);
    let (server_end, actor_end) = (control(&server, server.id()), handle.clone());
    server.request_shutdown();
    soon("the server ends", served).await.expect("no panic");
    // The seed ends both with `shutdown`.
    assert_eq!(actor_end.ended().await, ExitReason::Stopped);
    assert!(server_end.ping().await.is_err());
}

#[tokio::test]
async fn srv_2_a_second_actor_of_the_same_name_is_refused_and_never_begins() {
    let server = start(Site::new().config("a@/")).await;
    let first = echo(&server);
    let taken = server.spawn_named("echo".parse().expect("a name"), Echo).expect_err("the name is taken");
    assert!(taken.to_string().contains("echo"), "{taken}");
    assert_eq!((names(&server), server.system().live()), (vec!["echo".to_owned()], 2), "it and the control");
    assert_eq!(first.say("hello".into()).await, Ok(hello_world()));
    // One that runs already and registers later is refused as well, and lives on without the name.
    let late = server.spawn(Echo);
    assert!(server.system().register("echo".parse().expect("a name"), &late).is_err());
    assert_eq!(late.ping().await, Ok(()));
}

#[tokio::test]
async fn srv_3_a_registered_actor_that_ends_is_no_longer_listed() {
    let server = start(Site::new().config("a@/")).await;
    let handle = echo(&server);
    handle.stop();
    assert_eq!(handle.ended().await, ExitReason::Stopped);
    assert!(names(&server).is_empty());
    let listed = control(&server, server.id()).list_actors(None, None).await.expect("a list");
    assert!(listed.actors.is_empty(), "{listed:?}");
}

/// What two servers can do with each other, once the first has connected to the second at `address`.
async fn two_servers(a: Server, b: Server) {
    let address = b.addresses()[0].clone();
    let (ends_a, ends_b) = (serve(&a), serve(&b));
    let (here, there) = (echo(&a), echo(&b));
    let connected = a.connect(b.id(), std::slice::from_ref(&address)).await;
    assert_eq!(connected, Ok(address.to_string()));
    for (one, other, direction) in [(&a, &b, Direction::Outgoing), (&b, &a, Direction::Incoming)] {
        let links = one.connections();
        assert_eq!((links.len(), &links[0].server, links[0].direction), (1, other.id(), direction));
        // The same is told to the other.
        let far = control(other, one.id());
        assert_eq!(far.list_connections(None, None).await.expect("a list").connections.len(), 1);
        assert_eq!(far.ping().await, Ok(()));
        let actors = far.list_actors(None, None).await.expect("a list").actors;
        assert_eq!(actors.iter().map(|actor| actor.name.as_str()).collect::<Vec<_>>(), ["echo"]);
        let echo = other.actor::<Echo>(at(one.id(), "echo"));
        assert_eq!(echo.ping().await, Ok(()));
        assert_eq!(echo.say("hello".into()).await, Ok(hello_world()));
    }
    assert_eq!((a.connections().len(), b.connections().len()), (1, 1), "one link carries both ways");
    control(&a, b.id()).shutdown().await.expect("the right to");
    soon("the second server ends", ends_b).await.expect("no panic");
    assert_eq!(there.ended().await, ExitReason::Stopped);
    wait_until("the first notices", || a.connections().is_empty()).await;
    a.request_shutdown();
    soon("the first server ends", ends_a).await.expect("no panic");
    assert_eq!(here.ended().await, ExitReason::Stopped);
}

#[tokio::test]
async fn srv_4_two_servers_over_unix_list_ping_ask_and_stop_each_other() {
    let site = Site::new();
    let a = start(site.config("a@/").listen(site.unix("a@/"))).await;
    let b = start(site.config("b@/").listen(site.unix("b@/"))).await;
    two_servers(a, b).await;
}

#[tokio::test]
async fn srv_5_two_servers_over_tcp_list_ping_ask_and_stop_each_other() {
    let site = Site::new();
    // Over tcp the cookie alone may not stop a server: the right to is granted.
    let may_shut_down = |mut config: odeon_server::ServerConfig| {
        let shutdown = ["shutdown".parse().expect("a capability")].into_iter().collect();
        config.authority.grants.insert(id("a@/"), shutdown);
        config
    };
    let a = start(site.config("a@/").listen(tcp())).await;
    let b = start(may_shut_down(site.config("b@/").listen(tcp()))).await;
    two_servers(a, b).await;
}

#[tokio::test]
async fn srv_6_a_known_server_is_reached_by_the_first_message_and_answers_over_the_same_link() {
    let site = Site::new();
    let b = start(site.config("b@/").listen(site.unix("b@/"))).await;
    let a = start(site.config("a@/").known(b.id().clone(), b.addresses().to_vec())).await;
    let (_here, _there) = (echo(&a), echo(&b));
    assert!(a.connections().is_empty());
    assert_eq!(a.actor::<Echo>(at(b.id(), "echo")).say("hello".into()).await, Ok(hello_world()));
    // `b` does not know where `a` is, and need not: it has a link.
    assert_eq!(b.actor::<Echo>(at(a.id(), "echo")).say("hello".into()).await, Ok(hello_world()));
    let (out, back) = (a.connections(), b.connections());
    assert_eq!((out.len(), back.len()), (1, 1));
    assert_eq!((&out[0].remote, out[0].direction), (&b.addresses()[0].to_string(), Direction::Outgoing));
    // Where the seed says "(local)", the socket stands by which the peer came in.
    let Address::Unix { path, .. } = &b.addresses()[0] else { panic!("a unix address") };
    assert_eq!((&back[0].remote, back[0].direction), (path, Direction::Incoming));
}

#[tokio::test]
async fn srv_7_without_an_address_that_leads_there_the_error_says_no_usable_addresses() {
    let site = Site::new();
    let a = start(site.config("a@/")).await;
    let unknown = a.connect(&id("nowhere@/"), &[]).await.expect_err("nobody knows it");
    assert!(matches!(unknown, ConnectError::NoAddresses { .. }));
    assert!(unknown.to_string().contains("no usable addresses for nowhere@/"), "{unknown}");
    let absent = a.connect(&id("nowhere@/"), &[site.unix("nowhere@/")]).await.expect_err("no socket");
    assert!(absent.to_string().contains("no usable addresses for nowhere@/"), "{absent}");
    let Address::Unix { path, .. } = site.unix("nowhere@/") else { panic!("a unix address") };
    assert!(absent.to_string().contains(&path), "{absent}");
}

#[tokio::test]
async fn srv_8_another_cookie_is_refused_at_the_one_who_connects_and_says_so() {
    let site = Site::new();
    let b = start(site.config("b@/").listen(tcp())).await;
    let mut config = site.config("a@/").known(b.id().clone(), b.addresses().to_vec());
    config.cookie = cookie(8);
    let a = start(config).await;
    // The seed says "incomplete handshake".
    let error = a.connect(b.id(), &[]).await.expect_err("refused");
    let ConnectError::AllFailed { tried, .. } = &error else { panic!("{error:?}") };
    assert!(tried[0].fault == Fault::Cookie && error.to_string().contains("cookie"), "{error}");
    assert!(a.connections().is_empty() && b.connections().is_empty());
    tokio::time::timeout(Duration::from_secs(5), b.shutdown(Duration::ZERO)).await.expect("ends");
}
