//! Random histories of a tree, watched by a world that knows only what a driver knows.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_oneof, proptest};
use proptest::sample::{Index, select};
use proptest::strategy::Strategy as Generator;

use super::*;

/// More answers than any history leaves open: beyond, the tree goes round in circles.
const ANSWERS_MAX: usize = 1_000;

const PATIENCE: Duration = Duration::from_millis(40);

#[derive(Debug, Clone)]
enum Event {
    Add(ChildOptions),
    /// One that starts has started.
    Started(Index),
    /// One that is there ends.
    Ends(Index, ExitReason, u64),
    /// Something is said of an incarnation that is over, or was never there.
    Late(Index, u64),
    Pass(u64),
    Remove(Index),
    Restart(Index),
    Stop,
}

fn reason() -> impl Generator<Value = ExitReason> {
    select(vec![ExitReason::Normal, ExitReason::Stopped, ExitReason::Killed, failed(), panicked()])
}

fn child() -> impl Generator<Value = ChildOptions> {
    let restart =
        select(vec![Restart::Permanent, Restart::Permanent, Restart::Transient, Restart::Temporary]);
    let shutdown = select(vec![Shutdown::Within(PATIENCE), Shutdown::Kill, Shutdown::Wait]);
    (restart, shutdown, any::<bool>()).prop_map(|(restart, shutdown, significant)| ChildOptions {
        restart,
        shutdown,
        significant,
    })
}

fn options() -> impl Generator<Value = TreeOptions> {
    use Strategy::{Dynamic, OneForAll, OneForOne, RestForOne};
    let kind = select(vec![OneForOne, OneForAll, RestForOne, Dynamic]);
    let auto = AutoShutdown::Never;
    let auto_shutdown = select(vec![auto, auto, AutoShutdown::Any, AutoShutdown::All]);
    (kind, 0..8_u32, 0..3_u64, auto_shutdown).prop_map(|(kind, restarts, first, auto_shutdown)| TreeOptions {
        strategy: kind,
        intensity: Intensity { restarts, within: Duration::from_millis(200) },
        backoff: Backoff { first: Duration::from_millis(first * 20), ..Backoff::default() },
        auto_shutdown,
    })
}

fn event() -> impl Generator<Value = Event> {
    let which = any::<Index>;
    prop_oneof![
        3 => child().prop_map(Event::Add),
        12 => which().prop_map(Event::Started),
        8 => (which(), reason(), any::<u64>()).prop_map(|(which, reason, random)| Event::Ends(which, reason, random)),
        2 => (which(), 0..5_u64).prop_map(|(which, number)| Event::Late(which, number)),
        5 => (0..100_u64).prop_map(Event::Pass),
        1 => which().prop_map(Event::Remove),
        1 => which().prop_map(Event::Restart),
        1 => select(vec![Event::Pass(1), Event::Pass(2), Event::Stop]),
    ]
}

/// An incarnation that is there.
#[derive(Debug, Clone, Copy)]
struct Live {
    number: u64,
    has_started: bool,
    stop_asked: Option<Instant>,
    is_killed: bool,
}

/// The driver's side, and what it has seen.
struct World {
    tree: Tree,
    options: TreeOptions,
    now: Instant,
    /// Those that were added and are not forgotten, with the number of their last incarnation.
    known: BTreeMap<ChildId, (ChildOptions, u64)>,
    live: BTreeMap<ChildId, Live>,
    finished: BTreeSet<ChildId>,
    /// Those that an operator has removed or restarted since their last start.
    by_hand: BTreeSet<ChildId>,
    has_started: bool,
    has_ended: bool,
}

impl World {
    fn new(options: TreeOptions, children: &[ChildOptions]) -> Self {
        let mut world = Self {
            tree: Tree::new(options),
            options,
            now: Instant::ZERO + Duration::from_millis(LONG),
            known: BTreeMap::new(),
            live: BTreeMap::new(),
            finished: BTreeSet::new(),
            by_hand: BTreeSet::new(),
            has_started: false,
            has_ended: false,
        };
        for child in children {
            world.apply(&Event::Add(*child));
        }
        world.tree.handle_start(world.now);
        world.drain();
        world
    }

    fn is_ending(&mut self) -> bool {
        self.tree.handle_restart(ChildId(0), self.now) == Err(RestartError::Ending)
    }

    fn is_grouped(&self) -> bool {
        matches!(self.options.strategy, Strategy::OneForAll | Strategy::RestForOne)
    }

    /// Whether one order waits for another.
    fn is_ordered(&self) -> bool {
        self.is_grouped() || (!self.has_started && self.options.strategy != Strategy::Dynamic)
    }

    fn apply(&mut self, event: &Event) {
        let ids: Vec<_> = self.known.keys().copied().collect();
        let pick = |which: &Index| which.get(&ids);
        match event {
            Event::Add(child) => match self.tree.handle_add(*child, self.now) {
                Ok(id) => assert!(self.known.insert(id, (*child, 0)).is_none(), "{id} is used again"),
                Err(error) => assert_eq!((error, self.is_ending()), (AddError::Ending, true)),
            },
            Event::Started(which) => {
                let starting: Vec<_> = self.live.iter().filter(|(_, live)| !live.has_started).collect();
                if !starting.is_empty() {
                    let child = *which.get(&starting).0;
                    self.starts(child);
                }
            }
            Event::Ends(which, reason, random) => {
                let live: Vec<_> = self.live.keys().copied().collect();
                if !live.is_empty() {
                    self.ends(*which.get(&live), reason.clone(), *random);
                }
            }
            Event::Late(which, number) if !ids.is_empty() => {
                let of = Incarnation { child: *pick(which), number: *number };
                if self.live.get(&of.child).is_none_or(|live| live.number != of.number) {
                    let before: Vec<_> = self.tree.children().collect();
                    self.tree.handle_started(of, self.now);
                    self.tree.handle_ended(of, failed(), self.now, 0);
                    assert_eq!(self.tree.poll_output(), None);
                    assert_eq!(self.tree.children().collect::<Vec<_>>(), before);
                }
            }
            Event::Pass(millis) => self.pass(Duration::from_millis(*millis)),
            Event::Remove(which) if !ids.is_empty() => {
                self.by_hand.insert(*pick(which));
                // Refused if it was removed before.
                let _ = self.tree.handle_remove(*pick(which), self.now);
            }
            Event::Restart(which) if !ids.is_empty() => {
                self.by_hand.insert(*pick(which));
                let _ = self.tree.handle_restart(*pick(which), self.now);
            }
            Event::Stop => self.tree.handle_stop(self.now),
            Event::Late(..) | Event::Remove(_) | Event::Restart(_) => {}
        }
        self.drain();
        self.compare();
    }

    fn starts(&mut self, child: ChildId) {
        let live = self.live.get_mut(&child).expect("it is there");
        live.has_started = true;
        self.tree.handle_started(Incarnation { child, number: live.number }, self.now);
    }

    fn ends(&mut self, child: ChildId, reason: ExitReason, random: u64) {
        let live = self.live.remove(&child).expect("it is there");
        self.tree.handle_ended(Incarnation { child, number: live.number }, reason, self.now, random);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.tree.handle_timeout(self.now);
        assert!(self.tree.poll_timeout().is_none_or(|at| at > self.now), "it would be called for nothing");
    }

    fn drain(&mut self) {
        while let Some(output) = self.tree.poll_output() {
            assert!(!self.has_ended, "{output:?} after the end");
            match output {
                Output::Start(of) => self.on_start(of),
                Output::Stop(of) => self.on_stop(of),
                Output::Kill(of) => self.on_kill(of),
                Output::Started => assert!(!std::mem::replace(&mut self.has_started, true)),
                Output::Finished(id) => {
                    assert!(!self.live.contains_key(&id));
                    self.finished.insert(id);
                }
                Output::Forgotten(id) => {
                    assert!(!self.live.contains_key(&id));
                    assert!(self.known.remove(&id).is_some(), "{id} is forgotten twice");
                }
                Output::Ended(_) => {
                    assert!(self.known.is_empty());
                    self.has_ended = true;
                }
            }
        }
    }

    fn on_start(&mut self, of: Incarnation) {
        assert!(!self.is_ending(), "{of:?} is started while all are stopped");
        assert!(!self.live.contains_key(&of.child), "{of:?} is the second at a time");
        if self.is_ordered() {
            let is_busy = |live: &Live| !live.has_started || live.stop_asked.is_some();
            assert!(!self.live.values().any(is_busy), "{of:?} does not wait for {:?}", self.live);
        }
        if self.is_grouped() {
            for (id, _) in self.known.range(..of.child) {
                assert!(self.live.contains_key(id) || self.finished.contains(id), "{of:?} is before {id}");
            }
        }
        let (_, number) = self.known.get_mut(&of.child).expect("it is known");
        *number += 1;
        assert_eq!(of.number, *number);
        let live = Live { number: of.number, has_started: false, stop_asked: None, is_killed: false };
        self.live.insert(of.child, live);
        self.finished.remove(&of.child);
        self.by_hand.remove(&of.child);
    }

    /// A stop begins, by asking or killing.
    fn on_stop(&mut self, of: Incarnation) {
        let (is_ending, is_ordered) = (self.is_ending(), self.is_ordered());
        let live = self.live.get_mut(&of.child).expect("it is there");
        assert_eq!((live.number, live.stop_asked), (of.number, None));
        live.stop_asked = Some(self.now);
        if is_ordered && !is_ending {
            let stopping = self.live.values().filter(|live| live.stop_asked.is_some());
            assert_eq!(stopping.count(), 1, "{of:?} does not wait");
        }
        if is_ending || (self.is_grouped() && !self.by_hand.contains(&of.child)) {
            assert_eq!(self.live.last_key_value().map(|(id, _)| *id), Some(of.child), "the last is first");
        }
    }

    fn on_kill(&mut self, of: Incarnation) {
        let live = self.live.get_mut(&of.child).expect("it is there");
        assert!(!std::mem::replace(&mut live.is_killed, true), "{of:?} is killed twice");
        match (self.known[&of.child].0.shutdown, live.stop_asked) {
            (Shutdown::Kill, None) => self.on_stop(of),
            (Shutdown::Within(patience), Some(asked)) => assert!(self.now >= asked + patience),
            other => panic!("{of:?} is killed: {other:?}"),
        }
    }

    /// The tree shows what the world sees.
    fn compare(&self) {
        let shown: Vec<_> = self.tree.children().collect();
        assert!(shown.iter().map(|status| status.id).eq(self.known.keys().copied()));
        for status in shown {
            let live = self.live.get(&status.id);
            match status.state {
                ChildState::Starting => assert!(live.is_some_and(|live| !live.has_started)),
                ChildState::Running { .. } => assert!(live.is_some_and(|live| live.has_started)),
                ChildState::Stopping { .. } => assert!(live.is_some_and(|live| live.stop_asked.is_some())),
                ChildState::Pending | ChildState::Waiting { .. } => assert!(live.is_none()),
                ChildState::Finished => assert!(live.is_none() && self.finished.contains(&status.id)),
            }
        }
    }

    /// Answers all that is open and lets time pass, until nothing more happens.
    fn settle(&mut self) {
        for _ in 0..ANSWERS_MAX {
            let open = self.live.iter().find(|(_, live)| !live.has_started || live.stop_asked.is_some());
            match (open.map(|(id, live)| (*id, live.stop_asked)), self.tree.poll_timeout()) {
                (Some((id, Some(_))), _) => self.ends(id, ExitReason::Stopped, 0),
                (Some((id, None)), _) => self.starts(id),
                (None, Some(at)) => self.pass(at - self.now),
                (None, None) => return,
            }
            self.drain();
            self.compare();
        }
        panic!("it does not settle: {:?}", self.tree);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_in_every_history(
        options in options(),
        children in proptest::collection::vec(child(), 0..6),
        events in proptest::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new(options, &children);
        for event in &events {
            world.apply(event);
        }
        world.settle();
        if !world.has_ended {
            prop_assert!(world.has_started);
            for status in world.tree.children() {
                let is_settled = matches!(status.state, ChildState::Running { .. } | ChildState::Finished);
                prop_assert!(is_settled, "{:?}", status);
            }
        }
        world.apply(&Event::Stop);
        world.settle();
        prop_assert!(world.has_ended);
    }
}
