//! Tests of handshakes: who gets in, who is refused and why, and what a reload changes.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::{ClientConnection, ServerConnection};

use super::*;
use crate::ca::Holder;
use crate::certificate::Usage;
use crate::cookie::Existing;
use crate::keys::KeyKind;
use crate::testing::{DAY, Entity, NOW, Pki, capabilities, id, put};
use odeon_core::Capabilities;

/// A clock that a test sets.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn at(unix_s: u64) -> Self {
        Self(Arc::new(AtomicU64::new(unix_s)))
    }

    fn set(&self, unix_s: u64) {
        self.0.store(unix_s, Ordering::Relaxed);
    }

    fn context(&self, files: &TlsFiles) -> Result<TlsContext, TlsError> {
        let clock = self.0.clone();
        TlsContext::load(files, move || clock.load(Ordering::Relaxed))
    }
}

/// The context of a good server, whose chain is its own certificate and the subordinate's.
fn context(pki: &Pki, server: &str) -> TlsContext {
    let files = pki.files(server, &pki.server(server), &[&pki.sub, &pki.root]);
    Clock::at(NOW).context(&files).expect("loaded")
}

/// A context that shows any certificate, as a stranger's program would: what is loaded is not looked at.
fn stranger(pki: &Pki, shown: &Entity, above: &[&Entity]) -> TlsContext {
    let context = context(pki, "stranger@/");
    let chain = std::iter::once(&shown).chain(above).map(|entity| {
        use x509_cert::der::Encode as _;
        entity.certificate.to_der().expect("an encoding").into()
    });
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(shown.key.to_pkcs8().to_vec().into());
    let signer = ring::default_provider().key_provider.load_private_key(key).expect("a key");
    let mut loaded = context.0.current.loaded.write().expect("not poisoned");
    let old = Arc::get_mut(&mut loaded).expect("nobody else has it");
    old.key = Arc::new(CertifiedKey::new(chain.collect(), signer));
    drop(loaded);
    context
}

/// The two ends after a handshake.
struct Ends {
    dialler: ClientConnection,
    listener: ServerConnection,
}

/// Which end refused, and why.
type Refused = (Usage, rustls::Error);

/// Shakes hands in memory, until nobody has anything to say.
fn shake(dialler: Arc<ClientConfig>, listener: Arc<ServerConfig>) -> Result<Ends, Refused> {
    let dialler = ClientConnection::new(dialler, server_name()).expect("a configuration");
    let listener = ServerConnection::new(listener).expect("a configuration");
    let mut ends = Ends { dialler, listener };
    loop {
        let mut wire = Vec::new();
        while ends.dialler.wants_write() {
            ends.dialler.write_tls(&mut wire).expect("memory");
        }
        ends.listener.read_tls(&mut wire.as_slice()).expect("memory");
        ends.listener.process_new_packets().map_err(|e| (Usage::Listening, e))?;
        let mut back = Vec::new();
        while ends.listener.wants_write() {
            ends.listener.write_tls(&mut back).expect("memory");
        }
        ends.dialler.read_tls(&mut back.as_slice()).expect("memory");
        ends.dialler.process_new_packets().map_err(|e| (Usage::Dialling, e))?;
        if wire.is_empty() && back.is_empty() {
            return Ok(ends);
        }
    }
}

fn link(dialler: &TlsContext, listener: &TlsContext) -> Result<Ends, Refused> {
    shake(dialler.client_config(), listener.server_config())
}

/// What the dialler has shown to the listener.
pub(crate) fn shown(dialler: &TlsContext, listener: &TlsContext) -> Shown {
    let ends = link(dialler, listener).map_err(|(_, error)| error).expect("no fault");
    listener.shown(&ends.listener, false).expect("a certificate")
}

/// Why `by` refuses whoever shows `shown`, dialling and listening.
pub(crate) fn refusals(by: &TlsContext, shown: &TlsContext) -> [CertificateError; 2] {
    let why = |refused: Result<Ends, Refused>, usage| {
        let (by, error) = refused.err().expect("refused");
        assert_eq!(by, usage, "{error}");
        refusal(&error).unwrap_or_else(|| panic!("not for the certificate: {error}"))
    };
    [why(link(shown, by), Usage::Listening), why(link(by, shown), Usage::Dialling)]
}

/// Checks that a good server refuses whoever shows this, in both directions, and says of whom it speaks.
fn refused(pki: &Pki, shown: &Entity, above: &[&Entity], code: &str, server: Option<&str>) {
    let (good, shown) = (context(pki, "good@/"), stranger(pki, shown, above));
    for error in refusals(&good, &shown) {
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(error.server, server.map(id), "{error}");
    }
}

#[test]
fn two_servers_know_each_other_after_a_handshake_with_both_kinds_of_keys() {
    for kind in KeyKind::ALL {
        let pki = Pki::new(kind);
        let (dialler, listener) = (context(&pki, "web-0@/shop"), context(&pki, "db-0@/shop/eu1"));
        let mut ends = link(&dialler, &listener).expect("a link");
        let seen = peer(&ends.listener).expect("a peer");
        assert_eq!(seen, dialler.own());
        assert_eq!((seen.server, seen.domain), (id("web-0@/shop"), "/shop".parse().expect("a domain")));
        assert_eq!(seen.capabilities, capabilities(&["loader"]));
        assert_eq!(peer(&ends.dialler).expect("a peer"), listener.own());
        assert_eq!(ends.dialler.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(ends.dialler.handshake_kind(), Some(rustls::HandshakeKind::Full));

        ends.dialler.writer().write_all(b"hello").expect("memory");
        let mut wire = Vec::new();
        ends.dialler.write_tls(&mut wire).expect("memory");
        ends.listener.read_tls(&mut wire.as_slice()).expect("memory");
        ends.listener.process_new_packets().expect("processed");
        let mut heard = [0; 5];
        ends.listener.reader().read_exact(&mut heard).expect("heard");
        assert_eq!(&heard, b"hello");
    }
}

#[test]
fn a_root_is_not_shown_since_whoever_trusts_it_has_it() {
    let pki = Pki::new(KeyKind::Ed25519);
    // Their chains end with the root.
    let ends = link(&context(&pki, "web-0@/"), &context(&pki, "db-0@/")).expect("a link");
    let seen = ends.listener.peer_certificates().expect("some");
    assert_eq!(seen.len(), 2, "the server's, and the subordinate's");
}

#[test]
fn what_peers_show_above_their_own_certificates_is_kept_once() {
    let pki = Pki::new(KeyKind::Ed25519);
    let listener = context(&pki, "db-0@/");
    let peers: Vec<_> = ["web-0@/", "web-1@/"].map(|name| shown(&context(&pki, name), &listener)).into();
    assert_ne!(peers[0].leaf, peers[1].leaf);
    assert!(!peers[0].others.is_empty() && Arc::ptr_eq(&peers[0].others, &peers[1].others));
    // And not longer than anybody needs it; past the limit each keeps its own.
    let others = Arc::downgrade(&peers[0].others);
    drop(peers);
    assert!(others.upgrade().is_none());
    let list = |n: usize| [CertificateDer::from(n.to_be_bytes().to_vec())];
    let kept: Vec<_> = (0..ISSUER_LISTS_MAX).map(|n| listener.0.issuers.share(&list(n))).collect();
    let last = listener.0.issuers.share(&list(ISSUER_LISTS_MAX - 1));
    assert!(Arc::ptr_eq(&last, &kept[ISSUER_LISTS_MAX - 1]));
    let past = [(); 2].map(|()| listener.0.issuers.share(&list(ISSUER_LISTS_MAX)));
    assert!(!Arc::ptr_eq(&past[0], &past[1]) && past[0] == past[1]);
}

#[test]
fn no_handshake_is_resumed() {
    let pki = Pki::new(KeyKind::Ed25519);
    let (dialler, listener) = (context(&pki, "a@/"), context(&pki, "b@/"));
    for _ in 0..3 {
        let ends = link(&dialler, &listener).expect("a link");
        assert_eq!(ends.dialler.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(ends.dialler.tls13_tickets_received(), 0);
    }
}

#[test]
fn another_protocol_inside_and_an_unknown_dialler_are_refused() {
    let pki = Pki::new(KeyKind::Ed25519);
    let context = context(&pki, "a@/");
    for protocols in [vec![], vec![b"h2".to_vec()]] {
        let mut config = (*context.client_config()).clone();
        config.alpn_protocols = protocols;
        let (by, _) = shake(Arc::new(config), context.server_config()).err().expect("refused");
        assert_eq!(by, Usage::Listening);
    }
    // A listener that names no protocol gets a handshake, and is not taken for a peer.
    let mut config = (*context.server_config()).clone();
    config.alpn_protocols = vec![];
    let ends = shake(context.client_config(), Arc::new(config)).expect("a handshake");
    assert_eq!(peer(&ends.dialler), Err(HandshakeError::Protocol));

    let mut config = (*context.client_config()).clone();
    config.client_auth_cert_resolver = Arc::new(Nobody);
    let (by, error) = shake(Arc::new(config), context.server_config()).err().expect("refused");
    assert_eq!((by, error), (Usage::Listening, rustls::Error::NoCertificatesPresented));
}

/// A dialler without a certificate.
#[derive(Debug)]
struct Nobody;

impl ResolvesClientCert for Nobody {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[test]
fn a_certificate_that_is_over_is_refused() {
    let pki = Pki::new(KeyKind::Ed25519);
    let over = pki.bent("web-0@/", &pki.sub, |order| order.not_after = NOW - 1);
    refused(&pki, &over, &[&pki.sub], "certificate-expired", Some("web-0@/"));
    let last = pki.bent("web-0@/", &pki.sub, |order| order.not_after = NOW);
    link(&context(&pki, "good@/"), &stranger(&pki, &last, &[&pki.sub])).expect("its last second");
}

#[test]
fn a_certificate_that_has_not_begun_is_refused() {
    let pki = Pki::new(KeyKind::P256);
    let early = pki.bent("web-0@/", &pki.sub, |order| order.not_before = NOW + 1);
    refused(&pki, &early, &[&pki.sub], "certificate-not-yet-valid", Some("web-0@/"));
    let first = pki.bent("web-0@/", &pki.sub, |order| order.not_before = NOW);
    link(&context(&pki, "good@/"), &stranger(&pki, &first, &[&pki.sub])).expect("its first second");
}

#[test]
fn a_certificate_is_good_only_for_the_side_that_its_usage_names() {
    use crate::ca::{CLIENT_AUTH, SERVER_AUTH};
    let pki = Pki::new(KeyKind::Ed25519);
    let good = context(&pki, "good@/");
    let only = |purposes: Vec<_>| {
        let bent = pki.bent("web-0@/", &pki.sub, |order| {
            let Holder::Server { purposes: all, .. } = &mut order.holder else { panic!("no server") };
            *all = purposes;
        });
        stranger(&pki, &bent, &[&pki.sub])
    };
    let dialler = only(vec![CLIENT_AUTH]);
    link(&dialler, &good).expect("a dialler");
    let (_, error) = link(&good, &dialler).err().expect("no listener");
    assert_eq!(
        refusal(&error).expect("a reason").fault,
        CertificateFault::WrongUsage { usage: Usage::Listening }
    );
    let listener = only(vec![SERVER_AUTH]);
    link(&good, &listener).expect("a listener");
    let (_, error) = link(&listener, &good).err().expect("no dialler");
    assert_eq!(
        refusal(&error).expect("a reason").fault,
        CertificateFault::WrongUsage { usage: Usage::Dialling }
    );
    // None at all, which X.509 takes for all, is none.
    for error in refusals(&good, &only(vec![])) {
        assert_eq!(error.code(), "certificate-wrong-usage");
    }
}

#[test]
fn a_certificate_issued_by_a_server_is_refused() {
    let pki = Pki::new(KeyKind::Ed25519);
    let server = pki.server("evil@/");
    let forged = pki.bent("admin@/", &server, |_| {});
    refused(&pki, &forged, &[&server, &pki.sub], "certificate-issuer-may-not", Some("admin@/"));
}

#[test]
fn an_authority_below_the_subordinate_is_refused() {
    let pki = Pki::new(KeyKind::Ed25519);
    let below = pki.bent("evil@/", &pki.sub, |order| order.holder = Holder::Sub);
    let forged = pki.bent("admin@/", &below, |_| {});
    refused(&pki, &forged, &[&below, &pki.sub], "certificate-issuer-may-not", Some("admin@/"));
}

#[test]
fn an_authority_is_no_server() {
    let pki = Pki::new(KeyKind::Ed25519);
    refused(&pki, &pki.sub, &[&pki.root], "certificate-is-authority", None);
}

#[test]
fn a_bent_signature_is_refused() {
    use x509_cert::der::{Decode as _, Encode as _};
    for kind in KeyKind::ALL {
        let pki = Pki::new(kind);
        let mut server = pki.server("web-0@/");
        let mut der = server.certificate.to_der().expect("an encoding");
        // Within the signature, the last bytes of the certificate.
        let at = der.len() - 5;
        der[at] ^= 1;
        server.certificate = x509_cert::Certificate::from_der(&der).expect("still a certificate");
        refused(&pki, &server, &[&pki.sub], "certificate-bad-signature", Some("web-0@/"));
    }
}

#[test]
fn a_stolen_certificate_without_its_key_is_refused() {
    let pki = Pki::new(KeyKind::Ed25519);
    let (owner, thief) = (pki.server("web-0@/"), pki.server("thief@/"));
    let stolen = Entity { certificate: owner.certificate, key: thief.key };
    for error in refusals(&context(&pki, "good@/"), &stranger(&pki, &stolen, &[&pki.sub])) {
        assert_eq!(error.code(), "certificate-bad-signature");
    }
}

#[test]
fn an_unknown_issuer_is_refused() {
    let (pki, theirs) = (Pki::new(KeyKind::Ed25519), Pki::called(KeyKind::P256, "another root", 1));
    let alien = theirs.server("web-0@/");
    refused(&pki, &alien, &[&theirs.sub, &theirs.root], "certificate-unknown-issuer", Some("web-0@/"));
    // The subordinate does not come along, and is not known by itself.
    let lonely = pki.server("web-0@/");
    refused(&pki, &lonely, &[], "certificate-unknown-issuer", Some("web-0@/"));
}

#[test]
fn a_root_of_the_same_name_is_not_the_root() {
    let pki = Pki::new(KeyKind::Ed25519);
    for kind in KeyKind::ALL {
        let theirs = Pki::called(kind, "root", 1);
        let subject = |pki: &Pki| pki.root.certificate.tbs_certificate().subject().clone();
        assert_eq!(subject(&pki), subject(&theirs));
        let alien = theirs.server("web-0@/");
        refused(&pki, &alien, &[&theirs.sub], "certificate-bad-signature", Some("web-0@/"));
        refused(&pki, &alien, &[&theirs.sub, &theirs.root], "certificate-bad-signature", Some("web-0@/"));
    }
}

#[test]
fn a_certificate_must_name_one_server_and_its_domain() {
    let pki = Pki::new(KeyKind::Ed25519);
    let many: Vec<String> = (0..=64).map(|n| format!("odeon:cap:c{n}")).collect();
    let many: Vec<&str> =
        ["odeon:server:a@/", "odeon:domain:/"].into_iter().chain(many.iter().map(String::as_str)).collect();
    let cases: &[(&[&str], &str, Option<&str>)] = &[
        (&[], "certificate-no-server", None),
        (&["https://web-0.example"], "certificate-no-server", None),
        (&["odeon:domain:/"], "certificate-no-server", None),
        (&["odeon:server:a@/", "odeon:server:b@/", "odeon:domain:/"], "certificate-several-servers", None),
        (&["odeon:server:a@/", "odeon:server:a@/", "odeon:domain:/"], "certificate-several-servers", None),
        (&["odeon:server:a@/shop", "odeon:domain:/"], "certificate-domain-contradicts", Some("a@/shop")),
        (&["odeon:server:a@/"], "certificate-no-domain", Some("a@/")),
        (
            &["odeon:server:a@/", "odeon:domain:/", "odeon:domain:/"],
            "certificate-several-domains",
            Some("a@/"),
        ),
        (&["odeon:server:a", "odeon:domain:/"], "certificate-bad-name", None),
        (&["odeon:server:17@/", "odeon:domain:/"], "certificate-bad-name", None),
        (&["odeon:server:a@/", "odeon:domain:/", "odeon:cap:ADMIN"], "certificate-bad-name", None),
        (&["odeon:server:a@/", "odeon:domain:/", "odeon:role:web"], "certificate-unknown-name", None),
        (&["ODEON:server:a@/", "odeon:domain:/"], "certificate-unknown-name", None),
        (&many, "certificate-too-many-capabilities", Some("a@/")),
    ];
    for (uris, code, server) in cases {
        let bent = named(&pki, uris);
        refused(&pki, &bent, &[&pki.sub], code, *server);
    }
    let fits = named(&pki, &many[..many.len() - 1]);
    let ends =
        link(&context(&pki, "good@/"), &stranger(&pki, &fits, &[&pki.sub])).expect("the most that fit");
    assert_eq!(peer(&ends.dialler).expect("a peer").capabilities.iter().count(), 64);
    let other = named(&pki, &["odeon:server:a@/", "odeon:domain:/", "https://a.example"]);
    let ends =
        link(&context(&pki, "good@/"), &stranger(&pki, &other, &[&pki.sub])).expect("others do not matter");
    assert_eq!(peer(&ends.dialler).expect("a peer").capabilities, Capabilities::none());
}

/// A certificate with these URIs.
fn named(pki: &Pki, named: &[&str]) -> Entity {
    pki.bent("a@/", &pki.sub, |order| {
        let Holder::Server { uris, .. } = &mut order.holder else { panic!("no server") };
        *uris = named.iter().map(ToString::to_string).collect();
    })
}

#[test]
fn a_chain_has_a_longest_length() {
    let pki = Pki::new(KeyKind::Ed25519);
    let server = pki.server("web-0@/");
    let above: Vec<&Entity> =
        std::iter::repeat_n(&pki.root, INTERMEDIATES_MAX - 1).chain([&pki.sub]).collect();
    link(&context(&pki, "good@/"), &stranger(&pki, &server, &above)).expect("the longest");
    let longer: Vec<&Entity> = above.into_iter().chain([&pki.root]).collect();
    refused(&pki, &server, &longer, "certificate-chain-too-long", None);
}

#[test]
fn a_listener_goes_on_with_what_was_loaded_anew() {
    let pki = Pki::new(KeyKind::Ed25519);
    let clock = Clock::at(NOW);
    let files = pki.files("web-0", &pki.server("web-0@/"), &[&pki.sub]);
    let listener = clock.context(&files).expect("loaded");
    let clone = listener.clone();
    let (in_use, dialler) = (listener.server_config(), context(&pki, "good@/"));
    let before = listener.own();
    let standing = shake(dialler.client_config(), in_use.clone()).expect("a link");

    pki.files("web-0", &pki.server("web-0@/"), &[&pki.sub]);
    clone.reload().expect("loaded anew");
    assert_ne!(listener.own().fingerprint, before.fingerprint);
    let ends = shake(dialler.client_config(), in_use.clone()).expect("a link");
    assert_eq!(peer(&ends.dialler).expect("a peer"), listener.own(), "the new one");
    assert_eq!(peer(&standing.dialler).expect("a peer"), before, "the standing link goes on");

    // A bad file changes nothing.
    let now = listener.own();
    put(&files.chain, b"nonsense", 0o644);
    assert_eq!(listener.reload().expect_err("refused").code(), "unusable");
    pki.files("web-0", &pki.server("another@/"), &[&pki.sub]);
    let error = listener.reload().expect_err("another server's");
    assert!(error.to_string().contains("it names another@/, and this is web-0@/"), "{error}");
    assert_eq!(listener.own(), now);
    shake(dialler.client_config(), in_use).expect("a link");
}

#[test]
fn time_passes_for_a_context_that_is_loaded() {
    let pki = Pki::new(KeyKind::Ed25519);
    let clock = Clock::at(NOW);
    let short = pki.bent("web-0@/", &pki.sub, |order| order.not_after = NOW + DAY);
    let short = stranger(&pki, &short, &[&pki.sub]);
    let files = pki.files("good", &pki.server("good@/"), &[&pki.sub]);
    let good = clock.context(&files).expect("loaded");
    link(&good, &short).expect("a link");
    clock.set(NOW + DAY + 1);
    let (by, error) = link(&good, &short).err().expect("over");
    assert_eq!((by, refusal(&error).expect("a reason").code()), (Usage::Dialling, "certificate-expired"));
}

#[test]
fn what_a_peer_would_refuse_is_not_loaded() {
    let pki = Pki::new(KeyKind::Ed25519);
    let load = |server: &Entity, above: &[&Entity]| {
        Clock::at(NOW).context(&pki.files("web-0", server, above)).expect_err("refused")
    };
    let over = pki.bent("web-0@/", &pki.sub, |order| order.not_after = NOW - 1);
    assert_eq!(load(&over, &[&pki.sub]).code(), "certificate-expired");
    assert_eq!(load(&pki.server("web-0@/"), &[]).code(), "certificate-unknown-issuer");
    let (one, other) = (pki.server("web-0@/"), pki.server("web-0@/"));
    let mixed = Entity { certificate: one.certificate, key: other.key };
    assert_eq!(load(&mixed, &[&pki.sub]).code(), "key-mismatch");

    let files = pki.files("web-0", &pki.server("web-0@/"), &[&pki.sub]);
    put(&files.roots, pki.sub.pem().as_bytes(), 0o644);
    let error = Clock::at(NOW).context(&files).expect_err("no root");
    assert!(error.to_string().contains("none has signed itself"), "{error}");
    let files = pki.files("web-0", &pki.server("web-0@/"), &[&pki.sub]);
    put(&files.roots, format!("{}{}", pki.sub.pem(), pki.root.pem()).as_bytes(), 0o644);
    Clock::at(NOW).context(&files).expect("the root, and one that is none");
    std::fs::set_permissions(&files.key, std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("mode set");
    assert_eq!(Clock::at(NOW).context(&files).expect_err("exposed").code(), "exposed");
    pki.server("web-0@/").key.save(&files.key, Existing::Replace, &pki.rng).expect("saved");
    let files = TlsFiles { crl: Some(pki.path("none")), ..files };
    assert_eq!(Clock::at(NOW).context(&files).expect_err("no list").code(), "missing");
}
