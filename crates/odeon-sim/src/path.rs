//! The paths between hosts: how long they take, and which are cut. Each direction is a path of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::rng::SimRng;

/// The delay of a path nothing was said about: a network within one building, and a little jitter.
const PACE_DEFAULT: Pace = Pace { delay: Duration::from_millis(1), jitter: Duration::from_millis(2) };

/// How long a path takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// At least.
    pub delay: Duration,
    /// At most so much more, at random.
    pub jitter: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Paths {
    cuts: BTreeSet<[Arc<str>; 2]>,
    paces: BTreeMap<[Arc<str>; 2], Pace>,
}

impl Paths {
    pub(crate) fn delay(&self, from: &Arc<str>, to: &Arc<str>, rng: &SimRng) -> Duration {
        let path = [Arc::clone(from), Arc::clone(to)];
        let pace = self.paces.get(&path).copied().unwrap_or(PACE_DEFAULT);
        let jitter = u64::try_from(pace.jitter.as_nanos()).unwrap_or(u64::MAX);
        pace.delay + Duration::from_nanos(rng.between(0, jitter))
    }

    pub(crate) fn set_pace(&mut self, path: [Arc<str>; 2], pace: Option<Pace>) {
        match pace {
            Some(pace) => drop(self.paces.insert(path, pace)),
            None => drop(self.paces.remove(&path)),
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
