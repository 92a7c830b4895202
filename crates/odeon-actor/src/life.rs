//! An actor's life as others see it: whether it lives, why it ended, who wants to be told.
//!
//! One block per actor, shared by its handles; it outlives the actor. The exit reason is set once, before
//! anything of the actor is dropped, so that whoever sees a reply port fall can ask for the reason. An actor that
//! ends lets go of the monitors it holds on others, so that short lives do not fill the list of a long one.
//!
//! An actor that a supervisor keeps may have several incarnations in one life: what ends is then the incarnation, whose
//! reason is the *fall*, until the next begins. The end of the life comes once, as for all others.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use odeon_core::{ActorId, ExitReason, ServerId};

use crate::links::{LINKS_MAX, Links};
use crate::panic::contained;
use crate::stats::{Counts, Progress};
use crate::ticker::TIMERS_MAX;

/// Most monitors on one actor: at this number a program watches in a loop without ever letting go.
pub(crate) const MONITORS_MAX: usize = 65_536;

/// Most monitors that one actor holds on others. All their notices, with all pings and a stop, fit into its
/// control lane at once, so none of them is ever refused there.
pub(crate) const WATCHES_MAX: usize = 32_768;

/// Most pings waiting at one actor: more than that many observers have not lost patience with it.
pub(crate) const PINGS_MAX: u32 = 1_024;

const _: () =
    assert!(WATCHES_MAX + LINKS_MAX + (PINGS_MAX as usize) + TIMERS_MAX < odeon_mailbox::CONTROL_MAX);

/// Names one monitor, so that its notice can be told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonitorId(u64);

impl MonitorId {
    /// An id that no other monitor of this process has.
    #[must_use]
    pub fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The notice that a monitored actor ended, given once per monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    /// Which monitor this answers.
    pub monitor: MonitorId,
    /// The actor's server, if not this one.
    pub server: Option<ServerId>,
    /// The actor.
    pub actor: ActorId,
    /// Why it ended.
    pub reason: ExitReason,
}

/// The actor has as many monitors, or itself monitors as many others, as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an actor has at most {MONITORS_MAX} monitors, and itself monitors at most {WATCHES_MAX} others")]
pub struct TooManyMonitors;

type Notify = Box<dyn FnOnce(Down) + Send>;

/// The shared block of one actor.
pub(crate) struct Life {
    pub(crate) number: u64,
    /// Names the actor's Rust type, for people.
    name_of_kind: fn() -> &'static str,
    killed: AtomicBool,
    is_stop_wanted: AtomicBool,
    /// The control lane holds one stop at most.
    is_stop_queued: AtomicBool,
    /// What the handler that waits says to the runner: a [`Waits`].
    waits: AtomicU8,
    pings: AtomicU32,
    /// Messages the actor has sent; written by whoever runs it.
    nonce: AtomicU64,
    pub(crate) progress: Progress,
    /// Made when first needed: of most actors, nothing is.
    state: Mutex<Option<Box<State>>>,
}

/// What a handler that waits waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Waits {
    /// For something that is no message.
    Elsewhere = 0,
    /// For messages, which it takes itself.
    ForMessages = 1,
    /// For others to have their turn: it has taken many messages.
    ForItsTurn = 2,
}

/// Set beside a [`Waits`] once a handler has taken a message itself.
const RECEIVES: u8 = 0x80;

/// A ping's place in an actor's control lane, taken before there is a ping; dropping it gives it back.
pub(crate) struct PingRoom(Arc<Life>);

impl PingRoom {
    /// A place, if there is one.
    pub(crate) fn take(life: &Arc<Life>) -> Option<Self> {
        let more = |n| (n < PINGS_MAX).then_some(n + 1);
        life.pings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(Arc::clone(life)))
    }
}

impl Drop for PingRoom {
    fn drop(&mut self) {
        self.0.pings.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A timer's place in the control lane of the actor it sends to; dropping it gives it back.
pub(crate) struct TimerRoom(Arc<Life>);

impl TimerRoom {
    /// A place, if there is one.
    pub(crate) fn take(life: &Arc<Life>) -> Option<Self> {
        let is_room = life.with(|state| {
            let is_room = state.timers < TIMERS_MAX;
            state.timers += usize::from(is_room);
            is_room
        });
        is_room.then(|| Self(Arc::clone(life)))
    }
}

impl Drop for TimerRoom {
    fn drop(&mut self) {
        self.0.with(|state| state.timers -= 1);
    }
}

/// One monitor that an actor holds on another, with its notice's place in the actor's control lane; dropping it
/// gives the place back.
pub(crate) struct Watching {
    watcher: Arc<Life>,
    number: u64,
}

/// Forgets a monitor at the actor it is on.
type Undo = Box<dyn FnOnce() + Send>;

/// What an actor holds on others.
#[derive(Default)]
struct Watches {
    last: u64,
    /// With how to let go, once the monitor is set.
    held: BTreeMap<u64, Option<Undo>>,
}

impl Watching {
    /// One more, if there is room.
    pub(crate) fn begin(watcher: &Arc<Life>) -> Option<Self> {
        let number = watcher.with(|state| {
            let watches = &mut state.watches;
            if watches.held.len() >= WATCHES_MAX {
                return None;
            }
            watches.last += 1;
            watches.held.insert(watches.last, None);
            Some(watches.last)
        })?;
        Some(Self { watcher: Arc::clone(watcher), number })
    }

    /// Takes the notice: whether the watcher still wants it. It may have begun again since, having let go of it.
    pub(crate) fn take(self) -> bool {
        let undo = self.watcher.with(|state| state.watches.held.remove(&self.number));
        undo.is_some()
    }

    /// Its number among those of its watcher.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let undo = self.watcher.with(|state| state.watches.held.remove(&self.number));
        // Outside the lock: it may hold the last handle of another actor.
        drop(undo);
    }
}

/// Who starts an actor again in place: the typed part of its supervisor.
pub(crate) type Keeper = Arc<dyn Any + Send + Sync>;

#[derive(Default)]
struct State {
    /// Set when the end begins.
    reason: Option<ExitReason>,
    /// Why the incarnation of a kept actor ended or is ending; `None` once the next may begin.
    fall: Option<ExitReason>,
    /// Until the end begins.
    keeper: Option<Keeper>,
    /// The end is complete: monitors have been told.
    over: bool,
    monitors: BTreeMap<MonitorId, Notify>,
    watches: Watches,
    links: Links,
    /// Timers that send to the actor.
    timers: usize,
    counts: Counts,
}

impl Life {
    pub(crate) fn new<A>(number: u64) -> Self {
        Self {
            number,
            name_of_kind: std::any::type_name::<A>,
            killed: AtomicBool::new(false),
            is_stop_wanted: AtomicBool::new(false),
            is_stop_queued: AtomicBool::new(false),
            waits: AtomicU8::new(Waits::Elsewhere as u8),
            nonce: AtomicU64::new(0),
            pings: AtomicU32::new(0),
            progress: Progress::default(),
            state: Mutex::default(),
        }
    }

    /// The actor's Rust type, for people.
    pub(crate) fn kind(&self) -> &'static str {
        (self.name_of_kind)()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<State>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the state, under its lock.
    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(self.lock().get_or_insert_default())
    }

    /// Why the actor, or the incarnation of a kept one, ended or is ending; `None` while it lives.
    pub(crate) fn reason(&self) -> Option<ExitReason> {
        let state = self.lock();
        let state = state.as_ref()?;
        state.reason.as_ref().or(state.fall.as_ref()).cloned()
    }

    /// Why the actor ended or is ending, for good.
    pub(crate) fn exit_reason(&self) -> Option<ExitReason> {
        self.lock().as_ref()?.reason.clone()
    }

    /// Why the incarnation of a kept actor ended or is ending.
    pub(crate) fn fall(&self) -> Option<ExitReason> {
        self.lock().as_ref()?.fall.clone()
    }

    /// Has a supervisor keep the actor.
    pub(crate) fn keep_by(&self, keeper: Keeper) {
        self.with(|state| state.keeper = Some(keeper));
    }

    /// Who keeps the actor, if it is kept.
    pub(crate) fn keeper(&self) -> Option<Keeper> {
        self.lock().as_ref()?.keeper.clone()
    }

    /// A kept actor may begin again: what was asked of the incarnation before is not asked of the next.
    pub(crate) fn renew(&self) {
        self.killed.store(false, Ordering::Release);
        self.is_stop_wanted.store(false, Ordering::Release);
    }

    /// The incarnation that ended is over: the next begins.
    pub(crate) fn rise(&self) {
        self.with(|state| state.fall = None);
    }

    /// The end of a kept actor begins, for the reason of its last fall if there was one; nobody keeps it any longer.
    pub(crate) fn finish(&self, otherwise: ExitReason) -> ExitReason {
        let (reason, keeper) = self.with(|state| {
            let reason = state.fall.take().unwrap_or(otherwise);
            (state.reason.get_or_insert(reason).clone(), state.keeper.take())
        });
        drop(keeper);
        reason
    }

    /// Whether the actor ended or is ending, for good.
    pub(crate) fn is_ending(&self) -> bool {
        self.lock().as_ref().is_some_and(|state| state.reason.is_some())
    }

    /// Counts what happens rarely.
    pub(crate) fn count(&self, count: impl FnOnce(&mut Counts)) {
        self.with(|state| count(&mut state.counts));
    }

    /// What happened rarely, counted.
    pub(crate) fn counts(&self) -> Counts {
        self.lock().as_ref().map_or_else(Counts::default, |state| state.counts)
    }

    /// Calls `notify` once when the actor has ended: at once if it has.
    pub(crate) fn monitor(&self, notify: Notify) -> Result<MonitorId, TooManyMonitors> {
        let monitor = MonitorId::fresh();
        let mut notify = Some(notify);
        let reason = self.with(|state| {
            if !state.over && state.monitors.len() < MONITORS_MAX {
                state.monitors.extend(notify.take().map(|notify| (monitor, notify)));
            }
            state.over.then(|| state.reason.clone())
        });
        // Told, or dropped, outside the lock: what a closure holds is not ours to know.
        match (notify, reason) {
            (None, _) => {}
            (Some(notify), Some(reason)) => notify(self.down(monitor, reason)),
            (Some(_), None) => return Err(TooManyMonitors),
        }
        Ok(monitor)
    }

    /// Forgets a monitor; a notice already given stays given.
    pub(crate) fn demonitor(&self, monitor: MonitorId) {
        let forgotten = self.with(|state| state.monitors.remove(&monitor));
        // Outside the lock: what a closure holds is not ours to know.
        drop(forgotten);
    }

    /// Keeps how a monitor held on another actor is let go, should this one end first.
    pub(crate) fn let_go_by(&self, watching: u64, undo: Undo) {
        let unused = self.with(|state| match state.watches.held.get_mut(&watching) {
            Some(slot) => slot.replace(undo),
            // Its notice has been handled already.
            None => Some(undo),
        });
        drop(unused);
    }

    fn down(&self, monitor: MonitorId, reason: Option<ExitReason>) -> Down {
        let reason = reason.unwrap_or(ExitReason::Normal);
        Down { monitor, server: None, actor: ActorId::Number(self.number), reason }
    }

    /// The end begins: that of the incarnation, if the actor is kept. The first reason stays.
    pub(crate) fn begin_end(&self, reason: ExitReason) -> ExitReason {
        self.with(|state| {
            let slot = if state.keeper.is_some() { &mut state.fall } else { &mut state.reason };
            slot.get_or_insert(reason).clone()
        })
    }

    /// Does something with the actor's links, under the lock.
    pub(crate) fn links<R>(&self, f: impl FnOnce(&mut Links) -> R) -> R {
        self.with(|state| f(&mut state.links))
    }

    /// Lets go of the monitors held on others.
    pub(crate) fn let_go(&self) {
        let held = self.with(|state| std::mem::take(&mut state.watches.held));
        for undo in held.into_values().flatten() {
            contained("the letting go of a monitor", undo);
        }
    }

    /// The end is complete: tells every monitor, once, and lets go of those held on others.
    pub(crate) fn complete_end(&self) {
        let (reason, monitors) = self.with(|state| {
            state.over = true;
            (state.reason.clone(), std::mem::take(&mut state.monitors))
        });
        for (monitor, notify) in monitors {
            let down = self.down(monitor, reason.clone());
            // Whoever panics on hearing of it does not keep the others from hearing.
            contained("a monitor", || notify(down));
        }
        self.let_go();
        for let_go in self.links(Links::remove_all) {
            contained("the letting go of a link", let_go);
        }
    }

    /// The actor is to stop. Whether a stop has to be put into the control lane: none is there.
    pub(crate) fn is_first_stop(&self) -> bool {
        self.is_stop_wanted.store(true, Ordering::Release);
        !self.is_stop_queued.swap(true, Ordering::AcqRel)
    }

    /// A stop came out of the control lane. Whether it is still wanted: it may have been meant for an incarnation that
    /// is gone.
    pub(crate) fn take_stop(&self) -> bool {
        self.is_stop_queued.swap(false, Ordering::AcqRel);
        self.is_stop_wanted()
    }

    pub(crate) fn is_stop_wanted(&self) -> bool {
        self.is_stop_wanted.load(Ordering::Acquire)
    }

    /// Whoever runs the actor drops it where it stands, before the next step.
    pub(crate) fn set_killed(&self) {
        self.killed.store(true, Ordering::Release);
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    pub(crate) fn nonce(&self) -> u64 {
        self.nonce.load(Ordering::Relaxed)
    }

    pub(crate) fn set_nonce(&self, nonce: u64) {
        self.nonce.store(nonce, Ordering::Relaxed);
    }

    /// What the handler that waits waits for. Asked and said by whoever runs the actor.
    pub(crate) fn waits(&self) -> Waits {
        match self.waits.load(Ordering::Relaxed) & !RECEIVES {
            1 => Waits::ForMessages,
            2 => Waits::ForItsTurn,
            _ => Waits::Elsewhere,
        }
    }

    pub(crate) fn set_waits(&self, waits: Waits) {
        let receives = self.waits.load(Ordering::Relaxed) & RECEIVES;
        self.waits.store(waits as u8 | receives, Ordering::Relaxed);
    }

    /// Whether a handler has ever taken messages itself.
    pub(crate) fn receives(&self) -> bool {
        self.waits.load(Ordering::Relaxed) & RECEIVES != 0
    }

    /// A handler takes a message itself. Said by whoever runs the actor.
    pub(crate) fn set_receives(&self) {
        self.waits.store(self.waits.load(Ordering::Relaxed) | RECEIVES, Ordering::Relaxed);
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life")
            .field("number", &self.number)
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}
