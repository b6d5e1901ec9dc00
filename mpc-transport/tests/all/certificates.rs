//! Identities, and hostile certificates and keys.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use mpc_transport::tls::{Certificate, CertificateError, Fingerprint, Identity, MAX_PEM_BYTES};
use pkcs8::{LineEnding, SecretDocument};
use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, KeyPair};
use x509_cert::der::Document;

fn pem(certificate: &rcgen::Certificate) -> String {
    Document::try_from(&certificate.der()[..]).unwrap().to_pem("CERTIFICATE", LineEnding::LF).unwrap()
}

/// A certificate as another program might make it.
fn foreign(names: &[&str], key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    for name in names {
        params.distinguished_name.push(DnType::CommonName, *name);
    }
    pem(&params.self_signed(key).unwrap())
}

fn ed25519() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
}

fn key_pem(key: &KeyPair) -> String {
    SecretDocument::try_from(&key.serialize_der()[..])
        .unwrap()
        .to_pem("PRIVATE KEY", LineEnding::LF)
        .unwrap()
        .to_string()
}

#[test]
fn an_identity_survives_being_written() {
    let identity = Identity::generate("acme_1.example-host", 365).unwrap();
    let certificate = identity.certificate();
    assert_eq!(certificate.name(), "acme_1.example-host");
    let read = Certificate::from_pem(&identity.certificate_pem()).unwrap();
    assert_eq!((&read, read.fingerprint()), (certificate, certificate.fingerprint()));
    assert_eq!(HashSet::from([read.clone(), certificate.clone()]).len(), 1);

    let again = Identity::from_pem(&identity.certificate_pem(), &identity.key_pem()).unwrap();
    assert_eq!(again.certificate(), certificate);
    assert_eq!(again.key_pem(), identity.key_pem());
    assert_eq!(again.derive_key("store"), identity.derive_key("store"));
}

#[test]
fn a_certificate_is_valid_for_the_days_asked_for() {
    let identity = Identity::generate("acme", 30).unwrap();
    let left = identity.certificate().valid_until().duration_since(SystemTime::now()).unwrap();
    let days = Duration::from_secs(30 * 24 * 3600);
    assert!(left <= days && left > days - Duration::from_secs(600), "{left:?}");
    assert!(identity.certificate().valid_from() < SystemTime::now());
    for days in [0, 36_501, u32::MAX] {
        assert_eq!(Identity::generate("acme", days).unwrap_err(), CertificateError::Validity { days });
    }
    assert!(Identity::generate("acme", 36_500).is_ok());
}

#[test]
fn no_two_identities_are_alike() {
    let [one, other] = [(); 2].map(|()| Identity::generate("acme", 1).unwrap());
    assert_ne!(one.certificate(), other.certificate());
    assert_ne!(one.certificate().fingerprint(), other.certificate().fingerprint());
    assert_ne!(one.derive_key("store"), other.derive_key("store"));
    assert_ne!(one.derive_key("store"), one.derive_key("prepared"));
    assert_ne!(one.derive_key(""), one.derive_key("store"));
    let mixed = Identity::from_pem(&one.certificate_pem(), &other.key_pem());
    assert_eq!(mixed.unwrap_err(), CertificateError::KeyMismatch);
}

#[test]
fn a_secret_is_not_shown() {
    let identity = Identity::generate("acme", 1).unwrap();
    let shown = format!("{identity:?} {identity:#?}");
    let expected = format!("{}", identity.certificate().fingerprint());
    assert!(shown.contains("acme") && shown.contains(&expected), "{shown}");
    let key = identity.key_pem();
    let secret = key.lines().nth(1).unwrap();
    assert!(!shown.contains(secret) && !shown.contains("seed"), "{shown}");
}

#[test]
fn the_derived_key_does_not_depend_on_the_encoding_of_the_private_key() {
    // ring writes another version of PKCS#8 than this crate does.
    let key = ed25519();
    let identity = Identity::from_pem(&foreign(&["acme"], &key), &key_pem(&key)).unwrap();
    assert_ne!(key_pem(&key), *identity.key_pem());
    let again = Identity::from_pem(&identity.certificate_pem(), &identity.key_pem()).unwrap();
    assert_eq!(again.derive_key("store"), identity.derive_key("store"));
}

#[test]
fn unsafe_names_are_refused() {
    let long = "a".repeat(65);
    for name in ["", "a b", "a/b", "a\n", "\u{1b}[31m", "a\0", "é", "..\\x", &long] {
        assert_eq!(Identity::generate(name, 1).unwrap_err(), CertificateError::Name, "{name:?}");
        assert_eq!(Certificate::from_pem(&foreign(&[name], &ed25519())), Err(CertificateError::Name), "{name:?}");
    }
    assert!(Identity::generate(&long[1..], 1).is_ok());
    assert_eq!(Certificate::from_pem(&foreign(&[], &ed25519())), Err(CertificateError::Name));
}

#[test]
fn other_kinds_of_keys_are_refused() {
    let ecdsa = KeyPair::generate().unwrap();
    assert_eq!(Certificate::from_pem(&foreign(&["acme"], &ecdsa)), Err(CertificateError::NotEd25519));
    let certificate = foreign(&["acme"], &ed25519());
    assert_eq!(Identity::from_pem(&certificate, &key_pem(&ecdsa)).unwrap_err(), CertificateError::Key);
}

#[test]
fn exactly_one_of_the_right_kind_is_read() {
    let identity = Identity::generate("acme", 1).unwrap();
    let (certificate, key) = (identity.certificate_pem(), identity.key_pem());
    let not_one = |label, found| CertificateError::NotOne { label, found };
    assert_eq!(Certificate::from_pem(""), Err(not_one("CERTIFICATE", 0)));
    assert_eq!(Certificate::from_pem(&certificate.repeat(2)), Err(not_one("CERTIFICATE", 2)));
    assert_eq!(Certificate::from_pem(&key), Err(not_one("CERTIFICATE", 0)));
    assert_eq!(Certificate::from_pem(&format!("{certificate}{}", *key)), Err(not_one("CERTIFICATE", 2)));
    assert_eq!(Identity::from_pem(&certificate, &certificate).unwrap_err(), CertificateError::Key);
    assert_eq!(Identity::from_pem(&certificate, "").unwrap_err(), not_one("PRIVATE KEY", 0));
    let long = "x".repeat(MAX_PEM_BYTES + 1);
    let too_long = CertificateError::TooLong { bytes: long.len() };
    assert_eq!(Certificate::from_pem(&long), Err(too_long.clone()));
    assert_eq!(Identity::from_pem(&certificate, &long).unwrap_err(), too_long);
}

#[test]
fn fingerprints_are_read_as_they_are_written() {
    let fingerprint = Identity::generate("acme", 1).unwrap().certificate().fingerprint();
    let text = fingerprint.to_string();
    assert_eq!(text.len(), 64 + 15);
    for text in [text.clone(), text.replace(':', ""), text.replace(':', " "), text.to_uppercase()] {
        assert_eq!(text.parse(), Ok(fingerprint));
    }
    for text in ["", "00", &text[1..], &format!("{text}0"), &text.replace(':', "/"), &"é".repeat(64)] {
        assert_eq!(text.parse::<Fingerprint>(), Err(CertificateError::Fingerprint), "{text:?}");
    }
}

/// A valid text with some of its bytes replaced.
fn damaged(text: &str, changes: &[(usize, u8)]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for &(at, byte) in changes {
        let at = at % bytes.len();
        bytes[at] = byte;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>(), body in "[A-Za-z0-9+/=\n]{0,400}") {
        let armoured = ["CERTIFICATE", "PRIVATE KEY"]
            .map(|label| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"));
        for text in armoured.iter().chain([&text]) {
            prop_assert!(Certificate::from_pem(text).is_err());
            prop_assert!(Identity::from_pem(text, text).is_err());
            prop_assert!(text.parse::<Fingerprint>().is_err());
        }
    }

    #[test]
    fn arbitrary_der_never_panics(
        at in 0usize..4096,
        byte: u8,
        end in 0usize..4096,
    ) {
        let identity = Identity::generate("acme", 1).unwrap();
        let (_, document) = Document::from_pem(&identity.certificate_pem()).unwrap();
        let mut der = document.as_bytes().to_vec();
        let at = at % der.len();
        der[at] = byte;
        der.truncate(end.max(1));
        if let Ok(document) = Document::try_from(&der[..])
            && let Ok(certificate) = Certificate::from_pem(&document.to_pem("CERTIFICATE", LineEnding::LF).unwrap())
        {
            prop_assert!(!certificate.name().is_empty());
            let _ = Identity::from_pem(&certificate.to_pem(), &identity.key_pem());
        }
    }

    #[test]
    fn damaged_files_never_panic(changes in prop::collection::vec((0usize..1024, any::<u8>()), 1..4)) {
        let identity = Identity::generate("acme", 1).unwrap();
        let certificate = damaged(&identity.certificate_pem(), &changes);
        let key = damaged(&identity.key_pem(), &changes);
        let _ = Certificate::from_pem(&certificate);
        let _ = Identity::from_pem(&certificate, &identity.key_pem());
        if let Ok(read) = Identity::from_pem(&identity.certificate_pem(), &key) {
            prop_assert_eq!(read.key_pem(), identity.key_pem());
        }
    }
}
