//! Readers of a site, as many as a laptop bears, who count what goes wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::http::Client;
use crate::support::wait_for;

/// How a reader uses connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// One for all requests, as long as it lasts.
    KeepAlive,
    /// One for each request.
    OneShot,
}

/// What one reader has met.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answers: u64,
    /// Connections that were refused or could not be made.
    pub(crate) refused: Vec<String>,
    /// Requests that were sent and got no answer, with the worker of the connection, if it was known.
    pub(crate) lost: Vec<(String, String)>,
    /// Answers other than 200.
    pub(crate) bad: Vec<u16>,
}

/// Readers at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    readers: Vec<JoinHandle<Tally>>,
}

impl Load {
    /// `count` readers of each manner.
    pub(crate) fn start(address: SocketAddr, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicU64::new(0));
        let manners = [Manner::KeepAlive, Manner::OneShot].into_iter().cycle().take(2 * count);
        let reader = |manner| {
            let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
            thread::spawn(move || read(address, manner, &stop, &answers))
        };
        Self { readers: manners.map(reader).collect(), stop, answers }
    }

    /// Waits for `count` more answers.
    pub(crate) fn wait_answers(&self, count: u64) {
        let until = self.answers.load(Ordering::Relaxed) + count;
        wait_for("answers", || (self.answers.load(Ordering::Relaxed) >= until).then_some(()));
    }

    /// What each reader has met, its manner first.
    pub(crate) fn end(self) -> Vec<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        self.readers.into_iter().map(|reader| reader.join().expect("a reader does not panic")).collect()
    }
}

fn read(address: SocketAddr, manner: Manner, stop: &AtomicBool, answers: &AtomicU64) -> Tally {
    let mut tally = Tally::default();
    let mut kept: Option<(Client, String)> = None;
    while !stop.load(Ordering::Relaxed) {
        let (mut client, worker) = match kept.take() {
            Some(kept) => kept,
            None => match Client::connect(address) {
                Ok(client) => (client, String::new()),
                Err(error) => {
                    tally.refused.push(error.to_string());
                    continue;
                }
            },
        };
        match client.get("/") {
            Ok(answer) => {
                tally.answers += 1;
                answers.fetch_add(1, Ordering::Relaxed);
                if answer.status != 200 {
                    tally.bad.push(answer.status);
                }
                if manner == Manner::KeepAlive && !answer.closes {
                    kept = Some((client, answer.served_by));
                }
            }
            Err(error) => tally.lost.push((worker, error.to_string())),
        }
    }
    tally
}
