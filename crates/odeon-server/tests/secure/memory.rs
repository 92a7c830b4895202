//! What a link costs that does nothing.

use std::time::Duration;

use odeon_server::Limits;

use crate::support::{Site, ask, wait_until};

/// Links that are held at once, each with two ends in this process.
const LINKS: usize = 100;

/// Most bytes that an idle link may take, both ends together with their servers.
const LINK_BYTES_MAX: usize = 2 * 64 * 1024;

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    let kib: usize = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib * 1024
}

#[tokio::test]
async fn a_hundred_idle_tls_links_take_little_memory() {
    let site = Site::new();
    let b = site.listener("b@/", Limits::default()).await;
    let mut clients = Vec::new();
    let mut before = 0;
    for n in 0..LINKS + 10 {
        if n == 10 {
            // The first ones have filled what is kept for all.
            before = resident_bytes();
        }
        let mut config = site.config("console@/").known(b.id().clone(), b.addresses().to_vec());
        config.id = format!("console-{n:016x}@/").parse().expect("an id");
        let client = odeon_server::Server::start(config).await.expect("starts");
        assert_eq!(ask(&client, b.id()).await, Ok("hi".into()));
        clients.push(client);
    }
    wait_until("all are linked", || b.connections().len() == LINKS + 10).await;
    let each = resident_bytes().saturating_sub(before) / LINKS;
    println!("{each} bytes for each idle TLS link, its two ends and the dialling server");
    assert!(each <= LINK_BYTES_MAX, "{each} bytes");
    for client in clients {
        client.shutdown(Duration::ZERO).await;
    }
}
