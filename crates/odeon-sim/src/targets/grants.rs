//! Chains of grants: bytes as they are, and blocks that the target signs, so that what is behind the signatures is
//! tried.

use std::sync::OnceLock;

use odeon_auth::{CHAIN_BLOCKS_MAX, GrantChain, GrantError, GrantKey, NewBlock, PublicKey};
use odeon_core::seam::Rng;
use odeon_core::{Act, Caveat, ServerId};
use sha2::{Digest as _, Sha256};

/// The first byte of a script.
const SCRIPT: u8 = b'S';

/// Stands in a script's block for the digest of the block before.
const PARENT: [u8; 32] = [0xaa; 32];

/// Stands for the public key of whom the block is for, with which the next block is signed.
const HOLDER: [u8; 32] = [0xbb; 32];

/// The same bytes for ever, so that the kept chains stay those of the admin.
#[derive(Debug)]
struct Bytes(u8);

impl Rng for Bytes {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

/// The admin's key, then that of each holder.
fn keys() -> &'static [GrantKey] {
    static KEYS: OnceLock<Vec<GrantKey>> = OnceLock::new();
    KEYS.get_or_init(|| {
        (7..).take(CHAIN_BLOCKS_MAX + 2).map(|byte| GrantKey::generate(&Bytes(byte))).collect()
    })
}

/// A chain of grants is one that the admin key began, and is then the same as bytes and as text; or it is refused.
pub(crate) fn grant(bytes: &[u8]) {
    let admin = keys()[0].public();
    let chains = [
        GrantChain::read(bytes, &admin).ok(),
        str::from_utf8(bytes).ok().and_then(|text| GrantChain::from_text(text.trim(), &admin).ok()),
    ];
    for chain in chains.into_iter().flatten() {
        holds(&chain, &admin);
    }
    if let Some((&SCRIPT, script)) = bytes.split_first() {
        scripted(script);
    }
}

fn holds(chain: &GrantChain, admin: &PublicKey) {
    let again = GrantChain::from_text(&chain.to_text(), admin).expect("what was written can be read");
    assert_eq!(again.as_bytes(), chain.as_bytes(), "a chain changed on its way");
    assert_eq!((again.id(), again.issuer()), (chain.id(), chain.issuer()));
    let mut ids: Vec<_> = chain.blocks().iter().map(|block| block.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), chain.blocks().len(), "two blocks have one id");
}

/// The script is blocks, each behind its length in two bytes. Each is signed with the key that must sign it, and says
/// who came before and who holds it where it has the marks for that. Returns how many of them made a chain.
fn scripted(mut script: &[u8]) -> usize {
    let keys = keys();
    let admin = keys[0].public();
    let (mut signed, mut parent) = (Vec::new(), [0; 32]);
    let mut before: Option<GrantChain> = None;
    while let Some((length, rest)) = script.split_first_chunk::<2>() {
        let number = signed.len();
        let (body, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        script = rest;
        let (Some(key), Some(next)) = (keys.get(number), keys.get(number + 1)) else { return number };
        let mut body = body.to_vec();
        replace(&mut body, &PARENT, &parent);
        replace(&mut body, &HOLDER, next.public().as_bytes());
        let signature = key.sign(&[b"odeon grant block 1".as_slice(), &body].concat()).0;
        parent = digest(&body, &signature);
        signed.push(block(&body, &signature));
        let Ok(chain) = GrantChain::read(&chain(&signed), &admin) else { return number };
        holds(&chain, &admin);
        assert_eq!(chain.issuer(), key.public(), "it was issued by whoever signed its last block");
        if let Some(before) = &before {
            narrower(&chain, before);
        }
        narrowed(&chain, next);
        bent(&chain, &admin, body.len());
        before = Some(chain);
    }
    signed.len()
}

/// A block more can only take away.
fn narrower(chain: &GrantChain, before: &GrantChain) {
    let (right, wider) = (chain.right(false), before.right(false));
    let servers: [ServerId; 2] = ["web-0@/", "a@/"].map(|id| id.parse().expect("an id"));
    for server in &servers {
        for capability in ["shutdown", "loader", "admin"] {
            for unix_ms in [0, 4_000_000_000_000] {
                let act = Act {
                    capability,
                    server,
                    roles: &[],
                    actors: &[],
                    mark: Some("greeter/1#greet"),
                    path: Some("cart/public"),
                    unix_ms,
                };
                assert!(!right.allows(&act) || wider.allows(&act), "{right} allows more than {wider}");
            }
        }
    }
    assert!(right.not_after() <= wider.not_after(), "it ends later");
}

/// The holder can pass it on, and nobody else.
fn narrowed(chain: &GrantChain, holder: &GrantKey) {
    let block = NewBlock { now_ms: 1, grantee: None, holder: None, caveats: vec![Caveat::NotAfter(1)] };
    match chain.narrow(holder, &Bytes(1), block) {
        Ok(longer) => {
            assert_eq!(chain.last().holder, Some(holder.public()));
            assert_eq!(longer.issuer(), holder.public());
            narrower(&longer, chain);
        }
        Err(GrantError::NotHolder) => assert_ne!(chain.last().holder, Some(holder.public())),
        Err(GrantError::Blocks { .. }) => assert_eq!(chain.blocks().len(), CHAIN_BLOCKS_MAX),
        Err(error) => assert!(matches!(error, GrantError::TooLong { .. }), "{error}"),
    }
}

/// With one bit another it is no chain.
fn bent(chain: &GrantChain, admin: &PublicKey, at: usize) {
    let mut bytes = chain.as_bytes().to_vec();
    let at = (at * 7) % bytes.len();
    bytes[at] ^= 1 << (at % 8);
    assert!(GrantChain::read(&bytes, admin).is_err(), "byte {at} may be another");
}

fn replace(body: &mut [u8], mark: &[u8; 32], by: &[u8; 32]) {
    if let Some(at) = body.windows(32).position(|window| window == mark) {
        body[at..at + 32].copy_from_slice(by);
    }
}

fn digest(body: &[u8], signature: &[u8; 64]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(b"odeon grant parent 1");
    let hash = hash.chain_update((body.len() as u64).to_be_bytes()).chain_update(body);
    hash.chain_update((signature.len() as u64).to_be_bytes()).chain_update(signature).finalize().into()
}

/// The chain's encoding, as its page says: written here by hand, so that it is not only our encoder that the reader
/// meets.
fn chain(signed: &[Vec<u8>]) -> Vec<u8> {
    let count = u8::try_from(signed.len()).expect("there are few keys");
    let mut bytes = vec![0x80 | count];
    bytes.extend(signed.concat());
    bytes
}

fn block(body: &[u8], signature: &[u8; 64]) -> Vec<u8> {
    let mut bytes = vec![0x82];
    for part in [body, signature] {
        match u8::try_from(part.len()) {
            Ok(length @ ..24) => bytes.push(0x40 | length),
            Ok(length) => bytes.extend([0x58, length]),
            Err(_) => {
                bytes.push(0x59);
                bytes.extend(u16::try_from(part.len()).expect("an input is short").to_be_bytes());
            }
        }
        bytes.extend(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_gets_past_the_signatures_to_what_is_behind_them() {
        let five = include_bytes!("../../../../fuzz/corpus/grant/signed-5");
        assert_eq!(scripted(&five[1..]), 5);
        let mut bent = five[1..].to_vec();
        let parent =
            bent.windows(32).position(|window| window == PARENT).expect("the second block names the first");
        bent[parent] ^= 1;
        assert_eq!(scripted(&bent), 1, "the second block does not follow the first");
    }
}
