//! The registry's actor and client, in virtual time: servers over a network and disks in memory.

#![expect(clippy::disallowed_methods, reason = "the tests' network is made of tasks")]

extern crate odeon_actor as odeon;

#[path = "registry/ground.rs"]
mod ground;

use std::time::Duration;

use odeon_actor::{AskError, actor};
use odeon_core::limits::{LEASE_RENEWAL, LEASE_TTL};
use odeon_core::{ActorId, Address, Epoch, ExitReason, Fingerprints, Reference, RefusalCode, Role, ServerId};
use odeon_ensemble::registry::{Entry, Health, REGISTRY, RegistryActorCalls, RegistryClient, Tenure};
use odeon_server::Server;

use ground::{Ground, id};

/// Long enough for a message there and back, and for a retry; nothing to a lease.
const MOMENT: Duration = Duration::from_secs(1);

struct Echo;

/// Says it back.
#[actor(mark = "echo/1")]
impl Echo {
    /// Says it back.
    #[handle]
    fn say(&self, text: String) -> String {
        text
    }
}

fn role(name: &str) -> Role {
    name.parse().expect("a role")
}

fn echo_at(server: &Server, on: &str) -> odeon_actor::Handle<Echo> {
    server.actor(Reference::new(id(on), ActorId::Name("echo".parse().expect("a name"))))
}

fn peers(server: &Server) -> Vec<String> {
    server.connections().iter().map(|link| link.server.name().to_owned()).collect()
}

fn names(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.id.name().to_owned()).collect()
}

/// Adds `server` in the role `test`, at the asking of `by`.
async fn add(by: &RegistryClient, server: &Server) {
    let (id, addresses) = (server.id().clone(), server.addresses().to_vec());
    let registry = by.handle();
    let added = registry.add(id, addresses, vec![role("test")], server.epoch(), Tenure::Leased).await;
    added.expect("answers").expect("added");
}

/// The steps that ENS-1 and ENS-2 share: `one` and `two` ask, about `a` and `b`.
async fn use_registry(one: &RegistryClient, two: &RegistryClient, a: &Server, b: &Server) {
    assert_eq!(one.handle().list().await, Ok(vec![]));
    let unknown = two.handle().lookup(id("a")).await.expect("answers").expect_err("unknown");
    assert_eq!(unknown.code, RefusalCode::NotFound);
    assert_eq!(unknown.detail, "the registry knows no server a@/");
    add(two, b).await;
    add(one, a).await;
    for client in [one, two] {
        let list = client.handle().list().await.expect("a list");
        assert_eq!(names(&list), ["a", "b"]);
        assert!(list.iter().all(|entry| entry.roles == [role("test")] && entry.health == Health::Alive));
        for server in [a, b] {
            let entry = client.handle().lookup(server.id().clone()).await.expect("answers").expect("known");
            assert_eq!(entry.addresses, server.addresses());
        }
        assert_eq!(names(&client.handle().lookup_role(role("test")).await.expect("a list")), ["a", "b"]);
        assert_eq!(client.handle().lookup_role(role("tset")).await, Ok(vec![]));
    }
    // One asks the other by its name alone.
    b.spawn_named("echo".parse().expect("a name"), Echo).expect("spawned");
    assert_eq!(echo_at(a, "b").say("hello".to_owned()).await, Ok("hello".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn ens_1_a_registry_used_where_it_is() {
    let ground = Ground::new();
    let (registry, at_home) = ground.registry("disk").await;
    let (a, _) = ground.server("a", 1).await;
    let (b, _) = ground.server("b", 1).await;
    use_registry(&at_home, &at_home, &a, &b).await;
    assert_eq!(peers(&a), ["b", "registry"], "the asking side has looked the other up");
    assert_eq!(peers(&b), ["a"]);
    for server in [&a, &b, &registry] {
        server.shutdown(MOMENT).await;
        assert!(peers(server).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn ens_2_a_registry_used_from_two_other_servers() {
    let ground = Ground::new();
    let (registry, _) = ground.registry("disk").await;
    let (a, from_a) = ground.server("a", 1).await;
    let (b, from_b) = ground.server("b", 1).await;
    use_registry(&from_a, &from_b, &a, &b).await;
    assert_eq!(peers(&a), ["b", "registry"]);
    assert_eq!(peers(&b), ["a", "registry"]);
    assert_eq!(peers(&registry), ["a", "b"]);
    for server in [&a, &b, &registry] {
        server.shutdown(MOMENT).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_lives_as_long_as_its_holder() {
    let ground = Ground::new();
    let (registry, at_home) = ground.registry("disk").await;
    let (a, from_a) = ground.server("a", 1).await;
    from_a.announce(vec![role("test")]);
    ground.wait_virtually(10 * LEASE_TTL).await;
    let health = async || at_home.handle().lookup(id("a")).await.expect("answers").map(|entry| entry.health);
    assert_eq!(health().await, Ok(Health::Alive));
    // Its host is gone, without a word.
    ground.cut("a");
    ground.wait_virtually(LEASE_TTL - LEASE_RENEWAL - MOMENT).await;
    assert_eq!(health().await, Ok(Health::Alive), "it renewed not long before");
    ground.wait_virtually(LEASE_RENEWAL + 2 * MOMENT).await;
    assert_eq!(health().await, Ok(Health::Dead));
    assert_eq!(at_home.handle().lookup_role(role("test")).await, Ok(vec![]), "no role has the dead");
    assert_eq!(names(&at_home.handle().list().await.expect("a list")), ["a"], "but people see them");
    // It comes back, and is told that it must add itself again.
    ground.mend("a");
    ground.wait_virtually(LEASE_RENEWAL + ground::LINK_LOST_MAX).await;
    assert_eq!(health().await, Ok(Health::Alive));
    drop((a, registry));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_in_order_is_forgotten_at_once_and_for_good() {
    let ground = Ground::new();
    let (_registry, at_home) = ground.registry("disk").await;
    let (a, from_a) = ground.server("a", 1).await;
    from_a.announce(vec![role("test")]);
    ground.wait_virtually(MOMENT).await;
    assert_eq!(names(&at_home.handle().list().await.expect("a list")), ["a"]);
    a.request_shutdown();
    from_a.withdraw().await;
    assert_eq!(at_home.handle().list().await, Ok(vec![]));
    ground.wait_virtually(10 * LEASE_TTL).await;
    assert_eq!(at_home.handle().list().await, Ok(vec![]), "nobody takes the lease anew");
}

#[tokio::test(start_paused = true)]
async fn membership_and_epochs_survive_a_restart_and_leases_begin_anew() {
    let ground = Ground::new();
    let (registry, at_home) = ground.registry("disk").await;
    let (a, from_a) = ground.server("a", 3).await;
    let (b, from_b) = ground.server("b", 1).await;
    add(&from_a, &a).await;
    add(&from_b, &b).await;
    assert_eq!(from_b.handle().remove(id("b"), Some(Epoch(1))).await, Ok(Ok(true)));
    let before = at_home.handle().list().await.expect("a list");
    assert_eq!(names(&before), ["a"]);
    registry.shutdown(MOMENT).await;
    // A long time for a lease that nobody could renew.
    ground.wait_virtually(10 * LEASE_TTL).await;

    let (_registry, at_home) = ground.registry("disk").await;
    assert_eq!(at_home.handle().list().await, Ok(before));
    ground.wait_virtually(LEASE_TTL - MOMENT).await;
    assert_eq!(
        at_home.handle().lookup(id("a")).await.expect("answers").expect("known").health,
        Health::Alive
    );
    ground.wait_virtually(2 * MOMENT).await;
    assert_eq!(at_home.handle().lookup(id("a")).await.expect("answers").expect("known").health, Health::Dead);
    let add = async |server: &str, epoch| {
        at_home.handle().add(id(server), vec![], vec![], Epoch(epoch), Tenure::Leased).await.expect("answers")
    };
    let stale = add("a", 2).await.expect_err("an older incarnation");
    assert_eq!(stale.detail, "a@/ of epoch 2 is stale: epoch 3 is known");
    add("b", 0).await.expect_err("not even after it was removed");
    assert_eq!(add("b", 1).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn who_was_announced_adds_itself_to_a_registry_that_has_lost_its_disk() {
    let ground = Ground::new();
    let (registry, _) = ground.registry("disk").await;
    let (_a, from_a) = ground.server("a", 1).await;
    from_a.announce(vec![role("test")]);
    ground.wait_virtually(MOMENT).await;
    registry.shutdown(MOMENT).await;
    ground.wait_virtually(MOMENT).await;
    let (_registry, at_home) = ground.registry("another disk").await;
    assert_eq!(at_home.handle().list().await, Ok(vec![]));
    ground.wait_virtually(LEASE_RENEWAL + MOMENT).await;
    assert_eq!(names(&at_home.handle().list().await.expect("a list")), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_comes_late_is_found() {
    let ground = Ground::new();
    let (_a, from_a) = ground.server("a", 1).await;
    from_a.announce(vec![role("test")]);
    ground.wait_virtually(10 * LEASE_TTL).await;
    let (_registry, at_home) = ground.registry("disk").await;
    // A server that could not be reached is left alone for up to two seconds, and the retry may fall just before.
    ground.wait_virtually(3 * MOMENT).await;
    assert_eq!(names(&at_home.handle().list().await.expect("a list")), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_speaks_for_itself_and_for_nobody_else() {
    let ground = Ground::new();
    let (_registry, at_home) = ground.registry("disk").await;
    let (a, from_a) = ground.server("a", 1).await;
    let (b, _) = ground.server("b", 1).await;
    add(&at_home, &b).await;
    add(&from_a, &a).await;
    let handle = from_a.handle();
    let there: Vec<Address> = a.addresses().to_vec();
    let refusals = [
        handle.add(id("b"), there, vec![], Epoch(9), Tenure::Permanent).await.expect("answers"),
        handle.renew(id("b"), Epoch(1)).await.expect("answers"),
        handle.remove(id("b"), None).await.expect("answers").map(|_| ()),
    ];
    for refusal in refusals {
        let refusal = refusal.expect_err("refused");
        assert_eq!(refusal.code, RefusalCode::NotAuthorised);
        assert!(refusal.detail.starts_with("a@/ may not change the entry of b@/"), "{refusal}");
    }
    let entry = handle.lookup(id("b")).await.expect("answers").expect("known");
    assert_eq!((entry.epoch, entry.addresses.as_slice()), (Epoch(1), b.addresses()));
    assert_eq!(handle.renew(id("a"), Epoch(1)).await, Ok(Ok(())));
    assert_eq!(handle.remove(id("a"), Some(Epoch(1))).await, Ok(Ok(true)));
}

#[tokio::test(start_paused = true)]
async fn what_a_server_adds_of_itself_goes_by_itself() {
    let ground = Ground::new();
    let (_registry, at_home) = ground.registry("disk").await;
    let (_a, from_a) = ground.server("a", 1).await;
    let (_command, from_command) = ground.server("command", 0).await;
    let add = async |by: &RegistryClient, server: &str, tenure| {
        by.handle().add(id(server), vec![], vec![], Epoch(1), tenure).await.expect("answers")
    };
    let refused = add(&from_a, "a", Tenure::Permanent).await.expect_err("for good");
    assert_eq!(refused.code, RefusalCode::NotAuthorised);
    assert!(refused.detail.contains("an entry that is permanent needs the capability `admin`"), "{refused}");
    let refused = add(&from_command, "command", Tenure::Leased).await.expect_err("it is gone in a moment");
    assert_eq!(refused.code, RefusalCode::NotAuthorised);
    assert!(refused.detail.contains("a server without an epoch needs"), "{refused}");
    assert_eq!(at_home.handle().list().await, Ok(vec![]));
    assert_eq!(add(&from_a, "a", Tenure::Leased).await, Ok(()));
    assert_eq!(add(&at_home, "a", Tenure::Permanent).await, Ok(()), "who may do everything may do this");
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_file_is_the_actors_end_and_stays_as_it_is() {
    for corrupt in [&b"{ \"format\": 1, \"serv"[..], b"", b"\xff\xfe", b"{ \"format\": 7, \"servers\": [] }"]
    {
        let ground = Ground::new();
        ground.disk("disk").put(corrupt);
        let (_registry, at_home) = ground.registry("disk").await;
        let error = at_home.handle().list().await.expect_err("it does not come up");
        let AskError::Dead(ExitReason::Failed(reason)) = &error else { panic!("{error:?}") };
        assert!(reason.starts_with("cannot use /registry.json: the registry's file"), "{reason}");
        assert_eq!(ground.disk("disk").content().as_deref(), Some(corrupt));
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_said_and_made_up_for() {
    let ground = Ground::new();
    let (registry, at_home) = ground.registry("disk").await;
    let (_a, from_a) = ground.server("a", 1).await;
    ground.disk("disk").fill(true);
    let handle = from_a.handle();
    let full = handle.add(id("a"), vec![], vec![], Epoch(1), Tenure::Leased).await.expect("answers");
    let full = full.expect_err("it could not be saved");
    assert!(full.detail.contains("cannot be saved to /registry.json"), "{full}");
    ground.disk("disk").fill(false);
    ground.wait_virtually(2 * MOMENT).await;
    let saved = ground.disk("disk").content().expect("saved without being asked");
    assert!(String::from_utf8(saved).expect("text").contains("a@/"));
    drop((registry, at_home));
}

/// Bytes that a server has read from its links.
fn bytes_in(server: &Server) -> u64 {
    let text = server.metrics();
    let line = text.lines().find(|line| line.starts_with("odeon_link_bytes_total{direction=\"in\"}"));
    let (_, value) = line.and_then(|line| line.rsplit_once(' ')).expect("it is counted");
    value.parse().expect("a number")
}

#[tokio::test(start_paused = true)]
async fn the_registry_speaks_without_names_to_equal_builds_and_with_them_to_others() {
    let ground = Ground::new();
    let (_registry, _) = ground.registry("disk").await;
    let mut lengths = Vec::new();
    for (name, types) in [("a", Fingerprints::linked()), ("b", Fingerprints::none())] {
        let (server, client) = ground.server_of(name, 1, types).await;
        let registry = client.handle();
        add(&client, &server).await;
        // The first question of a type goes with its names.
        let first = registry.lookup(id("a")).await.expect("answers").expect("found");
        ground.wait_virtually(MOMENT).await;
        let before = bytes_in(&server);
        for _ in 0..10 {
            assert_eq!(registry.lookup(id("a")).await, Ok(Ok(first.clone())));
        }
        ground.wait_virtually(MOMENT).await;
        lengths.push(bytes_in(&server) - before);
    }
    assert!(lengths[0] * 2 < lengths[1], "{lengths:?}");
}

#[test]
fn the_registry_may_be_named_by_any_server_of_its_domain() {
    let shop: ServerId = "web-0@/shop".parse().expect("an id");
    assert_eq!(RegistryClient::id_in(&shop).to_string(), format!("{REGISTRY}@/shop"));
}
