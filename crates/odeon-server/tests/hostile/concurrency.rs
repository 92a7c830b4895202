//! Many at once: over one link, for one link, from both sides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use odeon_core::Address;
use odeon_server::{Limits, Server};
use tokio::net::{TcpListener, TcpStream};

use crate::actors::{Echo, EchoCalls as _, Recorder, RecorderCalls as _};
use crate::support::{Site, TRANSPORTS, Transport, at, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_asks_of_eight_tasks_cross_one_link_at_once() {
    for transport in TRANSPORTS {
        let site = Site::new();
        let server = site.listener(transport, Limits::default()).await;
        let client = site.client("a@/", &server).await;
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let echo = client.actor::<Echo>(at(&server, "echo"));
                tokio::spawn(async move {
                    // None is answered before all have come, so all are under way at once.
                    let asks: Vec<_> = (0..8)
                        .map(|_| {
                            let echo = echo.clone();
                            tokio::spawn(async move { echo.gather(64).await.expect("answered") })
                        })
                        .collect();
                    let mut places = Vec::new();
                    for ask in asks {
                        places.push(ask.await.expect("no panic"));
                    }
                    places
                })
            })
            .collect();
        let mut places = Vec::new();
        for task in tasks {
            places.extend(soon("the answers", task).await.expect("no panic"));
        }
        places.sort_unstable();
        assert_eq!(places, (0..64).collect::<Vec<_>>(), "each answer went to its own ask");
        assert_eq!((client.connections().len(), server.connections().len()), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_who_want_one_server_make_one_connection() {
    let site = Site::new();
    let server = site.listener(Transport::Tcp, Limits::default()).await;
    let Address::Tcp(target) = server.addresses()[0].clone() else { panic!("tcp") };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let proxied = Address::Tcp(listener.local_addr().expect("bound").to_string());
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let target = target.clone();
            tokio::spawn(async move {
                let mut upstream = TcpStream::connect(target).await.expect("connected");
                // However it ends.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
            });
        }
    });
    let client = site.knowing("a@/", server.id(), &[proxied]).await;
    let asks: Vec<_> = (0..100)
        .map(|n| {
            let echo = client.actor::<Echo>(at(&server, "echo"));
            tokio::spawn(async move { echo.say(n.to_string()).await.expect("answered") })
        })
        .collect();
    for (n, ask) in asks.into_iter().enumerate() {
        assert_eq!(soon("an answer", ask).await.expect("no panic"), n.to_string());
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
}

const TELLS: u64 = 200;

/// Tells `to`'s recorder the numbers in order, while links come about.
async fn tell_in_order(from: Server, to: Server) {
    let recorder = from.actor::<Recorder>(at(&to, "recorder"));
    for n in 0..TELLS {
        recorder.hear(n).tell().await.expect("sent");
    }
    // An ask of the same task comes after them all.
    let heard = recorder.heard_from(from.id().to_string()).await.expect("answered");
    assert_eq!(heard, (0..TELLS).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_dial_each_other_at_once_lose_nothing_and_keep_the_order() {
    for transport in TRANSPORTS {
        for _ in 0..10 {
            let site = Site::new();
            let start = async |name: &str| {
                let config = site.config(name).listen(site.address(name, transport));
                let server = Server::start(config).await.expect("starts");
                let name = "recorder".parse().expect("a name");
                server.spawn_named(name, Recorder::default()).expect("registered");
                server
            };
            let (a, b) = (start("a@/").await, start("b@/").await);
            a.know(b.id().clone(), b.addresses().to_vec());
            b.know(a.id().clone(), a.addresses().to_vec());
            let there = tokio::spawn(tell_in_order(a.clone(), b.clone()));
            let back = tokio::spawn(tell_in_order(b.clone(), a.clone()));
            soon("all is heard", there).await.expect("in order");
            soon("all is heard", back).await.expect("in order");
            assert!((1..=2).contains(&a.connections().len()));
            soon("both end", async { tokio::join!(a.shutdown(Duration::ZERO), b.shutdown(Duration::ZERO)) })
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_and_small_messages_in_both_directions_do_not_starve_each_other() {
    let site = Site::new();
    // Small enough that senders wait for room.
    let limits = Limits { outbound_bytes_max: 300 * 1024, ..Limits::default() };
    let server = site.listener(Transport::Unix, limits.clone()).await;
    let mut config = site.config("a@/").known(server.id().clone(), server.addresses().to_vec());
    config.limits = limits;
    let client = Server::start(config).await.expect("starts");
    let large: Vec<_> = (0..8)
        .map(|_| {
            let echo = client.actor::<Echo>(at(&server, "echo"));
            tokio::spawn(async move {
                for _ in 0..20 {
                    let text = "x".repeat(200 * 1024);
                    echo.say(text).tell().await.expect("sent");
                }
            })
        })
        .collect();
    let echo = client.actor::<Echo>(at(&server, "echo"));
    let mut asked = 0;
    while !large.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_eq!(echo.blob(1000).await.expect("answered").len(), 1000);
        asked += 1;
    }
    for task in large {
        task.await.expect("no panic");
    }
    assert!(asked > 0);
    assert_eq!(echo.said().await, Ok(160), "every large one has come");
    assert_eq!(client.connections().len(), 1);
}
