//! Who waits for whom, where the one is on another server.

use std::time::Duration;

use odeon_actor::{Asked, Handle, Reply, actor};
use odeon_core::Address;
use tokio::net::TcpListener;

use crate::support::{Site, at, id, start, wait_until};

/// Answers nobody.
#[derive(Debug, Default)]
struct Sleeper(Vec<Reply<u64>>);

/// Answers nobody.
#[actor(mark = "sleeper/1")]
impl Sleeper {
    /// Keeps the question.
    #[handle]
    fn hold(&mut self, reply: Reply<u64>) {
        self.0.push(reply);
    }
}

/// Asks a sleeper of another server.
#[derive(Debug)]
struct Asker(Handle<Sleeper>);

#[actor]
impl Asker {
    #[handle]
    async fn ask(&self, within: Duration) -> bool {
        self.0.hold().within(within).await.is_ok()
    }
}

#[tokio::test]
async fn an_ask_to_another_server_is_seen_with_its_asker_since_when_and_until_when() {
    let site = Site::new();
    let there = start(site.config("b@/").listen(site.unix("b@/"))).await;
    there.spawn_named("sleeper".parse().expect("a name"), Sleeper::default()).expect("free");
    // Takes connections and says nothing: whoever asks there waits for a link.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let mute = Address::Tcp(silent.local_addr().expect("bound").to_string());
    let config = site.config("a@/").known(there.id().clone(), there.addresses().to_vec());
    let here = start(config.known(id("c@/"), vec![mute])).await;
    here.connect(there.id(), &[]).await.expect("linked");

    for (server, within) in [("b@/", 1_000), ("c@/", 1_000)] {
        let within = Duration::from_millis(within);
        let reference = at(&id(server), "sleeper");
        let asker = here.system().spawn(Asker(here.actor(reference.clone())));
        let began = here.clock().now();
        let asking = tokio::spawn({
            let asker = asker.clone();
            async move { asker.ask(within).await }
        });
        let ours = || asker.explain().expect("it is here").asks;
        wait_until("it waits", || !ours().is_empty()).await;
        let asks = ours();
        assert_eq!(asks.len(), 1, "{asks:?}");
        assert_eq!(asks[0].target, Asked::There(reference.clone()));
        assert_eq!(asks[0].target.to_string(), format!("{server}:sleeper"));
        assert_eq!(asks[0].asker, Some(asker.explain().expect("it is here").actor));
        assert!(asks[0].since >= began && asks[0].expires_at == asks[0].since + within, "{asks:?}");
        assert!(here.system().explain().contains(&asks[0]));
        assert!(!asking.await.expect("no panic").expect("answered"), "nobody answers in time");
        wait_until("nobody waits", || here.system().explain().is_empty()).await;
    }
}
