//! Timers: when they tick, what a slow actor finds, and when they end.

use std::time::Duration;

use odeon::{
    AskError, Cx, ExitReason, Handle, Reply, SpawnOptions, System, TIMERS_MAX, Tick, TickerError, TimerId,
    actor,
};
use odeon_mailbox::CONTROL_BURST_MAX;
use tokio::time::{Instant, timeout};

use crate::support::{
    Fragile, Gate, Log, PATIENCE, SECOND, Worker, WorkerCalls as _, at_once, ended, settle,
};

/// Sets timers, and logs what comes of them.
struct Clock {
    log: Log,
    began: Instant,
}

#[derive(Debug, Clone, Copy)]
enum Panics {
    Yes,
    No,
}

#[actor]
impl Clock {
    #[handle]
    fn tick_each(&mut self, period: Duration, cx: &mut Cx<Self>) -> Result<TimerId, TickerError> {
        cx.ticker(period, |tick| ClockStrike { tick })
    }

    #[handle]
    fn tick_after(
        &mut self,
        delay: Duration,
        period: Duration,
        cx: &mut Cx<Self>,
    ) -> Result<TimerId, TickerError> {
        cx.ticker_after(delay, period, |tick| ClockStrike { tick })
    }

    #[handle]
    fn once(&mut self, delay: Duration, cx: &mut Cx<Self>) -> Result<TimerId, TickerError> {
        cx.after(delay, |tick| ClockStrike { tick })
    }

    /// Answers after the delay, by the timer's message.
    #[handle]
    fn answer_after(&mut self, delay: Duration, reply: Reply<u64>, cx: &mut Cx<Self>) {
        let set = cx.after(delay, move |tick| ClockAnswer { tick, reply: Some(reply) });
        set.expect("there is room");
    }

    #[handle]
    fn answer(&mut self, tick: Tick, reply: Option<Reply<u64>>) {
        reply.expect("given").send(tick.seqno);
    }

    #[handle]
    fn tick_other(&mut self, other: Handle<Self>, panics: Panics, cx: &mut Cx<Self>) -> TimerId {
        let ticker = cx.ticker_to(&other, SECOND, SECOND, move |tick| {
            assert!(matches!(panics, Panics::No), "as told");
            ClockStrike { tick }
        });
        ticker.expect("there is room")
    }

    #[handle]
    fn once_other(&mut self, other: Handle<Self>, cx: &mut Cx<Self>) -> TimerId {
        cx.after_to(&other, SECOND, |tick| ClockStrike { tick }).expect("there is room")
    }

    /// Sets so many for others, as many for each.
    #[handle]
    fn set_for(&mut self, others: Vec<Handle<Self>>, count: usize, cx: &mut Cx<Self>) -> usize {
        let set = others.iter().cycle().take(count);
        set.filter(|other| cx.after_to(other, SECOND, |tick| ClockStrike { tick }).is_ok()).count()
    }

    #[handle]
    fn cancel(&mut self, timer: TimerId, cx: &mut Cx<Self>) -> bool {
        cx.cancel(timer)
    }

    /// Waits at the gate, then cancels.
    #[handle]
    async fn hold_and_cancel(&mut self, gate: Gate, timer: TimerId, cx: &mut Cx<Self>) -> bool {
        gate.pass().await;
        cx.cancel(timer)
    }

    /// Receives a tick itself, and passes over one.
    #[handle]
    async fn take_strike(&mut self, timer: TimerId, cx: &mut Cx<Self>) -> bool {
        let wanted = |message: &ClockMessage| match message {
            ClockMessage::Strike(ClockStrike { tick }, _) => tick.id == timer,
            _ => false,
        };
        cx.recv_match(wanted).await.is_some()
    }

    /// Passes over what comes within two seconds, and takes all of it if told so.
    #[handle]
    async fn pass_over(&mut self, takes: bool, cx: &mut Cx<Self>) {
        assert!(cx.recv_match(|_| false).within(2 * SECOND).await.is_err());
        while takes && let Some(envelope) = cx.try_recv() {
            match envelope.into_message() {
                ClockMessage::Strike(ClockStrike { tick }, _) => self.log.push(tick.seqno),
                ClockMessage::Note(ClockNote { n }, _) => self.log.push(n),
                other => panic!("{other:?}"),
            }
        }
    }

    #[handle]
    async fn take_or_cancel(&mut self, timer: TimerId, cx: &mut Cx<Self>) -> bool {
        // It waits long enough for a tick to come and be passed over.
        assert!(cx.recv_match(|_| false).within(3 * SECOND).await.is_err());
        cx.cancel(timer)
    }

    #[handle]
    async fn work(&mut self, duration: Duration) {
        tokio::time::sleep(duration).await;
        self.log.push("worked");
    }

    #[handle]
    fn note(&mut self, n: u64) -> u64 {
        self.log.push(n);
        n
    }

    #[handle]
    fn strike(&mut self, tick: Tick, cx: &mut Cx<Self>) {
        assert_eq!((cx.expires_at(), cx.wants_reply(), cx.nonce()), (None, false, tick.seqno));
        self.log.push(format!("{} at {}", tick.seqno, self.began.elapsed().as_millis()));
    }
}

fn clock(system: &System, log: &Log) -> Handle<Clock> {
    system.spawn(Clock { log: log.clone(), began: Instant::now() })
}

/// Lets so much virtual time pass, and what is due happen.
async fn pass(duration: Duration) {
    tokio::time::sleep(duration).await;
    settle().await;
}

const MILLI: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_ticker_ticks_each_period_and_counts_from_0() {
    let (system, log) = (System::new(), Log::default());
    let clock = clock(&system, &log);
    clock.tick_each(SECOND).await.expect("answered").expect("set");
    pass(3 * SECOND + MILLI).await;
    assert_eq!(log.entries(), ["0 at 1000", "1 at 2000", "2 at 3000"]);
}

#[tokio::test(start_paused = true)]
async fn the_first_tick_can_come_at_another_time() {
    let (system, log) = (System::new(), Log::default());
    let clock = clock(&system, &log);
    clock.tick_after(250 * MILLI, SECOND).await.expect("answered").expect("set");
    pass(2 * SECOND + MILLI).await;
    assert_eq!(log.entries(), ["0 at 250", "1 at 1250"]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_a_while_comes_once() {
    let (system, log) = (System::new(), Log::default());
    let clock = clock(&system, &log);
    let timer = clock.once(SECOND).await.expect("answered").expect("set");
    pass(10 * SECOND).await;
    assert_eq!(log.entries(), ["0 at 1000"]);
    assert_eq!(clock.cancel(timer).await, Ok(false), "it is over");
    assert_eq!(clock.answer_after(2 * SECOND).await, Ok(0), "what it holds arrives");
}

#[tokio::test(start_paused = true)]
async fn a_slow_actor_finds_one_tick_and_sees_how_many_it_missed() {
    let (system, log) = (System::new(), Log::default());
    let clock = clock(&system, &log);
    clock.tick_each(SECOND).await.expect("answered").expect("set");
    clock.work(5 * SECOND + 500 * MILLI).tell().await.expect("taken");
    pass(7 * SECOND + MILLI).await;
    assert_eq!(log.entries(), ["worked", "4 at 5500", "5 at 6000", "6 at 7000"]);
}

/// Time that jumps over many periods makes no burst.
#[tokio::test(start_paused = true)]
async fn a_late_timer_makes_up_for_nothing() {
    let (system, log) = (System::new(), Log::default());
    let clock = clock(&system, &log);
    clock.tick_each(SECOND).await.expect("answered").expect("set");
    settle().await;
    tokio::time::advance(10 * SECOND + 500 * MILLI).await;
    settle().await;
    assert_eq!(log.entries(), ["9 at 10500"]);
    pass(SECOND).await;
    assert_eq!(log.entries(), ["9 at 10500", "10 at 11000"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_loses_no_tick_and_control_goes_first() {
    let (system, log) = (System::new(), Log::default());
    let options = SpawnOptions::default().capacity(1);
    let clock = Clock { log: log.clone(), began: Instant::now() };
    let clock = system.spawn_with(options, clock).expect("no name is taken");
    clock.once(SECOND).await.expect("answered").expect("set");
    clock.work(2 * SECOND).tell().await.expect("taken");
    settle().await;
    clock.note(1).try_tell().expect("the one place");
    clock.note(2).try_tell().expect_err("the mailbox is full");
    pass(3 * SECOND).await;
    assert_eq!(log.entries(), ["worked", "0 at 2000", "1"]);
}

#[tokio::test(start_paused = true)]
async fn ticks_do_not_starve_data() {
    let (system, log) = (System::new(), Log::default());
    let clock = clock(&system, &log);
    for _ in 0..2 * CONTROL_BURST_MAX {
        clock.once(SECOND).await.expect("answered").expect("set");
    }
    clock.work(2 * SECOND).tell().await.expect("taken");
    clock.note(1).tell().await.expect("taken");
    pass(3 * SECOND).await;
    let entries = log.entries();
    assert_eq!(entries.iter().position(|entry| entry == "1"), Some(1 + CONTROL_BURST_MAX));
    assert_eq!(entries.len(), 2 + 2 * CONTROL_BURST_MAX);
}

/// Ticks that a receive has passed over neither, whoever takes them then.
#[tokio::test(start_paused = true)]
async fn ticks_passed_over_do_not_starve_data() {
    for takes in [false, true] {
        let (system, log) = (System::new(), Log::default());
        let clock = clock(&system, &log);
        for _ in 0..2 * CONTROL_BURST_MAX {
            clock.once(SECOND).await.expect("answered").expect("set");
        }
        clock.pass_over(takes).tell().await.expect("taken");
        for n in 1..=2 {
            clock.note(n).tell().await.expect("taken");
        }
        pass(3 * SECOND).await;
        let entries = log.entries();
        let place = |entry: &str| entries.iter().position(|e| e == entry).expect("it was logged");
        assert_eq!(
            (place("1"), place("2")),
            (CONTROL_BURST_MAX, 2 * CONTROL_BURST_MAX + 1),
            "takes: {takes}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_actor_handles_its_ticks() {
    let (system, log) = (System::new(), Log::default());
    let clock = clock(&system, &log);
    clock.tick_each(100 * MILLI).await.expect("answered").expect("set");
    for _ in 0..100 {
        clock.work(10 * MILLI).tell().await.expect("taken");
    }
    pass(SECOND + 500 * MILLI).await;
    let entries = log.entries();
    let worked = entries.iter().rposition(|entry| entry == "worked").expect("worked");
    let ticks = entries[..worked].iter().filter(|entry| *entry != "worked").count();
    assert!(ticks >= 9, "{ticks} ticks among the work");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_timer_is_not_heard_of_again() {
    let (system, log) = (System::new(), Log::default());
    let clock = clock(&system, &log);
    let timer = clock.tick_each(SECOND).await.expect("answered").expect("set");
    pass(SECOND + MILLI).await;
    assert_eq!(clock.cancel(timer).await, Ok(true));
    assert_eq!(clock.cancel(timer).await, Ok(false));
    let timer = clock.tick_each(SECOND).await.expect("answered").expect("set");
    let gate = Gate::new();
    clock.hold_and_cancel(gate.clone(), timer).tell().await.expect("taken");
    // Its tick is queued when it is cancelled.
    pass(2 * SECOND).await;
    gate.open();
    let timer = clock.tick_each(SECOND).await.expect("answered").expect("set");
    // Its tick has been passed over by a receive when it is cancelled.
    assert_eq!(clock.take_or_cancel(timer).await, Ok(true));
    pass(5 * SECOND).await;
    assert_eq!(log.entries(), ["0 at 1000"]);
}

#[tokio::test(start_paused = true)]
async fn a_receive_takes_ticks_and_passes_over_them() {
    let (system, log) = (System::new(), Log::default());
    let clock = clock(&system, &log);
    clock.once(SECOND).await.expect("answered").expect("set");
    let timer = clock.once(2 * SECOND).await.expect("answered").expect("set");
    assert_eq!(clock.take_strike(timer).await, Ok(true));
    pass(2 * SECOND).await;
    assert_eq!(log.entries(), ["0 at 2000"], "it was passed over, and handled afterwards");
    assert_eq!(clock.cancel(timer).await, Ok(false), "it is over");
}

#[tokio::test(start_paused = true)]
async fn a_timer_ends_with_its_owner_and_with_its_receiver() {
    let (system, log) = (System::new(), Log::default());
    let (owner, other) = (clock(&system, &Log::default()), clock(&system, &log));
    owner.tick_other(other.clone(), Panics::No).await.expect("set");
    owner.once_other(other.clone()).await.expect("set");
    pass(2 * SECOND + MILLI).await;
    assert_eq!(log.entries(), ["0 at 1000", "0 at 1000", "1 at 2000"]);
    owner.stop();
    ended(&owner).await;
    pass(3 * SECOND).await;
    assert_eq!(log.entries().len(), 3, "with its owner");
    let owner = clock(&system, &Log::default());
    let timer = owner.tick_other(other.clone(), Panics::No).await.expect("set");
    other.stop();
    ended(&other).await;
    pass(2 * SECOND).await;
    assert_eq!(owner.cancel(timer).await, Ok(false), "with its receiver");
}

#[tokio::test(start_paused = true)]
async fn what_panics_on_making_a_tick_for_another_harms_only_the_timer() {
    let (system, log) = (System::new(), Log::default());
    let (owner, other) = (clock(&system, &Log::default()), clock(&system, &log));
    let timer = owner.tick_other(other.clone(), Panics::Yes).await.expect("set");
    pass(3 * SECOND).await;
    assert_eq!(other.note(1).await, Ok(1));
    assert_eq!(owner.cancel(timer).await, Ok(false));
    let timer = owner.tick_other(owner.clone(), Panics::Yes).await.expect("set");
    let _ = timer;
    let ExitReason::Panicked(panic) = ended(&owner).await else {
        panic!("it is its own code");
    };
    assert!(panic.message.contains("as told"));
}

#[tokio::test(start_paused = true)]
async fn an_actor_sets_16384_timers_and_not_one_more() {
    let (system, log) = (System::new(), Log::default());
    let (clock, other) = (clock(&system, &log), clock(&system, &log));
    let mut last = None;
    for _ in 0..TIMERS_MAX {
        last = Some(clock.once(SECOND).await.expect("answered").expect("there is room"));
    }
    assert_eq!(TIMERS_MAX, 16_384);
    assert_eq!(clock.once(SECOND).await, Ok(Err(TickerError::TooMany)));
    assert!(other.tick_other(other.clone(), Panics::No).await.is_ok(), "others have room of their own");
    other.tick_other(clock.clone(), Panics::No).await.expect_err("no more can send to it");
    assert_eq!(clock.cancel(last.expect("set")).await, Ok(true));
    clock.once(SECOND).await.expect("answered").expect("there is room again");
    pass(2 * SECOND).await;
    assert_eq!(log.entries().len(), TIMERS_MAX);
    clock.once(SECOND).await.expect("answered").expect("all are over");
}

#[tokio::test(start_paused = true)]
async fn an_actor_sets_16384_timers_for_others_and_not_one_more() {
    let (system, log) = (System::new(), Log::default());
    let (owner, others) = (clock(&system, &log), vec![clock(&system, &log), clock(&system, &log)]);
    assert_eq!(owner.set_for(others.clone(), TIMERS_MAX).await, Ok(TIMERS_MAX));
    assert_eq!(owner.set_for(others.clone(), 1).await, Ok(0));
    pass(2 * SECOND).await;
    assert_eq!(owner.set_for(others, TIMERS_MAX).await, Ok(TIMERS_MAX), "those that are over do not count");
}

#[tokio::test(start_paused = true)]
async fn a_period_of_nothing_is_a_millisecond() {
    let (system, log) = (System::new(), Log::default());
    let clock = clock(&system, &log);
    clock.tick_each(Duration::ZERO).await.expect("answered").expect("set");
    pass(3 * MILLI).await;
    assert!((1..=5).contains(&log.entries().len()), "{:?}", log.entries());
    assert_eq!(at_once(clock.ping()).await, Ok(()));
}

/// Sets a timer whose message holds something that panics when dropped.
#[derive(Default)]
struct Careless;

#[actor]
impl Careless {
    #[handle]
    fn arm(&mut self, to: Option<Handle<Self>>, cx: &mut Cx<Self>) -> bool {
        let fragile = Fragile;
        let make = move |_| {
            let _ = &fragile;
            CarelessIdle {}
        };
        match to {
            Some(to) => cx.ticker_to(&to, SECOND, SECOND, make).is_ok(),
            None => cx.ticker(SECOND, make).is_ok(),
        }
    }

    #[handle]
    fn idle(&mut self) {}
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_panics_when_dropped_harms_nobody() {
    let system = System::new();
    let (own, sender, receiver) = (system.spawn(Careless), system.spawn(Careless), system.spawn(Careless));
    assert_eq!(own.arm(None).await, Ok(true));
    assert_eq!(sender.arm(Some(receiver.clone())).await, Ok(true));
    own.kill();
    receiver.kill();
    assert_eq!(ended(&own).await, ExitReason::Killed, "its end is told");
    assert_eq!(ended(&receiver).await, ExitReason::Killed);
    // The timer to the dead one is dropped when it is due, by the task that all timers share.
    tokio::time::sleep(3 * SECOND).await;
    let (log, gate) = (Log::default(), Gate::new());
    let held = system.spawn(Worker::logging(&log));
    held.hold(gate.clone()).tell().await.expect("taken");
    timeout(PATIENCE, gate.wait_entered()).await.expect("actors still run");
    let late =
        timeout(PATIENCE, held.note(1).within(SECOND).into_future()).await.expect("deadlines still come");
    assert!(matches!(late, Err(AskError::Timeout { .. })), "deadlines still come: {late:?}");
    assert_eq!(sender.idle().await, Ok(()), "and actors still run");
}
