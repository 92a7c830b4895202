//! The supervisor's decisions: examples, and the invariants under random histories.
//!
//! Outputs are compared as text: `start 2.1` is the start of the first incarnation of child 2.

mod ends;
mod life;
mod model;
mod restarts;

use std::time::Duration;

use odeon_core::Instant;

use super::*;
use crate::{ExitReason, PanicReport};

const PERMANENT: ChildOptions =
    ChildOptions { restart: Restart::Permanent, shutdown: Shutdown::Wait, significant: false };
const TRANSIENT: ChildOptions = ChildOptions { restart: Restart::Transient, ..PERMANENT };
const TEMPORARY: ChildOptions = ChildOptions { restart: Restart::Temporary, ..PERMANENT };

/// So long before the present time of a rig that nothing of it counts any more.
const LONG: u64 = 1_000_000;

fn failed() -> ExitReason {
    ExitReason::Failed("no disk".to_owned())
}

fn panicked() -> ExitReason {
    ExitReason::Panicked(PanicReport { message: "oh".to_owned(), location: "a.rs:1:1".to_owned() })
}

const fn strategy(strategy: Strategy) -> TreeOptions {
    TreeOptions {
        strategy,
        intensity: Intensity { restarts: 3, within: Duration::from_secs(5) },
        backoff: Backoff {
            first: Duration::from_millis(100),
            cap: Duration::from_secs(30),
            jitter_percent: 0,
            quiet: Duration::from_secs(30),
        },
        auto_shutdown: AutoShutdown::Never,
    }
}

const fn incarnation(child: u64, number: u64) -> Incarnation {
    Incarnation { child: ChildId(child), number }
}

fn text(output: &Output) -> String {
    match output {
        Output::Start(of) => format!("start {}.{}", of.child, of.number),
        Output::Stop(of) => format!("stop {}.{}", of.child, of.number),
        Output::Kill(of) => format!("kill {}.{}", of.child, of.number),
        Output::Started => "started".to_owned(),
        Output::Finished(id) => format!("finished {id}"),
        Output::Forgotten(id) => format!("forgotten {id}"),
        Output::Ended(reason) => reason.to_string(),
    }
}

/// A tree with its clock.
struct Rig {
    tree: Tree,
    now: Instant,
}

impl Rig {
    /// With these children, which are being started.
    fn starting(options: TreeOptions, children: &[ChildOptions]) -> Self {
        let mut rig = Self { tree: Tree::new(options), now: Instant::ZERO + Duration::from_millis(LONG) };
        for child in children {
            rig.tree.handle_add(*child, rig.now).expect("there is room");
        }
        rig.tree.handle_start(rig.now);
        rig
    }

    /// With these children, which have all started.
    fn running(options: TreeOptions, children: &[ChildOptions]) -> Self {
        let mut rig = Self::starting(options, children);
        assert!(rig.settled().contains("started"), "{:?}", rig.tree);
        rig
    }

    /// The outputs there are.
    fn out(&mut self) -> String {
        let outputs: Vec<_> =
            std::iter::from_fn(|| self.tree.poll_output()).map(|output| text(&output)).collect();
        outputs.join(", ")
    }

    /// The outputs up to the point where none is left to answer: starts succeed, stops are obeyed.
    fn settled(&mut self) -> String {
        let mut all = Vec::new();
        while let Some(output) = self.tree.poll_output() {
            all.push(text(&output));
            match output {
                Output::Start(of) => self.tree.handle_started(of, self.now),
                Output::Stop(of) => self.tree.handle_ended(of, ExitReason::Stopped, self.now, 0),
                Output::Kill(of) => self.tree.handle_ended(of, ExitReason::Killed, self.now, 0),
                _ => {}
            }
        }
        all.join(", ")
    }

    fn started(&mut self, child: u64, number: u64) -> String {
        self.tree.handle_started(incarnation(child, number), self.now);
        self.out()
    }

    fn ended(&mut self, child: u64, number: u64, reason: ExitReason) -> String {
        self.tree.handle_ended(incarnation(child, number), reason, self.now, 0);
        self.out()
    }

    /// The child's present incarnation fails, and all that follows settles.
    fn fails(&mut self, child: u64) -> String {
        let number = self.status(child).restarts + 1;
        self.tree.handle_ended(incarnation(child, number), failed(), self.now, 0);
        self.settled()
    }

    fn add(&mut self, options: ChildOptions) -> String {
        self.tree.handle_add(options, self.now).expect("there is room");
        self.out()
    }

    fn remove(&mut self, child: u64) -> String {
        self.tree.handle_remove(ChildId(child), self.now).expect("it is there");
        self.out()
    }

    fn restart(&mut self, child: u64) -> String {
        self.tree.handle_restart(ChildId(child), self.now).expect("it is there");
        self.out()
    }

    fn stop(&mut self) -> String {
        self.tree.handle_stop(self.now);
        self.out()
    }

    fn pass(&mut self, millis: u64) -> String {
        self.now = self.now + Duration::from_millis(millis);
        self.tree.handle_timeout(self.now);
        self.out()
    }

    /// How long nothing is to be done, in milliseconds.
    fn timeout(&self) -> Option<u128> {
        self.tree.poll_timeout().map(|at| (at - self.now).as_millis())
    }

    fn status(&self, child: u64) -> ChildStatus {
        self.tree.children().find(|status| status.id == ChildId(child)).expect("it is there")
    }

    fn ids(&self) -> Vec<u64> {
        self.tree.children().map(|status| status.id.as_u64()).collect()
    }
}
