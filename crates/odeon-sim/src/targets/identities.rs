//! What strangers show to say who they are, and what they may do.

use odeon_auth::{GrantChain, GrantKey, PeerCertificate};
use odeon_core::seam::Rng;

/// So that the kept chains stay those of the admin.
#[derive(Debug)]
struct Sevens;

impl Rng for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// A certificate names one server and its domain, or is refused.
pub(crate) fn certificate(bytes: &[u8]) {
    if let Ok(certificate) = PeerCertificate::read(bytes) {
        assert_eq!(*certificate.server.domain(), certificate.domain, "the server is of its domain");
        assert!(certificate.not_before <= certificate.not_after, "it is valid for a while");
        assert!(!certificate.serial.is_empty(), "it can be revoked by its number");
    }
}

/// A chain of grants is one that the admin key began, and is then the same as bytes and as text; or it is refused.
pub(crate) fn grant(bytes: &[u8]) {
    let admin = GrantKey::generate(&Sevens).public();
    let chains = [
        GrantChain::read(bytes, &admin).ok(),
        str::from_utf8(bytes).ok().and_then(|text| GrantChain::from_text(text.trim(), &admin).ok()),
    ];
    for chain in chains.into_iter().flatten() {
        let again = GrantChain::from_text(&chain.to_text(), &admin).expect("what was written can be read");
        assert_eq!(again.as_bytes(), chain.as_bytes(), "a chain changed on its way");
        assert_eq!(again.id(), chain.id());
    }
}
