//! The supervisor as an actor: it feeds the policies with what happens and carries out what they say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use odeon_actor::{Cx, Reply, actor};
use odeon_core::{Instant, Refusal, RefusalCode, Role, ServerId};
use odeon_server::{Home, Server};

use super::driver::{Driver, Run, status};
use super::launch::{Program, registry_role};
use super::plan::{Plan, StepKind, stop_waves, waits_for};
use super::policy::{Action, Process};
use super::rows::{Selection, ServerRow, SupervisorEvent};
use super::state::{ExitStatus, Phase};
use super::table::{Goal, Managed, Table, Waiter};
use crate::config::{Ensemble, Policy, ServerSpec};
use crate::process::{Child, ExitRecord};
use crate::registry::RegistryClient;

/// Most callers that wait for servers to come up or go down.
const WAITERS_MAX: usize = 1_024;

/// Called with every event, where the supervisor runs; it must not block.
pub type EventHook = Arc<dyn Fn(&SupervisorEvent) + Send + Sync>;

/// What the actor is made of.
pub(super) struct Parts {
    pub(super) ensemble: Ensemble,
    pub(super) home: Home,
    pub(super) program: Program,
    pub(super) server: Server,
    pub(super) sockets: BTreeMap<Role, Vec<TcpListener>>,
    pub(super) on_event: EventHook,
}

/// The supervisor of one domain on one host.
pub struct Supervisor {
    parts: Parts,
    table: Table,
    /// The armed timer.
    timer: Option<Instant>,
    /// The waves still to be stopped, once everything goes down; the first is being stopped.
    going_down: Option<VecDeque<Vec<ServerId>>>,
}

/// Starts, restarts and stops the servers of an ensemble.
#[actor(mark = "supervisor/1")]
impl Supervisor {
    /// The supervised servers, by id.
    #[handle]
    fn ps(&self, selection: Selection, cx: &mut Cx<Self>) -> Vec<ServerRow> {
        self.rows(&self.table.select(&selection), cx)
    }

    /// Starts a server of a role; one that is not in the file is added to the role until the supervisor ends.
    /// Answers when it is ready or has failed.
    #[handle(needs = "supervisor")]
    fn start_server(
        &mut self,
        role: Role,
        id: ServerId,
        cx: &mut Cx<Self>,
        reply: Reply<Result<Vec<ServerRow>, Refusal>>,
    ) {
        match self.enlist(&role, &id, cx) {
            Ok(()) => self.set_wanted(&id, cx),
            Err(refusal) => return reply.send(Err(refusal)),
        }
        self.wait(Goal::Up, BTreeSet::from([id]), reply, cx);
    }

    /// Stops the selected servers; policy does not bring them back. Answers when they are down.
    #[handle(needs = "supervisor")]
    fn stop_servers(
        &mut self,
        selection: Selection,
        cx: &mut Cx<Self>,
        reply: Reply<Result<Vec<ServerRow>, Refusal>>,
    ) {
        match self.chosen(&selection) {
            Ok(ids) => {
                for id in &ids {
                    self.bring_down(id, cx);
                }
                self.wait(Goal::Down, ids, reply, cx);
            }
            Err(refusal) => reply.send(Err(refusal)),
        }
    }

    /// Stops and starts the selected servers. Answers when they are ready or have failed.
    #[handle(needs = "supervisor")]
    fn restart_servers(
        &mut self,
        selection: Selection,
        cx: &mut Cx<Self>,
        reply: Reply<Result<Vec<ServerRow>, Refusal>>,
    ) {
        match self.chosen(&selection) {
            Ok(ids) => {
                let now = cx.system().clock().now();
                for id in &ids {
                    self.step(id, cx, |process| process.restart(now));
                }
                self.wait(Goal::Up, ids, reply, cx);
            }
            Err(refusal) => reply.send(Err(refusal)),
        }
    }

    /// Sets how many servers a counted role has. Answers when the new ones are ready or have failed and the
    /// superfluous are down.
    #[handle(needs = "supervisor")]
    fn scale(
        &mut self,
        role: Role,
        workers: u32,
        cx: &mut Cx<Self>,
        reply: Reply<Result<Vec<ServerRow>, Refusal>>,
    ) {
        let before: BTreeSet<ServerId> =
            self.parts.ensemble.servers_of(&role).into_iter().map(|s| s.id).collect();
        let after = match self.parts.ensemble.scale(&role, workers as usize) {
            Ok(servers) => servers.into_iter().map(|server| server.id).collect::<BTreeSet<_>>(),
            Err(error) => return reply.send(Err(Refusal::new(RefusalCode::BadRequest, error.to_string()))),
        };
        for id in before.difference(&after) {
            if let Some(managed) = self.table.servers.get_mut(id) {
                managed.is_leaving = true;
            }
            self.bring_down(id, cx);
        }
        for id in &after {
            self.add(id, &role, cx);
            self.set_wanted(id, cx);
        }
        // The superfluous leave the table when they are down, and what is gone has settled.
        self.wait(Goal::Up, before.union(&after).cloned().collect(), reply, cx);
    }

    /// Stops everything, in reverse order of start, and then the supervisor itself. Answers when all is down.
    #[handle(needs = "shutdown")]
    fn down(&mut self, cx: &mut Cx<Self>, reply: Reply<Result<Vec<ServerRow>, Refusal>>) {
        let all: BTreeSet<ServerId> = self.table.servers.keys().cloned().collect();
        if self.going_down.is_none() {
            let mut waves: VecDeque<Vec<ServerId>> = stop_waves(&self.parts.ensemble).into();
            let listed: BTreeSet<ServerId> = waves.iter().flatten().cloned().collect();
            let registry = RegistryClient::id_in(self.parts.server.id());
            let strays = all.iter().filter(|id| !listed.contains(*id) && **id != registry).cloned().collect();
            waves.push_front(strays);
            // The others deregister while it is still there.
            waves.push_back(vec![registry]);
            self.going_down = Some(waves);
        }
        self.wait(Goal::Down, all, reply, cx);
        self.settle(cx);
    }

    /// Begins: adopts what runs as it should, replaces what does not, stops what should not, starts the rest.
    #[handle(local)]
    fn begin(&mut self, running: BTreeMap<ServerId, Arc<Child>>, plan: Plan, cx: &mut Cx<Self>) {
        (self.parts.on_event)(&SupervisorEvent::Planned(plan.clone()));
        for step in plan.steps() {
            let role = running_role(&self.parts.ensemble, &step.id);
            self.add(&step.id, &role, cx);
            if let Some(child) = running.get(&step.id) {
                self.adopt(&step.id, Arc::clone(child), cx);
            }
            if let Some(managed) = self.table.servers.get_mut(&step.id) {
                managed.origin = step.kind;
            }
            let now = cx.system().clock().now();
            match step.kind {
                StepKind::Keep => {}
                StepKind::Start => self.set_wanted(&step.id, cx),
                StepKind::Replace => self.step(&step.id, cx, |process| process.restart(now)),
                StepKind::Stop => {
                    if let Some(managed) = self.table.servers.get_mut(&step.id) {
                        managed.is_leaving = true;
                    }
                    self.bring_down(&step.id, cx);
                }
            }
        }
    }

    #[handle(local)]
    fn spawned(
        &mut self,
        id: ServerId,
        generation: u64,
        outcome: Result<Arc<Child>, String>,
        cx: &mut Cx<Self>,
    ) {
        if !self.is_current(&id, generation) {
            return;
        }
        let now = cx.system().clock().now();
        match outcome {
            Ok(child) => {
                let pid = child.pid();
                self.mind(&id, child, cx);
                self.step(&id, cx, |process| process.spawned(pid, now));
            }
            Err(error) => self.ended(&id, ExitStatus::NotStarted(error), Vec::new(), cx),
        }
    }

    #[handle(local)]
    fn became_ready(&mut self, id: ServerId, generation: u64, cx: &mut Cx<Self>) {
        if self.is_current(&id, generation) {
            let now = cx.system().clock().now();
            self.step(&id, cx, |process| process.became_ready(now));
            self.start_waiting(cx);
        }
    }

    #[handle(local)]
    fn exited(&mut self, id: ServerId, generation: u64, record: Box<ExitRecord>, cx: &mut Cx<Self>) {
        if self.is_current(&id, generation) {
            self.ended(&id, status(&record), record.last_lines, cx);
        }
    }

    #[handle(local)]
    fn tick(&mut self, at: Instant, cx: &mut Cx<Self>) {
        if self.timer == Some(at) {
            self.timer = None;
        }
        let now = cx.system().clock().now();
        let ids: Vec<ServerId> = self.table.servers.keys().cloned().collect();
        for id in ids {
            self.step(&id, cx, |process| process.tick(now));
        }
    }
}

impl Supervisor {
    pub(super) fn new(mut parts: Parts) -> Self {
        let sockets = std::mem::take(&mut parts.sockets);
        Self { parts, table: Table { sockets, ..Table::default() }, timer: None, going_down: None }
    }

    fn driver(&self, cx: &Cx<Self>) -> Driver {
        Driver { server: self.parts.server.clone(), me: cx.me().clone() }
    }

    fn is_current(&self, id: &ServerId, generation: u64) -> bool {
        self.table.servers.get(id).is_some_and(|managed| managed.generation == generation)
    }

    /// The selected servers; naming one that is not there is an error.
    fn chosen(&self, selection: &Selection) -> Result<BTreeSet<ServerId>, Refusal> {
        for id in &selection.ids {
            if !self.table.servers.contains_key(id) {
                let names: Vec<String> = self.table.servers.keys().map(ToString::to_string).collect();
                let hint = odeon_core::suggest(&id.to_string(), names.iter().map(String::as_str));
                let hint = hint.map_or_else(|| "see `ps`".to_owned(), |near| near.to_string());
                return Err(Refusal::new(
                    RefusalCode::NotFound,
                    format!("{id} is not supervised here; {hint}"),
                ));
            }
        }
        if self.going_down.is_some() {
            return Err(Refusal::new(RefusalCode::BadRequest, "the ensemble is going down"));
        }
        Ok(self.table.select(selection))
    }

    /// Makes sure that a server of that role and id is in the table.
    fn enlist(&mut self, role: &Role, id: &ServerId, cx: &Cx<Self>) -> Result<(), Refusal> {
        if self.going_down.is_some() {
            return Err(Refusal::new(RefusalCode::BadRequest, "the ensemble is going down"));
        }
        if let Some(managed) = self.table.servers.get(id) {
            if managed.role == *role {
                return Ok(());
            }
            let detail = format!("{id} is a server of role `{}`, not of `{role}`", managed.role);
            return Err(Refusal::new(RefusalCode::NameTaken, detail));
        }
        if !self.parts.ensemble.domain.contains(id.domain()) {
            let detail = format!("{id} is outside of the supervised domain {}", self.parts.ensemble.domain);
            return Err(Refusal::new(RefusalCode::BadRequest, detail));
        }
        if *id == *self.parts.server.id() {
            return Err(Refusal::new(RefusalCode::NameTaken, format!("{id} is the supervisor itself")));
        }
        let Some(config) = self.parts.ensemble.roles.get_mut(role) else {
            let roles: Vec<&str> = self.parts.ensemble.roles.keys().map(Role::as_str).collect();
            let hint = odeon_core::suggest(role.as_str(), roles.iter().copied());
            let hint =
                hint.map_or_else(|| format!("the roles are {}", roles.join(", ")), |near| near.to_string());
            return Err(Refusal::new(RefusalCode::NotFound, format!("there is no role `{role}`; {hint}")));
        };
        config.servers.push(id.clone());
        self.add(id, role, cx);
        Ok(())
    }

    fn add(&mut self, id: &ServerId, role: &Role, cx: &Cx<Self>) {
        let now = cx.system().clock().now();
        let policy =
            self.parts.ensemble.roles.get(role).map_or_else(Policy::default, |role| role.policy.clone());
        let managed = self.table.servers.entry(id.clone());
        managed.or_insert_with(|| Managed::new(role.clone(), Process::new(policy, now))).is_leaving = false;
    }

    /// Starts a server as soon as what it needs is ready.
    fn set_wanted(&mut self, id: &ServerId, cx: &Cx<Self>) {
        if let Some(managed) = self.table.servers.get_mut(id) {
            managed.is_wanted = true;
        }
        self.start_waiting(cx);
    }

    fn start_waiting(&mut self, cx: &Cx<Self>) {
        let now = cx.system().clock().now();
        let is_ready = |id: &ServerId| self.table.servers.get(id).is_some_and(|m| m.phase() == Phase::Ready);
        let registry = RegistryClient::id_in(self.parts.server.id());
        let may_start = |id: &ServerId, managed: &Managed| {
            let spec = ServerSpec { id: id.clone(), role: managed.role.clone(), index: 0 };
            let has_registry = *id == registry || is_ready(&registry);
            managed.is_wanted && has_registry && waits_for(&self.parts.ensemble, &spec, is_ready).is_empty()
        };
        let due = self.table.servers.iter().filter(|(id, managed)| may_start(id, managed));
        let due: Vec<ServerId> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            if let Some(managed) = self.table.servers.get_mut(&id) {
                managed.is_wanted = false;
            }
            self.step(&id, cx, |process| process.start(now));
        }
    }

    fn bring_down(&mut self, id: &ServerId, cx: &Cx<Self>) {
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
    fn mind(&mut self, id: &ServerId, child: Arc<Child>, cx: &Cx<Self>) {
        let driver = self.driver(cx);
        let Some(managed) = self.table.servers.get_mut(id) else { return };
        managed.child = Some(Arc::clone(&child));
        let run = Run { id: id.clone(), generation: managed.generation };
        let policy = self.parts.ensemble.roles.get(&managed.role).map(|role| role.policy.ready_timeout);
        let patience = policy.unwrap_or_else(|| Policy::default().ready_timeout);
        driver.watch(run, child, cx.system().clock().now() + patience);
    }

    fn ended(&mut self, id: &ServerId, status: ExitStatus, last_lines: Vec<String>, cx: &Cx<Self>) {
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

    /// Feeds one process' policy, carries out what it says, and sees what follows for others.
    fn step(&mut self, id: &ServerId, cx: &Cx<Self>, feed: impl FnOnce(&mut Process) -> Vec<Action>) {
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
        self.settle(cx);
        self.arm(cx);
    }

    fn spawn(&mut self, id: &ServerId, cx: &Cx<Self>) {
        let driver = self.driver(cx);
        let Some(managed) = self.table.servers.get_mut(id) else { return };
        managed.generation += 1;
        let run = Run { id: id.clone(), generation: managed.generation };
        let mut spec = self.parts.program.spec(&self.parts.home, &self.parts.ensemble, id, &managed.role);
        spec.generation = run.generation;
        let sockets = self.table.sockets.get(&managed.role).into_iter().flatten();
        match sockets.map(|socket| socket.try_clone().map(OwnedFd::from)).collect::<Result<Vec<_>, _>>() {
            Ok(sockets) => driver.spawn(run, spec, sockets, &self.parts.program.exe),
            Err(error) => {
                let why = Err(format!("its listening sockets cannot be passed: {error}"));
                // Through the mailbox, since the process is being stepped right now.
                let _ = cx.me().spawned(run.id, run.generation, why).try_tell();
            }
        }
    }

    fn kill(&self, id: &ServerId, grace: std::time::Duration, cx: &Cx<Self>) {
        if let Some(managed) = self.table.servers.get(id)
            && let Some(child) = &managed.child
        {
            let run = Run { id: id.clone(), generation: managed.generation };
            self.driver(cx).kill(run, Arc::clone(child), grace);
        }
    }

    /// Lets go of those that are down and leaving, stops the next wave, and tells those who waited.
    fn settle(&mut self, cx: &Cx<Self>) {
        self.table.servers.retain(|_, managed| !(managed.is_leaving && managed.is_down()));
        while let Some(wave) = self.going_down.as_ref().and_then(VecDeque::front).cloned() {
            let wave: BTreeSet<ServerId> = wave.into_iter().collect();
            if !self.table.reached(Goal::Down, &wave) {
                let now = cx.system().clock().now();
                let running = |id: &&ServerId| {
                    let managed = self.table.servers.get(id);
                    managed
                        .is_some_and(|m| m.is_wanted || !matches!(m.phase(), Phase::Stopping) && !m.is_down())
                };
                let to_stop: Vec<ServerId> = wave.iter().filter(running).cloned().collect();
                for id in to_stop {
                    if let Some(managed) = self.table.servers.get_mut(&id) {
                        managed.is_wanted = false;
                    }
                    self.step(&id, cx, |process| process.stop(now));
                }
                break;
            }
            if let Some(waves) = &mut self.going_down {
                waves.pop_front();
            }
        }
        self.tell_waiters(cx);
        if self.going_down.as_ref().is_some_and(VecDeque::is_empty) {
            self.parts.server.request_shutdown();
        }
    }

    fn wait(
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
        let waiters = std::mem::take(&mut self.table.waiters);
        let (done, waiting): (Vec<_>, Vec<_>) =
            waiters.into_iter().partition(|waiter| self.table.reached(waiter.goal, &waiter.ids));
        self.table.waiters = waiting;
        for waiter in done {
            let rows = self.rows(&waiter.ids, cx);
            waiter.reply.send(Ok(rows));
        }
    }

    fn arm(&mut self, cx: &Cx<Self>) {
        if let Some(at) = self.table.poll_timeout()
            && self.timer.is_none_or(|armed| at < armed)
        {
            self.timer = Some(at);
            self.driver(cx).tick_at(at);
        }
    }

    fn rows(&self, ids: &BTreeSet<ServerId>, cx: &Cx<Self>) -> Vec<ServerRow> {
        let clock = cx.system().clock();
        let row = |id: &ServerId| {
            let managed = self.table.servers.get(id)?;
            let started = managed.child.as_ref().map(|child| child.state().started_at_ms);
            Some(ServerRow {
                id: id.clone(),
                role: managed.role.clone(),
                process: managed.process.status(clock.now()),
                uptime_ms: started.map(|started| clock.unix_ms().saturating_sub(started)),
                listen: self.table.listens(&managed.role),
                origin: managed.origin,
            })
        };
        ids.iter().filter_map(row).collect()
    }
}

/// The role that a server has in the file; the registry has its own, and a stray one is of no role that counts.
fn running_role(ensemble: &Ensemble, id: &ServerId) -> Role {
    let of = ensemble.roles.iter().find(|(_, config)| config.servers.contains(id));
    of.map_or_else(registry_role, |(role, _)| role.clone())
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("servers", &self.table.servers.len()).finish_non_exhaustive()
    }
}
