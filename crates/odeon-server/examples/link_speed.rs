//! How fast one link is: `cargo run --release -p odeon-server --example link_speed [unix|tcp]`.
//!
//! Two servers in one process, each with a runtime of its own, and an actor that counts. Prints the median of an ask
//! after the other, the rate of tells of 64 bytes one way, and the rate with 1,000 asks open; each with the time that
//! both ends' processors took for one, which a busy machine does not change much. Before, what a bare socket of the
//! same kind takes: one message there and back between two threads, and 1,000 of them in each write.

#![expect(clippy::disallowed_methods, reason = "it measures time, and runs tasks of its own")]
#![expect(clippy::print_stdout, reason = "the figures are its output")]

extern crate odeon_actor as odeon;

use std::io::{Read, Write};
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

/// How long the process has kept processors busy, in steps of 10 ms.
fn processor_time() -> Result<Duration, AnyError> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let ticks = |place: usize| rest.split_whitespace().nth(place).map_or(Ok(0), str::parse::<u64>);
    Ok(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
}

/// What each of so many has taken since then.
fn per_one(since: Duration, many: u64) -> String {
    processor_time().map_or_else(
        |error| error.to_string(),
        |now| format!("{:.2} µs of processor time", (now - since).as_secs_f64() * 1e6 / many as f64),
    )
}

/// What a bare socket of the same kind does: there and back between two threads.
fn bare(is_tcp: bool) -> Result<(), AnyError> {
    if is_tcp {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let near = std::net::TcpStream::connect(listener.local_addr()?)?;
        let (far, _) = listener.accept()?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        echo(near, far)
    } else {
        let (near, far) = std::os::unix::net::UnixStream::pair()?;
        echo(near, far)
    }
}

fn echo<S: Read + Write + Send + 'static>(mut near: S, mut far: S) -> Result<(), AnyError> {
    const BYTES: usize = 40;
    let echoing = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = far.read(&mut buffer) {
            if far.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
    });
    let mut taken = Vec::new();
    let mut one = [7; BYTES];
    for _ in 0..20_000 {
        let begun = Instant::now();
        near.write_all(&one)?;
        near.read_exact(&mut one)?;
        taken.push(begun.elapsed());
    }
    taken.sort_unstable();
    let mut thousand = vec![7; 1_000 * BYTES];
    let begun = Instant::now();
    for _ in 0..1_000 {
        near.write_all(&thousand)?;
        near.read_exact(&mut thousand)?;
    }
    let rate = 1e6 / begun.elapsed().as_secs_f64();
    println!("bare socket: p50 {:?}, in thousands {rate:.0}/s", taken[taken.len() / 2]);
    drop(near);
    echoing.join().map_err(|_| "the echo panicked")?;
    Ok(())
}

async fn latency(counter: &Handle<Counter>) -> Result<(), AnyError> {
    let (mut taken, busy) = (Vec::new(), processor_time()?);
    for n in 0..30_000 {
        let begun = Instant::now();
        counter.next(n).await?;
        taken.push(begun.elapsed());
    }
    taken.drain(..5_000);
    taken.sort_unstable();
    println!(
        "ask: p50 {:?}, p99 {:?}, {} of both ends",
        taken[taken.len() / 2],
        taken[taken.len() * 99 / 100],
        per_one(busy, 30_000)
    );
    Ok(())
}

async fn tells(counter: &Handle<Counter>, many: u64) -> Result<(), AnyError> {
    let before = counter.heard().await?;
    let text = "x".repeat(62);
    let busy = processor_time()?;
    let begun = Instant::now();
    for _ in 0..many {
        counter.take(text.clone()).tell().await?;
    }
    let sent = begun.elapsed();
    while counter.heard().within(Duration::from_secs(60)).await? < before + many {}
    let rate = many as f64 / begun.elapsed().as_secs_f64();
    println!("tells of 64 bytes: {rate:.0}/s (sent in {sent:?}), {} of both ends", per_one(busy, many));
    Ok(())
}

async fn open_asks(counter: &Handle<Counter>, tasks: u64, each: u64) -> Result<(), AnyError> {
    let busy = processor_time()?;
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
    println!("{tasks} asks open: {rate:.0}/s, {} of both ends", per_one(busy, tasks * each));
    Ok(())
}

fn main() -> Result<(), AnyError> {
    let is_tcp = std::env::args().nth(1).is_some_and(|kind| kind == "tcp");
    bare(is_tcp)?;
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
