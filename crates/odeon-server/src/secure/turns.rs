//! Turns to compute: how many handshakes may do so at once, and whose turn it is.
//!
//! A handshake of TLS is processor time that any stranger can have us spend. So a step of one is made in a turn, and
//! there are few of them: some threads are always left to the links that stand. Whoever waits stands in the queue of
//! its source, in order of arrival, and the sources take it in turns: who begins a thousand handshakes delays its own.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::strangers::Source;

/// Leave to make one step. Dropped, it is the next one's.
pub(crate) struct Turn(Option<Arc<Turns>>);

/// What a turn comes by.
pub(crate) type Awaited = oneshot::Receiver<Turn>;

/// The turns of one server.
pub(crate) struct Turns(Mutex<State>);

#[derive(Default)]
struct State {
    /// Turns that nobody has, nor waits for.
    free: usize,
    waiting: BTreeMap<Source, VecDeque<oneshot::Sender<Turn>>>,
    /// The sources for which somebody waits; the next turn is the first one's.
    order: VecDeque<Source>,
}

impl Turns {
    /// So many at once, and never none.
    pub(crate) fn new(at_once: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { free: at_once.max(1), ..State::default() })))
    }

    /// The next turn of `source` that is not promised to anybody before.
    pub(crate) fn next(self: &Arc<Self>, source: Source) -> Awaited {
        let (sender, awaited) = oneshot::channel();
        let mut state = self.state();
        if state.free == 0 {
            state.enqueue(source, sender);
            return awaited;
        }
        state.free -= 1;
        drop(state);
        // The other half is here.
        let _ = sender.send(Turn(Some(Arc::clone(self))));
        awaited
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state().waiting.values().flatten().filter(|waiting| !waiting.is_closed()).count()
    }

    fn hand_on(self: &Arc<Self>) {
        loop {
            let Some(next) = self.state().dequeue() else { return };
            let Err(mut refused) = next.send(Turn(Some(Arc::clone(self)))) else { return };
            // It had given up; the turn goes to the one after it.
            refused.0 = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enqueue(&mut self, source: Source, sender: oneshot::Sender<Turn>) {
        let queue = self.waiting.entry(source).or_default();
        if queue.is_empty() {
            self.order.push_back(source);
        }
        // Who goes while it waits is one of the oldest, most often.
        while queue.front().is_some_and(oneshot::Sender::is_closed) {
            queue.pop_front();
        }
        queue.push_back(sender);
    }

    /// The one whose turn it is now. If there is none, one turn more is free.
    fn dequeue(&mut self) -> Option<oneshot::Sender<Turn>> {
        while let Some(source) = self.order.pop_front() {
            let Some(queue) = self.waiting.get_mut(&source) else { continue };
            let next = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&source);
            } else {
                self.order.push_back(source);
            }
            if next.is_some() {
                return next;
            }
        }
        self.free += 1;
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.hand_on();
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Source = Source::V4(1);
    const B: Source = Source::V4(2);

    #[test]
    fn so_many_have_a_turn_at_once_and_one_more_waits() {
        let turns = Turns::new(2);
        let (mut first, mut second, mut third) = (turns.next(A), turns.next(A), turns.next(A));
        let first = first.try_recv().expect("the first");
        let _second = second.try_recv().expect("the second");
        assert!(third.try_recv().is_err());
        assert_eq!(turns.waiting(), 1);
        drop(first);
        third.try_recv().expect("its turn has come");
        assert_eq!(turns.waiting(), 0);
    }

    #[test]
    fn none_at_once_means_one() {
        assert!(Turns::new(0).next(A).try_recv().is_ok());
    }

    #[test]
    fn a_source_has_its_turns_in_order_and_the_sources_take_it_in_turns() {
        let turns = Turns::new(1);
        let mut turn = turns.next(A).try_recv().expect("it is free");
        let mut waiting: Vec<_> = (0..4).map(|n| (A, n, turns.next(A))).collect();
        waiting.extend((4..6).map(|n| (B, n, turns.next(B))));
        let mut had = Vec::new();
        while !waiting.is_empty() {
            drop(turn);
            let come = waiting.iter_mut().enumerate().find_map(|(at, w)| Some((at, w.2.try_recv().ok()?)));
            let (at, next) = come.expect("somebody's turn");
            had.push((waiting[at].0, waiting[at].1));
            waiting.remove(at);
            turn = next;
        }
        assert_eq!(had, [(A, 0), (B, 4), (A, 1), (B, 5), (A, 2), (A, 3)]);
    }

    #[test]
    fn whoever_gives_up_loses_no_turn() {
        let turns = Turns::new(1);
        let first = turns.next(A).try_recv().expect("it is free");
        let (gone, mut stays) = (turns.next(A), turns.next(B));
        drop(gone);
        assert_eq!(turns.waiting(), 1);
        drop(first);
        let second = stays.try_recv().expect("its turn");
        // Given, and not taken.
        let given = turns.next(A);
        drop(second);
        drop(given);
        assert!(turns.next(B).try_recv().is_ok(), "it is free again");
    }

    #[test]
    fn who_has_gone_leaves_nothing_in_the_queue() {
        let turns = Turns::new(1);
        let _held = turns.next(A).try_recv().expect("it is free");
        for _ in 0..1_000 {
            drop(turns.next(B));
        }
        assert_eq!(turns.state().waiting.values().map(VecDeque::len).sum::<usize>(), 1);
    }
}
