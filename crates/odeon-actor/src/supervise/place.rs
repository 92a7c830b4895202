//! The place of a child: what a supervisor holds of it, its type erased.

use std::fmt;
use std::sync::Arc;

use odeon_core::{ActorName, ExitReason};

use super::desk::Post;
use super::kept::{Factory, Kept};
use crate::actor::Actor;
use crate::error::NameTaken;
use crate::handle::Handle;
use crate::local::Local;
use crate::system::{SpawnOptions, System};
use crate::tree::Incarnation;

/// A child, as its supervisor commands it. None of these calls waits. Dropped, it ends the child for good.
pub(super) trait Place: fmt::Debug + Send + Sync {
    fn number(&self) -> u64;
    fn kind(&self) -> &'static str;
    /// The name it was listed with.
    fn name(&self) -> Option<&ActorName>;
    /// Begins an incarnation, and has its start and its end reported.
    fn start(&self, post: Post);
    fn stop(&self, of: Incarnation);
    fn kill(&self, of: Incarnation);
    /// Nobody listens any longer: the incarnation that is there is killed.
    fn halt(&self);
    /// Ends the child for good: its queue goes to dead letters, its names are free, its monitors are told.
    fn release(&self);
    fn is_released(&self) -> bool;
}

struct Seat<A: Actor> {
    local: Arc<Local<A>>,
    kept: Arc<Kept<A>>,
    name: Option<ActorName>,
}

/// An actor that is not there yet, with its place.
pub(super) fn place<A: Actor>(
    system: &System,
    options: SpawnOptions,
    factory: Factory<A>,
) -> Result<(Arc<dyn Place>, Handle<A>), NameTaken> {
    let kept = Kept::new(factory);
    let local = Local::vacant(system.new_life::<A>(), options.bounds(), system.clone());
    local.life.keep_by(Arc::clone(&kept) as _);
    system.enter(&local, options.name.clone())?;
    let handle = Handle::here(Arc::clone(&local));
    Ok((Arc::new(Seat { local, kept, name: options.name }), handle))
}

impl<A: Actor> Seat<A> {
    /// Asks an incarnation to end, unless it cannot begin because the one before cannot be ended.
    fn end(&self, of: Incarnation, ask: fn(&Arc<Local<A>>)) {
        match self.kept.take_back(of) {
            Some(post) => post.ended(ExitReason::Killed),
            None => ask(&self.local),
        }
    }
}

impl<A: Actor> Place for Seat<A> {
    fn number(&self) -> u64 {
        self.local.life.number
    }

    fn kind(&self) -> &'static str {
        self.local.life.kind()
    }

    fn name(&self) -> Option<&ActorName> {
        self.name.as_ref()
    }

    fn start(&self, post: Post) {
        self.kept.start(&self.local, post);
    }

    fn stop(&self, of: Incarnation) {
        self.end(of, Local::stop);
    }

    fn kill(&self, of: Incarnation) {
        self.end(of, Local::kill);
    }

    fn halt(&self) {
        self.kept.halt(&self.local);
    }

    fn release(&self) {
        self.kept.release(&self.local);
    }

    fn is_released(&self) -> bool {
        self.kept.is_released()
    }
}

impl<A: Actor> Drop for Seat<A> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<A: Actor> fmt::Debug for Seat<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.local.fmt(f)
    }
}
