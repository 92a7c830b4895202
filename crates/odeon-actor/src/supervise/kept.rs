//! What makes an actor one that is kept: how it is made, what is left of the incarnation before, and what its
//! supervisor wants next.
//!
//! The supervisor gives orders, whoever runs the actor carries them out. An order to start waits until the incarnation
//! before is gone, even if the supervisor has given it up because it could not be killed. Nothing of others is called,
//! and nothing dropped, under the lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use odeon_core::ExitReason;
use odeon_mailbox::{Batch, Entered};

use super::desk::Post;
use crate::actor::{Actor, Failure};
use crate::cx::Cx;
use crate::envelope::Envelope;
use crate::handle::{Handle, Target};
use crate::life::Waits;
use crate::local::{Contents, Local};
use crate::panic::contained;
use crate::run::bury;
use crate::tree::Incarnation;

/// Makes an actor, again and again.
pub(super) type Factory<A> = Box<dyn FnMut() -> Result<A, Failure> + Send>;

/// The typed part of a supervisor, for one child.
pub(crate) struct Kept<A: Actor> {
    duty: Mutex<Duty<A>>,
    /// Locked while it works, which is while the actor begins; `None` at the end.
    factory: Mutex<Option<Factory<A>>>,
    incarnations: AtomicU64,
}

struct Duty<A: Actor> {
    order: Order,
    /// Who is to be told of the incarnation that is there.
    up: Option<Post>,
    /// What the last incarnation had taken from the mailbox and not handled.
    batch: Batch<Envelope<A::Message>>,
}

/// What the supervisor wants next.
enum Order {
    /// Nothing.
    Rest,
    /// One more incarnation.
    Start(Post),
    /// The end of the actor, once the incarnation is gone.
    Release,
    /// The actor has ended.
    Over,
}

/// What became of an actor that is not there.
pub(crate) enum Revived {
    /// It is not to be.
    No,
    /// It could not be made; the reason stands.
    Failed,
    Yes,
}

impl<A: Actor> Kept<A> {
    pub(super) fn new(factory: Factory<A>) -> Arc<Self> {
        let duty = Duty { order: Order::Rest, up: None, batch: Batch::new() };
        Arc::new(Self {
            duty: Mutex::new(duty),
            factory: Mutex::new(Some(factory)),
            incarnations: AtomicU64::new(0),
        })
    }

    /// What keeps this actor, if it is kept.
    pub(crate) fn of(local: &Local<A>) -> Option<Arc<Self>> {
        local.life.keeper()?.downcast().ok()
    }

    fn lock(&self) -> MutexGuard<'_, Duty<A>> {
        self.duty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wants one more incarnation.
    pub(super) fn start(&self, local: &Arc<Local<A>>, post: Post) {
        let is_down = self.lock().up.is_none();
        if is_down {
            // Before there is an order nobody begins it, so what is asked from here on is asked of the new one.
            renew(local);
        }
        let mut duty = self.lock();
        if matches!(duty.order, Order::Rest) {
            duty.order = Order::Start(post);
        }
        drop(duty);
        local.notify();
    }

    /// Takes back an order to start that has to wait for the end of the incarnation before.
    pub(super) fn take_back(&self, of: Incarnation) -> Option<Post> {
        let mut duty = self.lock();
        match (&duty.up, &duty.order) {
            (Some(up), Order::Start(post)) if up.of != of && post.of == of => duty.take_start(),
            _ => None,
        }
    }

    /// Has the incarnation that is there, or is to be, end without another.
    pub(super) fn halt(&self, local: &Arc<Local<A>>) {
        let mut duty = self.lock();
        let unborn = duty.take_start();
        let is_up = duty.up.is_some();
        drop(duty);
        drop(unborn);
        if is_up {
            local.kill();
        }
    }

    /// Ends the actor for good: at once, unless an incarnation is there, which is killed.
    pub(super) fn release(&self, local: &Arc<Local<A>>) {
        let mut duty = self.lock();
        let unborn = duty.take_start();
        let is_up = duty.up.is_some();
        let batch = match duty.order {
            Order::Release | Order::Over => None,
            Order::Rest | Order::Start(_) if is_up => {
                duty.order = Order::Release;
                None
            }
            Order::Rest | Order::Start(_) => Some(duty.close()),
        };
        drop(duty);
        drop(unborn);
        if is_up {
            local.kill();
        }
        if let Some(batch) = batch {
            self.finish(local, batch);
        }
    }

    /// Whether the actor has been [released](Self::release).
    pub(super) fn is_released(&self) -> bool {
        matches!(self.lock().order, Order::Release | Order::Over)
    }

    /// The incarnation has started.
    pub(crate) fn started(local: &Local<A>) {
        let kept = Self::of(local);
        let post = kept.and_then(|kept| kept.lock().up.clone());
        post.iter().for_each(Post::started);
    }

    /// The incarnation has been dropped, or what was to be one could not begin.
    pub(crate) fn fell(
        &self,
        local: &Arc<Local<A>>,
        batch: Option<Batch<Envelope<A::Message>>>,
        reason: ExitReason,
    ) {
        local.life.let_go();
        local.life.set_waits(Waits::Elsewhere);
        let mut duty = self.lock();
        if let Some(batch) = batch {
            duty.batch = batch;
        }
        let post = duty.up.take().or_else(|| duty.take_start());
        let is_wanted = matches!(duty.order, Order::Start(_));
        let last = matches!(duty.order, Order::Release).then(|| duty.close());
        drop(duty);
        if let Some(post) = post {
            tracing::debug!(actor = local.life.number, kind = local.life.kind(), %reason, "an incarnation ended");
            post.ended(reason);
        }
        if is_wanted {
            renew(local);
            local.notify();
        }
        if let Some(batch) = last {
            self.finish(local, batch);
        }
    }

    /// Whether an incarnation is to begin, which is then there.
    fn begin(&self) -> bool {
        let mut duty = self.lock();
        if duty.up.is_none() {
            duty.up = duty.take_start();
            if duty.up.is_some() {
                self.incarnations.fetch_add(1, Ordering::Relaxed);
                return true;
            }
        }
        false
    }

    fn make(&self) -> Option<Result<A, Failure>> {
        let mut factory = self.factory.lock().unwrap_or_else(PoisonError::into_inner);
        factory.as_mut().map(|make| make())
    }

    /// The end of the actor: nobody keeps it, and it is not there.
    fn finish(&self, local: &Arc<Local<A>>, batch: Batch<Envelope<A::Message>>) {
        let reason = local.life.finish(ExitReason::Stopped);
        // With it go the children of a supervisor: they end before it does.
        let factory = self.factory.lock().unwrap_or_else(PoisonError::into_inner).take();
        contained("the drop of what makes an actor", || drop(factory));
        bury(local, batch, &reason);
    }
}

impl<A: Actor> Duty<A> {
    /// The order to start, if it was one.
    fn take_start(&mut self) -> Option<Post> {
        match std::mem::replace(&mut self.order, Order::Rest) {
            Order::Start(post) => Some(post),
            other => {
                self.order = other;
                None
            }
        }
    }

    fn close(&mut self) -> Batch<Envelope<A::Message>> {
        self.order = Order::Over;
        std::mem::take(&mut self.batch)
    }
}

/// What was asked of the incarnation before is over: kill, stop and drain.
fn renew<A: Actor>(local: &Local<A>) {
    local.life.renew();
    local.mailbox.open_intake();
}

/// Makes an actor that is kept and not there, if it is wanted.
pub(crate) fn revive<A: Actor>(local: &Arc<Local<A>>, entered: &mut Entered<'_, Contents<A>>) -> Revived {
    let Some(kept) = Kept::of(local).filter(|kept| kept.begin()) else {
        return Revived::No;
    };
    local.life.rise();
    match kept.make() {
        Some(Ok(actor)) => {
            let batch = std::mem::take(&mut kept.lock().batch);
            entered.put(Contents { actor, cx: Cx::kept(Arc::clone(local), batch) });
            Revived::Yes
        }
        Some(Err(failure)) => {
            local.life.begin_end(ExitReason::Failed(failure.message().to_owned()));
            Revived::Failed
        }
        None => Revived::No,
    }
}

impl<A: Actor> Handle<A> {
    /// How often the actor has begun: 1, unless a supervisor has restarted it or has not started it yet. Of an actor
    /// on another server, or behind a proxy, nothing is known: 1.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        match &self.0 {
            Target::Here(local) => {
                Kept::of(local).map_or(1, |kept| kept.incarnations.load(Ordering::Relaxed))
            }
            Target::There(_) | Target::Via(_) => 1,
        }
    }
}
