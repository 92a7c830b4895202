//! What networks do by themselves.

use odeon_sim::faults::Kind;

use crate::support::survives;

#[test]
fn partition() {
    survives(Kind::Partition, "stalled");
}

#[test]
fn one_way() {
    survives(Kind::OneWay, "stalled");
}

#[test]
fn delay() {
    survives(Kind::Delay, "slow");
}

#[test]
fn loss() {
    survives(Kind::Loss, "lost");
}

#[test]
fn reset() {
    survives(Kind::Reset, "reset");
}

#[test]
fn half_open() {
    survives(Kind::HalfOpen, "half reset");
}

#[test]
fn black_hole() {
    survives(Kind::BlackHole, "swallowed");
}
