//! Who owes whom an answer: the asks and monitors of both directions.
//!
//! The id of an ask is a counter and, in its low 16 bits, a place in a table: so the ids of a place only rise, none is
//! used twice, and nothing is searched for. Over all places they need not come in order, since a small ask may
//! overtake a large one of another flow. Every ask has exactly one final answer on the wire; a cancelled one is
//! answered by the peer's session itself and keeps its place until then, so that an answer that crossed the
//! cancel is told from one that nobody asked for.

use std::collections::{BTreeSet, VecDeque};

use crate::bugs::bug;
use crate::outbox::Place;

/// Bits of an ask's id that are its place.
const PLACE_BITS: u32 = 16;

/// An ask of ours that has no final answer yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    id: u64,
    is_cancelled: bool,
    /// Where it was sent: its answer shows that all before it has been taken.
    pub(crate) flow: u32,
    /// Its number there.
    pub(crate) seq: u64,
    /// Where it was queued: a cancel does not overtake it.
    pub(crate) place: Place,
}

/// The place of an ask in the tables of both ends.
#[must_use]
pub fn ask_place(ask_id: u64) -> usize {
    usize::try_from(ask_id & ((1 << PLACE_BITS) - 1)).expect("16 bits fit")
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

/// The last ask of the peer's at a place.
#[derive(Debug, Clone, Copy, Default)]
struct Owed {
    id: u64,
    is_open: bool,
}

/// The books of one link.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    asked: Vec<Option<Asked>>,
    free: Vec<usize>,
    /// Places of asks whose answer the driver has not been told yet, in the order of the answers. Until then the
    /// asker is still known by its place.
    untold: VecDeque<usize>,
    unanswered: usize,
    waiting: usize,
    asks: u64,
    late: u64,
    monitoring: BTreeSet<u64>,
    last_monitor: u64,
    /// The peer's asks, each at its place.
    their_asks: Vec<Owed>,
    owed: usize,
    their_monitors: BTreeSet<u64>,
    their_last_monitor: u64,
}

impl Ledger {
    /// The id of our next ask; [`Ledger::asked`] takes it.
    pub(crate) fn next_ask(&self) -> u64 {
        let place = self.free.last().copied().unwrap_or(self.asked.len());
        ((self.asks + 1) << PLACE_BITS) | u64::try_from(place).expect("less than ASKS_MAX")
    }

    /// Our asks without a final answer, cancelled ones included.
    pub(crate) const fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Places of the table that are not free.
    pub(crate) fn places(&self) -> usize {
        self.unanswered + self.untold.len()
    }

    /// Our asks for which somebody waits.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Asks of the peer's that we have not answered.
    pub(crate) const fn owed(&self) -> usize {
        self.owed
    }

    /// Answers that came after their asker had given up.
    pub(crate) const fn late(&self) -> u64 {
        self.late
    }

    /// Notes that the next ask has been sent.
    pub(crate) fn asked(&mut self, flow: u32, seq: u64, place: Place) {
        let id = self.next_ask();
        let asked = Some(Asked { id, is_cancelled: false, flow, seq, place });
        match self.free.pop() {
            Some(free) => self.asked[free] = asked,
            None => self.asked.push(asked),
        }
        self.asks += u64::from(!bug("reuse-ask-id"));
        self.waiting += 1;
        self.unanswered += 1;
    }

    fn asked_mut(&mut self, ask_id: u64) -> Option<&mut Option<Asked>> {
        let place = self.asked.get_mut(ask_place(ask_id))?;
        place.is_some_and(|asked| asked.id == ask_id).then_some(place)
    }

    /// Gives up an ask, and says where it was queued if it was waiting.
    pub(crate) fn cancel(&mut self, ask_id: u64) -> Option<Place> {
        let asked = self.asked_mut(ask_id)?.as_mut().filter(|asked| !asked.is_cancelled)?;
        asked.is_cancelled = true;
        let place = asked.place;
        self.waiting -= 1;
        Some(place)
    }

    /// Takes a final answer. The place of one that is awaited is free once the driver [has been told](Self::told).
    ///
    /// # Errors
    /// When there is no such ask, or it has been answered.
    pub(crate) fn answered(&mut self, ask_id: u64) -> Result<(Answer, Asked), String> {
        let Some(asked) = self.asked_mut(ask_id).and_then(Option::take) else {
            return Err(if (1..=self.asks).contains(&(ask_id >> PLACE_BITS)) {
                format!("it answered ask {ask_id} twice")
            } else {
                format!("it answered ask {ask_id}, which was never asked")
            });
        };
        self.unanswered -= 1;
        if asked.is_cancelled {
            self.free.push(ask_place(ask_id));
            self.late += 1;
            return Ok((Answer::Late, asked));
        }
        self.untold.push_back(ask_place(ask_id));
        self.waiting -= 1;
        Ok((Answer::Awaited, asked))
    }

    /// Notes that the driver has been told the oldest answer of which it did not know.
    pub(crate) fn told(&mut self) {
        self.free.extend(self.untold.pop_front());
    }

    /// Notes that the driver has been told every answer.
    pub(crate) fn told_all(&mut self) {
        self.free.extend(self.untold.drain(..));
    }

    /// Takes an ask of the peer's.
    ///
    /// # Errors
    /// When its id does not rise, or its place is taken.
    pub(crate) fn their_ask(&mut self, ask_id: u64, max: usize) -> Result<Admission, String> {
        let place = ask_place(ask_id);
        if place >= max {
            return Ok(Admission::TooMany);
        }
        if place >= self.their_asks.len() {
            self.their_asks.resize(place + 1, Owed::default());
        }
        let owed = &mut self.their_asks[place];
        if owed.is_open {
            return Err(format!("it asked at place {place}, which is taken"));
        }
        rise(&mut owed.id, ask_id, "ask")?;
        owed.is_open = true;
        self.owed += 1;
        Ok(Admission::Taken)
    }

    /// Takes the peer's giving up, and says whether the ask was still open. `max` is as when it was asked: of an ask
    /// past it nothing is known.
    ///
    /// # Errors
    /// When there never was such an ask.
    pub(crate) fn their_cancel(&mut self, ask_id: u64, max: usize) -> Result<bool, String> {
        let place = ask_place(ask_id);
        let last = self.their_asks.get(place).map_or(0, |owed| owed.id);
        if place < max && ask_id > last {
            return Err(format!("it cancelled ask {ask_id}, which it never asked"));
        }
        Ok(self.pay(ask_id))
    }

    /// Whether the peer waits for an answer to this ask.
    pub(crate) fn is_owed(&self, ask_id: u64) -> bool {
        self.their_asks.get(ask_place(ask_id)).is_some_and(|owed| owed.is_open && owed.id == ask_id)
    }

    /// Notes our final answer, and says whether it was owed.
    pub(crate) fn pay(&mut self, ask_id: u64) -> bool {
        let is_owed = self.is_owed(ask_id);
        if is_owed {
            self.their_asks[ask_place(ask_id)].is_open = false;
            self.owed -= 1;
        }
        is_owed
    }

    /// Gives back the memory of asks that are answered.
    pub(crate) fn relax(&mut self) {
        if self.places() == 0 {
            self.asked = Vec::new();
            self.free = Vec::new();
            self.untold = VecDeque::new();
        }
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

    /// Monitors of the peer's.
    pub(crate) fn their_monitors(&self) -> usize {
        self.their_monitors.len()
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
        let waiting = books.asked.into_iter().flatten().filter(|asked| !asked.is_cancelled);
        let mut waiting: Vec<u64> = waiting.map(|asked| asked.id).collect();
        waiting.sort_unstable();
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

    /// The id of the `n`th ask, at `place`.
    fn id(n: u64, place: u64) -> u64 {
        (n << PLACE_BITS) | place
    }

    fn ask(ledger: &mut Ledger) -> u64 {
        let ask_id = ledger.next_ask();
        ledger.asked(0, 1, Place::Among(0));
        ask_id
    }

    fn answer(ledger: &mut Ledger, ask_id: u64) -> Result<Answer, String> {
        ledger.answered(ask_id).map(|(answer, _)| answer)
    }

    #[test]
    fn an_ask_has_one_answer() {
        let mut ledger = Ledger::default();
        assert_eq!(ask(&mut ledger), id(1, 0));
        assert_eq!((ledger.waiting(), ledger.unanswered()), (1, 1));
        assert_eq!(answer(&mut ledger, id(1, 0)), Ok(Answer::Awaited));
        assert!(answer(&mut ledger, id(1, 0)).expect_err("twice").contains("twice"));
        for never in [id(2, 0), id(0, 0), id(9, 7), u64::MAX] {
            assert!(answer(&mut ledger, never).expect_err("never").contains("never asked"));
        }
        assert_eq!((ledger.waiting(), ledger.late()), (0, 0));
    }

    #[test]
    fn a_place_is_given_away_again_and_an_id_is_not() {
        let mut ledger = Ledger::default();
        assert_eq!([ask(&mut ledger), ask(&mut ledger)], [id(1, 0), id(2, 1)]);
        assert_eq!(answer(&mut ledger, id(1, 0)), Ok(Answer::Awaited));
        assert_eq!(ask(&mut ledger), id(3, 2), "the driver may still look for the asker at the first place");
        assert_eq!((ledger.unanswered(), ledger.places()), (2, 3));
        ledger.told();
        assert_eq!(ask(&mut ledger), id(4, 0));
        assert!(answer(&mut ledger, id(1, 0)).is_err(), "the place is another's now");
        assert_eq!(ledger.close().0, [id(2, 1), id(3, 2), id(4, 0)]);
    }

    #[test]
    fn an_answer_that_crosses_the_cancel_is_late_once() {
        let mut ledger = Ledger::default();
        let asked = ask(&mut ledger);
        assert_eq!(ledger.cancel(asked), Some(Place::Among(0)));
        assert_eq!(ledger.cancel(asked), None, "already");
        assert_eq!((ledger.waiting(), ledger.unanswered()), (0, 1), "held until answered");
        assert_eq!(answer(&mut ledger, asked), Ok(Answer::Late));
        assert!(answer(&mut ledger, asked).is_err());
        assert_eq!(ledger.late(), 1);
    }

    #[test]
    fn the_peers_ids_rise_and_their_number_is_limited() {
        let mut ledger = Ledger::default();
        assert!(ledger.their_ask(0, 2).is_err(), "ids rise from 1");
        assert_eq!(ledger.their_ask(id(2, 1), 2), Ok(Admission::Taken));
        assert_eq!(ledger.their_ask(id(1, 0), 2), Ok(Admission::Taken), "it was overtaken");
        assert_eq!(ledger.their_ask(id(6, 2), 2), Ok(Admission::TooMany));
        assert!(ledger.their_ask(id(7, 1), 2).expect_err("taken").contains("taken"));
        assert!(ledger.is_owed(id(2, 1)) && !ledger.is_owed(id(6, 2)) && !ledger.is_owed(id(1, 1)));
        assert!(ledger.pay(id(2, 1)) && !ledger.pay(id(2, 1)));
        assert!(ledger.their_ask(id(2, 1), 2).expect_err("twice").contains("second ask"));
        assert_eq!(ledger.their_ask(id(8, 1), 2), Ok(Admission::Taken));
        assert_eq!(ledger.their_cancel(id(8, 1), 2), Ok(true));
        assert_eq!(ledger.their_cancel(id(8, 1), 2), Ok(false), "crossed our answer");
        assert_eq!(ledger.their_cancel(id(6, 2), 2), Ok(false), "refused before");
        assert!(ledger.their_cancel(id(9, 1), 2).is_err());
        assert_eq!(ledger.owed(), 1);
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
        let asks = [ask(&mut ledger), ask(&mut ledger), ask(&mut ledger)];
        ledger.monitored();
        ledger.cancel(asks[1]);
        assert_eq!(ledger.close(), (vec![asks[0], asks[2]], vec![1]));
        assert_eq!((ledger.waiting(), ledger.unanswered(), ledger.monitors()), (0, 0, 0));
    }
}
