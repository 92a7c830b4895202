//! The flows of one direction, as their receiver keeps them: what has come, what has been taken, what is granted.
//!
//! All counts of a flow rise from its opening. The receiver grants what it has taken and a window, so that no more
//! than a window waits; it says so when half a window has been used up, or a little after it has taken something.

use crate::bugs::bug;
use crate::flows_out::cost;
use crate::frame::{Frame, Windows};

/// One flow.
#[derive(Debug, Default)]
struct FlowIn {
    is_open: bool,
    /// Its sender has closed it; it goes when all has been taken.
    is_closing: bool,
    seen: u64,
    seen_bytes: u64,
    taken: u64,
    taken_bytes: u64,
    /// What the sender has been told.
    told: u64,
    told_bytes: u64,
    is_untold: bool,
}

/// The table.
#[derive(Debug)]
pub(crate) struct FlowsIn {
    windows: Windows,
    flows: Vec<FlowIn>,
    open: usize,
    seen_bytes: u64,
    taken_bytes: u64,
    told_bytes: u64,
    /// Messages that have come and have not been taken.
    waiting: u64,
    /// Flows of which something has been taken that their sender does not know.
    untold: Vec<u32>,
}

impl FlowsIn {
    pub(crate) const fn new(windows: Windows) -> Self {
        Self {
            windows,
            flows: Vec::new(),
            open: 0,
            seen_bytes: 0,
            taken_bytes: 0,
            told_bytes: 0,
            waiting: 0,
            untold: Vec::new(),
        }
    }

    /// Messages that have come and have not been taken.
    pub(crate) const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Whether a sender is to be told something.
    pub(crate) const fn is_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    /// Takes a new flow.
    ///
    /// # Errors
    /// When its number is not free.
    pub(crate) fn opened(&mut self, number: u32, max: usize) -> Result<(), String> {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        if index >= max {
            return Err(format!("it opened flow {number}, where {max} are the limit"));
        }
        if index > self.flows.len() {
            return Err(format!("it opened flow {number} where {} is the next", self.flows.len()));
        }
        if index == self.flows.len() {
            self.flows.push(FlowIn::default());
        }
        if self.flows[index].is_open {
            return Err(format!("it opened flow {number} twice"));
        }
        self.flows[index] = FlowIn { is_open: true, ..FlowIn::default() };
        self.open += 1;
        Ok(())
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut FlowIn> {
        let flow = self.flows.get_mut(usize::try_from(number).ok()?)?;
        flow.is_open.then_some(flow)
    }

    /// Takes a message.
    ///
    /// # Errors
    /// When its flow is not open, it is out of turn, or there was no credit for it.
    pub(crate) fn message(&mut self, number: u32, seq: u64, payload_bytes: usize) -> Result<(), String> {
        let (cost, windows) = (cost(payload_bytes), self.windows);
        let Some(flow) = self.get_mut(number).filter(|flow| !flow.is_closing) else {
            return Err(format!("it sent on flow {number}, which is not open"));
        };
        if seq != flow.seen + 1 && !bug("skip-sequence-check") {
            let next = flow.seen + 1;
            return Err(format!("it sent message {seq} of flow {number} where {next} is the next"));
        }
        let is_one_over = flow.seen_bytes + cost > flow.told_bytes + windows.flow_bytes;
        if flow.seen >= flow.told + windows.flow_messages || (is_one_over && flow.taken < flow.seen) {
            return Err(format!("it sent message {seq} of flow {number} without credit"));
        }
        flow.seen = seq;
        flow.seen_bytes += cost;
        self.seen_bytes += cost;
        self.waiting += 1;
        if self.seen_bytes > self.told_bytes + windows.link_bytes {
            return Err(format!("it sent message {seq} of flow {number} without credit of the link"));
        }
        Ok(())
    }

    /// Notes that so many messages, the oldest that wait, have been taken, with payloads of so many bytes. What
    /// their sender must know at once is given to `tell`.
    pub(crate) fn taken(&mut self, number: u32, messages: u64, cost: u64, tell: impl FnMut(Frame<'static>)) {
        let windows = self.windows;
        let Some(flow) = self.get_mut(number) else {
            return;
        };
        let messages = messages.min(flow.seen - flow.taken);
        let cost = cost.min(flow.seen_bytes - flow.taken_bytes);
        flow.taken += messages;
        flow.taken_bytes += cost;
        let is_half = flow.taken - flow.told >= windows.flow_messages.div_ceil(2)
            || flow.taken_bytes - flow.told_bytes >= windows.flow_bytes.div_ceil(2);
        let is_done = flow.is_closing && flow.taken == flow.seen;
        let is_new = !flow.is_untold;
        flow.is_untold = true;
        self.waiting -= messages;
        self.taken_bytes += cost;
        if is_new {
            self.untold.push(number);
        }
        let is_half_link = self.taken_bytes - self.told_bytes >= self.windows.link_bytes.div_ceil(2);
        if is_half || is_done || is_half_link {
            self.tell(tell);
        }
    }

    /// The sender has closed a flow.
    ///
    /// # Errors
    /// When it is not open.
    pub(crate) fn closing(&mut self, number: u32, tell: impl FnMut(Frame<'static>)) -> Result<(), String> {
        let Some(flow) = self.get_mut(number).filter(|flow| !flow.is_closing) else {
            return Err(format!("it closed flow {number}, which is not open"));
        };
        flow.is_closing = true;
        self.taken(number, 0, 0, tell);
        Ok(())
    }

    /// Tells the senders all that has been taken.
    pub(crate) fn tell(&mut self, mut tell: impl FnMut(Frame<'static>)) {
        let windows = self.windows;
        for number in std::mem::take(&mut self.untold) {
            let Some(flow) = self.get_mut(number) else {
                continue;
            };
            flow.is_untold = false;
            if flow.is_closing && flow.taken == flow.seen {
                flow.is_open = false;
                self.open -= 1;
                tell(Frame::Closed { flow: number });
                continue;
            }
            (flow.told, flow.told_bytes) = (flow.taken, flow.taken_bytes);
            let (messages, bytes) = (flow.told + windows.flow_messages, flow.told_bytes + windows.flow_bytes);
            if !bug("forget-credit") {
                tell(Frame::Credit { flow: number, taken: flow.taken, messages, bytes });
            }
        }
        if self.taken_bytes > self.told_bytes {
            self.told_bytes = self.taken_bytes;
            tell(Frame::LinkCredit { bytes: self.told_bytes + windows.link_bytes });
        }
    }
}
