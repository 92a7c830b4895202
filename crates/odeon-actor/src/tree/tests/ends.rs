//! What follows the end of a child: strategies, kinds of restart, groups, the end of the tree by its children.

use super::*;

#[test]
fn each_strategy_and_kind_of_restart_answers_each_end() {
    use Strategy::{Dynamic, OneForAll, OneForOne, RestForOne};
    let ends = [
        (ExitReason::Normal, false),
        (ExitReason::Stopped, false),
        (ExitReason::Drained, false),
        (ExitReason::Killed, true),
        (failed(), true),
        (panicked(), true),
        (ExitReason::LinkLost("cut".to_owned()), true),
        (ExitReason::NoActor, true),
        (ExitReason::Linked { actor: "actor 7".to_owned(), why: "killed".to_owned() }, true),
    ];
    for (kind, again, finished) in [
        (OneForOne, "start 2.2", "finished 2"),
        (OneForAll, "stop 3.1, stop 1.1, start 1.2, start 2.2, start 3.2", "finished 2"),
        (RestForOne, "stop 3.1, start 2.2, start 3.2", "finished 2"),
        (Dynamic, "start 2.2", "forgotten 2"),
    ] {
        for (reason, is_abnormal) in ends.clone() {
            for (child, expected) in [
                (PERMANENT, again),
                (TRANSIENT, if is_abnormal { again } else { finished }),
                (TEMPORARY, "forgotten 2"),
            ] {
                let mut rig = Rig::running(strategy(kind), &[child; 3]);
                rig.tree.handle_ended(incarnation(2, 1), reason.clone(), rig.now, 0);
                assert_eq!(rig.settled(), expected, "{kind:?} {:?} {reason:?}", child.restart);
                assert_eq!(rig.timeout(), None);
            }
        }
    }
}

#[test]
fn an_end_before_the_start_is_abnormal_whatever_it_says() {
    for (child, expected) in [(PERMANENT, "start 1.3"), (TRANSIENT, "start 1.3"), (TEMPORARY, "forgotten 1")]
    {
        let mut rig = Rig::running(strategy(Strategy::OneForOne), &[child]);
        assert_eq!(rig.restart(1), "stop 1.1");
        assert_eq!(rig.ended(1, 1, ExitReason::Stopped), "start 1.2");
        assert_eq!(rig.ended(1, 2, ExitReason::Normal), expected);
    }
}

#[test]
fn a_group_forgets_its_temporary_children_and_brings_back_the_finished() {
    let mut rig = Rig::running(strategy(Strategy::OneForAll), &[TRANSIENT, PERMANENT, TEMPORARY, PERMANENT]);
    assert_eq!(rig.ended(1, 1, ExitReason::Normal), "finished 1");
    assert_eq!(rig.status(1).state, ChildState::Finished);
    assert_eq!(rig.fails(2), "stop 4.1, stop 3.1, forgotten 3, start 1.2, start 2.2, start 4.2");
    assert_eq!(rig.ids(), [1, 2, 4]);
}

#[test]
fn a_group_waits_together_and_those_before_it_go_on() {
    let mut rig = Rig::running(strategy(Strategy::RestForOne), &[PERMANENT; 3]);
    assert_eq!(rig.fails(2), "stop 3.1, start 2.2, start 3.2");
    assert_eq!(rig.fails(2), "stop 3.2");
    let until = rig.now + Duration::from_millis(100);
    for child in [2, 3] {
        assert_eq!(rig.status(child).state, ChildState::Waiting { until });
    }
    assert_eq!(rig.status(1).state, ChildState::Running { since: rig.now });
    assert_eq!(rig.add(PERMANENT), "", "its turn has not come");
    assert_eq!(rig.pass(99), "");
    assert_eq!(rig.pass(1), "start 2.3");
    assert_eq!(rig.settled(), "", "`out` has taken the start");
    assert_eq!(rig.started(2, 3), "start 3.3");
    assert_eq!(rig.started(3, 3), "start 4.1");
}

#[test]
fn a_child_before_a_waiting_group_does_not_cut_its_wait_short() {
    let mut rig = Rig::running(strategy(Strategy::RestForOne), &[PERMANENT; 3]);
    rig.fails(2);
    assert_eq!(rig.fails(2), "stop 3.2");
    assert_eq!(rig.fails(1), "start 1.2", "its own first restart is at once");
    assert_eq!((rig.timeout(), rig.pass(100)), (Some(100), "start 2.3".to_owned()));
}

#[test]
fn a_child_that_ends_while_its_group_is_stopped_is_not_counted() {
    let options = TreeOptions {
        intensity: Intensity { restarts: 1, within: Duration::from_secs(5) },
        ..strategy(Strategy::OneForAll)
    };
    let mut rig = Rig::running(options, &[PERMANENT; 4]);
    assert_eq!(rig.ended(2, 1, failed()), "stop 4.1");
    assert_eq!(rig.ended(1, 1, panicked()), "", "one after another: 4 is still there");
    assert_eq!(rig.ended(4, 1, failed()), "stop 3.1");
    assert_eq!(rig.ended(3, 1, ExitReason::Stopped), "start 1.2");
    assert_eq!(rig.settled(), "");
    assert_eq!(rig.started(1, 2), "start 2.2");
    assert_eq!(rig.status(1).last_exit, Some(panicked()));
}

#[test]
fn a_failure_while_the_group_is_started_begins_anew() {
    let mut rig = Rig::running(strategy(Strategy::OneForAll), &[PERMANENT; 3]);
    rig.tree.handle_ended(incarnation(3, 1), failed(), rig.now, 0);
    assert_eq!(rig.out(), "stop 2.1");
    assert_eq!(rig.ended(2, 1, ExitReason::Stopped), "stop 1.1");
    assert_eq!(rig.ended(1, 1, ExitReason::Stopped), "start 1.2");
    assert_eq!(rig.started(1, 2), "start 2.2");
    assert_eq!(rig.ended(1, 2, failed()), "stop 2.2", "also one that has not started");
    assert_eq!(rig.started(2, 2), "", "too late");
    assert_eq!(rig.ended(2, 2, ExitReason::Stopped), "start 1.3");
    assert_eq!(rig.started(1, 3), "start 2.3");
    assert_eq!(rig.ended(2, 3, failed()), "stop 1.3", "a start that fails is an end like others");
}

#[test]
fn independent_children_do_not_wait_for_each_other() {
    for kind in [Strategy::OneForOne, Strategy::Dynamic] {
        let mut rig = Rig::running(strategy(kind), &[PERMANENT; 4]);
        assert_eq!(rig.remove(4), "stop 4.1");
        assert_eq!(rig.restart(3), "stop 3.1");
        assert_eq!(rig.ended(2, 1, failed()), "start 2.2");
        assert_eq!(rig.ended(1, 1, failed()), "start 1.2");
        assert_eq!(rig.add(PERMANENT), "start 5.1");
        assert_eq!(rig.ended(3, 1, ExitReason::Stopped), "start 3.2");
        assert_eq!(rig.ended(4, 1, ExitReason::Stopped), "forgotten 4");
    }
}

#[test]
fn significant_children_end_the_tree() {
    let significant = |child| ChildOptions { significant: true, ..child };
    let children = [significant(TRANSIENT), significant(TEMPORARY), significant(PERMANENT), TRANSIENT];
    let end = "stop 3.1, forgotten 3";
    for (auto_shutdown, kind, first, second) in [
        (AutoShutdown::Never, Strategy::OneForOne, "finished 1", "forgotten 2"),
        (AutoShutdown::Any, Strategy::OneForOne, "stop 2.1, forgotten 2", ""),
        (AutoShutdown::All, Strategy::OneForOne, "finished 1", end),
        (AutoShutdown::All, Strategy::Dynamic, "forgotten 1", end),
        (AutoShutdown::All, Strategy::OneForAll, "finished 1", end),
    ] {
        let mut rig = Rig::running(TreeOptions { auto_shutdown, ..strategy(kind) }, &children);
        rig.tree.handle_ended(incarnation(4, 1), ExitReason::Normal, rig.now, 0);
        assert!(!rig.settled().contains("stop"), "it is not significant");
        rig.tree.handle_ended(incarnation(1, 1), ExitReason::Normal, rig.now, 0);
        let out = rig.settled();
        assert!(out.contains(first), "{auto_shutdown:?} {kind:?}: {out}");
        assert_eq!(out.ends_with("ended normally"), auto_shutdown == AutoShutdown::Any);
        rig.tree.handle_ended(incarnation(2, 1), ExitReason::Normal, rig.now, 0);
        let out = rig.settled();
        assert!(out.contains(second), "{auto_shutdown:?} {kind:?}: {out}");
        assert_eq!(out.ends_with("ended normally"), second == end);
    }
}

#[test]
fn a_significant_child_that_was_made_to_end_does_not_count() {
    let significant = ChildOptions { significant: true, ..TEMPORARY };
    let options = TreeOptions { auto_shutdown: AutoShutdown::Any, ..strategy(Strategy::OneForAll) };
    let mut rig = Rig::running(options, &[PERMANENT, significant, significant]);
    assert_eq!(rig.remove(3), "stop 3.1");
    assert_eq!(rig.ended(3, 1, ExitReason::Stopped), "forgotten 3");
    assert_eq!(rig.fails(1), "stop 2.1, forgotten 2, start 1.2");
}
