//! Two sessions, a virtual wire and virtual time.

mod flows;
mod garbage;
mod handshake;
mod idle;
mod limits;
mod liveness;
mod pair;
mod traffic;
