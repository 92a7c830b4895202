//! File descriptors run out. Alone in its process, whose descriptors are what runs out.

extern crate odeon_actor as odeon;

mod common;

use std::time::Duration;

use odeon_actor::actor;
use odeon_auth::Cookie;
use odeon_core::{Address, Reference};
use odeon_server::{Home, Server, ServerConfig, World};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpSocket;
use tokio::time::Instant;

use common::wait_until;

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

fn config(home: &Home, name: &str) -> ServerConfig {
    let id = name.parse().expect("an id");
    ServerConfig::new(id, Cookie::from_bytes([7; 32]), World::real(home.host().clone()))
}

/// How many times a server could not accept.
fn failures(server: &Server) -> u64 {
    let text = server.metrics();
    let sample = text.lines().find_map(|line| line.strip_prefix("odeon_accept_failures_total "));
    sample.and_then(|count| count.parse().ok()).expect("it is counted")
}

/// One more than the highest descriptor in use: from here on there is none.
fn descriptors() -> u64 {
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux has it");
    let numbers = open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
    numbers.max().expect("some are open") + 1
}

#[tokio::test]
async fn without_file_descriptors_links_go_on_and_afterwards_newcomers_are_let_in() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = Home::open(directory.path()).expect("a home");
    let listening = config(&home, "b@/").listen("tcp:127.0.0.1:0".parse().expect("an address"));
    let b = Server::start(listening).await.expect("starts");
    b.spawn_named("echo".parse().expect("a name"), Echo).expect("registered");
    let echo = || Reference::new(b.id().clone(), "echo".parse().expect("an actor"));
    let client = async |name: &str| {
        let config = config(&home, name).known(b.id().clone(), b.addresses().to_vec());
        Server::start(config).await.expect("starts")
    };
    let member = client("member@/").await;
    let there = member.actor::<Echo>(echo());
    assert_eq!(there.say("hi".into()).await.expect("answered"), "hi");

    // Whoever connects has its descriptor already; the server needs one of its own.
    let Address::Tcp(address) = &b.addresses()[0] else { panic!("tcp") };
    let socket = TcpSocket::new_v4().expect("a socket");
    let before = getrlimit(Resource::Nofile);
    // Gaps below the highest one are filled up first.
    let none_left = Rlimit { current: Some(descriptors()), maximum: before.maximum };
    setrlimit(Resource::Nofile, none_left).expect("lowered");
    let mut fillers = Vec::new();
    while let Ok(filler) = std::net::UdpSocket::bind("127.0.0.1:0") {
        fillers.push(filler);
    }
    let _stranger = socket.connect(address.parse().expect("an address")).await.expect("in the backlog");
    wait_until("it cannot be accepted", || failures(&b) > 0).await;
    let began = Instant::now();
    let (mut asks, mut longest) = (0, Duration::ZERO);
    while failures(&b) < 4 {
        let asked = Instant::now();
        assert_eq!(there.say("hi".into()).await.expect("answered"), "hi");
        longest = longest.max(asked.elapsed());
        asks += 1;
    }
    println!(
        "{asks} asks meanwhile, longest {longest:?}; {} failures in {:?}",
        failures(&b),
        began.elapsed()
    );
    // It waits between two attempts, longer each time: three pauses are over.
    assert!(began.elapsed() >= Duration::from_millis(50 + 100), "it tries too often");

    drop(fillers);
    setrlimit(Resource::Nofile, before).expect("raised");
    let newcomer = client("newcomer@/").await;
    assert_eq!(newcomer.actor::<Echo>(echo()).say("hi".into()).await.expect("answered"), "hi");
    assert_eq!(there.say("hi".into()).await.expect("answered"), "hi");
}
