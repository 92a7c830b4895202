//! The kit for tests, `odeon_actor::testing`: worlds, exploring, probes and helpers.

extern crate odeon_actor as odeon;

mod explore;
mod guide;
mod guide_links;
mod helpers;
mod probes;
mod support;
mod worlds;
