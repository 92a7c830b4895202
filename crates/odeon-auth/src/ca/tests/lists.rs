//! Revocation lists that somebody brings: which are taken.

use super::*;
use crate::tls::{BROUGHT_LIST_BYTES_MAX, Brought, LISTS_MAX, ListFault};

/// A server of an ensemble, what its list is at first, and what the list is after one revocation and after two.
fn three_lists() -> (Home, TlsContext, [String; 3]) {
    let home = Home::new();
    let mut issuer = home.issuer(NOW);
    for server in ["web-0@/", "web-1@/", "web-2@/"] {
        let name = server.split('@').next().expect("a name");
        issuer.issue(&order(server, &[]), &home.place(name), Existing::Keep).expect("issued");
    }
    let list = || std::fs::read_to_string(home.files().crl()).expect("read");
    let first = list();
    issuer.revoke(&Target::Server(id("web-1@/"))).expect("revoked");
    let second = list();
    issuer.revoke(&Target::Server(id("web-2@/"))).expect("revoked");
    let third = list();
    put(&home.files().crl(), second.as_bytes(), 0o644);
    drop(issuer);
    let context = home.context("web-0");
    (home, context, [first, second, third])
}

#[test]
fn a_list_is_taken_if_its_authority_has_signed_it_and_none_is_newer() {
    let (_home, context, [first, second, third]) = three_lists();
    let issuer = || "CN=Odeon Subordinate CA,L=Internet,O=Odeon,C=UN".to_owned();
    assert_eq!(context.judge_lists(&second, None), Ok(Brought::Known));
    assert_eq!(context.judge_lists(&third, None), Ok(Brought::Newer(third.clone())));
    assert_eq!(context.judge_lists(&first, None), Err(ListFault::Old { issuer: issuer() }));
    // Another server of the host has put a newer one there, which is not loaded yet.
    let there = Some(third.as_bytes());
    assert_eq!(context.judge_lists(&second, there), Err(ListFault::Old { issuer: issuer() }));
    assert_eq!(context.judge_lists(&third, there), Ok(Brought::Newer(third.clone())));
    assert_eq!(context.judge_lists(&third, Some(b"damaged")), Ok(Brought::Newer(third.clone())));
    // What is not a list goes no further.
    let words = format!("# words\n{third}-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n");
    assert_eq!(context.judge_lists(&words, None), Ok(Brought::Newer(third)));
}

#[test]
fn a_list_of_another_authority_of_that_name_or_a_changed_one_is_forged() {
    let (_home, context, [_, _, third]) = three_lists();
    let other = Home::empty();
    // Away from the keys of the others, which come from the same seed.
    for _ in 0..1_000 {
        other.rng.next_u64();
    }
    let ca = other.ca(NOW);
    ca.generate_root(&passphrase(ROOT), &CaOptions::default()).expect("a root");
    ca.generate_sub(&passphrase(ROOT), &passphrase(SUB), &CaOptions::default()).expect("a subordinate");
    let mut issuer = other.issuer(NOW);
    for _ in 0..4 {
        issuer.write_list().expect("written");
    }
    let forged = std::fs::read_to_string(other.files().crl()).expect("read");
    for forged in [forged.clone(), format!("{third}{forged}")] {
        let fault = context.judge_lists(&forged, None);
        assert!(matches!(fault, Err(ListFault::Forged { .. })), "{fault:?}");
    }
    // A byte of the signature, near the end of the text.
    let at = third.find("\n-----END").expect("an end") - 8;
    let mut bent = third.into_bytes();
    bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
    let fault = context.judge_lists(&String::from_utf8(bent).expect("text"), None);
    assert!(matches!(fault, Err(ListFault::Forged { .. } | ListFault::Malformed { .. })), "{fault:?}");
    for nothing in ["", "a word", "-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----\n"] {
        let fault = context.judge_lists(nothing, None);
        assert!(matches!(fault, Err(ListFault::Malformed { .. })), "{nothing}: {fault:?}");
    }
}

#[test]
fn a_text_of_lists_has_a_longest_length_and_a_greatest_number() {
    let (home, context, [_, _, third]) = three_lists();
    let padded = |bytes: usize| format!("{third}{}", "\n".repeat(bytes - third.len()));
    assert_eq!(context.judge_lists(&padded(BROUGHT_LIST_BYTES_MAX), None), Ok(Brought::Newer(third.clone())));
    let bytes = BROUGHT_LIST_BYTES_MAX + 1;
    assert_eq!(context.judge_lists(&padded(bytes), None), Err(ListFault::TooLong { bytes }));
    assert!(context.judge_lists(&third.repeat(LISTS_MAX), None).is_ok());
    let fault = context.judge_lists(&third.repeat(LISTS_MAX + 1), None);
    assert!(matches!(fault, Err(ListFault::Malformed { .. })), "{fault:?}");
    let files = TlsFiles { crl: None, ..TlsFiles::of(home.path(), &home.server("web-0")) };
    let without = TlsContext::load(&files, || NOW + 1).expect("loaded");
    assert_eq!(without.judge_lists(&third, None), Err(ListFault::NoPlace));
}

#[test]
fn a_revocation_list_is_shown_with_its_number_and_whom_it_revokes() {
    let (home, _, [_, second, _]) = three_lists();
    let view = RevocationView::load(&home.files().crl()).expect("read").remove(0);
    assert_eq!((view.number.as_deref(), view.revoked.len()), (Some("02"), 1), "{second}");
    assert_eq!((view.this_update, view.revoked[0].1), (NOW, NOW));
    let issued = home.files().issued().expect("read");
    let revoked = issued.iter().find(|issued| issued.server == id("web-1@/")).expect("issued");
    assert_eq!(view.revoked[0].0, revoked.serial);
    let error = CertificateView::load(&home.files().crl()).expect_err("no certificate");
    assert_eq!(error.code(), "not-a-certificate");
    assert!(error.to_string().ends_with("is a revocation list; expected a certificate in PEM"), "{error}");
    RevocationView::load(&home.place("web-0").chain()).expect_err("no list");
}
