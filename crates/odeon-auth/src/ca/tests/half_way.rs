//! What fails half way, and what of it is left.

use odeon_core::seam::Rng;

use super::*;

/// Randomness by which the names of half-written files are known.
#[derive(Debug, Default)]
struct Known(Seeded);

impl Rng for Known {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn next_u64(&self) -> u64 {
        0xb10c
    }
}

#[test]
fn issuing_that_fails_half_way_leaves_nothing_new_behind() {
    let home = Home::new();
    let rng = Known::default();
    let ca = CertificateAuthority::new(home.files(), &rng, NOW);
    let mut issuer = ca.unlock(&passphrase(SUB)).expect("unlocked");
    let place = home.place("web-0");
    let order = order("web-0@/", &[]);
    // Where the certificate would be written before it is put in its place.
    let beside = place.base().join(format!(".chain.pem.{:016x}", rng.next_u64()));
    std::fs::create_dir_all(&beside).expect("made");
    issuer.issue(&order, &place, Existing::Keep).expect_err("the certificate cannot be written");
    assert!(!place.key().exists(), "a key without a certificate");
    assert_eq!((issuer.issued().len(), home.files().issued().expect("read").len()), (0, 0), "nobody has it");

    std::fs::remove_dir(&beside).expect("removed");
    issuer.issue(&order, &place, Existing::Keep).expect("issued");
    let files = || [place.key(), place.chain()].map(|path| std::fs::read(path).expect("read"));
    let before = files();
    std::fs::create_dir(&beside).expect("made");
    issuer.issue(&order, &place, Existing::Replace).expect_err("it cannot be written again");
    assert!(files() == before, "the old key and certificate go on together");
    assert_eq!((issuer.issued().len(), home.files().issued().expect("read").len()), (1, 1));
}
