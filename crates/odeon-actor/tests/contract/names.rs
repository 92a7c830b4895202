//! Names: unique, found by type, free again at the end.

use odeon::{ExitReason, NameTaken, SpawnOptions, System};

use crate::support::{Delegate, Log, Worker, WorkerCalls, ended, name};

#[tokio::test(start_paused = true)]
async fn a_taken_name_is_refused_and_the_newcomer_never_starts() {
    let (system, log) = (System::new(), Log::default());
    let options = || SpawnOptions::named(name("cart"));
    let first = system.spawn_with(options(), Worker::default()).expect("the name is free");
    let refused = system.spawn_with(options(), Worker::logging(&log));
    assert_eq!(refused.err(), Some(NameTaken(name("cart"))));
    assert_eq!(system.live(), 1);
    let other = system.spawn(Worker::logging(&log));
    assert_eq!(system.register(name("cart"), &other), Err(NameTaken(name("cart"))));
    let found = system.lookup::<Worker>(&name("cart")).expect("the first has it");
    assert_eq!(found.id(), first.id());
    other.stop();
    ended(&other).await;
    assert_eq!(log.entries(), ["finished: it stopped"], "only the one without a name ever ran");
}

#[tokio::test(start_paused = true)]
async fn all_names_are_free_at_the_end_however_it_comes() {
    for kill in [false, true] {
        let system = System::new();
        let worker = system.spawn_with(SpawnOptions::named(name("cart")), Worker::default());
        let worker = worker.expect("the name is free");
        system.register(name("basket"), &worker).expect("an actor may have several");
        let names: Vec<_> = system.registered().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, [name("basket"), name("cart")], "in order");
        if kill {
            worker.kill();
        } else {
            worker.panic().tell().await.expect("taken");
        }
        ended(&worker).await;
        assert!(system.registered().is_empty());
        assert!(system.lookup::<Worker>(&name("cart")).is_none());
        let next = system.spawn_with(SpawnOptions::named(name("cart")), Worker::default());
        assert_ne!(next.expect("the name is free").id(), worker.id());
    }
}

#[tokio::test(start_paused = true)]
async fn lookup_asks_for_the_type() {
    let system = System::new();
    let options = SpawnOptions::named(name("cart"));
    let worker = system.spawn_with(options, Worker::default()).expect("the name is free");
    assert!(system.lookup::<Delegate>(&name("cart")).is_none(), "of another type");
    assert!(system.lookup::<Worker>(&name("basket")).is_none(), "of another name");
    let found = system.lookup::<Worker>(&name("cart")).expect("of this name and type");
    assert_eq!(found.note(4).await, Ok(4));
    let inbox = system.inbox(&name("cart")).expect("whatever its type");
    assert_eq!(odeon_core::ActorId::Number(inbox.number()), worker.id());
    assert!(system.inbox_by_number(inbox.number()).is_some());
    assert!(system.inbox_by_number(0).is_none(), "0 is the server itself");
}

#[tokio::test(start_paused = true)]
async fn a_dead_actor_keeps_no_name() {
    let system = System::new();
    let worker = system.spawn(Worker::default());
    worker.stop();
    assert_eq!(ended(&worker).await, ExitReason::Stopped);
    // Whether that is an error or not, nobody may find it afterwards.
    let _ = system.register(name("cart"), &worker);
    assert!(system.lookup::<Worker>(&name("cart")).is_none());
    assert!(system.spawn_with(SpawnOptions::named(name("cart")), Worker::default()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn names_belong_to_one_system() {
    let (here, there) = (System::new(), System::new());
    for system in [&here, &there] {
        let options = SpawnOptions::named(name("cart"));
        system.spawn_with(options, Worker::default()).expect("free in each system");
    }
    here.lookup::<Worker>(&name("cart")).expect("it lives").kill();
    let other = there.lookup::<Worker>(&name("cart")).expect("untouched");
    assert_eq!(other.note(1).await, Ok(1));
}
