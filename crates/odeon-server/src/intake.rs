//! What the peer sends to our actors, until they have taken it.
//!
//! A message whose actor has room goes straight into the mailbox. Where there is none, the first message of the flow
//! stands in the mailbox's line, like any local sender's, and the rest wait here, encoded, in order: no more than
//! the credit that the peer was given. So a slow actor holds up its own flow and no other. Of all that the mailboxes
//! have taken the session is told once per round.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Wake, Waker};

use odeon_actor::{AskError, Delivery, Inbox, Payload, ReplySink, Sender, Ticket};
use odeon_core::{ActorId, ExitReason, Fingerprint, Mark, Protocol, Refusal, RefusalCode};
use odeon_wire::{Arrival, Event};

use crate::events::contained;
use crate::link::Link;

/// Places of the table of flows and of a queue that are kept while nothing waits.
const KEPT_MAX: usize = 64;

/// The flows whose line has moved.
#[derive(Debug, Default)]
pub(crate) struct Moved(Mutex<Vec<u32>>);

impl Moved {
    fn take(&self) -> Vec<u32> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Woken when the fate of the message at the head of a flow is decided.
struct Head {
    link: Weak<Link>,
    flow: u32,
}

impl Wake for Head {
    fn wake(self: Arc<Self>) {
        if let Some(link) = self.link.upgrade() {
            link.moved.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.flow);
            link.work.notify_one();
        }
    }
}

/// One flow of the peer's.
#[derive(Debug)]
struct Flow {
    to: ActorId,
    /// The actor, once it was found. Looked for anew when it has ended: another may have its name.
    inbox: Option<Arc<dyn Inbox>>,
    waker: Waker,
    line: Option<InLine>,
    waiting: VecDeque<Waiting>,
    taken: u64,
    taken_cost: u64,
    is_dirty: bool,
}

/// A message in the mailbox's line.
#[derive(Debug)]
struct InLine {
    inbox: Arc<dyn Inbox>,
    ticket: Ticket,
    from: u64,
    cost: u64,
    waker: Waker,
}

/// What waits behind it.
#[derive(Debug)]
enum Waiting {
    Message(Arrival),
    /// Of a message that the session refused, the cost.
    Skipped(u64),
}

impl Waiting {
    /// The number of the actor that sent it.
    const fn from(&self) -> Option<u64> {
        match self {
            Self::Message(arrival) => Some(arrival.from),
            Self::Skipped(_) => None,
        }
    }
}

/// A notice that an actor has ended, which its messages come before.
#[derive(Debug)]
struct HeldDown {
    monitor_id: u64,
    reason: ExitReason,
}

/// A type of message.
#[derive(Debug)]
struct Type {
    mark: Mark,
    /// By which the peer knows it.
    fingerprint: Option<Fingerprint>,
    /// The protocol in which it was last looked for, and its place there.
    protocol: Option<&'static Protocol>,
    method: Option<usize>,
}

impl Type {
    /// Looks for it in the protocol of its receiver, unless it was found there the last time.
    fn look_up(&mut self, protocol: Option<&'static Protocol>) {
        let is_same = match (self.protocol, protocol) {
            (Some(known), Some(protocol)) => std::ptr::eq(known, protocol),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            let methods = protocol.iter().flat_map(|protocol| protocol.methods);
            self.method = methods.clone().position(|method| method.mark == self.mark.as_str());
            self.protocol = protocol;
        }
    }
}

/// The actor that a message goes to, who is woken when it has stood in line, and its type.
type Receiver<'a> = (&'a Arc<dyn Inbox>, &'a Waker, Option<&'a Type>);

/// Everything that has come over one link and has not been taken. The driver's own.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// By number.
    types: Vec<Type>,
    flows: Vec<Option<Flow>>,
    /// Flows of which the session is to be told something.
    dirty: Vec<u32>,
    /// Messages that wait, over all flows.
    waiting: usize,
    held: HeldDowns,
}

/// The notices that wait for messages, by the number of the actor that sent these and has ended. A peer may have tens
/// of thousands of both, so nothing is searched for.
#[derive(Debug, Default)]
struct HeldDowns {
    /// How many messages of each actor wait.
    waiting: BTreeMap<u64, usize>,
    downs: BTreeMap<u64, Vec<HeldDown>>,
    /// Actors of which the last message that waited has gone on, with notices.
    due: Vec<u64>,
}

impl HeldDowns {
    fn waits(&mut self, from: u64) {
        *self.waiting.entry(from).or_default() += 1;
    }

    fn goes_on(&mut self, from: u64) {
        let Some(many) = self.waiting.get_mut(&from) else {
            return;
        };
        *many -= 1;
        if *many == 0 {
            self.waiting.remove(&from);
            if self.downs.contains_key(&from) {
                self.due.push(from);
            }
        }
    }

    /// Whether a message from this actor of the peer's waits.
    fn waits_from(&self, from: u64) -> bool {
        self.waiting.contains_key(&from)
    }

    fn hold(&mut self, number: u64, down: HeldDown) {
        self.downs.entry(number).or_default().push(down);
    }

    /// The notices for which nothing waits any more. A message that went on may have had to wait again.
    fn take_due(&mut self) -> Vec<HeldDown> {
        let mut due = Vec::new();
        for number in std::mem::take(&mut self.due) {
            if !self.waits_from(number) {
                due.extend(self.downs.remove(&number).into_iter().flatten());
            }
        }
        due
    }

    /// Nothing waits any more: all notices.
    fn take_all(&mut self) -> Vec<HeldDown> {
        std::mem::take(self).downs.into_values().flatten().collect()
    }
}

impl Intake {
    /// Acts on an event of the peer's messages; gives others back.
    pub(crate) fn take(&mut self, link: &Arc<Link>, event: Event) -> Option<Event> {
        match event {
            Event::Message(arrival) => self.arrived(link, arrival.flow, Waiting::Message(arrival)),
            Event::Skipped { flow, cost } => self.arrived(link, flow, Waiting::Skipped(cost)),
            Event::Defined { type_id, mark, fingerprint } => self.defined(link, type_id, mark, fingerprint),
            Event::Opened { flow, to } => self.opened(link, flow, to),
            Event::FlowEnded { flow } => self.forget_if_empty(flow),
            Event::Down { monitor_id, reason, number: Some(number) } if self.held.waits_from(number) => {
                self.held.hold(number, HeldDown { monitor_id, reason });
            }
            other => return Some(other),
        }
        None
    }

    /// The peer may leave the names out where it has the fingerprint that we have.
    fn defined(&mut self, link: &Link, type_id: u32, mark: Mark, fingerprint: Option<u64>) {
        let fingerprint = fingerprint.map(Fingerprint::from_u64);
        if fingerprint.is_some() && link.server.fingerprints().get(mark.as_str()) == fingerprint {
            link.with_session(|session| session.agree(type_id));
        }
        self.types.push(Type { mark, fingerprint, protocol: None, method: None });
    }

    fn opened(&mut self, link: &Arc<Link>, number: u32, to: ActorId) {
        let head = Head { link: Arc::downgrade(link), flow: number };
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        if index >= self.flows.len() {
            self.flows.resize_with(index + 1, || None);
        }
        self.flows[index] = Some(Flow {
            to,
            inbox: None,
            waker: Waker::from(Arc::new(head)),
            line: None,
            waiting: VecDeque::new(),
            taken: 0,
            taken_cost: 0,
            is_dirty: false,
        });
    }

    fn flow_mut(&mut self, number: u32) -> Option<&mut Flow> {
        self.flows.get_mut(usize::try_from(number).ok()?)?.as_mut()
    }

    /// The sender is done with a flow. One of which something waits goes when its number is used again.
    fn forget_if_empty(&mut self, number: u32) {
        let is_empty =
            self.flow_mut(number).is_some_and(|flow| flow.line.is_none() && flow.waiting.is_empty());
        if is_empty && let Some(flow) = self.flow_mut(number) {
            flow.inbox = None;
        }
    }

    fn arrived(&mut self, link: &Arc<Link>, number: u32, message: Waiting) {
        let Some(flow) = self.flow_mut(number) else {
            return;
        };
        if flow.line.is_none() && flow.waiting.is_empty() {
            self.next(link, number, message);
        } else {
            let from = message.from();
            flow.waiting.push_back(message);
            self.waiting += 1;
            from.into_iter().for_each(|from| self.held.waits(from));
        }
    }

    /// It is a message's turn.
    fn next(&mut self, link: &Arc<Link>, number: u32, message: Waiting) {
        match message {
            Waiting::Skipped(cost) => self.taken(number, cost),
            Waiting::Message(arrival) => {
                if let Some(line) = self.deliver(link, &arrival) {
                    self.waiting += 1;
                    self.held.waits(line.from);
                    if let Some(flow) = self.flow_mut(number) {
                        flow.line = Some(line);
                    }
                } else {
                    self.taken(number, arrival.cost());
                }
            }
        }
    }

    fn taken(&mut self, number: u32, cost: u64) {
        let Some(flow) = self.flow_mut(number) else {
            return;
        };
        flow.taken += 1;
        flow.taken_cost += cost;
        if !std::mem::replace(&mut flow.is_dirty, true) {
            self.dirty.push(number);
        }
    }

    /// Delivers a message, or says where it stands.
    fn deliver(&mut self, link: &Arc<Link>, arrival: &Arrival) -> Option<InLine> {
        if arrival.ask_id.is_some_and(|ask| !link.is_wanted(ask)) {
            // The asker has given up, and was told so.
            return None;
        }
        match self.try_deliver(link, arrival) {
            Ok(line) => line,
            Err(refusal) => {
                link.count_refusal(&refusal);
                match arrival.ask_id {
                    Some(ask) => link.answer(ask, Err(AskError::Refused(refusal))),
                    None => link.with_session(|session| session.refuse_tell(refusal)),
                }
                None
            }
        }
    }

    fn try_deliver(&mut self, link: &Arc<Link>, arrival: &Arrival) -> Result<Option<InLine>, Refusal> {
        let Some(peer) = link.peer() else {
            return Err(Refusal::new(RefusalCode::Internal, "the link was not taken in"));
        };
        if link.is_silent() {
            link.server.carries(link);
        }
        let Some(_delivering) = link.delivering() else {
            let detail = "it came after later messages, which another link carried";
            return Err(Refusal::new(RefusalCode::Expired, detail));
        };
        let (inbox, waker, known) = self.inbox(link, arrival)?;
        let (mark, fingerprint) =
            known.as_ref().map_or(("", None), |known| (known.mark.as_str(), known.fingerprint));
        let delivery = Delivery {
            mark,
            method: known.as_ref().and_then(|known| known.method),
            payload: Payload { encoding: arrival.encoding, bytes: &arrival.payload },
            fingerprint,
            sender: Sender::remote(Arc::clone(peer), arrival.from),
            expires_at: arrival.expires_at,
            nonce: arrival.nonce,
            in_reply_to: arrival.in_reply_to,
            reply: arrival.ask_id.map(|ask| (Arc::clone(link) as Arc<dyn ReplySink>, ask)),
        };
        let delivered = contained("delivering a message", || inbox.deliver_or_wait(delivery, waker));
        let ticket = delivered.unwrap_or_else(|| {
            let detail = format!("{mark} panicked while it was decoded");
            Err(Refusal::new(RefusalCode::Internal, detail))
        })?;
        let (from, cost) = (arrival.from, arrival.cost());
        Ok(ticket.map(|ticket| InLine { inbox: Arc::clone(inbox), ticket, from, cost, waker: waker.clone() }))
    }

    /// The actor that a message goes to, who is woken when it has stood in line, and its type.
    fn inbox(&mut self, link: &Link, arrival: &Arrival) -> Result<Receiver<'_>, Refusal> {
        let flow = usize::try_from(arrival.flow).ok().and_then(|index| self.flows.get_mut(index)?.as_mut());
        let Some(flow) = flow else {
            return Err(Refusal::new(RefusalCode::Internal, "its flow is not open"));
        };
        if flow.inbox.as_ref().is_some_and(|inbox| inbox.is_over()) {
            flow.inbox = None;
        }
        let inbox = match &mut flow.inbox {
            Some(inbox) => inbox,
            // A hint is for whoever reads the answer, and a tell has none.
            none => match link.server.find_inbox(&flow.to) {
                Some(inbox) => none.insert(inbox),
                None => return Err(link.server.unknown(&flow.to, arrival.ask_id.is_some())),
            },
        };
        let known = usize::try_from(arrival.type_id).ok().and_then(|index| self.types.get_mut(index));
        let known = known.map(|known| {
            known.look_up(inbox.protocol());
            &*known
        });
        Ok((inbox, &flow.waker, known))
    }

    /// Goes on with the flows whose line has moved, and tells the session what has been taken.
    pub(crate) fn go_on(&mut self, link: &Arc<Link>) {
        if self.waiting > 0 {
            for number in link.moved.take() {
                self.moved(link, number);
            }
        }
        if !self.dirty.is_empty() {
            self.tell_session(link);
        }
    }

    fn tell_session(&mut self, link: &Link) {
        let now = link.server.clock().now();
        let mut state = link.state();
        for number in std::mem::take(&mut self.dirty) {
            let index = usize::try_from(number).unwrap_or(usize::MAX);
            if let Some(flow) = self.flows.get_mut(index).and_then(Option::as_mut) {
                flow.is_dirty = false;
                let (taken, cost) = (flow.taken, flow.taken_cost);
                (flow.taken, flow.taken_cost) = (0, 0);
                state.session.taken(number, taken, cost, now);
            }
        }
    }

    /// The head of a flow may be in.
    fn moved(&mut self, link: &Arc<Link>, number: u32) {
        let Some(flow) = self.flow_mut(number) else {
            return;
        };
        let Some(line) = flow.line.take() else {
            return;
        };
        if line.inbox.stands(line.ticket, &line.waker) {
            flow.line = Some(line);
            return;
        }
        self.waiting -= 1;
        self.held.goes_on(line.from);
        self.taken(number, line.cost);
        while let Some(flow) = self.flow_mut(number)
            && flow.line.is_none()
            && let Some(message) = flow.waiting.pop_front()
        {
            if flow.waiting.is_empty() && flow.waiting.capacity() > KEPT_MAX {
                flow.waiting = VecDeque::new();
            }
            self.waiting -= 1;
            message.from().into_iter().for_each(|from| self.held.goes_on(from));
            self.next(link, number, message);
        }
        tell_downs(link, self.held.take_due());
    }

    /// The link is over: what waits is dropped, since the peer tells it for lost, and the notices are given.
    pub(crate) fn over(&mut self, link: &Arc<Link>) {
        for line in self.flows.drain(..).flatten().filter_map(|flow| flow.line) {
            line.inbox.leave(line.ticket);
        }
        self.waiting = 0;
        self.dirty.clear();
        tell_downs(link, self.held.take_all());
    }
}

fn tell_downs(link: &Link, downs: Vec<HeldDown>) {
    for HeldDown { monitor_id, reason } in downs {
        link.told_down(monitor_id, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(monitor_id: u64) -> HeldDown {
        HeldDown { monitor_id, reason: ExitReason::Normal }
    }

    fn due(held: &mut HeldDowns) -> Vec<u64> {
        held.take_due().into_iter().map(|down| down.monitor_id).collect()
    }

    #[test]
    fn a_notice_is_due_once_the_last_message_of_its_actor_has_gone_on() {
        let mut held = HeldDowns::default();
        for from in [7, 7, 8] {
            held.waits(from);
        }
        assert!(held.waits_from(7) && held.waits_from(8) && !held.waits_from(9));
        held.hold(7, down(1));
        held.hold(7, down(2));
        held.hold(8, down(3));
        held.goes_on(7);
        assert_eq!(due(&mut held), [0; 0], "one waits still");
        held.goes_on(7);
        held.waits(7);
        assert_eq!(due(&mut held), [0; 0], "the last one waits again");
        held.goes_on(7);
        assert_eq!(due(&mut held), [1, 2]);
        assert_eq!(held.take_all().len(), 1);
        assert!(!held.waits_from(8));
    }

    /// As many as a link carries: to look through all that waits for each of them would take hours.
    #[test]
    fn many_notices_behind_many_messages_take_no_time_that_grows_with_both() {
        let mut held = HeldDowns::default();
        let many = 500_000;
        for from in 0..many {
            held.waits(from);
        }
        for from in 0..many {
            assert!(held.waits_from(from));
            held.hold(from, down(from));
        }
        for from in 0..many {
            held.goes_on(from);
            assert_eq!(due(&mut held), [from]);
        }
        assert!(held.waiting.is_empty() && held.downs.is_empty());
    }
}
