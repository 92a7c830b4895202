//! Two servers with a forwarder between them that delays, throttles, stalls, swallows and resets.

use std::thread;
use std::time::{Duration, Instant};

use crate::peers::{Peer, check_tells};
use crate::proxy::{Mode, Proxy};

/// A silent link is believed in for 15 s, after 5 s in which nobody asks.
const NOTICED_WITHIN: Duration = Duration::from_secs(25);

const HEALED_WITHIN: Duration = Duration::from_secs(15);

/// `a@/`, which knows the way to `b@/` by the forwarder, and `b@/`.
struct Pair {
    a: Peer,
    b: Peer,
    proxy: Proxy,
}

fn pair() -> Pair {
    let b = Peer::start(&[], "b@/", &["tcp:127.0.0.1:0".to_owned()]);
    let target = b.address.strip_prefix("tcp:").and_then(|place| place.parse().ok()).expect("an address");
    let proxy = Proxy::start(target);
    let a = Peer::start(&[], "a@/", &["tcp:127.0.0.1:0".to_owned(), format!("b@/=tcp:{}", proxy.address)]);
    a.wait_for_line(Instant::now(), "answered b@/ ", HEALED_WITHIN);
    Pair { a, b, proxy }
}

impl Pair {
    /// The link is lost: that is noticed, and all is well again once the forwarder passes everything.
    fn is_lost_and_heals(&self, mode: Mode) {
        let began = Instant::now();
        self.proxy.set(mode);
        let noticed = self.a.wait_for_line(began, "down b@/ ", NOTICED_WITHIN);
        self.proxy.set(Mode::Pass);
        let mended = Instant::now();
        let healed = self.a.wait_for_line(mended, "answered b@/ ", HEALED_WITHIN);
        // After a message over the new link has arrived, what is missing before it is lost.
        self.b.wait_for_line(mended + healed, "got a@/ ", HEALED_WITHIN);
        let missing = check_tells(&self.a, &self.b);
        println!(
            "{mode:?}: noticed after {noticed:?}, healed after {healed:?}, {missing} tells lost and told"
        );
    }
}

#[test]
fn a_connection_that_is_reset_is_noticed_at_once_and_heals() {
    pair().is_lost_and_heals(Mode::Reset);
}

/// Both take as long as a silent link is believed in, so they wait together.
#[test]
fn connections_that_stall_or_swallow_are_noticed_and_heal() {
    thread::scope(|scope| {
        for mode in [Mode::Stall, Mode::HalfOpen] {
            scope.spawn(move || pair().is_lost_and_heals(mode));
        }
    });
}

#[test]
fn a_slow_connection_is_slow_and_not_taken_for_dead() {
    let pair = pair();
    let began = Instant::now();
    let delay = Duration::from_millis(200);
    pair.proxy.set(Mode::Delay(delay));
    for _ in 0..3 {
        pair.a.wait_for_line(Instant::now(), "answered b@/ ", HEALED_WITHIN);
    }
    let slowest = pair.a.slowest_answer(began, "b@/");
    assert!(slowest >= delay, "{slowest:?}");
    pair.proxy.set(Mode::Throttle(20_000));
    for _ in 0..3 {
        pair.a.wait_for_line(Instant::now(), "answered b@/ ", HEALED_WITHIN);
    }
    assert_eq!(pair.a.printed(began, "down "), []);
    pair.proxy.set(Mode::Pass);
    assert_eq!(check_tells(&pair.a, &pair.b), 0);
    println!("a delay of {delay:?} each way: the slowest answer took {slowest:?}");
}
