//! A system: the actors of one process or simulated server, their names, and what became undeliverable.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use odeon_core::limits::REPLY_TIMEOUT_DEFAULT;
use odeon_core::seam::{Clock, Spawn, TaskKind};
use odeon_core::{ActorName, ExitReason, Mark, Reference};
use odeon_mailbox::{Bounds, CAPACITY_DEFAULT, Overflow, RunQueue, Turn};

use crate::actor::Actor;
use crate::cycles::Cycles;
use crate::error::{NameTaken, RegisterError};
use crate::group::Groups;
use crate::handle::{Handle, Target};
use crate::inbox::Inbox;
use crate::life::Life;
use crate::local::Local;
use crate::panic::contained;
use crate::reserve::Reserved;
use crate::runtime::{TokioClock, TokioSpawn};
use crate::sender::Sender;
use crate::table::Table;
use crate::timers::{Timers, until};

/// How long the shutdown of a system waits for actors that it has killed.
pub const KILL_PATIENCE: Duration = Duration::from_millis(500);

/// The actors of one process. Cheap to clone: all clones are one system.
#[derive(Clone)]
pub struct System(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    spawn: Arc<dyn Spawn>,
    queue: RunQueue,
    timers: Arc<Timers>,
    /// Nanoseconds.
    reply_timeout: AtomicU64,
    next: AtomicU64,
    actors: Mutex<Actors>,
    groups: Groups,
    cycles: Cycles,
    is_measured: AtomicBool,
    /// Whether actors run on more than one thread.
    is_parallel: bool,
    /// Who comes from now on ends at once.
    is_closed: AtomicBool,
    dead_letters: AtomicU64,
    on_dead_letter: Mutex<Option<DeadLetterHook>>,
}

type DeadLetterHook = Arc<dyn Fn(&DeadLetter) + Send + Sync>;

#[derive(Default)]
pub(crate) struct Actors {
    by_number: Table,
    by_name: BTreeMap<ActorName, Named>,
    /// Of those that have names: an end must not go through all names there are.
    names: BTreeMap<u64, Vec<ActorName>>,
    pub(crate) reserved: Reserved,
}

struct Named {
    inbox: Arc<dyn Inbox>,
    typed: Arc<dyn Any + Send + Sync>,
}

/// A registered actor, for lists.
#[derive(Debug, Clone)]
pub struct RegisteredActor {
    /// Its name.
    pub name: ActorName,
    /// The actor.
    pub inbox: Arc<dyn Inbox>,
}

/// How an actor is spawned.
///
/// ```
/// # extern crate odeon_actor as odeon;
/// # use odeon::{SpawnOptions, System, actor};
/// # struct Cart;
/// # #[actor]
/// # impl Cart {
/// #     #[handle]
/// #     fn count(&mut self) -> usize { 0 }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let system = System::new();
/// let options = SpawnOptions::named("cart".parse()?).capacity(16);
/// system.spawn_with(options.clone(), Cart)?;
/// let cart = system.lookup::<Cart>(&"cart".parse()?).expect("it is registered");
/// assert_eq!(cart.count().await?, 0);
/// assert!(system.spawn_with(options, Cart).is_err(), "the name is taken");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SpawnOptions {
    /// Most messages waiting in its mailbox; 1,024 by default, at least 1.
    pub capacity: usize,
    /// What becomes of the messages past that; [`Overflow::Wait`] by default.
    pub overflow: Overflow,
    /// Registered before the actor starts, so that nobody can find it half made.
    pub name: Option<ActorName>,
}

impl Default for SpawnOptions {
    fn default() -> Self {
        Self { capacity: CAPACITY_DEFAULT, overflow: Overflow::Wait, name: None }
    }
}

impl SpawnOptions {
    /// With this name.
    #[must_use]
    pub fn named(name: ActorName) -> Self {
        Self { name: Some(name), ..Self::default() }
    }

    /// With this many messages waiting at most.
    #[must_use]
    pub const fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    /// With this done to the messages for which there is no room.
    #[must_use]
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    pub(crate) const fn bounds(&self) -> Bounds {
        Bounds { capacity: self.capacity, overflow: self.overflow }
    }
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// A message that reached nobody.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The actor it was for; 0 if it was meant by name, on another server.
    pub actor: u64,
    /// That actor's Rust type.
    pub kind: &'static str,
    /// Who sent it.
    pub sender: Sender,
    /// Why it reached nobody.
    pub reason: DeadReason,
}

/// Why a message reached nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadReason {
    /// The actor had ended, or it ended before the message's turn came.
    Ended(ExitReason),
    /// It was the oldest in a full mailbox that drops the oldest, and a newer one took its place.
    Displaced,
    /// It was sent to another server, and the link was lost before that server had said that its actor took it: it
    /// may have been handled.
    MaybeLost {
        /// The actor it was for.
        to: Box<Reference>,
        /// What kind of message it was.
        mark: Mark,
    },
}

impl From<ExitReason> for DeadReason {
    fn from(reason: ExitReason) -> Self {
        Self::Ended(reason)
    }
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(reason) => write!(f, "the actor {reason}"),
            Self::Displaced => f.write_str("a newer message took its place"),
            Self::MaybeLost { to, mark } => {
                write!(f, "the link was lost before {to} was known to have taken {mark}")
            }
        }
    }
}

impl DeadLetter {
    pub(crate) fn new(life: &Life, sender: Sender, reason: impl Into<DeadReason>) -> Self {
        Self { actor: life.number, kind: life.kind(), sender, reason: reason.into() }
    }
}

impl System {
    /// A system in the current tokio runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Arc::new(TokioClock::new()), Arc::new(TokioSpawn::current()))
    }

    /// A system over other seams.
    #[must_use]
    pub fn with(clock: Arc<dyn Clock>, spawn: Arc<dyn Spawn>) -> Self {
        let shared = Arc::new_cyclic(|me: &Weak<Shared>| Shared {
            timers: Timers::new(Arc::clone(&clock)),
            reply_timeout: AtomicU64::new(nanos(REPLY_TIMEOUT_DEFAULT)),
            queue: RunQueue::new({
                let me = Weak::clone(me);
                move || me.upgrade().iter().for_each(|shared| shared.end_without_runners())
            }),
            clock,
            is_parallel: spawn.threads() > 1,
            spawn,
            // 0 is the server itself.
            next: AtomicU64::new(1),
            actors: Mutex::default(),
            groups: Groups::default(),
            cycles: Cycles::new(),
            is_measured: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            dead_letters: AtomicU64::new(0),
            on_dead_letter: Mutex::default(),
        });
        for _ in 0..shared.spawn.threads().max(1) {
            shared.spawn.spawn(TaskKind::Actor, "actors", Box::pin(shared.queue.runner()));
        }
        Self(shared)
    }

    /// Starts an actor.
    pub fn spawn<A: Actor>(&self, actor: A) -> Handle<A> {
        match self.spawn_with(SpawnOptions::default(), actor) {
            Ok(handle) => handle,
            Err(_) => unreachable!("an actor without a name cannot take one"),
        }
    }

    /// Starts an actor with options.
    ///
    /// # Errors
    /// When the name belongs to another actor; the new one is then dropped unstarted.
    pub fn spawn_with<A: Actor>(&self, options: SpawnOptions, actor: A) -> Result<Handle<A>, NameTaken> {
        let local = Local::new(self.new_life::<A>(), options.bounds(), self.clone(), actor);
        if let Err(taken) = self.enter(&local, options.name) {
            local.discard();
            return Err(taken);
        }
        local.launch();
        Ok(Handle::here(local))
    }

    pub(crate) fn new_life<A: Actor>(&self) -> Arc<Life> {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        Arc::new(Life::new::<A>(number))
    }

    /// Enters an actor into the tables, if its name is free.
    pub(crate) fn enter<A: Actor>(
        &self,
        local: &Arc<Local<A>>,
        name: Option<ActorName>,
    ) -> Result<(), NameTaken> {
        let mut actors = self.actors();
        if let Some(name) = name {
            actors.claim(name, local)?;
        }
        actors.by_number.insert(local.life.number, Arc::clone(local) as Arc<dyn Inbox>);
        Ok(())
    }

    /// Gives a running actor a name; an actor may have several. Names are free again when it ends.
    ///
    /// # Errors
    /// When the name belongs to another actor, or the handle is not one of an actor of this system.
    pub fn register<A: Actor>(&self, name: ActorName, handle: &Handle<A>) -> Result<(), RegisterError> {
        let local = match &handle.0 {
            Target::Here(local) if self.is_same(&local.system) => local,
            _ => return Err(RegisterError::Elsewhere(name)),
        };
        let mut actors = self.actors();
        actors.claim(name.clone(), local)?;
        // It may have ended before the name was there to be freed.
        if local.life.is_ending() {
            actors.unname(local.life.number, &name);
        }
        Ok(())
    }

    /// The actor of that name, if it is of type `A`.
    #[must_use]
    pub fn lookup<A: Actor>(&self, name: &ActorName) -> Option<Handle<A>> {
        let typed = Arc::clone(&self.actors().by_name.get(name)?.typed);
        typed.downcast::<Local<A>>().ok().map(Handle::here)
    }

    /// The actor of that name, whatever its type.
    #[must_use]
    pub fn inbox(&self, name: &ActorName) -> Option<Arc<dyn Inbox>> {
        self.actors().by_name.get(name).map(|named| Arc::clone(&named.inbox))
    }

    /// The actor of that number, whatever its type.
    #[must_use]
    pub fn inbox_by_number(&self, number: u64) -> Option<Arc<dyn Inbox>> {
        self.actors().by_number.get(number).cloned()
    }

    /// Every registered actor, by name.
    #[must_use]
    pub fn registered(&self) -> Vec<RegisteredActor> {
        let actors = self.actors();
        let entry = |(name, named): (&ActorName, &Named)| RegisteredActor {
            name: name.clone(),
            inbox: Arc::clone(&named.inbox),
        };
        actors.by_name.iter().map(entry).collect()
    }

    /// How many actors live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.actors().by_number.len()
    }

    /// How many messages reached nobody so far.
    #[must_use]
    pub fn dead_letters(&self) -> u64 {
        self.0.dead_letters.load(Ordering::Relaxed)
    }

    /// Has `hook` called for each message that reaches nobody, by whoever found that out: it must not block. One
    /// hook per system, the last one given.
    pub fn on_dead_letter(&self, hook: impl Fn(&DeadLetter) + Send + Sync + 'static) {
        *self.0.on_dead_letter.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
    }

    /// Asks every actor there is now to stop, newest first, and kills those still there after `grace`. Ready when
    /// these are gone; one that computes without ever waiting cannot be ended, and is not waited for longer than
    /// [`KILL_PATIENCE`]. What they spawn meanwhile is not asked. An actor that a supervisor keeps is left to it: it is
    /// waited for, and ends as its supervisor does.
    ///
    /// # Cancel safety
    /// Dropped, the stops already asked for stay asked for.
    pub async fn shutdown(&self, grace: Duration) {
        let actors: Vec<_> = self.actors().by_number.iter().rev().cloned().collect();
        let ends: Vec<_> = actors.iter().map(|actor| ended(&**actor)).collect();
        let is_own: Vec<_> = actors.iter().map(|actor| !actor.is_supervised()).collect();
        for (actor, _) in actors.iter().zip(&is_own).filter(|(_, is_own)| **is_own) {
            actor.stop();
        }
        let clock = &*self.0.clock;
        let stop_by = clock.now() + grace;
        let mut late = Vec::new();
        for ((actor, is_own), mut end) in actors.iter().zip(is_own).zip(ends) {
            if until(clock, stop_by, &mut end).await.is_none() {
                if is_own {
                    actor.kill();
                }
                late.push((actor, end));
            }
        }
        let kill_by = clock.now() + KILL_PATIENCE;
        for (actor, end) in late {
            if until(clock, kill_by, end).await.is_none() {
                let (actor, kind) = (actor.number(), actor.kind());
                tracing::warn!(actor, kind, "the actor computes without waiting and cannot be ended");
            }
        }
    }

    /// Ends the system: its tasks end, actors that are left or come later end as killed, and asks to them fail at
    /// once. Without it a system ends with its runtime, or when nobody holds it any longer.
    pub fn close(&self) {
        self.0.timers.close();
        self.0.end_without_runners();
    }

    /// How long an ask waits when it does not say: five seconds, unless set otherwise.
    #[must_use]
    pub fn reply_timeout(&self) -> Duration {
        Duration::from_nanos(self.0.reply_timeout.load(Ordering::Relaxed))
    }

    /// Sets how long asks wait that do not say: asks of this system's actors, made from now on. A server's asks of
    /// other servers' actors follow as well.
    pub fn set_reply_timeout(&self, timeout: Duration) {
        self.0.reply_timeout.store(nanos(timeout), Ordering::Relaxed);
    }

    pub(crate) fn is_parallel(&self) -> bool {
        self.0.is_parallel
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed.load(Ordering::SeqCst)
    }

    pub(crate) fn run_queue(&self) -> &RunQueue {
        &self.0.queue
    }

    pub(crate) fn cycles(&self) -> &Cycles {
        &self.0.cycles
    }

    /// Every actor there is, by number.
    pub(crate) fn inboxes(&self) -> Vec<Arc<dyn Inbox>> {
        self.actors().by_number.iter().cloned().collect()
    }

    #[inline]
    pub(crate) fn is_measured(&self) -> bool {
        self.0.is_measured.load(Ordering::Relaxed)
    }

    pub(crate) fn set_measured(&self, measure: Switch) {
        self.0.is_measured.store(measure == Switch::On, Ordering::Relaxed);
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.0.groups
    }

    /// Whether both are one system.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn timers(&self) -> &Arc<Timers> {
        &self.0.timers
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// The tasks.
    #[must_use]
    pub fn tasks(&self) -> &Arc<dyn Spawn> {
        &self.0.spawn
    }

    pub(crate) fn actors(&self) -> MutexGuard<'_, Actors> {
        self.0.actors()
    }

    /// Takes an ended actor out of the tables; its names are free.
    pub(crate) fn forget(&self, number: u64) {
        let mut actors = self.actors();
        let forgotten = actors.by_number.remove(number);
        let names = actors.names.remove(&number).unwrap_or_default();
        let freed: Vec<_> = names.iter().filter_map(|name| actors.by_name.remove(name)).collect();
        drop(actors);
        drop((forgotten, freed));
        self.0.groups.forget(number);
    }

    /// A message to another server, from an actor here, that may be lost with its link becomes a dead letter.
    pub fn maybe_lost(&self, to: Reference, mark: Mark, from: u64) {
        self.dead_letter(&DeadLetter {
            actor: to.actor.number().unwrap_or_default(),
            kind: "an actor of another server",
            sender: Sender::of_number(from),
            reason: DeadReason::MaybeLost { to: Box::new(to), mark },
        });
    }

    pub(crate) fn dead_letter(&self, letter: &DeadLetter) {
        self.0.dead_letters.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(actor = letter.actor, kind = letter.kind, reason = %letter.reason, "dead letter");
        let hook = self.0.on_dead_letter.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(hook) = hook {
            contained("a hook of dead letters", || hook(letter));
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Shared {
    fn actors(&self) -> MutexGuard<'_, Actors> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runners are gone, as with a runtime that shuts down, or are to go: every actor ends here, as killed.
    fn end_without_runners(&self) {
        // Before the table is read: whoever is not in it yet sees this when it is launched.
        self.is_closed.store(true, Ordering::SeqCst);
        let actors: Vec<_> = self.actors().by_number.iter().cloned().collect();
        actors.iter().for_each(|actor| actor.kill());
        let mut turn = Turn::new();
        while let Some(entry) = self.queue.pop() {
            entry.run(&mut turn);
        }
        self.queue.close();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Ready when the actor has ended; at once if that cannot be watched.
pub(crate) fn ended(actor: &dyn Inbox) -> odeon_mailbox::ReplyFuture<(), ()> {
    let (port, ended) = odeon_mailbox::reply_cell();
    // Refused, the notice is dropped with the port in it, which ends the wait.
    let _ = actor.monitor(Box::new(move |_| {
        let _ = port.send(());
    }));
    ended
}

impl Actors {
    fn claim<A: Actor>(&mut self, name: ActorName, local: &Arc<Local<A>>) -> Result<(), NameTaken> {
        if self.by_name.contains_key(&name) || self.reserved.holds(&name) {
            return Err(NameTaken(name));
        }
        self.name(name, local);
        Ok(())
    }

    fn name<A: Actor>(&mut self, name: ActorName, local: &Arc<Local<A>>) {
        let (inbox, typed) =
            (Arc::clone(local) as Arc<dyn Inbox>, Arc::clone(local) as Arc<dyn Any + Send + Sync>);
        self.names.entry(local.life.number).or_default().push(name.clone());
        self.by_name.insert(name, Named { inbox, typed });
    }

    /// Takes back a name that was given too late.
    fn unname(&mut self, number: u64, name: &ActorName) {
        self.by_name.remove(name);
        if let Some(names) = self.names.get_mut(&number) {
            names.retain(|given| given != name);
            if names.is_empty() {
                self.names.remove(&number);
            }
        }
    }

    /// Enters an actor under the name that was reserved for it.
    pub(crate) fn enter_reserved<A: Actor>(&mut self, name: ActorName, local: &Arc<Local<A>>) {
        self.name(name, local);
        self.by_number.insert(local.life.number, Arc::clone(local) as Arc<dyn Inbox>);
    }

    /// The actor of that name, without and with its type.
    pub(crate) fn named(&self, name: &ActorName) -> Option<(Arc<dyn Inbox>, Arc<dyn Any + Send + Sync>)> {
        self.by_name.get(name).map(|named| (Arc::clone(&named.inbox), Arc::clone(&named.typed)))
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System").field("live", &self.live()).finish_non_exhaustive()
    }
}
