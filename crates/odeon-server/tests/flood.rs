//! A thousand connections that say nothing: the server serves others and its memory stays bounded. Alone in its
//! process, whose memory and file descriptors it counts.

#![expect(clippy::disallowed_methods, reason = "tests run tasks of their own, and take the time")]
#![expect(clippy::print_stdout, reason = "the figures are for whoever reads the test's output")]

extern crate odeon_actor as odeon;

mod common;

use std::time::{Duration, Instant};

use odeon_actor::actor;
use odeon_auth::Cookie;
use odeon_core::{Address, Reference, ServerId};
use odeon_server::{Home, Limits, Server, ServerConfig, World};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;

use common::wait_until;

/// How many say nothing.
const SILENT: usize = 1_000;

/// Most memory that they may cost, in KiB: a quarter of this is plenty for those that are kept.
const MEMORY_KIB_MAX: u64 = 32 * 1024;

/// Longest that an honest peer may have to wait. On an idle machine it is milliseconds.
const WAIT_MAX: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Echo;

/// Says it back.
#[actor(mark = "echo/1")]
impl Echo {
    /// Says it back.
    #[handle]
    fn say(&self, text: String) -> String {
        text
    }
}

/// Resident memory of this process, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux has it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux has it").count()
}

fn id(text: &str) -> ServerId {
    text.parse().expect("a server id")
}

struct Site {
    home: Home,
    server: Server,
}

impl Site {
    fn config(&self, name: &str) -> ServerConfig {
        config(&self.home, name).known(self.server.id().clone(), self.server.addresses().to_vec())
    }

    fn echo(&self) -> Reference {
        Reference::new(self.server.id().clone(), "echo".parse().expect("an actor"))
    }

    /// A newcomer connects, proves itself, and asks: how long that took.
    async fn newcomer(&self) -> Duration {
        let began = Instant::now();
        let newcomer = Server::start(self.config("newcomer@/")).await.expect("starts");
        let said = newcomer.actor::<Echo>(self.echo()).say("hi".into()).await;
        let took = began.elapsed();
        assert_eq!(said.expect("answered"), "hi");
        newcomer.shutdown(Duration::ZERO).await;
        took
    }
}

fn config(home: &Home, name: &str) -> ServerConfig {
    ServerConfig::new(id(name), Cookie::from_bytes([7; 32]), World::real(home.host().clone()))
}

fn is_kept(connection: &TcpStream) -> bool {
    // A connection that was refused has a last word to read.
    let read = connection.try_read(&mut [0; 1]);
    matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

fn report(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let (middle, longest) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{what}: {} of them, p50 {middle:?}, max {longest:?}", took.len());
    assert!(longest < WAIT_MAX, "{what} took {longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_silent_connections_keep_nobody_waiting_and_cost_little() {
    // Both ends of each are in this process. The hard limit is the host's.
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.maximum.map_or(8_192, |maximum| maximum.min(8_192));
    if limit.current.is_some_and(|current| current < enough) {
        let raised = Rlimit { current: Some(enough), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).expect("up to the hard limit");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let home = Home::open(directory.path()).expect("a home");
    let mut listening = config(&home, "b@/").listen("tcp:127.0.0.1:0".parse().expect("an address"));
    // Nothing is to end them but the server's own limit.
    listening.limits.handshake_timeout = Duration::from_secs(600);
    let kept_max = Limits::default().handshakes_per_source_max;
    let server = Server::start(listening).await.expect("starts");
    server.spawn_named("echo".parse().expect("a name"), Echo).expect("registered");
    let site = Site { home, server };
    let member = Server::start(site.config("member@/")).await.expect("starts");
    let echo = member.actor::<Echo>(site.echo());
    echo.say("hi".into()).await.expect("answered");
    site.newcomer().await;
    wait_until("the newcomer has gone", || site.server.status().links == 1).await;
    let (memory_before, files_before) = (resident_kib(), open_files());

    let Address::Tcp(address) = site.server.addresses()[0].clone() else { panic!("tcp") };
    let flood = tokio::spawn(async move {
        let mut connections = Vec::new();
        for _ in 0..SILENT {
            connections.push(TcpStream::connect(&address).await.expect("connected"));
        }
        connections
    });
    let (mut asks, mut newcomers) = (Vec::new(), Vec::new());
    while asks.len() < 500 || !flood.is_finished() {
        let began = Instant::now();
        assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
        asks.push(began.elapsed());
        if asks.len() % 25 == 0 {
            newcomers.push(site.newcomer().await);
        }
    }
    let connections = flood.await.expect("no panic");
    newcomers.push(site.newcomer().await);
    let kept = || connections.iter().filter(|connection| is_kept(connection)).count();
    wait_until("the oldest have gone", || kept() <= kept_max).await;
    let grown = resident_kib().saturating_sub(memory_before);
    println!("kept {} of {SILENT} silent connections (limit {kept_max}), for {grown} KiB", kept());
    report("asks over a link that was there", asks);
    report("newcomers' first asks", newcomers);
    // Each newcomer pushed out one more.
    assert!(kept() <= kept_max && kept() + 100 > kept_max, "kept {}", kept());
    assert!(grown < MEMORY_KIB_MAX, "grown by {grown} KiB");

    drop(connections);
    wait_until("all is given back", || open_files() <= files_before).await;
    assert_eq!(site.server.connections().len(), 1, "the member is still there");
    assert_eq!(echo.say("hi".into()).await.expect("answered"), "hi");
}
