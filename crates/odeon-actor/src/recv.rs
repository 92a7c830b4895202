//! The futures of receives, each with what it yields.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use odeon_core::Deadline;

use crate::actor::Actor;
use crate::envelope::Envelope;
use crate::life::Down;
use crate::receive::{Item, Receive, Received, RecvError};

/// A receive under way: [`Cx::recv`](crate::Cx::recv) and its kin.
#[must_use = "a receive takes nothing until it is awaited"]
pub struct Recv<'c, A: Actor, F>(pub(crate) Receive<'c, A, F>);

/// A receive under way, with a deadline: [`Recv::within`].
#[must_use = "a receive takes nothing until it is awaited"]
pub struct RecvWithin<'c, A: Actor, F>(pub(crate) Receive<'c, A, F>);

/// A receive of whatever comes: [`Cx::recv_any`](crate::Cx::recv_any).
#[must_use = "a receive takes nothing until it is awaited"]
pub struct RecvAny<'c, A: Actor, F>(pub(crate) Receive<'c, A, F>);

/// A receive of notices: [`Cx::recv_down`](crate::Cx::recv_down).
#[must_use = "a receive takes nothing until it is awaited"]
pub struct RecvDown<'c, A: Actor, F>(pub(crate) Receive<'c, A, F>);

impl<'c, A: Actor, F: FnMut(&Envelope<A::Message>) -> bool> Recv<'c, A, F> {
    /// Takes messages that have expired as well.
    pub fn raw(mut self) -> Self {
        self.0.is_raw = true;
        self
    }

    /// Waits so long at most: a time from now, or a point. What is there already is taken even at a point in the
    /// past.
    pub fn within(mut self, deadline: impl Into<Deadline>) -> RecvWithin<'c, A, F> {
        let now = self.0.cx.system().clock().now();
        self.0.deadline = Some(deadline.into().at(now));
        RecvWithin(self.0)
    }

    /// Takes what is there; never waits.
    pub fn now(self) -> Option<Envelope<A::Message>> {
        match self.0.now() {
            Some(Item::Message(envelope)) => Some(envelope),
            Some(Item::Down(_) | Item::Ending) | None => None,
        }
    }
}

impl<A: Actor, F: FnMut(&Envelope<A::Message>) -> bool> Future for Recv<'_, A, F> {
    type Output = Option<Envelope<A::Message>>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(task).map(|item| match item {
            Ok(Item::Message(envelope)) => Some(envelope),
            Ok(Item::Down(_) | Item::Ending) | Err(_) => None,
        })
    }
}

impl<A: Actor, F: FnMut(&Envelope<A::Message>) -> bool> Future for RecvWithin<'_, A, F> {
    type Output = Result<Envelope<A::Message>, RecvError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(task).map(|item| match item? {
            Item::Message(envelope) => Ok(envelope),
            Item::Down(_) | Item::Ending => Err(RecvError::Ending),
        })
    }
}

impl<A: Actor, F: FnMut(&Envelope<A::Message>) -> bool> Future for RecvAny<'_, A, F> {
    type Output = Option<Received<A::Message>>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(task).map(|item| match item {
            Ok(Item::Message(envelope)) => Some(Received::Message(envelope)),
            Ok(Item::Down(down)) => Some(Received::Down(down)),
            Ok(Item::Ending) | Err(_) => None,
        })
    }
}

impl<A: Actor, F: FnMut(&Envelope<A::Message>) -> bool> Future for RecvDown<'_, A, F> {
    type Output = Option<Down>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(task).map(|item| match item {
            Ok(Item::Down(down)) => Some(down),
            Ok(Item::Message(_) | Item::Ending) | Err(_) => None,
        })
    }
}

macro_rules! shown {
    ($($name:ident),*) => { $(
        impl<A: Actor, F> fmt::Debug for $name<'_, A, F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Receive { cx, deadline, .. } = &self.0;
                f.debug_struct(stringify!($name)).field("cx", cx).field("deadline", deadline).finish_non_exhaustive()
            }
        }
    )* };
}

shown!(Recv, RecvWithin, RecvAny, RecvDown);
