//! Names: unique, found by type, free again at the end.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use odeon::{
    ExitReason, Handle, LookupOrSpawnError, NameTaken, RESERVE_WAITERS_MAX, RegisterError, SpawnOptions,
    System,
};

use crate::support::{Delegate, Gate, Log, Worker, WorkerCalls, at_once, ended, name};

#[tokio::test(start_paused = true)]
async fn a_taken_name_is_refused_and_the_newcomer_never_starts() {
    let (system, log) = (System::new(), Log::default());
    let options = || SpawnOptions::named(name("cart"));
    let first = system.spawn_with(options(), Worker::default()).expect("the name is free");
    let refused = system.spawn_with(options(), Worker::logging(&log));
    assert_eq!(refused.err(), Some(NameTaken(name("cart"))));
    assert_eq!(system.live(), 1);
    let other = system.spawn(Worker::logging(&log));
    assert_eq!(system.register(name("cart"), &other), Err(NameTaken(name("cart")).into()));
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

async fn cart(system: &System) -> Result<Handle<Worker>, LookupOrSpawnError> {
    system.lookup_or_spawn(name("cart"), SpawnOptions::default(), Worker::default).await
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn lookup_or_spawn_makes_the_actor_once() {
    let (system, made) = (System::new(), Cell::new(0));
    let lookup = || {
        system.lookup_or_spawn(name("cart"), SpawnOptions::default(), || {
            made.set(made.get() + 1);
            Worker::default()
        })
    };
    let first = at_once(lookup()).await.expect("made");
    let second = at_once(lookup()).await.expect("found");
    assert_eq!((first.id(), made.get(), system.live()), (second.id(), 1, 1));
    assert_eq!(system.lookup::<Worker>(&name("cart")).map(|found| found.id()), Some(first.id()));
}

#[tokio::test(start_paused = true)]
async fn lookup_or_spawn_of_another_type_is_refused_and_makes_nothing() {
    let system = System::new();
    cart(&system).await.expect("made");
    let make = || -> Delegate { unreachable!("the name is taken") };
    let refused = system.lookup_or_spawn(name("cart"), SpawnOptions::default(), make).await.err();
    let Some(LookupOrSpawnError::OtherType { kind, wanted, .. }) = &refused else {
        panic!("{refused:?}");
    };
    assert!(kind.ends_with("Worker") && wanted.ends_with("Delegate"), "{kind}, {wanted}");
}

#[tokio::test(start_paused = true)]
async fn while_an_actor_is_made_its_name_is_taken_and_others_wait() {
    let system = System::new();
    let other = system.spawn(Worker::default());
    let mut waits = Box::pin(cart(&system));
    let make = || {
        assert!(poll_once(waits.as_mut()).is_pending());
        assert_eq!(system.register(name("cart"), &other), Err(NameTaken(name("cart")).into()));
        assert!(system.spawn_with(SpawnOptions::named(name("cart")), Worker::default()).is_err());
        assert!(system.inbox(&name("cart")).is_none(), "nobody finds it half made");
        Worker::default()
    };
    let made = system.lookup_or_spawn(name("cart"), SpawnOptions::default(), make).await.expect("made");
    assert_eq!(at_once(waits).await.expect("found").id(), made.id());
}

#[tokio::test(start_paused = true)]
async fn a_maker_that_panics_frees_the_name_for_those_who_wait() {
    let system = System::new();
    let mut waits = Box::pin(cart(&system));
    let make = || -> Worker {
        assert!(poll_once(waits.as_mut()).is_pending());
        panic!("the maker panics")
    };
    let mut fails = Box::pin(system.lookup_or_spawn(name("cart"), SpawnOptions::default(), make));
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(fails.as_mut()))).is_err());
    drop(fails);
    let made = at_once(waits).await.expect("made by the one that waited");
    assert_eq!(cart(&system).await.map(|found| found.id()).ok(), Some(made.id()));
}

#[tokio::test(start_paused = true)]
async fn lookup_or_spawn_does_not_find_the_dying() {
    let (system, gate) = (System::new(), Gate::new());
    let dying = Worker { last_gate: Some(gate.clone()), ..Worker::default() };
    let options = SpawnOptions::named(name("cart"));
    let dying = system.spawn_with(options, dying).expect("the name is free");
    dying.stop();
    gate.wait_entered().await;
    let mut waits = Box::pin(cart(&system));
    assert!(poll_once(waits.as_mut()).is_pending(), "the name is not free yet");
    gate.open();
    let made = at_once(waits).await.expect("made");
    assert_ne!(made.id(), dying.id());
    assert_eq!(made.note(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn past_4096_who_wait_for_an_actor_the_next_is_refused() {
    assert_eq!(RESERVE_WAITERS_MAX, 4_096);
    let system = System::new();
    let mut waiting: Vec<_> = (0..RESERVE_WAITERS_MAX).map(|_| Box::pin(cart(&system))).collect();
    let make = || {
        assert!(waiting.iter_mut().all(|waits| poll_once(waits.as_mut()).is_pending()));
        let refused = poll_once(pin!(cart(&system)));
        assert!(
            matches!(refused, std::task::Poll::Ready(Err(LookupOrSpawnError::Crowded { .. }))),
            "{refused:?}"
        );
        Worker::default()
    };
    let made = system.lookup_or_spawn(name("cart"), SpawnOptions::default(), make).await.expect("made");
    for waits in waiting {
        assert_eq!(waits.await.expect("found").id(), made.id());
    }
}

#[tokio::test(start_paused = true)]
async fn a_system_names_none_but_its_own() {
    let (here, there) = (System::new(), System::new());
    let stranger = there.spawn(Worker::default());
    assert_eq!(here.register(name("cart"), &stranger), Err(RegisterError::Elsewhere(name("cart"))));
    let own = here.spawn(Worker::default());
    assert_eq!(here.register(name("cart"), &own), Ok(()), "the name was not taken by the attempt");
}
