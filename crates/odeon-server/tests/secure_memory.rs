//! What a link over TLS costs that does nothing. Alone in its process, whose memory is what is measured.

#![expect(clippy::disallowed_methods, reason = "tests play operators")]

extern crate odeon_actor as odeon;

mod common;
#[expect(dead_code, reason = "it is the other tests' too")]
#[path = "secure/support.rs"]
mod support;

use std::time::Duration;

use odeon_server::Limits;
use support::{Site, ask, wait_until};

/// Links that are held at once, each with two ends in this process.
const LINKS: usize = 400;

/// Links before the first look: they fill what is kept for all.
const FIRST: usize = 40;

/// Most bytes that an idle link may take: both ends, and the whole dialling server. Rustls keeps 4 KiB to read into and
/// as much again of keys, states and certificates at each end.
const BYTES_MAX: usize = 2 * 27 * 1024;

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    let kib: usize = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib * 1024
}

#[tokio::test]
async fn hundreds_of_idle_tls_links_take_little_memory() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    let mut clients = Vec::new();
    let mut before = 0;
    for n in 0..LINKS + FIRST {
        if n == FIRST {
            before = resident_bytes();
        }
        let mut config = site.config("console@/").known(b.id().clone(), b.addresses().to_vec());
        config.id = format!("console-{n:032x}@/").parse().expect("an id");
        let client = odeon_server::Server::start(config).await.expect("starts");
        assert_eq!(ask(&client, b.id()).await, Ok("hi".into()));
        clients.push(client);
    }
    wait_until("all are linked", || b.connections().len() == LINKS + FIRST).await;
    let each = resident_bytes().saturating_sub(before) / LINKS;
    println!("{each} bytes for each idle TLS link, its two ends and the dialling server");
    assert!(each <= BYTES_MAX, "{each} bytes");
    for client in clients {
        client.shutdown(Duration::ZERO).await;
    }
}
