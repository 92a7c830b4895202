//! Fork-join: throughput spreads messages over actors that live, create makes an actor for every message.

use std::hint::black_box;

use crate::{
    error::JobError,
    savina::{collector::Collector, verdict::verdict},
    stages::{Behaviour, Scene, Stage},
};

/// Actors of the throughput program.
const WORKERS: u64 = 60;

/// Computes a little for every message, and reports how many there were after the last.
struct Worker<S: Stage> {
    messages: u64,
    handled: u64,
    collector: S::Address<Collector>,
}

/// Computes a little, once.
struct Mayfly<S: Stage> {
    collector: S::Address<Collector>,
}

/// One message per worker and round; the driver sends them all.
pub(crate) async fn throughput<S: Stage>(stage: &S, rounds: u64) -> Result<u64, JobError> {
    let (verdict, pending) = verdict();
    let collector = stage.spawn(Collector::new(WORKERS, verdict));
    let spawn = |_| stage.spawn(Worker::<S> { messages: rounds, handled: 0, collector: collector.clone() });
    let workers: Vec<_> = (0..WORKERS).map(spawn).collect();
    for _ in 0..rounds {
        for worker in &workers {
            S::send(worker, ());
        }
    }
    pending.expect(rounds * WORKERS).await?;
    Ok(rounds * WORKERS)
}

/// Counted in actors.
pub(crate) async fn create<S: Stage>(stage: &S, actors: u64) -> Result<u64, JobError> {
    let (verdict, pending) = verdict();
    let collector = stage.spawn(Collector::new(actors, verdict));
    for _ in 0..actors {
        let mayfly = stage.spawn(Mayfly::<S> { collector: collector.clone() });
        S::send(&mayfly, ());
    }
    pending.expect(actors).await?;
    Ok(actors)
}

/// The suite's computation: some 20 ns.
fn compute() {
    let sine = black_box(37.2_f64).sin();
    black_box(sine * sine);
}

impl<S: Stage> Behaviour<S> for Worker<S> {
    type Message = ();

    fn receive(&mut self, (): (), _scene: &mut impl Scene<S, Self>) {
        compute();
        self.handled += 1;
        if self.handled == self.messages {
            S::send(&self.collector, self.handled);
        }
    }
}

impl<S: Stage> Behaviour<S> for Mayfly<S> {
    type Message = ();

    fn receive(&mut self, (): (), scene: &mut impl Scene<S, Self>) {
        compute();
        S::send(&self.collector, 1);
        scene.stop();
    }
}
