//! Several servers in one process: each with its own cookie, defaults and actors.

use std::time::Duration;

use odeon_actor::{AskError, Reply, actor};
use odeon_core::Domain;
use odeon_server::{Server, ServerConfig, ServerDefaults};

use crate::support::{Echo, EchoCalls as _, Site, at, cookie, echo, hello_world, id, start, tcp};

#[tokio::test]
async fn three_pairs_with_three_cookies_live_in_one_process_at_once() {
    let site = Site::new();
    let mut pairs = Vec::new();
    for n in 1..=3 {
        let of = |name: &str| ServerConfig::new(id(name), cookie(n), site.world());
        let b = start(of("b@/").listen(tcp())).await;
        echo(&b);
        let a = start(of("a@/").known(b.id().clone(), b.addresses().to_vec())).await;
        pairs.push((a, b));
    }
    let ask = |a: &Server, b: &Server| {
        let echo = a.actor::<Echo>(at(b.id(), "echo"));
        async move { echo.say("hello".into()).await }
    };
    let answers = pairs.iter().map(|(a, b)| tokio::spawn(ask(a, b)));
    for answer in answers.collect::<Vec<_>>() {
        assert_eq!(answer.await.expect("no panic"), Ok(hello_world()));
    }
    // The same names, and yet none of them reaches another's servers: the cookies differ.
    let stranger = pairs[0].0.clone();
    stranger.know(id("c@/"), pairs[1].1.addresses().to_vec());
    let error = stranger.connect(&id("c@/"), &[]).await.expect_err("another ensemble");
    assert!(error.to_string().contains("cookie") || error.to_string().contains("wrong-server"), "{error}");
    let other = ServerConfig::new(id("a@/"), cookie(1), site.world());
    let other = start(other.known(id("b@/"), pairs[2].1.addresses().to_vec())).await;
    let error = other.connect(&id("b@/"), &[]).await.expect_err("another ensemble");
    assert!(error.to_string().contains("cookie"), "{error}");
    // One that ends takes no other along.
    pairs[0].1.shutdown(Duration::ZERO).await;
    assert_eq!(ask(&pairs[1].0, &pairs[1].1).await, Ok(hello_world()));
}

#[tokio::test]
async fn a_transient_server_needs_no_name_and_two_of_them_differ() {
    let site = Site::new();
    let b = start(site.config("b@/").listen(tcp())).await;
    echo(&b);
    let shop: Domain = "/shop".parse().expect("a domain");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let config = ServerConfig::transient(&shop, cookie(7), site.world());
        let server = start(config.known(b.id().clone(), b.addresses().to_vec())).await;
        let asked = server.actor::<Echo>(at(b.id(), "echo")).say("hello".into()).await;
        assert_eq!(asked, Ok(hello_world()));
        ids.push(server.id().clone());
    }
    assert_ne!(ids[0], ids[1]);
    assert!(ids.iter().all(|id| id.name().starts_with("transient-") && *id.domain() == shop), "{ids:?}");
    assert_eq!(b.connections().len(), 2);
}

#[tokio::test]
async fn what_servers_to_come_have_in_common_is_one_value_and_concerns_no_other() {
    let site = Site::new();
    let defaults = ServerDefaults::new();
    let before = site.config("before@/").with_defaults(&defaults);
    let b = start(site.config("b@/").listen(tcp())).await;
    let silent =
        b.spawn_named("silent".parse().expect("a name"), Silent::default()).expect("the name is free");
    let shared = defaults.clone();
    shared.know(b.id().clone(), b.addresses().to_vec());
    shared.know(id("registry@/"), vec![tcp()]);
    shared.set_reply_timeout(Duration::from_millis(150));
    shared.set_address_cache_ttl(Duration::from_secs(7));
    assert_eq!(defaults.known_servers().len(), 2);
    assert_eq!(defaults.reply_timeout(), Duration::from_millis(150));

    let own = vec!["tcp:127.0.0.1:1".parse().expect("an address")];
    let config = site.config("a@/").known(id("registry@/"), own.clone()).with_defaults(&defaults);
    let a = start(config).await;
    assert_eq!(a.known_servers()[&id("registry@/")], own, "what a configuration says itself counts");
    assert_eq!(a.known_servers()[b.id()], b.addresses());
    assert_eq!(a.address_cache_ttl(), Duration::from_secs(7));
    let waited = a.actor::<Silent>(at(b.id(), "silent")).wait().await;
    assert!(is_timeout(&waited, 150), "{waited:?}");

    // What was configured before, and what runs, is as it was; what runs is changed at the server.
    let before = start(before).await;
    assert!(before.known_servers().is_empty());
    assert_eq!(before.address_cache_ttl(), Duration::from_secs(300));
    defaults.set_known_servers(std::collections::BTreeMap::new());
    assert_eq!(a.known_servers().len(), 2);
    a.system().set_reply_timeout(Duration::from_millis(50));
    let waited = a.actor::<Silent>(at(b.id(), "silent")).wait().await;
    assert!(is_timeout(&waited, 50), "{waited:?}");
    drop(silent);
}

/// Whether it waited so long, and not for the five seconds that a server has by itself.
fn is_timeout(waited: &Result<(), AskError>, millis: u64) -> bool {
    let asked = Duration::from_millis(millis)..Duration::from_secs(4);
    matches!(waited, Err(AskError::Timeout { after }) if asked.contains(after))
}

/// Answers nobody.
#[derive(Debug, Default)]
struct Silent(Vec<Reply<()>>);

#[actor(mark = "silent/1")]
impl Silent {
    /// Answers nobody.
    #[handle]
    fn wait(&mut self, reply: Reply<()>) {
        self.0.push(reply);
    }
}
