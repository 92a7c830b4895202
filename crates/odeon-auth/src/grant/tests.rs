//! What a chain may be, and that no block of it ever widens it.

use std::collections::BTreeSet;

use minicbor::bytes::ByteVec;
use odeon_core::seam::Rng;
use odeon_core::{Act, ActorId, CAVEAT_ITEMS_MAX, Capabilities, Caveat, Epoch, Role, ServerId, to_hex};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::block::{RawBlock, RawCaveat, SignedBlock};
use super::*;
use crate::testing::Seeded;

fn id(text: &str) -> ServerId {
    text.parse().expect("a server id")
}

fn held(texts: &[&str]) -> Capabilities {
    texts.iter().map(|text| text.parse().expect("a capability")).collect()
}

/// The admin, and three holders.
fn keys(rng: &dyn Rng) -> [GrantKey; 4] {
    std::array::from_fn(|_| GrantKey::generate(rng))
}

fn block(holder: Option<PublicKey>, caveats: Vec<Caveat>) -> NewBlock {
    NewBlock { now_ms: 1_000, grantee: Some(id("ann@/")), holder, caveats }
}

fn first() -> Vec<Caveat> {
    vec![
        Caveat::Servers([id("web-0@/")].into()),
        Caveat::Capabilities(held(&["shutdown", "loader"])),
        Caveat::NotAfter(100),
    ]
}

/// The admin gives it to the first holder, who narrows it for the second, who narrows it for the third.
fn three_blocks(rng: &dyn Rng) -> ([GrantKey; 4], GrantChain) {
    let keys = keys(rng);
    let [admin, one, two, three] = &keys;
    let chain = GrantChain::issue(admin, rng, block(Some(one.public()), first())).expect("issued");
    let loader = vec![Caveat::Capabilities(held(&["loader"]))];
    let chain = chain.narrow(one, rng, block(Some(two.public()), loader)).expect("narrowed");
    let cart = vec![Caveat::Actors(["cart".parse().expect("an actor")].into())];
    let chain = chain.narrow(two, rng, block(Some(three.public()), cart)).expect("narrowed");
    (keys, chain)
}

fn signed(chain: &GrantChain) -> Vec<SignedBlock> {
    minicbor::decode(chain.as_bytes()).expect("blocks")
}

fn encoded(blocks: &[SignedBlock]) -> Vec<u8> {
    minicbor::to_vec(blocks).expect("encodes")
}

#[test]
fn a_chain_is_read_again_and_its_text_too() {
    let rng = Seeded::default();
    let ([admin, _, two, three], chain) = three_blocks(&rng);
    assert_eq!(GrantChain::read(chain.as_bytes(), &admin.public()), Ok(chain.clone()));
    assert_eq!(GrantChain::from_text(&chain.to_text(), &admin.public()), Ok(chain.clone()));
    assert_eq!((chain.blocks().len(), chain.last().holder), (3, Some(three.public())));
    assert_eq!(chain.issuer(), two.public());
    assert_eq!(chain.right(false).capabilities, held(&["loader"]));
}

#[test]
fn a_chain_of_another_admin_key_is_refused() {
    let rng = Seeded::default();
    let ([_, one, ..], chain) = three_blocks(&rng);
    let refused = GrantChain::read(chain.as_bytes(), &one.public());
    assert_eq!(refused, Err(GrantError::Unsigned { block: 0, by: "the ensemble's admin key" }));
}

#[test]
fn a_change_of_any_byte_is_refused() {
    let rng = Seeded::default();
    let ([admin, ..], chain) = three_blocks(&rng);
    for place in 0..chain.as_bytes().len() {
        let mut bent = chain.as_bytes().to_vec();
        bent[place] ^= 1;
        assert!(GrantChain::read(&bent, &admin.public()).is_err(), "byte {place}");
    }
}

#[test]
fn cut_reordered_repeated_and_foreign_blocks_are_refused() {
    let rng = Seeded::default();
    let ([admin, one, ..], chain) = three_blocks(&rng);
    for length in 0..chain.as_bytes().len() {
        assert!(GrantChain::read(&chain.as_bytes()[..length], &admin.public()).is_err(), "{length} bytes");
    }
    let blocks = signed(&chain);
    let pick = |places: &[usize]| encoded(&places.iter().map(|at| blocks[*at].clone()).collect::<Vec<_>>());
    for places in [&[1, 0, 2][..], &[0, 2, 1], &[0, 2], &[1, 2], &[0, 0], &[0, 1, 1], &[]] {
        assert!(GrantChain::read(&pick(places), &admin.public()).is_err(), "{places:?}");
    }
    // A holder who makes two chains cannot put the end of one behind the other.
    let other = GrantChain::issue(&admin, &rng, block(Some(one.public()), first())).expect("issued");
    let mixed = [signed(&other)[0].clone(), blocks[1].clone()];
    assert_eq!(GrantChain::read(&encoded(&mixed), &admin.public()), Err(GrantError::Order { block: 1 }));
    // Nor can a stranger add a block.
    let stranger = GrantKey::generate(&rng);
    assert_eq!(chain.narrow(&stranger, &rng, block(None, vec![])), Err(GrantError::NotHolder));
}

#[test]
fn without_the_last_blocks_the_chain_is_anothers_to_answer_for() {
    let rng = Seeded::default();
    let ([admin, one, two, three], chain) = three_blocks(&rng);
    let cut = GrantChain::read(&encoded(&signed(&chain)[..1]), &admin.public()).expect("the admin's block");
    let (server, peer) = (id("web-0@/"), id("ann@/"));
    let question = GrantQuestion {
        server: &server,
        peer: &peer,
        epoch: Epoch(1),
        link: &[1; 32],
        challenge: &[2; 32],
        chain: &cut,
    };
    let holder = cut.last().holder.expect("a key");
    for key in [&two, &three] {
        assert!(!question.is_answered(&holder, &question.answer(key)));
    }
    assert!(question.is_answered(&holder, &question.answer(&one)));
}

#[test]
fn an_answer_serves_for_its_server_peer_epoch_link_challenge_and_chain_alone() {
    let rng = Seeded::default();
    let ([admin, one, _, three], chain) = three_blocks(&rng);
    let (server, peer, other) = (id("web-0@/"), id("ann@/"), id("eve@/"));
    let another = GrantChain::issue(&admin, &rng, block(Some(one.public()), first())).expect("issued");
    let asked = GrantQuestion {
        server: &server,
        peer: &peer,
        epoch: Epoch(1),
        link: &[1; 32],
        challenge: &[2; 32],
        chain: &chain,
    };
    let (key, answer) = (three.public(), asked.answer(&three));
    assert!(asked.is_answered(&key, &answer));
    let others = [
        GrantQuestion { server: &other, ..asked },
        GrantQuestion { peer: &other, ..asked },
        GrantQuestion { epoch: Epoch(2), ..asked },
        GrantQuestion { link: &[3; 32], ..asked },
        GrantQuestion { challenge: &[3; 32], ..asked },
        GrantQuestion { chain: &another, ..asked },
    ];
    for question in others {
        assert!(!question.is_answered(&key, &answer), "{question:?}");
    }
    assert!(!asked.is_answered(&one.public(), &answer));
}

/// Signs a block as it is given, for what `issue` would not write.
fn by_hand(admin: &GrantKey, block: &[u8]) -> Vec<u8> {
    let signature = admin.sign(&[b"odeon grant block 1".as_slice(), block].concat());
    encoded(&[SignedBlock { block: block.to_vec().into(), signature: signature.0.to_vec().into() }])
}

fn raw() -> RawBlock {
    RawBlock {
        version: 2,
        parent: ByteVec::from(Vec::new()),
        nonce: vec![7; 16].into(),
        issued_at_ms: 0,
        grantee: "ann@/".to_owned(),
        holder: ByteVec::from(Vec::new()),
        caveats: first().iter().map(RawCaveat::of).collect(),
    }
}

#[test]
fn an_unknown_caveat_field_or_version_is_refused() {
    let rng = Seeded::default();
    let admin = GrantKey::generate(&rng);
    let known = minicbor::to_vec(raw()).expect("encodes");
    assert!(GrantChain::read(&by_hand(&admin, &known), &admin.public()).is_ok());
    let refused = |block: &[u8], what| {
        let outcome = GrantChain::read(&by_hand(&admin, block), &admin.public());
        assert_eq!(outcome, Err(GrantError::Malformed), "{what}");
    };
    // The last caveat, `not after 100`, becomes one of kind 7.
    let mut unknown = known.clone();
    let place = unknown.windows(4).rposition(|w| w == [0x82, 6, 0x81, 0x18]).expect("kind 6");
    unknown[place + 1] = 7;
    refused(&unknown, "kind");
    let mut longer = known.clone();
    longer[0] += 1;
    longer.push(0);
    refused(&longer, "field");
    refused(&minicbor::to_vec(RawBlock { version: 3, ..raw() }).expect("encodes"), "version");
    let old = minicbor::to_vec(RawBlock { version: 1, ..raw() }).expect("encodes");
    let old = by_hand(&admin, &old);
    assert_eq!(GrantChain::read(&old, &admin.public()), Err(GrantError::Old));
    let text = format!("odeon-grant-1:{}", to_hex(&old));
    let error = GrantChain::from_text(&text, &admin.public()).expect_err("old");
    assert!(error.to_string().contains("ask for a new one"), "{error}");
    let unsorted = RawCaveat::Capabilities(vec!["b".to_owned(), "a".to_owned()]);
    let caveats = raw().caveats.into_iter().chain([unsorted]).collect();
    refused(&minicbor::to_vec(RawBlock { caveats, ..raw() }).expect("encodes"), "order");
}

#[test]
fn the_first_block_says_where_what_until_when_and_for_whom() {
    let rng = Seeded::default();
    let admin = GrantKey::generate(&rng);
    for missing in 0..3 {
        let mut caveats = first();
        caveats.remove(missing);
        let outcome = GrantChain::issue(&admin, &rng, block(None, caveats));
        assert!(matches!(outcome, Err(GrantError::Incomplete { .. })), "{missing}: {outcome:?}");
    }
    let nobody = NewBlock { grantee: None, ..block(None, first()) };
    assert!(matches!(GrantChain::issue(&admin, &rng, nobody), Err(GrantError::Incomplete { .. })));
}

#[test]
fn eight_blocks_are_read_and_nine_are_not() {
    let rng = Seeded::default();
    let [admin, one, ..] = keys(&rng);
    let mut chain = GrantChain::issue(&admin, &rng, block(Some(one.public()), first())).expect("issued");
    for _ in 1..CHAIN_BLOCKS_MAX {
        chain = chain.narrow(&one, &rng, block(Some(one.public()), vec![])).expect("short enough");
    }
    let outcome = chain.narrow(&one, &rng, block(Some(one.public()), vec![]));
    assert_eq!(outcome, Err(GrantError::Blocks { blocks: CHAIN_BLOCKS_MAX + 1 }));
}

#[test]
fn a_chain_of_8_kib_is_looked_at_and_one_byte_more_is_not() {
    let rng = Seeded::default();
    let admin = GrantKey::generate(&rng);
    let outcome = |bytes| GrantChain::read(&vec![0; bytes], &admin.public());
    assert_eq!(outcome(CHAIN_BYTES_MAX), Err(GrantError::Malformed));
    assert_eq!(outcome(CHAIN_BYTES_MAX + 1), Err(GrantError::TooLong { bytes: CHAIN_BYTES_MAX + 1 }));
}

#[test]
fn a_block_has_16_limits_of_32_alternatives_at_most() {
    let rng = Seeded::default();
    let admin = GrantKey::generate(&rng);
    let issue = |limits: usize, alternatives: usize| {
        let servers = (0..alternatives).map(|n| id(&format!("w-{n}@/"))).collect::<BTreeSet<_>>();
        let mut caveats = first();
        caveats[0] = Caveat::Servers(servers);
        caveats.extend((caveats.len()..limits).map(|_| Caveat::NotAfter(1)));
        GrantChain::issue(&admin, &rng, block(None, caveats))
    };
    assert!(issue(BLOCK_CAVEATS_MAX, CAVEAT_ITEMS_MAX).is_ok());
    assert_eq!(issue(BLOCK_CAVEATS_MAX + 1, 1), Err(GrantError::TooManyCaveats));
    assert_eq!(issue(3, CAVEAT_ITEMS_MAX + 1), Err(GrantError::TooManyCaveats));
    assert_eq!(issue(3, 0), Err(GrantError::TooManyCaveats));
}

fn some<T: Clone + std::fmt::Debug + 'static>(of: Vec<T>) -> impl Strategy<Value = Vec<T>> {
    let most = of.len();
    subsequence(of, 1..=most)
}

const CAPABILITIES: [&str; 4] = ["admin", "shutdown", "loader", "watch:cart"];
const SERVERS: [&str; 3] = ["web-0@/", "web-1@/", "db@/shop"];
const ROLES: [&str; 2] = ["web", "db"];
const ACTORS: [&str; 3] = ["cart", "greeter", "0"];
const PATHS: [&str; 4] = ["cart", "cart/public", "cart/publicity", "other"];
const MARKS: [&str; 4] = ["greeter/1", "greeter/1#greet", "greeter/1#set", "cart/2"];

fn caveat() -> impl Strategy<Value = Caveat> {
    fn parsed<T: std::str::FromStr + Ord>(texts: Vec<&'static str>) -> BTreeSet<T> {
        texts.into_iter().filter_map(|text| text.parse().ok()).collect()
    }
    prop_oneof![
        some(SERVERS.to_vec()).prop_map(|texts| Caveat::Servers(parsed(texts))),
        some(ROLES.to_vec()).prop_map(|texts| Caveat::Roles(parsed(texts))),
        some(ACTORS.to_vec()).prop_map(|texts| Caveat::Actors(parsed(texts))),
        some(PATHS.to_vec()).prop_map(|texts| Caveat::Paths(parsed(texts))),
        some(MARKS.to_vec()).prop_map(|texts| Caveat::Marks(parsed(texts))),
        some(CAPABILITIES.to_vec()).prop_map(|texts| Caveat::Capabilities(held(&texts))),
        (0_u64..200).prop_map(Caveat::NotAfter),
    ]
}

/// Servers, roles, actors and all else that an act can say.
#[derive(Debug, Clone)]
struct Situation {
    capability: &'static str,
    server: ServerId,
    roles: Vec<Role>,
    actors: Vec<ActorId>,
    mark: Option<&'static str>,
    path: Option<&'static str>,
    unix_ms: u64,
}

fn situation() -> impl Strategy<Value = Situation> {
    let roles = subsequence(ROLES.to_vec(), 0..=ROLES.len());
    let actors = subsequence(ACTORS.to_vec(), 0..=ACTORS.len());
    let said = (select(CAPABILITIES.to_vec()), select(SERVERS.to_vec()), roles, actors);
    let reached = (prop::option::of(select(MARKS.to_vec())), prop::option::of(select(PATHS.to_vec())));
    (said, reached, 0_u64..200_000).prop_map(
        |((capability, server, roles, actors), (mark, path), unix_ms)| Situation {
            capability,
            server: id(server),
            roles: roles.iter().map(|role| role.parse().expect("a role")).collect(),
            actors: actors.iter().map(|actor| actor.parse().expect("an actor")).collect(),
            mark,
            path,
            unix_ms,
        },
    )
}

impl Situation {
    fn act(&self) -> Act<'_> {
        Act {
            capability: self.capability,
            server: &self.server,
            roles: &self.roles,
            actors: &self.actors,
            mark: self.mark,
            path: self.path,
            unix_ms: self.unix_ms,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn narrowing_never_widens(
        given in prop::collection::vec(caveat(), 0..3),
        steps in prop::collection::vec(prop::collection::vec(caveat(), 0..3), 1..4),
        situations in prop::collection::vec(situation(), 32),
    ) {
        let rng = Seeded::default();
        let [admin, one, ..] = keys(&rng);
        let whole = vec![
            Caveat::Servers(SERVERS.iter().map(|text| id(text)).collect()),
            Caveat::Capabilities(held(&["admin"])),
            Caveat::NotAfter(190),
        ];
        let caveats = whole.into_iter().chain(given).collect();
        let mut chain = GrantChain::issue(&admin, &rng, block(Some(one.public()), caveats)).expect("issued");
        for step in steps {
            let next = chain.narrow(&one, &rng, block(Some(one.public()), step.clone())).expect("narrowed");
            let read = GrantChain::read(next.as_bytes(), &admin.public()).expect("read");
            for situation in &situations {
                let act = situation.act();
                let (before, after) = (chain.right(false).allows(&act), read.right(false).allows(&act));
                // Exactly what both the chain before and the new block allow.
                prop_assert_eq!(after, before && step.iter().all(|caveat| caveat.allows(&act)));
            }
            chain = next;
        }
    }

    #[test]
    fn no_bytes_at_all_are_a_chain_by_chance(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let admin = GrantKey::generate(&Seeded::default());
        prop_assert!(GrantChain::read(&bytes, &admin.public()).is_err());
    }
}

/// The bytes are frozen: what is written today is read by whatever comes later.
#[test]
fn a_block_has_these_bytes() {
    let caveats = [
        Caveat::Servers([id("a@/")].into()),
        Caveat::Roles(["r".parse().expect("a role")].into()),
        Caveat::Actors(["0".parse().expect("an actor")].into()),
        Caveat::Paths(["p".parse().expect("a path")].into()),
        Caveat::Marks(["m/1".parse().expect("a mark")].into()),
        Caveat::Capabilities(held(&["c"])),
        Caveat::NotAfter(9),
    ];
    let block = RawBlock { caveats: caveats.iter().map(RawCaveat::of).collect(), ..raw() };
    let bytes = minicbor::to_vec(block).expect("encodes");
    let expected = "87024050070707070707070707070707070707070065616e6e402f4087\
        82008181636140 2f82018181617282028181613082038181617082048181636d2f31\
        8205818161638206810 9";
    assert_eq!(to_hex(&bytes), expected.replace(' ', ""));
}

/// Says the same again and again, like a maker who wants a block to be taken for another.
#[derive(Debug)]
struct Stubborn;

impl Rng for Stubborn {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

#[test]
fn a_block_has_an_id_of_its_own_whatever_its_maker_says() {
    let rng = Seeded::default();
    let [admin, one, two, _] = keys(&rng);
    let theirs = GrantChain::issue(&admin, &Stubborn, block(Some(one.public()), first())).expect("issued");
    let own = GrantChain::issue(&admin, &rng, block(Some(two.public()), first())).expect("issued");
    let copied = own.narrow(&two, &Stubborn, block(None, vec![])).expect("narrowed");
    let shorter = own.narrow(&two, &Stubborn, block(None, vec![Caveat::NotAfter(1)])).expect("narrowed");
    assert_ne!(copied.id(), theirs.id());
    assert_ne!(shorter.id(), copied.id(), "another end is another block");
    let again = GrantChain::read(theirs.as_bytes(), &admin.public()).expect("read");
    assert_eq!(again.id(), theirs.id(), "the same block is known by the same id");
}
