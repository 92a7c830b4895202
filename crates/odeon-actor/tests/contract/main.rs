//! The contract of local actors, one test for each promise of `docs/semantics.md`.

extern crate odeon_actor as odeon;

mod asks;
mod clauses;
mod control;
mod cycles;
mod cycles_on_the_way;
mod dead_letters;
mod death;
mod defects;
mod deliveries;
mod envelopes;
mod groups;
mod io;
mod links;
mod loops;
mod mailbox;
mod messages;
mod model;
mod monitors;
mod names;
mod observe;
mod overflow;
mod protocols;
mod proxies;
mod races;
mod receive;
mod recipients;
mod remote;
mod shapes;
mod supervision;
mod support;
mod tickers;
mod trees;
