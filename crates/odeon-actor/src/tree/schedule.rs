//! What a supervisor orders next, given the states of its children.
//!
//! Where order matters that is one order at a time: first the stops, from the last child on, then the starts, from
//! the first on. While a supervisor of independent children runs, each of them goes its own way.
//! Invariants: in order, nothing is started while anything is still to be stopped; the state of a child changes in
//! one place, which keeps the table of timeouts true.

use odeon_core::Instant;

use super::child::{Child, ChildId, ChildState, Incarnation};
use super::machine::{Output, Phase, Tree};
use super::options::{Shutdown, Strategy};

impl Tree {
    /// Orders what can be ordered, after something happened to a child.
    pub(super) fn advance(&mut self, id: ChildId, now: Instant) {
        if self.is_independent() {
            self.advance_one(id, now);
        } else {
            self.advance_in_order(now);
        }
    }

    /// Orders what one child needs, whatever the others do.
    pub(super) fn advance_one(&mut self, id: ChildId, now: Instant) {
        match self.children.get(&id) {
            Some(child) if child.state.is_up() && child.next.is_some() => self.stop(id, now),
            Some(child) if child.state == ChildState::Pending => self.start(id),
            _ => {}
        }
    }

    /// Orders the one thing that comes next, if nothing has to be waited for.
    pub(super) fn advance_in_order(&mut self, now: Instant) {
        match &self.phase {
            Phase::Idle | Phase::Ended => {}
            Phase::Ending(reason) => match self.children.last_key_value() {
                Some((&last, child)) if child.state.is_up() => self.stop(last, now),
                Some(_) => {}
                None => {
                    self.outputs.push_back(Output::Ended(reason.clone()));
                    self.phase = Phase::Ended;
                }
            },
            Phase::Starting | Phase::Running => {
                let mut marked = None;
                for (id, child) in &self.children {
                    match child.state {
                        ChildState::Stopping { .. } => return,
                        state if state.is_up() && child.next.is_some() => marked = Some(*id),
                        _ => {}
                    }
                }
                match marked {
                    Some(last) => self.stop(last, now),
                    None => self.start_in_order(now),
                }
            }
        }
    }

    /// Starts the child whose turn it is. Where no child waits for another, none waits for a back-off either.
    fn start_in_order(&mut self, now: Instant) {
        let is_dynamic = self.options.strategy == Strategy::Dynamic;
        if matches!(self.phase, Phase::Starting)
            && (is_dynamic || self.children.values().all(|child| child.was_up))
        {
            self.phase = Phase::Running;
            self.outputs.push_back(Output::Started);
            if self.is_independent() {
                for id in self.children.keys().copied().collect::<Vec<_>>() {
                    self.advance_one(id, now);
                }
                return;
            }
        }
        if self.children.values().any(|child| child.state == ChildState::Starting) {
            return;
        }
        let is_grouped = self.is_grouped();
        let next = self.children.iter().find(|(_, child)| match child.state {
            ChildState::Pending => true,
            ChildState::Waiting { .. } => is_grouped,
            _ => false,
        });
        if let Some((&id, Child { state: ChildState::Pending, .. })) = next {
            self.start(id);
        }
    }

    fn start(&mut self, id: ChildId) {
        if let Some(child) = self.children.get_mut(&id) {
            child.number += 1;
        }
        self.set(id, ChildState::Starting);
        self.order(id, Output::Start);
    }

    fn stop(&mut self, id: ChildId, now: Instant) {
        let Some(shutdown) = self.children.get(&id).map(|child| child.options.shutdown) else {
            return;
        };
        let (kill_at, output): (_, fn(Incarnation) -> Output) = match shutdown {
            Shutdown::Within(patience) => (Some(now + patience), Output::Stop),
            Shutdown::Kill => (None, Output::Kill),
            Shutdown::Wait => (None, Output::Stop),
        };
        self.set(id, ChildState::Stopping { kill_at });
        self.order(id, output);
    }

    pub(super) fn order(&mut self, id: ChildId, output: fn(Incarnation) -> Output) {
        if let Some(child) = self.children.get(&id) {
            self.outputs.push_back(output(Incarnation { child: id, number: child.number }));
        }
    }

    pub(super) fn wait(&mut self, id: ChildId, until: Instant, now: Instant) {
        let state = if until > now { ChildState::Waiting { until } } else { ChildState::Pending };
        self.set(id, state);
    }

    /// The only place where the state of a child changes, so that `due` fits it.
    pub(super) fn set(&mut self, id: ChildId, state: ChildState) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        if let Some(at) = child.state.due() {
            self.due.remove(&(at, id));
        }
        if let Some(at) = state.due() {
            self.due.insert((at, id));
        }
        child.state = state;
    }

    pub(super) fn forget(&mut self, id: ChildId) {
        self.set(id, ChildState::Finished);
        self.children.remove(&id);
        self.outputs.push_back(Output::Forgotten(id));
    }
}
