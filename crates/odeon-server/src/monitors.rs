//! Our monitors on actors reached by reference, wherever they turn out to be.
//!
//! Owns the notices: each is given once, when the actor ends or is out of reach, or not at all once its monitor
//! has been taken back. What watches for it (a link, an actor's own list) knows the monitor's id only.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use odeon_actor::{Down, Inbox, MonitorId};
use odeon_core::{ActorId, ExitReason, Reference};
use odeon_wire::SendError;

use crate::events::contained;
use crate::link::Link;
use crate::server::Server;

/// Most monitors by reference: sixteen links' worth. At this number a program watches in a loop without ever
/// letting go.
const MONITORS_MAX: usize = 262_144;

type Notify = Box<dyn FnOnce(Down) + Send>;

/// The monitors under way and in place.
#[derive(Default)]
pub(crate) struct Monitors(Mutex<BTreeMap<MonitorId, Watch>>);

struct Watch {
    to: Reference,
    notify: Notify,
    place: Option<Place>,
}

/// Where a monitor is set.
pub(crate) enum Place {
    /// On an actor of this server, under an id of the actor's.
    Here(Arc<dyn Inbox>, MonitorId),
    /// On an actor of the peer's, under an id of the link's.
    There(Arc<Link>, u64),
}

impl Place {
    fn leave(self) {
        match self {
            Self::Here(inbox, monitor) => inbox.demonitor(monitor),
            Self::There(link, id) => link.unwatch(id),
        }
    }
}

impl Monitors {
    fn watches(&self) -> MutexGuard<'_, BTreeMap<MonitorId, Watch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a notice to give; given at once, if there are too many.
    fn begin(&self, monitor: MonitorId, to: &Reference, notify: Notify) {
        let mut watches = self.watches();
        let is_full = watches.len() >= MONITORS_MAX;
        watches.insert(monitor, Watch { to: to.clone(), notify, place: None });
        drop(watches);
        if is_full {
            let detail = format!("this server has {MONITORS_MAX} monitors by reference");
            self.tell(monitor, not_monitored(&detail));
        }
    }

    fn is_wanted(&self, monitor: MonitorId) -> bool {
        self.watches().contains_key(&monitor)
    }

    /// Notes where a monitor is set; it leaves again, if it has been told or taken back meanwhile.
    fn set(&self, monitor: MonitorId, place: Place) {
        let mut watches = self.watches();
        if let Some(watch) = watches.get_mut(&monitor) {
            watch.place = Some(place);
        } else {
            drop(watches);
            place.leave();
        }
    }

    /// The actor has ended or is out of reach. Only the first word counts.
    pub(crate) fn tell(&self, monitor: MonitorId, reason: ExitReason) {
        let watch = self.watches().remove(&monitor);
        if let Some(Watch { to, notify, .. }) = watch {
            let down = Down { monitor, server: Some(to.server), actor: to.actor, reason };
            contained("a monitor's notice", || notify(down));
        }
    }

    /// Nobody wants to be told any longer.
    pub(crate) fn take_back(&self, monitor: MonitorId) {
        let watch = self.watches().remove(&monitor);
        if let Some(place) = watch.and_then(|watch| watch.place) {
            place.leave();
        }
    }
}

impl Server {
    /// Has `notify` called once, when the actor has ended or is out of reach.
    pub(crate) fn monitor(&self, to: &Reference, monitor: MonitorId, notify: Notify) {
        self.monitors().begin(monitor, to, notify);
        if to.server == *self.id() {
            return self.monitor_here(&to.actor, monitor);
        }
        // At once, where that is possible: what is sent after it then runs under the monitor's eyes.
        let link = self.peers().live(&to.server);
        if let Some(link) = link
            && let Ok(id) = link.try_watch(&to.actor, monitor)
        {
            return self.monitors().set(monitor, Place::There(link, id));
        }
        let (server, to) = (self.clone(), to.clone());
        self.spawn_service("monitor", async move |_| server.monitor_there(&to, monitor).await);
    }

    fn monitor_here(&self, actor: &ActorId, monitor: MonitorId) {
        let Ok(inbox) = self.local_inbox(actor) else {
            return self.monitors().tell(monitor, ExitReason::NoActor);
        };
        let server = self.clone();
        match inbox.monitor(Box::new(move |down| server.monitors().tell(monitor, down.reason))) {
            Ok(theirs) => self.monitors().set(monitor, Place::Here(inbox, theirs)),
            Err(error) => self.monitors().tell(monitor, not_monitored(&error)),
        }
    }

    async fn monitor_there(&self, to: &Reference, monitor: MonitorId) {
        let mut link = match self.link_to(&to.server).await {
            Ok(link) => link,
            Err(error) => return self.monitors().tell(monitor, ExitReason::LinkLost(error.to_string())),
        };
        if !self.monitors().is_wanted(monitor) {
            return;
        }
        let mut watched = link.watch(&to.actor, monitor).await;
        if watched == Err(SendError::Closed)
            && let Ok(other) = self.link_to(&to.server).await
        {
            // It was closed for want of use, this very moment.
            watched = other.watch(&to.actor, monitor).await;
            link = other;
        }
        match watched {
            Ok(id) => self.monitors().set(monitor, Place::There(link, id)),
            Err(error) => self.monitors().tell(monitor, lost(&error)),
        }
    }
}

fn lost(error: &SendError) -> ExitReason {
    match error {
        SendError::TooManyMonitors { .. } => not_monitored(error),
        error => ExitReason::LinkLost(error.to_string()),
    }
}

/// What is heard of an actor that has too many who watch it: no link is lost, and of the actor nothing is known.
pub(crate) fn not_monitored(why: &dyn fmt::Display) -> ExitReason {
    ExitReason::NotMonitored(why.to_string())
}

impl fmt::Debug for Monitors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitors").field("count", &self.watches().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn begin(monitors: &Monitors, told: &Arc<AtomicUsize>) -> MonitorId {
        let monitor = MonitorId::fresh();
        let told = Arc::clone(told);
        let to = "a@/:echo".parse().expect("a reference");
        monitors.begin(monitor, &to, Box::new(move |_| _ = told.fetch_add(1, Ordering::Relaxed)));
        monitor
    }

    #[test]
    fn a_notice_is_given_once_or_taken_back() {
        let (monitors, told) = (Monitors::default(), Arc::default());
        let (first, second) = (begin(&monitors, &told), begin(&monitors, &told));
        monitors.tell(first, ExitReason::Normal);
        monitors.tell(first, ExitReason::Killed);
        assert_eq!(told.load(Ordering::Relaxed), 1);
        assert!(monitors.is_wanted(second));
        monitors.take_back(second);
        monitors.tell(second, ExitReason::Normal);
        assert_eq!(told.load(Ordering::Relaxed), 1);
        assert!(monitors.watches().is_empty());
    }

    #[test]
    fn past_the_limit_the_notice_comes_at_once() {
        let (monitors, told) = (Monitors::default(), Arc::default());
        for _ in 0..MONITORS_MAX {
            begin(&monitors, &told);
        }
        assert_eq!(told.load(Ordering::Relaxed), 0);
        let monitor = begin(&monitors, &told);
        assert_eq!(told.load(Ordering::Relaxed), 1);
        assert!(!monitors.is_wanted(monitor));
    }
}
