//! The actor that sums up what a number of others report, and tells the verdict.

use crate::{
    savina::verdict::Verdict,
    stages::{Behaviour, Scene, Stage},
};

/// The sum so far, and how many have not reported.
pub(crate) struct Collector {
    missing: u64,
    sum: u64,
    verdict: Verdict,
}

impl Collector {
    /// Waits for this many reports.
    pub(crate) fn new(missing: u64, verdict: Verdict) -> Self {
        Self { missing, sum: 0, verdict }
    }
}

impl<S: Stage> Behaviour<S> for Collector {
    type Message = u64;

    fn receive(&mut self, report: u64, _scene: &mut impl Scene<S, Self>) {
        self.sum += report;
        self.missing = self.missing.saturating_sub(1);
        if self.missing == 0 {
            self.verdict.tell(self.sum);
        }
    }
}
