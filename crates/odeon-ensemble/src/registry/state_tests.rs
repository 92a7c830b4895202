//! The registry's state against examples, limits and a naive model.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use odeon_core::limits::ADDRESSES_MAX;

use crate::registry::{ROLES_MAX, SnapshotError};

const TTL: u64 = 15;

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn id(name: &str) -> ServerId {
    ServerId::new(name, "/shop".parse().expect("a domain")).expect("an id")
}

fn role(name: &str) -> Role {
    name.parse().expect("a role")
}

fn addresses(count: usize) -> Vec<Address> {
    (0..count).map(|i| format!("tcp:h:{i}").parse().expect("an address")).collect()
}

fn add(
    registry: &mut Registry,
    name: &str,
    epoch: u64,
    tenure: Tenure,
    now: Instant,
) -> Result<(), RegistryError> {
    registry.add(id(name), addresses(1), vec![role("web")], Epoch(epoch), tenure, now)
}

fn add_leased(registry: &mut Registry, name: &str, epoch: u64, now: Instant) {
    add(registry, name, epoch, Tenure::Leased, now).expect("added");
}

fn web(registry: &Registry, now: Instant) -> Vec<&str> {
    registry.lookup_role(&role("web"), now).iter().map(|entry| entry.id.name()).collect()
}

#[test]
fn a_lease_lives_to_its_last_moment_and_no_longer() {
    let mut registry = Registry::new();
    assert_eq!(registry.poll_timeout(), None);
    add_leased(&mut registry, "a", 1, at(0));
    let last = Instant::from_nanos(at(TTL).as_nanos() - 1);
    assert_eq!(registry.poll_timeout(), Some(at(TTL)));
    assert_eq!(registry.expire(last), []);
    assert_eq!(web(&registry, last), ["a"]);
    assert_eq!(web(&registry, at(TTL)), [""; 0], "not even before `expire` was called");
    assert_eq!(registry.expire(at(TTL)), [id("a")]);
    assert_eq!(registry.expire(at(TTL)), [], "told once");
    assert_eq!(registry.lookup(&id("a")).map(|entry| entry.health), Some(Health::Dead));
    assert_eq!(registry.list().count(), 1);
    assert_eq!(registry.renew(&id("a"), Epoch(1), at(TTL)), Err(RegistryError::Lapsed { id: id("a") }));
    add_leased(&mut registry, "a", 1, at(TTL));
    assert_eq!(web(&registry, at(TTL)), ["a"]);
}

#[test]
fn a_renewal_that_comes_too_late_is_refused_even_before_anybody_noticed() {
    let mut registry = Registry::new();
    add_leased(&mut registry, "a", 1, at(0));
    registry.renew(&id("a"), Epoch(1), at(14)).expect("in time");
    registry.renew(&id("a"), Epoch(1), at(28)).expect("in time again");
    assert!(matches!(registry.renew(&id("a"), Epoch(1), at(43)), Err(RegistryError::Lapsed { .. })));
}

#[test]
fn an_older_incarnation_can_neither_add_renew_nor_remove() {
    let mut registry = Registry::new();
    add_leased(&mut registry, "a", 3, at(0));
    let stale = |known| Err(RegistryError::Stale { id: id("a"), given: Epoch(2), known: Epoch(known) });
    assert_eq!(add(&mut registry, "a", 2, Tenure::Leased, at(0)), stale(3));
    assert_eq!(registry.renew(&id("a"), Epoch(2), at(0)), stale(3));
    assert_eq!(registry.remove(&id("a"), Some(Epoch(2)), at(0)).map(|_| ()), stale(3));
    assert_eq!(
        registry.renew(&id("a"), Epoch(4), at(0)),
        Err(RegistryError::NotAdded { id: id("a"), epoch: Epoch(4) })
    );
    assert_eq!(registry.remove(&id("a"), Some(Epoch(3)), at(0)), Ok(true));
    assert_eq!(registry.remove(&id("a"), None, at(0)), Ok(false), "idempotent");
    assert_eq!(registry.lookup(&id("a")), None);
    assert_eq!(add(&mut registry, "a", 2, Tenure::Leased, at(0)), stale(3), "removed, not forgotten");
    add_leased(&mut registry, "a", 3, at(0));
}

#[test]
fn a_raised_epoch_fences_the_old_incarnation_off_at_once() {
    let mut registry = Registry::new();
    assert_eq!(registry.next_epoch(&id("a"), at(0)), Ok(Epoch(1)));
    assert_eq!(registry.lookup(&id("a")), None);
    add_leased(&mut registry, "a", 1, at(0));
    assert_eq!(registry.next_epoch(&id("a"), at(1)), Ok(Epoch(2)));
    assert!(matches!(registry.renew(&id("a"), Epoch(1), at(1)), Err(RegistryError::Stale { .. })));
    assert_eq!(registry.lookup(&id("a")).map(|entry| entry.epoch), Some(Epoch(1)));
    add_leased(&mut registry, "a", 2, at(1));
    add_leased(&mut registry, "z", u64::MAX, at(1));
    assert_eq!(registry.next_epoch(&id("z"), at(1)), Err(RegistryError::EpochsExhausted { id: id("z") }));
}

#[test]
fn addresses_are_kept_in_the_order_of_trying_and_once() {
    let mut registry = Registry::new();
    let given = ["tcp:h:1", "unix:h:/s", "tcp:h:1"].map(|text| text.parse().expect("an address"));
    registry.add(id("a"), given.to_vec(), vec![], Epoch(0), Tenure::Permanent, at(0)).expect("added");
    let kept = &registry.lookup(&id("a")).expect("there").addresses;
    assert_eq!(kept.iter().map(ToString::to_string).collect::<Vec<_>>(), ["unix:h:/s", "tcp:h:1"]);
    assert_eq!((registry.poll_timeout(), registry.expire(at(1000))), (None, vec![]));
    registry.renew(&id("a"), Epoch(0), at(1000)).expect("nothing to renew is no error");
}

#[test]
fn limits_hold_at_the_last_and_refuse_past_it() {
    let mut registry = Registry::new();
    let mut try_add = |addresses_count, roles_count| {
        let roles = vec![role("web"); roles_count];
        registry.add(id("a"), addresses(addresses_count), roles, Epoch(0), Tenure::Leased, at(0))
    };
    assert_eq!(try_add(ADDRESSES_MAX, ROLES_MAX), Ok(()));
    assert!(matches!(try_add(ADDRESSES_MAX + 1, 0), Err(RegistryError::TooManyAddresses { count: 17, .. })));
    assert!(matches!(try_add(0, ROLES_MAX + 1), Err(RegistryError::TooManyRoles { count: 33, .. })));
}

#[test]
fn a_full_registry_forgets_who_has_been_gone_the_longest_and_else_refuses() {
    let mut registry = Registry::new();
    for i in 0..SERVERS_MAX {
        add(&mut registry, &format!("s{i}"), 1, Tenure::Permanent, at(0)).expect("fits");
    }
    assert_eq!(add(&mut registry, "more", 1, Tenure::Leased, at(0)), Err(RegistryError::Full));
    assert_eq!(registry.next_epoch(&id("more"), at(0)), Err(RegistryError::Full));
    add(&mut registry, "s7", 2, Tenure::Leased, at(0)).expect("known already");
    registry.remove(&id("s9"), None, at(1)).expect("removed");
    registry.expire(at(TTL));
    add(&mut registry, "more", 1, Tenure::Leased, at(20)).expect("takes the place of s9");
    assert!(registry.lookup(&id("s7")).is_some());
    add(&mut registry, "most", 1, Tenure::Leased, at(20)).expect("takes the place of s7");
    assert_eq!(registry.lookup(&id("s7")), None);
    assert_eq!(add(&mut registry, "s9", 1, Tenure::Leased, at(20)), Err(RegistryError::Full));
}

#[test]
fn a_restored_registry_grants_a_full_life_and_keeps_epochs_and_deaths() {
    let mut registry = Registry::new();
    add_leased(&mut registry, "dead", 1, at(0));
    registry.expire(at(TTL));
    add_leased(&mut registry, "leased", 1, at(20));
    add(&mut registry, "fixed", 1, Tenure::Permanent, at(20)).expect("added");
    add_leased(&mut registry, "removed", 5, at(20));
    registry.remove(&id("removed"), None, at(20)).expect("removed");

    let text = registry.snapshot().to_json();
    // Another clock: the restarted registry counts from its own beginning.
    let mut restored = Registry::restore(Snapshot::from_json(&text).expect("sound"), at(3));
    assert_eq!(restored.snapshot(), registry.snapshot());
    assert!(!restored.dirty());
    assert_eq!(web(&restored, at(3)), ["fixed", "leased"]);
    assert_eq!(restored.poll_timeout(), Some(at(3 + TTL)));
    restored.renew(&id("leased"), Epoch(1), at(4)).expect("goes on");
    assert_eq!(restored.expire(at(3 + TTL)), []);
    assert!(matches!(
        add(&mut restored, "removed", 4, Tenure::Leased, at(4)),
        Err(RegistryError::Stale { .. })
    ));
    assert_eq!(restored.next_epoch(&id("removed"), at(4)), Ok(Epoch(6)));
}

#[test]
fn only_what_is_saved_makes_it_dirty_and_only_what_was_saved_makes_it_clean() {
    let mut registry = Registry::new();
    add_leased(&mut registry, "a", 1, at(0));
    assert!(registry.dirty());
    let revision = registry.revision();
    registry.saved(revision);
    registry.renew(&id("a"), Epoch(1), at(1)).expect("renewed");
    add_leased(&mut registry, "a", 1, at(1));
    assert!(!registry.dirty(), "renewals are not saved");
    add_leased(&mut registry, "b", 1, at(1));
    registry.saved(revision);
    assert!(registry.dirty(), "b came after the snapshot that was saved");
    registry.saved(registry.revision());
    registry.expire(at(60));
    assert!(registry.dirty(), "deaths are saved");
}

#[test]
fn a_file_that_is_corrupt_foreign_or_unsound_is_refused() {
    let mut registry = Registry::new();
    add_leased(&mut registry, "a", 1, at(0));
    let good = registry.snapshot().to_json();
    let edited = |edit: fn(&mut serde_json::Value)| {
        let mut value: serde_json::Value = serde_json::from_str(&good).expect("JSON");
        edit(&mut value);
        Snapshot::from_json(&value.to_string())
    };
    for cut in 0..good.trim_end().len() {
        assert!(matches!(Snapshot::from_json(&good[..cut]), Err(SnapshotError::Corrupt(_))), "{cut}");
    }
    assert!(matches!(edited(|v| v["format"] = json!(2)), Err(SnapshotError::UnknownFormat { found: 2 })));
    assert!(matches!(edited(|v| v["more"] = json!(2)), Err(SnapshotError::Corrupt(_))));
    assert!(matches!(edited(|v| v["servers"][0]["id"] = json!("A")), Err(SnapshotError::Corrupt(_))));
    assert!(edited(|_| ()).is_ok());
    let twice: fn(&mut serde_json::Value) = |v| v["servers"] = json!([v["servers"][0], v["servers"][0]]);
    let ahead: fn(&mut serde_json::Value) = |v| v["servers"][0]["entry"]["epoch"] = json!(2);
    let other: fn(&mut serde_json::Value) = |v| v["servers"][0]["entry"]["id"] = json!("b@/");
    let roles: fn(&mut serde_json::Value) = |v| v["servers"][0]["entry"]["roles"] = json!(vec!["web"; 33]);
    for (edit, part) in
        [(twice, "twice"), (ahead, "not its own"), (other, "not its own"), (roles, "33 roles")]
    {
        let error = edited(edit).expect_err(part);
        assert!(matches!(&error, SnapshotError::Unsound { reason } if reason.contains(part)), "{error}");
    }
}

/// The format on disk does not change unnoticed.
#[test]
fn the_format_is_as_documented() {
    let mut registry = Registry::new();
    add_leased(&mut registry, "a", 3, at(0));
    let text = registry.snapshot().to_json();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON"),
        json!({ "format": 1, "servers": [ { "id": "a@/shop", "epoch": 3, "entry": {
            "id": "a@/shop", "addresses": ["tcp:h:0"], "roles": ["web"], "epoch": 3,
            "tenure": "leased", "health": "alive" } } ] })
    );
}

/// What somebody may ask of a registry.
#[derive(Debug, Clone)]
enum Op {
    Add(u8, u64, Tenure),
    Renew(u8, u64),
    Remove(u8, Option<u64>),
    Raise(u8),
    Pass(u64),
    Expire,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let tenure = prop_oneof![3 => Just(Tenure::Leased), 1 => Just(Tenure::Permanent)];
    prop_oneof![
        4 => (0..4_u8, 0..5_u64, tenure).prop_map(|(id, epoch, tenure)| Op::Add(id, epoch, tenure)),
        4 => (0..4_u8, 0..5_u64).prop_map(|(id, epoch)| Op::Renew(id, epoch)),
        1 => (0..4_u8, proptest::option::of(0..5_u64)).prop_map(|(id, epoch)| Op::Remove(id, epoch)),
        1 => (0..4_u8).prop_map(Op::Raise),
        4 => (0..9_u64).prop_map(Op::Pass),
        2 => Just(Op::Expire),
        1 => Just(Op::Restart),
    ]
}

/// The same rules without indices: per id, the highest epoch and the entry's (epoch, end of lease, dead).
#[derive(Debug, Default)]
struct Model {
    highest: BTreeMap<u8, u64>,
    entries: BTreeMap<u8, (u64, Option<u64>, bool)>,
}

impl Model {
    fn fresh(&self, id: u8, epoch: u64) -> bool {
        self.highest.get(&id).is_none_or(|highest| epoch >= *highest)
    }

    fn living(&self, now: u64) -> Vec<String> {
        let living = self
            .entries
            .iter()
            .filter(|(_, (_, until, dead))| !dead && until.is_none_or(|until| until > now));
        living.map(|(id, _)| format!("s{id}")).collect()
    }
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(ops in proptest::collection::vec(op(), 1..80)) {
        let (mut registry, mut model, mut now) = (Registry::new(), Model::default(), 0);
        let name = |id: u8| format!("s{id}");
        for op in ops {
            match op {
                Op::Add(i, epoch, tenure) => {
                    let fresh = model.fresh(i, epoch);
                    prop_assert_eq!(add(&mut registry, &name(i), epoch, tenure, at(now)).is_ok(), fresh);
                    if fresh {
                        model.highest.insert(i, epoch);
                        let until = (tenure == Tenure::Leased).then_some(now + TTL);
                        model.entries.insert(i, (epoch, until, false));
                    }
                }
                Op::Renew(i, epoch) => {
                    let fresh = model.fresh(i, epoch);
                    let entry = model.entries.get_mut(&i).filter(|(known, until, dead)| {
                        fresh && *known == epoch && !dead && until.is_none_or(|until| until > now)
                    });
                    prop_assert_eq!(registry.renew(&id(&name(i)), Epoch(epoch), at(now)).is_ok(), entry.is_some());
                    if let Some((_, until, _)) = entry {
                        *until = until.map(|_| now + TTL);
                    }
                }
                Op::Remove(i, epoch) => {
                    let fresh = epoch.is_none_or(|epoch| model.fresh(i, epoch));
                    let expected = fresh.then(|| model.entries.remove(&i).is_some());
                    prop_assert_eq!(registry.remove(&id(&name(i)), epoch.map(Epoch), at(now)).ok(), expected);
                }
                Op::Raise(i) => {
                    let next = model.highest.get(&i).map_or(1, |highest| highest + 1);
                    prop_assert_eq!(registry.next_epoch(&id(&name(i)), at(now)), Ok(Epoch(next)));
                    model.highest.insert(i, next);
                }
                Op::Pass(seconds) => now += seconds,
                Op::Expire => {
                    let mut expected = Vec::new();
                    for (i, (_, until, dead)) in &mut model.entries {
                        if !*dead && until.is_some_and(|until| until <= now) {
                            *dead = true;
                            expected.push(id(&name(*i)));
                        }
                    }
                    let mut expired = registry.expire(at(now));
                    expired.sort();
                    prop_assert_eq!(expired, expected);
                }
                Op::Restart => {
                    let text = registry.snapshot().to_json();
                    registry = Registry::restore(Snapshot::from_json(&text).expect("sound"), at(now));
                    for (_, until, dead) in model.entries.values_mut() {
                        if !*dead {
                            *until = until.map(|_| now + TTL);
                        }
                    }
                }
            }
            prop_assert_eq!(web(&registry, at(now)), model.living(now));
            prop_assert_eq!(registry.list().count(), model.entries.len());
            let next = model.entries.values().filter(|entry| !entry.2).filter_map(|entry| entry.1).min();
            prop_assert_eq!(registry.poll_timeout(), next.map(at));
        }
    }
}
