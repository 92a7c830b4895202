//! Protocols: handles to whoever speaks one, here, on another server, or as a mock.

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use odeon::{
    Actor, AskError, Cx, ExitReason, Handle, Recipient, Reply, Request, Route, SpawnOptions, System,
    TryTellError, actor, message, protocol,
};
use odeon_core::RefusalCode;

use crate::deliveries::World;
use crate::remote::{FakeRoute, reference};
use crate::support::{Gate, SECOND, at_once, beside, ended, settle};

/// What is counted.
#[message]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tally {
    sum: i64,
}

/// Counts.
#[protocol(mark = "counting/1")]
pub(crate) trait Counting {
    /// Adds, and returns the sum.
    async fn add(&self, by: i64) -> i64;

    /// What is counted so far.
    fn tally(&self) -> Tally;
}

/// Begins anew.
#[protocol(mark = "resetting/2")]
pub(crate) trait Resetting {
    fn reset(&self);

    /// A large message.
    #[handle(boxed)]
    fn fill(&self, with: [u64; 32]) -> u64;
}

/// For this process alone.
#[protocol]
pub(crate) trait Waiting {
    async fn wait_for_turn(&self, gate: Gate) -> u64;
    fn keep(&self) -> u64;
}

/// Counts, and more.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    sum: i64,
    kept: Vec<Reply<u64>>,
}

#[actor(mark = "counter/1", protocols(Counting, Resetting, Waiting))]
impl Counter {
    #[handle(inline, needs = "count")]
    fn add(&mut self, n: i64) -> i64 {
        self.sum += n;
        self.sum
    }

    #[handle]
    async fn tally(&self, cx: &mut Cx<Self>) -> Tally {
        assert!(!cx.me().is_dead());
        Tally { sum: self.sum }
    }

    #[handle]
    fn reset(&mut self) {
        self.sum = 0;
    }

    #[handle]
    fn fill(&mut self, with: [u64; 32]) -> u64 {
        with.iter().sum()
    }

    #[handle]
    async fn wait_for_turn(&mut self, gate: Gate) -> u64 {
        gate.pass().await;
        7
    }

    #[handle]
    fn keep(&mut self, reply: Reply<u64>) {
        self.kept.push(reply);
    }

    /// None of the protocols'.
    #[handle]
    fn double(&mut self) -> i64 {
        self.sum *= 2;
        self.sum
    }
}

/// Speaks one protocol and has no mark of its own.
#[derive(Debug, Default)]
struct Abacus(Vec<i64>);

#[actor(protocol = Counting)]
impl Abacus {
    #[handle(boxed)]
    async fn add(&mut self, bead: i64) -> i64 {
        self.0.push(bead);
        self.0.iter().sum()
    }

    #[handle]
    fn tally(&mut self, reply: Reply<Tally>) {
        reply.send(Tally { sum: self.0.iter().sum() });
    }

    #[handle]
    fn beads(&self) -> usize {
        self.0.len()
    }
}

#[tokio::test(start_paused = true)]
async fn actors_of_many_types_are_reached_by_one_handle() {
    let system = System::new();
    let (counter, abacus) = (system.spawn(Counter::default()), system.spawn(Abacus::default()));
    let all: Vec<CountingHandle> = vec![counter.as_protocol(), (&abacus).into()];
    for counting in &all {
        counting.add(1).tell().await.expect("taken");
        counting.add(2).try_tell().expect("taken");
        assert_eq!(counting.add(3).await, Ok(6));
        assert_eq!(counting.tally().within(SECOND).await, Ok(Tally { sum: 6 }));
    }
    assert_eq!((counter.double().await, abacus.beads().await), (Ok(12), Ok(3)), "they do more than that");
    assert_eq!(all[1].id(), abacus.id());
    let shown = format!("{:?}", all[0]);
    assert!(shown.contains("Counting of Handle(") && shown.contains("Counter"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn an_actor_speaks_several_protocols() {
    let counter = System::new().spawn(Counter::default());
    let (counting, resetting): (CountingHandle, ResettingHandle) =
        (counter.as_protocol(), counter.as_protocol());
    assert_eq!(counting.add(2).await, Ok(2));
    assert_eq!(resetting.reset().await, Ok(()));
    assert_eq!(resetting.fill([2; 32]).await, Ok(64));
    assert_eq!(counting.tally().await, Ok(Tally { sum: 0 }));
    assert_eq!(counter.fill([1; 32]).await, Ok(32), "the actor's own handle has them too");
}

#[tokio::test(start_paused = true)]
async fn deadlines_death_and_full_mailboxes_are_those_of_the_actor() {
    let options = SpawnOptions::default().capacity(1);
    let counter = System::new().spawn_with(options, Counter::default()).expect("no name");
    let waiting: WaitingHandle = counter.as_protocol();
    let counting: CountingHandle = counter.as_protocol();
    let gate = Gate::new();
    let turn = beside({
        let (waiting, gate) = (waiting.clone(), gate.clone());
        async move { waiting.wait_for_turn(gate).within(100 * SECOND).await }
    });
    gate.wait_entered().await;
    counting.add(1).tell().await.expect("the one place is free");
    assert!(matches!(counting.add(2).try_tell(), Err(TryTellError::Full(CountingAdd { by: 2 }))));
    let asked = counting.tally().within(SECOND).await;
    assert!(matches!(asked, Err(AskError::Timeout { after }) if after == SECOND), "{asked:?}");
    let telling = beside({
        let counting = counting.clone();
        async move { counting.add(3).tell().await }
    });
    settle().await;
    gate.open();
    assert_eq!((turn.result().await, telling.result().await), (Ok(7), Ok(())));
    assert_eq!(counting.tally().await, Ok(Tally { sum: 4 }), "what expired was not run");
    let kept = beside(async move { waiting.keep().await });
    settle().await;
    counter.stop();
    assert_eq!(kept.result().await, Err(AskError::Dead(ExitReason::Stopped)));
    assert_eq!(ended(&counter).await, ExitReason::Stopped);
    assert_eq!(counting.ended().await, ExitReason::Stopped);
    assert!(counting.is_dead());
    assert_eq!(at_once(counting.add(1)).await, Err(AskError::Dead(ExitReason::Stopped)));
    assert!(counting.ping().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_ask_over_a_protocol_may_be_answered_on_the_askers_stack() {
    let counter = System::new().spawn(Counter::default());
    let counting: CountingHandle = counter.as_protocol();
    let mut asking = pin!(counting.add(2).into_future());
    let mut polls = 0;
    let answer = poll_fn(|task| {
        polls += 1;
        asking.as_mut().poll(task)
    });
    assert_eq!(answer.await, Ok(2));
    assert_eq!(polls, 1, "nobody was waited for");
}

#[tokio::test(start_paused = true)]
async fn a_request_of_a_protocol_is_one_of_each_actor_that_speaks_it() {
    let system = System::new();
    let (counter, abacus) = (system.spawn(Counter::default()), system.spawn(Abacus::default()));
    let counting: CountingHandle = counter.as_protocol();
    let all: [Recipient<CountingAdd, i64>; 3] =
        [counter.recipient(), abacus.recipient(), counting.recipient()];
    let mut sums = Vec::new();
    for adding in &all {
        sums.push(adding.call(CountingAdd { by: 5 }).await);
    }
    assert_eq!(sums, [Ok(5), Ok(5), Ok(10)]);
}

#[tokio::test(start_paused = true)]
async fn an_actor_answers_to_the_marks_of_its_protocols_and_to_its_own() {
    let known = Counter::protocol().expect("it has a mark");
    let marks: Vec<_> = known.methods.iter().map(|method| method.mark).collect();
    let (counting, resetting) =
        (["counting/1#add", "counting/1#tally"], ["resetting/2#reset", "resetting/2#fill"]);
    assert_eq!(marks, [&counting[..], &resetting[..], &["counter/1#double"]].concat());
    assert_eq!((known.mark, known.methods[0].needs), ("counter/1", Some("count")));
    assert_eq!(known.methods[0].doc, "Adds, and returns the sum.", "said by the protocol alone");
    assert!(known.describe().method("counting/1#tally").is_ok());
    let abacus = Abacus::protocol().expect("its protocol has a mark");
    let marks: Vec<_> = abacus.methods.iter().map(|method| method.mark).collect();
    assert_eq!((abacus.mark, marks.as_slice()), ("counting/1", &counting[..]));
    assert_eq!(Counting::protocol().map(|protocol| protocol.methods.len()), Some(2));
    assert!(Waiting::protocol().is_none(), "it has no mark");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_reaches_an_actor_by_the_marks_of_its_protocols() {
    let world = World::of(System::new(), Abacus::default());
    world.ask(1, "counting/1#add", r#"{"by":2}"#).expect("taken");
    assert_eq!(world.answers().await, [(1, Ok("2".to_owned()))]);
    world.ask(2, "tally", "{}").expect("taken");
    assert_eq!(world.answers().await, [(2, Ok(r#"{"sum":2}"#.to_owned()))]);
    let refused = world.ask(3, "beads", "{}").expect_err("it is none of the protocol's");
    assert_eq!(refused.code, RefusalCode::UnknownMark);
    let world = World::of(System::new(), Counter::default());
    let refused = world.ask(1, "counting/1#add", r#"{"by":2}"#).expect_err("it needs a capability");
    assert_eq!(refused.code, RefusalCode::NotAuthorised);
    world.ask(2, "counter/1#double", "{}").expect("taken");
    assert_eq!(world.answers().await, [(2, Ok("0".to_owned()))]);
    let refused = world.ask(3, "keep", "{}").expect_err("its protocol has no mark");
    assert_eq!(refused.code, RefusalCode::UnknownMark);
}

#[tokio::test(start_paused = true)]
async fn a_remote_handle_of_a_protocol_needs_a_reference_and_a_route() {
    let route = FakeRoute::new(Some(Ok("no number")));
    let counting = CountingHandle::remote(reference(), Arc::clone(&route) as Arc<dyn Route>);
    counting.add(2).tell().await.expect("taken");
    assert_eq!(route.call().mark, "counting/1#add");
    assert!(matches!(counting.add(2).try_tell(), Err(TryTellError::NoLink(CountingAdd { by: 2 }))));
    assert!(matches!(counting.add(2).await, Err(AskError::Refused(_))), "the answer is none");
    // What is found under another type is narrowed just as well.
    let counter: Handle<Counter> = Handle::remote(reference(), Arc::clone(&route) as Arc<dyn Route>);
    CountingHandle::from(counter).tally().tell().await.expect("taken");
    assert_eq!(route.call().mark, "counting/1#tally");
    let found: Handle<Counting> = Handle::remote(reference(), route as Arc<dyn Route>);
    assert_eq!(CountingHandle::from(found).id(), reference().actor);
}

#[test]
fn marks_of_requests_are_the_protocols_whoever_answers() {
    assert_eq!(<CountingAdd as Request<Counting>>::MARK, Some("counting/1#add"));
    assert_eq!(<CountingAdd as Request<Counter>>::MARK, Some("counting/1#add"));
    assert_eq!(<CounterDouble as Request<Counter>>::MARK, Some("counter/1#double"));
    assert_eq!(<WaitingKeep as Request<Counter>>::MARK, None);
}

/// Uses whatever counts.
#[derive(Debug)]
struct Clerk {
    counting: CountingHandle,
}

#[actor]
impl Clerk {
    #[handle]
    async fn note(&mut self, by: i64) -> Option<i64> {
        self.counting.add(by).await.ok()
    }
}

#[tokio::test(start_paused = true)]
async fn a_mock_answers_as_it_is_told_and_writes_down_its_calls() {
    let mock = CountingMock::new().on_add(|by| by + 1);
    let clerk = System::new().spawn(Clerk { counting: mock.handle() });
    assert_eq!(clerk.note(2).await, Ok(Some(3)));
    let counting = mock.handle();
    counting.add(-1).tell().await.expect("taken");
    counting.add(5).try_tell().expect("taken");
    let Err(AskError::Refused(why)) = at_once(counting.tally()).await else {
        panic!("it has no answer for that");
    };
    assert!(why.detail.contains("say `.on_tally(…)`"), "{why}");
    let mock = mock.on_tally(|| Tally { sum: 9 });
    assert_eq!(counting.tally().await, Ok(Tally { sum: 9 }), "handles already made know of it");
    assert_eq!(mock.calls(), ["add(2)", "add(-1)", "add(5)", "tally()", "tally()"]);
    assert!(!counting.is_dead());
    assert_eq!(counting.ping().await, Ok(()));
}

#[test]
fn a_mock_needs_no_system() {
    let filled = ResettingMock::new().on_fill(|with| with.iter().sum());
    let asked = pin!(async move { filled.handle().fill([1; 32]).await });
    let polled = asked.poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(Ok(32)));
    let waiting = WaitingMock::default().on_keep(|| 3).on_wait_for_turn(|_| 4);
    assert_eq!(format!("{waiting:?}"), "WaitingMock(Mock { calls: 0, .. })");
}
