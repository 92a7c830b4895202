//! Timers of actors: messages that come later, once or again and again.
//!
//! A timer puts its tick into the receiver's control lane, where no full mailbox can refuse it and no queue delays it.
//! The message is made when the receiver takes the tick; until it has been handed out, the timer queues no other one,
//! so that a slow actor finds one tick where it missed many, and sees by the number how many.
//!
//! # Invariants
//!
//! - A timer has its place in the receiver's control lane from its registration to the last mention of it.
//! - At most one of its ticks is undelivered.
//! - It ends with its owner (whose context holds it), with its receiver (whose mailbox refuses it), and when cancelled;
//!   nothing of it is delivered after that.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use odeon_core::Instant;

use crate::actor::Actor;
use crate::call::Request;
use crate::cx::Cx;
use crate::envelope::{Envelope, Meta};
use crate::handle::{Handle, Target};
use crate::life::TimerRoom;
use crate::local::{Control, Local};
use crate::panic::contained;
use crate::reply::Reply;
use crate::system::System;
use crate::timers::{Fire, Key};

/// Most timers that one actor sets, and most that send to one: enough for one per connection of a busy server. All
/// their ticks fit into its control lane at once, with all notices, pings and a stop.
pub const TIMERS_MAX: usize = 16_384;

/// The shortest period: clocks are no finer.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// Names a timer of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(u64);

impl TimerId {
    fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a timer's message is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// The timer.
    pub id: TimerId,
    /// How many periods have passed before this one, from 0: a gap shows how many ticks were missed.
    pub seqno: u64,
}

/// Why a timer cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TickerError {
    /// There are as many as may be.
    #[error("an actor sets at most {TIMERS_MAX} timers, and at most so many send to it")]
    TooMany,
    /// The receiver is not in this process.
    #[error("a timer sends to actors of this process only")]
    Elsewhere,
}

/// A timer, as its receiver sees it.
pub(crate) trait Ticks<M>: Send + Sync {
    fn id(&self) -> TimerId;
    /// Makes the message of the tick that is queued; `None` if the timer is over.
    fn make(&self) -> Option<Envelope<M>>;
    /// Whether the timer is over.
    fn is_over(&self) -> bool;
    /// The tick has been handed out; says whether it was the last.
    fn is_out(&self) -> bool;
}

/// A timer, as its owner holds it. Dropped, it is over.
pub(crate) struct Owned {
    timer: Arc<dyn Ends>,
    key: Key,
    system: System,
}

trait Ends: Send + Sync {
    /// Ends it; says until when it slept, or `None` if it was over.
    fn end(&self) -> Option<Instant>;
    fn has_ended(&self) -> bool;
}

impl Owned {
    fn cancel(&self) -> bool {
        let Some(due) = self.timer.end() else {
            return false;
        };
        self.system.timers().forget(self.key.due(due));
        true
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.cancel();
    }
}

type Make<M> = Box<dyn FnMut(Tick) -> Option<M> + Send>;

struct Ticker<A: Actor> {
    id: TimerId,
    owner: u64,
    /// It sends to the actor that has set it.
    is_own: bool,
    to: Arc<Local<A>>,
    period: Option<Duration>,
    is_over: AtomicBool,
    state: Mutex<State<A::Message>>,
    _room: TimerRoom,
}

struct State<M> {
    make: Option<Make<M>>,
    due: Instant,
    /// Periods that have passed.
    passed: u64,
    /// A tick is in the control lane, or was taken and waits to be handed out.
    is_queued: bool,
}

impl<A: Actor> Ticker<A> {
    fn lock(&self) -> MutexGuard<'_, State<A::Message>> {
        // Nothing panics under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Actor> Fire for Ticker<A> {
    fn fire(self: Arc<Self>, now: Instant) -> Option<Instant> {
        if self.is_over.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        let again = match self.period {
            Some(period) => {
                // What was missed counts as passed: there are no bursts to make up for it.
                let late = (now - state.due).as_nanos() / period.as_nanos();
                let periods = u64::try_from(late).unwrap_or(u64::MAX).saturating_add(1);
                state.passed = state.passed.saturating_add(periods);
                state.due = state.due + period.saturating_mul(u32::try_from(periods).unwrap_or(u32::MAX));
                Some(state.due)
            }
            None => {
                state.passed = 1;
                None
            }
        };
        let is_queued = std::mem::replace(&mut state.is_queued, true);
        drop(state);
        if !is_queued {
            let tick = Control::Tick(Arc::clone(&self) as _);
            if self.to.mailbox.control(tick).is_err() {
                // The receiver has ended.
                self.end();
                return None;
            }
            self.to.notify_message();
        }
        again
    }
}

impl<A: Actor> Ticks<A::Message> for Ticker<A> {
    fn id(&self) -> TimerId {
        self.id
    }

    fn make(&self) -> Option<Envelope<A::Message>> {
        if self.is_over() {
            return None;
        }
        let mut state = self.lock();
        let tick = Tick { id: self.id, seqno: state.passed.saturating_sub(1) };
        let mut make = state.make.take()?;
        drop(state);
        let mut made = None;
        if self.is_own {
            made = make(tick);
        } else {
            // It is the owner's code, and does the receiver no harm.
            contained("what makes a tick", || made = make(tick));
        }
        let Some(message) = made else {
            self.end();
            return None;
        };
        if self.period.is_some() {
            self.lock().make = Some(make);
        }
        Some(Envelope { message, meta: Meta::ticked(self.owner, tick.seqno) })
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn is_out(&self) -> bool {
        self.lock().is_queued = false;
        if self.period.is_none() {
            self.end();
        }
        self.is_over()
    }
}

impl<A: Actor> Ends for Ticker<A> {
    fn end(&self) -> Option<Instant> {
        if self.is_over.swap(true, Ordering::AcqRel) {
            return None;
        }
        let mut state = self.lock();
        let (due, make) = (state.due, state.make.take());
        drop(state);
        // Outside the lock: what it holds is not ours to know.
        contained("the drop of a ticker", || drop(make));
        Some(due)
    }

    fn has_ended(&self) -> bool {
        self.is_over()
    }
}

impl<A: Actor> Cx<A> {
    /// Sends this actor what `make` makes, each `period` from now on, until it is [cancelled](Self::cancel) or the
    /// actor ends. The first tick comes after one period.
    ///
    /// Ticks are never lost to a full mailbox, and are handled before other messages. While one waits to be handled,
    /// no other is queued: the next tells by its number how many were missed. The shortest period is a millisecond.
    /// A tick's sender is the actor that set the timer; its nonce is its number.
    ///
    /// ```
    /// # extern crate odeon_actor as odeon;
    /// use std::time::Duration;
    ///
    /// use odeon::{Cx, ExitReason, System, Tick, TickerError, actor};
    ///
    /// struct Clock;
    ///
    /// #[actor]
    /// impl Clock {
    ///     #[started]
    ///     fn begin(&mut self, cx: &mut Cx<Self>) -> Result<(), TickerError> {
    ///         cx.ticker(Duration::from_millis(10), |tick| ClockStrike { tick })?;
    ///         Ok(())
    ///     }
    ///
    ///     #[handle]
    ///     fn strike(&mut self, tick: Tick, cx: &mut Cx<Self>) {
    ///         if tick.seqno >= 3 {
    ///             cx.stop();
    ///         }
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let clock = System::new().spawn(Clock);
    /// assert_eq!(clock.ended().await, ExitReason::Normal);
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TickerError::TooMany`] when the actor has set [`TIMERS_MAX`] timers, or so many send to it.
    pub fn ticker<Q: Request<A>>(
        &mut self,
        period: Duration,
        make: impl FnMut(Tick) -> Q + Send + 'static,
    ) -> Result<TimerId, TickerError> {
        self.ticker_after(period, period, make)
    }

    /// As [`ticker`](Self::ticker), with the first tick after `delay`.
    ///
    /// # Errors
    /// As [`ticker`](Self::ticker).
    pub fn ticker_after<Q: Request<A>>(
        &mut self,
        delay: Duration,
        period: Duration,
        make: impl FnMut(Tick) -> Q + Send + 'static,
    ) -> Result<TimerId, TickerError> {
        let to = Arc::clone(self.local());
        self.set_timer(&to, delay, Some(period), each(make))
    }

    /// Sends this actor what `make` makes, once, after `delay`, unless it is cancelled before. `make` may hold what
    /// must not be lost, such as the port of an answer.
    ///
    /// # Errors
    /// As [`ticker`](Self::ticker).
    pub fn after<Q: Request<A>>(
        &mut self,
        delay: Duration,
        make: impl FnOnce(Tick) -> Q + Send + 'static,
    ) -> Result<TimerId, TickerError> {
        let to = Arc::clone(self.local());
        self.set_timer(&to, delay, None, once(make))
    }

    /// As [`ticker_after`](Self::ticker_after), sent to another actor. It ends with either of the two.
    ///
    /// # Errors
    /// As [`ticker`](Self::ticker), and [`TickerError::Elsewhere`] when the other actor is not in this process.
    pub fn ticker_to<B: Actor, Q: Request<B>>(
        &mut self,
        other: &Handle<B>,
        delay: Duration,
        period: Duration,
        make: impl FnMut(Tick) -> Q + Send + 'static,
    ) -> Result<TimerId, TickerError> {
        self.set_timer(here(other)?, delay, Some(period), each(make))
    }

    /// As [`after`](Self::after), sent to another actor, unless either of the two ends before.
    ///
    /// # Errors
    /// As [`ticker_to`](Self::ticker_to).
    pub fn after_to<B: Actor, Q: Request<B>>(
        &mut self,
        other: &Handle<B>,
        delay: Duration,
        make: impl FnOnce(Tick) -> Q + Send + 'static,
    ) -> Result<TimerId, TickerError> {
        self.set_timer(here(other)?, delay, None, once(make))
    }

    /// Ends a timer of this actor: nothing of it is handled any more, even if it was queued. `false` if it was over.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        let owned = self.rare.as_mut().and_then(|rare| rare.timers.remove(&timer));
        owned.is_some_and(|owned| owned.cancel())
    }

    fn set_timer<B: Actor>(
        &mut self,
        to: &Arc<Local<B>>,
        delay: Duration,
        period: Option<Duration>,
        make: Make<B::Message>,
    ) -> Result<TimerId, TickerError> {
        let rare = self.rare();
        if rare.timers.len() >= rare.prune_at.min(TIMERS_MAX) {
            // Those that send to others end without this actor hearing of it.
            rare.timers.retain(|_, owned| !owned.timer.has_ended());
            rare.prune_at = (2 * rare.timers.len()).max(16);
            if rare.timers.len() >= TIMERS_MAX {
                return Err(TickerError::TooMany);
            }
        }
        let room = TimerRoom::take(&to.life).ok_or(TickerError::TooMany)?;
        let system = self.system().clone();
        let due = system.clock().now() + delay;
        let id = TimerId::fresh();
        let ticker = Arc::new(Ticker {
            id,
            owner: self.local().life.number,
            is_own: Arc::ptr_eq(&self.local().life, &to.life),
            to: Arc::clone(to),
            period: period.map(|period| period.max(PERIOD_MIN)),
            is_over: AtomicBool::new(false),
            state: Mutex::new(State { make: Some(make), due, passed: 0, is_queued: false }),
            _room: room,
        });
        let key = system.timers().fire_at(due, Arc::clone(&ticker) as _, &**system.tasks());
        self.rare().timers.insert(id, Owned { timer: ticker, key, system });
        Ok(id)
    }
}

fn here<B: Actor>(other: &Handle<B>) -> Result<&Arc<Local<B>>, TickerError> {
    match &other.0 {
        Target::Here(local) => Ok(local),
        _ => Err(TickerError::Elsewhere),
    }
}

fn each<B: Actor, Q: Request<B>>(mut make: impl FnMut(Tick) -> Q + Send + 'static) -> Make<B::Message> {
    Box::new(move |tick| Some(make(tick).into_message(Reply::nobody())))
}

fn once<B: Actor, Q: Request<B>>(make: impl FnOnce(Tick) -> Q + Send + 'static) -> Make<B::Message> {
    let mut make = Some(make);
    Box::new(move |tick| make.take().map(|make| make(tick).into_message(Reply::nobody())))
}

impl<A: Actor> fmt::Debug for Ticker<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticker").field("id", &self.id).field("period", &self.period).finish_non_exhaustive()
    }
}
