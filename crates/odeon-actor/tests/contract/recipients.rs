//! Recipients: the same calls, without the actor's type.

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use odeon::{
    AskError, ExitReason, Handle, Recipient, Reply, Request, Route, SpawnOptions, System, TryTellError, actor,
};
use odeon_core::RefusalCode;

use crate::deliveries::GreeterGreet;
use crate::remote::{FakeRoute, reference};
use crate::support::{
    Gate, Log, SECOND, Worker, WorkerCalls, WorkerHold, WorkerKeep, WorkerMessage, WorkerNote, WorkerPanic,
    at_once, beside, ended, settle, wait_for,
};

#[tokio::test(start_paused = true)]
async fn a_recipient_has_the_verbs_of_a_call() {
    let log = Log::default();
    let worker = System::new().spawn(Worker::logging(&log));
    let notes: Recipient<WorkerNote, u64> = worker.recipient();
    notes.call(WorkerNote { n: 1 }).tell().await.expect("taken");
    notes.call(WorkerNote { n: 2 }).try_tell().expect("taken");
    assert_eq!(notes.call(WorkerNote { n: 3 }).await, Ok(3));
    assert_eq!(notes.clone().call(WorkerNote { n: 4 }).within(SECOND).await, Ok(4));
    assert_eq!(log.entries(), ["1", "2", "3", "4"], "in the order in which they were sent");
    assert_eq!(notes.id(), worker.id());
    let shown = format!("{notes:?}");
    assert!(shown.starts_with("Recipient(Handle(") && shown.contains("Worker"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn an_ask_of_a_recipient_has_a_deadline_and_lives_on_what_is_left() {
    let system = System::new();
    let worker = system.spawn(Worker::default());
    let keeps: Recipient<WorkerKeep, u64> = (&worker).into();
    let asked = keeps.call(WorkerKeep {}).await;
    assert!(matches!(asked, Err(AskError::Timeout { after }) if after == 5 * SECOND), "{asked:?}");
    let asked = keeps.call(WorkerKeep {}).within(2 * SECOND).await;
    assert!(matches!(asked, Err(AskError::Timeout { after }) if after == 2 * SECOND), "{asked:?}");
    let publisher = system.spawn(Publisher::default());
    let asked = publisher.ask_on(keeps).within(SECOND).await;
    assert!(matches!(asked, Err(AskError::Timeout { after }) if after == SECOND), "{asked:?}");
    assert_eq!(at_once(publisher.failures()).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_recipient_waits_for_room_and_gives_back_what_finds_none() {
    let system = System::new();
    let worker = system.spawn_with(SpawnOptions::default().capacity(1), Worker::default()).expect("no name");
    let gate = Gate::new();
    worker.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    let notes: Recipient<WorkerNote, u64> = worker.recipient();
    notes.call(WorkerNote { n: 1 }).tell().await.expect("the one place is free");
    let tried = notes.call(WorkerNote { n: 2 }).try_tell();
    assert!(matches!(tried, Err(TryTellError::Full(WorkerNote { n: 2 }))), "{tried:?}");
    let waiting = beside({
        let notes = notes.clone();
        async move { notes.call(WorkerNote { n: 3 }).tell().await }
    });
    let asking = beside(async move { notes.call(WorkerNote { n: 4 }).await });
    settle().await;
    gate.open();
    assert_eq!(waiting.result().await, Ok(()));
    assert_eq!(asking.result().await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_a_dead_recipient_learns_it_at_once() {
    let worker = System::new().spawn(Worker::default());
    let panics: Recipient<WorkerPanic, u64> = worker.recipient();
    let asked = panics.call(WorkerPanic {}).await;
    assert!(matches!(asked, Err(AskError::Dead(ExitReason::Panicked(_)))), "{asked:?}");
    ended(&worker).await;
    assert!(panics.is_dead());
    let asked = at_once(panics.call(WorkerPanic {})).await;
    assert!(matches!(asked, Err(AskError::Dead(ExitReason::Panicked(_)))), "{asked:?}");
    assert!(at_once(panics.call(WorkerPanic {}).tell()).await.is_err());
    assert!(matches!(panics.call(WorkerPanic {}).try_tell(), Err(TryTellError::Dead(..))));
}

#[tokio::test(start_paused = true)]
async fn a_recipient_may_be_on_another_server() {
    let route = FakeRoute::new(Some(Ok("hello Ada")));
    let greets: Recipient<GreeterGreet, String> = route.handle().into();
    let ada = || GreeterGreet { name: "Ada".to_owned(), times: None };
    assert_eq!(greets.call(ada()).await, Ok("hello Ada".to_owned()));
    assert_eq!(route.call().mark, "greeter/1#greet");
    greets.call(ada()).tell().await.expect("taken");
    assert_eq!(route.call().expires_at, None);
    assert!(matches!(greets.call(ada()).try_tell(), Err(TryTellError::NoLink(_))));
    assert!(!greets.is_dead());
    assert_eq!(greets.id(), reference().actor);
    let private: Handle<Worker> = Handle::remote(reference(), Arc::clone(&route) as Arc<dyn Route>);
    let asked = private.recipient().call(WorkerHold { gate: Gate::new() }).await;
    assert!(matches!(asked, Err(AskError::Refused(why)) if why.code == RefusalCode::BadPayload));
}

/// News, for whoever subscribes.
#[derive(Debug, Clone, PartialEq)]
struct News(u64);

/// Publishes, and knows of its subscribers only that they take news.
#[derive(Debug, Default)]
struct Publisher {
    subscribers: Vec<Recipient<News>>,
    failures: u64,
}

#[actor]
impl Publisher {
    #[handle]
    fn subscribe(&mut self, to: Recipient<News>) {
        self.subscribers.push(to);
    }

    #[handle]
    async fn publish(&mut self, n: u64) {
        for subscriber in &self.subscribers {
            subscriber.call(News(n)).tell().await.expect("it lives");
        }
    }

    /// A recipient as an answer.
    #[handle]
    fn first(&self) -> Option<Recipient<News>> {
        self.subscribers.first().cloned()
    }

    #[handle]
    async fn ask_on(&mut self, to: Recipient<WorkerKeep, u64>) {
        if to.call(WorkerKeep {}).within(100 * SECOND).await.is_err() {
            self.failures += 1;
        }
    }

    #[handle]
    fn failures(&self) -> u64 {
        self.failures
    }
}

/// News is a request that two actors take.
impl Request<Worker> for News {
    type Reply = ();

    fn into_message(self, reply: Reply<()>) -> WorkerMessage {
        drop(reply);
        <WorkerNote as Request<Worker>>::into_message(WorkerNote { n: self.0 }, Reply::nobody())
    }
}

impl Request<Publisher> for News {
    type Reply = ();

    fn into_message(self, reply: Reply<()>) -> PublisherMessage {
        <PublisherPublish as Request<Publisher>>::into_message(PublisherPublish { n: self.0 }, reply)
    }
}

#[tokio::test(start_paused = true)]
async fn recipients_of_one_request_may_be_actors_of_many_types() {
    let system = System::new();
    let (log, far) = (Log::default(), Log::default());
    let (worker, last) = (system.spawn(Worker::logging(&log)), system.spawn(Worker::logging(&far)));
    let (publisher, relay) = (system.spawn(Publisher::default()), system.spawn(Publisher::default()));
    relay.subscribe(last.recipient()).await.expect("it lives");
    publisher.subscribe(worker.recipient()).await.expect("it lives");
    publisher.subscribe(relay.recipient()).await.expect("it lives");
    publisher.publish(7).await.expect("it lives");
    wait_for("both to hear", || log.count("7") == 1 && far.count("7") == 1).await;
    let first = publisher.first().await.expect("it lives").expect("there is one");
    assert_eq!(first.id(), worker.id());
}

/// Answers on the asker's stack.
#[derive(Debug, Default)]
struct Quick(u64);

#[actor]
impl Quick {
    #[handle(inline)]
    fn count(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

#[tokio::test(start_paused = true)]
async fn an_ask_of_a_recipient_may_be_answered_on_the_askers_stack() {
    let quick = System::new().spawn(Quick::default());
    let asks: Recipient<QuickCount, u64> = quick.recipient();
    let mut asking = pin!(asks.call(QuickCount {}).into_future());
    let mut polls = 0;
    let answer = poll_fn(|task| {
        polls += 1;
        asking.as_mut().poll(task)
    });
    assert_eq!(answer.await, Ok(1));
    assert_eq!(polls, 1, "nobody was waited for");
}
