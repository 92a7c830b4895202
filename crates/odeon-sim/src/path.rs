//! The paths between hosts: how long they take, what they lose, what a broken box on them does to the bytes, and
//! which are cut. Each direction is a path of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::rng::SimRng;

/// The delay of a path nothing was said about: a network within one building, and a little jitter.
const PACE_DEFAULT: Pace = Pace { delay: Duration::from_millis(1), jitter: Duration::from_millis(2) };

/// The time until a lost segment is sent again for the first time; it doubles, as TCP's does.
const RETRY_FIRST: Duration = Duration::from_millis(200);

/// How often a lost segment is sent again before its sender gives the connection up.
const RETRIES_MAX: u32 = 6;

/// How long a path takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// At least.
    pub delay: Duration,
    /// At most so much more, at random.
    pub jitter: Duration,
}

/// What a broken box on a path does to the bytes within a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mangling {
    /// Some segments arrive twice.
    Duplicates,
    /// Some segments arrive after the next one.
    Reorders,
}

/// Where bytes come out that were kept back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emerges {
    /// In their own connection, if anybody holds its end by then.
    Late,
    /// In the youngest connection between the two.
    Elsewhere,
}

#[derive(Debug, Default)]
pub(crate) struct Paths {
    cuts: BTreeSet<[Arc<str>; 2]>,
    paces: BTreeMap<[Arc<str>; 2], Pace>,
    losses: BTreeMap<[Arc<str>; 2], u64>,
    mangled: BTreeMap<[Arc<str>; 2], Mangling>,
}

/// What loss costs a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It arrives so much later.
    Late(Duration),
    /// The connection is given up.
    GivenUp,
}

impl Paths {
    pub(crate) fn delay(&self, path: &[Arc<str>; 2], rng: &SimRng) -> Duration {
        let pace = self.paces.get(path).copied().unwrap_or(PACE_DEFAULT);
        let jitter = u64::try_from(pace.jitter.as_nanos()).unwrap_or(u64::MAX);
        pace.delay + Duration::from_nanos(rng.between(0, jitter))
    }

    pub(crate) fn is_slow(&self, path: &[Arc<str>; 2]) -> bool {
        self.paces.contains_key(path)
    }

    pub(crate) fn set_pace(&mut self, path: [Arc<str>; 2], pace: Option<Pace>) {
        match pace {
            Some(pace) => drop(self.paces.insert(path, pace)),
            None => drop(self.paces.remove(&path)),
        }
    }

    /// Draws what loss costs the next segment.
    pub(crate) fn loss(&self, path: &[Arc<str>; 2], rng: &SimRng) -> Loss {
        let percent = self.losses.get(path).copied().unwrap_or(0);
        let mut late = Duration::ZERO;
        for retry in 0..=RETRIES_MAX {
            if percent == 0 || !rng.chance(percent, 100) {
                return Loss::Late(late);
            }
            late += RETRY_FIRST * 2_u32.pow(retry);
        }
        Loss::GivenUp
    }

    pub(crate) fn set_loss(&mut self, path: [Arc<str>; 2], percent: u64) {
        match percent {
            0 => drop(self.losses.remove(&path)),
            _ => drop(self.losses.insert(path, percent)),
        }
    }

    pub(crate) fn mangling(&self, path: &[Arc<str>; 2]) -> Option<Mangling> {
        self.mangled.get(path).copied()
    }

    pub(crate) fn set_mangling(&mut self, path: [Arc<str>; 2], mangling: Option<Mangling>) {
        match mangling {
            Some(mangling) => drop(self.mangled.insert(path, mangling)),
            None => drop(self.mangled.remove(&path)),
        }
    }

    pub(crate) fn is_cut(&self, path: &[Arc<str>; 2]) -> bool {
        self.cuts.contains(path)
    }

    pub(crate) fn cut(&mut self, path: [Arc<str>; 2]) {
        self.cuts.insert(path);
    }

    pub(crate) fn mend(&mut self, path: &[Arc<str>; 2]) {
        self.cuts.remove(path);
    }
}
