//! What the scenario's servers do while faults happen to them: lanes that send, and watches that are set again
//! and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use odeon_actor::Handle;
use odeon_core::seam::{Spawn, TaskKind};
use odeon_core::{ActorId, ExitReason, Instant, Reference, ServerId};
use odeon_server::Server;
use tokio::sync::oneshot;

use crate::actors::{Worker, WorkerCalls};
use crate::history::{ASK_SLACK, Flow, Life, Outcome, Recorder, TELL_TIME_MAX, What};
use crate::rng::SimRng;
use crate::world::{Host, Simulation};

/// The actor name of every worker.
pub(crate) const WORKER: &str = "worker";

/// Lanes from each server to each other one.
const LANES: u32 = 2;

/// Longest padding of a message, in bytes: a few of them fill a connection's window.
const PADDING_BYTES_MAX: u64 = 40_000;

/// Of so many messages with padding one has so much more: it travels in chunks, and others of other actors overtake it.
const LARGE_ONE_IN: u64 = 4;
const LARGE_BYTES: u64 = 150_000;

/// Pause before a watch that went off is set again; much less than the time in which anything can be lost.
const WATCH_PAUSE: Duration = Duration::from_millis(1);

/// Pause between what a lane does, in milliseconds; the longer one is for runs that last for an hour.
const PAUSE_MS: (u64, u64) = (5, 250);
const PATIENT_PAUSE_MS: (u64, u64) = (500, 10_000);

/// What a run asks of its lanes beyond the usual.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Habits {
    /// Clocks are off, so a deadline may come later, as the world sees it.
    pub(crate) has_skew: bool,
    /// The run lasts for long.
    pub(crate) is_patient: bool,
}

/// What all lanes and watches share.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) world: Simulation,
    pub(crate) history: Recorder,
    pub(crate) habits: Habits,
    pub(crate) watches: Arc<AtomicU64>,
    /// Nothing new is begun any more.
    pub(crate) quiet: Arc<AtomicBool>,
}

/// One server in one life, as its lanes and watches see it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) life: Life,
    pub(crate) server: Server,
    pub(crate) host: Host,
}

impl Place {
    /// A handle to the worker of the server called `name`.
    pub(crate) fn worker_of(&self, name: &str) -> Handle<Worker> {
        let id =
            ServerId::new(name, self.server.id().domain().clone()).expect("the scenario's names are names");
        let actor = ActorId::Name(WORKER.parse().expect("`worker` is a name"));
        self.server.actor(Reference::new(id, actor))
    }
}

impl Workload {
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
    }

    /// Starts the lanes and the watch from a server to the worker of another.
    pub(crate) fn begin(&self, place: &Place, target: &str) {
        for lane in 0..LANES {
            let lane = Lane {
                flow: Flow { sender: place.life.clone(), lane: lane.to_string(), target: target.to_owned() },
                worker: place.worker_of(target),
                seq: 0,
                load: self.clone(),
                rng: self.world.rng(&format!("lane {}/{lane}>{target}", place.life)),
            };
            place.host.tasks().spawn(TaskKind::Service, "lane", Box::pin(lane.run()));
        }
        let watching = self.clone().watch(place.clone(), target.to_owned());
        place.host.tasks().spawn(TaskKind::Service, "watch", Box::pin(watching));
    }

    async fn watch(self, place: Place, target: String) {
        let worker = place.worker_of(&target);
        while !self.is_quiet() {
            let watch = self.watches.fetch_add(1, Ordering::Relaxed);
            self.history.record(What::Watched(watch, place.life.clone(), target.clone()));
            let (over, wait) = oneshot::channel();
            let history = self.history.clone();
            let set = worker.monitor(Box::new(move |down| {
                let is_of_link = matches!(down.reason, ExitReason::LinkLost(_));
                history.record(if is_of_link { What::ToldOfLink(watch) } else { What::Told(watch) });
                // The watcher may be gone with its host.
                let _ = over.send(());
            }));
            // A notice dropped untold ends the wait too; the history shows it.
            if set.is_err() || wait.await.is_err() {
                return;
            }
            self.world.sleep(WATCH_PAUSE).await;
        }
    }
}

/// One task that sends to one worker.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) flow: Flow,
    pub(crate) worker: Handle<Worker>,
    pub(crate) seq: u64,
    pub(crate) load: Workload,
    pub(crate) rng: SimRng,
}

impl Lane {
    async fn run(mut self) {
        while !self.load.is_quiet() {
            let (low, high) = if self.load.habits.is_patient { PATIENT_PAUSE_MS } else { PAUSE_MS };
            self.load.world.sleep(self.rng.millis(low, high)).await;
            match self.rng.below(10) {
                0..5 => {
                    for _ in 0..self.rng.between(1, 5) {
                        self.tell().await;
                    }
                }
                5..8 => drop(self.ask(self.rng.millis(50, 3_000)).await),
                8 => {
                    let millis = self.rng.between(1, 400);
                    let (flow, seq, by) = self.next(self.rng.millis(50, 600) + ASK_SLACK);
                    let asked = self.worker.ponder(flow, seq, millis).within(by).await;
                    self.asked(seq, asked);
                }
                _ => {
                    let (flow, seq, by) = self.next(Duration::from_secs(1) + ASK_SLACK);
                    let asked = self.worker.forget(flow, seq).within(by).await;
                    self.asked(seq, asked);
                }
            }
        }
    }

    async fn tell(&mut self) {
        let padding = self.padding();
        let (flow, seq, _) = self.next(TELL_TIME_MAX);
        let told = self.worker.note(flow, seq, padding).tell().await;
        let outcome = if told.is_ok() { Outcome::Taken } else { Outcome::Failed };
        self.ended(seq, outcome);
    }

    /// Asks once; whether it was answered.
    pub(crate) async fn ask(&mut self, within: Duration) -> bool {
        let padding = self.padding();
        let (flow, seq, by) = self.next(within + ASK_SLACK);
        let asked = self.worker.note(flow, seq, padding).within(by).await;
        self.asked(seq, asked)
    }

    /// The next message: its flow, its number, and how long it is given.
    fn next(&mut self, within: Duration) -> (String, u64, Duration) {
        self.seq += 1;
        // A clock that is slow by so much shows the deadline so much later.
        let drift = if self.load.habits.has_skew { within * 2 / 10 } else { Duration::ZERO };
        let by: Instant = self.load.world.now() + within + drift;
        self.load.history.record(What::Sent(self.flow.clone(), self.seq, by));
        (self.flow.to_string(), self.seq, within.saturating_sub(ASK_SLACK))
    }

    fn asked(&self, seq: u64, asked: Result<u64, odeon_actor::AskError>) -> bool {
        let is_answered = match asked {
            Ok(answer) => answer == seq,
            Err(error) => {
                self.load.world.note("history", format_args!("{} #{seq}: {error}", self.flow));
                false
            }
        };
        self.ended(seq, if is_answered { Outcome::Answered } else { Outcome::Failed });
        is_answered
    }

    fn ended(&self, seq: u64, outcome: Outcome) {
        self.load.history.record(What::Ended(self.flow.clone(), seq, outcome));
    }

    fn padding(&self) -> String {
        let mut bytes = if self.rng.chance(1, 12) { self.rng.below(PADDING_BYTES_MAX) } else { 0 };
        if bytes > 0 && self.rng.chance(1, LARGE_ONE_IN) {
            bytes += LARGE_BYTES;
        }
        "x".repeat(usize::try_from(bytes).unwrap_or(0))
    }
}
