//! Floods of handshakes: a thousand strangers begin theirs at once, each of which costs the server a key exchange, a
//! signature and the verification of a chain. Links that stand go on meanwhile, and whoever comes new gets in.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::time::Duration;

use odeon_server::{Limits, Server};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::hostile_peers::shows;
use crate::intruder::{Shows, answered_from, place};
use crate::support::{PATIENCE, Site, ask, wait_until};

/// How many handshakes a flood is. All begin at once.
const FLOOD: u16 = 1_000;

/// Most processor time of the server's thread, which is everybody's but the strangers', in which an ask is answered.
/// Time by the wall would tell what else the machine has to do.
const ASK_COSTS_MAX: Duration = Duration::from_secs(1);

/// The same until a newcomer's first ask is answered.
const NEWCOMER_COSTS_MAX: Duration = Duration::from_secs(4);

/// One flood at a time.
static FLOODED: Mutex<()> = Mutex::const_new(());

/// Begins them all, those of one address after another's; how many were refused?
async fn flood(at: &str, stranger: &Shows, sources: u32) -> u16 {
    let config = stranger.config().expect("its own is good enough for it");
    let mut under_way = tokio::task::JoinSet::new();
    for n in 0..u32::from(FLOOD) {
        let (at, config) = (at.to_owned(), config.clone());
        let from = Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 1).to_bits() + n % sources);
        under_way.spawn(async move { answered_from(from, &at, config, "a@/").await });
    }
    let mut refused = 0;
    while let Some(outcome) = under_way.join_next().await {
        refused += u16::from(outcome.expect("no panic").is_err());
    }
    refused
}

/// How long somebody has waited, by the wall and by what this thread has computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Took {
    wall: Duration,
    computed: Duration,
}

fn computed() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("it is never negative")
}

/// Serves again and again, until it is over.
async fn served(over: &Cell<bool>, mut serve: impl AsyncFnMut() -> Took) -> Vec<Took> {
    let mut took = Vec::new();
    while !over.get() {
        took.push(serve().await);
        tokio::task::yield_now().await;
    }
    took.sort_unstable();
    took
}

async fn timed_ask(who: &Server, b: &Server) -> Took {
    let (asked, before) = (Instant::now(), computed());
    assert_eq!(ask(who, b.id()).await, Ok("hi".into()));
    Took { wall: asked.elapsed(), computed: computed() - before }
}

fn check(what: &str, took: &[Took], costs_max: Duration) {
    let costs = took.iter().map(|took| took.computed).max().expect("one at least");
    let (middle, longest) = (took[took.len() / 2].wall, took[took.len() - 1].wall);
    println!(
        "{what}: {} of them, p50 {middle:?}, longest {longest:?}; at most {costs:?} computed",
        took.len()
    );
    assert!(costs < costs_max, "{what}: {took:?}");
}

/// A server that gives nobody up too early: this machine may have a lot to do.
async fn patient(site: &Site, name: &str, b: &Server) -> Server {
    let mut config = site.config(name).known(b.id().clone(), b.addresses().to_vec());
    config.reply_timeout = PATIENCE;
    config.limits.handshake_timeout = PATIENCE;
    Server::start(config).await.expect("starts")
}

/// A flood from so many addresses against `b@/` with these limits, all in one thread but for the strangers: it is not
/// the server that pays for what they compute.
async fn is_weathered(row: &str, sources: u32, limits: Limits) {
    let _alone = FLOODED.lock().await;
    let site = Site::new();
    let b = site.listener("b@/", limits).await;
    let (at, stranger) = (place(&b), shows(&Site::other(), "a@/"));
    let honest = patient(&site, "c@/", &b).await;
    timed_ask(&honest, &b).await;
    let began = Instant::now();
    let (told, refused) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _ = told.send(runtime.block_on(flood(&at, &stranger, sources)));
    });
    let over = Cell::new(false);
    let asks = served(&over, async || timed_ask(&honest, &b).await);
    let newcomers = served(&over, async || {
        let newcomer = patient(&site, "a@/", &b).await;
        let took = timed_ask(&newcomer, &b).await;
        newcomer.shutdown(Duration::ZERO).await;
        took
    });
    let flooding = async {
        let refused = refused.await;
        over.set(true);
        refused
    };
    let (asks, newcomers, refused) = tokio::join!(asks, newcomers, flooding);
    println!("{row}: {FLOOD} handshakes over after {:?}", began.elapsed());
    check(&format!("{row}: asks over a link that was there"), &asks, ASK_COSTS_MAX);
    check(&format!("{row}: newcomers' first asks"), &newcomers, NEWCOMER_COSTS_MAX);
    assert_eq!(refused, Ok(FLOOD), "each is refused");
    wait_until("the strangers are gone", || b.status().links <= 1).await;
}

#[tokio::test]
async fn a_thousand_handshakes_at_once_from_one_address_keep_nobody_waiting() {
    is_weathered("flood from one address", 1, Limits::default()).await;
}

#[tokio::test]
async fn a_thousand_handshakes_at_once_of_which_none_is_dropped_keep_nobody_waiting() {
    let limits =
        Limits { handshakes_max: usize::from(FLOOD) + 10, handshake_timeout: PATIENCE, ..Limits::default() };
    is_weathered("flood from fifty addresses", 50, limits).await;
}
