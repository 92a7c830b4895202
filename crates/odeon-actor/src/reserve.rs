//! Lookup or spawn as one step: a name is reserved before its actor is made, so that of many callers one makes it.
//!
//! The actor's maker is the caller's code, so it runs under no lock. A reservation is freed when it is dropped, as by a
//! maker that panics; who waits for it then looks again, and one of those reserves.

use std::collections::BTreeMap;
use std::fmt;

use odeon_core::ActorName;
use odeon_mailbox::{ReplyFuture, ReplyPort, reply_cell};

use crate::actor::Actor;
use crate::current;
use crate::handle::Handle;
use crate::local::Local;
use crate::system::{SpawnOptions, System, ended};

/// Most callers that wait for one actor to be made: makers are short, so that many are a loop that never waits for
/// what it began.
pub const RESERVE_WAITERS_MAX: usize = 4_096;

/// Why there is neither an actor of that name and type nor a new one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupOrSpawnError {
    /// The name belongs to an actor of another type.
    #[error("`{name}` is a {kind}, not a {wanted}")]
    OtherType {
        /// The name.
        name: ActorName,
        /// The Rust type that has it.
        kind: &'static str,
        /// The Rust type that was asked for.
        wanted: &'static str,
    },
    /// Too many callers wait for the actor to be made.
    #[error("{RESERVE_WAITERS_MAX} callers wait for `{name}` to be made already")]
    Crowded {
        /// The name.
        name: ActorName,
    },
}

/// Names whose actors are being made, with those who wait for them.
#[derive(Default)]
pub(crate) struct Reserved(BTreeMap<ActorName, Vec<ReplyPort<(), ()>>>);

impl Reserved {
    /// Whether the name is taken, although no actor has it yet.
    pub(crate) fn holds(&self, name: &ActorName) -> bool {
        self.0.contains_key(name)
    }
}

/// How a name stands.
enum Standing<'s, A: Actor> {
    Found(Handle<A>),
    /// Somebody makes the actor, or the actor that has the name is about to end.
    Wait(ReplyFuture<(), ()>),
    Free(Reservation<'s>),
}

/// A name that is kept for an actor about to be made.
struct Reservation<'s> {
    system: &'s System,
    name: ActorName,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let waiting = self.system.actors().reserved.0.remove(&self.name);
        // Outside the lock: they wake as the ports go.
        drop(waiting);
    }
}

impl System {
    /// The actor of that name; if there is none, the one that `make` makes. Of callers at the same time exactly one
    /// makes the actor, and all get it. `make` runs once at most and under no lock; while it runs, the others wait and
    /// the name is taken. If it panics the name is free again, and one of those who wait makes the actor instead.
    ///
    /// An actor that is about to end is waited for, and another made. A name in `options` does not count.
    ///
    /// ```
    /// # extern crate odeon_actor as odeon;
    /// use odeon::{SpawnOptions, System, actor};
    ///
    /// #[derive(Default)]
    /// struct Cart(u32);
    ///
    /// #[actor]
    /// impl Cart {
    ///     #[handle]
    ///     fn add(&mut self) -> u32 {
    ///         self.0 += 1;
    ///         self.0
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let system = System::new();
    /// for n in 1..=3 {
    ///     let options = SpawnOptions::default().capacity(16);
    ///     let cart = system.lookup_or_spawn("cart".parse()?, options, Cart::default).await?;
    ///     assert_eq!(cart.add().await?, n);
    /// }
    /// assert_eq!(system.live(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the name belongs to an actor of another type, or [`RESERVE_WAITERS_MAX`] callers wait already.
    ///
    /// # Panics
    /// When `make` does.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it has done nothing.
    pub async fn lookup_or_spawn<A: Actor>(
        &self,
        name: ActorName,
        options: SpawnOptions,
        make: impl FnOnce() -> A,
    ) -> Result<Handle<A>, LookupOrSpawnError> {
        loop {
            match self.stand::<A>(&name)? {
                Standing::Found(handle) => return Ok(handle),
                // Whatever became of it, the table says.
                Standing::Wait(over) => drop(over.await),
                Standing::Free(reservation) => {
                    let local = Local::new(self.new_life::<A>(), options.bounds(), self.clone(), make());
                    self.actors().enter_reserved(name, &local);
                    drop(reservation);
                    local.launch();
                    return Ok(Handle::here(local));
                }
            }
        }
    }

    /// Looks the name up, and reserves it if it is free.
    fn stand<A: Actor>(&self, name: &ActorName) -> Result<Standing<'_, A>, LookupOrSpawnError> {
        let mut actors = self.actors();
        if let Some((inbox, typed)) = actors.named(name) {
            drop(actors);
            let Ok(local) = typed.downcast::<Local<A>>() else {
                let (name, kind) = (name.clone(), inbox.kind());
                return Err(LookupOrSpawnError::OtherType { name, kind, wanted: std::any::type_name::<A>() });
            };
            // An actor does not wait for its own end.
            return Ok(if local.life.is_ending() && local.life.number != current::number() {
                Standing::Wait(ended(&*inbox))
            } else {
                Standing::Found(Handle::here(local))
            });
        }
        if let Some(waiting) = actors.reserved.0.get_mut(name) {
            if waiting.len() >= RESERVE_WAITERS_MAX {
                return Err(LookupOrSpawnError::Crowded { name: name.clone() });
            }
            let (port, over) = reply_cell();
            waiting.push(port);
            return Ok(Standing::Wait(over));
        }
        actors.reserved.0.insert(name.clone(), Vec::new());
        Ok(Standing::Free(Reservation { system: self, name: name.clone() }))
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
