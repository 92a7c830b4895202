//! Tells that are tried: they wait for nothing, neither for credit nor for a link.

use std::sync::Arc;
use std::time::Duration;

use odeon_actor::{SpawnOptions, TellError, TryTellError};
use odeon_core::Address;
use odeon_server::Limits;
use odeon_wire::FLOW_WINDOW_MESSAGES;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::actors::{Echo, EchoCalls as _, Gate, GateCalls as _, GateHear};
use crate::support::{Site, TRANSPORTS, Transport, at, id, soon, wait_until};

#[tokio::test]
async fn tells_that_are_tried_use_up_the_credit_exactly_and_the_next_comes_back() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, Limits::default()).await;
        let passes = Arc::new(Semaphore::new(0));
        let gate = Gate::new(Arc::clone(&passes));
        let local = server.spawn_named("gate".parse().expect("a name"), gate).expect("registered");
        let client = site.client("a@/", &server).await;
        client.connect(server.id(), &[]).await.expect("linked");
        let remote = client.actor::<Gate>(at(&server, "gate"));
        // Nothing else runs on this thread meanwhile, so nothing is taken and no credit comes back.
        for n in 0..FLOW_WINDOW_MESSAGES {
            remote.hear(n).try_tell().expect("there is credit");
        }
        let one_more = remote.hear(FLOW_WINDOW_MESSAGES).try_tell();
        assert!(
            matches!(&one_more, Err(TryTellError::Full(GateHear { n })) if *n == FLOW_WINDOW_MESSAGES),
            "{one_more:?}"
        );
        passes.add_permits(Semaphore::MAX_PERMITS >> 1);
        let many = usize::try_from(FLOW_WINDOW_MESSAGES).expect("small");
        let all = async {
            loop {
                let heard = local.heard().await.expect("answered");
                if heard.len() >= many {
                    return heard;
                }
            }
        };
        let heard = soon("all are heard", all).await;
        assert!(heard == (0..FLOW_WINDOW_MESSAGES).collect::<Vec<_>>(), "in order, each once, and no other");
        wait_until("there is credit again", || remote.hear(0).try_tell().is_ok()).await;
    }
}

#[tokio::test]
async fn a_tell_that_is_tried_without_a_link_comes_back_and_has_the_link_made() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, Limits::default()).await;
        let client = site.client("a@/", &server).await;
        let echo = client.actor::<Echo>(at(&server, "echo"));
        for _ in 0..100 {
            let tried = echo.say("too early".into()).try_tell();
            assert!(matches!(tried, Err(TryTellError::NoLink(_))), "{tried:?}");
        }
        wait_until("a link is made", || client.connections().len() == 1).await;
        echo.say("now".into()).try_tell().expect("there is one");
        assert_eq!(echo.said().await, Ok(1), "what came back was not kept");
        assert_eq!(client.connections().len(), 1);
    }
}

#[tokio::test]
async fn a_tell_that_is_tried_to_a_server_out_of_reach_says_why() {
    let site = Site::new();
    let server = site.listener(Transport::Unix, Limits::default()).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = Address::Tcp(nobody.local_addr().expect("bound").to_string());
    drop(nobody);
    let client = site.knowing("a@/", &id("b@/"), &[address]).await;
    let echo = client.actor::<Echo>(at(&server, "echo"));
    assert!(matches!(echo.say("hi".into()).try_tell(), Err(TryTellError::NoLink(_))));
    wait_until("the attempt has failed", || {
        let tried = echo.say("hi".into()).try_tell();
        matches!(tried, Err(TryTellError::Failed(_, TellError::Unreachable { .. })))
    })
    .await;
    client.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_tell_that_is_tried_to_the_server_itself_finds_the_mailbox() {
    let site = Site::new();
    let server = site.listener(Transport::Unix, Limits::default()).await;
    let options = SpawnOptions::named("gate".parse().expect("a name")).capacity(4);
    let gate = Gate::new(Arc::new(Semaphore::new(0)));
    server.system().spawn_with(options, gate).expect("registered");
    let remote = server.actor::<Gate>(at(&server, "gate"));
    for n in 0..4 {
        remote.hear(n).try_tell().expect("there is room");
    }
    assert!(matches!(remote.hear(4).try_tell(), Err(TryTellError::Full(GateHear { n: 4 }))));
}
