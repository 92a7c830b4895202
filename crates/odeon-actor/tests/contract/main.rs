//! The contract of local actors, one test for each promise of `docs/semantics.md`.

extern crate odeon_actor as odeon;

//MOD asks
mod control;
//MOD dead_letters
//MOD death
//MOD deliveries
//MOD limits
mod mailbox;
//MOD monitors
//MOD names
//MOD remote
mod support;
