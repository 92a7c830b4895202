//! Whoever traces links, for the tests of what they see.

use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// Writes down what is traced of links.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traces(Arc<Mutex<Vec<String>>>);

impl Traces {
    fn push(&self, what: &str, write: impl FnOnce(&mut dyn Visit)) {
        let mut fields = Fields(what.to_owned());
        write(&mut fields);
        self.0.lock().expect("nothing panics under it").push(fields.0);
    }

    /// Has what happens on this thread meanwhile written down.
    pub(crate) fn during<T>(&self, act: impl FnOnce() -> T) -> T {
        // While there is one dispatcher alone, tracing asks the thread that is the first to come by a place whether
        // anybody listens there, and keeps the answer for all. That thread may be another test's, which has none.
        let _second = Dispatch::new(Self::default());
        tracing::subscriber::with_default(self.clone(), act)
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("nothing panics under it").clone()
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl Subscriber for Traces {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "odeon::link"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.push(span.metadata().name(), |fields| span.record(fields));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        self.push("record", |fields| values.record(fields));
    }

    fn event(&self, event: &Event<'_>) {
        self.push("event", |fields| event.record(fields));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
