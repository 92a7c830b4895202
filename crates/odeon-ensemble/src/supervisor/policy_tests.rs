//! The life of a server: examples, and the invariants under random histories.

use proptest::prelude::*;

use super::*;
use crate::supervisor::state::Phase;

const SECOND: Duration = Duration::from_secs(1);

fn at_ms(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn policy(restart: Restart) -> Policy {
    Policy { restart, ..Policy::default() }
}

fn phase(process: &Process) -> Phase {
    process.state().phase()
}

fn spawns(actions: &[Action]) -> usize {
    actions.iter().filter(|action| **action == Action::Spawn).count()
}

fn die(process: &mut Process, status: ExitStatus, now: Instant) -> Vec<Action> {
    process.exited(status, vec!["last words".to_owned()], 0, now)
}

/// A server that was started, spawned and became ready at `now`.
fn ready(policy: Policy, now: Instant) -> Process {
    let mut process = Process::new(policy, now);
    assert_eq!(spawns(&process.start(now)), 1);
    assert_eq!(process.spawned(7, now), []);
    assert_eq!(process.became_ready(now).len(), 1);
    assert_eq!(phase(&process), Phase::Ready);
    process
}

#[test]
fn each_policy_answers_each_end() {
    use ExitStatus::{Code, NotStarted, Signal, Unknown};
    for (restart, status, expected) in [
        (Restart::Always, Code(0), Phase::Starting),
        (Restart::Always, Code(1), Phase::Starting),
        (Restart::Always, Signal(9), Phase::Starting),
        (Restart::OnFailure, Code(0), Phase::Stopped),
        (Restart::OnFailure, Code(1), Phase::Starting),
        (Restart::OnFailure, Signal(15), Phase::Starting),
        (Restart::OnFailure, Unknown, Phase::Starting),
        (Restart::Never, Code(0), Phase::Stopped),
        (Restart::Never, Code(1), Phase::Failed),
        (Restart::Never, Signal(9), Phase::Failed),
        (Restart::Never, NotStarted("no such file".to_owned()), Phase::Failed),
    ] {
        let mut process = ready(policy(restart), at_ms(0));
        let actions = die(&mut process, status.clone(), at_ms(1));
        assert_eq!(phase(&process), expected, "{restart:?} {status:?}");
        assert_eq!(spawns(&actions), usize::from(expected == Phase::Starting));
        assert_eq!(process.restarts(), u64::from(expected == Phase::Starting));
        assert_eq!(process.pid(), None);
        assert_eq!(process.status(at_ms(1)).last_exit, Some(status.to_string()));
    }
}

#[test]
fn one_that_was_up_comes_back_at_once_and_then_with_growing_waits() {
    let mut process = ready(policy(Restart::Always), at_ms(0));
    let actions = die(&mut process, ExitStatus::Signal(9), at_ms(5));
    let Action::Notify(change) = &actions[0] else { panic!("{actions:?}") };
    assert_eq!(change.to_string(), "ready -> starting: killed by signal 9 (SIGKILL)");
    assert_eq!(spawns(&actions), 1);

    let mut now = at_ms(5);
    let mut waits = Vec::new();
    for _ in 0..4 {
        assert_eq!(process.became_ready(now).len(), 1);
        assert_eq!(spawns(&die(&mut process, ExitStatus::Code(1), now)), 0);
        let due = process.poll_timeout().expect("a wait");
        assert_eq!(process.tick(Instant::from_nanos(due.as_nanos() - 1)), []);
        waits.push((due - now).as_millis());
        assert_eq!(spawns(&process.tick(due)), 1);
        now = due;
    }
    assert_eq!(waits, [200, 400, 800, 1600]);
    assert_eq!(process.restarts(), 5);
    let _ = die(&mut process, ExitStatus::Code(1), now);
    let State::Failed { why, last_lines } = process.state() else { panic!("{process:?}") };
    assert_eq!(why.to_string(), "exited with code 1, after 5 restarts within 60s");
    assert_eq!(last_lines, &["last words"]);
    assert_eq!((process.poll_timeout(), process.tick(at_ms(1_000_000_000))), (None, vec![]));
    assert_eq!(spawns(&process.start(now)), 1, "by hand it starts again, its past forgiven");
    assert_eq!(phase(&process), Phase::Starting);
}

#[test]
fn one_that_never_was_up_waits_from_the_first_time() {
    let mut process = Process::new(policy(Restart::Always), at_ms(0));
    assert_eq!(spawns(&process.start(at_ms(0))), 1);
    let missing = ExitStatus::NotStarted("no such file".to_owned());
    assert_eq!(spawns(&die(&mut process, missing, at_ms(0))), 0);
    let State::Backoff { until, why } = process.state() else { panic!("{process:?}") };
    assert_eq!(*until, at_ms(100));
    assert_eq!(why.to_string(), "could not be started: no such file");
    let status = process.status(at_ms(60));
    assert_eq!((status.restart_in_ms, status.state_age_ms, status.restarts), (Some(40), 60, 0));
}

#[test]
fn one_that_was_up_for_a_window_is_sound_again() {
    let mut process = ready(policy(Restart::Always), at_ms(0));
    let mut now = at_ms(0);
    for _ in 0..20 {
        now = now + Duration::from_secs(60);
        assert_eq!(spawns(&die(&mut process, ExitStatus::Code(1), now)), 1, "at once");
        assert_eq!(process.became_ready(now).len(), 1);
    }
    now = now + Duration::from_secs(59);
    assert_eq!(spawns(&die(&mut process, ExitStatus::Code(1), now)), 0, "too early to be sound");
    assert_eq!(phase(&process), Phase::Backoff);
}

#[test]
fn the_wait_is_capped_and_spread() {
    let policy = Policy::default();
    for (streak, random, expected_ms) in [
        (1, 0, 100),
        (1, u64::MAX / 2, 149),
        (1, u64::MAX, 200),
        (2, 0, 200),
        (2, u64::MAX, 400),
        (9, 0, 15_000),
        (9, u64::MAX, 30_000),
        (u32::MAX, u64::MAX, 30_000),
    ] {
        assert_eq!(backoff(&policy, streak, random).as_millis(), expected_ms, "{streak} {random}");
    }
    let longest = crate::config::DURATION_MAX;
    let extreme = Policy { backoff_min: longest, backoff_max: longest, ..Policy::default() };
    assert_eq!(backoff(&extreme, u32::MAX, u64::MAX), longest);
}

#[test]
fn restarts_within_the_window_are_limited_at_the_number_given() {
    for restart_max in [0, 1, 3] {
        let policy = Policy { restart_max, ..Policy::default() };
        let mut process = ready(policy, at_ms(0));
        let mut now = at_ms(0);
        for done in 0..restart_max {
            let _ = die(&mut process, ExitStatus::Code(1), now);
            now = process.poll_timeout().filter(|_| phase(&process) == Phase::Backoff).unwrap_or(now);
            let _ = process.tick(now);
            assert_eq!(phase(&process), Phase::Starting, "{done} of {restart_max}");
        }
        assert_eq!(process.restarts(), u64::from(restart_max));
        let _ = die(&mut process, ExitStatus::Code(1), now);
        assert_eq!(phase(&process), Phase::Failed);
    }
}

#[test]
fn one_that_is_not_ready_in_time_is_stopped_and_counts_as_failed() {
    for (restart, expected) in [(Restart::OnFailure, Phase::Backoff), (Restart::Never, Phase::Failed)] {
        let mut process = Process::new(policy(restart), at_ms(0));
        let _ = process.start(at_ms(0));
        let _ = process.spawned(7, at_ms(1));
        assert_eq!(process.tick(at_ms(9_999)), []);
        let actions = process.tick(at_ms(10_000));
        assert_eq!(actions.last(), Some(&Action::Kill { grace: 5 * SECOND }));
        assert_eq!(process.became_ready(at_ms(10_001)), [], "too late");
        let _ = die(&mut process, ExitStatus::Code(0), at_ms(10_002));
        assert_eq!(phase(&process), expected);
        assert_eq!(process.status(at_ms(10_002)).why.as_deref(), Some("not ready within 10s"));
    }
}

#[test]
fn a_stop_asks_then_kills_and_kills_again() {
    let mut process = ready(policy(Restart::Always), at_ms(0));
    let actions = process.stop(at_ms(0));
    assert_eq!(actions.last(), Some(&Action::Kill { grace: 5 * SECOND }));
    assert_eq!(process.stop(at_ms(1)), [], "once is enough");
    let kill = [Action::Kill { grace: Duration::ZERO }];
    assert_eq!(process.tick(at_ms(4_999)), []);
    assert_eq!(process.tick(at_ms(5_000)), kill);
    assert_eq!(process.tick(at_ms(5_999)), []);
    assert_eq!(process.tick(at_ms(6_000)), kill);
    assert_eq!(spawns(&die(&mut process, ExitStatus::Signal(9), at_ms(6_001))), 0);
    assert_eq!(phase(&process), Phase::Stopped);
    assert_eq!(die(&mut process, ExitStatus::Signal(9), at_ms(6_002)), [], "told twice");
}

#[test]
fn a_stop_before_the_process_is_there_kills_it_when_it_comes() {
    let mut process = Process::new(policy(Restart::Always), at_ms(0));
    let _ = process.start(at_ms(0));
    assert_eq!(process.stop(at_ms(1)).len(), 1, "only the notice: there is nobody to kill");
    assert_eq!(process.tick(at_ms(5_001)), []);
    assert_eq!(process.spawned(7, at_ms(5_500)), [Action::Kill { grace: 5 * SECOND }]);
    assert_eq!(process.poll_timeout(), Some(at_ms(10_500)));
    let _ = die(&mut process, ExitStatus::Signal(15), at_ms(5_600));
    assert_eq!(phase(&process), Phase::Stopped);
}

#[test]
fn the_last_word_by_hand_counts() {
    let stopping = || {
        let mut process = ready(policy(Restart::Never), at_ms(0));
        let _ = process.stop(at_ms(0));
        process
    };
    let (mut start, mut restart, mut neither) = (stopping(), stopping(), stopping());
    let _ = start.start(at_ms(1));
    let _ = restart.restart(at_ms(1));
    let _ = neither.start(at_ms(1));
    let _ = neither.stop(at_ms(2));
    for (process, expected) in [(&mut start, 1), (&mut restart, 1), (&mut neither, 0)] {
        assert_eq!(spawns(&die(process, ExitStatus::Code(0), at_ms(3))), expected);
        assert_eq!(process.restarts(), 0, "restarts by hand are not policy's");
    }
    let mut running = ready(policy(Restart::Never), at_ms(0));
    assert_eq!(running.restart(at_ms(1)).last(), Some(&Action::Kill { grace: 5 * SECOND }));
    assert_eq!(spawns(&die(&mut running, ExitStatus::Code(3), at_ms(2))), 1);
}

#[test]
fn an_adopted_process_is_not_spawned_but_must_answer() {
    let mut process = Process::new(policy(Restart::Always), at_ms(0));
    assert_eq!(spawns(&process.adopted(7, at_ms(0))), 0);
    assert_eq!((phase(&process), process.pid()), (Phase::Starting, Some(7)));
    assert_eq!(process.adopted(8, at_ms(0)), []);
    assert_eq!(process.tick(at_ms(10_000)).last(), Some(&Action::Kill { grace: 5 * SECOND }));
}

#[test]
fn last_lines_are_cut_at_their_limits() {
    let lines = |count: usize, chars: usize| -> Vec<String> {
        (0..count).map(|i| format!("{i:02}{}", "x".repeat(chars - 2))).collect()
    };
    for (count, chars) in
        [(LAST_LINES_MAX, LAST_LINE_CHARS_MAX), (LAST_LINES_MAX + 1, LAST_LINE_CHARS_MAX + 1)]
    {
        let mut process = ready(policy(Restart::Never), at_ms(0));
        let _ = process.exited(ExitStatus::Code(1), lines(count, chars), 0, at_ms(1));
        let kept = process.status(at_ms(1)).last_lines;
        assert_eq!((kept.len(), kept[0].len()), (LAST_LINES_MAX, LAST_LINE_CHARS_MAX));
        assert!(kept[LAST_LINES_MAX - 1].starts_with(&format!("{:02}", count - 1)), "the last are kept");
    }
}

/// What may happen to a server; what does not apply to its state is skipped by the world.
#[derive(Debug, Clone)]
enum Event {
    Start,
    Stop,
    Restart,
    Appears,
    Ready,
    Ends(ExitStatus, u64),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let status =
        prop_oneof![Just(ExitStatus::Code(0)), Just(ExitStatus::Code(1)), Just(ExitStatus::Signal(9)),];
    prop_oneof![
        2 => Just(Event::Start),
        1 => Just(Event::Stop),
        1 => Just(Event::Restart),
        6 => Just(Event::Appears),
        5 => Just(Event::Ready),
        6 => (status, any::<u64>()).prop_map(|(status, random)| Event::Ends(status, random)),
        6 => (0..20_000_u64).prop_map(Event::Pass),
    ]
}

/// The process outside, and what the machine should say about it.
#[derive(Debug, Default)]
struct World {
    /// Ordered and not ended yet.
    ordered: bool,
    /// There, so that it can be killed.
    running: bool,
    spawns: u64,
    by_policy: u64,
    killed: bool,
}

impl World {
    fn carry_out(&mut self, actions: Vec<Action>) -> Result<(), TestCaseError> {
        for action in actions {
            match action {
                Action::Spawn => {
                    prop_assert!(!self.ordered, "two spawns without an end between them");
                    self.ordered = true;
                    self.spawns += 1;
                }
                Action::Kill { grace } => {
                    prop_assert!(self.running, "nobody to kill");
                    self.killed |= grace.is_zero();
                }
                Action::Notify(change) => prop_assert_ne!(change.from, change.to.phase()),
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_invariants_hold_in_every_history(
        events in proptest::collection::vec(event(), 1..120),
        restart in prop_oneof![Just(Restart::Always), Just(Restart::OnFailure), Just(Restart::Never)],
    ) {
        let (mut process, mut world, mut now) = (Process::new(policy(restart), at_ms(0)), World::default(), at_ms(0));
        // Whether the last word by hand was to be down, and whether a spawn at the next end is by hand.
        let (mut wanted_down, mut by_hand) = (true, false);
        for event in events {
            let (before, spawned_before) = (phase(&process), world.spawns);
            let hand = matches!(event, Event::Start | Event::Restart);
            let actions = match event {
                Event::Start => process.start(now),
                Event::Restart => process.restart(now),
                Event::Stop => process.stop(now),
                Event::Appears if world.ordered && !world.running => {
                    world.running = true;
                    process.spawned(7, now)
                }
                Event::Ready if world.running => process.became_ready(now),
                Event::Ends(ref status, random) if world.ordered => {
                    (world.ordered, world.running) = (false, false);
                    process.exited(status.clone(), vec![], random, now)
                }
                Event::Pass(millis) => {
                    now = now + Duration::from_millis(millis);
                    process.tick(now)
                }
                _ => continue,
            };
            world.carry_out(actions)?;
            match event {
                Event::Stop => (wanted_down, by_hand) = (true, false),
                Event::Start => (wanted_down, by_hand) = (false, by_hand || before == Phase::Stopping),
                Event::Restart => (wanted_down, by_hand) = (false, world.ordered && spawned_before == world.spawns),
                _ => {}
            }
            if world.spawns > spawned_before {
                prop_assert!(!wanted_down, "resurrected");
                prop_assert!(hand || !matches!(before, Phase::Failed | Phase::Stopped | Phase::Idle));
                if !hand && !by_hand {
                    world.by_policy += 1;
                }
            }
            if matches!(event, Event::Ends(..)) {
                by_hand = false;
            }
            prop_assert_eq!(process.restarts(), world.by_policy);
            prop_assert_eq!(process.pid().is_some(), world.running);
            let live = matches!(phase(&process), Phase::Starting | Phase::Ready | Phase::Stopping);
            prop_assert_eq!(live, world.ordered, "{:?}", process);
        }
        // However stubborn it is: a stop reaches the end.
        world.carry_out(process.stop(now))?;
        if world.ordered {
            if !world.running {
                world.running = true;
                world.carry_out(process.spawned(7, now))?;
            }
            while !world.killed {
                now = process.poll_timeout().expect("a stopping process has a deadline");
                world.carry_out(process.tick(now))?;
            }
            world.carry_out(process.exited(ExitStatus::Signal(9), vec![], 0, now))?;
        }
        prop_assert_eq!(phase(&process), Phase::Stopped);
        prop_assert_eq!(process.poll_timeout(), None);
    }
}
