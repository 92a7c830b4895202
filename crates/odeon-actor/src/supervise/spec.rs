//! How supervisors and their children are listed, before they start.

use std::fmt;
use std::sync::Arc;

use odeon_core::ActorName;
use odeon_mailbox::Overflow;

use super::error::AddChildError;
use super::kept::Factory;
use super::place::{Place, place};
use super::supervisor::{SupervisedChild, Supervisor};
use crate::actor::{Actor, Failure};
use crate::error::NameTaken;
use crate::handle::Handle;
use crate::system::{SpawnOptions, System};
use crate::tree::{
    AutoShutdown, Backoff, CHILDREN_MAX, ChildOptions, Intensity, Restart, Shutdown, Strategy, TreeOptions,
};

/// A child as its supervisor is to keep it: what makes it, and how it is started again and stopped.
///
/// ```
/// # extern crate odeon_actor as odeon;
/// # use odeon::{ChildSpec, actor};
/// # use std::time::Duration;
/// # struct Cart;
/// # #[actor]
/// # impl Cart {
/// #     #[handle]
/// #     fn count(&mut self) -> usize { 0 }
/// # }
/// use odeon::tree::{Restart, Shutdown};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cart = ChildSpec::new(|| Cart)
///     .named("cart".parse()?)
///     .capacity(16)
///     .restart(Restart::Transient)
///     .shutdown(Shutdown::Within(Duration::from_secs(1)));
/// # drop(cart);
/// # Ok(())
/// # }
/// ```
#[must_use = "a child does nothing before a supervisor has it"]
pub struct ChildSpec<A: Actor> {
    factory: Factory<A>,
    spawn: SpawnOptions,
    options: ChildOptions,
}

impl<A: Actor> ChildSpec<A> {
    /// A child that `make` makes, once for each of its incarnations. It runs where the child runs; a panic in it is the
    /// child's.
    pub fn new(mut make: impl FnMut() -> A + Send + 'static) -> Self {
        Self::fallible(move || Ok(make()))
    }

    /// A child that cannot always be made. A failure is one to start.
    pub fn fallible(make: impl FnMut() -> Result<A, Failure> + Send + 'static) -> Self {
        Self { factory: Box::new(make), spawn: SpawnOptions::default(), options: ChildOptions::default() }
    }

    /// With this name, from when it is listed until it is gone for good.
    pub fn named(mut self, name: ActorName) -> Self {
        self.spawn.name = Some(name);
        self
    }

    /// With this many messages waiting at most; what waits while it is down counts.
    pub const fn capacity(mut self, capacity: usize) -> Self {
        self.spawn.capacity = capacity;
        self
    }

    /// With this done to the messages for which there is no room.
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.spawn.overflow = overflow;
        self
    }

    /// Whether it is started again when it ends by itself: always, unless said otherwise.
    pub const fn restart(mut self, restart: Restart) -> Self {
        self.options.restart = restart;
        self
    }

    /// How it is stopped: within five seconds, unless said otherwise.
    pub const fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.options.shutdown = shutdown;
        self
    }

    /// Has its end count for [`AutoShutdown`].
    pub const fn significant(mut self) -> Self {
        self.options.significant = true;
        self
    }

    pub(super) fn place(self, system: &System) -> Result<(Newcomer, Handle<A>), NameTaken> {
        let (place, handle) = place(system, self.spawn, self.factory)?;
        Ok((Newcomer { place, options: self.options }, handle))
    }
}

impl<A: Actor> fmt::Debug for ChildSpec<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("kind", &std::any::type_name::<A>())
            .field("spawn", &self.spawn)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A supervisor and its children, listed and not yet started. Dropped unstarted, its children end.
///
/// ```
/// # extern crate odeon_actor as odeon;
/// use odeon::tree::{Restart, Strategy};
/// use odeon::{ChildSpec, ExitReason, Handle, System, actor};
///
/// #[derive(Default)]
/// struct Counter {
///     n: i64,
/// }
///
/// #[actor]
/// impl Counter {
///     #[handle]
///     fn add(&mut self, by: i64) -> i64 {
///         self.n = self.n.checked_add(by).expect("it overflows");
///         self.n
///     }
/// }
///
/// struct Adder(Handle<Counter>);
///
/// #[actor]
/// impl Adder {
///     #[handle]
///     async fn add_twice(&mut self, by: i64) -> Result<i64, odeon::AskError> {
///         self.0.add(by).await?;
///         self.0.add(by).await
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let system = System::new();
/// let mut tree = system.supervision(Strategy::OneForOne);
/// let counter = tree.child(ChildSpec::new(Counter::default).named("counter".parse()?))?;
/// let to = counter.clone(); // a handle outlasts all restarts, so it can be given to others at once
/// let adder = tree.child(ChildSpec::new(move || Adder(to.clone())).restart(Restart::Transient))?;
/// let supervisor = tree.start();
///
/// assert_eq!(adder.add_twice(2).await??, 4);
/// counter.add(i64::MAX).await.expect_err("it panics");
/// assert_eq!(counter.add(1).await?, 1, "the same handle, a new counter");
///
/// supervisor.stop();
/// assert_eq!(counter.ended().await, ExitReason::Stopped);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "no child starts before the supervisor does"]
pub struct Supervision(Plan);

/// What a supervisor is made from; for one that is a child itself, again and again.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) system: System,
    pub(super) options: TreeOptions,
    pub(super) seed: Option<u64>,
    pub(super) children: Vec<Newcomer>,
    pub(super) on_restart: Option<Hook>,
}

/// A child that no supervisor has started yet.
#[derive(Debug, Clone)]
#[doc(hidden)]
pub struct Newcomer {
    pub(super) place: Arc<dyn Place>,
    pub(super) options: ChildOptions,
}

pub(super) type Hook = Arc<dyn Fn(&SupervisedChild) + Send + Sync>;

impl System {
    /// A supervisor to be, still without children.
    pub fn supervision(&self, strategy: Strategy) -> Supervision {
        let options = TreeOptions { strategy, ..TreeOptions::default() };
        let system = self.clone();
        Supervision(Plan { system, options, seed: None, children: Vec::new(), on_restart: None })
    }
}

impl Supervision {
    /// When to give up.
    pub const fn intensity(mut self, intensity: Intensity) -> Self {
        self.0.options.intensity = intensity;
        self
    }

    /// How long to wait before a restart.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.0.options.backoff = backoff;
        self
    }

    /// Whether the ends of significant children end the supervisor.
    pub const fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.0.options.auto_shutdown = auto_shutdown;
        self
    }

    /// What spreads the waits before restarts; without it, the supervisor's number and the clock. Nothing is asked of
    /// the operating system, so one seed of a simulation replays one run.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.0.seed = Some(seed);
        self
    }

    /// Has `hook` called whenever a child has started again, by the supervisor: it must not block. The last one given
    /// counts.
    pub fn on_restart(mut self, hook: impl Fn(&SupervisedChild) + Send + Sync + 'static) -> Self {
        self.0.on_restart = Some(Arc::new(hook));
        self
    }

    /// Lists a child behind all others. Its mailbox is open, and its name taken, from now on; what it is sent waits for
    /// its start.
    ///
    /// # Errors
    /// When its name belongs to another actor, or there are [`CHILDREN_MAX`] children.
    pub fn child<A: Actor>(&mut self, spec: ChildSpec<A>) -> Result<Handle<A>, AddChildError> {
        if self.0.children.len() >= CHILDREN_MAX {
            return Err(AddChildError::TooManyChildren);
        }
        let (newcomer, handle) = spec.place(&self.0.system)?;
        self.0.children.push(newcomer);
        Ok(handle)
    }

    /// Starts the supervisor, which starts its children in the order in which they were listed, each when the one
    /// before has started. It answers messages and pings once all have, and ends as failed if one cannot be started.
    #[must_use = "whoever loses the handle can stop the supervisor only with its system"]
    pub fn start(self) -> Handle<Supervisor> {
        let system = self.0.system.clone();
        system.spawn(Supervisor::of(self.0, false))
    }

    /// Makes the supervisor a child of another. It has started when its children have, and is waited for when it is
    /// stopped. When it is started again, the children listed here come back in place, with their mailboxes; those that
    /// were added later, removed, or temporary and at an end do not.
    pub fn into_child(self) -> ChildSpec<Supervisor> {
        let plan = self.0;
        ChildSpec::new(move || Supervisor::of(plan.clone(), true)).shutdown(Shutdown::Wait)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("options", &self.options)
            .field("children", &self.children)
            .finish_non_exhaustive()
    }
}
