//! The timers of one system: what is due when, and one task that sleeps until the first.
//!
//! Asks, receives with a timeout and tickers share one sleep of the clock seam, which is moved only when something is
//! due earlier than it. So a deadline that never comes, as most, costs an entry in a map and nothing else. The
//! asks of an actor are bounded here as well: it waits for so many and no more.
//!
//! # Invariants
//!
//! - Nothing is woken or dropped under the lock.
//! - The task sleeps until the first entry or earlier, never later.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use odeon_core::Instant;
use odeon_core::seam::{BoxFuture, Clock, Spawn, TaskKind};

use crate::handle::There;

/// Most asks that one actor has open at a time; those whose answer is there at once are not counted. Whoever wants more
/// answers than that wants them one after the other.
pub const ASKS_MAX: usize = 16_384;

/// The end of time.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// The timers of one system.
pub(crate) struct Timers {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    due: BTreeMap<Key, Due>,
    /// How many of these are asks, by the asking actor. Counted only while there are so many entries that one actor may
    /// have too many.
    asks: Option<BTreeMap<u64, usize>>,
    next: u64,
    /// Until when the task sleeps; `None` before it has been started.
    sleeps_until: Option<Instant>,
    task: Option<Waker>,
    is_closed: bool,
}

/// Names an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    at: Instant,
    number: u64,
}

impl Key {
    /// The same entry, due at another time.
    pub(crate) const fn due(self, at: Instant) -> Self {
        Self { at, ..self }
    }
}

/// What happens when an entry is due.
enum Due {
    /// With the ask that waits, if it is one.
    Wake(Waker, Option<Asking>),
    Fire(Arc<dyn Fire>),
}

/// An ask that waits.
#[derive(Clone)]
pub(crate) struct Asking {
    /// The number of the asking actor; 0 for code that is none.
    pub(crate) from: u64,
    pub(crate) to: Whom,
    pub(crate) since: Instant,
}

/// Whom an ask is to.
#[derive(Clone)]
pub(crate) enum Whom {
    /// The actor of this number.
    Here(u64),
    There(Arc<There>),
}

/// Something that happens at a time, perhaps again and again.
pub(crate) trait Fire: Send + Sync {
    /// It is due; says when it is due again.
    fn fire(self: Arc<Self>, now: Instant) -> Option<Instant>;
}

impl Timers {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, state: Mutex::default() })
    }

    /// Has `waker` woken once `at` has come.
    pub(crate) fn wake_at(self: &Arc<Self>, at: Instant, waker: &Waker, tasks: &dyn Spawn) -> Key {
        self.insert(at, Due::Wake(waker.clone(), None), tasks)
    }

    /// The same for an ask, which can be seen while it waits; none if the asker has too many open already.
    pub(crate) fn wake_asker_at(
        self: &Arc<Self>,
        at: Instant,
        waker: &Waker,
        asking: Asking,
        tasks: &dyn Spawn,
    ) -> Option<Key> {
        self.try_insert(at, Due::Wake(waker.clone(), Some(asking)), tasks)
    }

    /// The asks that wait, with when they expire: earliest first.
    pub(crate) fn asking(&self) -> Vec<(Instant, Asking)> {
        let state = self.lock();
        let asking = |(key, due): (&Key, &Due)| match due {
            Due::Wake(_, asking) => asking.clone().map(|asking| (key.at, asking)),
            Due::Fire(_) => None,
        };
        state.due.iter().filter_map(asking).collect()
    }

    /// Has `fire` called once `at` has come, and again when it says.
    pub(crate) fn fire_at(self: &Arc<Self>, at: Instant, fire: Arc<dyn Fire>, tasks: &dyn Spawn) -> Key {
        self.insert(at, Due::Fire(fire), tasks)
    }

    /// Forgets an entry; `false` when it has been due already. Once closed, nothing has been.
    pub(crate) fn forget(&self, key: Key) -> bool {
        let mut state = self.lock();
        let forgotten = state.due.remove(&key);
        if let Some(due) = &forgotten {
            state.count_out(due);
        }
        let is_closed = state.is_closed;
        drop(state);
        forgotten.is_some() || is_closed
    }

    /// Ends the task. Nothing is due any longer.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let (task, due) = (state.task.take(), std::mem::take(&mut state.due));
        state.asks = None;
        drop(state);
        drop(due);
        if let Some(task) = task {
            task.wake();
        }
    }

    fn insert(self: &Arc<Self>, at: Instant, due: Due, tasks: &dyn Spawn) -> Key {
        self.try_insert(at, due, tasks).expect("only asks are refused")
    }

    fn try_insert(self: &Arc<Self>, at: Instant, due: Due, tasks: &dyn Spawn) -> Option<Key> {
        let mut state = self.lock();
        if !state.count_in(&due) {
            return None;
        }
        state.next += 1;
        let key = Key { at, number: state.next };
        state.due.insert(key, due);
        let (is_new, wake) = match state.sleeps_until {
            Some(until) if until <= at => (false, None),
            Some(_) => (false, state.task.take()),
            None => {
                state.sleeps_until = Some(at);
                (true, None)
            }
        };
        drop(state);
        if let Some(task) = wake {
            task.wake();
        }
        if is_new {
            let keep = Arc::downgrade(self);
            tasks.spawn(TaskKind::Service, "timers", Box::pin(keep_time(keep)));
        }
        Some(key)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has another waker woken; `false` when the entry has been due already.
    pub(crate) fn rewake(&self, key: Key, waker: &Waker) -> bool {
        let mut waker = waker.clone();
        let mut state = self.lock();
        let kept = match state.due.get_mut(&key) {
            Some(Due::Wake(kept, _)) => {
                std::mem::swap(kept, &mut waker);
                true
            }
            Some(Due::Fire(_)) => false,
            // Closed, it never is.
            None => state.is_closed,
        };
        drop(state);
        kept
    }

    /// Does what is due, and sleeps until more is.
    fn poll(&self, sleep: &mut Sleep, task: &mut Context<'_>) {
        loop {
            let now = self.clock.now();
            for (key, due) in self.take_due(now) {
                match due {
                    Due::Wake(waker, _) => waker.wake(),
                    Due::Fire(fire) => {
                        if let Some(at) = Arc::clone(&fire).fire(now) {
                            self.lock().due.insert(Key { at, ..key }, Due::Fire(fire));
                        }
                    }
                }
            }
            let waker = task.waker().clone();
            let mut state = self.lock();
            // With nothing due it sleeps on as it does: what comes next is due later than that, as a rule.
            let until = state.due.first_key_value().map(|(key, _)| key.at).or_else(|| sleep.until());
            state.sleeps_until = Some(until.unwrap_or(NEVER));
            let replaced = state.task.replace(waker);
            drop(state);
            drop(replaced);
            match until {
                Some(until) if sleep.poll(&*self.clock, until, task).is_ready() => {}
                Some(_) | None => return,
            }
        }
    }

    fn take_due(&self, now: Instant) -> Vec<(Key, Due)> {
        let mut due = Vec::new();
        let mut state = self.lock();
        while let Some(entry) = state.due.first_entry()
            && entry.key().at <= now
        {
            due.push(entry.remove_entry());
        }
        due.iter().for_each(|(_, due)| state.count_out(due));
        due
    }
}

impl State {
    /// Counts an ask; whether its actor may have one more.
    fn count_in(&mut self, due: &Due) -> bool {
        let Some(from) = due.asker() else {
            return true;
        };
        if self.asks.is_none() && self.due.len() >= ASKS_MAX {
            let mut asks = BTreeMap::new();
            for from in self.due.values().filter_map(Due::asker) {
                *asks.entry(from).or_default() += 1;
            }
            self.asks = Some(asks);
        }
        let Some(asks) = &mut self.asks else {
            return true;
        };
        let many = asks.entry(from).or_default();
        let is_room = *many < ASKS_MAX;
        *many += usize::from(is_room);
        is_room
    }

    /// The same for one that has left.
    fn count_out(&mut self, due: &Due) {
        if self.due.len() < ASKS_MAX / 2 {
            self.asks = None;
        }
        if let (Some(asks), Some(from)) = (&mut self.asks, due.asker())
            && let Some(many) = asks.get_mut(&from)
        {
            *many -= 1;
            if *many == 0 {
                asks.remove(&from);
            }
        }
    }
}

impl Due {
    /// The actor whose ask it is.
    fn asker(&self) -> Option<u64> {
        match self {
            Self::Wake(_, Some(asking)) if asking.from != 0 => Some(asking.from),
            Self::Wake(..) | Self::Fire(_) => None,
        }
    }
}

/// One sleep of the clock, moved when need be.
struct Sleep(Option<(Instant, BoxFuture<'static, ()>)>);

impl Sleep {
    fn until(&self) -> Option<Instant> {
        self.0.as_ref().map(|(until, _)| *until)
    }

    fn poll(&mut self, clock: &dyn Clock, at: Instant, task: &mut Context<'_>) -> Poll<()> {
        if self.until() != Some(at) {
            self.0 = Some((at, clock.sleep_until(at)));
        }
        let polled = self.0.as_mut().map_or(Poll::Ready(()), |(_, sleep)| sleep.as_mut().poll(task));
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

/// The task; it ends with the system.
async fn keep_time(timers: Weak<Timers>) {
    let mut sleep = Sleep(None);
    poll_fn(|task| {
        let Some(timers) = timers.upgrade().filter(|timers| !timers.lock().is_closed) else {
            return Poll::Ready(());
        };
        timers.poll(&mut sleep, task);
        Poll::Pending
    })
    .await;
}

/// Ready when `future` is, or with `None` when `at` has come first.
pub(crate) async fn until<T>(clock: &dyn Clock, at: Instant, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut timer = None;
    poll_fn(|task| {
        if let Poll::Ready(value) = future.as_mut().poll(task) {
            return Poll::Ready(Some(value));
        }
        timer.get_or_insert_with(|| clock.sleep_until(at)).as_mut().poll(task).map(|()| None)
    })
    .await
}

impl Drop for Timers {
    fn drop(&mut self) {
        let task = self.lock().task.take();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("due", &self.lock().due.len()).finish_non_exhaustive()
    }
}
