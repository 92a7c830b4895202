//! Actors as people see them: number, type, and name if there is one.

use std::collections::BTreeMap;
use std::fmt;

use odeon_core::ActorName;

use crate::inbox::Inbox;
use crate::system::System;

/// What an actor is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorLabel {
    /// Its number in its system.
    pub number: u64,
    /// Its Rust type.
    pub kind: &'static str,
    /// Its name; the first, if it has several.
    pub name: Option<ActorName>,
}

impl fmt::Display for ActorLabel {
    /// `cart (Cart 3)`, or `Cart 3` without a name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A type's path is for programs, unless its arguments have paths as well.
        let kind = if self.kind.contains('<') {
            self.kind
        } else {
            self.kind.rsplit("::").next().unwrap_or_default()
        };
        match &self.name {
            Some(name) => write!(f, "{name} ({kind} {})", self.number),
            None => write!(f, "{kind} {}", self.number),
        }
    }
}

/// The names of a system's actors, at some moment.
pub(crate) struct Labels(BTreeMap<u64, ActorName>);

impl Labels {
    pub(crate) fn of(&self, actor: &dyn Inbox) -> ActorLabel {
        self.label(actor.number(), actor.kind())
    }

    pub(crate) fn label(&self, number: u64, kind: &'static str) -> ActorLabel {
        ActorLabel { number, kind, name: self.0.get(&number).cloned() }
    }
}

impl System {
    pub(crate) fn labels(&self) -> Labels {
        let named = self.registered().into_iter().rev();
        Labels(named.map(|actor| (actor.inbox.number(), actor.name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_the_name_and_the_last_of_the_type() {
        let label = |kind, name: Option<&str>| {
            let name = name.map(|name| name.parse().expect("a name"));
            ActorLabel { number: 3, kind, name }.to_string()
        };
        assert_eq!(label("shop::cart::Cart", Some("cart")), "cart (Cart 3)");
        assert_eq!(label("Cart", None), "Cart 3");
        assert_eq!(label("shop::Cart<shop::Euro>", None), "shop::Cart<shop::Euro> 3");
    }
}
