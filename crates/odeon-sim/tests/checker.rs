//! The history checker complains about every promise that a forged history breaks, and about no sound one.

use std::time::Duration;

use odeon_core::Instant;
use odeon_sim::history::{Flow, Life, Outcome, What, check, check_calm, check_letters};

fn life(server: &str, epoch: u64) -> Life {
    Life { server: server.to_owned(), epoch }
}

fn flow() -> Flow {
    Flow { sender: life("a", 1), lane: "0".to_owned(), target: "b".to_owned() }
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn sent(millis: u64, seq: u64) -> (Instant, What) {
    (at(millis), What::Sent(flow(), seq, at(millis + 1_000)))
}

fn ended(millis: u64, seq: u64, outcome: Outcome) -> (Instant, What) {
    (at(millis), What::Ended(flow(), seq, outcome))
}

fn received_from(millis: u64, seq: u64, epoch: u64) -> (Instant, What) {
    let flow = flow().to_string();
    (at(millis), What::Received { flow, seq, at: life("b", 1), worker: 1, from: life("a", epoch) })
}

fn received(millis: u64, seq: u64) -> (Instant, What) {
    received_from(millis, seq, 1)
}

fn watched(millis: u64) -> (Instant, What) {
    (at(millis), What::Watched(1, life("a", 1), "b".to_owned()))
}

/// Three tells and an ask that arrive in order, a monitor that goes off, something that works again.
fn sound() -> Vec<(Instant, What)> {
    let mut events = vec![watched(0)];
    for (seq, outcome) in
        [(1, Outcome::Taken), (2, Outcome::Taken), (3, Outcome::Taken), (4, Outcome::Answered)]
    {
        let millis = seq * 100;
        events.extend([sent(millis, seq), ended(millis + 5, seq, outcome), received(millis + 3, seq)]);
    }
    events.push((at(1_000), What::Wanted("a asks b".to_owned(), Duration::from_secs(1))));
    events.push((at(1_500), What::Works("a asks b".to_owned())));
    events.push((at(5_000), What::Told(1)));
    events
}

fn without(unwanted: impl Fn(&What) -> bool) -> Vec<(Instant, What)> {
    let mut events = sound();
    let before = events.len();
    events.retain(|(_, what)| !unwanted(what));
    assert_ne!(events.len(), before, "there was something to take out");
    events
}

#[track_caller]
fn complains(events: &[(Instant, What)], about: &str) {
    let broken = check(events);
    assert!(broken.iter().any(|broken| broken.contains(about)), "`{about}` is not in {broken:?}");
}

#[test]
fn a_sound_history_passes() {
    assert_eq!(check(&sound()), Vec::<String>::new());
}

#[test]
fn a_message_received_twice_is_found() {
    let mut events = sound();
    events.push(received(900, 4));
    complains(&events, "#4 was received 2 times");
}

#[test]
fn messages_received_in_another_order_are_found() {
    let mut events = without(|what| matches!(what, What::Received { seq: 2, .. }));
    events.push(received(900, 2));
    complains(&events, "#2 was received at b.1 after #4");
}

#[test]
fn a_message_lost_in_silence_is_found() {
    complains(
        &without(|what| matches!(what, What::Received { seq: 2, .. })),
        "#2 was taken and lost, and nobody was told",
    );
}

#[test]
fn a_loss_is_excused_by_a_notice_between_it_and_the_next_message_and_by_no_other() {
    let lost = |told| {
        let mut events = without(|what| matches!(what, What::Received { seq: 2, .. } | What::Told(_)));
        events.push((at(told), What::Told(1)));
        check(&events)
    };
    assert_eq!(lost(250), Vec::<String>::new());
    assert_eq!(lost(100).len(), 1, "told before it was sent");
    assert_eq!(lost(400).len(), 1, "told after a later one had arrived");
}

#[test]
fn the_notice_that_a_receiver_ended_may_be_late_but_must_come() {
    let replaced = |told: Option<u64>| {
        let mut events =
            without(|what| matches!(what, What::Received { seq: 2, .. } | What::Told(_) | What::Watched(..)));
        for (_, what) in &mut events {
            if let What::Received { seq: 3.., worker, .. } = what {
                *worker = 2;
            }
        }
        if let Some(told) = told {
            events.extend([watched(0), (at(told), What::Told(1))]);
        }
        check(&events)
    };
    assert_eq!(replaced(Some(4_000)), Vec::<String>::new());
    assert_eq!(replaced(Some(100)).len(), 1, "told before it was sent");
    assert_eq!(replaced(None).len(), 1);
}

#[test]
fn a_message_nobody_sent_is_found() {
    let mut events = sound();
    events.push(received(900, 5));
    complains(&events, "#5 was received and never sent");
}

#[test]
fn an_answer_out_of_nowhere_is_found() {
    complains(
        &without(|what| matches!(what, What::Received { seq: 4, .. })),
        "#4 was answered and never received",
    );
}

#[test]
fn an_ask_without_an_end_is_found_unless_its_asker_crashed() {
    let mut events = without(|what| matches!(what, What::Ended(_, 4, _)));
    complains(&events, "#4 never ended");
    events.push((at(600), What::Crashed(life("a", 1))));
    assert_eq!(check(&events), Vec::<String>::new());
}

#[test]
fn an_ask_that_ends_late_or_twice_is_found() {
    let mut events = without(|what| matches!(what, What::Ended(_, 4, _)));
    events.push(ended(1_400, 4, Outcome::Failed));
    assert_eq!(check(&events), Vec::<String>::new(), "at its deadline is in time");
    events.pop();
    events.push(ended(1_401, 4, Outcome::Failed));
    complains(&events, "#4 ended 1ms too late");
    events.push(ended(1_401, 4, Outcome::Failed));
    complains(&events, "#4 ended twice");
}

#[test]
fn a_monitor_told_never_or_twice_is_found() {
    complains(&without(|what| matches!(what, What::Told(_))), "watch 1 of a.1 on b was never told");
    let mut events = sound();
    events.push((at(6_000), What::Told(1)));
    complains(&events, "watch 1 of a.1 on b was told 2 times");
    events.push((at(6_000), What::Told(2)));
    complains(&events, "watch 2 was told and never set");
}

#[test]
fn a_stale_incarnation_is_found() {
    let mut events = sound();
    events.extend([sent(800, 5), received_from(801, 5, 2), ended(802, 5, Outcome::Answered)]);
    assert_eq!(check(&events), Vec::<String>::new());
    events.extend([sent(810, 6), received_from(811, 6, 1), ended(812, 6, Outcome::Answered)]);
    complains(&events, "b.1 heard a.1 after epoch 2");
}

#[test]
fn what_does_not_work_again_in_time_is_found() {
    complains(&without(|what| matches!(what, What::Works(_))), "a asks b: never worked again");
    let mut events = without(|what| matches!(what, What::Works(_)));
    events.push((at(2_001), What::Works("a asks b".to_owned())));
    complains(&events, "a asks b: worked 1ms too late");
}

#[test]
fn an_ask_that_outlives_its_link_is_found() {
    let lost = |ends: u64| {
        let mut events = without(|what| matches!(what, What::Ended(_, 4, _) | What::Told(_)));
        events.extend([(at(450), What::ToldOfLink(1)), ended(ends, 4, Outcome::Failed)]);
        check(&events)
    };
    assert_eq!(lost(460), Vec::<String>::new());
    assert_eq!(lost(900), ["a.1/0>b #4 outlived its link"]);
}

#[test]
fn a_lost_tell_that_is_no_dead_letter_is_found() {
    let mut events = without(|what| matches!(what, What::Received { seq: 2, .. }));
    assert_eq!(check_letters(&events), ["1 tells of a.1 to b were lost, and 0 are dead letters"]);
    events.push((at(300), What::MaybeLost(life("a", 1), "b".to_owned())));
    assert_eq!(check_letters(&events), Vec::<String>::new());
}

#[test]
fn a_link_lost_without_a_fault_is_found() {
    assert_eq!(check_calm(&sound()), Vec::<String>::new());
    let lost = |millis: u64| {
        let mut events = vec![watched(0), (at(millis), What::ToldOfLink(1))];
        events.push((at(10_000), What::Wanted("a asks b".to_owned(), Duration::from_secs(1))));
        events.push((at(10_001), What::ToldOfLink(1)));
        check_calm(&events).len()
    };
    assert_eq!(lost(1_000), 0, "not everybody was there yet");
    assert_eq!(lost(5_000), 1);
}
