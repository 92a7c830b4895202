//! Who owes whom an answer: the asks and monitors of both directions.
//!
//! Ids are counters, so those of a direction only rise. Every ask has exactly one final answer on the wire; a
//! cancelled one is answered by the peer's session itself and stays here until then, so that an answer that
//! crossed the cancel is told from one that nobody asked for.

use std::collections::{BTreeMap, BTreeSet};

/// An ask of ours that has no final answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Somebody waits for it.
    Waiting,
    /// Nobody does.
    Cancelled,
}

/// What an answer from the peer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The asker waits for it.
    Awaited,
    /// The asker has given up.
    Late,
}

/// What to do with an ask or a monitor from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Take it.
    Taken,
    /// Refuse it: there are too many.
    TooMany,
}

/// The books of one link.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    asked: BTreeMap<u64, Asked>,
    waiting: usize,
    last_ask: u64,
    late: u64,
    monitoring: BTreeSet<u64>,
    last_monitor: u64,
    their_asks: BTreeSet<u64>,
    their_last_ask: u64,
    their_monitors: BTreeSet<u64>,
    their_last_monitor: u64,
}

impl Ledger {
    /// The id of our next ask; [`Ledger::asked`] takes it.
    pub(crate) const fn next_ask(&self) -> u64 {
        self.last_ask + 1
    }

    /// Our asks without a final answer, cancelled ones included.
    pub(crate) fn unanswered(&self) -> usize {
        self.asked.len()
    }

    /// Our asks for which somebody waits.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Answers that came after their asker had given up.
    pub(crate) const fn late(&self) -> u64 {
        self.late
    }

    /// Notes that the next ask has been sent.
    pub(crate) fn asked(&mut self) {
        self.last_ask += 1;
        self.waiting += 1;
        self.asked.insert(self.last_ask, Asked::Waiting);
    }

    /// Gives up an ask, and says whether it was waiting.
    pub(crate) fn cancel(&mut self, ask_id: u64) -> bool {
        match self.asked.get_mut(&ask_id) {
            Some(asked @ Asked::Waiting) => {
                *asked = Asked::Cancelled;
                self.waiting -= 1;
                true
            }
            _ => false,
        }
    }

    /// Takes a final answer.
    ///
    /// # Errors
    /// When there is no such ask, or it has been answered.
    pub(crate) fn answered(&mut self, ask_id: u64) -> Result<Answer, String> {
        match self.asked.remove(&ask_id) {
            Some(Asked::Waiting) => {
                self.waiting -= 1;
                Ok(Answer::Awaited)
            }
            Some(Asked::Cancelled) => {
                self.late += 1;
                Ok(Answer::Late)
            }
            None if ask_id <= self.last_ask => Err(format!("it answered ask {ask_id} twice")),
            None => Err(format!("it answered ask {ask_id}, which was never asked")),
        }
    }

    /// Takes an ask of the peer's.
    ///
    /// # Errors
    /// When its id does not rise.
    pub(crate) fn their_ask(&mut self, ask_id: u64, max: usize) -> Result<Admission, String> {
        rise(&mut self.their_last_ask, ask_id, "ask")?;
        Ok(admit(&mut self.their_asks, ask_id, max))
    }

    /// Takes the peer's giving up, and says whether the ask was still open.
    ///
    /// # Errors
    /// When there never was such an ask.
    pub(crate) fn their_cancel(&mut self, ask_id: u64) -> Result<bool, String> {
        if ask_id > self.their_last_ask {
            return Err(format!("it cancelled ask {ask_id}, which it never asked"));
        }
        Ok(self.their_asks.remove(&ask_id))
    }

    /// Whether the peer waits for an answer to this ask.
    pub(crate) fn is_owed(&self, ask_id: u64) -> bool {
        self.their_asks.contains(&ask_id)
    }

    /// Notes our final answer, and says whether it was owed.
    pub(crate) fn pay(&mut self, ask_id: u64) -> bool {
        self.their_asks.remove(&ask_id)
    }

    /// The id of our next monitor; [`Ledger::monitored`] takes it.
    pub(crate) const fn next_monitor(&self) -> u64 {
        self.last_monitor + 1
    }

    /// Our monitors.
    pub(crate) fn monitors(&self) -> usize {
        self.monitoring.len()
    }

    /// Notes that the next monitor has been sent.
    pub(crate) fn monitored(&mut self) {
        self.last_monitor += 1;
        self.monitoring.insert(self.last_monitor);
    }

    /// Gives up a monitor, and says whether there was one.
    pub(crate) fn demonitor(&mut self, monitor_id: u64) -> bool {
        self.monitoring.remove(&monitor_id)
    }

    /// Takes a down, and says whether the monitor is still wanted.
    ///
    /// # Errors
    /// When there never was such a monitor.
    pub(crate) fn down(&mut self, monitor_id: u64) -> Result<bool, String> {
        if monitor_id > self.last_monitor {
            return Err(format!("it answered monitor {monitor_id}, which was never set"));
        }
        Ok(self.monitoring.remove(&monitor_id))
    }

    /// Takes a monitor of the peer's.
    ///
    /// # Errors
    /// When its id does not rise.
    pub(crate) fn their_monitor(&mut self, monitor_id: u64, max: usize) -> Result<Admission, String> {
        rise(&mut self.their_last_monitor, monitor_id, "monitor")?;
        Ok(admit(&mut self.their_monitors, monitor_id, max))
    }

    /// Takes away a monitor of the peer's, and says whether there was one. One that crossed our down is gone.
    ///
    /// # Errors
    /// When there never was such a monitor.
    pub(crate) fn their_demonitor(&mut self, monitor_id: u64) -> Result<bool, String> {
        if monitor_id > self.their_last_monitor {
            return Err(format!("it took away monitor {monitor_id}, which it never set"));
        }
        Ok(self.their_monitors.remove(&monitor_id))
    }

    /// Notes our down, and says whether it was wanted.
    pub(crate) fn tell_down(&mut self, monitor_id: u64) -> bool {
        self.their_monitors.remove(&monitor_id)
    }

    /// Closes the books: our asks for which somebody waits, and our monitors.
    pub(crate) fn close(&mut self) -> (Vec<u64>, Vec<u64>) {
        let late = self.late;
        let books = std::mem::take(self);
        self.late = late;
        let waiting = books
            .asked
            .into_iter()
            .filter(|(_, asked)| *asked == Asked::Waiting)
            .map(|(ask_id, _)| ask_id)
            .collect();
        (waiting, books.monitoring.into_iter().collect())
    }
}

fn rise(last: &mut u64, id: u64, what: &str) -> Result<(), String> {
    if id <= *last {
        return Err(format!("it used the id {id} for a second {what}"));
    }
    *last = id;
    Ok(())
}

fn admit(open: &mut BTreeSet<u64>, id: u64, max: usize) -> Admission {
    if open.len() >= max {
        return Admission::TooMany;
    }
    open.insert(id);
    Admission::Taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ask_has_one_answer() {
        let mut ledger = Ledger::default();
        ledger.asked();
        assert_eq!((ledger.waiting(), ledger.unanswered()), (1, 1));
        assert_eq!(ledger.answered(1), Ok(Answer::Awaited));
        assert!(ledger.answered(1).expect_err("twice").contains("twice"));
        assert!(ledger.answered(2).expect_err("never").contains("never asked"));
        assert_eq!((ledger.waiting(), ledger.late()), (0, 0));
    }

    #[test]
    fn an_answer_that_crosses_the_cancel_is_late_once() {
        let mut ledger = Ledger::default();
        ledger.asked();
        assert!(ledger.cancel(1));
        assert!(!ledger.cancel(1), "already");
        assert_eq!((ledger.waiting(), ledger.unanswered()), (0, 1), "held until answered");
        assert_eq!(ledger.answered(1), Ok(Answer::Late));
        assert!(ledger.answered(1).is_err());
        assert_eq!(ledger.late(), 1);
    }

    #[test]
    fn the_peers_ids_rise_and_their_number_is_limited() {
        let mut ledger = Ledger::default();
        assert!(ledger.their_ask(0, 2).is_err(), "ids begin at 1");
        assert_eq!(ledger.their_ask(1, 2), Ok(Admission::Taken));
        assert_eq!(ledger.their_ask(5, 2), Ok(Admission::Taken));
        assert_eq!(ledger.their_ask(6, 2), Ok(Admission::TooMany));
        assert!(ledger.their_ask(6, 2).is_err());
        assert!(ledger.is_owed(5) && !ledger.is_owed(6));
        assert!(ledger.pay(5) && !ledger.pay(5));
        assert_eq!(ledger.their_ask(7, 2), Ok(Admission::Taken));
        assert_eq!(ledger.their_cancel(7), Ok(true));
        assert_eq!(ledger.their_cancel(7), Ok(false), "crossed our answer");
        assert!(ledger.their_cancel(8).is_err());
    }

    #[test]
    fn monitors_of_both_directions_cross_without_harm() {
        let mut ledger = Ledger::default();
        ledger.monitored();
        assert!(ledger.demonitor(1) && !ledger.demonitor(1));
        assert_eq!(ledger.down(1), Ok(false), "crossed the demonitor");
        assert!(ledger.down(2).is_err(), "never set");
        assert_eq!(ledger.their_monitor(1, 1), Ok(Admission::Taken));
        assert_eq!(ledger.their_monitor(2, 1), Ok(Admission::TooMany));
        assert!(ledger.tell_down(1) && !ledger.tell_down(1));
        assert_eq!(ledger.their_demonitor(1), Ok(false), "crossed the down");
        assert!(ledger.their_demonitor(3).is_err());
    }

    #[test]
    fn closing_names_those_who_wait() {
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            ledger.asked();
        }
        ledger.monitored();
        ledger.cancel(2);
        assert_eq!(ledger.close(), (vec![1, 3], vec![1]));
        assert_eq!((ledger.waiting(), ledger.unanswered(), ledger.monitors()), (0, 0, 0));
    }
}
