//! What happens to servers and their hosts.

use odeon_sim::faults::Kind;

use crate::support::survives;

#[test]
fn crash() {
    survives(Kind::Crash, "crashed");
}

#[test]
fn epoch_change() {
    survives(Kind::EpochChange, "usurped");
}

#[test]
fn quit() {
    survives(Kind::Quit, "quit");
}

#[test]
fn disk_fails() {
    survives(Kind::DiskFails, "disk failed");
}

#[test]
fn clock_skew() {
    survives(Kind::ClockSkew, "clock changed");
}
