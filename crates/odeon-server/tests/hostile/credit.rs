//! Slow actors, lost links, and links that nobody needs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use odeon_actor::{DeadReason, Handle, SpawnOptions, TellError};
use odeon_core::{ActorId, Address, Epoch, Reference};
use odeon_server::{Limits, Server};
use odeon_wire::{FLOW_WINDOW_MESSAGES, Frame, Hello, Windows};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::actors::{Echo, EchoCalls as _, Gate, GateCalls as _};
use crate::raw::{Raw, hello};
use crate::support::{Site, TRANSPORTS, Transport, at, cookie, id, soon, wait_until};

/// A gate on `server`, with room for four messages, and the passes for it.
fn gate(server: &Server) -> (Handle<Gate>, Arc<Semaphore>) {
    let passes = Arc::new(Semaphore::new(0));
    let options = SpawnOptions::named("gate".parse().expect("a name")).capacity(4);
    let gate = server.system().spawn_with(options, Gate::new(Arc::clone(&passes))).expect("registered");
    (gate, passes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_actor_makes_its_own_senders_wait_and_nobody_else() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, Limits::default()).await;
        let (local, passes) = gate(&server);
        let client = site.client("a@/", &server).await;
        let many = 3 * FLOW_WINDOW_MESSAGES;
        let sent = Arc::new(AtomicUsize::new(0));
        let telling = tokio::spawn({
            let (remote, sent) = (client.actor::<Gate>(at(&server, "gate")), Arc::clone(&sent));
            async move {
                for n in 0..many {
                    remote.hear(n).tell().await.expect("sent");
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let window = usize::try_from(FLOW_WINDOW_MESSAGES).expect("small");
        wait_until("its window is used up", || sent.load(Ordering::Relaxed) >= window).await;
        let echo = client.actor::<Echo>(at(&server, "echo"));
        for _ in 0..100 {
            assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
        }
        // The window, the mailbox, and the one in hand; nothing is refused and nothing dropped.
        assert!(sent.load(Ordering::Relaxed) <= window + 8, "{sent:?} were sent");
        assert!(local.depth() <= 4, "no more than its capacity");
        passes.add_permits(usize::try_from(many).expect("small"));
        soon("all are sent", telling).await.expect("no panic");
        let expected: Vec<u64> = (0..many).collect();
        let mut heard = Vec::new();
        while heard.len() < expected.len() {
            heard = local.heard().await.expect("answered");
        }
        assert!(heard == expected, "in order, each once");
        assert_eq!(client.connections().len(), 1);
    }
}

#[tokio::test]
async fn tells_that_may_be_lost_with_their_link_become_dead_letters() {
    let site = Site::new();
    let server = site.listener(Transport::Tcp, Limits::default()).await;
    let (local, _passes) = gate(&server);
    let client = site.client("a@/", &server).await;
    let letters = Arc::new(Mutex::new(Vec::new()));
    client.system().on_dead_letter({
        let letters = Arc::clone(&letters);
        move |letter| letters.lock().expect("no panic").push(letter.reason.clone())
    });
    let remote = client.actor::<Gate>(at(&server, "gate"));
    for n in 0..20 {
        remote.hear(n).tell().await.expect("sent");
    }
    wait_until("the mailbox is full", || local.depth() >= 3).await;
    server.shutdown(Duration::ZERO).await;
    wait_until("the link is gone", || client.connections().is_empty()).await;
    wait_until("they are told", || letters.lock().expect("no panic").len() >= 14).await;
    let letters = letters.lock().expect("no panic");
    // One is in hand and four are in the mailbox: that these were taken may have been heard, or not.
    assert!((14..=20).contains(&letters.len()), "{} of 20", letters.len());
    for letter in letters.iter() {
        let DeadReason::MaybeLost { to, mark } = letter else { panic!("{letter:?}") };
        assert_eq!((to.to_string().as_str(), mark.as_str()), ("b@/:gate", "gate/1#hear"));
    }
}

#[tokio::test]
async fn a_link_that_nobody_needs_is_closed_and_the_next_message_makes_a_new_one() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let limits = Limits { link_idle_after: Duration::from_millis(50), ..Limits::default() };
        let server = site.listener(transport, limits.clone()).await;
        let client = site.limited("a@/", &server, limits.clone()).await;
        let other = site.limited("c@/", &server, limits).await;
        let echo = client.actor::<Echo>(at(&server, "echo"));
        for _ in 0..3 {
            assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
            echo.say("hi".into()).tell().await.expect("sent");
            wait_until("it is closed at both ends", || {
                client.connections().is_empty() && server.connections().is_empty()
            })
            .await;
        }
        // Whoever watches keeps it.
        let watch = tokio::spawn(async move { echo.ended().await });
        wait_until("it watches", || !server.connections().is_empty()).await;
        other.actor::<Echo>(at(&server, "echo")).say("hi".into()).await.expect("answered");
        wait_until("another that came later is closed", || other.connections().is_empty()).await;
        assert_eq!(client.connections().len(), 1);
        watch.abort();
        wait_until("it is closed again", || client.connections().is_empty()).await;
        assert_eq!((client.system().dead_letters(), server.system().dead_letters()), (0, 0));
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_left_alone_for_a_while() {
    let site = Site::new();
    let server = site.listener(Transport::Unix, Limits::default()).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = Address::Tcp(nobody.local_addr().expect("bound").to_string());
    let tries = Arc::new(AtomicUsize::new(0));
    let accepting = tokio::spawn({
        let tries = Arc::clone(&tries);
        async move {
            while nobody.accept().await.is_ok() {
                tries.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let client = site.knowing("a@/", &id("b@/"), &[address]).await;
    let echo = client.actor::<Echo>(at(&server, "echo"));
    for _ in 0..500 {
        let told = soon("told at once", async { echo.say("hi".into()).tell().await }).await;
        assert!(matches!(told, Err(TellError::Unreachable { .. })), "{told:?}");
    }
    assert!((1..=10).contains(&tries.load(Ordering::Relaxed)), "{tries:?} for 500 messages");
    // New addresses end the wait.
    client.know(id("b@/"), server.addresses().to_vec());
    assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
    accepting.abort();
}

#[tokio::test]
async fn a_number_of_another_incarnation_is_refused() {
    let site = Site::new();
    let server = site.listener(Transport::Unix, Limits::default()).await;
    let client = site.client("a@/", &server).await;
    let nameless = server.spawn(Echo::default());
    let reference = server.reference(&nameless);
    let ActorId::NumberOf(number, epoch) = reference.actor else { panic!("{reference}") };
    assert_eq!(epoch, server.epoch());
    assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference.clone()));
    let right = client.actor::<Echo>(reference.clone());
    assert_eq!(right.say("hi".into()).await.expect("answered"), "hi");
    let stale = Reference::new(reference.server, ActorId::NumberOf(number, Epoch(epoch.0 + 1)));
    let error = client.actor::<Echo>(stale.clone()).say("hi".into()).await.expect_err("another's");
    assert!(error.to_string().contains("is gone"), "{error}");
    assert_eq!(client.actor::<Echo>(stale).ended().await, odeon_core::ExitReason::NoActor);
}

/// A member `x@/` that gives a link credit of 200,000 bytes, half of it to a flow.
async fn narrow(server: &Server) -> Raw {
    let windows = Windows { link_bytes: 200_000, flow_messages: 1_000, flow_bytes: 100_000 };
    let mut raw = Raw::connect(&server.addresses()[0]).await;
    raw.prove(&Hello { windows: Some(windows), frame_bytes_max: 100_000, ..hello("x@/") }, &cookie()).await;
    for what in ["a proof", "accepted"] {
        raw.frame().await.expect(what);
    }
    raw.assert_open(1).await;
    raw
}

#[tokio::test]
async fn behind_a_large_message_that_waits_for_the_link_nobody_waits_for_its_flow() {
    let site = Site::new();
    let server = site.listener(Transport::Tcp, Limits::default()).await;
    let mut raw = narrow(&server).await;
    let tell = |actor: &str, bytes: usize| {
        let echo = server.actor::<Echo>(Reference::new(id("x@/"), actor.parse().expect("an actor")));
        tokio::spawn(async move { echo.say("x".repeat(bytes)).tell().await })
    };
    for (actor, bytes) in [("b", 60_000), ("c", 60_000), ("a", 1)] {
        soon("there is room", tell(actor, bytes)).await.expect("no panic").expect("sent");
    }
    // The flow has room for it, and the link has not.
    let large = tell("a", 90_000);
    wait_until("it waits", || server.metrics().contains("odeon_waiting_senders 1")).await;
    soon("a small one goes", tell("a", 1)).await.expect("no panic").expect("sent");
    assert!(!large.is_finished());
    raw.send(&Frame::LinkCredit { bytes: 400_000 }).await;
    soon("and the large one too", large).await.expect("no panic").expect("sent");
}

#[tokio::test]
async fn a_large_message_that_waited_for_its_flow_and_now_waits_for_the_link_holds_up_nobody() {
    let site = Site::new();
    let server = site.listener(Transport::Tcp, Limits::default()).await;
    let mut raw = narrow(&server).await;
    let tell = |actor: &str, bytes: usize| {
        let echo = server.actor::<Echo>(Reference::new(id("x@/"), actor.parse().expect("an actor")));
        tokio::spawn(async move { echo.say("x".repeat(bytes)).tell().await })
    };
    for (actor, bytes) in [("a", 40_000), ("a", 40_000)] {
        soon("there is room", tell(actor, bytes)).await.expect("no panic").expect("sent");
    }
    // Of the flow there is too little, so that small ones wait behind it.
    let large = tell("a", 60_000);
    wait_until("it waits", || server.metrics().contains("odeon_waiting_senders 1")).await;
    let small = tell("a", 1);
    wait_until("another waits", || server.metrics().contains("odeon_waiting_senders 2")).await;
    for (actor, bytes) in [("b", 60_000), ("c", 40_000)] {
        soon("there is room", tell(actor, bytes)).await.expect("no panic").expect("sent");
    }
    raw.send(&Frame::Credit { flow: 0, taken: 2, messages: 1_000, bytes: 200_000 }).await;
    soon("the small one goes", small).await.expect("no panic").expect("sent");
    assert!(!large.is_finished(), "there is no room in the link");
    raw.send(&Frame::LinkCredit { bytes: 400_000 }).await;
    soon("and the large one too", large).await.expect("no panic").expect("sent");
}
