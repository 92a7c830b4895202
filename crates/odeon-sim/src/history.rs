//! What the application saw, and whether it may have seen that.
//!
//! The workload records what it sends, receives, watches and hears; [`check`] reads the record afterwards and
//! names every promise that was broken. It is pure, so that a forged record can be put before it.
//!
//! A message may be lost only if its sender was told: its ask failed, or its monitor on the receiver went off no
//! earlier than the message was taken; and before a later message was taken that reached the same receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use odeon_core::Instant;

use crate::world::Simulation;

/// How much later than its deadline an ask may end: timers count in whole milliseconds.
pub const ASK_SLACK: Duration = Duration::from_millis(2);

/// How long a tell may wait for a link: a lookup, an attempt at each address, a handshake; and a link that is
/// full and dead is noticed after 20 s.
pub const TELL_TIME_MAX: Duration = Duration::from_secs(60);

/// How far the notice of a loss and the first message after it may be out of order: a monitor that went off is
/// set again a millisecond later, and both wait for the same link.
const NOTICE_SLACK: Duration = Duration::from_millis(20);

/// When all servers run; who looks for one earlier does not find it.
const UP_AFTER: Duration = Duration::from_secs(2);

/// One incarnation of a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    /// The server's name.
    pub server: String,
    /// Its epoch.
    pub epoch: u64,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.server, self.epoch)
    }
}

/// All that one task sends to one server's worker; its messages are numbered 1, 2, 3, ….
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// Where the task runs.
    pub sender: Life,
    /// Which of the tasks there it is.
    pub lane: String,
    /// The server it sends to.
    pub target: String,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}>{}", self.sender, self.lane, self.target)
    }
}

/// How sending one message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A tell was taken by the link.
    Taken,
    /// An ask was answered.
    Answered,
    /// An error, told to the sender.
    Failed,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A message is handed over for sending; it must have ended by then.
    Sent(Flow, u64, Instant),
    /// Sending it ended.
    Ended(Flow, u64, Outcome),
    /// The worker of a server, known by its number there, handles a message of a flow, which came from a server
    /// of this epoch.
    Received {
        /// The message's flow, as its text says.
        flow: String,
        /// Its number.
        seq: u64,
        /// The server it arrived at.
        at: Life,
        /// The worker's number there.
        worker: u64,
        /// The incarnation that the link proved.
        from: Life,
    },
    /// A monitor is set by a server on another's worker.
    Watched(u64, Life, String),
    /// It went off.
    Told(u64),
    /// It went off because the link was lost, or there was none.
    ToldOfLink(u64),
    /// A tell that this server has sent to another may be lost, as its dead letters say.
    MaybeLost(Life, String),
    /// A server vanished with all that ran on it.
    Crashed(Life),
    /// From now on something must work again within the time given.
    Wanted(String, Duration),
    /// It does.
    Works(String),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(flow, seq, _) => write!(f, "{flow} #{seq} sent"),
            Self::Ended(flow, seq, outcome) => write!(f, "{flow} #{seq} {outcome:?}"),
            Self::Received { flow, seq, at, worker, from } => {
                write!(f, "{flow} #{seq} received at {at}:{worker} from {from}")
            }
            Self::Watched(watch, by, target) => write!(f, "watch {watch} of {by} on {target}"),
            Self::Told(watch) => write!(f, "watch {watch} told"),
            Self::ToldOfLink(watch) => write!(f, "watch {watch} told of the link"),
            Self::MaybeLost(by, target) => write!(f, "a tell of {by} to {target} may be lost"),
            Self::Crashed(life) => write!(f, "{life} crashed"),
            Self::Wanted(what, _) => write!(f, "wanted: {what}"),
            Self::Works(what) => write!(f, "works: {what}"),
        }
    }
}

/// Takes the record, and puts it into the trace as well. Clones record into one history.
#[derive(Debug, Clone)]
pub struct Recorder {
    world: Simulation,
    events: Arc<Mutex<Vec<(Instant, What)>>>,
}

impl Recorder {
    /// An empty record.
    #[must_use]
    pub fn new(world: Simulation) -> Self {
        Self { world, events: Arc::default() }
    }

    /// Adds what happens now.
    pub fn record(&self, what: What) {
        self.world.note("history", format_args!("{what}"));
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push((self.world.now(), what));
    }

    /// The record so far.
    #[must_use]
    pub fn events(&self) -> Vec<(Instant, What)> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Every promise that was broken, as a sentence each. The record is complete: nothing runs any more.
#[must_use]
pub fn check(events: &[(Instant, What)]) -> Vec<String> {
    let facts = Facts::gather(events);
    let mut broken = Vec::new();
    facts.once_and_in_order(&mut broken);
    facts.everything_ends(&mut broken);
    facts.nothing_is_lost_in_silence(&mut broken);
    facts.asks_end_with_their_link(&mut broken);
    facts.every_monitor_is_told_once(&mut broken);
    facts.epochs_never_go_back(&mut broken);
    facts.what_is_wanted_works(&mut broken);
    broken
}

/// What is broken of a promise that holds where no receiver ends: as many tells as were taken and lost are dead letters
/// of their sender. (What a receiver had taken, and lost with its life, its sender cannot know.)
#[must_use]
pub fn check_letters(events: &[(Instant, What)]) -> Vec<String> {
    let facts = Facts::gather(events);
    let mut lost: BTreeMap<(&Life, &str), usize> = BTreeMap::new();
    for ((flow, _), message) in &facts.messages {
        let is_lost = message.received.is_empty() && matches!(message.ended, Some((_, Outcome::Taken)));
        if let Some(flow) = facts.flows.get(flow).filter(|_| is_lost) {
            *lost.entry((&flow.sender, &flow.target)).or_default() += 1;
        }
    }
    lost.into_iter()
        .filter_map(|((by, target), count)| {
            let told = facts.maybe_lost.get(&(by, target)).copied().unwrap_or(0);
            let text = || format!("{count} tells of {by} to {target} were lost, and {told} are dead letters");
            (told < count).then(text)
        })
        .collect()
}

/// What is broken of a promise that holds where nothing goes wrong: no link is lost.
#[must_use]
pub fn check_calm(events: &[(Instant, What)]) -> Vec<String> {
    let is_calm = |(_, what): &&(Instant, What)| !matches!(what, What::Wanted(..));
    let is_up = |(at, _): &&(Instant, What)| *at > Instant::ZERO + UP_AFTER;
    let lasting = events.iter().take_while(is_calm).filter(is_up);
    let told = lasting.filter(|(_, what)| matches!(what, What::ToldOfLink(_)));
    told.map(|(at, what)| format!("{what} at {at:?}, and nothing had gone wrong")).collect()
}

/// How long it took until everything that was wanted worked; nothing, unless everything did.
#[must_use]
pub fn healed(events: &[(Instant, What)]) -> Option<Duration> {
    let mut took = Duration::ZERO;
    let mut wanted = BTreeMap::new();
    for (now, what) in events {
        match what {
            What::Wanted(what, _) => drop(wanted.insert(what, *now)),
            What::Works(what) => took = took.max(wanted.remove(what).map_or(Duration::ZERO, |at| *now - at)),
            _ => {}
        }
    }
    wanted.is_empty().then_some(took)
}

#[derive(Debug, Default)]
struct Message<'a> {
    sent: Option<Instant>,
    by: Instant,
    ended: Option<(Instant, Outcome)>,
    /// At which server, by which worker.
    received: Vec<(&'a Life, u64)>,
}

#[derive(Debug)]
struct Arrival<'a> {
    flow: &'a str,
    seq: u64,
    at: &'a Life,
    worker: u64,
    from: &'a Life,
}

#[derive(Debug, Default)]
struct Facts<'a> {
    /// By the flow's text and the message's number.
    messages: BTreeMap<(String, u64), Message<'a>>,
    flows: BTreeMap<String, &'a Flow>,
    arrivals: Vec<Arrival<'a>>,
    watches: BTreeMap<u64, (&'a Life, &'a str, Vec<Instant>)>,
    crashes: BTreeMap<&'a Life, Instant>,
    wanted: Vec<(&'a str, Instant, Option<Instant>)>,
    /// Whose link with whom was lost when.
    losses: Vec<(&'a Life, &'a str, Instant)>,
    /// How many tells the dead letters of a server name as perhaps lost, by whom they were for.
    maybe_lost: BTreeMap<(&'a Life, &'a str), usize>,
    broken: Vec<String>,
}

impl<'a> Facts<'a> {
    fn gather(events: &'a [(Instant, What)]) -> Self {
        let mut facts = Self::default();
        for (now, what) in events {
            facts.add(*now, what);
        }
        facts
    }

    fn add(&mut self, now: Instant, what: &'a What) {
        match what {
            What::Sent(flow, seq, by) => {
                let message = self.messages.entry((flow.to_string(), *seq)).or_default();
                (message.sent, message.by) = (Some(now), *by);
                self.flows.insert(flow.to_string(), flow);
            }
            What::Ended(flow, seq, outcome) => {
                let message = self.messages.entry((flow.to_string(), *seq)).or_default();
                if message.ended.replace((now, *outcome)).is_some() {
                    self.broken.push(format!("{flow} #{seq} ended twice"));
                }
            }
            What::Received { flow, seq, at, worker, from } => {
                let message = self.messages.entry((flow.clone(), *seq)).or_default();
                message.received.push((at, *worker));
                let (seq, worker) = (*seq, *worker);
                self.arrivals.push(Arrival { flow, seq, at, worker, from });
            }
            What::Watched(watch, by, target) => {
                self.watches.insert(*watch, (by, target, Vec::new()));
            }
            What::MaybeLost(by, target) => *self.maybe_lost.entry((by, target)).or_default() += 1,
            What::Told(watch) | What::ToldOfLink(watch) => match self.watches.get_mut(watch) {
                Some((by, target, told)) => {
                    told.push(now);
                    if matches!(what, What::ToldOfLink(_)) {
                        self.losses.push((by, target, now));
                    }
                }
                None => self.broken.push(format!("watch {watch} was told and never set")),
            },
            What::Crashed(life) => drop(self.crashes.insert(life, now)),
            What::Wanted(what, within) => self.wanted.push((what, now + *within, None)),
            What::Works(what) => {
                let wanted = self.wanted.iter_mut().find(|(wanted, ..)| wanted == what);
                if let Some((_, _, works)) = wanted {
                    works.get_or_insert(now);
                }
            }
        }
    }

    fn once_and_in_order(&self, broken: &mut Vec<String>) {
        broken.extend(self.broken.iter().cloned());
        for ((flow, seq), message) in &self.messages {
            if message.received.len() > 1 {
                broken.push(format!("{flow} #{seq} was received {} times", message.received.len()));
            }
            if message.sent.is_none() {
                broken.push(format!("{flow} #{seq} was received and never sent"));
            }
            let answered = message.ended.is_some_and(|(_, outcome)| outcome == Outcome::Answered);
            if answered && message.received.is_empty() {
                broken.push(format!("{flow} #{seq} was answered and never received"));
            }
        }
        let mut last: BTreeMap<(&str, &Life, u64), u64> = BTreeMap::new();
        for arrival in &self.arrivals {
            let before = last.insert((arrival.flow, arrival.at, arrival.worker), arrival.seq);
            if let Some(before) = before.filter(|before| *before > arrival.seq) {
                let Arrival { flow, seq, at, .. } = arrival;
                broken.push(format!("{flow} #{seq} was received at {at} after #{before}"));
            }
        }
    }

    fn everything_ends(&self, broken: &mut Vec<String>) {
        for ((flow, seq), message) in &self.messages {
            let crashed = self.flows.get(flow).and_then(|flow| self.crashes.get(&flow.sender));
            match message.ended {
                Some((at, _)) if at > message.by => {
                    broken.push(format!("{flow} #{seq} ended {:?} too late", at - message.by));
                }
                Some(_) => {}
                None if crashed.is_some_and(|crashed| *crashed <= message.by) => {}
                None => broken.push(format!("{flow} #{seq} never ended")),
            }
        }
    }

    fn nothing_is_lost_in_silence(&self, broken: &mut Vec<String>) {
        for ((flow, seq), message) in &self.messages {
            let Some((ended, Outcome::Taken)) = message.ended else { continue };
            if message.received.is_empty() {
                let by = self.told_by(flow, *seq);
                let is_told = |at| at + NOTICE_SLACK >= ended && by.is_none_or(|by| at <= by + NOTICE_SLACK);
                if !self.notices(flow).any(is_told) {
                    broken.push(format!("{flow} #{seq} was taken and lost, and nobody was told"));
                }
            }
        }
    }

    /// By when the loss of a message must have been told: the moment at which the next one that arrived was
    /// taken, if that came to the same worker as the last one before. Else the worker had ended, and the notice
    /// of that may be late, or lost with the link, whose end is then told.
    fn told_by(&self, flow: &str, seq: u64) -> Option<Instant> {
        let of = |seq| (flow.to_owned(), seq);
        let arrived = |(_, message): &(&(String, u64), &Message<'_>)| !message.received.is_empty();
        let (_, last) = self.messages.range(of(0)..of(seq)).rfind(arrived)?;
        let (_, next) = self.messages.range(of(seq + 1)..=of(u64::MAX)).find(arrived)?;
        let (ended, _) = next.ended?;
        (last.received.last() == next.received.first()).then_some(ended)
    }

    /// When the senders of a flow were told that the way to its target, or the target, was lost.
    fn notices<'b>(&'b self, flow: &str) -> impl Iterator<Item = Instant> + 'b {
        let flow = self.flows.get(flow).copied();
        let told = self.watches.values().filter(move |(by, target, _)| {
            flow.is_some_and(|flow| flow.sender == **by && flow.target == **target)
        });
        let crashed = flow.and_then(|flow| self.crashes.get(&flow.sender)).copied();
        told.flat_map(|(_, _, told)| told.iter().copied()).chain(crashed)
    }

    /// An ask that is under way when its link is lost ends then, and not at its deadline.
    fn asks_end_with_their_link(&self, broken: &mut Vec<String>) {
        for (by, target, lost) in &self.losses {
            for ((flow, seq), message) in &self.messages {
                let is_on_it =
                    self.flows.get(flow).is_some_and(|flow| flow.sender == **by && flow.target == *target);
                let was_sent = message.sent.is_some_and(|sent| sent + NOTICE_SLACK < *lost);
                let ends_late = message.ended.is_some_and(|(at, _)| at > *lost + NOTICE_SLACK);
                if is_on_it && was_sent && ends_late {
                    broken.push(format!("{flow} #{seq} outlived its link"));
                }
            }
        }
    }

    fn every_monitor_is_told_once(&self, broken: &mut Vec<String>) {
        for (watch, (by, target, told)) in &self.watches {
            let what = format!("watch {watch} of {by} on {target}");
            match told.len() {
                0 if self.crashes.contains_key(by) => {}
                0 => broken.push(format!("{what} was never told")),
                1 => {}
                n => broken.push(format!("{what} was told {n} times")),
            }
        }
    }

    fn epochs_never_go_back(&self, broken: &mut Vec<String>) {
        let mut seen: BTreeMap<(&Life, &str), u64> = BTreeMap::new();
        let mut named = BTreeSet::new();
        for Arrival { at, from, .. } in &self.arrivals {
            let highest = seen.entry((at, &from.server)).or_default();
            if from.epoch < *highest && named.insert((at, from)) {
                broken.push(format!("{at} heard {from} after epoch {highest}"));
            }
            *highest = from.epoch.max(*highest);
        }
    }

    fn what_is_wanted_works(&self, broken: &mut Vec<String>) {
        for (what, by, works) in &self.wanted {
            match works {
                Some(at) if at <= by => {}
                Some(at) => broken.push(format!("{what}: worked {:?} too late", *at - *by)),
                None => broken.push(format!("{what}: never worked again")),
            }
        }
    }
}
