//! References: where an actor is, as data that travels.

use std::fmt;
use std::str::FromStr;

use crate::epoch::Epoch;
use crate::names::{ActorName, Domain, NameError, ServerId};
use crate::text::text_form;

/// An actor within its server: a registered name, or a number; 0 is the server itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActorId {
    /// A local number, in whatever incarnation of the server runs now: what people type.
    Number(u64),
    /// A local number of one incarnation of the server. A later incarnation refuses it, so that number 17 of the
    /// last run is never the stranger of this one.
    NumberOf(u64, Epoch),
    /// A registered name.
    Name(ActorName),
}

impl ActorId {
    /// The server's own control plane.
    pub const SERVER: Self = Self::Number(0);

    /// The local number, if it is one.
    #[must_use]
    pub const fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) | Self::NumberOf(number, _) => Some(*number),
            Self::Name(_) => None,
        }
    }
}

impl FromStr for ActorId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Some(number) = digits(text) {
            return Ok(Self::Number(number));
        }
        if let Some((number, epoch)) = text.split_once('.')
            && let (Some(number), Some(epoch)) = (digits(number), digits(epoch))
        {
            return Ok(Self::NumberOf(number, Epoch(epoch)));
        }
        text.parse().map(Self::Name)
    }
}

fn digits(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::NumberOf(number, epoch) => write!(f, "{number}.{epoch}"),
            Self::Name(name) => write!(f, "{name}"),
        }
    }
}

impl From<ActorName> for ActorId {
    fn from(name: ActorName) -> Self {
        Self::Name(name)
    }
}

text_form!(
    ActorId,
    "a registered actor name, or a number, if need be with the server's epoch (17.3); 0 is the server itself"
);

/// Where an actor is: its server and its id there. Data: it can be stored, sent and printed.
///
/// ```
/// # use odeon_core::{Domain, Reference};
/// let cart = Reference::parse_in("web-0:cart", &"/shop".parse().unwrap()).unwrap();
/// assert_eq!(cart.to_string(), "web-0@/shop:cart");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The server.
    pub server: ServerId,
    /// The actor there.
    pub actor: ActorId,
}

impl Reference {
    /// The actor `actor` of `server`.
    #[must_use]
    pub const fn new(server: ServerId, actor: ActorId) -> Self {
        Self { server, actor }
    }

    /// Reads `server:actor`, or a bare `server`, which means the server itself. A bare server name is
    /// completed with `domain`.
    ///
    /// # Errors
    /// When a part is malformed.
    pub fn parse_in(text: &str, domain: &Domain) -> Result<Self, NameError> {
        Self::parse_with(text, |server| ServerId::parse_in(server, domain))
    }

    fn parse_with(
        text: &str,
        server_id: impl FnOnce(&str) -> Result<ServerId, NameError>,
    ) -> Result<Self, NameError> {
        let (server, actor) = match text.rsplit_once(':') {
            Some((server, actor)) => (server, actor.parse()?),
            None => (text, ActorId::SERVER),
        };
        Ok(Self { server: server_id(server)?, actor })
    }
}

impl FromStr for Reference {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse_with(text, str::parse)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.server, self.actor))
    }
}

text_form!(Reference, "an actor's place, such as web-0@/shop:cart");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_a_name() {
        assert_eq!("17".parse(), Ok(ActorId::Number(17)));
        assert_eq!("17.3".parse(), Ok(ActorId::NumberOf(17, Epoch(3))));
        assert_eq!(ActorId::NumberOf(17, Epoch(3)).to_string(), "17.3");
        for not in ["+17", "17.", ".3", "17.+3", "17.3.1", "cart.3"] {
            assert!(not.parse::<ActorId>().is_err(), "{not}");
        }
        assert!("99999999999999999999".parse::<ActorId>().is_err());
    }

    #[test]
    fn a_bare_server_means_the_server_itself() {
        let reference = Reference::parse_in("web-0", &Domain::root()).expect("a reference");
        assert_eq!(reference.actor, ActorId::SERVER);
        assert_eq!(reference.to_string(), "web-0@/:0");
        assert_eq!(reference.to_string().parse(), Ok(reference));
    }
}
