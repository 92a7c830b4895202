//! Worlds: determinism, virtual time, deadlocks and limits.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use odeon::testing::TestWorld;
use odeon::{AskError, Cx, ExitReason, Handle, System, Tick, TickerError, actor};

use crate::support::{Log, LogCalls as _, SECOND, panic_of, program};

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_seed_gives_one_schedule_and_others_give_others() {
    let run = |seed| {
        let world = TestWorld::seeded(seed);
        let entries = world.block_on(program(&world));
        (world.trace(), entries)
    };
    let (mut schedules, mut outcomes) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..20 {
        let (one, two) = (run(seed), run(seed));
        assert_eq!(one, two, "seed {seed}");
        schedules.insert(one.0.hash());
        outcomes.insert(one.1);
    }
    assert!(schedules.len() > 15, "{} schedules of 20 seeds", schedules.len());
    assert!(outcomes.len() > 5, "{} outcomes of 20 seeds", outcomes.len());
}

#[test]
fn asks_run_on_the_askers_stack_and_through_the_mailbox() {
    let world = TestWorld::seeded(1);
    let log = world.system().spawn(Log::default());
    let (mut inline, mut queued) = (0, 0);
    world.block_on(async {
        for n in 0..200 {
            let before = world.trace().last().filter(|event| event.is_inline()).count();
            log.push(n).await.expect("it lives");
            let after = world.trace().last().filter(|event| event.is_inline()).count();
            if after > before { inline += 1 } else { queued += 1 }
        }
    });
    assert!(inline > 50 && queued > 50, "{inline} inline, {queued} queued");
}

#[test]
fn an_hour_takes_no_time() {
    let world = TestWorld::from_env();
    let ran = Arc::new(AtomicU32::new(0));
    let (clock, counting) = (Arc::clone(world.system().clock()), Arc::clone(&ran));
    let beside = world.spawn("an hour", async move {
        clock.sleep_until(clock.now() + HOUR).await;
        counting.fetch_add(1, Ordering::Relaxed);
    });
    let unix_ms = world.system().clock().unix_ms();
    world.advance(HOUR - Duration::from_nanos(1));
    assert_eq!((ran.load(Ordering::Relaxed), world.elapsed()), (0, HOUR - Duration::from_nanos(1)));
    world.advance(Duration::from_nanos(1));
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    world.block_on(async {
        beside.await;
        // Also within the test, and where nothing is due.
        world.advance(HOUR);
        world.sleep(HOUR).await;
    });
    assert_eq!((world.elapsed(), world.system().clock().unix_ms()), (3 * HOUR, unix_ms + 3 * 3_600_000));
}

/// Strikes the hour four times, and waits in vain for half an hour.
#[derive(Debug)]
struct Tower;

#[actor]
impl Tower {
    #[started]
    fn begin(&mut self, cx: &mut Cx<Self>) -> Result<(), TickerError> {
        cx.ticker(HOUR, |tick| TowerStrike { tick })?;
        Ok(())
    }

    #[handle]
    async fn strike(&mut self, tick: Tick, cx: &mut Cx<Self>) {
        if tick.seqno >= 3 {
            let next = cx.recv().within(HOUR / 2).await;
            assert!(next.is_err(), "it comes in an hour");
            cx.stop();
        }
    }
}

#[test]
fn tickers_and_receives_have_the_worlds_time() {
    for seed in 0..10 {
        let world = TestWorld::seeded(seed);
        let begun = world.now();
        let tower = world.system().spawn(Tower);
        let handle = tower.clone();
        let watching = world.spawn("watches", async move { handle.ended().await });
        assert_eq!((world.block_on(watching), tower.is_dead()), (ExitReason::Normal, true));
        assert_eq!(world.now() - begun, 9 * HOUR / 2);
    }
}

/// Waits for what does not come.
#[derive(Debug)]
struct Stuck;

#[actor]
impl Stuck {
    #[handle]
    async fn hang(&mut self) {
        pending::<()>().await;
    }

    #[handle]
    fn never_reached(&mut self) {}

    #[handle]
    fn fall(&mut self) {
        panic!("as planned");
    }
}

#[test]
fn a_deadlock_is_told_with_who_waits() {
    let world = TestWorld::from_env();
    let stuck = world.system().spawn(Stuck);
    let watched = stuck.clone();
    let _waits = world.spawn("watcher", async move { watched.ended().await });
    let text = panic_of(|| {
        world.block_on(async {
            stuck.hang().tell().await.expect("it lives");
            stuck.never_reached().tell().await.expect("it lives");
            stuck.ended().await;
        });
    });
    for part in [
        "deadlock",
        "actor 1",
        "Stuck: a handler waits, 1 messages queued",
        "task `watcher` (Service)",
        "the test",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    // The world lives on.
    stuck.kill();
    assert_eq!(world.block_on(stuck.ended()), ExitReason::Killed);
}

#[test]
fn an_ask_that_is_never_answered_times_out_in_virtual_time() {
    let world = TestWorld::from_env();
    let stuck = world.system().spawn(Stuck);
    let asked = world.block_on(stuck.hang());
    assert_eq!(asked, Err(AskError::Timeout { after: 5 * SECOND }));
    assert_eq!(world.elapsed(), 5 * SECOND);
}

/// Sends to itself for ever.
#[derive(Debug)]
struct Restless;

#[actor]
impl Restless {
    #[handle]
    fn again(&mut self, cx: &mut Cx<Self>) {
        cx.me().again().try_tell().expect("there is room");
    }
}

#[test]
fn what_goes_round_in_circles_is_told() {
    let world = TestWorld::from_env();
    world.limit_steps(1_000);
    let restless = world.system().spawn(Restless);
    restless.again().try_tell().expect("there is room");
    let text = panic_of(|| world.run_until_idle());
    assert!(text.contains("circles") && text.contains("Restless"), "{text}");
    let text = panic_of(|| world.block_on(pending()));
    assert!(text.contains("not ready after 1000 steps"), "{text}");
}

#[test]
fn a_call_may_take_as_many_steps_as_the_limit_says() {
    let world = TestWorld::from_env();
    let steps = {
        let before = world.trace().count();
        world.block_on(program(&world));
        world.trace().count() - before
    };
    let world = TestWorld::from_env();
    world.limit_steps(steps);
    world.block_on(program(&world));
}

#[test]
fn a_panic_of_a_task_is_one_of_the_test_and_a_panic_of_an_actor_is_not() {
    let world = TestWorld::from_env();
    let _task = world.spawn("breaks", async { panic!("as planned") });
    let text = panic_of(|| world.run_until_idle());
    assert_eq!(text, "as planned");
    let stuck = world.system().spawn(Stuck);
    stuck.fall().try_tell().expect("there is room");
    let ended = world.block_on(stuck.ended());
    assert!(matches!(ended, ExitReason::Panicked(_)), "{ended:?}");
}

#[test]
fn block_on_does_not_nest() {
    let world = TestWorld::from_env();
    let text = panic_of(|| world.block_on(async { world.block_on(async {}) }));
    assert!(text.contains("await the future"), "{text}");
    assert_eq!(world.block_on(async { 7 }), 7);
}

/// Counts how many of it there are.
#[derive(Debug)]
struct Counted {
    _alive: Arc<()>,
    other: Option<Handle<Self>>,
}

#[actor]
impl Counted {
    #[handle]
    async fn hang(&mut self) -> bool {
        pending::<()>().await;
        self.other.is_some()
    }
}

#[test]
fn nothing_is_left_of_a_world() {
    let alive = Arc::new(());
    let world = TestWorld::from_env();
    let spawn = |other| world.system().spawn(Counted { _alive: Arc::clone(&alive), other });
    let one = spawn(None);
    let two = spawn(Some(one.clone()));
    let (kept, held) = (Arc::clone(&alive), one.clone());
    let _task = world.spawn("hangs", async move {
        let _kept = kept;
        held.hang().await
    });
    two.hang().try_tell().expect("there is room");
    world.run_until_idle();
    let _sleep = world.sleep(HOUR);
    assert_eq!(Arc::strong_count(&alive), 4);
    drop(world);
    assert_eq!(Arc::strong_count(&alive), 1, "actors and tasks went with it");
    assert!(one.is_dead() && two.is_dead());
}

#[test]
fn the_numbers_of_a_test_come_from_the_seed_and_leave_the_schedule_alone() {
    let (one, two) = (TestWorld::seeded(5), TestWorld::seeded(5));
    let numbers = |world: &TestWorld| (0..8).map(|_| world.random_below(100)).collect::<Vec<_>>();
    assert_eq!(numbers(&one), numbers(&two));
    assert_ne!(numbers(&one), numbers(&TestWorld::seeded(6)));
    one.block_on(program(&one));
    let three = TestWorld::seeded(5);
    three.block_on(program(&three));
    assert_eq!(one.trace(), three.trace());
}

#[test]
fn names_monitors_and_shutdown_work_in_a_world() {
    let world = TestWorld::from_env();
    let system: System = world.system().clone();
    let stuck = system.spawn(Stuck);
    system.register("stuck".parse().expect("a name"), &stuck).expect("it is free");
    stuck.hang().try_tell().expect("there is room");
    // Else the stop might overtake it.
    world.run_until_idle();
    world.block_on(async {
        let begun = world.now();
        system.shutdown(SECOND).await;
        assert_eq!(world.now() - begun, SECOND, "it is stubborn");
    });
    assert_eq!(
        (system.live(), system.lookup::<Stuck>(&"stuck".parse().expect("a name")).is_none()),
        (0, true)
    );
}
