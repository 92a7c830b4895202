//! One block of a chain, as it is encoded.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use odeon_core::{CAVEAT_ITEMS_MAX, Capabilities, Caveat, ServerId, from_hex, to_hex};

use super::key::PublicKey;

/// Most caveats of one block: each kind more than twice.
pub const BLOCK_CAVEATS_MAX: usize = 16;

/// How much chance is in a block.
pub(super) const NONCE_BYTES: usize = 16;

/// The only version there is. In the first a block said itself by which id it is known.
const VERSION: u8 = 2;

/// The id of a block, and of the chain that ends with it: the first 16 bytes of a digest of what was signed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId(pub [u8; 16]);

impl FromStr for GrantId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        from_hex(text).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(())
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&to_hex(&self.0))
    }
}

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A block with its signature.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(array)]
pub(super) struct SignedBlock {
    #[n(0)]
    pub(super) block: ByteVec,
    #[n(1)]
    pub(super) signature: ByteVec,
}

/// A block as its bytes say. Every field is there, so that one encoding is one block.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(array)]
pub(super) struct RawBlock {
    #[n(0)]
    pub(super) version: u8,
    #[n(1)]
    pub(super) parent: ByteVec,
    /// Chance, so that no two blocks are one.
    #[n(2)]
    pub(super) nonce: ByteVec,
    #[n(3)]
    pub(super) issued_at_ms: u64,
    /// Empty where whoever has the key may be anybody.
    #[n(4)]
    pub(super) grantee: String,
    /// Empty where nobody can present it for themselves, nor pass it on.
    #[n(5)]
    pub(super) holder: ByteVec,
    #[n(6)]
    pub(super) caveats: Vec<RawCaveat>,
}

#[derive(Debug, Clone, Encode, Decode)]
pub(super) enum RawCaveat {
    #[n(0)]
    Servers(#[n(0)] Vec<String>),
    #[n(1)]
    Roles(#[n(0)] Vec<String>),
    #[n(2)]
    Actors(#[n(0)] Vec<String>),
    #[n(3)]
    Paths(#[n(0)] Vec<String>),
    #[n(4)]
    Marks(#[n(0)] Vec<String>),
    #[n(5)]
    Capabilities(#[n(0)] Vec<String>),
    #[n(6)]
    NotAfter(#[n(0)] u64),
}

/// A block, understood.
pub(super) struct ParsedBlock {
    pub(super) grantee: Option<ServerId>,
    pub(super) holder: Option<PublicKey>,
    pub(super) caveats: Vec<Caveat>,
}

impl RawBlock {
    pub(super) fn version() -> u8 {
        VERSION
    }

    /// Whether it was made before blocks were as they are.
    pub(super) fn is_old(&self) -> bool {
        self.version < VERSION
    }

    /// What it says; nothing, if any part of it is malformed or more than a block may have.
    pub(super) fn parse(&self) -> Option<ParsedBlock> {
        if self.version != VERSION
            || self.nonce.len() != NONCE_BYTES
            || self.caveats.len() > BLOCK_CAVEATS_MAX
        {
            return None;
        }
        let grantee = match self.grantee.as_str() {
            "" => None,
            text => Some(text.parse().ok()?),
        };
        let holder = match self.holder.as_slice() {
            [] => None,
            bytes => Some(PublicKey::from_bytes(bytes.try_into().ok()?).ok()?),
        };
        let caveats = self.caveats.iter().map(RawCaveat::parse).collect::<Option<_>>()?;
        Some(ParsedBlock { grantee, holder, caveats })
    }
}

impl RawCaveat {
    pub(super) fn of(caveat: &Caveat) -> Self {
        fn texts<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> Vec<String> {
            items.into_iter().map(|item| item.to_string()).collect()
        }
        match caveat {
            Caveat::Servers(set) => Self::Servers(texts(set)),
            Caveat::Roles(set) => Self::Roles(texts(set)),
            Caveat::Actors(set) => Self::Actors(texts(set)),
            Caveat::Paths(set) => Self::Paths(texts(set)),
            Caveat::Marks(set) => Self::Marks(texts(set)),
            Caveat::Capabilities(set) => Self::Capabilities(texts(set.iter())),
            Caveat::NotAfter(seconds) => Self::NotAfter(*seconds),
        }
    }

    fn parse(&self) -> Option<Caveat> {
        Some(match self {
            Self::Servers(texts) => Caveat::Servers(set(texts)?),
            Self::Roles(texts) => Caveat::Roles(set(texts)?),
            Self::Actors(texts) => Caveat::Actors(set(texts)?),
            Self::Paths(texts) => Caveat::Paths(set(texts)?),
            Self::Marks(texts) => Caveat::Marks(set(texts)?),
            Self::Capabilities(texts) => Caveat::Capabilities(Capabilities::from_iter(set(texts)?)),
            Self::NotAfter(seconds) => Caveat::NotAfter(*seconds),
        })
    }
}

/// The items, if each is well-formed and they stand in order, once each.
fn set<T: FromStr + Ord>(texts: &[String]) -> Option<BTreeSet<T>> {
    if texts.len() > CAVEAT_ITEMS_MAX {
        return None;
    }
    let items: Vec<T> = texts.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?;
    items.is_sorted_by(|a, b| a < b).then(|| items.into_iter().collect())
}
