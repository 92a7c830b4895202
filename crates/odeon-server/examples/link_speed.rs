//! How fast one link is: `cargo run --release -p odeon-server --example link_speed [unix|tcp]`.
//!
//! Two servers in one process, each with a runtime of its own, and an actor that counts. Prints the median of an ask
//! after the other, the rate of tells of 64 bytes one way, and the rate with 1,000 asks open.

#![expect(clippy::disallowed_methods, reason = "it measures time, and runs tasks of its own")]
#![expect(clippy::print_stdout, reason = "the figures are its output")]

extern crate odeon_actor as odeon;

use std::time::{Duration, Instant};

use odeon_actor::{Handle, actor};
use odeon_auth::Cookie;
use odeon_core::{Address, Reference, ServerId};
use odeon_server::{Home, Server, ServerConfig, World};

#[derive(Debug, Default)]
struct Counter {
    heard: u64,
}

/// Counts.
#[actor(mark = "counter/1")]
impl Counter {
    /// Takes 64 bytes or so.
    #[handle]
    fn take(&mut self, text: String) {
        self.heard += u64::from(!text.is_empty());
    }

    /// How many came.
    #[handle]
    fn heard(&self) -> u64 {
        self.heard
    }

    /// One more.
    #[handle]
    fn next(&mut self, n: u64) -> u64 {
        n + 1
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn config(home: &Home, id: &str) -> Result<ServerConfig, AnyError> {
    let id: ServerId = id.parse()?;
    Ok(ServerConfig::new(id, Cookie::from_bytes([7; 32]), World::real(home.host().clone())))
}

async fn latency(counter: &Handle<Counter>) -> Result<(), AnyError> {
    let mut taken = Vec::new();
    for n in 0..30_000 {
        let begun = Instant::now();
        counter.next(n).await?;
        taken.push(begun.elapsed());
    }
    taken.drain(..5_000);
    taken.sort_unstable();
    println!("ask: p50 {:?}, p99 {:?}", taken[taken.len() / 2], taken[taken.len() * 99 / 100]);
    Ok(())
}

async fn tells(counter: &Handle<Counter>, many: u64) -> Result<(), AnyError> {
    let before = counter.heard().await?;
    let text = "x".repeat(62);
    let begun = Instant::now();
    for _ in 0..many {
        counter.take(text.clone()).tell().await?;
    }
    let sent = begun.elapsed();
    while counter.heard().within(Duration::from_secs(60)).await? < before + many {}
    let rate = many as f64 / begun.elapsed().as_secs_f64();
    println!("tells of 64 bytes: {rate:.0}/s (sent in {sent:?})");
    Ok(())
}

async fn open_asks(counter: &Handle<Counter>, tasks: u64, each: u64) -> Result<(), AnyError> {
    let begun = Instant::now();
    let asking: Vec<_> = (0..tasks)
        .map(|_| {
            let counter = counter.clone();
            tokio::spawn(async move {
                for n in 0..each {
                    counter.next(n).within(Duration::from_secs(60)).await?;
                }
                Ok::<(), AnyError>(())
            })
        })
        .collect();
    for task in asking {
        task.await??;
    }
    let rate = (tasks * each) as f64 / begun.elapsed().as_secs_f64();
    println!("{tasks} asks open: {rate:.0}/s");
    Ok(())
}

fn main() -> Result<(), AnyError> {
    let is_tcp = std::env::args().nth(1).is_some_and(|kind| kind == "tcp");
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (near, far) = (runtime()?, runtime()?);
    let directory = tempfile::tempdir()?;
    let home = Home::open(directory.path())?;
    let listening = far.block_on(async {
        let id: ServerId = "b@/".parse()?;
        let address = if is_tcp { "tcp:127.0.0.1:0".parse::<Address>()? } else { home.address(&id) };
        let server = Server::start(config(&home, "b@/")?.listen(address)).await?;
        server.spawn_named("counter".parse()?, Counter::default())?;
        Ok::<_, AnyError>(server)
    })?;
    let (id, addresses) = (listening.id().clone(), listening.addresses().to_vec());
    let asking = near.spawn(async move {
        let server = Server::start(config(&home, "a@/")?.known(id.clone(), addresses)).await?;
        let counter = server.actor::<Counter>(Reference::new(id, "counter".parse()?));
        latency(&counter).await?;
        tells(&counter, 1_000_000).await?;
        open_asks(&counter, 1_000, 500).await?;
        Ok::<_, AnyError>(())
    });
    near.block_on(asking)?
}
