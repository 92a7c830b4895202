//! The life of a tree: start, stop, late notices, and what an operator does.

use super::*;

#[test]
fn children_start_one_after_another() {
    for kind in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        let mut rig = Rig::starting(strategy(kind), &[PERMANENT; 3]);
        assert_eq!(rig.out(), "start 1.1");
        assert_eq!(rig.status(2).state, ChildState::Pending);
        assert_eq!(rig.add(PERMANENT), "", "it joins the start");
        assert_eq!(rig.started(1, 1), "start 2.1");
        assert_eq!(rig.started(1, 1), "", "once is enough");
        assert_eq!(rig.started(2, 1), "start 3.1");
        assert_eq!(rig.started(3, 1), "start 4.1");
        assert_eq!(rig.started(4, 1), "started");
    }
}

#[test]
fn a_dynamic_tree_has_started_at_once_and_its_children_start_side_by_side() {
    let mut rig = Rig::starting(strategy(Strategy::Dynamic), &[PERMANENT; 2]);
    assert_eq!(rig.out(), "started, start 1.1, start 2.1");
    assert_eq!(rig.add(PERMANENT), "start 3.1");
    assert_eq!(rig.ended(1, 1, failed()), "forgotten 1", "its start failed");
    assert_eq!(rig.stop(), "stop 3.1");
}

#[test]
fn a_tree_without_children_starts_and_stops() {
    for kind in [Strategy::OneForOne, Strategy::Dynamic] {
        let mut rig = Rig::starting(strategy(kind), &[]);
        assert_eq!(rig.out(), "started");
        rig.tree.handle_start(rig.now);
        assert_eq!(rig.out(), "", "it has started");
        assert_eq!(rig.stop(), "stopped");
        assert_eq!(rig.stop(), "", "it has ended");
    }
}

#[test]
fn a_tree_that_was_never_started_starts_nothing() {
    let mut rig = Rig { tree: Tree::new(strategy(Strategy::OneForOne)), now: Instant::ZERO };
    assert_eq!(rig.add(PERMANENT), "");
    assert_eq!(rig.add(PERMANENT), "");
    assert_eq!(rig.restart(1), "");
    assert_eq!(rig.remove(1), "forgotten 1");
    assert_eq!(rig.stop(), "forgotten 2, stopped");
    rig.tree.handle_start(rig.now);
    assert_eq!(rig.out(), "");
}

#[test]
fn a_child_that_does_not_start_fails_the_start_of_all() {
    for (reason, said) in [(failed(), "failed: no disk"), (ExitReason::Normal, "ended normally")] {
        let mut rig =
            Rig::starting(strategy(Strategy::OneForOne), &[TEMPORARY, PERMANENT, PERMANENT, PERMANENT]);
        assert_eq!(rig.out(), "start 1.1");
        assert_eq!(rig.started(1, 1), "start 2.1");
        assert_eq!(rig.started(2, 1), "start 3.1");
        assert_eq!(rig.ended(3, 1, reason), "forgotten 4, forgotten 3, stop 2.1");
        assert_eq!(rig.ended(2, 1, ExitReason::Stopped), "forgotten 2, stop 1.1");
        assert_eq!(
            rig.ended(1, 1, ExitReason::Stopped),
            format!("forgotten 1, failed: child 3 did not start: {said}")
        );
    }
}

#[test]
fn a_child_that_is_added_later_and_does_not_start_is_forgotten() {
    for kind in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne, Strategy::Dynamic] {
        let mut rig = Rig::running(strategy(kind), &[PERMANENT]);
        assert_eq!(rig.add(PERMANENT), "start 2.1");
        assert_eq!(rig.ended(2, 1, failed()), "forgotten 2");
        assert_eq!(rig.add(PERMANENT), "start 3.1", "ids are not used again");
    }
}

#[test]
fn a_child_that_ends_while_others_start_for_the_first_time_is_restarted() {
    let mut rig = Rig::starting(strategy(Strategy::OneForOne), &[PERMANENT; 3]);
    assert_eq!(rig.out(), "start 1.1");
    assert_eq!(rig.started(1, 1), "start 2.1");
    assert_eq!(rig.ended(1, 1, failed()), "", "2 is starting");
    assert_eq!(rig.started(2, 1), "start 1.2");
    assert_eq!(rig.ended(1, 2, failed()), "start 3.1", "it waits, and holds up nobody");
    assert_eq!(rig.started(3, 1), "started");
    assert_eq!(rig.pass(100), "start 1.3");

    let mut rig = Rig::starting(strategy(Strategy::RestForOne), &[PERMANENT, TEMPORARY, TEMPORARY]);
    assert_eq!(rig.out(), "start 1.1");
    assert_eq!(rig.started(1, 1), "start 2.1");
    assert_eq!(rig.ended(1, 1, failed()), "stop 2.1");
    assert_eq!(rig.ended(2, 1, failed()), "start 1.2", "it was asked to end: that is no failed start");
    assert_eq!(rig.started(1, 2), "start 2.2", "one that never was up is not forgotten");
    assert_eq!(rig.started(2, 2), "start 3.1");
    assert_eq!(rig.started(3, 1), "started");
}

#[test]
fn children_stop_in_reverse_order_each_with_its_patience() {
    let with = |shutdown| ChildOptions { shutdown, ..PERMANENT };
    let within = with(Shutdown::Within(Duration::from_millis(50)));
    for kind in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne, Strategy::Dynamic] {
        let mut rig =
            Rig::running(strategy(kind), &[within, with(Shutdown::Wait), with(Shutdown::Kill), within]);
        assert_eq!(rig.stop(), "stop 4.1");
        assert_eq!(rig.timeout(), Some(50));
        assert_eq!(rig.ended(2, 1, failed()), "forgotten 2", "no policy any more");
        assert_eq!(rig.pass(49), "");
        assert_eq!(rig.pass(1), "kill 4.1");
        assert_eq!((rig.pass(LONG).as_str(), rig.timeout()), ("", None), "killed once");
        assert_eq!(rig.ended(4, 1, ExitReason::Killed), "forgotten 4, kill 3.1");
        assert_eq!((rig.timeout(), rig.stop().as_str()), (None, ""));
        assert_eq!(rig.ended(3, 1, ExitReason::Killed), "forgotten 3, stop 1.1");
        assert_eq!(rig.ended(1, 1, failed()), "forgotten 1, stopped");
    }
    let mut rig = Rig::running(strategy(Strategy::OneForOne), &[with(Shutdown::Wait)]);
    assert_eq!((rig.stop().as_str(), rig.timeout()), ("stop 1.1", None));
}

#[test]
fn a_stop_during_a_start_stops_those_that_are_there() {
    let mut rig = Rig::starting(strategy(Strategy::OneForOne), &[PERMANENT; 3]);
    assert_eq!(rig.out(), "start 1.1");
    assert_eq!(rig.started(1, 1), "start 2.1");
    assert_eq!(rig.stop(), "forgotten 3, stop 2.1");
    assert_eq!(rig.started(2, 1), "", "too late");
    assert_eq!(rig.ended(2, 1, failed()), "forgotten 2, stop 1.1");
    assert_eq!(rig.ended(1, 1, ExitReason::Stopped), "forgotten 1, stopped");
}

#[test]
fn a_stop_during_a_restart_ends_it() {
    let all = strategy(Strategy::OneForAll);
    // While the group is being stopped.
    let mut rig = Rig::running(all, &[PERMANENT; 3]);
    assert_eq!(rig.ended(1, 1, failed()), "stop 3.1");
    assert_eq!(rig.stop(), "forgotten 1");
    assert_eq!(rig.settled(), "", "3 is still there");
    assert_eq!(rig.ended(3, 1, ExitReason::Stopped), "forgotten 3, stop 2.1");
    assert_eq!(rig.ended(2, 1, ExitReason::Stopped), "forgotten 2, stopped");
    // While it waits.
    let mut rig = Rig::running(all, &[PERMANENT; 2]);
    rig.fails(2);
    assert_eq!(rig.fails(2), "stop 1.2");
    assert_eq!((rig.stop().as_str(), rig.timeout()), ("forgotten 2, forgotten 1, stopped", None));
    // While it is being started.
    let mut rig = Rig::running(all, &[PERMANENT; 2]);
    assert_eq!(rig.ended(2, 1, failed()), "stop 1.1");
    assert_eq!(rig.ended(1, 1, ExitReason::Stopped), "start 1.2");
    assert_eq!(rig.stop(), "forgotten 2, stop 1.2");
    assert_eq!(rig.ended(1, 2, ExitReason::Stopped), "forgotten 1, stopped");
}

#[test]
fn late_notices_are_ignored() {
    let mut rig = Rig::running(strategy(Strategy::OneForOne), &[PERMANENT]);
    assert_eq!(rig.ended(1, 1, failed()), "start 1.2");
    let before = rig.status(1);
    for (child, number) in [(1, 0), (1, 1), (1, 3), (2, 1)] {
        assert_eq!(rig.started(child, number), "");
        assert_eq!(rig.ended(child, number, failed()), "");
        assert_eq!(rig.status(1), before);
    }
    rig.started(1, 2);
    rig.ended(1, 2, failed());
    let waiting = rig.status(1);
    assert_eq!(rig.ended(1, 2, failed()) + &rig.started(1, 2), "", "it has ended already");
    assert_eq!(rig.status(1), waiting);
}

#[test]
fn a_list_shows_each_state() {
    let patient = ChildOptions { shutdown: Shutdown::Within(Duration::from_millis(50)), ..PERMANENT };
    let mut rig = Rig::running(strategy(Strategy::OneForOne), &[PERMANENT, PERMANENT, TRANSIENT, patient]);
    rig.fails(1);
    rig.fails(1);
    rig.ended(3, 1, ExitReason::Drained);
    rig.remove(4);
    rig.add(PERMANENT);
    let now = rig.now;
    let row = |id, state, restarts, last_exit| ChildStatus { id: ChildId(id), state, restarts, last_exit };
    assert_eq!(
        rig.tree.children().collect::<Vec<_>>(),
        [
            row(1, ChildState::Waiting { until: now + Duration::from_millis(100) }, 1, Some(failed())),
            row(2, ChildState::Running { since: now }, 0, None),
            row(3, ChildState::Finished, 0, Some(ExitReason::Drained)),
            row(4, ChildState::Stopping { kill_at: Some(now + Duration::from_millis(50)) }, 0, None),
            row(5, ChildState::Starting, 0, None),
        ]
    );
}

#[test]
fn a_child_is_removed_from_any_state() {
    let mut rig = Rig::running(strategy(Strategy::OneForAll), &[PERMANENT; 4]);
    assert_eq!(rig.remove(4), "stop 4.1");
    assert_eq!(rig.tree.handle_remove(ChildId(4), rig.now), Err(NoChild(ChildId(4))), "it is leaving");
    assert_eq!(rig.tree.handle_restart(ChildId(4), rig.now), Err(NoChild(ChildId(4)).into()));
    assert_eq!(rig.ended(3, 1, failed()), "", "its group is stopped after 4");
    assert_eq!(rig.ended(4, 1, failed()), "forgotten 4, stop 2.1");
    assert_eq!(rig.remove(1), "", "its turn to be stopped comes");
    assert_eq!(rig.remove(3), "forgotten 3");
    assert_eq!(rig.remove(2), "", "it was to come back");
    assert_eq!(rig.ended(2, 1, ExitReason::Stopped), "forgotten 2, stop 1.1");
    assert_eq!(rig.ended(1, 1, ExitReason::Stopped), "forgotten 1");
    assert_eq!(rig.tree.handle_remove(ChildId(9), rig.now), Err(NoChild(ChildId(9))));
    assert_eq!(rig.add(TRANSIENT), "start 5.1", "a tree goes on without children");
    rig.started(5, 1);
    assert_eq!(rig.ended(5, 1, ExitReason::Normal), "finished 5");
    assert_eq!(rig.remove(5), "forgotten 5");
}

#[test]
fn the_one_that_holds_up_a_start_can_be_removed() {
    let mut rig = Rig::starting(strategy(Strategy::OneForAll), &[PERMANENT; 2]);
    assert_eq!(rig.out(), "start 1.1");
    assert_eq!(rig.remove(1), "stop 1.1");
    assert_eq!(rig.ended(1, 1, failed()), "forgotten 1, start 2.1");
    assert_eq!(rig.remove(2), "stop 2.1");
    assert_eq!(rig.ended(2, 1, failed()), "forgotten 2, started");
}

#[test]
fn an_operator_restarts_one_child_in_any_state() {
    for kind in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne, Strategy::Dynamic] {
        let mut rig = Rig::running(strategy(kind), &[TEMPORARY, TRANSIENT]);
        assert_eq!(rig.restart(1), "stop 1.1", "{kind:?}");
        assert_eq!(rig.restart(1), "", "it comes back once");
        assert_eq!(rig.ended(1, 1, failed()), "start 1.2");
        assert_eq!(rig.restart(1), "stop 1.2", "it may hang in its start");
        assert_eq!(rig.ended(1, 2, ExitReason::Killed), "start 1.3");
        assert_eq!(rig.started(1, 3), "");
        assert_eq!(rig.status(1).restarts, 2);
    }
    let mut rig = Rig::running(strategy(Strategy::OneForOne), &[TRANSIENT]);
    assert_eq!(rig.ended(1, 1, ExitReason::Normal), "finished 1");
    assert_eq!(rig.restart(1), "start 1.2");
    rig.stop();
    assert_eq!(rig.tree.handle_restart(ChildId(1), rig.now), Err(RestartError::Ending));
}

#[test]
fn an_operator_ends_a_wait_and_forgives() {
    let mut rig = Rig::running(strategy(Strategy::RestForOne), &[PERMANENT; 3]);
    rig.fails(2);
    assert_eq!(rig.fails(2), "stop 3.2");
    assert_eq!(rig.restart(3), "start 2.3", "the group keeps its order");
    assert_eq!(rig.timeout(), None);
    assert_eq!(rig.started(2, 3), "start 3.3");
    rig.started(3, 3);
    rig.restart(2);
    rig.ended(2, 3, ExitReason::Stopped);
    rig.started(2, 4);
    assert_eq!(rig.fails(2), "stop 3.3, start 2.5, start 3.4", "its streak is over");

    let mut rig = Rig::running(strategy(Strategy::OneForOne), &[PERMANENT; 2]);
    for child in [1, 1, 2] {
        rig.fails(child);
    }
    assert_eq!((rig.timeout(), rig.restart(1).as_str()), (Some(100), "start 1.3"));
    assert_eq!(rig.timeout(), None);
}

#[test]
fn there_are_as_many_children_as_may_be_and_no_more() {
    let mut tree = Tree::new(strategy(Strategy::Dynamic));
    for _ in 0..CHILDREN_MAX {
        assert!(tree.handle_add(TEMPORARY, Instant::ZERO).is_ok());
    }
    assert_eq!(tree.handle_add(TEMPORARY, Instant::ZERO), Err(AddError::TooManyChildren));
    tree.handle_remove(ChildId(1), Instant::ZERO).expect("it is there");
    assert!(tree.handle_add(TEMPORARY, Instant::ZERO).is_ok());
    tree.handle_stop(Instant::ZERO);
    assert_eq!(tree.handle_add(TEMPORARY, Instant::ZERO), Err(AddError::Ending));
}
