//! The table of grants: what counts, until when, and how much there may be.

use std::sync::atomic::{AtomicU64, Ordering};

use odeon_auth::{GrantKey, NewBlock};
use odeon_core::seam::Rng;
use odeon_core::{Act, Capabilities};

use super::*;

#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Rng for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }
}

const LINK: u64 = 5;
const NOW_MS: u64 = 10_000_000;

struct World {
    rng: Counting,
    admin: GrantKey,
    holder: GrantKey,
    grants: Grants,
}

fn id(text: &str) -> ServerId {
    text.parse().expect("a server id")
}

impl World {
    fn new() -> Self {
        let rng = Counting::default();
        let (admin, holder) = (GrantKey::generate(&rng), GrantKey::generate(&rng));
        let mut grants = Grants::default();
        grants.open(LINK);
        Self { rng, admin, holder, grants }
    }

    fn chain(&self, grantee: &str, not_after: u64) -> GrantChain {
        self.chain_of(grantee, not_after, NOW_MS)
    }

    fn chain_of(&self, grantee: &str, not_after: u64, now_ms: u64) -> GrantChain {
        let caveats = vec![
            Caveat::Servers([id("web-0@/")].into()),
            Caveat::Capabilities(Capabilities::admin()),
            Caveat::NotAfter(not_after),
        ];
        let block =
            NewBlock { now_ms, grantee: Some(id(grantee)), holder: Some(self.holder.public()), caveats };
        GrantChain::issue(&self.admin, &self.rng, block).expect("issued")
    }

    fn can(&self, peer: &str, now_ms: u64) -> bool {
        let server = id("web-0@/");
        let act = Act {
            capability: "loader",
            server: &server,
            roles: &[],
            actors: &[],
            mark: None,
            path: None,
            unix_ms: now_ms,
        };
        self.grants.rights(LINK, &id(peer)).any(|right| right.allows(&act))
    }
}

const LATER: u64 = NOW_MS / 1000 + 60;

#[test]
fn a_grant_counts_until_it_ends_is_retracted_or_its_link_is_over() {
    let mut world = World::new();
    let chain = world.chain("ann@/", LATER);
    world.grants.hold(LINK, chain.clone(), NOW_MS).expect("taken");
    assert!(world.can("ann@/", NOW_MS));
    assert!(!world.can("ann@/", LATER * 1000), "over");
    assert_eq!(world.grants.list(NOW_MS, None, 8).0.len(), 1);
    assert_eq!(world.grants.retract(Retracted::Grant(chain.id()), By::Admin, NOW_MS), Ok(1));
    assert!(!world.can("ann@/", NOW_MS), "retracted");
    assert_eq!(world.grants.hold(LINK, chain, NOW_MS), Err(NotTaken::Retracted));
    let another = world.chain("ann@/", LATER);
    world.grants.hold(LINK, another, NOW_MS).expect("only the one was retracted");
    world.grants.close(LINK);
    world.grants.open(LINK);
    assert!(!world.can("ann@/", NOW_MS), "the link was another");
}

#[test]
fn a_retraction_by_name_takes_what_was_made_until_then_and_what_was_passed_on() {
    let mut world = World::new();
    let given = world.chain("ann@/", LATER);
    let next = NewBlock { now_ms: NOW_MS, grantee: Some(id("bob@/")), holder: None, caveats: vec![] };
    let passed_on = given.narrow(&world.holder, &world.rng, next).expect("narrowed");
    world.grants.hold(LINK, given, NOW_MS).expect("taken");
    world.grants.delegate(&id("bob@/"), passed_on, NOW_MS).expect("taken");
    assert!(world.can("bob@/", NOW_MS));
    assert_eq!(world.grants.retract(Retracted::Grantee(&id("ann@/")), By::Admin, NOW_MS), Ok(2));
    assert!(!world.can("ann@/", NOW_MS) && !world.can("bob@/", NOW_MS));
    let fresh = world.chain_of("ann@/", LATER, NOW_MS + 1);
    assert_eq!(world.grants.hold(LINK, fresh, NOW_MS + 1), Ok(()), "made afterwards");
}

#[test]
fn a_grant_from_the_future_or_the_past_is_not_taken() {
    let mut world = World::new();
    let ahead = world.chain_of("ann@/", LATER, NOW_MS + SKEW_MS_MAX + 1);
    assert_eq!(world.grants.hold(LINK, ahead, NOW_MS), Err(NotTaken::FromTheFuture));
    let nearly = world.chain_of("ann@/", LATER, NOW_MS + SKEW_MS_MAX);
    assert_eq!(world.grants.hold(LINK, nearly, NOW_MS), Ok(()));
    let over = world.chain("ann@/", NOW_MS / 1000);
    assert_eq!(world.grants.hold(LINK, over, NOW_MS), Err(NotTaken::Expired));
}

#[test]
fn a_challenge_is_answered_once_within_30_s_and_the_fifth_takes_the_place_of_the_first() {
    let mut world = World::new();
    let (chain, start) = (world.chain("ann@/", LATER), Instant::ZERO);
    for byte in 0..=LINK_CHALLENGES_MAX {
        let byte = u8::try_from(byte).expect("few");
        world.grants.challenge(LINK, chain.clone(), [byte; 32], start);
    }
    assert_eq!(world.grants.answer(LINK, &[0; 32], start), None, "it made room");
    assert_eq!(world.grants.answer(LINK + 1, &[1; 32], start), None, "another link");
    assert_eq!(world.grants.answer(LINK, &[1; 32], start), Some(chain.clone()));
    assert_eq!(world.grants.answer(LINK, &[1; 32], start), None, "used up");
    let soon = start + CHALLENGE_TTL.checked_sub(Duration::from_nanos(1)).expect("longer");
    assert_eq!(world.grants.answer(LINK, &[2; 32], soon), Some(chain));
    assert_eq!(world.grants.answer(LINK, &[3; 32], start + CHALLENGE_TTL), None, "too late");
}

#[test]
fn a_link_holds_16_grants_and_not_17() {
    let mut world = World::new();
    let first = world.chain("ann@/", LATER);
    world.grants.hold(LINK, first.clone(), NOW_MS).expect("taken");
    world.grants.hold(LINK, first, NOW_MS).expect("the same once more is none more");
    for _ in 1..LINK_CHAINS_MAX {
        let chain = world.chain("ann@/", LATER);
        world.grants.hold(LINK, chain, NOW_MS).expect("taken");
    }
    let chain = world.chain("ann@/", LATER + 600);
    assert_eq!(world.grants.hold(LINK, chain.clone(), NOW_MS), Err(NotTaken::LinkFull));
    assert_eq!(world.grants.hold(LINK, chain, LATER * 1000), Ok(()), "the others are over");
}

#[test]
fn delegated_grants_are_bounded_for_one_grantee_and_for_all() {
    let mut world = World::new();
    let grantees = DELEGATED_MAX / DELEGATED_PER_GRANTEE_MAX;
    for grantee in 0..grantees {
        let grantee = format!("w-{grantee}@/");
        for _ in 0..DELEGATED_PER_GRANTEE_MAX {
            let chain = world.chain(&grantee, LATER);
            world.grants.delegate(&id(&grantee), chain, NOW_MS).expect("taken");
        }
        if grantee == "w-0@/" {
            let chain = world.chain(&grantee, LATER);
            assert_eq!(world.grants.delegate(&id(&grantee), chain, NOW_MS), Err(NotTaken::DelegatedFull));
        }
    }
    let chain = world.chain("other@/", LATER);
    assert_eq!(world.grants.delegate(&id("other@/"), chain, NOW_MS), Err(NotTaken::DelegatedFull));
}

#[test]
fn grantees_cannot_use_up_the_memory_of_retractions() {
    let mut world = World::new();
    let unknown = Retracted::Grant(GrantId([9; 16]));
    assert_eq!(world.grants.retract(unknown, By::Grantee, NOW_MS), Ok(0));
    assert_eq!(
        world.grants.retractions_text().lines().count(),
        1,
        "nothing was taken away, nothing is remembered"
    );
    for number in 0..RETRACTIONS_MAX {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
        if number == RETRACTIONS_MAX - RETRACTIONS_OF_ADMINS {
            let chain = world.chain("ann@/", LATER);
            world.grants.hold(LINK, chain.clone(), NOW_MS).expect("taken");
            let own = world.grants.retract(Retracted::Grant(chain.id()), By::Grantee, NOW_MS);
            assert_eq!(own, Err(NotTaken::RetractionsFull));
        }
        assert_eq!(
            world.grants.retract(Retracted::Grant(GrantId(bytes)), By::Admin, NOW_MS).map(drop),
            Ok(())
        );
    }
    assert_eq!(world.grants.retract(unknown, By::Admin, NOW_MS), Err(NotTaken::RetractionsFull));
}

#[test]
fn what_is_kept_is_taken_in_again_and_a_changed_file_is_refused() {
    let mut world = World::new();
    let (kept, gone) = (world.chain("bob@/", LATER), world.chain("ann@/", LATER));
    world.grants.delegate(&id("bob@/"), kept, NOW_MS).expect("taken");
    world.grants.hold(LINK, gone.clone(), NOW_MS).expect("taken");
    world.grants.retract(Retracted::Grant(gone.id()), By::Admin, NOW_MS).expect("retracted");
    world.grants.retract(Retracted::Grantee(&id("eve@/")), By::Admin, NOW_MS).expect("retracted");
    let (retractions, delegated) = (world.grants.retractions_text(), world.grants.delegated_text());

    let mut again = Grants::default();
    again.read_retractions(&retractions).expect("read");
    again.read_delegated(&delegated, &world.admin.public(), NOW_MS).expect("read");
    again.open(LINK);
    assert_eq!((again.retractions_text(), again.delegated_text()), (retractions.clone(), delegated.clone()));
    assert_eq!(again.hold(LINK, gone, NOW_MS), Err(NotTaken::Retracted));
    assert_eq!(again.delegated_to(&id("bob@/")).count(), 1);

    let mut other_key = Grants::default();
    other_key.read_delegated(&delegated, &world.holder.public(), NOW_MS).expect("read, and not believed");
    assert_eq!(other_key.delegated_to(&id("bob@/")).count(), 0);

    let cut = retractions.trim_end();
    for (text, line) in
        [("", 1), (cut, 3), ("odeon retractions 3\n", 1), ("odeon retractions 2\ngrant x 1\n", 2)]
    {
        assert_eq!(Grants::default().read_retractions(text), Err(Unread::Line(line)), "{text:?}");
    }
    let old = retractions.replacen('2', "1", 1);
    assert_eq!(Grants::default().read_retractions(&old), Err(Unread::Old));
    let read = |text: &str| Grants::default().read_delegated(text, &world.admin.public(), NOW_MS);
    assert_eq!(read("odeon delegated grants 2\nnonsense\n"), Err(Unread::Line(2)));
    assert_eq!(read("odeon delegated grants 1\n"), Err(Unread::Old));
}

/// Says the same again and again, like a maker who wants a block to be taken for another.
#[derive(Debug)]
struct Stubborn;

impl Rng for Stubborn {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// The grant of ops, and one of evil whose last block says what that of ops says of itself.
fn ops_and_evil(world: &World, evil_ends: u64) -> (GrantChain, GrantChain) {
    let caveats = vec![
        Caveat::Servers([id("web-0@/")].into()),
        Caveat::Capabilities(Capabilities::admin()),
        Caveat::NotAfter(LATER),
    ];
    let block =
        NewBlock { now_ms: NOW_MS, grantee: Some(id("ops@/")), holder: Some(world.holder.public()), caveats };
    let ops = GrantChain::issue(&world.admin, &Stubborn, block).expect("issued");
    let next = NewBlock {
        now_ms: NOW_MS,
        grantee: Some(id("evil@/")),
        holder: Some(world.holder.public()),
        caveats: vec![Caveat::NotAfter(evil_ends)],
    };
    let evil = world.chain("evil@/", LATER).narrow(&world.holder, &Stubborn, next).expect("narrowed");
    (ops, evil)
}

#[test]
fn nobody_gives_up_the_grants_of_others_by_a_block_that_says_their_id() {
    let mut world = World::new();
    let (ops, evil) = ops_and_evil(&world, LATER);
    world.grants.delegate(&id("ops@/"), ops.clone(), NOW_MS).expect("taken");
    world.grants.hold(LINK, evil.clone(), NOW_MS).expect("taken");
    assert!(!world.grants.is_own(&id("evil@/"), Retracted::Grant(ops.id())));
    assert!(world.grants.is_own(&id("evil@/"), Retracted::Grant(evil.id())));
    assert_eq!(world.grants.retract(Retracted::Grant(evil.id()), By::Grantee, NOW_MS), Ok(1));
    assert_eq!(world.grants.delegated_to(&id("ops@/")).count(), 1, "it still counts");
}

#[test]
fn a_retraction_is_not_forgotten_for_a_block_that_says_the_same_id_and_ends_early() {
    let mut world = World::new();
    let soon = NOW_MS / 1000 + 1;
    let (ops, evil) = ops_and_evil(&world, soon);
    world.grants.hold(LINK, evil, NOW_MS).expect("taken");
    world.grants.retract(Retracted::Grant(ops.id()), By::Admin, NOW_MS).expect("retracted");
    let later = soon * 1000 + 1;
    world.grants.retract(Retracted::Grantee(&id("x@/")), By::Admin, later).expect("retracted");
    assert_eq!(world.grants.hold(LINK, ops, later), Err(NotTaken::Retracted));
}

#[test]
fn a_clock_that_was_set_back_takes_no_retraction_back() {
    let mut world = World::new();
    let chain = world.chain("ann@/", LATER);
    world.grants.retract(Retracted::Grantee(&id("ann@/")), By::Admin, NOW_MS).expect("retracted");
    world.grants.retract(Retracted::Grantee(&id("ann@/")), By::Admin, NOW_MS - 5_000).expect("retracted");
    assert_eq!(world.grants.hold(LINK, chain, NOW_MS), Err(NotTaken::Retracted));
}

#[test]
fn what_holders_pass_on_has_a_share_for_each_grant_and_leaves_room_to_the_admin() {
    let mut world = World::new();
    let mut made = 0;
    // Sixteen for each grantee, as many grantees as it takes.
    let mut pass_on = |world: &mut World, given: &GrantChain| {
        let grantee = id(&format!("w-{}@/", made / DELEGATED_PER_GRANTEE_MAX));
        made += 1;
        let next = NewBlock { now_ms: NOW_MS, grantee: Some(grantee.clone()), holder: None, caveats: vec![] };
        let chain = given.narrow(&world.holder, &world.rng, next).expect("narrowed");
        world.grants.delegate(&grantee, chain, NOW_MS)
    };
    for _ in 0..(DELEGATED_MAX - DELEGATED_OF_ADMINS) / DELEGATED_PER_GRANT_MAX {
        let given = world.chain("ann@/", LATER);
        for _ in 0..DELEGATED_PER_GRANT_MAX {
            pass_on(&mut world, &given).expect("taken");
        }
        assert_eq!(pass_on(&mut world, &given), Err(NotTaken::DelegatedFull), "its share is used up");
    }
    let given = world.chain("bob@/", LATER);
    assert_eq!(pass_on(&mut world, &given), Err(NotTaken::DelegatedFull), "the rest is the admin's");
    let by_admin = world.chain("late@/", LATER);
    assert_eq!(world.grants.delegate(&id("late@/"), by_admin, NOW_MS), Ok(()));
}
