//! The helpers: conditions and dead letters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use odeon::testing::{DeadLetters, Probe, TestWorld, wait_for};
use odeon::{DeadReason, ExitReason, System};

use crate::support::{Log, LogCalls as _, SECOND, panic_of};

async fn a_condition_comes(system: &System) {
    let log = system.spawn(Log::default());
    let clock = system.clock();
    let begun = clock.now();
    let late = begun + Duration::from_millis(20);
    let writing = async {
        clock.sleep_until(late).await;
        log.push(1).tell().await.expect("it lives");
        log.stop();
    };
    let waiting = wait_for(system, "the log ends", SECOND, || log.is_dead());
    tokio::join!(writing, waiting);
    let took = clock.now() - begun;
    assert!((20..40).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn a_condition_comes_in_a_world() {
    let world = TestWorld::from_env();
    world.block_on(a_condition_comes(world.system()));
}

#[tokio::test(start_paused = true)]
async fn a_condition_comes_under_tokios_paused_time() {
    a_condition_comes(&System::new()).await;
}

#[test]
fn a_condition_that_does_not_come_is_told_at_its_deadline() {
    let world = TestWorld::from_env();
    let looks = Arc::new(AtomicU32::new(0));
    let looking = Arc::clone(&looks);
    let never = move || looking.fetch_add(1, Ordering::Relaxed) > 10_000;
    let text = panic_of(|| world.block_on(wait_for(world.system(), "the end of days", SECOND, never)));
    assert!(
        text.contains(file!()) && text.ends_with("within 1s this did not come: the end of days"),
        "{text}"
    );
    assert_eq!((world.elapsed(), looks.load(Ordering::Relaxed)), (SECOND, 1_001));
}

#[test]
fn dead_letters_are_collected() {
    let world = TestWorld::from_env();
    let letters = DeadLetters::collect(world.system());
    let probe = Probe::<u32>::new(world.system());
    for n in 0..3 {
        probe.recipient().call(n).try_tell().expect("there is room");
    }
    probe.handle().kill();
    world.run_until_idle();
    let all = letters.all();
    assert_eq!((all.len(), &all[0].reason), (3, &DeadReason::Ended(ExitReason::Killed)));
    assert!(all[0].kind.contains("Stand"));
    assert_eq!((letters.take().len(), letters.all().len()), (3, 0));
}

#[test]
fn the_first_65536_dead_letters_are_kept() {
    let world = TestWorld::from_env();
    let letters = DeadLetters::collect(world.system());
    let options = odeon::SpawnOptions::default().capacity(65_537);
    let log = world.system().spawn_with(options, Log::default()).expect("it has no name");
    while log.push(1).try_tell().is_ok() {}
    log.kill();
    world.run_until_idle();
    assert_eq!((letters.all().len(), world.system().dead_letters()), (65_536, 65_537));
}
