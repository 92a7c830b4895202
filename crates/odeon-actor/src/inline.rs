//! Asks answered on the asker's stack: an idle actor with a short handler needs no queue, no wake and no allocation.
//!
//! It is not seen from outside: the actor is entered only when it is idle, so nothing is overtaken; a panic is caught
//! and ends the actor, not the asker; and nothing that may take long is run so.

use std::sync::Arc;

use odeon_core::{Deadline, ExitReason};
use odeon_mailbox::{Entered, Waiting};

use crate::actor::Actor;
use crate::call::{Inline, Request};
use crate::current::{self, Running};
use crate::cx::Phase;
use crate::envelope::Meta;
use crate::error::AskError;
use crate::local::{Contents, Local};
use crate::panic::caught;
use crate::run::{PACE_SAMPLE, end};
use crate::spans;
use crate::stats::Busy;
use crate::supervise::falling;

/// Answers here and now, or gives the request back.
pub(crate) fn ask<A: Actor, Q: Request<A>>(
    local: &Arc<Local<A>>,
    request: Q,
    deadline: Option<Deadline>,
) -> Result<Result<Q::Reply, AskError>, Q> {
    if Q::INLINE == Inline::Never || !may_run(local, deadline) {
        return Err(request);
    }
    let Some(mut entered) = local.cell.try_enter() else {
        return Err(request);
    };
    let contents = entered.contents().filter(|contents| is_ready::<A, Q>(local, contents));
    let Some(Contents { actor, cx }) = contents else {
        leave(local, entered);
        return Err(request);
    };
    cx.meta = Meta::sent_here(None, true);
    cx.handled = cx.handled.wrapping_add(1);
    let began =
        (Q::INLINE == Inline::Measured && cx.handled % PACE_SAMPLE == 1).then(|| local.system.clock().now());
    local.life.progress.begin(1);
    let answered = {
        let _busy = Busy::begin(&**local);
        let _span = spans::are_wanted().then(|| spans::message(&local.life, &cx.meta).entered());
        let _running = Running::begin(&local.life);
        current::set_unread(deadline.unwrap_or_else(|| Deadline::Within(local.system.reply_timeout())));
        caught(|| request.answer_now(actor, cx))
    };
    match answered {
        Ok(answer) => {
            cx.settle();
            if let Some(began) = began {
                cx.pace.record(local.system.clock().now() - began);
            }
            if cx.ending.is_some() {
                entered.give_way();
                local.schedule();
            } else {
                leave(local, entered);
            }
            answer.map(Ok)
        }
        Err(caught) => {
            let (panic, fallen) = *caught;
            local.life.progress.fail();
            let reason = local.life.begin_end(ExitReason::Panicked(panic));
            falling(&local.life, || drop(fallen));
            end(local, &mut entered);
            leave(local, entered);
            Ok(Err(AskError::Dead(reason)))
        }
    }
}

/// Whether a handler may run here: not too deep, in time, and where the actor's runtime is.
fn may_run<A: Actor>(local: &Local<A>, deadline: Option<Deadline>) -> bool {
    let clock = local.system.clock();
    // Most asks leave the deadline to the default, and most are made outside of a request with one: no clock is read.
    let is_in_time = match (deadline, current::budget()) {
        (None, None) => true,
        (deadline, budget) => {
            let now = clock.now();
            deadline.is_none_or(|deadline| deadline.at(now) > now) && budget.is_none_or(|budget| budget > now)
        }
    };
    is_in_time && current::may_nest() && local.system.tasks().is_here()
}

fn is_ready<A: Actor, Q: Request<A>>(local: &Local<A>, contents: &Contents<A>) -> bool {
    let cx = &contents.cx;
    cx.phase == Phase::Running
        && cx.ending.is_none()
        && !local.life.is_killed()
        && (Q::INLINE == Inline::Always || cx.pace.is_short())
}

/// Leaves the cell, to the run queue if somebody has notified it meanwhile.
fn leave<A: Actor>(local: &Arc<Local<A>>, entered: Entered<'_, Contents<A>>) {
    if let Err(notified) = entered.try_leave(Waiting::Messages) {
        notified.give_way();
        local.schedule();
    }
}
