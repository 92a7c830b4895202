//! The registry's state: entries held by leases, and the epochs that fence off older incarnations.
//!
//! [`Registry`] owns both and nothing else: time is an argument, saving is the caller's, by [`Registry::snapshot`]
//! when [`Registry::dirty`]. Invariants: an id's epoch never goes back, not even after its entry was removed;
//! every leased entry that is alive stands once among the deadlines; an entry that is dead stays known, so that
//! people see it, until it is removed or its place is needed.

use std::collections::{BTreeMap, BTreeSet};

use odeon_core::limits::LEASE_TTL;
use odeon_core::{Address, Epoch, Instant, Role, ServerId};

use super::entry::{Entry, Health, RegistryError, SERVERS_MAX, Tenure, check_sizes};
use super::snapshot::{Member, Snapshot};

/// What is known of one id.
#[derive(Debug)]
struct Record {
    /// No incarnation below this is listened to.
    highest: Epoch,
    /// Nothing once it was removed.
    entry: Option<Entry>,
    /// When its lease runs out if it is alive and leased; when it was lost if it is dead or removed.
    since: Instant,
}

impl Record {
    fn standing(&self) -> Standing {
        match &self.entry {
            Some(entry) if entry.health == Health::Alive => match entry.tenure {
                Tenure::Leased => Standing::Leased,
                Tenure::Permanent => Standing::Permanent,
            },
            _ => Standing::Gone,
        }
    }
}

/// In which index a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Leased,
    Permanent,
    Gone,
}

/// The registry's state.
#[derive(Debug, Default)]
pub struct Registry {
    records: BTreeMap<ServerId, Record>,
    /// The leases of the living, by when they run out.
    leases: BTreeSet<(Instant, ServerId)>,
    /// The dead and the removed, by when they were lost: the first makes place when there is none.
    gone: BTreeSet<(Instant, ServerId)>,
    revision: u64,
    saved: u64,
}

impl Registry {
    /// A registry that knows nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A registry as it was saved. Every living lease gets one full TTL from `now`, since nobody could renew
    /// while the registry was away.
    #[must_use]
    pub fn restore(snapshot: Snapshot, now: Instant) -> Self {
        let mut registry = Self::new();
        for Member { id, epoch, entry } in snapshot.servers {
            registry.put(id, epoch, entry, now);
        }
        registry
    }

    /// What must survive a restart: membership and epochs, not renewals.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let servers = self.records.iter().map(|(id, record)| Member {
            id: id.clone(),
            epoch: record.highest,
            entry: record.entry.clone(),
        });
        Snapshot::of(servers.collect())
    }

    /// Counts the changes that a snapshot would show.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether there are changes that were not saved.
    #[must_use]
    pub const fn dirty(&self) -> bool {
        self.revision != self.saved
    }

    /// Notes that the snapshot taken at `revision` is on disk.
    pub const fn saved(&mut self, revision: u64) {
        self.saved = revision;
    }

    /// Adds a server, or replaces what was known of it, and starts its lease.
    ///
    /// # Errors
    /// [`RegistryError::Stale`] for an incarnation older than one seen, and when a limit is reached: of
    /// addresses, of roles, or of servers with none of them dead.
    pub fn add(
        &mut self,
        id: ServerId,
        mut addresses: Vec<Address>,
        roles: Vec<Role>,
        epoch: Epoch,
        tenure: Tenure,
        now: Instant,
    ) -> Result<(), RegistryError> {
        check_sizes(&id, addresses.len(), roles.len())?;
        self.check_epoch(&id, epoch)?;
        self.make_place(&id)?;
        addresses.sort();
        addresses.dedup();
        let entry = Entry { id: id.clone(), addresses, roles, epoch, tenure, health: Health::Alive };
        let before = self.take(&id);
        // Adding the same again is a renewal: nothing that is saved has changed.
        if before.and_then(|record| record.entry).as_ref() != Some(&entry) {
            self.revision += 1;
        }
        self.put(id, epoch, Some(entry), now);
        Ok(())
    }

    /// Renews the lease of an incarnation that was added.
    ///
    /// # Errors
    /// [`RegistryError::Stale`], [`RegistryError::NotAdded`], or [`RegistryError::Lapsed`] when it is too late.
    pub fn renew(&mut self, id: &ServerId, epoch: Epoch, now: Instant) -> Result<(), RegistryError> {
        self.check_epoch(id, epoch)?;
        let not_added = || RegistryError::NotAdded { id: id.clone(), epoch };
        let record = self.records.get_mut(id).ok_or_else(not_added)?;
        let entry = record.entry.as_ref().filter(|entry| entry.epoch == epoch).ok_or_else(not_added)?;
        let lapsed = entry.health == Health::Dead || (entry.tenure == Tenure::Leased && record.since <= now);
        if lapsed {
            return Err(RegistryError::Lapsed { id: id.clone() });
        }
        if entry.tenure == Tenure::Leased {
            self.leases.remove(&(record.since, id.clone()));
            record.since = now + LEASE_TTL;
            self.leases.insert((record.since, id.clone()));
        }
        Ok(())
    }

    /// Removes a server; whether it was there. With an epoch, only that incarnation or an older one is removed,
    /// so that the last word of a server that was replaced does not remove its successor. Its epoch stays known.
    ///
    /// # Errors
    /// [`RegistryError::Stale`] when a later incarnation is known than the one meant.
    pub fn remove(
        &mut self,
        id: &ServerId,
        epoch: Option<Epoch>,
        now: Instant,
    ) -> Result<bool, RegistryError> {
        if let Some(epoch) = epoch {
            self.check_epoch(id, epoch)?;
        }
        if self.lookup(id).is_none() {
            return Ok(false);
        }
        if let Some(record) = self.take(id) {
            self.revision += 1;
            self.put(id.clone(), record.highest, None, now);
        }
        Ok(true)
    }

    /// The entry of a server, dead or alive.
    #[must_use]
    pub fn lookup(&self, id: &ServerId) -> Option<&Entry> {
        self.records.get(id)?.entry.as_ref()
    }

    /// The living servers of a role, in order of their ids.
    #[must_use]
    pub fn lookup_role(&self, role: &Role, now: Instant) -> Vec<&Entry> {
        let living = self.records.values().filter(|record| match record.standing() {
            Standing::Leased => record.since > now,
            Standing::Permanent => true,
            Standing::Gone => false,
        });
        living.filter_map(|record| record.entry.as_ref()).filter(|entry| entry.roles.contains(role)).collect()
    }

    /// All servers, dead or alive, in order of their ids.
    pub fn list(&self) -> impl Iterator<Item = &Entry> {
        self.records.values().filter_map(|record| record.entry.as_ref())
    }

    /// Declares dead whose lease has run out; returns them in the order in which that happened.
    pub fn expire(&mut self, now: Instant) -> Vec<ServerId> {
        let mut expired = Vec::new();
        while self.leases.first().is_some_and(|(until, _)| *until <= now) {
            let Some((until, id)) = self.leases.pop_first() else {
                break;
            };
            if let Some(record) = self.records.get_mut(&id)
                && let Some(entry) = &mut record.entry
            {
                entry.health = Health::Dead;
                self.gone.insert((until, id.clone()));
                self.revision += 1;
                expired.push(id);
            }
        }
        expired
    }

    /// When [`Registry::expire`] has something to do; never if there is no lease.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.leases.first().map(|(until, _)| *until)
    }

    /// Raises the epoch of an id and hands it out. From then on no older incarnation is listened to; what it
    /// announced stays until its lease runs out or the new one is added.
    ///
    /// # Errors
    /// [`RegistryError::Full`], or [`RegistryError::EpochsExhausted`].
    pub fn next_epoch(&mut self, id: &ServerId, now: Instant) -> Result<Epoch, RegistryError> {
        let known = self.records.get(id).map_or(0, |record| record.highest.0);
        let exhausted = || RegistryError::EpochsExhausted { id: id.clone() };
        let next = Epoch(known.checked_add(1).ok_or_else(exhausted)?);
        self.make_place(id)?;
        self.revision += 1;
        if let Some(record) = self.records.get_mut(id) {
            record.highest = next;
        } else {
            self.put(id.clone(), next, None, now);
        }
        Ok(next)
    }

    fn check_epoch(&self, id: &ServerId, given: Epoch) -> Result<(), RegistryError> {
        match self.records.get(id) {
            Some(record) if given < record.highest => {
                Err(RegistryError::Stale { id: id.clone(), given, known: record.highest })
            }
            _ => Ok(()),
        }
    }

    /// Makes sure that `id` fits, at the cost of whoever has been gone the longest.
    fn make_place(&mut self, id: &ServerId) -> Result<(), RegistryError> {
        if self.records.len() < SERVERS_MAX || self.records.contains_key(id) {
            return Ok(());
        }
        let (_, oldest) = self.gone.pop_first().ok_or(RegistryError::Full)?;
        self.records.remove(&oldest);
        Ok(())
    }

    /// Takes a record out of the map and its index.
    fn take(&mut self, id: &ServerId) -> Option<Record> {
        let record = self.records.remove(id)?;
        let key = (record.since, id.clone());
        match record.standing() {
            Standing::Leased => self.leases.remove(&key),
            Standing::Gone => self.gone.remove(&key),
            Standing::Permanent => false,
        };
        Some(record)
    }

    /// Puts a record, which must not be there, into the map and its index.
    fn put(&mut self, id: ServerId, highest: Epoch, entry: Option<Entry>, now: Instant) {
        let mut record = Record { highest, entry, since: now };
        match record.standing() {
            Standing::Leased => {
                record.since = now + LEASE_TTL;
                self.leases.insert((record.since, id.clone()));
            }
            Standing::Gone => {
                self.gone.insert((now, id.clone()));
            }
            Standing::Permanent => {}
        }
        self.records.insert(id, record);
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
