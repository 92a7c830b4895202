//! The scenario: two servers and a registry, all real, under faults.
//!
//! `a` and `b` announce themselves, find each other by the registry, tell, ask and watch each other's workers.
//! Faults of the plan come and go for a minute; then everything must work again, end in order, and leave nothing
//! behind. The history and what is left are checked.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use odeon_core::Instant;

use crate::clock::RATE_USUAL_PPM;
use crate::fabric::WINDOW_BYTES;
use crate::faults::{CALM_AFTER, Fault, Kind, Planned, plan};
use crate::history::{Recorder, check, check_calm, check_letters, healed};
use crate::net::Power;
use crate::nodes::{NAMES, Nodes};
use crate::trace::{EVENTS_MAX, Keep};
use crate::workload::Habits;
use crate::world::Simulation;

/// How long after the last fault everything works again: a dead link is noticed after 20 s, a connection that
/// was stalled tries again within 3 s, a handshake may fail once (5 s), a lookup and an ask may time out (10 s).
pub const RECOVERY_MAX: Duration = Duration::from_secs(45);

/// How long the servers may take to go, with all their tasks: the longest is an attempt to connect under way.
const GONE_AFTER: Duration = Duration::from_secs(40);

/// How long what is under way may take to arrive once nothing is sent any more.
const SETTLE: Duration = Duration::from_secs(12);

/// How long a connection is held before the end that is to be reset is: long enough that something is on its way.
const RESET_AFTER: Duration = Duration::from_millis(500);

/// How long a usurped server lives on after it is back.
const GHOST_LIVES: Duration = Duration::from_secs(5);

/// How long a server that cannot start is left alone.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// What became of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The trace's hash.
    pub hash: String,
    /// How many events the trace has.
    pub events: u64,
    /// The faults.
    pub plan: Vec<Planned>,
    /// How often each thing that can go wrong did, by its name: a run without any proves nothing.
    pub bites: BTreeMap<&'static str, u64>,
    /// How long after the last fault everything had worked again, if it had.
    pub healed: Option<Duration>,
    /// Every promise that was broken; none, for a run that passed.
    pub broken: Vec<String>,
    /// The trace, if it was kept.
    pub lines: Vec<String>,
}

/// Runs the scenario from `seed`, with the usual faults.
///
/// # Errors
/// When the operating system has no room for one more runtime.
pub fn run(seed: u64, keep: Keep) -> io::Result<Report> {
    run_with(seed, &Kind::USUAL, keep)
}

/// Runs the scenario from `seed`, with faults of these kinds and no others.
///
/// # Errors
/// When the operating system has no room for one more runtime.
pub fn run_with(seed: u64, kinds: &[Kind], keep: Keep) -> io::Result<Report> {
    Simulation::run(seed, keep, async |world| {
        let plan = plan(&world.rng("faults"), NAMES.len(), kinds);
        let history = Recorder::new(world.clone());
        let scenario = Scenario::new(world.clone(), history.clone(), &plan);
        let Played { mut broken, bites } = scenario.play(&plan).await;
        let events = history.events();
        broken.extend(check(&events));
        let ends = |kind: &Kind| matches!(kind, Kind::Crash | Kind::EpochChange | Kind::Quit);
        if !kinds.iter().any(ends) {
            broken.extend(check_letters(&events));
        }
        if kinds.is_empty() {
            broken.extend(check_calm(&events));
        }
        let (healed, trace) = (healed(&events), world.trace());
        let (hash, events, lines) = (trace.hash(), trace.events(), trace.lines());
        Report { seed, hash, events, plan, bites, healed, broken, lines }
    })
}

struct Played {
    broken: Vec<String>,
    bites: BTreeMap<&'static str, u64>,
}

struct Scenario {
    world: Simulation,
    nodes: Nodes,
    /// What is to be done when; the number keeps those of one moment in order.
    steps: BTreeMap<(Instant, u64), Step>,
    next: u64,
    broken: Vec<String>,
    /// What went wrong with servers; the network counts for itself.
    bites: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone)]
enum Step {
    Begin(Fault, Duration),
    Mend(Vec<[String; 2]>),
    ResetEnd([String; 2]),
    UsualPace([String; 2]),
    NoLoss([String; 2]),
    NoMangling([String; 2]),
    ClockIsRight(usize),
    Restart(usize),
    GhostsEnd(usize),
    DiskWorks(usize),
}

impl Scenario {
    fn new(world: Simulation, history: Recorder, plan: &[Planned]) -> Self {
        let habits = Habits {
            has_skew: plan.iter().any(|planned| matches!(planned.fault, Fault::ClockSkew(..))),
            is_patient: plan.iter().any(|planned| planned.at + planned.lasts > CALM_AFTER),
        };
        if plan.iter().any(|planned| matches!(planned.fault, Fault::Replay(_))) {
            world.network().record();
        }
        Self {
            nodes: Nodes::new(world.clone(), history, habits),
            world,
            steps: BTreeMap::new(),
            next: 0,
            broken: Vec::new(),
            bites: BTreeMap::new(),
        }
    }

    async fn play(mut self, plan: &[Planned]) -> Played {
        for node in 0..NAMES.len() {
            self.start(node).await;
        }
        for planned in plan {
            self.after(planned.at, Step::Begin(planned.fault, planned.lasts));
        }
        let over = plan.iter().map(|planned| planned.at + planned.lasts).max();
        let calm = self.world.now() + over.unwrap_or_default().max(CALM_AFTER);
        while let Some(((at, _), step)) = self.steps.pop_first() {
            self.until(at).await;
            self.act(step).await;
        }
        self.until(calm).await;
        self.recover().await;
        self.end().await;
        let mut bites = self.world.network().bites();
        bites.extend(self.bites);
        Played { broken: self.broken, bites }
    }

    async fn until(&self, at: Instant) {
        self.world.sleep(at - self.world.now()).await;
    }

    fn after(&mut self, time: Duration, step: Step) {
        self.next += 1;
        self.steps.insert((self.world.now() + time, self.next), step);
    }

    async fn start(&mut self, node: usize) {
        if let Err(error) = self.nodes.start(node).await {
            self.broken.push(format!("{} does not start: {}", NAMES[node], error.message()));
        }
    }

    async fn act(&mut self, step: Step) {
        self.world.note("scenario", format_args!("{step:?}"));
        match step {
            Step::Begin(fault, lasts) => self.begin(fault, lasts).await,
            Step::Mend(cuts) => {
                for [from, to] in cuts {
                    self.world.network().mend(&from, &to);
                }
            }
            Step::ResetEnd([at, other]) => self.world.network().reset_end(&at, &other),
            // Each takes back its own: another fault of the same path goes on.
            Step::UsualPace([from, to]) => self.world.network().set_pace(&from, &to, None),
            Step::NoLoss([from, to]) => self.world.network().set_loss(&from, &to, 0),
            Step::NoMangling([from, to]) => self.world.network().set_mangling(&from, &to, None),
            Step::ClockIsRight(node) => self.nodes.set_clock(node, Duration::ZERO, 0, RATE_USUAL_PPM),
            // It cannot raise its epoch on a full disk, and whoever starts it tries again.
            Step::Restart(node) if self.nodes.disk(node).is_failing() => {
                self.after(RESTART_PAUSE, Step::Restart(node));
            }
            Step::Restart(node) => self.start(node).await,
            Step::GhostsEnd(node) => self.nodes.end_ghosts(node, Power::Stays),
            Step::DiskWorks(node) => self.nodes.disk(node).set_failing(false),
        }
    }

    async fn begin(&mut self, fault: Fault, lasts: Duration) {
        let hosts = |one, other| [self.nodes.host(one), self.nodes.host(other)];
        match fault {
            Fault::Partition(one, other) => {
                let [from, to] = hosts(one, other);
                self.cut(vec![[from.clone(), to.clone()], [to, from]], lasts);
            }
            Fault::OneWay(from, to) => self.cut(vec![hosts(from, to)], lasts),
            Fault::Delay(from, to, pace) => {
                let path = hosts(from, to);
                self.world.network().set_pace(&path[0], &path[1], Some(pace));
                self.after(lasts, Step::UsualPace(path));
            }
            Fault::Loss(from, to, percent) => {
                let path = hosts(from, to);
                self.world.network().set_loss(&path[0], &path[1], percent);
                self.after(lasts, Step::NoLoss(path));
            }
            Fault::Mangling(from, to, mangling) => {
                let path = hosts(from, to);
                self.world.network().set_mangling(&path[0], &path[1], Some(mangling));
                self.after(lasts, Step::NoMangling(path));
            }
            Fault::HoldBack(from, to, time, emerges) => {
                let [from, to] = hosts(from, to);
                self.world.network().hold_back(&from, &to, time, emerges);
            }
            Fault::Replay(node) => self.world.network().replay(&self.nodes.host(node)),
            Fault::Reset(one, other) => {
                let [one, other] = hosts(one, other);
                self.world.network().reset(&one, &other);
            }
            Fault::HalfOpen(at, other) => {
                let path = hosts(at, other);
                self.world.network().hold(&path[0], &path[1], lasts);
                self.after(lasts.min(RESET_AFTER), Step::ResetEnd(path));
            }
            Fault::BlackHole(from, to) => {
                let [from, to] = hosts(from, to);
                self.world.network().black_hole(&from, &to);
            }
            fault => self.begin_at_server(fault, lasts).await,
        }
    }

    async fn begin_at_server(&mut self, fault: Fault, lasts: Duration) {
        let bite = match fault {
            Fault::Crash(node, power) => {
                if !self.nodes.crash(node, power) {
                    return;
                }
                self.after(lasts, Step::Restart(node));
                "crashed"
            }
            Fault::EpochChange(node) => {
                self.usurp(node, lasts).await;
                "usurped"
            }
            Fault::Quit(node) => {
                self.nodes.quit(node);
                "quit"
            }
            Fault::DiskFails(node) => {
                self.nodes.disk(node).set_failing(true);
                self.after(lasts, Step::DiskWorks(node));
                "disk failed"
            }
            Fault::ClockSkew(node, jump, date_ms, rate_ppm) => {
                self.nodes.set_clock(node, jump, date_ms, rate_ppm);
                self.after(lasts, Step::ClockIsRight(node));
                "clock changed"
            }
            _ => return,
        };
        *self.bites.entry(bite).or_default() += 1;
    }

    async fn usurp(&mut self, node: usize, lasts: Duration) {
        let Some(old) = self.nodes.make_ghost(node) else { return };
        let others = (0..NAMES.len()).filter(|other| *other != node).map(|other| self.nodes.host(other));
        let cuts = others.flat_map(|other| [[old.clone(), other.clone()], [other, old.clone()]]).collect();
        self.cut(cuts, lasts);
        self.start(node).await;
        self.after(lasts + GHOST_LIVES, Step::GhostsEnd(node));
    }

    fn cut(&mut self, cuts: Vec<[String; 2]>, lasts: Duration) {
        for [from, to] in &cuts {
            self.world.network().cut(from, to);
        }
        self.after(lasts, Step::Mend(cuts));
    }

    /// All faults are over: everybody must reach everybody again.
    async fn recover(&mut self) {
        self.world.note("scenario", format_args!("calm"));
        let by = self.world.now() + RECOVERY_MAX;
        for probe in self.nodes.probes(RECOVERY_MAX) {
            while self.world.now() < by && !self.nodes.probe(&probe).await {}
        }
    }

    /// Everything ends, and nothing is left.
    async fn end(&mut self) {
        self.nodes.load.quiet.store(true, Ordering::Relaxed);
        self.world.sleep(SETTLE).await;
        let places = self.nodes.shut_down().await;
        self.world.sleep(GONE_AFTER).await;
        for place in places {
            let tasks = place.host.tasks();
            for name in tasks.panicked() {
                self.broken.push(format!("a task of {} panicked: {name}", place.life));
            }
            if tasks.running() > 0 {
                self.broken.push(format!(
                    "{} tasks of {} outlived it: {:?}",
                    tasks.running(),
                    place.life,
                    tasks.names()
                ));
            }
        }
        let network = self.world.network();
        if network.connections() > 0 {
            self.broken.push(format!("{} connections outlived their servers", network.connections()));
        }
        if network.peak_bytes() > WINDOW_BYTES {
            self.broken.push(format!("{} bytes were under way in one connection", network.peak_bytes()));
        }
        if self.world.trace().events() > EVENTS_MAX {
            self.broken.push(format!("more than {EVENTS_MAX} events: something goes in circles"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Pace;

    #[test]
    fn a_fault_that_ends_leaves_the_others_of_its_path() {
        let second = Duration::from_secs(1);
        let pace = Pace { delay: Duration::from_millis(20), jitter: Duration::ZERO };
        let plan = [
            Planned { at: second, lasts: 10 * second, fault: Fault::Loss(1, 2, 1) },
            Planned { at: 2 * second, lasts: second, fault: Fault::Delay(1, 2, pace) },
        ];
        let lines = Simulation::run(1, Keep::Lines, async |world| {
            let scenario = Scenario::new(world.clone(), Recorder::new(world.clone()), &plan);
            scenario.play(&plan).await;
            world.trace().lines()
        });
        let lines = lines.expect("a runtime");
        let place = |what: &str| {
            let places: Vec<_> = (0..).zip(&lines).filter(|(_, line)| line.contains(what)).collect();
            assert_eq!(places.len(), 1, "{what}: {places:?}");
            places[0].0
        };
        assert!(place("takes None") < place("loses 0 %"), "each at its own time");
    }
}
