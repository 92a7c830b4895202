//! The book of what the subordinate has issued: one text file, replaced whole.
//!
//! ```text
//! odeon-ca-index 1 crl 3
//! 5c…e1 1785000000 1792776000 - web-0@/shop loader,watch:cart
//! 4f…07 1785000000 1792776000 1785100000 old-0@/shop -
//! ```
//!
//! After the heading with the number of the last revocation list, a line for each certificate: serial number, when it
//! was issued, when it ends, when it was revoked, for which server, with which capabilities. Moments are seconds
//! since 1970. A line leaves the book a year after its certificate's end.

use std::fmt;
use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;

use odeon_core::seam::Rng;
use odeon_core::{Capabilities, Capability, DAY_S, ServerId, from_hex};

use super::CaError;
use crate::cookie::Existing;
use crate::files::{self, Contents, FileError, MODE_SECRET, Readers};

/// Most certificates in the book: as many as a revocation list may name.
pub const ISSUED_MAX: usize = 100_000;

/// Longest book, in bytes.
const INDEX_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long a certificate stays in the book after its end, in seconds.
const KEPT_AFTER_END_S: u64 = 365 * DAY_S;

/// Longest serial number, in hexadecimal digits: X.509 allows 20 bytes.
const SERIAL_DIGITS_MAX: usize = 40;

const HEADING: &str = "odeon-ca-index 1 crl ";
const WHAT: &str = "index of issued certificates";

/// One certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Its serial number, in lower-case hexadecimal digits.
    pub serial: String,
    /// When it was issued, in seconds since 1970.
    pub issued: u64,
    /// Its last second, since 1970.
    pub not_after: u64,
    /// When it was revoked, in seconds since 1970.
    pub revoked: Option<u64>,
    /// For which server.
    pub server: ServerId,
    /// With which capabilities.
    pub capabilities: Capabilities,
}

impl Issued {
    /// Whether it is neither revoked nor over.
    #[must_use]
    pub const fn is_in_force(&self, now: u64) -> bool {
        self.revoked.is_none() && self.not_after >= now
    }

    /// Whether it stands in the list of the revoked: it would be in force otherwise.
    pub(super) const fn is_listed(&self, now: u64) -> bool {
        self.revoked.is_some() && self.not_after >= now
    }

    pub(super) fn serial_bytes(&self) -> Option<Vec<u8>> {
        let digits = self.serial.as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
    }
}

impl fmt::Display for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { serial, issued, not_after, revoked, server, capabilities } = self;
        let revoked = revoked.map_or_else(|| "-".to_owned(), |moment| moment.to_string());
        let capabilities: Vec<&str> = capabilities.iter().map(Capability::as_str).collect();
        let capabilities = if capabilities.is_empty() { "-".to_owned() } else { capabilities.join(",") };
        write!(f, "{serial} {issued} {not_after} {revoked} {server} {capabilities}")
    }
}

impl FromStr for Issued {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let fields: Vec<&str> = line.split(' ').collect();
        let [serial, issued, not_after, revoked, server, capabilities] = fields.as_slice() else {
            return Err(format!("it has {} fields instead of 6", fields.len()));
        };
        let moment = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is no moment"));
        let capabilities = match *capabilities {
            "-" => Capabilities::none(),
            some => some.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|e| format!("{e}"))?,
        };
        Ok(Self {
            serial: serial_number(serial).ok_or_else(|| format!("`{serial}` is no serial number"))?,
            issued: moment(issued)?,
            not_after: moment(not_after)?,
            revoked: if *revoked == "-" { None } else { Some(moment(revoked)?) },
            server: server.parse().map_err(|e| format!("{e}"))?,
            capabilities,
        })
    }
}

/// A serial number as it is written here: pairs of lower-case digits, and not too many.
fn serial_number(text: &str) -> Option<String> {
    let is_one = !text.is_empty() && text.len() <= SERIAL_DIGITS_MAX && from_hex(text).is_some();
    is_one.then(|| text.to_owned())
}

/// What is to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Every certificate of a server.
    Server(ServerId),
    /// The certificate with this serial number.
    Serial(String),
}

impl Target {
    /// The certificate with this serial number, if it is one. Colons and upper case, as other programs print them,
    /// do not matter.
    #[must_use]
    pub fn serial(text: &str) -> Option<Self> {
        serial_number(&text.replace(':', "").to_ascii_lowercase())
            .filter(|serial| serial.len() >= 16)
            .map(Self::Serial)
    }

    pub(super) fn is(&self, issued: &Issued) -> bool {
        match self {
            Self::Server(server) => *server == issued.server,
            Self::Serial(serial) => *serial == issued.serial,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.fmt(f),
            Self::Serial(serial) => write!(f, "serial number {serial}"),
        }
    }
}

/// The book.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Number of the last revocation list.
    pub(super) crl_number: u64,
    /// In the order of issue.
    pub(super) issued: Vec<Issued>,
}

impl Index {
    /// Reads the book; none yet is an empty one.
    pub(super) fn load(path: &Path) -> Result<Self, CaError> {
        let bytes = match files::read(path, WHAT, INDEX_BYTES_MAX, Readers::All) {
            Ok(bytes) => bytes,
            Err(FileError::Missing { .. }) => return Ok(Self::default()),
            Err(e) => return Err(e.into()),
        };
        let damaged = |why: String| CaError::damaged(WHAT, path, why);
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is not text".to_owned()))?;
        let mut lines = text.lines();
        let crl_number = lines.next().and_then(|line| line.strip_prefix(HEADING)?.parse().ok());
        let crl_number = crl_number.ok_or_else(|| damaged("its heading is unknown".to_owned()))?;
        let mut issued = Vec::new();
        for (number, line) in lines.enumerate() {
            if issued.len() == ISSUED_MAX {
                return Err(CaError::TooMany);
            }
            issued.push(line.parse().map_err(|why| damaged(format!("line {}: {why}", number + 2)))?);
        }
        Ok(Self { crl_number, issued })
    }

    /// Notes a certificate.
    pub(super) fn add(&mut self, issued: Issued, now: u64) -> Result<(), CaError> {
        self.issued.retain(|issued| issued.not_after.saturating_add(KEPT_AFTER_END_S) >= now);
        if self.issued.len() >= ISSUED_MAX {
            return Err(CaError::TooMany);
        }
        self.issued.push(issued);
        Ok(())
    }

    /// Writes the book in place of the one that is there.
    pub(super) fn save(&self, path: &Path, rng: &dyn Rng) -> Result<(), CaError> {
        let mut text = format!("{HEADING}{}\n", self.crl_number);
        for issued in &self.issued {
            writeln!(text, "{issued}").expect("writing to memory does not fail");
        }
        let contents = Contents { what: WHAT, path, bytes: text.as_bytes(), mode: MODE_SECRET };
        Ok(files::write(&contents, Existing::Replace, rng)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(number: usize) -> Issued {
        Issued {
            serial: format!("{number:032x}"),
            issued: 1,
            not_after: 1_000,
            revoked: (number % 2 == 1).then_some(5),
            server: "web-0@/shop".parse().expect("an id"),
            capabilities: ["loader", "watch:cart"].iter().map(|c| c.parse().expect("a capability")).collect(),
        }
    }

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        for number in [0, 1] {
            let issued = issued(number);
            assert_eq!(issued.to_string().parse::<Issued>().expect("a line"), issued);
        }
        let mut bare = issued(0);
        bare.capabilities = Capabilities::none();
        assert_eq!(bare.to_string().parse::<Issued>().expect("a line"), bare);
        for wrong in ["", "a b", "zz 1 2 - a@/ -", "00 x 2 - a@/ -", "00 1 2 - a -", "00 1 2 - a@/ UP"] {
            assert!(wrong.parse::<Issued>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_book_is_full_at_its_limit_and_forgets_what_ended_long_ago() {
        let mut index = Index { crl_number: 0, issued: (0..ISSUED_MAX - 1).map(issued).collect() };
        index.add(issued(ISSUED_MAX), 500).expect("the last that fits");
        assert!(matches!(index.add(issued(0), 500), Err(CaError::TooMany)));
        index.add(issued(0), 1_001 + KEPT_AFTER_END_S).expect("the others are gone");
        assert_eq!(index.issued.len(), 1);
    }

    #[test]
    fn a_serial_number_is_told_from_a_server() {
        assert_eq!(
            Target::serial("AB:cd:00:11:22:33:44:55"),
            Some(Target::Serial("abcd001122334455".into()))
        );
        for name in ["web-0", "abba", "web-0@/shop", "", "decade0123456789a"] {
            assert_eq!(Target::serial(name), None, "{name}");
        }
    }
}
