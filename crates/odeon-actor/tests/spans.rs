//! Spans of messages, on and off. A test of its own, because a subscriber is for the whole process.

extern crate odeon_actor as odeon;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use odeon::{System, actor};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Notes the spans of messages as they are entered, exited and closed.
#[derive(Clone, Default)]
struct Listener {
    next: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    fn note(&self, entry: impl ToString) {
        self.seen.lock().expect("no panic").push(entry.to_string());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().expect("no panic"))
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "odeon::message"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.note(format!("new {id}"));
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, span: &Id) {
        self.note(format!("enter {}", span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        self.note(format!("exit {}", span.into_u64()));
    }

    fn try_close(&self, span: Id) -> bool {
        self.note(format!("close {}", span.into_u64()));
        true
    }
}

struct Echo;

#[actor]
impl Echo {
    #[handle]
    fn say(&self, listener: Listener) {
        listener.note("said");
    }

    #[handle]
    async fn say_later(&self, listener: Listener) {
        tokio::task::yield_now().await;
        listener.note("said later");
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

#[tokio::test]
async fn each_message_is_handled_in_a_span_while_somebody_listens() {
    let listener = Listener::default();
    let echo = System::new().spawn(Echo);
    echo.say(listener.clone()).await.expect("answered");
    assert_eq!(listener.take(), ["said"], "nobody listens");

    tracing::subscriber::set_global_default(listener.clone()).expect("the first");
    echo.say(listener.clone()).tell().await.expect("taken");
    echo.say_later(listener.clone()).await.expect("answered");
    let seen = listener.take();
    let of = |id: u64| {
        let own = [format!("new {id}"), format!("enter {id}"), format!("exit {id}"), format!("close {id}")];
        seen.iter()
            .filter(move |entry| own.contains(entry) || entry.starts_with("said"))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert!(
        of(1).starts_with(&["new 1", "enter 1", "said", "exit 1", "close 1"].map(str::to_owned)),
        "{seen:?}"
    );
    let later = of(2);
    assert_eq!(
        later.iter().filter(|entry| *entry == "enter 2").count(),
        3,
        "at each poll, and when it goes: {seen:?}"
    );
    let at = |entry: &str| later.iter().rposition(|e| e == entry);
    assert!(at("said later") < at("exit 2") && at("exit 2") < at("close 2"), "{seen:?}");
}
