//! Names: segments, domains, server ids, roles, actor names.
//!
//! A name is checked once, where it enters the program; whoever holds one of these types need not check again.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits::{DOMAIN_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::seam::Rng;
use crate::text::text_form;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("`{text}` is not a {what}: {reason}")]
pub struct NameError {
    /// What was expected, such as `server id`.
    pub what: &'static str,
    /// The text as given, shortened when it is very long.
    pub text: String,
    /// The rule that was broken.
    pub reason: &'static str,
}

impl NameError {
    pub(crate) fn new(what: &'static str, text: &str, reason: &'static str) -> Self {
        Self { what, text: text.chars().take(80).collect(), reason }
    }
}

/// Checks one segment: `[a-z][a-z0-9-]{0,62}`.
fn check_segment(what: &'static str, text: &str) -> Result<(), NameError> {
    let bytes = text.as_bytes();
    let fail = |reason| Err(NameError::new(what, text, reason));
    match bytes.first() {
        None => return fail("it is empty"),
        Some(b'a'..=b'z') => {}
        Some(_) => return fail("it must begin with a lower-case letter a-z"),
    }
    if bytes.len() > SEGMENT_BYTES_MAX {
        return fail("it is longer than 63 characters");
    }
    if bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
        Ok(())
    } else {
        fail("only lower-case letters, digits and `-` are allowed")
    }
}

macro_rules! segment_name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check_segment($what, text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        text_form!($type, "one segment: a lower-case letter, then up to 62 of a-z, 0-9 and -");
    };
}

segment_name!(
    /// The registered name of an actor, such as `greeter`. Never a number, so it cannot be taken for one.
    ActorName,
    "actor name"
);
segment_name!(
    /// The name of a group of actors, such as `readers`.
    GroupName,
    "group name"
);
segment_name!(
    /// What a server is for, such as `web`. A server has one primary role and any number of secondary ones.
    Role,
    "role"
);

/// A place in the hierarchy of ensembles: `/` or `/shop/eu1`; at most 255 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Arc<str>);

impl Domain {
    /// The root domain, `/`.
    #[must_use]
    pub fn root() -> Self {
        Self("/".into())
    }

    /// The domain as text, beginning with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments from the root down; none for `/`.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// Whether `other` is this domain or lies below it.
    ///
    /// ```
    /// # use odeon_core::Domain;
    /// let shop: Domain = "/shop".parse().unwrap();
    /// assert!(shop.contains(&"/shop/eu1".parse().unwrap()));
    /// assert!(!shop.contains(&"/shopping".parse().unwrap()));
    /// assert!(Domain::root().contains(&shop));
    /// ```
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        let mut theirs = other.segments();
        self.segments().all(|segment| theirs.next() == Some(segment))
    }

    /// The domain itself, then those above it, the root last.
    ///
    /// ```
    /// # use odeon_core::Domain;
    /// let eu1: Domain = "/shop/eu1".parse().unwrap();
    /// let up: Vec<_> = eu1.ancestors().map(|domain| domain.to_string()).collect();
    /// assert_eq!(up, ["/shop/eu1", "/shop", "/"]);
    /// ```
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self.clone()), |domain| match domain.0.rsplit_once('/')? {
            ("", "") => None,
            ("", _) => Some(Self::root()),
            (above, _) => Some(Self(above.into())),
        })
    }
}

impl FromStr for Domain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const WHAT: &str = "domain";
        if text.len() > DOMAIN_BYTES_MAX {
            return Err(NameError::new(WHAT, text, "it is longer than 255 bytes"));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(NameError::new(WHAT, text, "it must begin with `/`"));
        };
        if !rest.is_empty() {
            rest.split('/').try_for_each(|segment| check_segment(WHAT, segment))?;
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(Domain, "an absolute domain such as / or /shop/eu1");

/// The identity of a server: a name within a domain, `web-0@/shop/eu1`.
///
/// ```
/// # use odeon_core::{Domain, ServerId};
/// let shop: Domain = "/shop".parse().unwrap();
/// let id = ServerId::parse_in("web-0", &shop).unwrap();
/// assert_eq!(id.to_string(), "web-0@/shop");
/// assert_eq!(id, "web-0@/shop".parse().unwrap());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId {
    domain: Domain,
    name: Arc<str>,
}

/// How many hexadecimal digits end the name of a transient server: 128 bits, so that no two are one.
const TRANSIENT_DIGITS: usize = 32;

impl ServerId {
    /// The server `name` of `domain`.
    ///
    /// # Errors
    /// When `name` is not one segment.
    pub fn new(name: &str, domain: Domain) -> Result<Self, NameError> {
        check_segment("server name", name)?;
        Ok(Self { name: name.into(), domain })
    }

    /// An id for a server that nobody will look for by name: `PREFIX-` and 128 random bits, in hexadecimal. Nobody
    /// else draws the same, so the incarnation of such a server is 0 and its id is never used again.
    ///
    /// ```
    /// # use odeon_core::{Domain, ServerId, seam::Rng};
    /// #[derive(Debug)]
    /// struct Dice;
    /// impl Rng for Dice {
    ///     fn fill(&self, bytes: &mut [u8]) {
    ///         bytes.fill(0xa5);
    ///     }
    /// }
    /// let id = ServerId::transient("job", &Domain::root(), &Dice).unwrap();
    /// assert_eq!(id.to_string(), format!("job-{}@/", "a5".repeat(16)));
    /// ```
    ///
    /// # Errors
    /// When `prefix` does not begin a name, or is longer than 30 characters.
    pub fn transient(prefix: &str, domain: &Domain, rng: &dyn Rng) -> Result<Self, NameError> {
        let mut bits = [0; 16];
        rng.fill(&mut bits);
        Self::new(&format!("{prefix}-{:0TRANSIENT_DIGITS$x}", u128::from_be_bytes(bits)), domain.clone())
    }

    /// Whether this is an id that [`transient`](Self::transient) makes of `prefix`, in whatever domain.
    ///
    /// ```
    /// # use odeon_core::ServerId;
    /// let id: ServerId = format!("job-{}@/", "a5".repeat(16)).parse().unwrap();
    /// assert!(id.is_transient_of("job"));
    /// assert!(!id.is_transient_of("jo"));
    /// ```
    #[must_use]
    pub fn is_transient_of(&self, prefix: &str) -> bool {
        let is_hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        let digits = self.name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
        digits.is_some_and(|digits| digits.len() == TRANSIENT_DIGITS && digits.chars().all(is_hex))
    }

    /// Reads `name@domain`, or a bare `name`, which is completed with `domain`.
    ///
    /// # Errors
    /// When the name or the domain is malformed.
    pub fn parse_in(text: &str, domain: &Domain) -> Result<Self, NameError> {
        match text.split_once('@') {
            Some((name, domain)) => Self::new(name, domain.parse()?),
            None => Self::new(text, domain.clone()),
        }
    }

    /// The name without the domain.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The domain.
    #[must_use]
    pub const fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The short form for people: the bare name where the domain is `current`, the full id elsewhere.
    #[must_use]
    pub fn short(&self, current: &Domain) -> String {
        if self.domain == *current { self.name.to_string() } else { self.to_string() }
    }
}

impl FromStr for ServerId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if !text.contains('@') {
            return Err(NameError::new("server id", text, "the domain is missing: write `name@/domain`"));
        }
        Self::parse_in(text, &Domain::root())
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}@{}", self.name, self.domain))
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_form!(ServerId, "a server id such as web-0@/shop");

/// A near miss, for `did you mean` in errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suggestion<'a>(&'a str);

impl fmt::Display for Suggestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "did you mean `{}`?", self.0)
    }
}

/// The candidate nearest to `wrong`, if one is near enough to be worth naming.
///
/// ```
/// let near = odeon_core::suggest("rolse", ["roles", "domain"]).unwrap();
/// assert_eq!(near.to_string(), "did you mean `roles`?");
/// assert!(odeon_core::suggest("zebra", ["roles", "domain"]).is_none());
/// ```
pub fn suggest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<Suggestion<'a>> {
    let length = |text: &str| text.chars().take(COMPARED_CHARS_MAX).count();
    let limit = (length(wrong) / 3).max(1);
    candidates
        .into_iter()
        // Those of another length are further off than that, whatever is in them.
        .filter(|candidate| length(wrong).abs_diff(length(candidate)) <= limit)
        .map(|candidate| (distance(wrong, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| Suggestion(candidate))
}

/// Characters compared for a suggestion: the longest names differ within them, and the work stays small.
const COMPARED_CHARS_MAX: usize = 64;

fn compared(text: &str) -> Vec<char> {
    text.chars().take(COMPARED_CHARS_MAX).collect()
}

/// Edit distance with adjacent transpositions (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (compared(a), compared(b));
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Address, Mark};

    fn canonical<T: FromStr + fmt::Display>(text: &str) {
        if let Ok(parsed) = text.parse::<T>() {
            assert_eq!(parsed.to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_printed_as_it_was_written(text in "[a-c0-2/@:#+ -]{0,10}|.{0,20}") {
            canonical::<ActorName>(&text);
            canonical::<Domain>(&text);
            canonical::<ServerId>(&text);
            canonical::<Mark>(&format!("a/{text}"));
            canonical::<Address>(&format!("tcp:{text}"));
        }
    }

    #[test]
    fn a_segment_of_63_characters_is_a_name_and_64_are_not() {
        let longest = "a".repeat(SEGMENT_BYTES_MAX);
        assert!(longest.parse::<ActorName>().is_ok());
        assert!(format!("{longest}a").parse::<ActorName>().is_err());
    }

    #[test]
    fn bad_segments_are_refused_with_the_rule() {
        for (text, rule) in [
            ("", "empty"),
            ("7up", "begin with"),
            ("Web", "begin with"),
            ("we_b", "only lower-case"),
            ("wéb", "only lower-case"),
        ] {
            let error = text.parse::<Role>().expect_err("must be refused");
            assert!(error.to_string().contains(rule), "{error}");
        }
    }

    #[test]
    fn domains_are_absolute_and_bounded() {
        for good in ["/", "/shop", "/shop/eu1"] {
            assert_eq!(good.parse::<Domain>().expect("a domain").to_string(), good);
        }
        for bad in ["", "shop", "/shop/", "//", "/Shop", "/a//b"] {
            assert!(bad.parse::<Domain>().is_err(), "{bad}");
        }
        let at_limit = format!("/{}", ["a"; 127].join("/"));
        assert_eq!(at_limit.len(), 254);
        assert!(at_limit.parse::<Domain>().is_ok());
        assert!(format!("{at_limit}bc").parse::<Domain>().is_err());
    }

    #[test]
    fn a_server_id_needs_its_domain_when_it_stands_alone() {
        assert!("web-0".parse::<ServerId>().is_err());
        let id: ServerId = "web-0@/".parse().expect("an id");
        assert_eq!(id.short(&Domain::root()), "web-0");
        assert_eq!(id.short(&"/shop".parse().expect("a domain")), "web-0@/");
    }

    /// Gives 1, 2, 3 and so on, in each byte.
    #[derive(Debug, Default)]
    struct Counting(std::sync::atomic::AtomicU8);

    impl crate::seam::Rng for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill_with(|| self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1);
        }
    }

    #[test]
    fn a_transient_id_has_128_random_bits_and_is_a_name() {
        let (rng, shop) = (Counting::default(), "/shop".parse().expect("a domain"));
        let id = ServerId::transient("transient", &shop, &rng).expect("an id");
        assert_eq!(id.to_string(), "transient-0102030405060708090a0b0c0d0e0f10@/shop");
        assert_eq!(id.to_string().parse::<ServerId>(), Ok(id.clone()));
        assert!(id.is_transient_of("transient") && !id.is_transient_of("trans"));
        for other in
            ["transient@/", "transient-0102030405060708@/", "transient-0102030405060708090a0b0c0d0e0f1g@/"]
        {
            assert!(!other.parse::<ServerId>().expect("an id").is_transient_of("transient"), "{other}");
        }
        assert_ne!(ServerId::transient("transient", &shop, &rng), Ok(id));
        let longest = "a".repeat(SEGMENT_BYTES_MAX - 33);
        assert!(ServerId::transient(&longest, &shop, &rng).is_ok());
        assert!(ServerId::transient(&format!("{longest}a"), &shop, &rng).is_err());
    }

    #[test]
    fn transposed_letters_are_near() {
        assert_eq!(distance("rolse", "roles"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn nothing_is_near_to_a_very_long_text() {
        assert_eq!(suggest(&"z".repeat(10_000), ["roles", "domain"]), None);
    }
}
