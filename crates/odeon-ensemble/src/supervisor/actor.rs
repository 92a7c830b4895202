//! The supervisor as an actor: what it can be asked for. What that takes is done in the module `work`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::TcpListener;
use std::sync::Arc;

use odeon_actor::{Cx, Failure, Reply, actor};
use odeon_core::{Instant, Refusal, RefusalCode, Role, ServerId};
use odeon_server::{Home, Server};
use tokio::sync::watch;

use super::driver::{Driver, status};
use super::launch::Program;
use super::plan::{Plan, stop_waves};
use super::rows::{Selection, ServerRow, SupervisorEvent};
use super::state::{ExitStatus, Phase};
use super::table::{Goal, Table};
use crate::config::{Ensemble, WORKERS_MAX};
use crate::process::{Child, ExitRecord};
use crate::registry::RegistryClient;

/// Called with every event, where the supervisor runs; it must not block.
pub type EventHook = Arc<dyn Fn(&SupervisorEvent) + Send + Sync>;

/// What the actor is made of.
pub(super) struct Parts {
    pub(super) ensemble: Ensemble,
    pub(super) home: Home,
    pub(super) program: Program,
    pub(super) server: Server,
    pub(super) registry: RegistryClient,
    pub(super) on_event: EventHook,
}

/// What the actor begins with.
pub(super) struct Beginning {
    pub(super) plan: Plan,
    /// What an earlier supervisor left running.
    pub(super) running: BTreeMap<ServerId, Arc<Child>>,
    pub(super) sockets: BTreeMap<Role, Vec<TcpListener>>,
}

/// The supervisor of one domain on one host.
pub struct Supervisor {
    pub(super) parts: Parts,
    pub(super) table: Table,
    /// Taken when the actor starts.
    beginning: Option<Beginning>,
    /// When the next timer of a process is due, for the one task that keeps time.
    pub(super) due: watch::Sender<Option<Instant>>,
    /// The waves still to be stopped, once everything goes down; the first is being stopped.
    pub(super) going_down: Option<VecDeque<Vec<ServerId>>>,
    /// Whether the registry has been told of the supervisor, which keeps itself in mind there from then on.
    is_announced: bool,
}

type Rows = Result<Vec<ServerRow>, Refusal>;

/// Starts, restarts and stops the servers of an ensemble.
#[actor(mark = "supervisor/1")]
impl Supervisor {
    /// The supervised servers, by id.
    #[handle]
    fn ps(&self, selection: Selection, cx: &mut Cx<Self>) -> Vec<ServerRow> {
        self.rows(&self.table.select(&selection), cx)
    }

    /// Starts a server of a role; one that is not in the file is added to the role until the supervisor ends.
    /// Answers when it is ready or has failed, or waits for what is down.
    #[handle(needs = "supervisor")]
    fn start_server(&mut self, role: Role, id: ServerId, cx: &mut Cx<Self>, reply: Reply<Rows>) {
        match self.enlist(&role, &id, cx) {
            Ok(()) => self.want(&id),
            Err(refusal) => return reply.send(Err(refusal)),
        }
        self.settle(cx);
        self.wait(Goal::Up, BTreeSet::from([id]), reply, cx);
    }

    /// Stops the selected servers; policy does not bring them back. Answers when they are down.
    #[handle(needs = "supervisor")]
    fn stop_servers(&mut self, selection: Selection, cx: &mut Cx<Self>, reply: Reply<Rows>) {
        let ids = match self.chosen(&selection) {
            Ok(ids) => ids,
            Err(refusal) => return reply.send(Err(refusal)),
        };
        for id in &ids {
            self.bring_down(id, cx);
        }
        self.settle(cx);
        self.wait(Goal::Down, ids, reply, cx);
    }

    /// Stops and starts the selected servers. Answers when they are ready or have failed, or wait for what is
    /// down.
    #[handle(needs = "supervisor")]
    fn restart_servers(&mut self, selection: Selection, cx: &mut Cx<Self>, reply: Reply<Rows>) {
        let ids = match self.chosen(&selection) {
            Ok(ids) => ids,
            Err(refusal) => return reply.send(Err(refusal)),
        };
        let now = cx.system().clock().now();
        for id in &ids {
            match self.table.servers.get(id).map(|managed| managed.phase()) {
                Some(Phase::Starting | Phase::Ready) => self.step(id, cx, |process| process.restart(now)),
                _ => self.want(id),
            }
        }
        self.settle(cx);
        self.wait(Goal::Up, ids, reply, cx);
    }

    /// Sets how many servers a counted role has. Answers when the new ones are ready or have failed, or wait for
    /// what is down, and the superfluous are gone.
    #[handle(needs = "supervisor")]
    fn scale(&mut self, role: Role, workers: u32, cx: &mut Cx<Self>, reply: Reply<Rows>) {
        if let Err(refusal) = self.not_going_down() {
            return reply.send(Err(refusal));
        }
        let ids = |servers: Vec<crate::config::ServerSpec>| -> BTreeSet<ServerId> {
            servers.into_iter().map(|server| server.id).collect()
        };
        let before = ids(self.parts.ensemble.servers_of(&role));
        let after = match self.parts.ensemble.scale(&role, workers as usize) {
            Ok(servers) => ids(servers),
            Err(error) => return reply.send(Err(Refusal::new(RefusalCode::BadRequest, error.to_string()))),
        };
        for id in before.difference(&after) {
            self.let_go(id, cx);
        }
        for id in &after {
            self.add(id, &role, cx);
            self.want(id);
        }
        self.settle(cx);
        // The superfluous leave the table when they are down, and what is gone has settled.
        self.wait(Goal::Up, before.union(&after).cloned().collect(), reply, cx);
    }

    /// Stops everything, in reverse order of start, and then the supervisor itself. Answers when all is down.
    #[handle(needs = "shutdown")]
    fn down(&mut self, cx: &mut Cx<Self>, reply: Reply<Rows>) {
        let all: BTreeSet<ServerId> = self.table.servers.keys().cloned().collect();
        if self.going_down.is_none() {
            let mut waves: VecDeque<Vec<ServerId>> = stop_waves(&self.parts.ensemble).into();
            let listed: BTreeSet<ServerId> = waves.iter().flatten().cloned().collect();
            let registry = self.registry_here();
            let others = all.iter().filter(|id| !listed.contains(*id) && Some(*id) != registry.as_ref());
            waves.push_front(others.cloned().collect());
            // The others deregister while it is still there.
            waves.push_back(registry.into_iter().collect());
            self.going_down = Some(waves);
            // What waits to be started is not any more.
            for managed in self.table.servers.values_mut() {
                managed.is_wanted = false;
            }
        }
        self.wait(Goal::Down, all, reply, cx);
        self.settle(cx);
    }

    /// Before any message: adopts what runs as it should, replaces what does not, stops what should not, and
    /// starts the rest.
    #[started]
    fn begin(&mut self, cx: &mut Cx<Self>) -> Result<(), Failure> {
        self.driver(cx).keep_time(self.due.subscribe());
        if let Some(beginning) = self.beginning.take() {
            self.table.sockets = beginning.sockets;
            if self.registry_here().is_none() {
                self.announce();
            }
            (self.parts.on_event)(&SupervisorEvent::Planned(beginning.plan.clone()));
            for step in beginning.plan.steps() {
                self.take_step(step, beginning.running.get(&step.id), cx);
            }
            self.settle(cx);
        }
        Ok(())
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
        self.settle(cx);
    }

    #[handle(local)]
    fn became_ready(&mut self, id: ServerId, generation: u64, cx: &mut Cx<Self>) {
        if !self.is_current(&id, generation) {
            return;
        }
        let now = cx.system().clock().now();
        self.step(&id, cx, |process| process.became_ready(now));
        if Some(&id) == self.registry_here().as_ref() {
            self.announce();
        }
        self.settle(cx);
    }

    #[handle(local)]
    fn exited(&mut self, id: ServerId, generation: u64, record: Box<ExitRecord>, cx: &mut Cx<Self>) {
        if self.is_current(&id, generation) {
            self.ended(&id, status(&record), record.last_lines, cx);
            self.settle(cx);
        }
    }

    #[handle(local)]
    fn tick(&mut self, cx: &mut Cx<Self>) {
        let now = cx.system().clock().now();
        let ids: Vec<ServerId> = self.table.servers.keys().cloned().collect();
        for id in ids {
            self.step(&id, cx, |process| process.tick(now));
        }
        self.settle(cx);
    }
}

impl Supervisor {
    pub(super) fn new(parts: Parts, beginning: Beginning) -> Self {
        Self {
            parts,
            table: Table::default(),
            beginning: Some(beginning),
            due: watch::Sender::new(None),
            going_down: None,
            is_announced: false,
        }
    }

    pub(super) fn driver(&self, cx: &Cx<Self>) -> Driver {
        Driver { server: self.parts.server.clone(), me: cx.me().clone() }
    }

    /// The registry that this supervisor runs, which is no role of the file; none if it is elsewhere.
    pub(super) fn registry_here(&self) -> Option<ServerId> {
        let registry = &self.parts.ensemble.registry;
        (!registry.elsewhere).then(|| registry.id.clone())
    }

    /// Has the registry know the supervisor from now on. Once.
    fn announce(&mut self) {
        if !std::mem::replace(&mut self.is_announced, true) {
            let role = super::SUPERVISOR.parse().expect("`supervisor` is a role name");
            self.parts.registry.announce(vec![role]);
        }
    }

    fn is_current(&self, id: &ServerId, generation: u64) -> bool {
        self.table.servers.get(id).is_some_and(|managed| managed.generation == generation)
    }

    fn not_going_down(&self) -> Result<(), Refusal> {
        match &self.going_down {
            Some(_) => Err(Refusal::new(RefusalCode::BadRequest, "the ensemble is going down")),
            None => Ok(()),
        }
    }

    /// The selected servers. Naming one that is not there is an error, and so is meaning none.
    fn chosen(&self, selection: &Selection) -> Result<BTreeSet<ServerId>, Refusal> {
        self.not_going_down()?;
        let not_found = |detail| Err(Refusal::new(RefusalCode::NotFound, detail));
        for id in &selection.ids {
            if !self.table.servers.contains_key(id) {
                let names: Vec<String> = self.table.servers.keys().map(ToString::to_string).collect();
                let hint = odeon_core::suggest(&id.to_string(), names.iter().map(String::as_str));
                let hint = hint.map_or_else(|| "see `ps`".to_owned(), |near| near.to_string());
                return not_found(format!("{id} is not supervised here; {hint}"));
            }
        }
        let ids = self.table.select(selection);
        if ids.is_empty() {
            let named = if selection.ids.is_empty() { "" } else { " among those named" };
            let of = selection.role.as_ref().map_or_else(String::new, |role| format!(" of role `{role}`"));
            let within = selection.domain.as_ref().map_or_else(String::new, |domain| format!(" in {domain}"));
            return not_found(format!("there is no supervised server{of}{within}{named}; see `ps`"));
        }
        Ok(ids)
    }

    /// Makes sure that a server of that role and id is in the table, to stay.
    fn enlist(&mut self, role: &Role, id: &ServerId, cx: &Cx<Self>) -> Result<(), Refusal> {
        self.not_going_down()?;
        let refuse = |code, detail: String| Err(Refusal::new(code, detail));
        if let Some(managed) = self.table.servers.get(id).filter(|managed| !managed.is_leaving) {
            if managed.role == *role {
                return Ok(());
            }
            let detail = format!("{id} is a server of role `{}`, not of `{role}`", managed.role);
            return refuse(RefusalCode::NameTaken, detail);
        }
        let domain = &self.parts.ensemble.domain;
        if id.domain() != domain {
            return refuse(RefusalCode::BadRequest, format!("{id} is not in the supervised domain {domain}"));
        }
        if id == self.parts.server.id() {
            return refuse(RefusalCode::NameTaken, format!("{id} is the supervisor itself"));
        }
        let Some(config) = self.parts.ensemble.roles.get_mut(role) else {
            let roles: Vec<&str> = self.parts.ensemble.roles.keys().map(Role::as_str).collect();
            let hint = odeon_core::suggest(role.as_str(), roles.iter().copied());
            let hint =
                hint.map_or_else(|| format!("the roles are {}", roles.join(", ")), |near| near.to_string());
            return refuse(RefusalCode::NotFound, format!("there is no role `{role}`; {hint}"));
        };
        if config.servers.len() >= WORKERS_MAX {
            let detail =
                format!("role `{role}` has {WORKERS_MAX} servers already, as many as a role may have");
            return refuse(RefusalCode::LimitReached, detail);
        }
        config.servers.push(id.clone());
        self.add(id, role, cx);
        Ok(())
    }
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("servers", &self.table.servers.len()).finish_non_exhaustive()
    }
}
