//! Asks over a protocol's handle that an idle actor may answer on the asker's stack.
//!
//! The way to the actor knows neither the request's type nor the answer's, so it gets them as `dyn Any` and offers
//! them to each handler that could answer at once. Nothing is allocated.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use odeon_core::Deadline;

use crate::actor::Actor;
use crate::call::Request;
use crate::error::AskError;
use crate::inline;
use crate::local::Local;

/// An ask that may be answered at once.
pub(crate) struct Asked<Q, R> {
    request: Option<Q>,
    deadline: Option<Deadline>,
    answer: Option<Result<R, AskError>>,
}

impl<Q: 'static, R: 'static> Asked<Q, R> {
    /// Has `answer` try it; the request comes back if it did not.
    pub(crate) fn offer(
        request: Q,
        deadline: Option<Deadline>,
        answer: impl FnOnce(&mut dyn Any),
    ) -> Result<Result<R, AskError>, Q> {
        let mut asked = Self { request: Some(request), deadline, answer: None };
        answer(&mut asked);
        match (asked.answer, asked.request) {
            (None, Some(request)) => Err(request),
            (answer, _) => Ok(answer.unwrap_or(Err(AskError::NoReply))),
        }
    }
}

/// An ask whose type is not known, and the actor that may answer it. What `#[actor]` writes has it try its requests.
pub struct Shortcut<'a, A: Actor> {
    local: &'a Arc<Local<A>>,
    asked: &'a mut dyn Any,
}

impl<'a, A: Actor> Shortcut<'a, A> {
    pub(crate) fn new(local: &'a Arc<Local<A>>, asked: &'a mut dyn Any) -> Self {
        Self { local, asked }
    }

    /// Answers if the ask is of this type; `false` if it is of another.
    pub fn offer<Q: Request<A>>(&mut self) -> bool {
        let Some(asked) = self.asked.downcast_mut::<Asked<Q, Q::Reply>>() else {
            return false;
        };
        if let Some(request) = asked.request.take() {
            match inline::ask(self.local, request, asked.deadline) {
                Ok(answer) => asked.answer = Some(answer),
                Err(request) => asked.request = Some(request),
            }
        }
        true
    }
}

impl<A: Actor> fmt::Debug for Shortcut<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shortcut").field("actor", &self.local).finish_non_exhaustive()
    }
}
