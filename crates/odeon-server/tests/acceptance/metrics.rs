//! What a server counts, and the page that lists it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use odeon_actor::{SpawnOptions, TryTellError, actor};
use odeon_core::seam::BoxFuture;
use odeon_core::{Address, ServerId};
use odeon_server::{ControlCalls as _, Locate, Server};

use crate::support::{
    Echo, EchoCalls as _, Site, at, control, cookie, echo, hello_world, id, start, tcp, wait_until,
};

/// The samples of a scrape, by name and labels.
fn samples(server: &Server) -> BTreeMap<String, u64> {
    let text = server.metrics();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            (name.to_owned(), value.parse().expect("a whole number"))
        })
        .collect()
}

/// Every metric that is exposed: its name, kind and label.
fn exposed(server: &Server) -> BTreeSet<(String, String, String)> {
    let text = server.metrics();
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let label = |name: &str| {
        let labels = text.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?;
            let rest = rest.strip_prefix("_total").unwrap_or(rest);
            rest.strip_prefix('{')?.split_once('=').map(|(label, _)| label.to_owned())
        });
        labels.unwrap_or_else(|| "–".to_owned())
    };
    let row = |line: &str| {
        let (name, kind) = line.split_once(' ').expect("a name and a kind");
        (name.to_owned(), kind.to_owned(), label(name))
    };
    typed.map(row).collect()
}

#[tokio::test]
async fn the_page_lists_exactly_what_is_exposed() {
    let server = start(Site::new().config("a@/")).await;
    let page = include_str!("../../../../docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `odeon_"));
    let listed: BTreeSet<_> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let label = cells[3].split(':').next().unwrap_or_default();
            (cells[1].trim_matches('`').to_owned(), cells[2].to_owned(), label.trim_matches('`').to_owned())
        })
        .collect();
    assert_eq!(exposed(&server), listed);
}

/// Says that every server is at one address.
#[derive(Debug)]
struct There(Address);

impl Locate for There {
    fn locate<'a>(&'a self, _: &'a ServerId) -> BoxFuture<'a, Result<Vec<Address>, String>> {
        Box::pin(async { Ok(vec![self.0.clone()]) })
    }
}

#[tokio::test]
async fn what_goes_over_a_link_is_counted_on_both_sides() {
    let site = Site::new();
    let b = start(site.config("b@/").listen(tcp())).await;
    let a = start(site.config("a@/")).await;
    a.set_locator(Arc::new(There(b.addresses()[0].clone())));
    echo(&b);
    let there = a.actor::<Echo>(at(b.id(), "echo"));
    for _ in 0..10 {
        assert_eq!(there.say("hello".into()).await, Ok(hello_world()));
    }
    there.say("hello".into()).tell().await.expect("taken");
    assert!(control(&a, b.id()).shutdown().await.is_err(), "over tcp the cookie alone may not");
    let is = |server: &Server, name: &str, value: u64| samples(server).get(name) == Some(&value);
    wait_until("all messages are counted", || {
        is(&a, "odeon_link_messages_total{direction=\"out\"}", 12)
            && is(&b, "odeon_link_messages_total{direction=\"in\"}", 12)
    })
    .await;
    let (ours, theirs) = (samples(&a), samples(&b));
    assert_eq!(ours["odeon_links{direction=\"outgoing\"}"], 1);
    assert_eq!(theirs["odeon_links{direction=\"incoming\"}"], 1);
    assert_eq!(ours["odeon_handshakes_total{outcome=\"ok\"}"], 1);
    assert_eq!(ours["odeon_address_cache_total{outcome=\"miss\"}"], 1);
    assert_eq!(ours["odeon_address_cache_total{outcome=\"hit\"}"], 0);
    assert_eq!(theirs["odeon_audit_refusals_total"], 1);
    assert_eq!((ours["odeon_open_asks"], ours["odeon_waiting_senders"]), (0, 0));
    assert_eq!(theirs["odeon_actors"], 2);
    wait_until("what one wrote the other has read", || {
        let (ours, theirs) = (samples(&a), samples(&b));
        let bytes = |all: &BTreeMap<String, u64>, way: &str| {
            all[&format!("odeon_link_bytes_total{{direction=\"{way}\"}}")]
        };
        bytes(&ours, "out") == bytes(&theirs, "in") && bytes(&ours, "in") == bytes(&theirs, "out")
    })
    .await;
    // A peer reads the same.
    let asked = control(&a, b.id()).metrics().await.expect("answered");
    assert!(asked.contains("odeon_links{direction=\"incoming\"} 1"), "{asked}");
    // What was counted over a link stays when it is over, and the next wish finds the address.
    b.shutdown(std::time::Duration::ZERO).await;
    wait_until("the link is over", || a.connections().is_empty()).await;
    assert!(samples(&a)["odeon_link_messages_total{direction=\"out\"}"] >= 12);
    assert!(there.say("hello".into()).await.is_err());
    assert_eq!(samples(&a)["odeon_address_cache_total{outcome=\"hit\"}"], 1);
}

#[tokio::test]
async fn a_handshake_that_fails_is_counted_by_its_reason_on_both_sides() {
    let site = Site::new();
    let b = start(site.config("b@/").listen(tcp())).await;
    let mut config = site.config("a@/").known(b.id().clone(), b.addresses().to_vec());
    config.cookie = cookie(8);
    let a = start(config.known(id("c@/"), b.addresses().to_vec())).await;
    a.connect(b.id(), &[]).await.expect_err("another cookie");
    a.connect(&id("c@/"), &[]).await.expect_err("another server");
    for server in [&a, &b] {
        wait_until("both failures are counted", || {
            let all = samples(server);
            let failed = |outcome: &str| all.get(&format!("odeon_handshakes_total{{outcome=\"{outcome}\"}}"));
            (failed("authentication"), failed("wrong-server"), failed("ok")) == (Some(&1), Some(&1), Some(&0))
        })
        .await;
    }
}

/// Handles its first message for ever.
#[derive(Debug, Default)]
struct Holder;

#[actor]
impl Holder {
    #[handle]
    async fn wait(&mut self) {
        std::future::pending().await
    }
}

#[tokio::test]
async fn dead_letters_and_full_mailboxes_are_counted() {
    let server = start(Site::new().config("a@/")).await;
    let options = SpawnOptions { capacity: 1, ..SpawnOptions::default() };
    let holder = server.system().spawn_with(options, Holder).expect("no name to be taken");
    holder.wait().tell().await.expect("taken");
    wait_until("it is in hand", || holder.depth() == 0).await;
    holder.wait().try_tell().expect("there is room for one");
    assert!(matches!(holder.wait().try_tell(), Err(TryTellError::Full(_))));
    assert_eq!(samples(&server)["odeon_mailbox_refusals_total"], 1);
    holder.kill();
    holder.ended().await;
    wait_until("the one that waited is lost", || samples(&server)["odeon_dead_letters_total"] == 1).await;
}
