//! Asks that would wait for themselves: an actor that asks one which waits, by way of others, for this very actor.
//!
//! While detection is on, each ask that an actor makes leaves an edge from asker to target until it is over. An edge is
//! kept only where the answer comes from the target's handler and from nowhere else, and counts only while there is no
//! answer; so what is found is a deadlock, and not only looks like one. What is asked by code that is no actor leaves
//! no edge: nobody waits for such code.
//!
//! An ask over the handle of a protocol or a proxy does not know who will answer it: its edge goes with the message, to
//! whoever has it in its mailbox, and counts where that one's handler alone can answer.
//!
//! # Invariants
//!
//! - Looking for a cycle and leaving an edge are one step, so of asks that close a cycle together one finds it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use odeon_core::{Refusal, RefusalCode};

use crate::actor::Actor;
use crate::current;
use crate::envelope::Envelope;
use crate::error::{AskError, TellError};
use crate::label::ActorLabel;
use crate::life::{Life, Waits};
use crate::local::Local;
use crate::system::{Switch, System};

/// The waiting of actors for each other in one system.
pub(crate) struct Cycles {
    is_on: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    /// By the asker's place, then in the order in which they were asked.
    edges: BTreeMap<(usize, u64), Edge>,
}

struct Edge {
    to: Arc<Life>,
    is_open: IsOpen,
    /// The answer comes from the handler of `to` and from nowhere else.
    is_sure: bool,
    /// The cycle that the message would have closed where it was to be passed on.
    closes: Option<Vec<ActorLabel>>,
}

type IsOpen = Box<dyn Fn() -> bool + Send + Sync>;

/// Names an edge: the asker's place, and a number.
pub(crate) type EdgeId = (usize, u64);

/// What an ask leaves that may become part of a cycle. Dropped, it no longer does.
pub(crate) struct Trace {
    system: System,
    from: usize,
    number: u64,
}

impl Cycles {
    pub(crate) fn new() -> Self {
        Self { is_on: AtomicBool::new(cfg!(debug_assertions)), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// By whom the actor of this life waits for the one at `asker`: the lives from the first to the last.
    fn way(&self, first: &Arc<Life>, asker: usize) -> Option<Vec<Arc<Life>>> {
        let mut seen = BTreeMap::from([(current::place_of(first), None)]);
        let mut open = vec![Arc::clone(first)];
        while let Some(life) = open.pop() {
            let place = current::place_of(&life);
            if place == asker {
                return Some(back(life, seen));
            }
            // Whoever takes messages while it waits can answer.
            if life.waits() == Waits::ForMessages {
                continue;
            }
            for edge in self.edges.range((place, 0)..=(place, u64::MAX)).map(|(_, edge)| edge) {
                let to = current::place_of(&edge.to);
                // Whoever takes messages by itself may have put this one aside, or passed it on.
                if edge.is_sure && !seen.contains_key(&to) && !edge.to.receives() && (edge.is_open)() {
                    seen.insert(to, Some(Arc::clone(&life)));
                    open.push(Arc::clone(&edge.to));
                }
            }
        }
        None
    }
}

/// The way that was gone to `last`.
fn back(last: Arc<Life>, seen: BTreeMap<usize, Option<Arc<Life>>>) -> Vec<Arc<Life>> {
    let mut way = vec![last];
    while let Some(Some(before)) = way.last().and_then(|life| seen.get(&current::place_of(life))) {
        way.push(Arc::clone(before));
    }
    way.reverse();
    way
}

impl Trace {
    /// The actor that runs is about to ask `to`. `is_open` says whether the answer is still to come, if it can
    /// only come from the target's handler.
    ///
    /// # Errors
    /// [`AskError::Cycle`].
    pub(crate) fn begin(
        system: &System,
        to: &Arc<Life>,
        is_open: Option<IsOpen>,
    ) -> Result<Option<Box<Self>>, AskError> {
        Self::leave(system, to, is_open, true)
    }

    /// The same where `to` may pass the request on: the edge counts once [`follow`] has said so.
    ///
    /// # Errors
    /// [`AskError::Cycle`].
    pub(crate) fn begin_on_the_way(
        system: &System,
        to: &Arc<Life>,
        is_open: IsOpen,
    ) -> Result<Option<Box<Self>>, AskError> {
        Self::leave(system, to, Some(is_open), false)
    }

    fn leave(
        system: &System,
        to: &Arc<Life>,
        is_open: Option<IsOpen>,
        is_sure: bool,
    ) -> Result<Option<Box<Self>>, AskError> {
        let from = current::place();
        if from == 0 {
            return Ok(None);
        }
        let mut state = system.cycles().lock();
        if let Some(way) = state.way(to, from) {
            drop(state);
            return Err(AskError::Cycle { path: path(system, &way) });
        }
        let Some(is_open) = is_open else {
            return Ok(None);
        };
        state.last += 1;
        let number = state.last;
        state.edges.insert((from, number), Edge { to: Arc::clone(to), is_open, is_sure, closes: None });
        drop(state);
        Ok(Some(Box::new(Self { system: system.clone(), from, number })))
    }

    /// Its name, for the message to carry.
    pub(crate) const fn edge(&self) -> EdgeId {
        (self.from, self.number)
    }

    /// The cycle because of which the message was not passed on.
    pub(crate) fn cycle(&self) -> Option<AskError> {
        let mut state = self.system.cycles().lock();
        let path = state.edges.get_mut(&self.edge())?.closes.take()?;
        Some(AskError::Cycle { path })
    }

    /// Whether the ask is still its asker's: it may have been handed to a task.
    pub(crate) fn is_here(&self) -> bool {
        self.from == current::place()
    }
}

/// Who asks whom, as people read it: the asker is the end of the way, and its beginning.
fn path(system: &System, way: &[Arc<Life>]) -> Vec<ActorLabel> {
    let labels = system.labels();
    let label = |life: &Arc<Life>| labels.label(life.number, life.kind());
    way.last().into_iter().chain(way).map(label).collect()
}

/// A message goes into the mailbox of an actor: who asked it by way of others waits for that actor from here on.
///
/// # Errors
/// When that actor waits for the asker. The message is to be dropped then: its asker hears of the cycle.
pub(crate) fn follow<A: Actor>(local: &Local<A>, envelope: &Envelope<A::Message>) -> Result<(), TellError> {
    let Some(id) = envelope.meta.trace() else {
        return Ok(());
    };
    let (system, life) = (&local.system, &local.life);
    let mut state = system.cycles().lock();
    if !state.edges.contains_key(&id) {
        return Ok(());
    }
    let closes = state.way(life, id.0).map(|way| path(system, &way));
    let Some(edge) = state.edges.get_mut(&id) else {
        return Ok(());
    };
    edge.is_sure = closes.is_none() && !A::may_answer_later(&envelope.message);
    edge.closes.clone_from(&closes);
    let before = std::mem::replace(&mut edge.to, Arc::clone(life));
    drop(state);
    drop(before);
    match closes {
        None => Ok(()),
        Some(path) => {
            let detail = AskError::Cycle { path }.to_string();
            Err(Refusal::new(RefusalCode::BadRequest, detail).into())
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let edge = self.system.cycles().lock().edges.remove(&(self.from, self.number));
        drop(edge);
    }
}

impl System {
    pub(crate) fn detects_cycles(&self) -> bool {
        self.cycles().is_on.load(Ordering::Relaxed)
    }

    /// Whether an ask that would wait for itself fails at once, with [`AskError::Cycle`], instead of at its
    /// deadline. On by default where debug assertions are; it costs one lock for each ask of an actor that does
    /// not have its answer at once.
    ///
    /// What is found is a deadlock: asks by code that is no actor count for nothing, nor do those that an actor may
    /// answer later through a [`Reply`](crate::Reply), nor actors that take messages while they wait. An ask over the
    /// handle of a protocol or a proxy is to whoever got the message in the end.
    ///
    /// ```
    /// # extern crate odeon_actor as odeon;
    /// use odeon::{AskError, Cx, Switch, System, actor};
    ///
    /// struct Mirror;
    ///
    /// #[actor]
    /// impl Mirror {
    ///     #[handle]
    ///     async fn look(&mut self, cx: &mut Cx<Self>) -> Option<AskError> {
    ///         cx.me().look().await.err()
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let system = System::new();
    /// system.detect_cycles(Switch::On);
    /// let error = system.spawn(Mirror).look().await?.expect("it cannot answer itself");
    /// assert_eq!(error.to_string(), "the ask would wait for itself: Mirror 1, which asks Mirror 1");
    /// # Ok(())
    /// # }
    /// ```
    pub fn detect_cycles(&self, detect: Switch) {
        self.cycles().is_on.store(detect == Switch::On, Ordering::Relaxed);
    }
}

impl fmt::Debug for Cycles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cycles").field("edges", &self.lock().edges.len()).finish_non_exhaustive()
    }
}
