//! What the supervisor does beneath its calls: it feeds the processes' policies, carries out what they say, and
//! sees what follows for others.
//!
//! A handler changes what it must and then calls [`Supervisor::settle`] once. Only that looks at the whole table:
//! it stops the next wave, starts what waited, forgets what left, and tells those who wait.

use std::collections::{BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use odeon_actor::{Cx, Reply};
use odeon_core::{Refusal, RefusalCode, Role, ServerId};

use super::actor::Supervisor;
use super::driver::Run;
use super::plan::{Missing, Readiness, Standing, Step, StepKind};
use super::policy::{Action, Process};
use super::rows::{ServerRow, SupervisorEvent};
use super::state::{ExitStatus, Phase};
use super::table::{Goal, Managed, Waiter, stray_role};
use crate::config::Policy;
use crate::process::Child;

/// Most callers that wait for servers to come up or go down.
const WAITERS_MAX: usize = 1_024;

impl Supervisor {
    /// Does one server's part of the plan.
    pub(super) fn take_step(&mut self, step: &Step, running: Option<&Arc<Child>>, cx: &Cx<Self>) {
        let id = &step.id;
        let of_file = self.parts.ensemble.roles.iter().find(|(_, config)| config.servers.contains(id));
        let role = match of_file {
            Some((role, _)) => role.clone(),
            None if Some(id) == self.registry_here().as_ref() => super::launch::registry_role(),
            None => stray_role(),
        };
        self.add(id, &role, cx);
        if let Some(child) = running {
            self.adopt(id, Arc::clone(child), cx);
        }
        if let Some(managed) = self.table.servers.get_mut(id) {
            managed.origin = step.kind;
        }
        match step.kind {
            StepKind::Keep => {}
            StepKind::Start => self.want(id),
            StepKind::Replace => {
                self.bring_down(id, cx);
                // It comes back in its order, like one that is started.
                self.want(id);
            }
            StepKind::Stop => self.let_go(id, cx),
        }
    }

    /// Puts a server of a role into the table, to stay; one that was about to leave stays too.
    pub(super) fn add(&mut self, id: &ServerId, role: &Role, cx: &Cx<Self>) {
        let now = cx.system().clock().now();
        let config = self.parts.ensemble.roles.get(role);
        let policy = config.map_or_else(Policy::default, |config| config.policy.clone());
        let managed = self.table.servers.entry(id.clone());
        let managed =
            managed.or_insert_with(|| Managed::new(role.clone(), Process::new(policy.clone(), now)));
        managed.is_leaving = false;
        if managed.role != *role {
            // A stray one that has become one of ours.
            managed.role = role.clone();
            managed.process.set_policy(policy);
        }
        // No registry is needed to reach what is started here.
        self.parts.server.know(id.clone(), vec![self.parts.home.address(id)]);
    }

    /// Has a server started as soon as what it needs is ready.
    pub(super) fn want(&mut self, id: &ServerId) {
        if let Some(managed) = self.table.servers.get_mut(id) {
            managed.is_wanted = !matches!(managed.phase(), Phase::Starting | Phase::Ready);
        }
    }

    /// Stops a server for good: it leaves the table when it is down.
    pub(super) fn let_go(&mut self, id: &ServerId, cx: &Cx<Self>) {
        if let Some(managed) = self.table.servers.get_mut(id) {
            managed.is_leaving = true;
        }
        self.bring_down(id, cx);
    }

    pub(super) fn bring_down(&mut self, id: &ServerId, cx: &Cx<Self>) {
        let now = cx.system().clock().now();
        if let Some(managed) = self.table.servers.get_mut(id) {
            managed.is_wanted = false;
        }
        self.step(id, cx, |process| process.stop(now));
    }

    fn adopt(&mut self, id: &ServerId, child: Arc<Child>, cx: &Cx<Self>) {
        let now = cx.system().clock().now();
        let pid = child.pid();
        if let Some(managed) = self.table.servers.get_mut(id) {
            managed.generation = child.state().generation;
        }
        (self.parts.on_event)(&SupervisorEvent::Adopted { id: id.clone(), pid });
        self.mind(id, child, cx);
        self.step(id, cx, |process| process.adopted(pid, now));
    }

    /// Keeps a running process and has it watched.
    pub(super) fn mind(&mut self, id: &ServerId, child: Arc<Child>, cx: &Cx<Self>) {
        let driver = self.driver(cx);
        let Some(managed) = self.table.servers.get_mut(id) else { return };
        managed.child = Some(Arc::clone(&child));
        let run = Run { id: id.clone(), generation: managed.generation };
        let policy = self.parts.ensemble.roles.get(&managed.role).map(|role| role.policy.ready_timeout);
        let patience = policy.unwrap_or_else(|| Policy::default().ready_timeout);
        driver.watch(run, child, cx.system().clock().now() + patience);
    }

    pub(super) fn ended(
        &mut self,
        id: &ServerId,
        status: ExitStatus,
        last_lines: Vec<String>,
        cx: &Cx<Self>,
    ) {
        let now = cx.system().clock().now();
        let random = self.parts.server.world().rng.next_u64();
        if let Some(managed) = self.table.servers.get_mut(id) {
            managed.child = None;
            if managed.origin == StepKind::Keep {
                managed.origin = StepKind::Start;
            }
        }
        self.step(id, cx, |process| process.exited(status, last_lines, random, now));
    }

    /// Feeds one process' policy and carries out what it says.
    pub(super) fn step(
        &mut self,
        id: &ServerId,
        cx: &Cx<Self>,
        feed: impl FnOnce(&mut Process) -> Vec<Action>,
    ) {
        let Some(managed) = self.table.servers.get_mut(id) else { return };
        for action in feed(&mut managed.process) {
            match action {
                Action::Spawn => self.spawn(id, cx),
                Action::Kill { grace } => self.kill(id, grace, cx),
                Action::Notify(change) => {
                    let pid = self.table.servers.get(id).and_then(|managed| managed.process.pid());
                    (self.parts.on_event)(&SupervisorEvent::Changed { id: id.clone(), change, pid });
                }
            }
        }
    }

    fn spawn(&mut self, id: &ServerId, cx: &Cx<Self>) {
        let driver = self.driver(cx);
        let Some(managed) = self.table.servers.get_mut(id) else { return };
        managed.generation += 1;
        let run = Run { id: id.clone(), generation: managed.generation };
        let mut spec = self.parts.program.spec(&self.parts.home, &self.parts.ensemble, id, &managed.role);
        spec.generation = run.generation;
        let sockets = self.table.sockets.get(&managed.role).into_iter().flatten();
        let sockets = sockets.map(|socket| socket.try_clone().map(OwnedFd::from)).collect();
        driver.spawn(run, spec, sockets, &self.parts.program.exe);
    }

    fn kill(&self, id: &ServerId, grace: Duration, cx: &Cx<Self>) {
        if let Some(managed) = self.table.servers.get(id)
            && let Some(child) = &managed.child
        {
            self.driver(cx).kill(id, Arc::clone(child), grace);
        }
    }

    /// Sees what follows for others from what has happened, and arms the timer.
    pub(super) fn settle(&mut self, cx: &Cx<Self>) {
        self.stop_waves(cx);
        self.table.servers.retain(|_, managed| !(managed.is_leaving && managed.is_down()));
        self.start_wanted(cx);
        self.tell_waiters(cx);
        let due = self.table.poll_timeout();
        self.due.send_if_modified(|armed| std::mem::replace(armed, due) != due);
        if self.going_down.as_ref().is_some_and(VecDeque::is_empty) {
            self.parts.server.request_shutdown();
        }
    }

    /// Once everything goes down: stops one wave after the other.
    fn stop_waves(&mut self, cx: &Cx<Self>) {
        while let Some(wave) = self.going_down.as_ref().and_then(VecDeque::front).cloned() {
            let is_up = |id: &ServerId| self.table.servers.get(id).is_some_and(|managed| !managed.is_down());
            let up: Vec<ServerId> = wave.into_iter().filter(is_up).collect();
            for id in &up {
                self.bring_down(id, cx);
            }
            let is_down = |id: &ServerId| self.table.servers.get(id).is_none_or(Managed::is_down);
            if !up.iter().all(is_down) {
                break;
            }
            if let Some(waves) = &mut self.going_down {
                waves.pop_front();
            }
        }
    }

    /// Starts what is wanted and has what it needs. The registry goes before all others, and what is not in the
    /// file goes first of all: it may hold what others need.
    fn start_wanted(&mut self, cx: &Cx<Self>) {
        let now = cx.system().clock().now();
        let waits = self.waits();
        let wanted = self.table.servers.iter().filter(|(_, managed)| managed.is_wanted);
        let due = wanted.filter(|(id, managed)| waits.of(id, managed).is_empty());
        let due: Vec<ServerId> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            if let Some(managed) = self.table.servers.get_mut(&id) {
                managed.is_wanted = false;
            }
            self.step(&id, cx, |process| process.start(now));
        }
    }

    fn waits(&self) -> Waits<'_> {
        let standing = |id: &ServerId| self.table.servers.get(id).map_or(Standing::Lost, Managed::standing);
        let registry = self.registry_here();
        let strays = self.table.servers.iter().filter(|(_, managed)| managed.is_stray());
        Waits {
            strays: strays.map(|(id, _)| id).collect(),
            registry_standing: registry.as_ref().map_or(Standing::Ready, standing),
            registry,
            roles: Readiness::new(&self.parts.ensemble, standing),
        }
    }

    /// Has the caller told when the servers have reached the goal; at once if they have.
    pub(super) fn wait(
        &mut self,
        goal: Goal,
        ids: BTreeSet<ServerId>,
        reply: Reply<Result<Vec<ServerRow>, Refusal>>,
        cx: &Cx<Self>,
    ) {
        self.table.waiters.retain(|waiter| waiter.reply.is_wanted());
        if self.table.waiters.len() >= WAITERS_MAX {
            let detail = format!("{WAITERS_MAX} callers wait for servers already; it is done all the same");
            return reply.send(Err(Refusal::new(RefusalCode::LimitReached, detail)));
        }
        self.table.waiters.push(Waiter { goal, ids, reply });
        self.tell_waiters(cx);
    }

    fn tell_waiters(&mut self, cx: &Cx<Self>) {
        if self.table.waiters.is_empty() {
            return;
        }
        let waiters = std::mem::take(&mut self.table.waiters);
        let waits = self.waits();
        let in_vain = |id: &ServerId, managed: &Managed| waits.of(id, managed).iter().any(Wait::is_in_vain);
        let (done, waiting): (Vec<_>, Vec<_>) =
            waiters.into_iter().partition(|waiter| self.table.reached(waiter, in_vain));
        for waiter in done {
            let rows = self.rows(&waiter.ids, cx);
            waiter.reply.send(Ok(rows));
        }
        self.table.waiters = waiting;
    }

    pub(super) fn rows(&self, ids: &BTreeSet<ServerId>, cx: &Cx<Self>) -> Vec<ServerRow> {
        let clock = cx.system().clock();
        let waits = self.waits();
        let row = |id: &ServerId| {
            let managed = self.table.servers.get(id)?;
            let started = managed.child.as_ref().map(|child| child.state().started_at_ms);
            let mut process = managed.process.status(clock.now());
            if managed.is_wanted {
                let waits: Vec<String> = waits.of(id, managed).iter().map(ToString::to_string).collect();
                process.why = Some(format!("waits for {}", waits.join(", ")));
            }
            Some(ServerRow {
                id: id.clone(),
                role: managed.role.clone(),
                process,
                uptime_ms: started.map(|started| clock.unix_ms().saturating_sub(started)),
                listen: self.table.listens(&managed.role),
                origin: managed.origin,
            })
        };
        ids.iter().filter_map(row).collect()
    }
}

/// What wanted servers wait for, at one moment.
struct Waits<'t> {
    strays: Vec<&'t ServerId>,
    /// None if it is elsewhere; then nobody waits for it.
    registry: Option<ServerId>,
    registry_standing: Standing,
    roles: Readiness<'t>,
}

/// One thing that a server waits for.
enum Wait<'t> {
    /// The end of a server that is not in the file.
    Stray(&'t ServerId),
    /// The registry.
    Registry(Standing),
    /// A role that it needs.
    Role(Missing<'t>),
}

impl<'t> Waits<'t> {
    fn of(&self, id: &ServerId, managed: &Managed) -> Vec<Wait<'t>> {
        if !managed.is_wanted {
            return Vec::new();
        }
        let mut waits: Vec<Wait<'t>> = self.strays.iter().map(|stray| Wait::Stray(stray)).collect();
        if Some(id) != self.registry.as_ref() && self.registry_standing != Standing::Ready {
            waits.push(Wait::Registry(self.registry_standing));
        }
        waits.extend(self.roles.missing(&managed.role).into_iter().map(Wait::Role));
        waits
    }
}

impl Wait<'_> {
    /// Whether it will not come by itself.
    fn is_in_vain(&self) -> bool {
        match self {
            Self::Stray(_) => false,
            Self::Registry(standing) => *standing == Standing::Lost,
            Self::Role(missing) => missing.is_lost,
        }
    }
}

impl std::fmt::Display for Wait<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stray(id) => write!(f, "the end of {id}")?,
            Self::Registry(_) => f.write_str("the registry")?,
            Self::Role(missing) => write!(f, "role `{}`", missing.role)?,
        }
        if self.is_in_vain() { f.write_str(", which is down") } else { Ok(()) }
    }
}
