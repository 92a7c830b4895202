//! Which faults happen when: a plan drawn from the seed before the run begins, so that it can be printed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::net::Power;
use crate::path::{Emerges, Mangling, Pace};
use crate::rng::SimRng;

/// The most faults in one run.
pub const FAULTS_MAX: u64 = 12;

/// From when and until when faults begin.
const BEGIN_MS: (u64, u64) = (500, 45_000);

/// By when all are over, unless one lasts for an hour.
pub const CALM_AFTER: Duration = Duration::from_secs(60);

/// Longest time that a fault lasts, in milliseconds: longer than a silent link is believed in.
const LASTS_MS_MAX: u64 = 25_000;

/// How late the bytes of [`Kind::HourOld`] and [`Kind::Stray`] are.
const HOUR: Duration = Duration::from_secs(3_600);

/// How far the rate of a clock is off at most, in millionths: far more than any that is sold.
pub const DRIFT_PPM_MAX: u64 = 100_000;

/// How far a clock jumps ahead at most, in milliseconds: longer than a silent link is believed in.
const JUMP_MS_MAX: u64 = 40_000;

/// How far a date jumps in either direction at most, in milliseconds: a day.
const DATE_JUMP_MS_MAX: u64 = 86_400_000;

/// One of the scenario's servers, by its place in the list.
pub type Node = usize;

/// A kind of fault, by the name under which it can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nothing gets through between two servers.
    Partition,
    /// Nothing gets through from one to another.
    OneWay,
    /// A path is slow.
    Delay,
    /// A path loses segments: connections stall, or are given up.
    Loss,
    /// Connections are reset for both ends.
    Reset,
    /// Connections are reset for one end; what it sent arrives later, behind what comes over the next one.
    HalfOpen,
    /// Connections go on and lose everything in one direction.
    BlackHole,
    /// A box on the path has bytes arrive twice.
    Duplication,
    /// A box on the path has bytes arrive in another order.
    Reordering,
    /// What was sent arrives an hour late, in its connection.
    HourOld,
    /// A box on the path keeps bytes back for an hour, and then puts them into a younger connection.
    Stray,
    /// Connections are recorded and played again.
    Replay,
    /// A server crashes and starts again.
    Crash,
    /// Another incarnation of a server is started while the old one is cut off, and comes back.
    EpochChange,
    /// The actor that messages are for ends and is started again.
    Quit,
    /// A disk fails every write.
    DiskFails,
    /// A server's clock runs at another rate and jumps; its date too.
    ClockSkew,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Partition,
        Self::OneWay,
        Self::Delay,
        Self::Loss,
        Self::Reset,
        Self::HalfOpen,
        Self::BlackHole,
        Self::Duplication,
        Self::Reordering,
        Self::HourOld,
        Self::Stray,
        Self::Replay,
        Self::Crash,
        Self::EpochChange,
        Self::Quit,
        Self::DiskFails,
        Self::ClockSkew,
    ];

    /// Those that happen where none are asked for: all that networks and hosts do by themselves.
    pub const USUAL: [Self; 11] = [
        Self::Partition,
        Self::OneWay,
        Self::Delay,
        Self::Loss,
        Self::Reset,
        Self::HalfOpen,
        Self::BlackHole,
        Self::Crash,
        Self::EpochChange,
        Self::Quit,
        Self::DiskFails,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::OneWay => "one-way",
            Self::Delay => "delay",
            Self::Loss => "loss",
            Self::Reset => "reset",
            Self::HalfOpen => "half-open",
            Self::BlackHole => "black-hole",
            Self::Duplication => "duplication",
            Self::Reordering => "reordering",
            Self::HourOld => "hour-old",
            Self::Stray => "stray",
            Self::Replay => "replay",
            Self::Crash => "crash",
            Self::EpochChange => "epoch-change",
            Self::Quit => "quit",
            Self::DiskFails => "disk-fails",
            Self::ClockSkew => "clock-skew",
        }
    }

    /// How much more often than others it is drawn.
    const fn weight(self) -> u64 {
        match self {
            Self::Partition | Self::OneWay | Self::Delay => 3,
            Self::Loss | Self::Reset | Self::BlackHole | Self::Crash | Self::Quit => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("`{text}` is no fault; there are {names}")
        })
    }
}

/// Something that goes wrong. Those that last are undone at their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing gets through between the two.
    Partition(Node, Node),
    /// Nothing gets through from the first to the second.
    OneWay(Node, Node),
    /// The path from the first to the second takes so long.
    Delay(Node, Node, Pace),
    /// The path from the first to the second loses so many of 100 segments.
    Loss(Node, Node, u64),
    /// Every connection between the two is reset.
    Reset(Node, Node),
    /// The first one's ends of the connections with the second are reset; what was sent arrives at the end.
    HalfOpen(Node, Node),
    /// The connections that are there lose what the first sends to the second.
    BlackHole(Node, Node),
    /// A box breaks what the first sends to the second.
    Mangling(Node, Node, Mangling),
    /// The connections that are there keep back what the first sends to the second, for so long.
    HoldBack(Node, Node, Duration, Emerges),
    /// What was said to the server in any connection is said to it again.
    Replay(Node),
    /// The server crashes, and starts again at the end.
    Crash(Node, Power),
    /// The server is cut off, and another incarnation is started elsewhere; the old one is back at the end, for
    /// a while.
    EpochChange(Node),
    /// The server's worker ends, and is started again at once.
    Quit(Node),
    /// The server's disk fails every write.
    DiskFails(Node),
    /// The server's clock jumps ahead, its date to somewhere, and it runs at this rate, in millionths.
    ClockSkew(Node, Duration, i64, u64),
}

/// A fault, when it begins, and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// After the beginning of the run.
    pub at: Duration,
    /// From then on.
    pub lasts: Duration,
    /// What goes wrong.
    pub fault: Fault,
}

/// The plan for servers `0..nodes`, of which the first is the registry, with faults of these kinds; none without
/// any kind.
#[must_use]
pub fn plan(rng: &SimRng, nodes: usize, kinds: &[Kind]) -> Vec<Planned> {
    let count = rng.between(3, FAULTS_MAX);
    let mut plan: Vec<_> =
        (0..count).filter_map(|_| Some(draw(rng, nodes, draw_kind(rng, kinds)?))).collect();
    plan.sort_by_key(|planned| planned.at);
    plan
}

fn draw_kind(rng: &SimRng, kinds: &[Kind]) -> Option<Kind> {
    let mut drawn = rng.below(kinds.iter().map(|kind| kind.weight()).sum());
    kinds.iter().copied().find(|kind| {
        let is_it = drawn < kind.weight();
        drawn = drawn.saturating_sub(kind.weight());
        is_it
    })
}

fn draw(rng: &SimRng, nodes: usize, kind: Kind) -> Planned {
    let count = u64::try_from(nodes).unwrap_or(1);
    let one = rng.below(count);
    let other = (one + rng.between(1, count - 1)) % count;
    // The registry stays where it is: it is found by its address.
    let [one, other] = [one, other].map(|n| usize::try_from(n).unwrap_or(0));
    let worker = usize::try_from(rng.between(1, count - 1)).unwrap_or(1);
    let fault = match kind {
        Kind::Partition => Fault::Partition(one, other),
        Kind::OneWay => Fault::OneWay(one, other),
        Kind::Delay => {
            Fault::Delay(one, other, Pace { delay: rng.millis(0, 800), jitter: rng.millis(0, 1_500) })
        }
        Kind::Loss => Fault::Loss(one, other, rng.between(5, 70)),
        Kind::Reset => Fault::Reset(one, other),
        Kind::HalfOpen => Fault::HalfOpen(one, other),
        Kind::BlackHole => Fault::BlackHole(one, other),
        Kind::Duplication => Fault::Mangling(one, other, Mangling::Duplicates),
        Kind::Reordering => Fault::Mangling(one, other, Mangling::Reorders),
        Kind::HourOld => Fault::HoldBack(one, other, HOUR, Emerges::Late),
        Kind::Stray => Fault::HoldBack(one, other, HOUR, Emerges::Elsewhere),
        Kind::Replay => Fault::Replay(one),
        Kind::Crash if rng.chance(1, 2) => Fault::Crash(one, Power::Stays),
        Kind::Crash => Fault::Crash(one, Power::Fails),
        Kind::EpochChange => Fault::EpochChange(worker),
        Kind::Quit => Fault::Quit(worker),
        Kind::DiskFails => Fault::DiskFails(0),
        Kind::ClockSkew => skew(rng, one),
    };
    // Short ones pass unnoticed by the heartbeat, long ones do not: both must happen.
    let longest = if rng.chance(1, 2) { 2_000 } else { LASTS_MS_MAX };
    let at = rng.millis(BEGIN_MS.0, BEGIN_MS.1);
    let lasts = match fault {
        Fault::HoldBack(_, _, time, _) => time,
        _ => rng.millis(50, longest).min(CALM_AFTER - at),
    };
    Planned { at, lasts, fault }
}

fn skew(rng: &SimRng, node: Node) -> Fault {
    let jump = if rng.chance(1, 2) { rng.millis(1, JUMP_MS_MAX) } else { Duration::ZERO };
    let date = i64::try_from(rng.between(0, 2 * DATE_JUMP_MS_MAX)).unwrap_or(0) - DATE_JUMP_MS_MAX as i64;
    let rate_ppm = rng.between(1_000_000 - DRIFT_PPM_MAX, 1_000_000 + DRIFT_PPM_MAX);
    Fault::ClockSkew(node, jump, date, rate_ppm)
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?} for {:?}", self.fault, self.at, self.lasts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn kind_of(fault: Fault) -> Kind {
        match fault {
            Fault::Partition(..) => Kind::Partition,
            Fault::OneWay(..) => Kind::OneWay,
            Fault::Delay(..) => Kind::Delay,
            Fault::Loss(..) => Kind::Loss,
            Fault::Reset(..) => Kind::Reset,
            Fault::HalfOpen(..) => Kind::HalfOpen,
            Fault::BlackHole(..) => Kind::BlackHole,
            Fault::Mangling(_, _, Mangling::Duplicates) => Kind::Duplication,
            Fault::Mangling(_, _, Mangling::Reorders) => Kind::Reordering,
            Fault::HoldBack(.., Emerges::Late) => Kind::HourOld,
            Fault::HoldBack(.., Emerges::Elsewhere) => Kind::Stray,
            Fault::Replay(_) => Kind::Replay,
            Fault::Crash(..) => Kind::Crash,
            Fault::EpochChange(_) => Kind::EpochChange,
            Fault::Quit(_) => Kind::Quit,
            Fault::DiskFails(_) => Kind::DiskFails,
            Fault::ClockSkew(..) => Kind::ClockSkew,
        }
    }

    #[test]
    fn plans_keep_to_their_bounds_and_every_kind_of_fault_comes_up() {
        for kinds in [&Kind::ALL[..], &Kind::USUAL] {
            let mut seen = BTreeSet::new();
            for seed in 0..200 {
                let plan = plan(&SimRng::new(seed), 3, kinds);
                assert!(plan.len() >= 3 && plan.len() as u64 <= FAULTS_MAX);
                for Planned { at, lasts, fault } in plan {
                    assert!(at + lasts <= CALM_AFTER || matches!(fault, Fault::HoldBack(..)));
                    seen.insert(kind_of(fault));
                    if let Fault::Partition(one, other) | Fault::OneWay(one, other) = fault {
                        assert!(one != other && one < 3 && other < 3);
                    }
                }
            }
            assert_eq!(seen, kinds.iter().copied().collect());
        }
    }

    #[test]
    fn a_plan_of_one_kind_has_no_other() {
        for kind in Kind::ALL {
            for seed in 0..5 {
                let plan = plan(&SimRng::new(seed), 3, &[kind]);
                assert!(plan.iter().all(|planned| kind_of(planned.fault) == kind), "{kind}");
            }
        }
        assert_eq!(plan(&SimRng::new(1), 3, &[]), []);
    }

    #[test]
    fn kinds_are_read_by_the_names_they_print() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("gremlins".parse::<Kind>().expect_err("none").contains("partition, one-way"));
    }
}
