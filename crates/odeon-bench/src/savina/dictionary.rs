//! Concurrent dictionary: workers read and write a map that one actor keeps, one request at a time each. The map has
//! 512 keys; the suite's has 524,287, which measures the map.

use std::collections::HashMap;

use crate::{
    error::JobError,
    savina::{collector::Collector, random::Random, verdict::verdict},
    stages::{Behaviour, Scene, Stage},
};

const WORKERS: u64 = 20;
const KEYS: u64 = 512;
/// Requests in a hundred that write.
const WRITES: u64 = 10;

/// Keeps the map.
struct Dictionary(HashMap<u64, u64>);

/// What the dictionary takes.
enum Request<S: Stage> {
    Read { key: u64, from: S::Address<Worker<S>> },
    Write { key: u64, value: u64, from: S::Address<Worker<S>> },
}

/// Sends requests.
struct Worker<S: Stage> {
    dictionary: S::Address<Dictionary>,
    random: Random,
    key: u64,
    left: u64,
    right: u64,
    collector: S::Address<Collector>,
}

/// What a worker takes.
enum Answer {
    Start,
    Value(u64),
}

/// Two messages per request. The verdict is how many answers fit their keys.
pub(crate) async fn run<S: Stage>(stage: &S, requests: u64) -> Result<u64, JobError> {
    let (verdict, pending) = verdict();
    let collector = stage.spawn(Collector::new(WORKERS, verdict));
    let dictionary = stage.spawn(Dictionary((0..KEYS).map(|key| (key, key)).collect()));
    for index in 0..WORKERS {
        let worker = stage.spawn(Worker::<S> {
            dictionary: dictionary.clone(),
            random: Random::new(index),
            key: 0,
            left: requests,
            right: 0,
            collector: collector.clone(),
        });
        S::send(&worker, Answer::Start);
    }
    pending.expect(WORKERS * requests).await?;
    Ok(2 * WORKERS * requests)
}

impl<S: Stage> Behaviour<S> for Dictionary {
    type Message = Request<S>;

    fn receive(&mut self, request: Request<S>, _scene: &mut impl Scene<S, Self>) {
        let (from, value) = match request {
            Request::Read { key, from } => (from, self.0.get(&key).copied().unwrap_or(u64::MAX)),
            Request::Write { key, value, from } => {
                self.0.insert(key, value);
                (from, value)
            }
        };
        S::send(&from, Answer::Value(value));
    }
}

impl<S: Stage> Behaviour<S> for Worker<S> {
    type Message = Answer;

    fn receive(&mut self, answer: Answer, scene: &mut impl Scene<S, Self>) {
        if let Answer::Value(value) = answer {
            // Whoever wrote it last, it was written for this key.
            self.right += u64::from(value % KEYS == self.key);
        }
        if self.left == 0 {
            S::send(&self.collector, self.right);
            return;
        }
        self.left -= 1;
        let (key, from) = (self.random.below(KEYS), scene.me());
        self.key = key;
        let request = if self.random.below(100) < WRITES {
            Request::Write { key, value: key + KEYS * self.left, from }
        } else {
            Request::Read { key, from }
        };
        S::send(&self.dictionary, request);
    }
}
