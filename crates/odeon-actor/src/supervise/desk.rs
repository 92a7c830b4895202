//! Where a supervisor hears of its children: beside its mailbox, so that nothing is lost for lack of room.
//!
//! Each incarnation is reported as started and as ended, once, and the next is not begun before the supervisor has
//! taken that: so there are never more than two notices per child. One item in the supervisor's control lane says that
//! there are some, or that time has passed.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use odeon_core::{ExitReason, Instant};

use super::supervisor::{Supervisor, attend};
use crate::local::{Control, Local};
use crate::timers::Fire;
use crate::tree::Incarnation;

/// What a supervisor is told of an incarnation.
pub(super) enum Notice {
    Started(Incarnation),
    Ended(Incarnation, ExitReason),
}

pub(super) struct Desk {
    supervisor: Weak<Local<Supervisor>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    notices: Vec<Notice>,
    /// The supervisor's control lane says that it should look.
    is_called: bool,
}

/// Whom to tell of one incarnation.
#[derive(Clone)]
pub(super) struct Post {
    pub(super) of: Incarnation,
    pub(super) desk: Arc<Desk>,
}

impl Post {
    pub(super) fn started(&self) {
        self.desk.push(Notice::Started(self.of));
    }

    pub(super) fn ended(&self, reason: ExitReason) {
        self.desk.push(Notice::Ended(self.of, reason));
    }
}

impl Desk {
    pub(super) fn new(supervisor: &Arc<Local<Supervisor>>) -> Arc<Self> {
        Arc::new(Self { supervisor: Arc::downgrade(supervisor), state: Mutex::default() })
    }

    /// All notices, oldest first.
    pub(super) fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut self.lock().notices)
    }

    /// The supervisor looks: from now on it has to be called again.
    pub(super) fn look(&self) {
        self.lock().is_called = false;
    }

    fn push(&self, notice: Notice) {
        self.lock().notices.push(notice);
        self.call();
    }

    fn call(&self) {
        let Some(supervisor) = self.supervisor.upgrade() else {
            return;
        };
        let is_called = std::mem::replace(&mut self.lock().is_called, true);
        if !is_called {
            // Refused, the supervisor has ended.
            let _ = supervisor.mailbox.control(Control::Own(attend as fn(&mut dyn Any)));
        }
        // While it starts or stops its children it waits for this, and for no message. Whoever calls may go on to
        // compute for long.
        supervisor.notify_elsewhere();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fire for Desk {
    fn fire(self: Arc<Self>, _: Instant) -> Option<Instant> {
        self.call();
        None
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}
