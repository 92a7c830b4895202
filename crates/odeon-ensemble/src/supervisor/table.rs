//! The supervisor's table: each server with its process, and whoever waits for it to be up or down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::sync::Arc;

use odeon_actor::Reply;
use odeon_core::{Refusal, Role, ServerId};

use super::plan::{Standing, StepKind};
use super::policy::Process;
use super::rows::{Selection, ServerRow};
use super::state::Phase;
use crate::process::Child;

/// One supervised server.
#[derive(Debug)]
pub(super) struct Managed {
    pub(super) role: Role,
    pub(super) process: Process,
    pub(super) child: Option<Arc<Child>>,
    /// Counts the starts, so that word of an earlier process is not taken for that of the present one.
    pub(super) generation: u64,
    /// It is to be started once what it needs is ready.
    pub(super) is_wanted: bool,
    /// It leaves the table once it is down.
    pub(super) is_leaving: bool,
    /// How it came by its process.
    pub(super) origin: StepKind,
}

impl Managed {
    pub(super) const fn new(role: Role, process: Process) -> Self {
        Self {
            role,
            process,
            child: None,
            generation: 0,
            is_wanted: false,
            is_leaving: false,
            origin: StepKind::Start,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.process.state().phase()
    }

    /// Nothing of it runs, nor will by itself.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.phase(), Phase::Idle | Phase::Stopped | Phase::Failed) && !self.is_wanted
    }

    /// Runs, and is not in the file: an earlier supervisor has left it, and it is being stopped.
    pub(super) fn is_stray(&self) -> bool {
        self.is_leaving && self.role == stray_role()
    }

    /// How those who need it see it.
    pub(super) fn standing(&self) -> Standing {
        match self.phase() {
            Phase::Ready => Standing::Ready,
            _ if self.is_wanted => Standing::Waiting,
            Phase::Starting | Phase::Backoff => Standing::Coming,
            // It may be about to start anew; if not, it is down soon.
            Phase::Stopping => Standing::Coming,
            Phase::Idle | Phase::Stopped | Phase::Failed => Standing::Lost,
        }
    }
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Up,
    Down,
}

/// Somebody who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) goal: Goal,
    pub(super) ids: BTreeSet<ServerId>,
    pub(super) reply: Reply<Result<Vec<ServerRow>, Refusal>>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) servers: BTreeMap<ServerId, Managed>,
    /// Held here, and passed to each process of the role: the queue of a dead one is not lost.
    pub(super) sockets: BTreeMap<Role, Vec<TcpListener>>,
    pub(super) waiters: Vec<Waiter>,
}

impl Table {
    /// The servers meant by a selection.
    pub(super) fn select(&self, selection: &Selection) -> BTreeSet<ServerId> {
        let taken = self.servers.iter().filter(|(id, managed)| selection.takes(id, &managed.role));
        taken.map(|(id, _)| id.clone()).collect()
    }

    /// Whether every server that somebody waits for has reached the goal, or is known not to. A server that is
    /// gone has; one that waits `in_vain` for others has as well.
    pub(super) fn reached(&self, waiter: &Waiter, in_vain: impl Fn(&ServerId, &Managed) -> bool) -> bool {
        waiter.ids.iter().all(|id| match (waiter.goal, self.servers.get(id)) {
            (Goal::Up, Some(managed)) => {
                managed.phase() == Phase::Ready || managed.is_down() || in_vain(id, managed)
            }
            (Goal::Down, Some(managed)) => managed.is_down(),
            (_, None) => true,
        })
    }

    /// Where a role listens, ports resolved.
    pub(super) fn listens(&self, role: &Role) -> Vec<String> {
        let sockets = self.sockets.get(role).into_iter().flatten();
        sockets.filter_map(|socket| Some(format!("tcp:{}", socket.local_addr().ok()?))).collect()
    }

    /// When some process has something to do.
    pub(super) fn poll_timeout(&self) -> Option<odeon_core::Instant> {
        self.servers.values().filter_map(|managed| managed.process.poll_timeout()).min()
    }
}

/// The role shown for a server that is in no file.
pub(super) fn stray_role() -> Role {
    "stray".parse().expect("`stray` is a role name")
}
