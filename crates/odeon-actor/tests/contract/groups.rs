//! Groups: who is in them, who is told, and that the dead are not.

use std::sync::{Arc, Mutex};

use odeon::{
    Broadcast, ExitReason, GROUP_WATCHERS_MAX, GROUPS_MAX, GroupChange, GroupError, GroupName, MEMBERS_MAX,
    SpawnOptions, System, actor,
};

use crate::support::{Delegate, Gate, Log, Worker, WorkerCalls, WorkerHandle, ended, wait_for};

fn group(text: &str) -> GroupName {
    text.parse().expect("a name")
}

fn ids(workers: &[WorkerHandle]) -> Vec<odeon_core::ActorId> {
    workers.iter().map(WorkerHandle::id).collect()
}

/// Notes what happens to a group.
fn watching(system: &System, name: &GroupName) -> (odeon::MonitorId, Log) {
    let log = Log::default();
    let noted = log.clone();
    let watch = system.watch_group(name, move |event| {
        let change = match &event.change {
            GroupChange::Ended(reason) => format!("it {reason}"),
            other => format!("{other:?}"),
        };
        noted.push(format!("{} {change}", event.member.number()));
    });
    (watch.expect("within the limit").id, log)
}

#[tokio::test(start_paused = true)]
async fn members_are_found_by_type_until_they_leave() {
    let (system, carts) = (System::new(), group("carts"));
    let workers = [system.spawn(Worker::default()), system.spawn(Worker::default())];
    let other = system.spawn(Delegate);
    assert!(system.members::<Worker>(&carts).is_empty(), "a group nobody has joined");
    for worker in workers.iter().rev() {
        system.join(&carts, worker).expect("it lives");
        system.join(&carts, worker).expect("twice is once");
    }
    system.join(&carts, &other).expect("groups are for all");
    system.join(&group("others"), &other).expect("one actor, many groups");
    assert_eq!(ids(&system.members::<Worker>(&carts)), ids(&workers), "oldest first");
    assert_eq!(system.members::<Delegate>(&carts).len(), 1);
    assert_eq!(system.group_members(&carts).len(), 3);
    assert_eq!(system.groups_joined(), [group("carts"), group("others")]);
    system.leave(&carts, &workers[0]);
    system.leave(&carts, &workers[0]);
    assert_eq!(ids(&system.members::<Worker>(&carts)), ids(&workers[1..]));
    system.leave(&carts, &workers[1]);
    system.leave(&carts, &other);
    assert_eq!(system.groups_joined(), [group("others")], "a group nobody is in is gone");
}

#[tokio::test(start_paused = true)]
async fn members_leave_when_they_end_however_it_comes() {
    for end in [WorkerHandle::stop as fn(&WorkerHandle), WorkerHandle::kill, |worker| {
        worker.panic().try_tell().expect("taken");
    }] {
        let (system, carts) = (System::new(), group("carts"));
        let worker = system.spawn(Worker::default());
        system.join(&carts, &worker).expect("it lives");
        system.join(&group("others"), &worker).expect("it lives");
        let left = Arc::new(Mutex::new(None));
        let (seen, name, beside) = (Arc::clone(&left), carts.clone(), system.clone());
        let watched = worker.monitor(Box::new(move |_| {
            *seen.lock().expect("no panic") = Some(beside.group_members(&name).len());
        }));
        watched.expect("within the limit");
        end(&worker);
        let reason = ended(&worker).await;
        assert_eq!(*left.lock().expect("no panic"), Some(0), "before the monitors are told: {reason}");
        assert!(system.groups_joined().is_empty());
        assert_eq!(system.join(&carts, &worker), Err(GroupError::Dead(reason)));
        assert!(system.groups_joined().is_empty(), "the dead are in no group");
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_of_another_system_cannot_join() {
    let (here, there) = (System::new(), System::new());
    assert_eq!(here.join(&group("carts"), &there.spawn(Worker::default())), Err(GroupError::Elsewhere));
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_says_what_became_of_it() {
    struct Reader;
    #[actor]
    impl Reader {
        #[handle]
        fn read(&mut self, text: String, log: Log) {
            log.push(text);
        }
        #[handle]
        async fn hold(&mut self, gate: Gate) {
            gate.pass().await;
        }
    }
    let (system, readers, log, gate) = (System::new(), group("readers"), Log::default(), Gate::new());
    let broadcast =
        || system.broadcast::<Reader, _>(&readers, |reader| reader.read("news".to_owned(), log.clone()));
    assert_eq!(broadcast(), Broadcast::default(), "to nobody");
    for _ in 0..2 {
        system.join(&readers, &system.spawn(Reader)).expect("it lives");
    }
    let full = system.spawn_with(SpawnOptions::default().capacity(1), Reader).expect("no name");
    full.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    full.read(String::new(), Log::default()).tell().await.expect("the one place");
    let draining = system.spawn(Reader);
    draining.hold(gate.clone()).tell().await.expect("taken");
    gate.wait_entered().await;
    for member in [&full, &draining] {
        system.join(&readers, member).expect("it lives");
    }
    draining.drain();
    system.join(&readers, &system.spawn(Worker::default())).expect("it lives");
    assert_eq!(broadcast(), Broadcast { sent: 2, full: 1, dead: 1 });
    wait_for("both have read", || log.count("news") == 2).await;
}

#[tokio::test(start_paused = true)]
async fn watchers_are_told_of_joins_leaves_and_ends_in_order() {
    let (system, carts) = (System::new(), group("carts"));
    let early = system.spawn(Worker::default());
    system.join(&carts, &early).expect("it lives");
    let (id, log) = watching(&system, &carts);
    let seen = system.watch_group(&carts, |_| panic!("a watcher panics")).expect("within the limit");
    assert_eq!(seen.members.len(), 1, "who was there before is not told, but given");
    let (second, third) = (system.spawn(Worker::default()), system.spawn(Worker::default()));
    for worker in [&second, &third] {
        system.join(&carts, worker).expect("it lives");
    }
    system.leave(&carts, &second);
    third.stop();
    assert_eq!(ended(&third).await, ExitReason::Stopped);
    let expected = ["2 Joined", "3 Joined", "2 Left", "3 it stopped"];
    assert_eq!(log.entries(), expected);
    system.unwatch_group(&carts, id);
    system.leave(&carts, &early);
    assert_eq!(log.entries(), expected, "no longer");
}

#[tokio::test(start_paused = true)]
async fn a_watcher_may_change_the_group_it_watches() {
    let (system, carts) = (System::new(), group("carts"));
    let (first, second) = (system.spawn(Worker::default()), system.spawn(Worker::default()));
    let (beside, name) = (system.clone(), carts.clone());
    let watched = system.watch_group(&carts, move |event| {
        if event.change == GroupChange::Joined {
            beside.leave(&name, &first);
            beside.join(&name, &second).expect("it lives");
        }
    });
    watched.expect("within the limit");
    let (_, log) = watching(&system, &carts);
    system.join(&carts, &system.spawn(Worker::default())).expect("it lives");
    assert_eq!(log.entries(), ["3 Joined", "2 Joined"]);
}

#[tokio::test(start_paused = true)]
async fn a_system_has_16384_groups_and_not_one_more() {
    assert_eq!(GROUPS_MAX, 16_384);
    let system = System::new();
    let worker = system.spawn(Worker::default());
    for n in 0..GROUPS_MAX {
        system.join(&group(&format!("g{n}")), &worker).expect("within the limit");
    }
    let past = group("past");
    assert_eq!(system.join(&past, &worker), Err(GroupError::TooManyGroups));
    assert!(matches!(system.watch_group(&past, |_| {}), Err(GroupError::TooManyGroups)));
    system.leave(&group("g0"), &worker);
    assert_eq!(system.join(&past, &worker), Ok(()));
    worker.stop();
    ended(&worker).await;
    assert!(system.groups_joined().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_group_has_16384_members_and_not_one_more() {
    assert_eq!(MEMBERS_MAX, 16_384);
    let (system, carts) = (System::new(), group("carts"));
    let members: Vec<_> = (0..MEMBERS_MAX).map(|_| system.spawn(Delegate)).collect();
    for member in &members {
        system.join(&carts, member).expect("within the limit");
    }
    let past = system.spawn(Delegate);
    assert_eq!(system.join(&carts, &past), Err(GroupError::TooManyMembers(carts.clone())));
    system.leave(&carts, &members[7]);
    assert_eq!(system.join(&carts, &past), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_group_has_1024_watchers_and_not_one_more() {
    assert_eq!(GROUP_WATCHERS_MAX, 1_024);
    let (system, carts) = (System::new(), group("carts"));
    let ids: Vec<_> = (0..GROUP_WATCHERS_MAX).map(|_| watching(&system, &carts).0).collect();
    let refused = system.watch_group(&carts, |_| {}).err();
    assert_eq!(refused, Some(GroupError::TooManyWatchers(carts.clone())));
    system.unwatch_group(&carts, ids[0]);
    assert!(system.watch_group(&carts, |_| {}).is_ok());
}
