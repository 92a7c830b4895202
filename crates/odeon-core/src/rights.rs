//! Rights: capabilities, within what limits they hold, and where they come from.
//!
//! A right allows an act when it holds the capability and every caveat allows the act. A caveat about something that
//! the act does not name refuses it: what is not known is not allowed. So one caveat more can only take away.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capability::Capabilities;
use crate::mark::Mark;
use crate::moment::moment;
use crate::names::{NameError, Role, ServerId};
use crate::reference::ActorId;
use crate::text::text_form;

/// Longest path of a caveat, in bytes: as long as a domain.
pub const PATH_BYTES_MAX: usize = 255;

/// Most alternatives of one caveat: whoever needs more of them wants another capability.
pub const CAVEAT_ITEMS_MAX: usize = 32;

/// What somebody is about to do, and where: all that a right can depend on.
#[derive(Debug, Clone, Copy)]
pub struct Act<'a> {
    /// The capability that it needs.
    pub capability: &'a str,
    /// The server at which it is done.
    pub server: &'a ServerId,
    /// The roles of that server.
    pub roles: &'a [Role],
    /// The receiving actor by all its names, and 0 where it is the server itself; empty if it has none.
    pub actors: &'a [ActorId],
    /// The mark of the message, if it is one.
    pub mark: Option<&'a str>,
    /// The path that is reached for, if there is one.
    pub path: Option<&'a str>,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
}

/// The beginning of a path, such as `cart/public`: it covers itself and what is below.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPrefix(String);

impl PathPrefix {
    /// Whether `path` is this one or below it. Slashes at either end mean nothing.
    ///
    /// ```
    /// # use odeon_core::PathPrefix;
    /// let public: PathPrefix = "cart/public".parse().unwrap();
    /// assert!(public.covers("/cart/public/items") && public.covers("cart/public"));
    /// assert!(!public.covers("cart/publicity") && !public.covers("cart/public/../private"));
    /// ```
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        let mut theirs = path.trim_matches('/').split('/');
        let is_plain = theirs.clone().all(|segment| !matches!(segment, "" | "." | ".."));
        is_plain && self.0.split('/').all(|segment| theirs.next() == Some(segment))
    }
}

impl FromStr for PathPrefix {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fail = |reason| Err(NameError::new("path", text, reason));
        let path = text.trim_matches('/');
        if path.is_empty() || path.len() > PATH_BYTES_MAX {
            return fail("it must have 1 to 255 bytes beside the slashes at its ends");
        }
        if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return fail("a segment is empty, `.` or `..`");
        }
        // Holders write paths, and whoever looks at a grant has them printed.
        if path.contains(char::is_control) {
            return fail("it has control characters");
        }
        Ok(Self(path.to_owned()))
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

text_form!(PathPrefix, "the beginning of a path, such as cart/public");

/// One limit of a right. The set of kinds is closed: a right with a kind that is not known here is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Caveat {
    /// At one of these servers.
    Servers(BTreeSet<ServerId>),
    /// At servers of one of these roles.
    Roles(BTreeSet<Role>),
    /// For one of these actors, by name; 0 is the server itself.
    Actors(BTreeSet<ActorId>),
    /// For paths below one of these.
    Paths(BTreeSet<PathPrefix>),
    /// For one of these messages; a mark without a method stands for its whole protocol.
    Marks(BTreeSet<Mark>),
    /// For what needs one of these capabilities; `admin` stands for all.
    Capabilities(Capabilities),
    /// Until this time, in seconds since 1970.
    NotAfter(u64),
}

impl Caveat {
    /// Whether it lets this act pass.
    #[must_use]
    pub fn allows(&self, act: &Act<'_>) -> bool {
        match self {
            Self::Servers(servers) => servers.contains(act.server),
            Self::Roles(roles) => act.roles.iter().any(|role| roles.contains(role)),
            Self::Actors(actors) => act.actors.iter().any(|actor| actors.contains(actor)),
            Self::Paths(paths) => act.path.is_some_and(|path| paths.iter().any(|prefix| prefix.covers(path))),
            Self::Marks(marks) => act.mark.is_some_and(|mark| marks.iter().any(|held| covers(held, mark))),
            Self::Capabilities(capabilities) => capabilities.can(act.capability),
            Self::NotAfter(seconds) => act.unix_ms / 1000 < *seconds,
        }
    }

    /// How many alternatives it lists.
    #[must_use]
    pub fn items(&self) -> usize {
        match self {
            Self::Servers(set) => set.len(),
            Self::Roles(set) => set.len(),
            Self::Actors(set) => set.len(),
            Self::Paths(set) => set.len(),
            Self::Marks(set) => set.len(),
            Self::Capabilities(set) => set.iter().count(),
            Self::NotAfter(_) => 1,
        }
    }
}

/// `greeter/1` covers `greeter/1` and all its methods.
fn covers(held: &Mark, mark: &str) -> bool {
    let rest = mark.strip_prefix(held.as_str());
    rest.is_some_and(|rest| rest.is_empty() || (held.method().is_none() && rest.starts_with('#')))
}

fn list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    items: impl Iterator<Item = T>,
) -> fmt::Result {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    write!(f, "{what} {}", items.join(" or "))
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Servers(set) => list(f, "at", set.iter()),
            Self::Roles(set) => list(f, "at servers of role", set.iter()),
            Self::Actors(set) => list(f, "for actor", set.iter()),
            Self::Paths(set) => list(f, "below path", set.iter()),
            Self::Marks(set) => list(f, "for message", set.iter()),
            Self::Capabilities(set) => list(f, "only", set.iter()),
            Self::NotAfter(seconds) => write!(f, "until {}", moment(*seconds)),
        }
    }
}

/// Where a right comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Code of the same process.
    Process,
    /// A unix socket's peer with our user id, or root.
    SameUser,
    /// The peer's certificate, by its serial number.
    Certificate(String),
    /// `auth` of the configuration.
    Configuration,
    /// A chain of grants that the peer has presented over this link, by the ids of its blocks.
    Grant(Vec<String>),
    /// A chain of grants that somebody else has presented for the peer, by the ids of its blocks.
    Delegated(Vec<String>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process => f.write_str("code of the same process"),
            Self::SameUser => f.write_str("a process of this user, over a unix socket"),
            Self::Certificate(serial) => write!(f, "certificate {serial}"),
            Self::Configuration => f.write_str("`auth` of the configuration"),
            Self::Grant(ids) => write!(f, "grant {}", ids.join(" > ")),
            Self::Delegated(ids) => write!(f, "grant {}, presented for it", ids.join(" > ")),
        }
    }
}

/// Capabilities, within what limits, and from where.
///
/// ```
/// # use odeon_core::{Act, Capabilities, Caveat, Origin, Right, ServerId};
/// let here: ServerId = "web-0@/".parse().unwrap();
/// let act = Act {
///     capability: "shutdown", server: &here, roles: &[], actors: &[], mark: None, path: None, unix_ms: 1_000,
/// };
/// let mut right = Right::new(Capabilities::admin(), Origin::Configuration);
/// assert!(right.allows(&act));
/// right.caveats.push(Caveat::Servers(["web-1@/".parse().unwrap()].into()));
/// assert!(!right.allows(&act), "one caveat more can only take away");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Right {
    /// What may be done.
    pub capabilities: Capabilities,
    /// Within what limits; all of them hold.
    pub caveats: Vec<Caveat>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Right {
    /// A right without limits.
    #[must_use]
    pub const fn new(capabilities: Capabilities, origin: Origin) -> Self {
        Self { capabilities, caveats: Vec::new(), origin }
    }

    /// Whether the holder may do this by it.
    #[must_use]
    pub fn allows(&self, act: &Act<'_>) -> bool {
        self.capabilities.can(act.capability) && self.caveats.iter().all(|caveat| caveat.allows(act))
    }

    /// When it ends, in seconds since 1970, if it does.
    #[must_use]
    pub fn not_after(&self) -> Option<u64> {
        let ends = self.caveats.iter().filter_map(|caveat| match caveat {
            Caveat::NotAfter(seconds) => Some(*seconds),
            _ => None,
        });
        ends.min()
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held: Vec<&str> = self.capabilities.iter().map(crate::Capability::as_str).collect();
        f.write_str(&held.join(", "))?;
        self.caveats.iter().try_for_each(|caveat| write!(f, "; {caveat}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<T: FromStr + Ord>(texts: &[&str]) -> BTreeSet<T> {
        texts.iter().filter_map(|text| text.parse().ok()).collect()
    }

    #[test]
    fn each_caveat_allows_what_it_names_and_refuses_what_the_act_does_not_say() {
        let (server, role) = ("web-0@/".parse().expect("an id"), "web".parse().expect("a role"));
        let (roles, actors) = ([role], ["cart".parse().expect("an actor")]);
        let said = Act {
            capability: "shutdown",
            server: &server,
            roles: &roles,
            actors: &actors,
            mark: Some("greeter/1#greet"),
            path: Some("/cart/public/1"),
            unix_ms: 59_999,
        };
        let other: ServerId = "other@/".parse().expect("an id");
        let unsaid =
            Act { server: &other, roles: &[], actors: &[], mark: None, path: None, unix_ms: 60_000, ..said };
        let capability =
            |text: &str| Caveat::Capabilities(set::<crate::Capability>(&[text]).into_iter().collect());
        let caveats = [
            Caveat::Servers(set(&["web-0@/", "web-1@/"])),
            Caveat::Roles(set(&["web"])),
            Caveat::Actors(set(&["cart"])),
            Caveat::Paths(set(&["cart/public"])),
            Caveat::Marks(set(&["greeter/1"])),
            Caveat::Marks(set(&["greeter/1#greet"])),
            Caveat::NotAfter(60),
        ];
        for caveat in &caveats {
            assert!(caveat.allows(&said), "{caveat}");
            assert!(!caveat.allows(&unsaid), "{caveat}");
        }
        assert!(capability("shutdown").allows(&said) && capability("admin").allows(&said));
        assert!(!capability("loader").allows(&said));
        for mark in ["greeter/1#greet-all", "greeter/10", "greeter/1"] {
            let caveat = Caveat::Marks(set(&["greeter/1#greet"]));
            assert!(!caveat.allows(&Act { mark: Some(mark), ..said }), "{mark}");
        }
        assert!(!Caveat::Marks(set(&["greeter/1"])).allows(&Act { mark: Some("greeter/10#greet"), ..said }));
    }

    #[test]
    fn a_path_of_255_bytes_is_taken_and_of_256_is_not() {
        assert!("p".repeat(PATH_BYTES_MAX).parse::<PathPrefix>().is_ok());
        assert!("p".repeat(PATH_BYTES_MAX + 1).parse::<PathPrefix>().is_err());
        for bad in ["", "/", "a//b", "a/../b", ".", "a\u{1b}[2J", "a\u{9b}m", "a\n"] {
            assert!(bad.parse::<PathPrefix>().is_err(), "{bad:?}");
        }
    }
}
