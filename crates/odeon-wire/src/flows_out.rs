//! The flows of one direction, as their sender keeps them.
//!
//! A flow is all that goes to one actor over one link in one direction. What waits for room is the actor's mailbox,
//! so there is one flow for all who send to it: that is first-in, first-out for each pair of sender and receiver,
//! and a table no larger than the number of actors spoken to.
//!
//! Numbers are places in the table. One is given away again only after the receiver has said `Closed`, the last
//! thing it says of a flow, so that no frame is ever about another flow than the one meant.

use std::collections::{BTreeMap, VecDeque};

use odeon_core::ActorId;

use crate::frame::Windows;
use crate::limits::{MESSAGE_COST_BYTES, UNKNOWN_MESSAGES_MAX};

/// When the table is full, one flow in this many is closed at once, so that the table is not searched for each.
const CLOSED_AT_ONCE: usize = 8;

/// A message that is not known to have been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) from: u64,
    pub(crate) type_id: u32,
    pub(crate) is_ask: bool,
}

/// What the peer has let go on one flow.
#[derive(Debug)]
pub(crate) struct FlowOut {
    pub(crate) to: ActorId,
    /// The number of the last message.
    pub(crate) sent: u64,
    sent_bytes: u64,
    messages_max: u64,
    bytes_max: u64,
    /// Taken, as the last credit said: a reply may say more, and the receiver's books may be behind it.
    credited: u64,
    taken: u64,
    /// Those after `taken`, in order.
    book: VecDeque<Sent>,
    /// The large frame that what comes next must not overtake.
    pub(crate) behind: Option<u64>,
    state: State,
    /// Senders that wait for room for a large message.
    larges: usize,
    /// The bytes sent from which on the others let these go first.
    yields_at: u64,
    /// The number of the last use of any flow when this one was used.
    used: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Closed here; the number is not free yet.
    Closing,
    Free,
}

/// Why a flow takes no message now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The receiver has not taken enough of what this flow carries.
    Flow,
    /// The peer has not taken enough of what the link carries.
    Link,
}

/// What to do to send to an actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// There is a flow.
    Open(u32),
    /// The peer must be told of this one first.
    New(u32),
    /// The table is full: these are to be closed, and their numbers waited for.
    Full(Vec<u32>),
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct FlowsOut {
    flows: Vec<FlowOut>,
    /// In order, not hashed: peers choose names, those in the references that they give us, and no names make
    /// this slow.
    by_actor: BTreeMap<ActorId, u32>,
    free: Vec<u32>,
    windows: Option<Windows>,
    link_sent: u64,
    link_max: u64,
    /// Messages in the books of all flows.
    unknown: usize,
    uses: u64,
    /// Flows that are closed here and whose numbers are not free yet.
    closing: usize,
    /// Whether the last search for flows that rest found none, and none has come to rest since. The peer says when
    /// messages are taken, and wakes all who wait as often as it likes: the table is not searched for each of them.
    none_rests: bool,
    #[cfg(test)]
    searches: usize,
}

impl FlowsOut {
    /// Takes the credit that the peer's hello gives.
    pub(crate) fn begin(&mut self, windows: Windows) {
        self.windows = Some(windows);
        self.link_max = windows.link_bytes;
    }

    /// Messages that are not known to have been taken.
    pub(crate) const fn unknown(&self) -> usize {
        self.unknown
    }

    /// How many flows are open, or closing.
    pub(crate) fn count(&self) -> usize {
        self.flows.len() - self.free.len()
    }

    /// The flow to `to`; a new one is taken by [`open`](Self::open).
    pub(crate) fn way(&mut self, to: &ActorId, max: usize) -> Way {
        if let Some(flow) = self.by_actor.get(to) {
            return Way::Open(*flow);
        }
        if let Some(flow) = self.free.last() {
            return Way::New(*flow);
        }
        match u32::try_from(self.flows.len()) {
            Ok(flow) if self.flows.len() < max => Way::New(flow),
            _ => Way::Full(self.close_some()),
        }
    }

    /// Closes the flows that have rested longest, unless some are closing already.
    fn close_some(&mut self) -> Vec<u32> {
        if self.closing > 0 || self.none_rests {
            return Vec::new();
        }
        #[cfg(test)]
        {
            self.searches += 1;
        }
        let rests = |flow: &FlowOut| flow.state == State::Open && flow.book.is_empty() && flow.larges == 0;
        let mut resting: Vec<(u64, u32)> = (0..)
            .zip(&self.flows)
            .filter(|(_, flow)| rests(flow))
            .map(|(number, flow)| (flow.used, number))
            .collect();
        resting.sort_unstable();
        resting.truncate((self.flows.len() / CLOSED_AT_ONCE).max(1));
        let closed: Vec<u32> = resting.into_iter().map(|(_, number)| number).collect();
        for number in &closed {
            if let Some(flow) = self.get_mut(*number) {
                flow.state = State::Closing;
                let to = flow.to.clone();
                self.by_actor.remove(&to);
            }
        }
        self.closing = closed.len();
        self.none_rests = closed.is_empty();
        closed
    }

    /// Notes that the peer has been told of a flow.
    pub(crate) fn open(&mut self, number: u32, to: ActorId) {
        let windows = self.windows.unwrap_or(Windows { link_bytes: 0, flow_messages: 0, flow_bytes: 0 });
        self.by_actor.insert(to.clone(), number);
        self.none_rests = false;
        let flow = FlowOut {
            to,
            sent: 0,
            sent_bytes: 0,
            messages_max: windows.flow_messages,
            bytes_max: windows.flow_bytes,
            credited: 0,
            taken: 0,
            book: VecDeque::new(),
            behind: None,
            state: State::Open,
            larges: 0,
            yields_at: 0,
            used: self.uses,
        };
        if self.free.last() == Some(&number) {
            self.free.pop();
        }
        match self.get_mut(number) {
            Some(place) => *place = flow,
            None => self.flows.push(flow),
        }
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut FlowOut> {
        self.flows.get_mut(usize::try_from(number).ok()?)
    }

    /// Whether a message with a payload of so many bytes may go now.
    pub(crate) fn check(&mut self, number: u32, payload_bytes: usize) -> Result<(), Stop> {
        let cost = cost(payload_bytes);
        // The books are ours: a peer that gives credit without end does not make them endless.
        if self.link_sent + cost > self.link_max || self.unknown >= UNKNOWN_MESSAGES_MAX {
            return Err(Stop::Link);
        }
        let is_large = self.is_large(payload_bytes);
        match self.get_mut(number) {
            Some(flow) if flow.sent >= flow.messages_max => Err(Stop::Flow),
            Some(flow) if flow.larges > 0 && !is_large && flow.sent_bytes >= flow.yields_at => {
                Err(Stop::Flow)
            }
            Some(flow) if flow.sent_bytes + cost > flow.bytes_max && flow.credited < flow.sent => {
                Err(Stop::Flow)
            }
            Some(_) => Ok(()),
            None => Err(Stop::Flow),
        }
    }

    /// Whether a message takes more than half of a flow's window: the least that is told to be taken may not make
    /// room for it, so that smaller ones could keep it off for ever.
    fn is_large(&self, payload_bytes: usize) -> bool {
        self.windows.is_some_and(|windows| cost(payload_bytes) > windows.flow_bytes / 2)
    }

    /// Notes that a sender waits for room for a message, if it is a large one: smaller ones of the flow wait behind it.
    pub(crate) fn await_large(&mut self, to: &ActorId, payload_bytes: usize) -> bool {
        let flow = self.by_actor.get(to).copied().filter(|_| self.is_large(payload_bytes));
        let flow = flow.and_then(|number| self.get_mut(number));
        flow.map(|flow| flow.larges += 1).is_some()
    }

    /// Notes that it does not wait any more. Its flow is the same, as one for which somebody waits is not closed.
    pub(crate) fn large_done(&mut self, to: &ActorId) {
        let flow = self.by_actor.get(to).copied();
        if let Some(flow) = flow.and_then(|number| self.get_mut(number)) {
            flow.larges = flow.larges.saturating_sub(1);
        }
        self.none_rests = false;
    }

    /// Notes that the next message has been queued.
    pub(crate) fn sent(&mut self, number: u32, payload_bytes: usize, message: Sent, behind: Option<u64>) {
        let cost = cost(payload_bytes);
        self.link_sent += cost;
        self.uses += 1;
        self.unknown += 1;
        let uses = self.uses;
        let window = self.windows.map_or(0, |windows| windows.flow_bytes);
        let is_large = self.is_large(payload_bytes);
        if let Some(flow) = self.get_mut(number) {
            flow.sent += 1;
            flow.sent_bytes += cost;
            flow.used = uses;
            flow.book.push_back(message);
            if is_large {
                // Nor do large ones keep off the others: a window's worth of these goes before the next.
                flow.yields_at = flow.sent_bytes.saturating_add(window);
            }
            flow.behind = behind.or(flow.behind);
        }
    }

    /// Takes note that the messages up to `seq` have been taken.
    pub(crate) fn taken(&mut self, number: u32, seq: u64) {
        let Some(flow) = self.get_mut(number).filter(|flow| flow.state != State::Free) else {
            return;
        };
        let fresh = seq.min(flow.sent).saturating_sub(flow.taken);
        flow.taken += fresh;
        let fresh = usize::try_from(fresh).unwrap_or(usize::MAX).min(flow.book.len());
        flow.book.drain(..fresh);
        let is_empty = flow.book.is_empty();
        if is_empty && flow.book.capacity() > 64 {
            flow.book = VecDeque::new();
        }
        self.unknown -= fresh;
        self.none_rests &= fresh == 0 || !is_empty;
    }

    /// Takes credit.
    ///
    /// # Errors
    /// When there is no such flow, or the credit is no credit.
    pub(crate) fn credit(
        &mut self,
        number: u32,
        taken: u64,
        messages: u64,
        bytes: u64,
    ) -> Result<(), String> {
        let flow = self.get_mut(number).filter(|flow| flow.state != State::Free);
        let flow = flow.ok_or_else(|| format!("it gave credit to flow {number}, which is not open"))?;
        if taken > flow.sent {
            return Err(format!("it took message {taken} of flow {number}, where {} were sent", flow.sent));
        }
        if taken < flow.credited || messages < flow.messages_max || bytes < flow.bytes_max {
            return Err(format!("it took back credit of flow {number}"));
        }
        flow.credited = taken;
        flow.messages_max = messages;
        flow.bytes_max = bytes;
        self.taken(number, taken);
        Ok(())
    }

    /// Takes credit for all flows.
    ///
    /// # Errors
    /// When it is less than before.
    pub(crate) fn link_credit(&mut self, bytes: u64) -> Result<(), String> {
        if bytes < self.link_max {
            return Err("it took back credit of the link".to_owned());
        }
        self.link_max = bytes;
        Ok(())
    }

    /// The receiver is done with a flow: its number is free.
    ///
    /// # Errors
    /// When it was not closed here.
    pub(crate) fn closed(&mut self, number: u32) -> Result<(), String> {
        let flow = self.get_mut(number).filter(|flow| flow.state == State::Closing);
        let flow = flow.ok_or_else(|| format!("it closed flow {number}, whose sender did not"))?;
        flow.state = State::Free;
        self.free.push(number);
        self.closing = self.closing.saturating_sub(1);
        Ok(())
    }

    /// Closes the books: the tells that are not known to have been taken, by flow.
    pub(crate) fn close(&mut self) -> Vec<(ActorId, Vec<Sent>)> {
        let flows = std::mem::take(self).flows;
        let open = flows.into_iter().filter(|flow| !flow.book.is_empty());
        open.map(|flow| (flow.to, flow.book.into_iter().filter(|sent| !sent.is_ask).collect())).collect()
    }
}

/// What a message costs in credit.
pub(crate) fn cost(payload_bytes: usize) -> u64 {
    u64::try_from(payload_bytes).unwrap_or(u64::MAX).saturating_add(MESSAGE_COST_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_are_bounded_whatever_credit_the_peer_gives() {
        let endless = Windows { link_bytes: u64::MAX, flow_messages: u64::MAX, flow_bytes: u64::MAX };
        let mut flows = FlowsOut::default();
        flows.begin(endless);
        let message = Sent { from: 1, type_id: 0, is_ask: false };
        for number in 0..2 {
            flows.open(number, ActorId::Number(u64::from(number)));
            flows.credit(number, 0, u64::MAX, u64::MAX).expect("not less than before");
        }
        flows.link_credit(u64::MAX).expect("not less than before");
        for _ in 0..UNKNOWN_MESSAGES_MAX {
            assert_eq!(flows.check(0, 0), Ok(()));
            flows.sent(0, 0, message, None);
        }
        assert_eq!((flows.check(0, 0), flows.check(1, 0)), (Err(Stop::Link), Err(Stop::Link)));
        flows.credit(0, 2, u64::MAX, u64::MAX).expect("two are taken");
        for number in 0..2 {
            assert_eq!(flows.check(number, 0), Ok(()));
            flows.sent(number, 0, message, None);
        }
        assert_eq!((flows.check(0, 0), flows.unknown()), (Err(Stop::Link), UNKNOWN_MESSAGES_MAX));
    }

    /// A table of two flows, each with a message that has not been taken.
    fn full() -> FlowsOut {
        let mut flows = FlowsOut::default();
        flows.begin(Windows { link_bytes: 10_000, flow_messages: 10, flow_bytes: 10_000 });
        for number in 0..2 {
            flows.open(number, ActorId::Number(u64::from(number)));
            flows.sent(number, 0, Sent { from: 1, type_id: 0, is_ask: false }, None);
        }
        flows
    }

    #[test]
    fn a_full_table_is_searched_once_until_a_flow_comes_to_rest_or_is_free() {
        let third = ActorId::Number(2);
        let mut flows = full();
        for _ in 0..100 {
            assert_eq!(flows.way(&third, 2), Way::Full(Vec::new()));
            flows.credit(0, 0, 10, 10_000).expect("as much as before");
        }
        assert_eq!(flows.searches, 1, "nothing has come to rest");
        flows.credit(1, 1, 10, 10_000).expect("the message is taken");
        assert_eq!(flows.way(&third, 2), Way::Full(vec![1]));
        for _ in 0..100 {
            assert_eq!(flows.way(&third, 2), Way::Full(Vec::new()));
        }
        assert_eq!(flows.searches, 2, "the peer has not said that the number is free");
        flows.closed(1).expect("closed here");
        assert_eq!(flows.way(&third, 2), Way::New(1));
        flows.open(1, third);
        assert_eq!(flows.way(&ActorId::Number(3), 2), Way::Full(vec![1]), "nothing was sent on it");
    }

    #[test]
    fn a_large_message_that_is_awaited_no_more_lets_its_flow_rest() {
        let (first, third) = (ActorId::Number(0), ActorId::Number(2));
        let mut flows = full();
        flows.credit(0, 1, 10, 10_000).expect("the message is taken");
        assert!(flows.await_large(&first, 9_000));
        assert_eq!(flows.way(&third, 2), Way::Full(Vec::new()));
        flows.large_done(&first);
        assert_eq!(flows.way(&third, 2), Way::Full(vec![0]));
    }
}
