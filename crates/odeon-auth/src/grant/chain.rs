//! Chains: issuing, narrowing, reading.

use odeon_core::seam::Rng;
use odeon_core::{CAVEAT_ITEMS_MAX, Capabilities, Caveat, Origin, Right, ServerId, from_hex, to_hex};
use sha2::{Digest, Sha256};

use super::block::{BLOCK_CAVEATS_MAX, GrantId, NONCE_BYTES, RawBlock, RawCaveat, SignedBlock};
use super::key::{GrantKey, PublicKey, Signature};

/// Most blocks of one chain: an organisation with more levels than this passes on too much.
pub const CHAIN_BLOCKS_MAX: usize = 8;

/// Longest chain, in bytes: a kilobyte for each block.
pub const CHAIN_BYTES_MAX: usize = 8 * 1024;

/// How the text of every grant begins; hexadecimal follows.
pub const GRANT_TEXT_PREFIX: &str = "odeon-grant-2:";

/// How the texts of grants of all versions begin.
pub const GRANT_TEXT_KIND: &str = "odeon-grant-";

/// Why a chain is none, or cannot be made longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// Too long to be looked at.
    #[error("the grant has {bytes} bytes; expected {CHAIN_BYTES_MAX} at most")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Too many blocks, or none.
    #[error("the grant has {blocks} blocks; expected 1 to {CHAIN_BLOCKS_MAX}")]
    Blocks {
        /// How many.
        blocks: usize,
    },
    /// It cannot be read.
    #[error(
        "the grant cannot be read: it was cut or changed, or has a kind of limit that is unknown here; ask for a new one"
    )]
    Malformed,
    /// It was made by an earlier build, which knew grants by other ids.
    #[error("the grant was made by an earlier build, and its id means nothing any more: ask for a new one")]
    Old,
    /// A signature is not by whom it must be.
    #[error(
        "block {block} of the grant is not signed by {by}: it was changed, or made for another ensemble or holder"
    )]
    Unsigned {
        /// Which block, from 0.
        block: usize,
        /// Who had to sign it.
        by: &'static str,
    },
    /// A block does not follow the one before it.
    #[error(
        "block {block} of the grant does not follow the one before it: blocks were left out or put in another order"
    )]
    Order {
        /// Which block, from 0.
        block: usize,
    },
    /// The first block lacks what it must say.
    #[error(
        "the grant does not say {what}: the first block names servers, capabilities, an expiry, and a grantee or key"
    )]
    Incomplete {
        /// What is missing.
        what: &'static str,
    },
    /// Who wants to narrow it is not its holder.
    #[error("the grant can be passed on by its holder alone, and this is not the holder's key")]
    NotHolder,
    /// More caveats, or alternatives of one, than a block may have.
    #[error(
        "a block of a grant has {BLOCK_CAVEATS_MAX} limits at most, of {CAVEAT_ITEMS_MAX} alternatives each, and none of no alternative"
    )]
    TooManyCaveats,
}

/// One block of a chain that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantBlock {
    /// Its id: a digest of what was signed, the block before included. Nobody chooses it, so no block has that
    /// of another.
    pub id: GrantId,
    /// When it was made, in milliseconds since 1970, as its maker says.
    pub issued_at_ms: u64,
    /// Whom it is for; whoever has the key, if it does not say.
    pub grantee: Option<ServerId>,
    /// The key of whom it is for. Without one it cannot be passed on, and the one who made it presents it.
    pub holder: Option<PublicKey>,
    /// Within what limits.
    pub caveats: Vec<Caveat>,
}

/// What goes into a new block.
#[derive(Debug, Clone)]
pub struct NewBlock {
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// Whom it is for.
    pub grantee: Option<ServerId>,
    /// The key of whom it is for.
    pub holder: Option<PublicKey>,
    /// Within what limits.
    pub caveats: Vec<Caveat>,
}

/// A chain of grants, checked against the admin key it was read with.
///
/// ```
/// # use odeon_auth::{GrantChain, GrantKey, NewBlock};
/// # use odeon_core::{Act, Capabilities, Caveat};
/// # #[derive(Debug)] struct Dice;
/// # impl odeon_core::seam::Rng for Dice { fn fill(&self, bytes: &mut [u8]) { bytes.fill(4) } }
/// # let (rng, server) = (Dice, "web-0@/".parse().unwrap());
/// let (admin, ann) = (GrantKey::generate(&rng), GrantKey::generate(&rng));
/// let block = |caveats| NewBlock { now_ms: 0, grantee: None, holder: Some(ann.public()), caveats };
/// let given = GrantChain::issue(&admin, &rng, block(vec![
///     Caveat::Servers(["web-0@/".parse().unwrap()].into()),
///     Caveat::Capabilities(Capabilities::admin()),
///     Caveat::NotAfter(90),
/// ])).unwrap();
/// let narrowed = given.narrow(&ann, &rng, block(vec![Caveat::NotAfter(60)])).unwrap();
/// let read = GrantChain::read(narrowed.as_bytes(), &admin.public()).unwrap();
/// let act = Act {
///     capability: "shutdown", server: &server, roles: &[], actors: &[], mark: None, path: None, unix_ms: 59_000,
/// };
/// assert!(read.right(false).allows(&act));
/// assert!(!read.right(false).allows(&Act { unix_ms: 60_000, ..act }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantChain {
    bytes: Vec<u8>,
    root: PublicKey,
    blocks: Vec<GrantBlock>,
}

impl GrantChain {
    /// A chain of one block, by the admin key.
    ///
    /// # Errors
    /// When the block lacks servers, capabilities, an expiry, or a grantee or key; or has too much.
    pub fn issue(admin: &GrantKey, rng: &dyn Rng, block: NewBlock) -> Result<Self, GrantError> {
        let bytes = encode(&[sign(admin, rng, Vec::new(), block)?]);
        Self::read(&bytes, &admin.public())
    }

    /// The chain with one block more, by the key of its holder: it allows less, or the same to somebody else.
    ///
    /// # Errors
    /// When `holder` is not the key of the last block's holder, or the chain would be too long.
    pub fn narrow(&self, holder: &GrantKey, rng: &dyn Rng, block: NewBlock) -> Result<Self, GrantError> {
        if self.last().holder != Some(holder.public()) {
            return Err(GrantError::NotHolder);
        }
        let mut signed = decode(&self.bytes)?;
        let parent = signed.last().map(digest_of).unwrap_or_default();
        signed.push(sign(holder, rng, parent, block)?);
        Self::read(&encode(&signed), &self.root)
    }

    /// Reads a chain whose first block `admin` must have signed.
    ///
    /// # Errors
    /// See [`GrantError`]. Nothing of a chain that is refused is believed.
    pub fn read(bytes: &[u8], admin: &PublicKey) -> Result<Self, GrantError> {
        let signed = decode(bytes)?;
        let mut blocks: Vec<GrantBlock> = Vec::with_capacity(signed.len());
        let (mut parent, mut signer) = (Vec::new(), Some(*admin));
        for (number, block) in signed.iter().enumerate() {
            let by = if number == 0 { "the ensemble's admin key" } else { "the holder of the block before" };
            let signature = block.signature.as_slice().try_into().map(Signature);
            let is_signed = signer.zip(signature.ok()).is_some_and(|(signer, signature)| {
                signer.verifies(&to_sign(block.block.as_slice()), &signature)
            });
            if !is_signed {
                return Err(GrantError::Unsigned { block: number, by });
            }
            let raw: RawBlock = exactly(block.block.as_slice())?;
            if raw.parent.as_slice() != parent.as_slice() {
                return Err(GrantError::Order { block: number });
            }
            if raw.is_old() {
                return Err(GrantError::Old);
            }
            let parsed = raw.parse().ok_or(GrantError::Malformed)?;
            parent = digest_of(block);
            signer = parsed.holder;
            blocks.push(GrantBlock {
                id: id_of(&block.block),
                issued_at_ms: raw.issued_at_ms,
                grantee: parsed.grantee,
                holder: parsed.holder,
                caveats: parsed.caveats,
            });
        }
        check_first(&blocks[0])?;
        Ok(Self { bytes: bytes.to_vec(), root: *admin, blocks })
    }

    /// Reads a chain's text.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_text(text: &str, admin: &PublicKey) -> Result<Self, GrantError> {
        Self::read(&bytes_of_text(text)?, admin)
    }

    /// The chain as one line of text.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{GRANT_TEXT_PREFIX}{}", to_hex(&self.bytes))
    }

    /// The chain, encoded.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its blocks, from the admin's on; one at least.
    #[must_use]
    pub fn blocks(&self) -> &[GrantBlock] {
        &self.blocks
    }

    /// The block that says who holds it.
    #[must_use]
    pub fn last(&self) -> &GrantBlock {
        &self.blocks[self.blocks.len() - 1]
    }

    /// The id of its last block, by which it is known.
    #[must_use]
    pub fn id(&self) -> GrantId {
        self.last().id
    }

    /// The key that signed the last block: the admin's, or that of the holder before.
    #[must_use]
    pub fn issuer(&self) -> PublicKey {
        let before = self.blocks.len().checked_sub(2).and_then(|before| self.blocks[before].holder);
        before.unwrap_or(self.root)
    }

    /// SHA-256 of the encoded chain.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.bytes).into()
    }

    /// The right that it gives: what every block allows. `is_delegated` says that somebody else presents it.
    #[must_use]
    pub fn right(&self, is_delegated: bool) -> Right {
        let caveats = self.blocks.iter().flat_map(|block| block.caveats.iter().cloned());
        let (held, caveats): (Vec<_>, Vec<_>) =
            caveats.partition(|caveat| matches!(caveat, Caveat::Capabilities(_)));
        let held = held.iter().fold(Capabilities::admin(), |held, caveat| match caveat {
            Caveat::Capabilities(these) => held.and(these),
            _ => held,
        });
        let ids = self.blocks.iter().map(|block| block.id.to_string()).collect();
        let origin = if is_delegated { Origin::Delegated(ids) } else { Origin::Grant(ids) };
        Right { capabilities: held, caveats, origin }
    }
}

/// The bytes of a chain's text. They are believed by nobody yet.
fn bytes_of_text(text: &str) -> Result<Vec<u8>, GrantError> {
    let text = text.trim();
    if text.len() > GRANT_TEXT_PREFIX.len() + 2 * CHAIN_BYTES_MAX {
        return Err(GrantError::TooLong { bytes: text.len() / 2 });
    }
    if text.starts_with("odeon-grant-1:") {
        return Err(GrantError::Old);
    }
    text.strip_prefix(GRANT_TEXT_PREFIX).and_then(from_hex).ok_or(GrantError::Malformed)
}

/// What a first block must say, so that no grant is for everywhere, for everything or for ever.
fn check_first(block: &GrantBlock) -> Result<(), GrantError> {
    let says = |is_it: fn(&Caveat) -> bool| block.caveats.iter().any(is_it);
    let what = if !says(|caveat| matches!(caveat, Caveat::Servers(_))) {
        "for which servers it is"
    } else if !says(|caveat| matches!(caveat, Caveat::Capabilities(_))) {
        "which capabilities it gives"
    } else if !says(|caveat| matches!(caveat, Caveat::NotAfter(_))) {
        "when it ends"
    } else if block.grantee.is_none() && block.holder.is_none() {
        "whom it is for"
    } else {
        return Ok(());
    };
    Err(GrantError::Incomplete { what })
}

fn sign(key: &GrantKey, rng: &dyn Rng, parent: Vec<u8>, block: NewBlock) -> Result<SignedBlock, GrantError> {
    let NewBlock { now_ms, grantee, holder, caveats } = block;
    if caveats.len() > BLOCK_CAVEATS_MAX
        || caveats.iter().any(|caveat| !(1..=CAVEAT_ITEMS_MAX).contains(&caveat.items()))
    {
        return Err(GrantError::TooManyCaveats);
    }
    let mut nonce = [0; NONCE_BYTES];
    rng.fill(&mut nonce);
    let raw = RawBlock {
        version: RawBlock::version(),
        parent: parent.into(),
        nonce: nonce.to_vec().into(),
        issued_at_ms: now_ms,
        grantee: grantee.map_or_else(String::new, |grantee| grantee.to_string()),
        holder: holder.map_or_else(Vec::new, |key| key.as_bytes().to_vec()).into(),
        caveats: caveats.iter().map(RawCaveat::of).collect(),
    };
    let block = minicbor::to_vec(&raw).map_err(|_| GrantError::Malformed)?;
    let signature = key.sign(&to_sign(&block));
    Ok(SignedBlock { block: block.into(), signature: signature.0.to_vec().into() })
}

fn to_sign(block: &[u8]) -> Vec<u8> {
    [b"odeon grant block 1".as_slice(), block].concat()
}

fn digest_of(block: &SignedBlock) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(b"odeon grant parent 1");
    for part in [&block.block, &block.signature] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_slice());
    }
    hash.finalize().to_vec()
}

/// What a block is known by. The word of its maker would not do: whoever could give a block the id of another could
/// have that one retracted.
fn id_of(block: &[u8]) -> GrantId {
    let digest = Sha256::new().chain_update(b"odeon grant id 1").chain_update(block).finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    GrantId(id)
}

fn encode(signed: &[SignedBlock]) -> Vec<u8> {
    minicbor::to_vec(signed).expect("a vector takes whatever is written to it")
}

fn decode(bytes: &[u8]) -> Result<Vec<SignedBlock>, GrantError> {
    if bytes.len() > CHAIN_BYTES_MAX {
        return Err(GrantError::TooLong { bytes: bytes.len() });
    }
    let signed: Vec<SignedBlock> = exactly(bytes)?;
    if signed.is_empty() || signed.len() > CHAIN_BLOCKS_MAX {
        return Err(GrantError::Blocks { blocks: signed.len() });
    }
    Ok(signed)
}

/// Decodes, and sees to it that nothing was skipped or written in another way: it may have been a limit.
fn exactly<T>(bytes: &[u8]) -> Result<T, GrantError>
where
    T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
{
    let value: T = minicbor::decode(bytes).map_err(|_| GrantError::Malformed)?;
    let again = minicbor::to_vec(&value).map_err(|_| GrantError::Malformed)?;
    if again == bytes { Ok(value) } else { Err(GrantError::Malformed) }
}
