//! What no network does by itself, but a broken or hostile box on the way.

use odeon_sim::faults::Kind;

use crate::support::{survives, survives_in};

#[test]
fn duplication() {
    survives(Kind::Duplication, "duplicated");
}

#[test]
fn reordering() {
    survives(Kind::Reordering, "overtaken");
}

#[test]
fn hour_old() {
    survives(Kind::HourOld, "late");
}

#[test]
fn stray() {
    survives_in(6, Kind::Stray, "stray");
}

#[test]
fn replay() {
    survives(Kind::Replay, "replayed");
}
