//! Groups: actors under a shared name, to be listed, told something together, and watched.
//!
//! An actor is in any number of groups, and leaves all of them when it ends: before its monitors are told. A group
//! exists while it has members or watchers. An actor in no group costs nothing, and its end looks at one number.
//!
//! # Invariants
//!
//! - What happens to a group is told to those who watched it then, in the order in which it happened, one at a time.
//! - Nobody is told, and nothing that belongs to others is dropped, under the lock.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use odeon_core::{ExitReason, GroupName};

use crate::actor::Actor;
use crate::call::{Call, Request};
use crate::error::TryTellError;
use crate::handle::{Handle, Target};
use crate::inbox::Inbox;
use crate::life::MonitorId;
use crate::local::Local;
use crate::panic::contained;
use crate::system::System;

/// Most groups of one system: with more, what the groups stand for should be an actor of its own.
pub const GROUPS_MAX: usize = 16_384;

/// Most members of one group: each broadcast goes through all of them, under no lock but in one go.
pub const MEMBERS_MAX: usize = 16_384;

/// Most watchers of one group: each is told of every change.
pub const GROUP_WATCHERS_MAX: usize = 1_024;

/// Why an actor did not join a group, or a group is not watched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The actor has ended or is ending.
    #[error("the actor is dead: it {0}")]
    Dead(ExitReason),
    /// The actor is not of this system.
    #[error("only actors of this system can join its groups")]
    Elsewhere,
    /// The system has as many groups as it may.
    #[error("a system has at most {GROUPS_MAX} groups")]
    TooManyGroups,
    /// The group has as many members as it may.
    #[error("group `{0}` has {MEMBERS_MAX} members, which is as many as it may have")]
    TooManyMembers(GroupName),
    /// The group has as many watchers as it may.
    #[error("group `{0}` has {GROUP_WATCHERS_MAX} watchers, which is as many as it may have")]
    TooManyWatchers(GroupName),
}

/// Something that happened to a group.
#[derive(Debug, Clone)]
pub struct GroupEvent {
    /// The group.
    pub group: GroupName,
    /// The actor that came or went.
    pub member: Arc<dyn Inbox>,
    /// Which of the two.
    pub change: GroupChange,
}

/// What happened to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupChange {
    /// An actor joined.
    Joined,
    /// A member left.
    Left,
    /// A member ended.
    Ended(ExitReason),
}

/// The watching of a group, as it begins.
#[derive(Debug, Clone)]
pub struct GroupWatch {
    /// Names it, for [`System::unwatch_group`].
    pub id: MonitorId,
    /// Who was in the group when it began: every change since is told.
    pub members: Vec<Arc<dyn Inbox>>,
}

/// What became of a message to all members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Broadcast {
    /// Members whose mailbox took it.
    pub sent: usize,
    /// Members whose mailbox was full.
    pub full: usize,
    /// Members that had ended meanwhile, or drained.
    pub dead: usize,
}

type Notify = Arc<dyn Fn(&GroupEvent) + Send + Sync>;

/// The groups of one system.
#[derive(Default)]
pub(crate) struct Groups {
    /// Memberships there are; looked at by every actor that ends.
    memberships: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_name: BTreeMap<GroupName, Group>,
    by_member: BTreeMap<u64, BTreeSet<GroupName>>,
    /// Counts events, from 1.
    last: u64,
    untold: VecDeque<(u64, GroupEvent)>,
    /// Somebody tells what is untold, and goes on until nothing is.
    is_telling: bool,
}

#[derive(Default)]
struct Group {
    members: BTreeMap<u64, Member>,
    watchers: BTreeMap<MonitorId, Watcher>,
}

struct Member {
    inbox: Arc<dyn Inbox>,
    typed: Arc<dyn Any + Send + Sync>,
}

struct Watcher {
    /// The last event that it is not told.
    since: u64,
    notify: Notify,
}

impl Groups {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join<A: Actor>(&self, group: GroupName, local: &Arc<Local<A>>) -> Result<(), GroupError> {
        let number = local.life.number;
        {
            let mut state = self.lock();
            if state.by_member.get(&number).is_some_and(|groups| groups.contains(&group)) {
                return Ok(());
            }
            let members = &mut state.group(&group)?.members;
            if members.len() >= MEMBERS_MAX {
                return Err(GroupError::TooManyMembers(group));
            }
            let inbox = Arc::clone(local) as Arc<dyn Inbox>;
            members.insert(number, Member { inbox: Arc::clone(&inbox), typed: Arc::clone(local) as _ });
            state.by_member.entry(number).or_default().insert(group.clone());
            state.happened(&group, inbox, GroupChange::Joined);
            self.memberships.fetch_add(1, Ordering::Relaxed);
        }
        // It may have ended before there was a membership to be forgotten. The lock of its life orders the two: either
        // its end finds the membership, or the reason is found here.
        let reason = if local.life.is_ending() { local.life.reason() } else { None };
        if let Some(reason) = reason {
            self.leave(&group, number, |_| GroupChange::Ended(reason.clone()));
            self.tell();
            return Err(GroupError::Dead(reason));
        }
        self.tell();
        Ok(())
    }

    /// Takes a member out of a group; `false` when it was in none.
    fn leave(&self, group: &GroupName, number: u64, change: impl FnOnce(&dyn Inbox) -> GroupChange) -> bool {
        let mut state = self.lock();
        let left = state.by_name.get_mut(group).and_then(|group| group.members.remove(&number));
        let Some(Member { inbox, typed }) = left else {
            return false;
        };
        if let Some(groups) = state.by_member.get_mut(&number) {
            groups.remove(group);
            if groups.is_empty() {
                state.by_member.remove(&number);
            }
        }
        let change = change(&*inbox);
        state.happened(group, inbox, change);
        state.tidy(group);
        self.memberships.fetch_sub(1, Ordering::Relaxed);
        drop(state);
        // It may be all that is left of the actor.
        drop(typed);
        true
    }

    /// Takes an actor that has ended out of all its groups.
    pub(crate) fn forget(&self, number: u64) {
        if self.memberships.load(Ordering::Relaxed) == 0 {
            return;
        }
        let groups = self.lock().by_member.get(&number).cloned().unwrap_or_default();
        for group in &groups {
            self.leave(group, number, |member| {
                GroupChange::Ended(member.exit_reason().unwrap_or(ExitReason::Normal))
            });
        }
        if !groups.is_empty() {
            self.tell();
        }
    }

    fn watch(&self, group: &GroupName, notify: Notify) -> Result<GroupWatch, GroupError> {
        let mut state = self.lock();
        let since = state.last;
        let of_group = state.group(group)?;
        if of_group.watchers.len() >= GROUP_WATCHERS_MAX {
            return Err(GroupError::TooManyWatchers(group.clone()));
        }
        let id = MonitorId::fresh();
        of_group.watchers.insert(id, Watcher { since, notify });
        let members = of_group.members.values().map(|member| Arc::clone(&member.inbox)).collect();
        Ok(GroupWatch { id, members })
    }

    fn unwatch(&self, group: &GroupName, id: MonitorId) {
        let mut state = self.lock();
        let forgotten = state.by_name.get_mut(group).and_then(|group| group.watchers.remove(&id));
        state.tidy(group);
        drop(state);
        // Outside the lock: what a closure holds is not ours to know.
        drop(forgotten);
    }

    /// Tells what is untold, unless somebody does already.
    fn tell(&self) {
        let mut state = self.lock();
        if state.is_telling {
            return;
        }
        while let Some((number, event)) = state.untold.pop_front() {
            state.is_telling = true;
            let told: Vec<_> = state.watchers(&event.group, number).collect();
            drop(state);
            for notify in told {
                contained("a watcher of a group", || notify(&event));
            }
            drop(event);
            state = self.lock();
        }
        state.is_telling = false;
    }
}

impl State {
    /// The group of that name, made if there is room for it.
    fn group(&mut self, name: &GroupName) -> Result<&mut Group, GroupError> {
        if !self.by_name.contains_key(name) && self.by_name.len() >= GROUPS_MAX {
            return Err(GroupError::TooManyGroups);
        }
        Ok(self.by_name.entry(name.clone()).or_default())
    }

    /// Notes what happened for those who watch.
    fn happened(&mut self, group: &GroupName, member: Arc<dyn Inbox>, change: GroupChange) {
        if self.by_name.get(group).is_some_and(|group| !group.watchers.is_empty()) {
            self.last += 1;
            self.untold.push_back((self.last, GroupEvent { group: group.clone(), member, change }));
        }
    }

    /// Those who watched the group when the event of that number happened.
    fn watchers(&self, group: &GroupName, number: u64) -> impl Iterator<Item = Notify> {
        let watchers = self.by_name.get(group).into_iter().flat_map(|group| group.watchers.values());
        watchers.filter(move |watcher| watcher.since < number).map(|watcher| Arc::clone(&watcher.notify))
    }

    /// Forgets a group in which nobody is and which nobody watches.
    fn tidy(&mut self, group: &GroupName) {
        if self.by_name.get(group).is_some_and(|group| group.members.is_empty() && group.watchers.is_empty())
        {
            self.by_name.remove(group);
        }
    }
}

/// Groups.
///
/// ```
/// # extern crate odeon_actor as odeon;
/// use odeon::{Broadcast, System, actor};
///
/// struct Reader;
///
/// #[actor]
/// impl Reader {
///     #[handle]
///     fn read(&mut self, line: String) {}
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (system, readers) = (System::new(), "readers".parse()?);
/// let watch = system.watch_group(&readers, |event| println!("{}: {:?}", event.group, event.change))?;
/// let (first, second) = (system.spawn(Reader), system.spawn(Reader));
/// system.join(&readers, &first)?;
/// system.join(&readers, &second)?;
///
/// let report = system.broadcast::<Reader, _>(&readers, |reader| reader.read("news".to_owned()));
/// assert_eq!(report, Broadcast { sent: 2, ..Broadcast::default() });
///
/// first.stop();
/// first.ended().await;
/// assert_eq!(system.members::<Reader>(&readers).len(), 1, "members leave when they end");
/// system.unwatch_group(&readers, watch.id);
/// # Ok(())
/// # }
/// ```
impl System {
    /// Puts an actor into a group; nothing changes if it is there. It leaves when it ends.
    ///
    /// # Errors
    /// When the actor is dead or of another system, or where a limit is reached: [`GROUPS_MAX`], [`MEMBERS_MAX`].
    pub fn join<A: Actor>(&self, group: &GroupName, handle: &Handle<A>) -> Result<(), GroupError> {
        match &handle.0 {
            Target::Here(local) if self.is_same(&local.system) => self.groups().join(group.clone(), local),
            _ => Err(GroupError::Elsewhere),
        }
    }

    /// Takes an actor out of a group, if it is there.
    pub fn leave<A: Actor>(&self, group: &GroupName, handle: &Handle<A>) {
        if let Target::Here(local) = &handle.0
            && self.is_same(&local.system)
            && self.groups().leave(group, local.life.number, |_| GroupChange::Left)
        {
            self.groups().tell();
        }
    }

    /// The members of a group that are of type `A`, oldest first.
    #[must_use]
    pub fn members<A: Actor>(&self, group: &GroupName) -> Vec<Handle<A>> {
        let state = self.groups().lock();
        let members = state.by_name.get(group).into_iter().flat_map(|group| group.members.values());
        let typed = members.filter_map(|member| Arc::clone(&member.typed).downcast::<Local<A>>().ok());
        typed.map(Handle::here).collect()
    }

    /// The members of a group, whatever their type, oldest first.
    #[must_use]
    pub fn group_members(&self, group: &GroupName) -> Vec<Arc<dyn Inbox>> {
        let state = self.groups().lock();
        let members = state.by_name.get(group).into_iter().flat_map(|group| group.members.values());
        members.map(|member| Arc::clone(&member.inbox)).collect()
    }

    /// The groups that somebody is in, by name.
    #[must_use]
    pub fn groups_joined(&self) -> Vec<GroupName> {
        let state = self.groups().lock();
        let joined = state.by_name.iter().filter(|(_, group)| !group.members.is_empty());
        joined.map(|(name, _)| name.clone()).collect()
    }

    /// Tells all members of a group that are of type `A` what `call` says, without waiting for anything.
    pub fn broadcast<A: Actor, Q: Request<A>>(
        &self,
        group: &GroupName,
        mut call: impl for<'a> FnMut(&'a Handle<A>) -> Call<'a, A, Q>,
    ) -> Broadcast {
        let mut report = Broadcast::default();
        for member in self.members::<A>(group) {
            match call(&member).try_tell() {
                Ok(()) => report.sent += 1,
                Err(TryTellError::Full(_)) => report.full += 1,
                Err(_) => report.dead += 1,
            }
        }
        report
    }

    /// Has `notify` called whenever an actor joins the group, leaves it, or ends in it: in that order, by
    /// whoever did it or found it out. It must not block, and may do to groups what it likes. The group need
    /// not exist.
    ///
    /// # Errors
    /// Where a limit is reached: [`GROUPS_MAX`], [`GROUP_WATCHERS_MAX`].
    pub fn watch_group(
        &self,
        group: &GroupName,
        notify: impl Fn(&GroupEvent) + Send + Sync + 'static,
    ) -> Result<GroupWatch, GroupError> {
        self.groups().watch(group, Arc::new(notify))
    }

    /// Ends the watching of a group. What is being told at this moment is told.
    pub fn unwatch_group(&self, group: &GroupName, watch: MonitorId) {
        self.groups().unwatch(group, watch);
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().by_name.keys()).finish()
    }
}
