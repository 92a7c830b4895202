//! Cycles of asks that go over the handles of protocols and proxies.

use odeon::{AskError, Handle, Proxied, Reply, Switch, System, actor, protocol};

use crate::support::{SECOND, at_once, beside, settle};

/// Asks that go round.
#[protocol]
pub(crate) trait Rounds {
    /// Asks the first of `way` to ask the others.
    async fn go(&self, way: Vec<Step>) -> Result<u64, AskError>;
    /// Answers later.
    async fn keep(&self) -> u64;
}

/// How the next one is asked.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// By its own handle.
    Own(Handle<Walker>),
    /// By that of its protocol.
    Protocol(RoundsHandle),
}

/// Speaks the protocol.
#[derive(Debug, Default)]
pub(crate) struct Walker {
    kept: Vec<Reply<u64>>,
}

#[actor(protocol = Rounds)]
impl Walker {
    #[handle]
    async fn go(&mut self, way: Vec<Step>) -> Result<u64, AskError> {
        let mut way = way.into_iter();
        match way.next() {
            Some(Step::Own(next)) => next.go(way.collect()).within(60 * SECOND).await?,
            Some(Step::Protocol(next)) => next.go(way.collect()).within(60 * SECOND).await?,
            None => Ok(1),
        }
    }

    #[handle]
    fn keep(&mut self, reply: Reply<u64>) {
        self.kept.push(reply);
    }

    /// Has another keep its ask, by its protocol.
    #[handle]
    async fn ask_to_keep(&mut self, other: RoundsHandle) -> Result<u64, AskError> {
        other.keep().within(60 * SECOND).await
    }

    /// Answers nothing that it keeps until it has asked.
    #[handle]
    async fn ask_and_answer(&mut self, other: Handle<Self>) -> bool {
        let late = other.go(Vec::new()).within(SECOND).await;
        self.kept.drain(..).for_each(|reply| reply.send(7));
        matches!(late, Err(AskError::Timeout { .. }))
    }
}

/// Passes on what it gets, or answers in the other's place.
struct Porter {
    to: Handle<Walker>,
    passes_on: bool,
}

#[actor]
impl Porter {
    #[handle(boxed)]
    async fn carry(&mut self, item: Proxied<Walker>) {
        if self.passes_on {
            // Its asker hears whatever comes of it.
            let _ = self.to.forward(item.envelope).await;
        } else if let WalkerMessage::Go(_, reply) = item.into_message() {
            reply.send(Ok(3));
        }
    }
}

fn walkers(count: usize) -> (System, Vec<Handle<Walker>>) {
    let system = System::new();
    system.detect_cycles(Switch::On);
    let walkers = (0..count).map(|_| system.spawn(Walker::default())).collect();
    (system, walkers)
}

/// A handle of `to` whose messages a porter gets.
fn carried(system: &System, to: &Handle<Walker>, passes_on: bool) -> Handle<Walker> {
    let porter = system.spawn(Porter { to: to.clone(), passes_on });
    let reference = "web-0@/shop:walker".parse().expect("a reference");
    Handle::via(&porter, reference, |item| PorterCarry { item }).expect("it is here")
}

fn numbers(error: &AskError) -> Vec<u64> {
    match error {
        AskError::Cycle { path } => path.iter().map(|label| label.number).collect(),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_cycle_over_protocols_is_found_whichever_of_its_asks_go_over_one() {
    for over in 0..8 {
        let (_, walkers) = walkers(3);
        let step = |n: usize, bit: u8| match over >> bit & 1 {
            0 => Step::Own(walkers[n].clone()),
            _ => Step::Protocol(walkers[n].as_protocol()),
        };
        let way = vec![step(1, 0), step(2, 1), step(0, 2)];
        let error = at_once(walkers[0].go(way)).await.expect("answered").expect_err("a cycle");
        assert_eq!(numbers(&error), [3, 1, 2, 3], "{over:b}");
        let chain = vec![step(1, 0), step(2, 1)];
        assert_eq!(at_once(walkers[0].go(chain)).await, Ok(Ok(1)), "a chain is none");
    }
}

#[tokio::test(start_paused = true)]
async fn who_answers_later_over_a_protocol_is_not_waiting() {
    let (_, walkers) = walkers(2);
    let asking = beside({
        let (own, keeper) = (walkers[0].clone(), walkers[1].as_protocol());
        async move { own.ask_to_keep(keeper).await }
    });
    settle().await;
    assert_eq!(walkers[1].ask_and_answer(walkers[0].clone()).await, Ok(true), "it ended at its deadline");
    assert_eq!(asking.result().await, Ok(Ok(7)));
}

#[tokio::test(start_paused = true)]
async fn a_cycle_by_way_of_a_proxy_is_found_by_whoever_closes_it() {
    let (system, walkers) = walkers(2);
    let carried = carried(&system, &walkers[1], true);
    let way = vec![Step::Own(carried.clone()), Step::Own(walkers[0].clone())];
    let error = at_once(walkers[0].go(way)).await.expect("answered").expect_err("a cycle");
    assert_eq!(numbers(&error), [2, 1, 2], "the one behind the proxy closes it");

    let way = vec![Step::Own(walkers[0].clone()), Step::Own(carried.clone())];
    let error = at_once(walkers[1].go(way)).await.expect("answered").expect_err("a cycle");
    assert_eq!(numbers(&error), [1, 2, 1], "the proxy would close it, and its asker hears of it");

    let way = vec![Step::Own(carried)];
    assert_eq!(at_once(walkers[0].go(way)).await, Ok(Ok(1)), "a chain is none");
}

#[tokio::test(start_paused = true)]
async fn who_is_behind_a_proxy_that_answers_itself_is_not_waited_for() {
    let (system, walkers) = walkers(2);
    let carried = carried(&system, &walkers[1], false);
    let way = vec![Step::Own(walkers[0].clone()), Step::Own(carried)];
    assert_eq!(at_once(walkers[1].go(way)).await, Ok(Ok(3)));
}
