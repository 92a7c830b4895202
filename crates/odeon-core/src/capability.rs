//! Capabilities: what a peer may do at a server.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::CAPABILITY_BYTES_MAX;
use crate::names::NameError;
use crate::text::text_form;

/// The right to do one kind of thing, such as `shutdown` or `watch:cart/public`; `admin` implies all. At most 127
/// bytes of a-z, 0-9 and `-:/.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(String);

impl Capability {
    /// The capability that implies all others.
    pub const ADMIN: &'static str = "admin";

    /// The capability as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Capability {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fail = |reason| Err(NameError::new("capability", text, reason));
        if text.is_empty() || text.len() > CAPABILITY_BYTES_MAX {
            return fail("it must have 1 to 127 characters");
        }
        if text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-:/.".contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            fail("only lower-case letters, digits and `-:/.` are allowed")
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

text_form!(Capability, "a capability such as admin, shutdown or watch:cart/public");

/// The set of capabilities somebody holds.
///
/// ```
/// # use odeon_core::Capabilities;
/// let ops: Capabilities = ["shutdown".parse().unwrap()].into_iter().collect();
/// assert!(ops.can("shutdown") && !ops.can("supervisor"));
/// assert!(Capabilities::admin().can("supervisor"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Capabilities(BTreeSet<Capability>);

impl Capabilities {
    /// Holds nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// Holds `admin`, which implies all.
    #[must_use]
    pub fn admin() -> Self {
        Self(BTreeSet::from([Capability(Capability::ADMIN.to_owned())]))
    }

    /// Whether `capability` is among them, or `admin`.
    #[must_use]
    pub fn can(&self, capability: &str) -> bool {
        self.0.iter().any(|held| held.0 == capability || held.0 == Capability::ADMIN)
    }

    /// What both hold.
    ///
    /// ```
    /// # use odeon_core::Capabilities;
    /// let ops: Capabilities = ["shutdown".parse().unwrap()].into_iter().collect();
    /// assert_eq!(ops.and(&Capabilities::admin()), ops);
    /// assert_eq!(ops.and(&Capabilities::none()), Capabilities::none());
    /// ```
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let of_ours = self.0.iter().filter(|held| other.can(held.as_str()));
        let of_theirs = other.0.iter().filter(|held| self.can(held.as_str()));
        of_ours.chain(of_theirs).cloned().collect()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The capabilities held, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Capability> {
        self.0.iter()
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_not_the_capability() {
        let held: Capabilities = ["watch:cart/public".parse().expect("a capability")].into_iter().collect();
        assert!(held.can("watch:cart/public"));
        assert!(!held.can("watch:cart"));
        assert!(!held.can("admin"));
        assert!(!Capabilities::none().can("ping"));
    }

    #[test]
    fn the_longest_capability_has_127_characters() {
        assert!("a".repeat(CAPABILITY_BYTES_MAX).parse::<Capability>().is_ok());
        assert!("a".repeat(CAPABILITY_BYTES_MAX + 1).parse::<Capability>().is_err());
    }
}
