//! Which faults happen when: a plan drawn from the seed before the run begins, so that it can be printed.

use std::fmt;
use std::time::Duration;

use crate::net::Power;
use crate::path::Pace;
use crate::rng::SimRng;

/// The most faults in one run.
pub const FAULTS_MAX: u64 = 12;

/// From when and until when faults begin.
const BEGIN_MS: (u64, u64) = (500, 45_000);

/// By when all are over.
pub const CALM_AFTER: Duration = Duration::from_secs(60);

/// Longest time that a fault lasts, in milliseconds: longer than a silent link is believed in.
const LASTS_MS_MAX: u64 = 25_000;

/// One of the scenario's servers, by its place in the list.
pub type Node = usize;

/// Something that goes wrong. Those that last are undone at their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing gets through between the two.
    Partition(Node, Node),
    /// Nothing gets through from the first to the second.
    OneWay(Node, Node),
    /// The path from the first to the second takes so long.
    Slow(Node, Node, Pace),
    /// Every connection between the two is reset.
    Reset(Node, Node),
    /// The first one's ends of the connections with the second are reset; what was sent still arrives.
    ResetEnd(Node, Node),
    /// The connections that are there lose what the first sends to the second.
    BlackHole(Node, Node),
    /// The server crashes, and starts again at the end.
    Crash(Node, Power),
    /// The server is cut off, and another incarnation is started elsewhere; the old one is back at the end, for
    /// a while.
    Usurp(Node),
    /// The server's worker ends, and is started again at once.
    Quit(Node),
    /// The server's disk fails every write.
    DiskFails(Node),
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

/// The plan for servers `0..nodes`, of which the first is the registry.
#[must_use]
pub fn plan(rng: &SimRng, nodes: usize) -> Vec<Planned> {
    let mut plan: Vec<_> = (0..rng.between(3, FAULTS_MAX)).map(|_| draw(rng, nodes)).collect();
    plan.sort_by_key(|planned| planned.at);
    plan
}

fn draw(rng: &SimRng, nodes: usize) -> Planned {
    let count = u64::try_from(nodes).unwrap_or(1);
    let one = rng.below(count);
    let other = (one + rng.between(1, count - 1)) % count;
    // The registry stays where it is: it is found by its address.
    let [one, other] = [one, other].map(|n| usize::try_from(n).unwrap_or(0));
    let worker = usize::try_from(rng.between(1, count - 1)).unwrap_or(1);
    let fault = match rng.below(20) {
        0..3 => Fault::Partition(one, other),
        3..6 => Fault::OneWay(one, other),
        6..9 => Fault::Slow(one, other, pace(rng)),
        9..11 => Fault::Reset(one, other),
        11 => Fault::ResetEnd(one, other),
        12..14 => Fault::BlackHole(one, other),
        14 => Fault::Crash(one, Power::Stays),
        15 => Fault::Crash(one, Power::Fails),
        16 => Fault::Usurp(worker),
        17..19 => Fault::Quit(worker),
        _ => Fault::DiskFails(0),
    };
    // Short ones pass unnoticed by the heartbeat, long ones do not: both must happen.
    let longest = if rng.chance(1, 2) { 2_000 } else { LASTS_MS_MAX };
    let at = rng.millis(BEGIN_MS.0, BEGIN_MS.1);
    Planned { at, lasts: rng.millis(50, longest).min(CALM_AFTER - at), fault }
}

fn pace(rng: &SimRng) -> Pace {
    Pace { delay: rng.millis(0, 800), jitter: rng.millis(0, 1_500) }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?} for {:?}", self.fault, self.at, self.lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_keep_to_their_bounds_and_every_kind_of_fault_comes_up() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let plan = plan(&SimRng::new(seed), 3);
            assert!(plan.len() >= 3 && plan.len() as u64 <= FAULTS_MAX);
            for Planned { at, lasts, fault } in plan {
                assert!(at + lasts <= CALM_AFTER);
                let text = format!("{fault:?}");
                kinds.insert(text.split('(').next().expect("a name").to_owned());
                if let Fault::Partition(one, other) | Fault::OneWay(one, other) = fault {
                    assert!(one != other && one < 3 && other < 3);
                }
            }
        }
        assert_eq!(kinds.len(), 10, "{kinds:?}");
    }
}
