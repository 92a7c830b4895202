//! Stand-ins for actors that speak a protocol: closures that answer at once, without a system.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use odeon_core::seam::Clock;
use odeon_core::{ActorId, Refusal, RefusalCode};
use odeon_mailbox::{Lost, Ticket};

use crate::actor::Actor;
use crate::envelope::Envelope;
use crate::error::{AskError, TellError};
use crate::handle::{Handle, Target};
use crate::inbox::Inbox;
use crate::runtime::TokioClock;
use crate::supervise::Fall;
use crate::system::System;
use crate::via::{TryRefused, Via};

/// What the mocks that `#[protocol]` writes stand on: the answers `S`, and the calls so far.
pub struct Mock<S> {
    state: Arc<Mutex<State<S>>>,
}

struct State<S> {
    answers: S,
    calls: Vec<String>,
}

/// The protocol has no answer for a method.
#[derive(Debug, Clone, Copy)]
pub struct NoAnswer(pub &'static str);

impl<S: Send + 'static> Mock<S> {
    /// With these answers, and no calls.
    pub fn new(answers: S) -> Self {
        Self { state: Arc::new(Mutex::new(State { answers, calls: Vec::new() })) }
    }

    /// Changes the answers.
    pub fn change(&self, change: impl FnOnce(&mut S)) {
        change(&mut self.lock().answers);
    }

    /// Writes down a call.
    pub fn record(&self, call: String) {
        self.lock().calls.push(call);
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// A handle whose messages `answer` gets, on the sender's stack.
    pub fn handle<P: Actor>(&self, answer: fn(&Self, P::Message) -> Result<(), NoAnswer>) -> Handle<P> {
        Handle(Target::Via(Arc::new(Box::new(Mocked {
            mock: self.clone(),
            answer,
            clock: Arc::new(TokioClock::new()),
        }))))
    }

    /// The answer for the method `name`, which `find` finds.
    ///
    /// # Errors
    /// When there is none.
    pub fn answer<F>(&self, name: &'static str, find: impl FnOnce(&S) -> Option<F>) -> Result<F, NoAnswer> {
        // Called without the lock: it may use the mock.
        find(&self.lock().answers).ok_or(NoAnswer(name))
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for Mock<S> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state) }
    }
}

impl<S> fmt::Debug for Mock<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.state.lock().unwrap_or_else(PoisonError::into_inner).calls.len();
        f.debug_struct("Mock").field("calls", &calls).finish_non_exhaustive()
    }
}

struct Mocked<S, M> {
    mock: Mock<S>,
    answer: fn(&Mock<S>, M) -> Result<(), NoAnswer>,
    clock: Arc<dyn Clock>,
}

impl<S: Send + 'static, M> Via<M> for Mocked<S, M> {
    fn enter(&self, envelope: Envelope<M>, _: &Waker) -> Result<Option<Ticket>, TellError> {
        match (self.answer)(&self.mock, envelope.into_message()) {
            Ok(()) => Ok(None),
            Err(NoAnswer(name)) => {
                let detail = format!("the mock has no answer for `{name}`: say `.on_{name}(…)`");
                Err(TellError::Refused(Refusal::new(RefusalCode::UnknownMark, detail)))
            }
        }
    }

    fn stand(&self, _: Ticket, _: &Waker) -> Poll<Result<(), TellError>> {
        Poll::Ready(Ok(()))
    }

    fn leave(&self, _: Ticket) {}

    fn try_enter(&self, make: &mut dyn FnMut() -> Envelope<M>) -> Result<(), TryRefused> {
        // The call is written down; whoever tries to tell hears of no answer anyway.
        let _ = (self.answer)(&self.mock, make().into_message());
        Ok(())
    }

    fn id(&self) -> ActorId {
        ActorId::Number(0)
    }

    fn life(&self) -> Option<&dyn Inbox> {
        None
    }

    fn no_answer(&self, _: &Lost<Arc<Fall>>) -> AskError {
        AskError::NoReply
    }

    fn system(&self) -> Option<&System> {
        None
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }
}

impl<S, M> fmt::Debug for Mocked<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mock.fmt(f)
    }
}

/// An argument of a recorded call: as `Debug` shows it, if it can.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a, T>(pub &'a T);

/// For arguments that can be shown.
pub trait ShowDebug {
    /// The text.
    fn show(&self) -> String;
}

/// For the others.
pub trait ShowNothing {
    /// The text.
    fn show(&self) -> String;
}

impl<T: fmt::Debug> ShowDebug for Shown<'_, T> {
    fn show(&self) -> String {
        format!("{:?}", self.0)
    }
}

impl<T> ShowNothing for &Shown<'_, T> {
    fn show(&self) -> String {
        "_".to_owned()
    }
}
