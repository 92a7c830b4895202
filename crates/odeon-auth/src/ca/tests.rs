//! Tests of the authorities: what they make, refuse, note and revoke.

mod half_way;
mod lists;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use odeon_core::seam::Rng as _;
use x509_cert::der::{Decode as _, DecodePem as _, Encode as _, EncodePem as _};

use super::*;
use crate::certificate::PeerCertificate;
use crate::cookie::Existing;
use crate::keys::{KeyKind, PrivateKey};
use crate::testing::{DAY, NOW, Seeded, capabilities, id, openssl, passphrase, put};
use crate::tls::{TlsContext, TlsFiles};

const ROOT: &str = "the root's words";
const SUB: &str = "the subordinate's words";

/// An ensemble's home.
struct Home {
    directory: tempfile::TempDir,
    rng: Seeded,
}

/// Authorities made once: each scrypt takes half a second.
static MADE: LazyLock<Home> = LazyLock::new(|| {
    let home = Home::empty();
    let ca = home.ca(NOW);
    ca.generate_root(&passphrase(ROOT), &CaOptions::default()).expect("a root");
    ca.generate_sub(&passphrase(ROOT), &passphrase(SUB), &CaOptions::default()).expect("a subordinate");
    ca.generate_ca_files(Existing::Keep).expect("files");
    home
});

impl Home {
    fn empty() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory"), rng: Seeded::default() }
    }

    /// A home with authorities in it.
    fn new() -> Self {
        let home = Self::empty();
        let from = MADE.files();
        let to = home.files();
        for (from, to, mode) in [
            (from.root_crt(), to.root_crt(), 0o644),
            (from.root_key(), to.root_key(), 0o600),
            (from.sub_crt(), to.sub_crt(), 0o644),
            (from.sub_key(), to.sub_key(), 0o600),
            (from.ca_pem(), to.ca_pem(), 0o644),
            (from.root_pem(), to.root_pem(), 0o644),
        ] {
            put(&to, &std::fs::read(from).expect("read"), mode);
        }
        home
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn files(&self) -> CaFiles {
        CaFiles::below(self.path())
    }

    fn ca(&self, now: u64) -> CertificateAuthority<'_> {
        CertificateAuthority::new(self.files(), &self.rng, now)
    }

    fn issuer(&self, now: u64) -> Issuer<'_> {
        self.ca(now).unlock(&passphrase(SUB)).expect("unlocked")
    }

    fn server(&self, name: &str) -> PathBuf {
        self.path().join("servers").join(name)
    }

    fn place(&self, name: &str) -> ServerFiles {
        ServerFiles::below(&self.server(name))
    }

    fn context(&self, name: &str) -> TlsContext {
        TlsContext::load(&TlsFiles::of(self.path(), &self.server(name)), || NOW + 1).expect("loaded")
    }
}

fn order(server: &str, held: &[&str]) -> ServerOrder {
    ServerOrder::new(id(server), capabilities(held))
}

/// TLS-1: a root, a subordinate and two servers' certificates with capabilities; reading them back gives the ids
/// and capabilities.
#[test]
fn tls_1_certificates_read_back_as_the_servers_and_capabilities_they_were_made_for() {
    for kind in KeyKind::ALL {
        let home = Home::empty();
        let ca = home.ca(NOW);
        let options = CaOptions { kind, ..CaOptions::default() };
        ca.generate_root(&passphrase(ROOT), &options).expect("a root");
        ca.generate_sub(&passphrase(ROOT), &passphrase(SUB), &options).expect("a subordinate");
        ca.generate_ca_files(Existing::Keep).expect("files");
        let mut issuer = home.issuer(NOW);
        let wanted: [(&str, &[&str]); 2] =
            [("web-0@/shop", &["loader", "watch:cart/public"]), ("db-0@/shop/eu1", &[])];
        for (server, held) in wanted {
            let order = ServerOrder { kind, ..order(server, held) };
            issuer
                .issue(&order, &home.place(server.split('@').next().unwrap_or_default()), Existing::Keep)
                .expect("issued");
        }
        for (server, held) in wanted {
            let name = server.split('@').next().unwrap_or_default();
            let view = CertificateView::load(&home.place(name).chain()).expect("read").remove(0);
            let read = view.peer.expect("a server's");
            assert_eq!((&read.server, &read.capabilities), (&id(server), &capabilities(held)));
            assert_eq!(&read.domain, id(server).domain());
            assert_eq!(home.context(name).own(), read, "and a context loads it");
            assert_eq!(PrivateKey::load(&home.place(name).key()).expect("a key").kind(), kind);
        }
    }
}

#[test]
fn openssl_verifies_the_chain_and_the_revocation_list() {
    let home = Home::new();
    let mut issuer = home.issuer(NOW);
    issuer.issue(&order("web-0@/", &["admin"]), &home.place("web-0"), Existing::Keep).expect("issued");
    issuer.write_list().expect("a list");
    let text = |path: PathBuf| path.to_str().expect("a path").to_owned();
    let (root, ca, chain) =
        (text(home.files().root_pem()), text(home.files().ca_pem()), text(home.place("web-0").chain()));
    let at = (NOW + 10).to_string();
    let crl = text(home.files().crl());
    for purpose in ["sslserver", "sslclient"] {
        let verify = [
            "verify",
            "-x509_strict",
            "-attime",
            &at,
            "-purpose",
            purpose,
            "-CAfile",
            &root,
            "-untrusted",
            &ca,
            &chain,
        ];
        let Some(output) = openssl(&verify) else { return };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let check = [
        "verify",
        "-attime",
        &at,
        "-crl_check",
        "-CRLfile",
        &crl,
        "-CAfile",
        &root,
        "-untrusted",
        &ca,
        &chain,
    ];
    let output = openssl(&check).expect("it ran before");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    issuer.revoke(&Target::Server(id("web-0@/"))).expect("revoked");
    let output = openssl(&check).expect("it ran before");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("certificate revoked"), "{said}");

    let show = ["x509", "-in", &chain, "-noout", "-text"];
    let shown = openssl(&show).expect("it ran before");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for part in [
        "URI:odeon:server:web-0@/",
        "URI:odeon:domain:/",
        "URI:odeon:cap:admin",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "X509v3 Basic Constraints: critical",
        "CA:FALSE",
        "Digital Signature",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        "C = UN, O = Odeon, L = Internet, CN = web-0",
    ] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
}

#[test]
fn existing_authorities_are_never_replaced() {
    let home = Home::new();
    let ca = home.ca(NOW);
    let before = std::fs::read(home.files().root_crt()).expect("read");
    let error = ca.generate_root(&passphrase(ROOT), &CaOptions::default()).expect_err("kept");
    assert_eq!(error.code(), "ca-exists");
    assert!(error.to_string().contains("move that directory away"), "{error}");
    let error = ca.generate_sub(&passphrase(ROOT), &passphrase(SUB), &CaOptions::default());
    assert_eq!(error.expect_err("kept").code(), "ca-exists");
    assert_eq!(std::fs::read(home.files().root_crt()).expect("read"), before);
    assert_eq!(ca.generate_ca_files(Existing::Keep).expect_err("kept").code(), "exists");
    ca.generate_ca_files(Existing::Replace).expect("replaced on demand");
}

#[test]
fn a_wrong_passphrase_makes_and_issues_nothing() {
    let home = Home::new();
    let error = home.ca(NOW).unlock(&passphrase(ROOT)).expect_err("another's");
    assert_eq!(error.code(), "wrong-passphrase");
    remove(&[home.files().sub_crt(), home.files().sub_key()]);
    let ca = home.ca(NOW);
    let error = ca.generate_sub(&passphrase(SUB), &passphrase(SUB), &CaOptions::default());
    assert_eq!(error.expect_err("another's").code(), "wrong-passphrase");
    assert!(!home.files().sub_key().exists() && !home.files().sub_crt().exists());
}

#[expect(clippy::disallowed_methods, reason = "a test takes files away")]
fn remove(files: &[PathBuf]) {
    files.iter().for_each(|file| std::fs::remove_file(file).expect("removed"));
}

#[test]
fn the_options_of_an_authority_are_in_its_certificate() {
    let home = Home::empty();
    let ca = home.ca(NOW);
    let subject = Subject {
        country: "CH".to_owned(),
        organization: "Müller, Söhne + Co".to_owned(),
        location: "Zürich".to_owned(),
    };
    let options = CaOptions {
        subject: subject.clone(),
        common_name: Some("The Root".to_owned()),
        kind: KeyKind::P256,
        days: Some(10),
    };
    ca.generate_root(&passphrase(ROOT), &options).expect("a root");
    let options = CaOptions { subject, ..CaOptions::default() };
    ca.generate_sub(&passphrase(ROOT), &passphrase(SUB), &options).expect("a subordinate");
    let root = CertificateView::load(&home.files().root_crt()).expect("read").remove(0);
    assert_eq!(root.subject, r"CN=The Root,L=Zürich,O=Müller\, Söhne \+ Co,C=CH");
    assert!(root.is_authority);
    assert_eq!((root.not_before, root.not_after), (NOW - SKEW_S, NOW + 10 * DAY));
    let sub = CertificateView::load(&home.files().sub_crt()).expect("read").remove(0);
    assert_eq!(sub.issuer, root.subject);
    assert_eq!(sub.subject, r"CN=Müller\, Söhne \+ Co Subordinate CA,L=Zürich,O=Müller\, Söhne \+ Co,C=CH");
    assert_eq!(sub.not_after, root.not_after, "an authority does not outlive the one above it");
    let error = home.ca(NOW + 11 * DAY).unlock(&passphrase(SUB)).expect_err("over");
    assert_eq!(error.code(), "ca-ended");
}

#[test]
fn values_of_a_subject_have_limits() {
    let with = |country: &str, organization: &str| {
        let subject = Subject {
            country: country.to_owned(),
            organization: organization.to_owned(),
            ..Subject::default()
        };
        subject.name("x").map(|_| ()).map_err(|e| e.to_string())
    };
    assert_eq!(with("UN", &"ä".repeat(SUBJECT_VALUE_CHARS_MAX)), Ok(()));
    for (country, organization, said) in [
        ("UN", "ä".repeat(SUBJECT_VALUE_CHARS_MAX + 1), "more than 64"),
        ("UN", " ".to_owned(), "empty"),
        ("UN", "a\nb".to_owned(), "control"),
        ("un", "a".to_owned(), "two upper-case letters"),
        ("UNO", "a".to_owned(), "two upper-case letters"),
        ("", "a".to_owned(), "two upper-case letters"),
    ] {
        let error = with(country, &organization).expect_err("refused");
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_certificate_has_at_least_a_day_and_at_most_ten_years() {
    let home = Home::new();
    let mut issuer = home.issuer(NOW);
    for (days, fits) in [(0, false), (1, true), (DAYS_MAX, true), (DAYS_MAX + 1, false)] {
        let order = ServerOrder { days, ..order("web-0@/", &[]) };
        let issued = issuer.issue(&order, &home.place(&format!("web-{days}")), Existing::Keep);
        assert_eq!(issued.is_ok(), fits, "{days}");
    }
    let long = ServerOrder { days: DAYS_MAX, ..order("web-0@/", &[]) };
    let issued = issuer.issue(&long, &home.place("long"), Existing::Keep).expect("issued");
    let sub = CertificateView::load(&home.files().sub_crt()).expect("read").remove(0);
    assert_eq!(issued.not_after, sub.not_after, "it does not outlive the authority");

    let many: Vec<String> = (0..=64).map(|n| format!("c{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    issuer.issue(&order("many@/", &many[..64]), &home.place("many"), Existing::Keep).expect("the most");
    let error =
        issuer.issue(&order("more@/", &many), &home.place("more"), Existing::Keep).expect_err("too many");
    assert_eq!(error.code(), "ca-capabilities");
}

#[test]
fn a_servers_certificate_is_replaced_only_on_demand() {
    let home = Home::new();
    let (mut issuer, place) = (home.issuer(NOW), home.place("web-0"));
    let first = issuer.issue(&order("web-0@/", &[]), &place, Existing::Keep).expect("issued");
    let error = issuer.issue(&order("web-0@/", &["admin"]), &place, Existing::Keep).expect_err("kept");
    assert_eq!(error.code(), "exists");
    assert_eq!(home.context("web-0").own(), first);
    assert_eq!(issuer.issued().len(), 1, "what was not issued is not in the book");
    let second = issuer.issue(&order("web-0@/", &["admin"]), &place, Existing::Replace).expect("replaced");
    assert_eq!(home.context("web-0").own(), second);
    assert_ne!(first.serial, second.serial);
}

#[test]
fn a_renewed_certificate_says_the_same_for_longer_and_keeps_its_key() {
    let home = Home::new();
    let place = home.place("web-0");
    let order = ServerOrder { kind: KeyKind::P256, ..order("web-0@/shop", &["loader"]) };
    let first = home.issuer(NOW).issue(&order, &place, Existing::Keep).expect("issued");
    let key = PrivateKey::load(&place.key()).expect("a key").to_pkcs8();
    let later = NOW + 60 * DAY;
    let second = home.issuer(later).renew(&first.server, &place, RenewedKey::Same, 30).expect("renewed");
    assert_eq!((&second.server, &second.capabilities), (&first.server, &first.capabilities));
    assert_eq!(second.not_after, later + 30 * DAY);
    assert_eq!(PrivateKey::load(&place.key()).expect("a key").to_pkcs8(), key);
    let views = [&first, &second].map(|peer| peer.issuer.clone());
    assert_eq!(views[0], views[1]);

    let new = RenewedKey::New(KeyKind::Ed25519);
    let third = home.issuer(later).renew(&first.server, &place, new, 30).expect("renewed");
    assert_eq!(PrivateKey::load(&place.key()).expect("a key").kind(), KeyKind::Ed25519);
    let listed: Vec<String> =
        home.files().issued().expect("the book").into_iter().map(|i| i.serial).collect();
    assert_eq!(listed, [first.serial, second.serial, third.serial]);

    let error =
        home.issuer(later).renew(&id("web-1@/shop"), &place, RenewedKey::Same, 30).expect_err("another's");
    assert_eq!(error.code(), "another-server");
    let error = home.issuer(later).renew(&id("a@/"), &home.place("a"), RenewedKey::Same, 30);
    assert_eq!(error.expect_err("none").code(), "missing");
}

#[test]
fn a_revoked_certificate_is_refused_once_the_list_is_loaded() {
    let home = Home::new();
    let mut issuer = home.issuer(NOW);
    issuer.write_list().expect("a list");
    for name in ["good", "bad"] {
        issuer.issue(&order(&format!("{name}@/"), &[]), &home.place(name), Existing::Keep).expect("issued");
    }
    let (good, bad) = (home.context("good"), home.context("bad"));
    assert!(!good.is_revoked(&bad.own()));
    let revoked = issuer.revoke(&Target::Server(id("bad@/"))).expect("revoked");
    assert_eq!(revoked.iter().map(|i| &i.serial).collect::<Vec<_>>(), [&bad.own().serial]);
    assert!(!good.is_revoked(&bad.own()), "nothing was loaded yet");
    good.reload().expect("loaded anew");
    assert!(good.is_revoked(&bad.own()) && !good.is_revoked(&good.own()));
    let same_number = PeerCertificate { issuer: "CN=Another".to_owned(), ..bad.own() };
    assert!(!good.is_revoked(&same_number), "a list speaks of its own authority alone");
    for error in crate::tls::tests::refusals(&good, &bad) {
        assert_eq!((error.code(), error.server), ("certificate-revoked", Some(id("bad@/"))));
    }
    assert_eq!(bad.reload().expect_err("its own").code(), "certificate-revoked");

    put(&home.files().crl(), b"half a list", 0o644);
    let again = issuer.revoke(&Target::Server(id("bad@/"))).expect("once more");
    assert_eq!(again, revoked);
    good.reload().expect("loaded anew");
    assert!(good.is_revoked(&bad.own()), "the list is there again");
    let error = issuer.revoke(&Target::Server(id("never@/"))).expect_err("nothing");
    assert_eq!(error.code(), "not-issued");
    let error = issuer.renew(&id("bad@/"), &home.place("bad"), RenewedKey::Same, 30).expect_err("revoked");
    assert_eq!(error.code(), "certificate-revoked");
    let again = issuer.issue(&order("bad@/", &[]), &home.place("bad"), Existing::Replace).expect("a new one");
    assert!(!home.context("good").is_revoked(&again));
    let by_serial = Target::serial(&again.serial).expect("a serial number");
    assert_eq!(issuer.revoke(&by_serial).expect("revoked").len(), 1);
}

#[test]
fn a_list_that_no_authority_of_ours_made_is_not_loaded() {
    let (home, other) = (Home::new(), Home::empty());
    let ca = other.ca(NOW);
    let options = CaOptions { kind: KeyKind::P256, ..CaOptions::default() };
    ca.generate_root(&passphrase(ROOT), &options).expect("a root");
    ca.generate_sub(&passphrase(ROOT), &passphrase(SUB), &options).expect("a subordinate");
    other.issuer(NOW).write_list().expect("a list");
    home.issuer(NOW).issue(&order("web-0@/", &[]), &home.place("web-0"), Existing::Keep).expect("issued");
    let list = std::fs::read(other.files().crl()).expect("read");
    put(&home.files().crl(), &list, 0o644);
    let files = TlsFiles::of(home.path(), &home.server("web-0"));
    let error = TlsContext::load(&files, || NOW).expect_err("a stranger's list");
    assert!(error.to_string().contains("no authority of this ensemble has signed it"), "{error}");
    put(&home.files().crl(), b"", 0o644);
    let error = TlsContext::load(&files, || NOW).expect_err("an empty list");
    assert!(error.to_string().contains("there is none in it"), "{error}");
}

#[test]
fn an_ended_certificate_leaves_the_list_and_lists_are_numbered() {
    let home = Home::new();
    let mut issuer = home.issuer(NOW);
    let short = ServerOrder { days: 1, ..order("short@/", &[]) };
    issuer.issue(&short, &home.place("short"), Existing::Keep).expect("issued");
    issuer.revoke(&Target::Server(id("short@/"))).expect("revoked");
    drop(issuer);
    let list = |path: PathBuf| {
        use x509_cert::der::DecodePem as _;
        x509_cert::crl::CertificateList::<x509_cert::certificate::Rfc5280>::from_pem(
            std::fs::read(path).expect("read"),
        )
        .expect("a list")
    };
    let first = list(home.files().crl());
    assert_eq!(first.tbs_cert_list.revoked_certificates.expect("one").len(), 1);
    home.issuer(NOW + 2 * DAY).write_list().expect("a list");
    let second = list(home.files().crl());
    assert!(second.tbs_cert_list.revoked_certificates.is_none());
    let update = second.tbs_cert_list.next_update.expect("a next update").to_unix_duration().as_secs();
    assert_eq!(update, NOW + 2 * DAY + u64::from(CRL_DAYS) * DAY);
    let book = std::fs::read_to_string(home.files().index()).expect("the book");
    // With the first certificate, at the revocation, and now.
    assert!(book.starts_with("odeon-ca-index 1 crl 3\n"), "{book}");
}

#[test]
fn the_subordinate_serves_one_command_at_a_time() {
    let home = Home::new();
    let issuer = home.issuer(NOW);
    assert_eq!(home.ca(NOW).unlock(&passphrase(SUB)).expect_err("taken").code(), "ca-busy");
    drop(issuer);
    home.issuer(NOW);
}

#[test]
fn a_damaged_book_or_a_foreign_key_is_noticed() {
    let home = Home::new();
    let unlock = || home.ca(NOW).unlock(&passphrase(SUB)).expect_err("refused");
    put(&home.files().index(), b"odeon-ca-index 1 crl 0\nnonsense\n", 0o600);
    let error = unlock();
    assert!(error.to_string().contains("line 2: it has 1 fields instead of 6"), "{error}");
    put(&home.files().index(), b"odeon-ca-index 2 crl 0\n", 0o600);
    assert_eq!(unlock().code(), "ca-damaged");
    remove(&[home.files().index()]);
    let foreign = PrivateKey::generate(KeyKind::Ed25519, &Seeded::default());
    foreign
        .save_protected(&home.files().sub_key(), &passphrase(SUB), Existing::Replace, &home.rng)
        .expect("saved");
    assert_eq!(unlock().code(), "key-mismatch");
}

#[test]
fn the_authorities_certificates_are_public_and_their_keys_are_not() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    home.issuer(NOW).issue(&order("web-0@/", &[]), &home.place("web-0"), Existing::Keep).expect("issued");
    let mode = |path: PathBuf| path.metadata().expect("metadata").permissions().mode() & 0o777;
    let made = MADE.files();
    for path in [made.root_crt(), made.sub_crt(), made.ca_pem(), made.root_pem(), home.place("web-0").chain()]
    {
        assert_eq!(mode(path.clone()), 0o644, "{}", path.display());
    }
    for path in [made.root_key(), made.sub_key(), home.place("web-0").key(), home.files().index()] {
        assert_eq!(mode(path.clone()), 0o600, "{}", path.display());
    }
    assert_eq!(CertificateView::load(&made.ca_pem()).expect("read").len(), 2);
}

#[test]
fn a_servers_subject_is_what_the_order_says() {
    let home = Home::new();
    let mut issuer = home.issuer(NOW);
    assert_eq!(issuer.subject(), Subject::default(), "by default, the authority's");
    let subject =
        Subject { country: "CH".to_owned(), organization: "A Shop".to_owned(), location: "Basel".to_owned() };
    let order = ServerOrder { subject, ..order("web-0@/shop", &[]) };
    let place = home.place("web-0");
    let files = TlsFiles::of(home.path(), &home.server("web-0"));
    assert!(!files.are_there());
    issuer.issue(&order, &place, Existing::Keep).expect("issued");
    assert!(files.are_there());
    let view = CertificateView::load(&place.chain()).expect("read").remove(0);
    assert_eq!(view.subject, "CN=web-0,L=Basel,O=A Shop,C=CH");
    issuer.renew(&order.server, &place, RenewedKey::Same, 30).expect("renewed");
    let view = CertificateView::load(&place.chain()).expect("read").remove(0);
    assert_eq!(view.subject, "CN=web-0,L=Basel,O=A Shop,C=CH", "renewed with the same");
}

#[test]
fn only_what_was_issued_here_and_is_unchanged_is_renewed() {
    let (home, other) = (Home::new(), Home::new());
    let place = home.place("web-0");
    let order_of = |held: &[&str]| order("web-0@/shop", held);
    home.issuer(NOW).issue(&order_of(&["loader"]), &place, Existing::Keep).expect("issued");
    let own = std::fs::read_to_string(place.chain()).expect("read");

    // Signed by the same subordinate, and in no book here.
    other.rng.next_u64();
    other.issuer(NOW).issue(&order_of(&["admin"]), &other.place("web-0"), Existing::Keep).expect("issued");
    put(&place.chain(), &std::fs::read(other.place("web-0").chain()).expect("read"), 0o644);
    let renew = || home.issuer(NOW).renew(&id("web-0@/shop"), &place, RenewedKey::Same, 30);
    assert_eq!(renew().expect_err("another book's").code(), "not-ours");

    // The number of what was issued, and other words.
    let leaf = x509_cert::Certificate::from_pem(
        own.split_inclusive("-----END CERTIFICATE-----\n").next().expect("one"),
    );
    let mut der = leaf.expect("a certificate").to_der().expect("encodes");
    let word = b"odeon:cap:loader";
    let at = der.windows(word.len()).position(|window| window == word).expect("it is there");
    der[at..at + word.len()].copy_from_slice(b"odeon:cap:watche");
    let changed = x509_cert::Certificate::from_der(&der).expect("well-formed");
    put(
        &place.chain(),
        changed.to_pem(x509_cert::der::pem::LineEnding::LF).expect("encodes").as_bytes(),
        0o644,
    );
    assert_eq!(renew().expect_err("changed").code(), "not-ours");

    put(&place.chain(), own.as_bytes(), 0o644);
    assert_eq!(renew().expect("its own").capabilities, capabilities(&["loader"]));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test loses a file")]
fn a_revocation_list_that_went_missing_is_no_reason_to_trust_again() {
    let home = Home::new();
    home.issuer(NOW).issue(&order("web-0@/", &[]), &home.place("web-0"), Existing::Keep).expect("issued");
    home.context("web-0");
    std::fs::rename(home.files().crl(), home.path().join("elsewhere")).expect("moved");
    let files = TlsFiles::of(home.path(), &home.server("web-0"));
    let error = TlsContext::load(&files, || NOW).expect_err("no list");
    assert_eq!(error.code(), "missing");
    assert!(error.to_string().contains("revocation list"), "{error}");
    // Who has no certificate needs no list.
    assert!(!TlsFiles::of(home.path(), &home.server("web-1")).are_there());
    // One that cannot be looked at is not taken for none.
    put(&home.server("web-2").join("tls"), b"no directory", 0o600);
    assert!(TlsFiles::of(home.path(), &home.server("web-2")).are_there());
}

#[test]
fn what_stands_below_a_revoked_subordinate_is_refused_when_it_is_verified_again() {
    let home = Home::new();
    let files = home.files();
    let load = |path: &Path| {
        x509_cert::Certificate::from_pem(std::fs::read(path).expect("read")).expect("a certificate")
    };
    let (root, first) = (load(&files.root_crt()), load(&files.sub_crt()));
    let root_key = PrivateKey::load_protected(&files.root_key(), &passphrase(ROOT)).expect("unlocked");
    let make = |holder, key: &PrivateKey, (parent, parent_key): (&x509_cert::Certificate, &PrivateKey)| {
        let subject = Subject::default().name("second").expect("a subject");
        let order = Order { holder, subject, not_before: NOW - 60, not_after: NOW + DAY };
        let parent = Parent { name: parent.tbs_certificate().subject(), key: parent_key };
        certify(order, key, Some(&parent), &home.rng).expect("made")
    };
    let (second_key, own_key) =
        (PrivateKey::generate(KeyKind::P256, &home.rng), PrivateKey::generate(KeyKind::P256, &home.rng));
    let second = make(Holder::Sub, &second_key, (&root, &root_key));
    let own = make(Holder::server(&id("good@/"), &capabilities(&[])), &own_key, (&second, &second_key));
    let text = |all: &[&x509_cert::Certificate]| -> String {
        all.iter().map(|one| one.to_pem(x509_cert::der::pem::LineEnding::LF).expect("encodes")).collect()
    };
    let place = home.place("good");
    put(&place.chain(), text(&[&own, &second]).as_bytes(), 0o644);
    own_key.save(&place.key(), Existing::Keep, &home.rng).expect("saved");
    home.issuer(NOW).issue(&order("bad@/", &[]), &home.place("bad"), Existing::Keep).expect("issued");
    let bad = home.context("bad");

    // The root's own list: nobody, and then the first subordinate.
    let list = |revoked: Vec<&Issued>| {
        let listing = crl::Listing { number: 1, this_update: NOW, next_update: NOW + DAY, revoked };
        let list = crl::revocation_list(&listing, &root, &root_key).expect("a list");
        put(&files.crl(), list.as_bytes(), 0o644);
    };
    list(vec![]);
    let good = home.context("good");
    let shown = crate::tls::tests::shown(&bad, &good);
    good.verify_again(&shown).expect("nothing is revoked");
    let serial = first.tbs_certificate().serial_number().as_bytes();
    let serial: String = serial.iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("{serial} {NOW} {} {NOW} sub@/ -", NOW + DAY);
    list(vec![&line.parse().expect("a line")]);
    good.verify_again(&shown).expect("nothing was loaded yet");
    good.reload().expect("its own is below another");
    assert!(!good.is_revoked(&bad.own()), "the leaf itself is on no list");
    assert_eq!(good.verify_again(&shown).expect_err("revoked").code(), "certificate-revoked");
}
