use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::testing::{Seeded, openssl, passphrase, put};

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn a_plain_key_is_loaded_again_and_is_the_owners_alone() {
    let (home, rng) = (home(), Seeded::default());
    for kind in KeyKind::ALL {
        let path = home.path().join("new").join(kind.to_string());
        let key = PrivateKey::generate(kind, &rng);
        key.save(&path, Existing::Keep, &rng).expect("saved");
        assert_eq!(path.metadata().expect("metadata").permissions().mode() & 0o7777, 0o600);
        let loaded = PrivateKey::load(&path).expect("loaded");
        assert_eq!(loaded.kind(), kind);
        assert_eq!(loaded.to_pkcs8(), key.to_pkcs8());
        assert_eq!(loaded.public(), key.public());
    }
}

#[test]
fn an_existing_key_is_replaced_only_on_demand() {
    let (home, rng) = (home(), Seeded::default());
    let path = home.path().join("key");
    let (first, second) =
        (PrivateKey::generate(KeyKind::P256, &rng), PrivateKey::generate(KeyKind::P256, &rng));
    first.save(&path, Existing::Keep, &rng).expect("saved");
    let kept = second.save(&path, Existing::Keep, &rng).expect_err("kept");
    assert_eq!(kept.code(), "exists");
    let kept =
        second.save_protected(&path, &passphrase("a passphrase"), Existing::Keep, &rng).expect_err("kept");
    assert_eq!(kept.code(), "exists");
    assert_eq!(PrivateKey::load(&path).expect("loaded").to_pkcs8(), first.to_pkcs8());
    second.save(&path, Existing::Replace, &rng).expect("replaced");
    assert_eq!(PrivateKey::load(&path).expect("loaded").to_pkcs8(), second.to_pkcs8());
    let names = std::fs::read_dir(home.path()).expect("a directory").count();
    assert_eq!(names, 1, "nothing is left beside it");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let (home, rng) = (home(), Seeded::default());
    let path = home.path().join("key");
    PrivateKey::generate(KeyKind::Ed25519, &rng).save(&path, Existing::Keep, &rng).expect("saved");
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode set");
        let error = PrivateKey::load(&path).expect_err("refused");
        assert_eq!(error.code(), "exposed", "{mode:o}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).expect("mode set");
    PrivateKey::load(&path).expect("its owner's alone");
}

#[test]
fn a_wrong_passphrase_is_told_from_a_damaged_file() {
    let (home, rng) = (home(), Seeded::default());
    let path = home.path().join("key");
    let key = PrivateKey::generate(KeyKind::Ed25519, &rng);
    let right = passphrase("correct horse");
    key.save_protected(&path, &right, Existing::Keep, &rng).expect("saved");
    assert_eq!(PrivateKey::load_protected(&path, &right).expect("loaded").to_pkcs8(), key.to_pkcs8());
    assert_eq!(path.metadata().expect("metadata").permissions().mode() & 0o7777, 0o600);

    let wrong = PrivateKey::load_protected(&path, &passphrase("incorrect horse")).expect_err("wrong");
    assert_eq!(wrong.code(), "wrong-passphrase");

    let text = std::fs::read_to_string(&path).expect("text");
    // Each character of what is encrypted, changed for another of the alphabet.
    let first = text.find("KEY-----\n").expect("a head") + "KEY-----\n".len();
    for at in (first..text.find("-----END").expect("an end")).step_by(17) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        put(&path, &bytes, 0o600);
        assert_eq!(PrivateKey::load_protected(&path, &right).expect_err("damaged").code(), "key-damaged");
    }
    put(&path, &text.as_bytes()[..text.len() / 2], 0o600);
    assert_eq!(PrivateKey::load_protected(&path, &right).expect_err("cut off").code(), "key-damaged");
}

#[test]
fn protection_is_neither_taken_nor_missing_by_mistake() {
    let (home, rng) = (home(), Seeded::default());
    let (plain, sealed) = (home.path().join("plain"), home.path().join("sealed"));
    let key = PrivateKey::generate(KeyKind::P256, &rng);
    let words = passphrase("some words");
    key.save(&plain, Existing::Keep, &rng).expect("saved");
    key.save_protected(&sealed, &words, Existing::Keep, &rng).expect("saved");
    assert_eq!(PrivateKey::load(&sealed).expect_err("protected").code(), "key-protected");
    assert_eq!(
        PrivateKey::load_protected(&plain, &words).expect_err("not protected").code(),
        "key-unprotected"
    );
    assert_eq!(PrivateKey::load(&home.path().join("none")).expect_err("missing").code(), "missing");
    put(&plain, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0o600);
    assert_eq!(PrivateKey::load(&plain).expect_err("no key").code(), "key-damaged");
    put(&plain, &vec![b'A'; KEY_FILE_BYTES_MAX], 0o600);
    assert_eq!(PrivateKey::load(&plain).expect_err("no key").code(), "key-damaged");
    put(&plain, &vec![b'A'; KEY_FILE_BYTES_MAX + 1], 0o600);
    assert_eq!(PrivateKey::load(&plain).expect_err("too long").code(), "too-long");
}

#[test]
fn a_key_is_sealed_with_scrypt_at_its_cost_and_no_file_asks_for_more_than_the_limit() {
    let (rng, words) = (Seeded::default(), passphrase("some words"));
    let key = PrivateKey::generate(KeyKind::Ed25519, &rng);
    let sealed = key.seal(&words, &rng).expect("sealed");
    let mut sealed = EncryptedPrivateKeyInfoRef::from_der(sealed.as_bytes()).expect("read");
    let pkcs8::pkcs5::EncryptionScheme::Pbes2(parameters) = &mut sealed.encryption_algorithm else {
        panic!("not PBES2");
    };
    let Kdf::Scrypt(scrypt) = &mut parameters.kdf else { panic!("not scrypt") };
    assert_eq!((scrypt.cost_parameter, scrypt.block_size, scrypt.parallelization), (1 << 17, 8, 1));
    scrypt.cost_parameter = SCRYPT_N_MAX;
    check_costs(&sealed).expect("the limit");
    let pkcs8::pkcs5::EncryptionScheme::Pbes2(parameters) = &mut sealed.encryption_algorithm else {
        panic!("not PBES2");
    };
    let Kdf::Scrypt(scrypt) = &mut parameters.kdf else { panic!("not scrypt") };
    scrypt.cost_parameter = SCRYPT_N_MAX * 2;
    check_costs(&sealed).expect_err("more than the limit");
}

#[test]
fn a_passphrase_has_a_least_and_a_greatest_length() {
    let new = |text: String| Passphrase::new(text.into()).map(|_| ());
    assert_eq!(new("a".repeat(PASSPHRASE_CHARS_MIN - 1)), Err(PassphraseError::TooShort));
    assert_eq!(new("ä".repeat(PASSPHRASE_CHARS_MIN)), Ok(()));
    assert_eq!(new("a".repeat(PASSPHRASE_BYTES_MAX)), Ok(()));
    assert_eq!(new("a".repeat(PASSPHRASE_BYTES_MAX + 1)), Err(PassphraseError::TooLong));
}

#[test]
fn neither_key_nor_passphrase_is_shown() {
    let key = PrivateKey::generate(KeyKind::Ed25519, &Seeded::default());
    assert_eq!(format!("{key:?}"), "PrivateKey(ed25519, ..)");
    assert_eq!(format!("{:?}", passphrase("some words")), "Passphrase(..)");
}

#[test]
fn openssl_reads_our_keys_and_we_read_its() {
    let (home, rng) = (home(), Seeded::default());
    for kind in KeyKind::ALL {
        let path = home.path().join(kind.to_string());
        let key = PrivateKey::generate(kind, &rng);
        key.save(&path, Existing::Keep, &rng).expect("saved");
        let path = path.to_str().expect("a path");
        let Some(read) = openssl(&["pkey", "-in", path, "-noout", "-text"]) else { return };
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));

        let theirs = home.path().join(format!("{kind}-theirs"));
        let algorithm: &[&str] = match kind {
            KeyKind::Ed25519 => &["-algorithm", "ed25519"],
            KeyKind::P256 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        };
        let out = theirs.to_str().expect("a path");
        let Some(made) = openssl(&[&["genpkey", "-out", out], algorithm].concat()) else { return };
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        assert_eq!(PrivateKey::load(&theirs).expect("loaded").kind(), kind);

        let sealed = home.path().join(format!("{kind}-sealed"));
        let to = sealed.to_str().expect("a path");
        let protect = ["pkcs8", "-topk8", "-scrypt", "-in", out, "-out", to, "-passout", "pass:some words"];
        let Some(made) = openssl(&protect) else { return };
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::set_permissions(&sealed, std::fs::Permissions::from_mode(0o600)).expect("mode set");
        assert_eq!(
            PrivateKey::load_protected(&sealed, &passphrase("some words")).expect("loaded").kind(),
            kind
        );
        let wrong = PrivateKey::load_protected(&sealed, &passphrase("other words"));
        assert_eq!(wrong.expect_err("wrong").code(), "wrong-passphrase");
    }
}
