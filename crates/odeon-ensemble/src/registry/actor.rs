//! The registry as an actor: the pure state behind a mailbox, saved when its membership changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use odeon_actor::{Cx, Failure, Sender, actor};
use odeon_core::seam::{Disk, TaskKind};
use odeon_core::{Address, Epoch, Refusal, RefusalCode, Role, ServerId};
use serde::de::Error;

use super::snapshot::{Snapshot, SnapshotError};
use super::{Entry, Registry, RegistryError, Tenure};

/// How often leases are looked at when nobody asks; a third of their life would do.
const TICK: Duration = Duration::from_secs(1);

/// Most ids with which an unknown one is compared.
const COMPARED_IDS_MAX: usize = 256;

/// The registry of one domain.
#[derive(Debug)]
pub struct RegistryActor {
    state: Registry,
    disk: Arc<dyn Disk>,
    file: PathBuf,
}

impl RegistryActor {
    /// A registry that keeps its membership in `file`; what is there is read when the actor starts.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, file: PathBuf) -> Self {
        Self { state: Registry::new(), disk, file }
    }
}

/// Which servers there are, where, and for what.
#[actor(mark = "registry/1")]
impl RegistryActor {
    /// Adds a server or replaces what was known of it. A server may add itself, by a lease; for others, and for
    /// good, it takes `admin`, and for one that has no epoch as well, as commands have none.
    #[handle]
    fn add(
        &mut self,
        id: ServerId,
        addresses: Vec<Address>,
        roles: Vec<Role>,
        epoch: Epoch,
        tenure: Tenure,
        cx: &mut Cx<Self>,
    ) -> Result<(), Refusal> {
        authorise(&id, &cx.sender())?;
        authorise_lasting(&id, tenure, &cx.sender())?;
        let now = cx.system().clock().now();
        self.state.add(id, addresses, roles, epoch, tenure, now).map_err(refusal)?;
        self.save()
    }

    /// Renews the lease of an incarnation that was added.
    #[handle]
    fn renew(&mut self, id: ServerId, epoch: Epoch, cx: &mut Cx<Self>) -> Result<(), Refusal> {
        authorise(&id, &cx.sender())?;
        self.state.renew(&id, epoch, cx.system().clock().now()).map_err(refusal)
    }

    /// Removes a server, of this incarnation or an older one if one is given; says whether it was there.
    #[handle]
    fn remove(&mut self, id: ServerId, epoch: Option<Epoch>, cx: &mut Cx<Self>) -> Result<bool, Refusal> {
        authorise(&id, &cx.sender())?;
        let removed = self.state.remove(&id, epoch, cx.system().clock().now()).map_err(refusal)?;
        self.save()?;
        Ok(removed)
    }

    /// What is known of a server.
    #[handle]
    fn lookup(&mut self, id: ServerId, cx: &mut Cx<Self>) -> Result<Entry, Refusal> {
        self.expire(cx);
        if let Some(entry) = self.state.lookup(&id) {
            return Ok(entry.clone());
        }
        // The comparison is work that anybody can cause.
        let compared = self.state.list().take(COMPARED_IDS_MAX);
        let names: Vec<String> = compared.map(|entry| entry.id.to_string()).collect();
        let hint = odeon_core::suggest(&id.to_string(), names.iter().map(String::as_str));
        let hint = hint.map_or_else(String::new, |near| format!("; {near}"));
        Err(Refusal::new(RefusalCode::NotFound, format!("the registry knows no server {id}{hint}")))
    }

    /// The living servers of a role, by id.
    #[handle]
    fn lookup_role(&mut self, role: Role, cx: &mut Cx<Self>) -> Vec<Entry> {
        self.expire(cx);
        let now = cx.system().clock().now();
        self.state.lookup_role(&role, now).into_iter().cloned().collect()
    }

    /// Every server, dead or alive, by id.
    #[handle]
    fn list(&mut self, cx: &mut Cx<Self>) -> Vec<Entry> {
        self.expire(cx);
        self.state.list().cloned().collect()
    }

    #[handle(local)]
    fn tick(&mut self, cx: &mut Cx<Self>) {
        self.expire(cx);
        if let Err(refusal) = self.save() {
            tracing::error!("{refusal}; trying again");
        }
    }

    #[started]
    fn begin(&mut self, cx: &mut Cx<Self>) -> Result<(), Failure> {
        if let Some(snapshot) = self.load().map_err(|source| Unusable { file: self.file.clone(), source })? {
            self.state = Registry::restore(snapshot, cx.system().clock().now());
        }
        let (me, clock) = (cx.me().clone(), Arc::clone(cx.system().clock()));
        let ticking = async move {
            while !me.is_dead() {
                clock.sleep_until(clock.now() + TICK).await;
                // Full or dead: the next tick will do, or none is needed.
                let _ = me.tick().try_tell();
            }
        };
        cx.system().tasks().spawn(TaskKind::Service, "registry-tick", Box::pin(ticking));
        Ok(())
    }
}

impl RegistryActor {
    fn expire(&mut self, cx: &Cx<Self>) {
        for id in self.state.expire(cx.system().clock().now()) {
            tracing::warn!(server = %id, "lease ran out");
        }
    }

    /// What was saved, if there is anything.
    fn load(&self) -> Result<Option<Snapshot>, Box<dyn std::error::Error + Send + Sync>> {
        match self.disk.read(&self.file) {
            Ok(bytes) => {
                let text = str::from_utf8(&bytes).map_err(|e| SnapshotError::Corrupt(Error::custom(e)))?;
                Ok(Some(Snapshot::from_json(text)?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the membership if it has changed. Renewals are not written.
    fn save(&mut self) -> Result<(), Refusal> {
        if !self.state.dirty() {
            return Ok(());
        }
        let revision = self.state.revision();
        let bytes = self.state.snapshot().to_json();
        self.disk.replace(&self.file, bytes.as_bytes()).map_err(|error| {
            let detail = format!("the registry cannot be saved to {}: {error}", self.file.display());
            Refusal::new(RefusalCode::Internal, detail)
        })?;
        self.state.saved(revision);
        Ok(())
    }
}

/// The registry's file, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {}", .file.display())]
struct Unusable {
    file: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// A server speaks for itself; for another one it takes `admin`.
fn authorise(id: &ServerId, sender: &Sender) -> Result<(), Refusal> {
    if sender.server() == Some(id) || sender.can("admin") {
        return Ok(());
    }
    let who = sender.server().map_or_else(String::new, ToString::to_string);
    let detail = format!("{who} may not change the entry of {id}: that needs the capability `admin`");
    Err(Refusal::new(RefusalCode::NotAuthorised, detail))
}

/// What one server adds of itself must go by itself: else a peer could fill the registry for good.
fn authorise_lasting(id: &ServerId, tenure: Tenure, sender: &Sender) -> Result<(), Refusal> {
    let Sender::Remote(remote) = sender else { return Ok(()) };
    let why = match tenure {
        Tenure::Permanent => "an entry that is permanent",
        Tenure::Leased if remote.peer.epoch == Epoch(0) => "the entry of a server without an epoch",
        Tenure::Leased => return Ok(()),
    };
    if sender.can("admin") {
        return Ok(());
    }
    Err(Refusal::new(RefusalCode::NotAuthorised, format!("{why} needs the capability `admin`: {id}")))
}

fn refusal(error: RegistryError) -> Refusal {
    let code = match error {
        RegistryError::NotAdded { .. } | RegistryError::Lapsed { .. } => RefusalCode::NotFound,
        RegistryError::Full | RegistryError::TooManyAddresses { .. } | RegistryError::TooManyRoles { .. } => {
            RefusalCode::LimitReached
        }
        _ => RefusalCode::BadRequest,
    };
    Refusal::new(code, error.to_string())
}
