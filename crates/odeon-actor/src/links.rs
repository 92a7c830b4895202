//! Links between actors: who is linked to an actor ends when that one ends abnormally.
//!
//! A link has two sides, and each is a monitor on the other actor. A side owns its place among the links of its
//! actor; while it does, the other's end has its place in the control lane. An end that comes for a side that was
//! taken back meanwhile is not heard.
//!
//! # Invariants
//!
//! - Two actors are linked once, however often they ask.
//! - A side hears of one end, and is gone with it.
//! - A reason names the actor whose end began it: it does not grow from link to link.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use odeon_core::{ActorId, ExitReason, Reference, ServerId};

use crate::actor::Actor;
use crate::cx::Cx;
use crate::handle::{Handle, Route, Target};
use crate::inbox::Inbox;
use crate::life::{Down, MonitorId};
use crate::system::Switch;

/// Most links of one actor. With its monitors, timers and pings their notices fit into its control lane at once.
pub(crate) const LINKS_MAX: usize = 8_192;

/// One of the two actors has as many links, or monitors on it, as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an actor has at most {LINKS_MAX} links, and one to be linked to has no more room for monitors")]
pub struct TooManyLinks;

/// The actor at the other end of a link, as this end knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Linked {
    /// Its server, if not this one.
    pub server: Option<ServerId>,
    /// The actor.
    pub actor: ActorId,
}

impl Linked {
    fn here(number: u64) -> Self {
        Self { server: None, actor: ActorId::Number(number) }
    }
}

impl From<&Reference> for Linked {
    fn from(reference: &Reference) -> Self {
        Self { server: Some(reference.server.clone()), actor: reference.actor.clone() }
    }
}

impl fmt::Display for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Some(server) => write!(f, "{server}:{}", self.actor),
            None => write!(f, "actor {}", self.actor),
        }
    }
}

/// Lets go of a side's monitor.
pub type LetGo = Box<dyn FnOnce() + Send>;

/// The links of one actor.
#[derive(Default)]
pub(crate) struct Links {
    last: u64,
    sides: BTreeMap<Linked, (u64, Option<LetGo>)>,
    /// The other's end is a notice, whatever it is.
    pub(crate) are_trapped: bool,
}

impl Links {
    /// A new side, by its number; none if the two are linked already.
    pub(crate) fn begin(&mut self, other: &Linked) -> Result<Option<u64>, TooManyLinks> {
        if self.sides.contains_key(other) {
            return Ok(None);
        }
        if self.sides.len() >= LINKS_MAX {
            return Err(TooManyLinks);
        }
        self.last += 1;
        self.sides.insert(other.clone(), (self.last, None));
        Ok(Some(self.last))
    }

    /// Keeps how the side's monitor is let go; hands it back if the side is gone already.
    pub(crate) fn keep(&mut self, other: &Linked, number: u64, let_go: LetGo) -> Option<LetGo> {
        match self.sides.get_mut(other) {
            Some((is, slot)) if *is == number => slot.replace(let_go),
            _ => Some(let_go),
        }
    }

    /// Takes a side out, if it is still that one.
    pub(crate) fn take(&mut self, other: &Linked, number: u64) -> bool {
        let is_it = self.sides.get(other).is_some_and(|(is, _)| *is == number);
        is_it && self.sides.remove(other).is_some()
    }

    /// Takes the side toward `other` out, whichever it is; whether there was one.
    pub(crate) fn remove(&mut self, other: &Linked) -> (bool, Option<LetGo>) {
        self.sides.remove(other).map_or((false, None), |(_, let_go)| (true, let_go))
    }

    /// Takes all sides out.
    pub(crate) fn remove_all(&mut self) -> Vec<LetGo> {
        std::mem::take(&mut self.sides).into_values().filter_map(|(_, let_go)| let_go).collect()
    }
}

/// The end of a linked actor, on its way to the actor that is to hear of it.
pub(crate) struct LinkEnd {
    pub(crate) other: Linked,
    pub(crate) number: u64,
    pub(crate) down: Down,
}

/// Why an actor ends whose linked actor has ended so.
fn consequence(other: &Linked, reason: &ExitReason) -> ExitReason {
    match reason {
        // Whose end it was is said already.
        ExitReason::Linked { .. } => reason.clone(),
        // Nobody knows whether it was an end.
        ExitReason::LinkLost(why) => ExitReason::LinkLost(format!("of {other}: {why}")),
        ExitReason::NotMonitored(why) => ExitReason::NotMonitored(format!("{other}: {why}")),
        reason => ExitReason::Linked { actor: other.to_string(), why: reason.to_string() },
    }
}

type Notify = Box<dyn FnOnce(Down) + Send>;

/// One side: `mine` hears of the end of `other`, on which `monitor` sets a monitor. Whether there was none.
fn side(
    mine: &Arc<dyn Inbox>,
    other: Linked,
    monitor: impl FnOnce(Notify) -> Option<(MonitorId, LetGo)>,
) -> Result<bool, TooManyLinks> {
    let Some(number) = mine.begin_link(&other)? else {
        return Ok(false);
    };
    let (told, of) = (Arc::clone(mine), other.clone());
    let notify = Box::new(move |down| told.link_ended(of, number, down));
    match monitor(notify) {
        Some((_, let_go)) => {
            mine.keep_link(&other, number, let_go);
            Ok(true)
        }
        None => {
            mine.end_link(&other);
            Err(TooManyLinks)
        }
    }
}

/// One side, toward an actor of this process.
fn side_here(mine: &Arc<dyn Inbox>, other: &Arc<dyn Inbox>) -> Result<bool, TooManyLinks> {
    side(mine, Linked::here(other.number()), |notify| {
        let monitor = other.monitor(notify).ok()?;
        let other = Arc::clone(other);
        Some((monitor, Box::new(move || other.demonitor(monitor))))
    })
}

/// One side, toward an actor that is reached over `route`. For whoever answers another server's wish to link: the
/// other side is made there.
///
/// # Errors
/// When the actor has too many links.
pub fn link_side(mine: &Arc<dyn Inbox>, to: &Reference, route: &Arc<dyn Route>) -> Result<(), TooManyLinks> {
    side(mine, Linked::from(to), |notify| {
        let monitor = MonitorId::fresh();
        route.monitor(to, monitor, notify);
        let route = Arc::clone(route);
        Some((monitor, Box::new(move || route.demonitor(monitor))))
    })
    .map(drop)
}

/// Links two actors of this process.
///
/// # Errors
/// When one of them has too many links, or monitors; then they are not linked.
pub fn link_here(one: &Arc<dyn Inbox>, other: &Arc<dyn Inbox>) -> Result<(), TooManyLinks> {
    if one.number() == other.number() {
        return Ok(());
    }
    let is_new = side_here(one, other)?;
    side_here(other, one).map(drop).inspect_err(|_| {
        if is_new {
            one.end_link(&Linked::here(other.number()));
        }
    })
}

/// Takes back one side toward an actor of another server.
pub fn unlink_side(mine: &Arc<dyn Inbox>, to: &Reference) {
    mine.end_link(&Linked::from(to));
}

/// Takes back both sides of a link between two actors of this process.
pub fn unlink_here(one: &Arc<dyn Inbox>, other: &Arc<dyn Inbox>) {
    one.end_link(&Linked::here(other.number()));
    other.end_link(&Linked::here(one.number()));
}

impl<A: Actor> Cx<A> {
    fn inbox(&self) -> Arc<dyn Inbox> {
        Arc::clone(self.local()) as _
    }

    /// Links this actor and `other`: when one of them ends abnormally, so does the other, after the message it is
    /// handling, with [`ExitReason::Linked`]. A normal end (returned, stopped, drained) ends the link and nothing else.
    /// If `other` has ended already, this is its end. Linking twice is linking once, and nobody is linked to itself.
    ///
    /// An actor of another server hears of it by a message, for which this server needs the capability `shutdown`
    /// there. When that is refused, or when the way between the two servers is lost, each ends with
    /// [`ExitReason::LinkLost`]: nobody on its side can know what became of the other.
    ///
    /// A link belongs to the actor, not to its incarnation: one that its supervisor starts again has not ended.
    ///
    /// ```
    /// # extern crate odeon_actor as odeon;
    /// use odeon::{Cx, ExitReason, Handle, System, actor};
    ///
    /// struct Reader;
    /// # #[actor]
    /// # impl Reader {
    /// #     #[handle]
    /// #     fn fall(&mut self) { panic!("ouch") }
    /// # }
    /// struct Writer(Handle<Reader>);
    ///
    /// #[actor]
    /// impl Writer {
    ///     #[started]
    ///     fn begin(&mut self, cx: &mut Cx<Self>) -> Result<(), odeon::TooManyLinks> {
    ///         cx.link(&self.0) // one of them alone is of no use
    ///     }
    /// #   #[handle]
    /// #   fn write(&mut self) {}
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let system = System::new();
    /// let reader = system.spawn(Reader);
    /// let writer = system.spawn(Writer(reader.clone()));
    /// writer.write().await?;
    /// reader.fall().tell().await?;
    /// assert!(matches!(writer.ended().await, ExitReason::Linked { .. }));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When one of the two has too many links.
    pub fn link<B: Actor>(&self, other: &Handle<B>) -> Result<(), TooManyLinks> {
        let me = self.inbox();
        match &other.0 {
            Target::There(there) => {
                let (to, other) = (&there.reference, Linked::from(&there.reference));
                let is_new = side(&me, other.clone(), |notify| {
                    let monitor = MonitorId::fresh();
                    there.route.monitor(to, monitor, notify);
                    let route = Arc::clone(&there.route);
                    Some((monitor, Box::new(move || route.demonitor(monitor))))
                })?;
                if is_new {
                    let lost = lost(&me, other, to);
                    there.route.link(to, &me, lost);
                }
                Ok(())
            }
            _ => self.inbox_of(other).map_or(Ok(()), |other| link_here(&me, &other)),
        }
    }

    /// Takes a link back: from now on this actor does not hear of `other`'s end. An actor of this process does not hear
    /// of this one's either; one of another server does not once it has been told, which is before it could hear of an
    /// end that comes later.
    pub fn unlink<B: Actor>(&self, other: &Handle<B>) {
        let me = self.inbox();
        match &other.0 {
            Target::There(there) => {
                unlink_side(&me, &there.reference);
                there.route.unlink(&there.reference, me.number());
            }
            _ => self.inbox_of(other).iter().for_each(|other| unlink_here(&me, other)),
        }
    }

    /// Whether the end of a linked actor comes as a notice instead, to [`Actor::down`] as of a monitor, whatever its
    /// reason. What was trapped and not yet heard stays a notice.
    pub fn trap_links(&self, trap: Switch) {
        self.local().life.links(|links| links.are_trapped = trap == Switch::On);
    }

    /// Whose life a handle of this process depends on; nobody's, if it is a mock's.
    fn inbox_of<B: Actor>(&self, other: &Handle<B>) -> Option<Arc<dyn Inbox>> {
        match &other.0 {
            Target::Here(local) => Some(Arc::clone(local) as _),
            Target::Via(via) => {
                let number = via.life()?.number();
                let found = via.system().unwrap_or_else(|| self.system()).inbox_by_number(number);
                if found.is_none() {
                    // Nobody finds it any more, so it has ended.
                    let (server, actor) = (None, ActorId::Number(number));
                    let reason = via.life()?.exit_reason()?;
                    let down = Down { monitor: MonitorId::fresh(), server, actor, reason };
                    end_now(&self.inbox(), Linked::here(number), down);
                }
                found
            }
            Target::There(_) => None,
        }
    }

    /// The end of a linked actor, if the link still is: a notice, if links are trapped; else what follows is set.
    pub(crate) fn hear_link(&mut self, end: LinkEnd) -> Option<Down> {
        let LinkEnd { other, number, down } = end;
        let (is_wanted, is_trapped) =
            self.local().life.links(|links| (links.take(&other, number), links.are_trapped));
        if !is_wanted {
            return None;
        }
        if is_trapped {
            return Some(down);
        }
        if down.reason.is_abnormal() {
            self.end(consequence(&other, &down.reason));
        }
        None
    }
}

/// What is done when the other server does not make its side.
fn lost(me: &Arc<dyn Inbox>, other: Linked, to: &Reference) -> Box<dyn FnOnce(ExitReason) + Send> {
    let (me, to) = (Arc::clone(me), to.clone());
    Box::new(move |reason| {
        if me.end_link(&other) {
            let down = Down { monitor: MonitorId::fresh(), server: Some(to.server), actor: to.actor, reason };
            end_now(&me, other, down);
        }
    })
}

/// The link to `other` begins and ends.
fn end_now(me: &Arc<dyn Inbox>, other: Linked, down: Down) {
    if let Ok(Some(number)) = me.begin_link(&other) {
        me.link_ended(other, number, down);
    }
}
