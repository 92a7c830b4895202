//! Asks that would wait for themselves fail at once; all others are left alone.

use std::time::Duration;

use odeon::{AskError, Cx, Envelope, Handle, Reply, SpawnOptions, Switch, System, actor};

use crate::support::{Gate, SECOND, at_once, beside, name, settle, wait_for};

/// Asks others on behalf of who asks it.
#[derive(Default)]
struct Link {
    kept: Vec<Reply<u64>>,
    gate: Option<Gate>,
}

type LinkHandle = Handle<Link>;

#[actor]
impl Link {
    /// Asks the first of `way` to ask the others.
    #[handle]
    async fn pass(&mut self, way: Vec<LinkHandle>) -> Result<u64, AskError> {
        let mut way = way.into_iter();
        match way.next() {
            Some(next) => next.pass(way.collect()).within(60 * SECOND).await?,
            None => Ok(1),
        }
    }

    /// Waits at the gate, then asks.
    #[handle]
    async fn wait_and_ask(&mut self, other: LinkHandle) -> Result<u64, AskError> {
        if let Some(gate) = &self.gate {
            gate.pass().await;
        }
        other.pass(Vec::new()).await?
    }

    #[handle]
    async fn hold(&mut self) {
        if let Some(gate) = &self.gate {
            gate.pass().await;
        }
    }

    #[handle]
    fn keep(&mut self, reply: Reply<u64>) {
        self.kept.push(reply);
    }

    #[handle]
    async fn ask_to_keep(&mut self, other: LinkHandle) -> Result<u64, AskError> {
        other.keep().within(60 * SECOND).await
    }

    #[handle]
    fn answer_kept(&mut self) {
        self.kept.drain(..).for_each(|reply| reply.send(7));
    }

    /// Asks while it holds ports.
    #[handle]
    async fn ask_meanwhile(&mut self, other: LinkHandle, within: Duration) -> Result<u64, AskError> {
        other.pass(Vec::new()).within(within).await?
    }

    /// Takes the next message, asks, and answers what it took.
    #[handle]
    async fn take_and_ask(
        &mut self,
        other: LinkHandle,
        within: Duration,
        cx: &mut Cx<Self>,
    ) -> Result<u64, AskError> {
        let taken = cx.recv().await;
        let answer = other.pass(Vec::new()).within(within).await;
        if let Some(LinkMessage::Pass(_, reply)) = taken.map(Envelope::into_message) {
            reply.send(Ok(1));
        }
        answer?
    }
}

fn links(system: &System, count: usize) -> Vec<LinkHandle> {
    system.detect_cycles(Switch::On);
    (0..count).map(|_| system.spawn(Link::default())).collect()
}

fn numbers(error: &AskError) -> Vec<u64> {
    match error {
        AskError::Cycle { path } => path.iter().map(|label| label.number).collect(),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_asks_itself_learns_it_at_once() {
    let links = links(&System::new(), 1);
    let error = at_once(links[0].pass(links.clone())).await.expect("answered").expect_err("a cycle");
    assert_eq!(numbers(&error), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn two_actors_that_ask_each_other_learn_it_at_once() {
    let system = System::new();
    let links = links(&system, 2);
    system.register(name("first"), &links[0]).expect("free");
    let way = vec![links[1].clone(), links[0].clone()];
    let error = at_once(links[0].pass(way)).await.expect("answered").expect_err("a cycle");
    assert_eq!(numbers(&error), [2, 1, 2]);
    assert_eq!(
        error.to_string(),
        "the ask would wait for itself: Link 2, which asks first (Link 1), which asks Link 2"
    );
    assert_eq!(at_once(links[0].pass(Vec::new())).await, Ok(Ok(1)), "both go on");
}

#[tokio::test(start_paused = true)]
async fn a_cycle_of_five_is_found_wherever_it_closes() {
    for closes_at in 0..5 {
        let links = links(&System::new(), 5);
        let mut way = links[1..].to_vec();
        way.push(links[closes_at].clone());
        let error = at_once(links[0].pass(way)).await.expect("answered").expect_err("a cycle");
        let closed = closes_at as u64 + 1;
        let expected: Vec<_> = std::iter::once(5).chain(closed..=5).collect();
        assert_eq!(numbers(&error), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_is_no_cycle() {
    let links = links(&System::new(), 5);
    assert_eq!(at_once(links[0].pass(links[1..].to_vec())).await, Ok(Ok(1)));
    // Nor is one whose earlier asks have been answered.
    for n in 0..5 {
        assert_eq!(at_once(links[n].pass(vec![links[(n + 1) % 5].clone()])).await, Ok(Ok(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_its_answer_is_not_waiting_although_it_has_not_looked() {
    let (system, gate) = (System::new(), Gate::new());
    let links = links(&system, 1);
    let other = system.spawn(Link { gate: Some(gate.clone()), ..Link::default() });
    other.hold().tell().await.expect("taken");
    gate.wait_entered().await;
    let mut asks = Vec::new();
    for (depth, way) in [(1, [links[0].clone(), other.clone()]), (2, [other.clone(), links[0].clone()])] {
        let [first, then] = way;
        asks.push(beside(async move { first.pass(vec![then]).await }));
        wait_for("it is queued", || other.depth() == depth).await;
    }
    // It answers the first and asks back for the second, before anybody else runs.
    gate.open();
    for ask in asks {
        assert_eq!(at_once(ask.result()).await, Ok(Ok(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_each_other_by_chance_are_found() {
    let (system, gate) = (System::new(), Gate::new());
    let links = links(&system, 1);
    let other = system.spawn(Link { gate: Some(gate.clone()), ..Link::default() });
    let one = beside({
        let (other, first) = (other.clone(), links[0].clone());
        async move { other.wait_and_ask(first).await }
    });
    gate.wait_entered().await;
    let two = beside({
        let (other, first) = (other.clone(), links[0].clone());
        async move { first.pass(vec![other]).await }
    });
    wait_for("the second waits in line", || other.depth() == 1).await;
    gate.open();
    let error = at_once(one.result()).await.expect("answered").expect_err("a cycle");
    assert_eq!(numbers(&error), [2, 1, 2]);
    assert_eq!(at_once(two.result()).await, Ok(Ok(1)), "its ask is answered after all");
}

#[tokio::test(start_paused = true)]
async fn who_answers_later_is_not_waiting() {
    let (system, gate) = (System::new(), Gate::new());
    let links = links(&system, 1);
    let keeper = system.spawn(Link { gate: Some(gate.clone()), ..Link::default() });
    let asking = beside({
        let (keeper, first) = (keeper.clone(), links[0].clone());
        async move { first.ask_to_keep(keeper).await }
    });
    settle().await;
    // It may ask whoever waits for it: somebody else might have the port by now. So this is none of detection's.
    let within = Duration::from_secs(1);
    let late = keeper.ask_meanwhile(links[0].clone(), within).await.expect("answered");
    assert!(matches!(late, Err(AskError::Timeout { .. })), "{late:?}");
    assert_eq!(keeper.answer_kept().await, Ok(()));
    assert_eq!(asking.result().await, Ok(Ok(7)));
}

#[tokio::test(start_paused = true)]
async fn who_takes_messages_itself_is_not_waiting() {
    let system = System::new();
    let links = links(&system, 1);
    let other = system.spawn(Link::default());
    // It takes the other's ask by itself, and asks back before it has answered.
    let asking_back = beside({
        let (other, first) = (other.clone(), links[0].clone());
        async move { other.take_and_ask(first, SECOND).await }
    });
    settle().await;
    assert_eq!(links[0].pass(vec![other]).await, Ok(Ok(1)), "answered by the one that asks it");
    let late = asking_back.result().await.expect("answered");
    assert!(matches!(late, Err(AskError::Timeout { .. })), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn code_that_is_no_actor_is_part_of_no_cycle() {
    let (system, gate) = (System::new(), Gate::new());
    let links = links(&system, 1);
    let other = system.spawn(Link { gate: Some(gate.clone()), ..Link::default() });
    // Code outside waits for both, and both for nobody.
    let waiting = beside({
        let (other, first) = (other.clone(), links[0].clone());
        async move { tokio::join!(other.wait_and_ask(first.clone()), first.pass(Vec::new())) }
    });
    gate.wait_entered().await;
    gate.open();
    assert_eq!(at_once(waiting.result()).await, (Ok(Ok(1)), Ok(Ok(1))));
}

#[tokio::test(start_paused = true)]
async fn without_detection_a_cycle_ends_at_its_deadline() {
    let system = System::new();
    let links = links(&system, 2);
    system.detect_cycles(Switch::Off);
    let way = vec![links[1].clone(), links[0].clone()];
    let ended = links[0].pass(way).within(2 * SECOND).await;
    assert!(matches!(ended, Err(AskError::Timeout { .. })), "{ended:?}");
    // By default it is on where debug assertions are.
    let system = System::new();
    let own = system.spawn_with(SpawnOptions::default(), Link::default()).expect("no name");
    let found = own.pass(vec![own.clone()]).within(2 * SECOND).await;
    assert_eq!(matches!(found, Ok(Err(AskError::Cycle { .. }))), cfg!(debug_assertions), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_asks_that_close_a_cycle_together_one_finds_it() {
    for round in 0..200 {
        let system = System::new();
        let links = links(&system, 2);
        let asks = [0, 1].map(|n| {
            let (own, other) = (links[n].clone(), links[1 - n].clone());
            beside(async move { own.pass(vec![other]).within(60 * SECOND).await })
        });
        for ask in asks {
            let answer = ask.result().await.expect("answered, long before its deadline");
            assert!(matches!(answer, Ok(1) | Err(AskError::Cycle { .. })), "round {round}: {answer:?}");
        }
    }
}
