//! Two sessions, a virtual wire and virtual time.

mod garbage;
mod handshake;
mod limits;
mod liveness;
mod pair;
mod traffic;
