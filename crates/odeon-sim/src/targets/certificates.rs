//! Certificates: bytes as they are, and ones that the target puts together, so that no wrong length hides what is
//! within.

use odeon_auth::PeerCertificate;

/// The first byte of a script. Certificates begin with 0x30.
const SCRIPT: u8 = b'S';

/// A certificate names one server and its domain, or is refused.
pub(crate) fn certificate(bytes: &[u8]) {
    holds(bytes);
    if let Some((&SCRIPT, script)) = bytes.split_first() {
        holds(&Parts::of(script).certificate());
    }
}

fn holds(der: &[u8]) {
    match PeerCertificate::read(der) {
        Ok(certificate) => {
            assert_eq!(*certificate.server.domain(), certificate.domain, "the server is of its domain");
            assert!(certificate.not_before <= certificate.not_after, "it is valid for a while");
            assert!(!certificate.serial.is_empty(), "it can be revoked by its number");
            assert!(!certificate.issuer.contains(char::is_control), "its issuer can be printed");
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "it is refused in clear words"),
    }
}

/// Object identifiers of attributes: common name, country, organization, location, and one of nobody.
const ATTRIBUTES: [&[u8]; 5] = [&[85, 4, 3], &[85, 4, 6], &[85, 4, 10], &[85, 4, 7], &[42, 3, 4]];

/// Object identifiers of extensions: alternative names, constraints, usage, extended usage, and one of nobody.
const EXTENSIONS: [&[u8]; 5] = [&[85, 29, 17], &[85, 29, 19], &[85, 29, 15], &[85, 29, 37], &[42, 3, 4]];

/// How names may begin.
const SCHEMES: [&str; 6] = ["odeon:server:", "odeon:domain:", "odeon:cap:", "odeon:", "ODEON:cap:", "https:"];

/// What a script says of a certificate: items of a kind, a length and as many bytes.
#[derive(Debug)]
struct Parts {
    serial: Vec<u8>,
    validity: [Vec<u8>; 2],
    issuer: Vec<Vec<u8>>,
    names: Vec<Vec<u8>>,
    extensions: Vec<Vec<u8>>,
}

impl Parts {
    fn of(mut script: &[u8]) -> Self {
        let mut parts = Self {
            serial: tlv(0x02, &[1]),
            validity: [tlv(0x17, b"260101000000Z"), tlv(0x17, b"270101000000Z")],
            issuer: Vec::new(),
            names: Vec::new(),
            extensions: Vec::new(),
        };
        while let Some(([kind, length], rest)) = script.split_first_chunk::<2>() {
            let (item, rest) = rest.split_at(usize::from(*length).min(rest.len()));
            script = rest;
            parts.add(*kind, item);
        }
        parts
    }

    fn add(&mut self, kind: u8, item: &[u8]) {
        let (first, rest) = item.split_first().map_or((0, item), |(first, rest)| (*first, rest));
        let one_of = |all: &[&[u8]; 5]| tlv(0x06, all[usize::from(first) % all.len()]);
        match kind % 8 {
            0 => self.names.push(tlv(first, rest)),
            1 => self.serial = tlv(0x02, item),
            2 => self.validity[usize::from(first & 1)] = tlv(if rest.len() < 14 { 0x17 } else { 0x18 }, rest),
            3 => {
                let value = rest.split_first().map_or_else(Vec::new, |(tag, value)| tlv(*tag, value));
                self.issuer.push(tlv(0x30, &[one_of(&ATTRIBUTES), value].concat()));
            }
            4 => {
                let value = tlv(0x04, rest);
                self.extensions.push(tlv(0x30, &[one_of(&EXTENSIONS), value].concat()));
            }
            _ => {
                let scheme = SCHEMES[usize::from(first) % SCHEMES.len()];
                self.names.push(tlv(0x86, &[scheme.as_bytes(), rest].concat()));
            }
        }
    }

    /// Encodes it; the key and the signature are nobody's, since nobody looks at them here.
    fn certificate(&self) -> Vec<u8> {
        let algorithm = tlv(0x30, &[6, 3, 43, 101, 112]);
        let key = tlv(0x30, &[algorithm.clone(), tlv(0x03, &[0; 33])].concat());
        let issuer = self.issuer.concat();
        let issuer = tlv(0x30, &if issuer.is_empty() { issuer } else { tlv(0x31, &issuer) });
        let mut extensions = self.extensions.concat();
        if !self.names.is_empty() {
            let names = tlv(0x04, &tlv(0x30, &self.names.concat()));
            extensions.extend(tlv(0x30, &[tlv(0x06, EXTENSIONS[0]), names].concat()));
        }
        let tbs = [
            tlv(0xa0, &[2, 1, 2]),
            self.serial.clone(),
            algorithm.clone(),
            issuer,
            tlv(0x30, &self.validity.concat()),
            tlv(0x30, &[]),
            key,
            tlv(0xa3, &tlv(0x30, &extensions)),
        ];
        tlv(0x30, &[tlv(0x30, &tbs.concat()), algorithm, tlv(0x03, &[0; 65])].concat())
    }
}

/// Tag, length in the shortest form, value.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u16::try_from(value.len()).expect("an input is short").to_be_bytes() {
        [0, length @ ..128] => bytes.push(length),
        [0, length] => bytes.extend([0x81, length]),
        length => bytes.extend([&[0x82], length.as_slice()].concat()),
    }
    bytes.extend(value);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_makes_a_certificate_that_is_read() {
        let script = include_bytes!("../../../../fuzz/corpus/certificate/made-root");
        let read = PeerCertificate::read(&Parts::of(&script[1..]).certificate()).expect("a certificate");
        assert_eq!((read.server.to_string(), read.serial), ("web-0@/".to_owned(), "01".to_owned()));
    }
}
