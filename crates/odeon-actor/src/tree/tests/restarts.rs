//! How often and how soon: intensity, escalation, back-off.

use super::*;

const CASES: u64 = 1_000;

/// Restarts allowed within a second, and no back-off.
fn intensity(restarts: u32) -> TreeOptions {
    TreeOptions {
        intensity: Intensity { restarts, within: Duration::from_secs(1) },
        backoff: Backoff { first: Duration::ZERO, ..Backoff::default() },
        ..TreeOptions::default()
    }
}

#[test]
fn one_restart_too_many_ends_the_tree_in_reverse_order() {
    for restarts in [0, 1, 3] {
        let mut rig = Rig::running(intensity(restarts), &[PERMANENT; 3]);
        for number in 2..restarts + 2 {
            assert_eq!(rig.fails(2), format!("start 2.{number}"));
        }
        assert_eq!(
            rig.fails(2),
            format!(
                "forgotten 2, stop 3.1, forgotten 3, stop 1.1, forgotten 1, failed: more than {restarts} restarts \
                 within 1s, the last of child 2: failed: no disk"
            )
        );
        assert_eq!((rig.ids(), rig.timeout()), (vec![], None));
    }
}

#[test]
fn all_children_count_together_and_a_group_once() {
    for kind in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne, Strategy::Dynamic] {
        let mut rig = Rig::running(TreeOptions { strategy: kind, ..intensity(3) }, &[PERMANENT; 4]);
        for child in [1, 2, 3] {
            let out = rig.fails(child);
            assert!(out.contains("start") && !out.contains("forgotten"), "{kind:?}: {out}");
        }
        assert!(rig.fails(4).contains("failed: more than 3 restarts"));
    }
}

#[test]
fn restarts_are_forgotten_when_the_window_has_passed_and_not_before() {
    for (millis, is_over) in [(499, true), (500, false)] {
        let mut rig = Rig::running(intensity(2), &[PERMANENT]);
        rig.fails(1);
        rig.pass(500);
        rig.fails(1);
        rig.pass(millis);
        assert_eq!(rig.fails(1).contains("more than 2 restarts"), is_over);
    }
}

#[test]
fn a_window_of_nothing_never_gives_up() {
    let within = Duration::ZERO;
    let options = |restarts| TreeOptions { intensity: Intensity { restarts, within }, ..intensity(restarts) };
    let mut rig = Rig::running(options(1), &[PERMANENT]);
    for number in 2..20 {
        assert_eq!(rig.fails(1), format!("start 1.{number}"));
    }
    assert!(Rig::running(options(0), &[PERMANENT]).fails(1).contains("more than 0 restarts"));
}

#[test]
fn more_restarts_than_the_limit_count_as_the_limit() {
    for restarts in [RESTARTS_MAX, RESTARTS_MAX + 1] {
        let mut rig = Rig::running(intensity(restarts), &[PERMANENT]);
        for number in 2..RESTARTS_MAX + 2 {
            assert_eq!(rig.fails(1), format!("start 1.{number}"));
        }
        assert!(rig.fails(1).contains("failed: more than"));
    }
}

#[test]
fn the_failure_of_a_tree_is_an_end_to_its_own_supervisor() {
    let mut inner = Rig::running(intensity(0), &[PERMANENT]);
    inner.tree.handle_ended(incarnation(1, 1), failed(), inner.now, 0);
    let last = std::iter::from_fn(|| inner.tree.poll_output()).last();
    let Some(Output::Ended(reason)) = last else { panic!("{last:?}") };
    let mut outer = Rig::running(intensity(1), &[TRANSIENT]);
    assert_eq!(outer.ended(1, 1, reason.clone()), "start 1.2");
    assert_eq!(
        outer.ended(1, 2, reason),
        "forgotten 1, failed: more than 1 restarts within 1s, the last of child 1: failed: more than 0 restarts \
         within 1s, the last of child 1: failed: no disk"
    );
}

#[test]
fn waits_grow_to_the_cap() {
    let options = TreeOptions {
        intensity: Intensity { restarts: 100, ..Intensity::default() },
        backoff: Backoff { cap: Duration::from_millis(700), ..strategy(Strategy::OneForOne).backoff },
        ..TreeOptions::default()
    };
    let mut rig = Rig::running(options, &[PERMANENT; 2]);
    let mut waits = Vec::new();
    for _ in 0..6 {
        assert_eq!(rig.status(2).state, ChildState::Running { since: rig.now });
        waits.push(if rig.fails(2).is_empty() { rig.timeout() } else { None });
        if let Some(wait) = rig.timeout() {
            assert_eq!(rig.pass(u64::try_from(wait).expect("short") - 1), "");
            rig.now = rig.now + Duration::from_millis(1);
            rig.tree.handle_timeout(rig.now);
            assert!(rig.settled().starts_with("start 2."));
        }
    }
    assert_eq!(waits, [None, Some(100), Some(200), Some(400), Some(700), Some(700)]);
    assert_eq!(rig.fails(1), "start 1.2", "the other has a past of its own");
}

#[test]
fn a_quiet_time_forgives() {
    for (millis, at_once) in [(29_999, false), (30_000, true)] {
        let mut rig = Rig::running(strategy(Strategy::OneForOne), &[PERMANENT]);
        assert_eq!(rig.fails(1), "start 1.2");
        rig.pass(millis);
        assert_eq!(rig.fails(1).is_empty(), !at_once, "{millis}");
        assert_eq!(rig.timeout(), (!at_once).then_some(100));
    }
}

#[test]
fn a_restart_that_fails_waits_longer() {
    let mut rig = Rig::running(strategy(Strategy::OneForOne), &[TRANSIENT]);
    assert_eq!(rig.ended(1, 1, failed()), "start 1.2");
    assert_eq!((rig.ended(1, 2, failed()).as_str(), rig.timeout()), ("", Some(100)));
    assert_eq!(rig.pass(100), "start 1.3");
    assert_eq!((rig.ended(1, 3, failed()).as_str(), rig.timeout()), ("", Some(200)));
    assert_eq!(rig.pass(200), "start 1.4");
    assert!(rig.ended(1, 4, failed()).ends_with("the last of child 1: failed: no disk"));
}

#[test]
fn chance_takes_off_its_percentage_and_no_more() {
    let backoff = Backoff { first: Duration::from_secs(8), ..Backoff::default() };
    for (percent, least) in [(0, 8), (25, 6), (50, 4), (JITTER_PERCENT_MAX, 0), (JITTER_PERCENT_MAX + 1, 0)] {
        let backoff = Backoff { jitter_percent: percent, ..backoff };
        let (least, most) = (Duration::from_secs(least), Duration::from_secs(8));
        assert_eq!((backoff.wait(1, u64::MAX), backoff.wait(1, 0)), (least, most));
        for case in 0..CASES {
            assert!((least..=most).contains(&backoff.wait(1, u64::MAX / CASES * case)));
        }
    }
}

#[test]
fn no_wait_is_longer_than_the_limit() {
    for cap in [BACKOFF_MAX, BACKOFF_MAX + Duration::from_nanos(1), Duration::MAX] {
        for first in [BACKOFF_MAX, Duration::MAX] {
            let backoff = Backoff { first, cap, ..Backoff::default() };
            for streak in [1, 2, 33, u32::MAX] {
                assert_eq!(backoff.wait(streak, 0), BACKOFF_MAX);
                assert_eq!(backoff.wait(streak, u64::MAX), BACKOFF_MAX / 2);
            }
            assert_eq!(backoff.wait(0, 0), Duration::ZERO);
        }
    }
}
