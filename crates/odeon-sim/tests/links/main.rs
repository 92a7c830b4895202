//! The fault table of links: one test for each kind of fault, by its name.
//!
//! Each runs the scenario from a few seeds with that kind of fault alone. The history must be sound: order, at most
//! once, nothing lost in silence, every ask and monitor told, no older incarnation after a newer one, and everything
//! works again by itself in bounded time. A fault that touched nothing proves nothing, so that is counted too.

#![expect(clippy::print_stdout, reason = "how long healing took is worth a line")]

mod middleboxes;
mod network;
mod servers;
mod support;
