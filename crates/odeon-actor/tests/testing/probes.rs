//! Probes, in a world and under tokio's paused time.

use std::time::Duration;

use odeon::testing::{Probe, TestWorld};
use odeon::{AskError, ExitReason, Handle, Recipient, Sender, System, TryTellError, actor, protocol};

use crate::support::{SECOND, panic_of};

#[derive(Debug, PartialEq, Eq)]
enum Bank {
    Charge(u32),
    Refund(u32),
}

/// Charges its customers.
#[derive(Debug)]
struct Till(Recipient<Bank, bool>);

#[actor]
impl Till {
    #[handle]
    async fn pay(&mut self, cents: u32) -> Result<bool, AskError> {
        self.0.call(Bank::Charge(cents)).within(SECOND).await
    }
}

async fn answers_are_given_by_the_test(system: &System) {
    let bank = Probe::<Bank, bool>::new(system);
    let till = system.spawn(Till(bank.recipient()));
    let paying = async { till.pay(5).await.expect("it lives") };
    let answering = async {
        let charge = bank.expect(SECOND).await;
        assert_eq!(charge.request, Bank::Charge(5));
        assert!(charge.reply.is_wanted() && matches!(charge.sender, Sender::Actor(_)));
        charge.answer(true);
    };
    assert_eq!(tokio::join!(paying, answering).0, Ok(true));
    // Dropped, the asker learns it at once.
    let refusing = async { drop(bank.expect(SECOND).await) };
    assert_eq!(tokio::join!(till.pay(6).into_future(), refusing).0, Ok(Err(AskError::NoReply)));
    // Kept, its deadline holds.
    let keeping = async { bank.expect(SECOND).await };
    let (paid, kept) = tokio::join!(till.pay(7).into_future(), keeping);
    assert_eq!((paid, kept.reply.is_wanted()), (Ok(Err(AskError::Timeout { after: SECOND })), false));
    bank.expect_nothing(SECOND).await;
}

#[test]
fn the_test_answers_in_a_world() {
    for seed in 0..20 {
        let world = TestWorld::seeded(seed);
        world.block_on(answers_are_given_by_the_test(world.system()));
        assert_eq!(world.elapsed(), 2 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn the_test_answers_under_tokios_paused_time() {
    answers_are_given_by_the_test(&System::new()).await;
}

/// Counts.
#[protocol]
trait Counting {
    async fn add(&self, by: i64) -> i64;
}

/// Counts for real.
#[derive(Debug, Default)]
struct Counter(i64);

#[actor]
impl Counter {
    #[handle]
    fn add(&mut self, by: i64) -> i64 {
        self.0 += by;
        self.0
    }
}

#[test]
fn a_probe_stands_for_an_actor_a_protocol_and_a_request() {
    for seed in 0..10 {
        let world = TestWorld::seeded(seed);
        let system = world.system();

        let probe = Probe::<CounterMessage>::new(system);
        let counter: Handle<Counter> = probe.stand_in();
        let sum = world.spawn("of an actor", async move { counter.add(2).await });
        let CounterMessage::Add(added, reply) = world.block_on(probe.expect(SECOND)).request;
        assert_eq!(added.by, 2);
        reply.send(7);
        assert_eq!(world.block_on(sum), Ok(7));

        let probe = Probe::<CountingMessage>::new(system);
        let counting: CountingHandle = probe.stand_in::<Counting>().into();
        let sum = world.spawn("of a protocol", async move { counting.add(3).await });
        let CountingMessage::Add(added, reply) = world.block_on(probe.expect(SECOND)).request;
        assert_eq!(added.by, 3);
        drop(reply);
        assert_eq!(world.block_on(sum), Err(AskError::NoReply));

        let probe = Probe::<CounterAdd, i64>::new(system);
        let adds = probe.recipient();
        let sum = world.spawn("of a request", async move { adds.call(CounterAdd { by: 4 }).await });
        let added = world.block_on(probe.expect_matching(SECOND, |add| add.by == 4));
        added.answer(9);
        assert_eq!(world.block_on(sum), Ok(9));
    }
}

#[test]
fn a_recipient_of_a_probe_is_like_any() {
    let world = TestWorld::from_env();
    let bank = Probe::<Bank, bool>::new(world.system());
    let to = bank.recipient();
    assert_eq!((to.id(), to.is_dead()), (bank.handle().id(), false));
    let late = world.block_on(to.call(Bank::Charge(1)).within(SECOND).into_future());
    assert_eq!((late, world.elapsed()), (Err(AskError::Timeout { after: SECOND }), SECOND));
    for n in 0..1_024 {
        to.call(Bank::Charge(n)).try_tell().expect("there is room");
    }
    let full = to.call(Bank::Refund(1)).try_tell();
    assert!(matches!(full, Err(TryTellError::Full(Bank::Refund(1)))), "{full:?}");
    bank.handle().kill();
    assert_eq!(world.block_on(bank.handle().ended()), ExitReason::Killed);
    let dead = to.call(Bank::Refund(2)).try_tell();
    assert!(
        to.is_dead() && matches!(dead, Err(TryTellError::Dead(Bank::Refund(2), ExitReason::Killed))),
        "{dead:?}"
    );
}

#[test]
fn what_does_not_match_stays_in_its_order() {
    let world = TestWorld::from_env();
    let bank = Probe::<Bank, bool>::new(world.system());
    world.block_on(async {
        for request in [Bank::Charge(1), Bank::Refund(2), Bank::Charge(3), Bank::Refund(4)] {
            bank.recipient().call(request).tell().await.expect("it lives");
        }
        let large =
            bank.expect_matching(SECOND, |request| matches!(request, Bank::Refund(cents) if *cents > 3));
        let large = large.await;
        assert_eq!((&large.request, large.reply.is_wanted()), (&Bank::Refund(4), false));
        assert_eq!(bank.waiting(), 3);
        for left in [Bank::Charge(1), Bank::Refund(2), Bank::Charge(3)] {
            assert_eq!(bank.expect(SECOND).await.request, left);
        }
        assert!(bank.try_next().is_none());
    });
    assert_eq!(world.elapsed(), Duration::ZERO);
}

#[test]
fn a_probe_may_answer_by_itself() {
    let world = TestWorld::from_env();
    let bank = Probe::answering(world.system(), |request| matches!(request, Bank::Charge(_)));
    let handle = bank.recipient();
    let answers =
        world.block_on(async { (handle.call(Bank::Charge(1)).await, handle.call(Bank::Refund(2)).await) });
    assert_eq!(answers, (Ok(true), Ok(false)));
    assert_eq!(bank.try_next().map(|received| received.request), Some(Bank::Charge(1)));
    assert_eq!(bank.waiting(), 1);
}

#[test]
fn what_does_not_come_as_expected_panics_and_says_where() {
    let world = TestWorld::from_env();
    let bank = Probe::<Bank>::new(world.system());
    let text = panic_of(|| drop(world.block_on(bank.expect(SECOND))));
    assert!(text.starts_with(file!()) && text.ends_with("within 1s no such request came"), "{text}");
    assert_eq!(world.elapsed(), SECOND);

    bank.recipient().call(Bank::Charge(1)).try_tell().expect("there is room");
    let text = panic_of(|| {
        drop(world.block_on(bank.expect_matching(SECOND, |request| *request == Bank::Charge(2))))
    });
    assert!(text.starts_with(file!()) && text.ends_with("; 1 wait:\n  Charge(1)"), "{text}");

    let text = panic_of(|| world.block_on(bank.expect_nothing(SECOND)));
    assert!(text.starts_with(file!()) && text.ends_with("not expected: Charge(1)"), "{text}");

    let late = bank.recipient();
    let clock = std::sync::Arc::clone(world.system().clock());
    let _task = world.spawn("late", async move {
        clock.sleep_until(clock.now() + SECOND).await;
        late.call(Bank::Refund(1)).tell().await
    });
    world.block_on(bank.expect_nothing(SECOND - Duration::from_nanos(1)));
    let text = panic_of(|| world.block_on(bank.expect_nothing(SECOND)));
    assert!(text.ends_with("not expected: Refund(1)"), "{text}");
}

#[test]
fn a_probe_keeps_65536_requests_and_not_one_more() {
    let world = TestWorld::from_env();
    let bank = Probe::<u32>::new(world.system());
    let to = bank.recipient();
    let send = |n| to.call(n);
    world.block_on(async {
        for n in 0..65_536 {
            send(n).tell().await.expect("it lives");
        }
        world.run_until_idle();
        assert_eq!(bank.waiting(), 65_536);
        let error = send(0).await.expect_err("it is full");
        assert!(error.to_string().contains("a probe keeps 65536 requests"), "{error}");
    });
}
