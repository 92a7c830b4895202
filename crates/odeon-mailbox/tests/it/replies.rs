//! What the two ends of a reply cell may rely on.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use odeon_mailbox::{Lost, ReplyFuture, ReplyPort, reply_cell};

use crate::support::{Bell, block_on, poll_once, without_deadlock};

#[derive(Debug, PartialEq, Eq)]
struct Expired;

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expired")
    }
}

impl Error for Expired {}

fn cell() -> (ReplyPort<u32, Expired>, ReplyFuture<u32, Expired>) {
    reply_cell()
}

#[test]
fn the_waiter_sees_each_outcome_at_once_and_is_woken_once() {
    fn check(end: fn(ReplyPort<u32, Expired>), expected: Result<u32, Lost<Expired>>) {
        let (port, mut future) = cell();
        let bell = Bell::new();
        assert_eq!(poll_once(&mut future, &bell), Poll::Pending);
        end(port);
        assert_eq!(bell.rings(), 1);
        assert_eq!(poll_once(&mut future, &bell), Poll::Ready(expected));
    }
    check(|port| port.send(7).expect("somebody waits"), Ok(7));
    check(drop, Err(Lost::Dropped));
    check(|port| port.abandon(Expired), Err(Lost::Abandoned(Expired)));
}

#[test]
fn an_outcome_may_come_before_the_first_poll() {
    let (port, mut future) = cell();
    port.send(7).expect("somebody waits");
    let bell = Bell::new();
    assert_eq!(poll_once(&mut future, &bell), Poll::Ready(Ok(7)));
    assert_eq!(bell.rings(), 0);
}

#[test]
fn a_reply_nobody_waits_for_comes_back() {
    let (port, mut future) = cell();
    assert!(port.is_wanted());
    assert!(poll_once(&mut future, &Bell::new()).is_pending());
    assert!(port.is_wanted());
    drop(future);
    assert!(!port.is_wanted());
    assert_eq!(port.send(7), Err(7));

    let (port, future) = cell();
    drop(future);
    port.abandon(Expired);
}

#[test]
fn only_the_last_waker_is_kept_and_none_survives_the_future() {
    let (port, mut future) = cell();
    let (old, new) = (Bell::new(), Bell::new());
    assert!(poll_once(&mut future, &old).is_pending());
    assert!(poll_once(&mut future, &new).is_pending());
    assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (1, 2));
    drop(future);
    assert_eq!(Arc::strong_count(&new), 1);
    drop(port);
    assert_eq!((old.rings(), new.rings()), (0, 0));
}

#[test]
fn a_reply_given_but_not_looked_at_is_dropped_with_the_future() {
    let (port, future) = reply_cell::<_, Expired>();
    let value = Arc::new(());
    port.send(Arc::clone(&value)).expect("somebody waits");
    assert_eq!(Arc::strong_count(&value), 2);
    drop(future);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_reply_polled_after_its_end_panics() {
    let (port, mut future) = cell();
    drop(port);
    assert!(poll_once(&mut future, &Bell::new()).is_ready());
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(&mut future, &Bell::new()))).is_err());
}

#[test]
fn lost_says_why() {
    let dropped = Lost::<Expired>::Dropped;
    assert_eq!(dropped.to_string(), "the request was dropped without a reply");
    assert!(dropped.source().is_none());
    let abandoned = Lost::Abandoned(Expired);
    assert_eq!(abandoned.to_string(), "the request was abandoned without a reply");
    assert_eq!(abandoned.source().map(ToString::to_string).as_deref(), Some("expired"));
}

#[test]
fn every_ask_between_threads_is_answered() {
    const ASKS: u32 = 10_000;
    let (requests, inbox) = std::sync::mpsc::sync_channel::<(u32, ReplyPort<u32, Expired>)>(4);
    let server = thread::spawn(move || {
        for (n, port) in inbox {
            match n % 3 {
                0 => port.send(n).expect("the asker waits"),
                1 => port.abandon(Expired),
                _ => drop(port),
            }
        }
    });
    for n in 0..ASKS {
        let (port, future) = cell();
        requests.send((n, port)).expect("the server runs");
        let expected = match n % 3 {
            0 => Ok(n),
            1 => Err(Lost::Abandoned(Expired)),
            _ => Err(Lost::Dropped),
        };
        assert_eq!(block_on(future), expected);
    }
    drop(requests);
    server.join().expect("the server ends well");
}

/// A waker that looks at the port when it is dropped: it would deadlock if that happened under the lock.
struct Nosy(Arc<Mutex<ReplyPort<u32, Expired>>>);

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Nosy {
    fn drop(&mut self) {
        assert!(self.0.lock().expect("no thread panics with it").is_wanted());
    }
}

#[test]
fn no_waker_is_dropped_under_the_lock() {
    without_deadlock(|| {
        let (port, mut future) = cell();
        let port = Arc::new(Mutex::new(port));
        for _ in 0..2 {
            let waker = Waker::from(Arc::new(Nosy(Arc::clone(&port))));
            assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        // The first waker has been replaced and dropped; let the second be replaced by one that is not nosy.
        assert!(poll_once(&mut future, &Bell::new()).is_pending());
        assert_eq!(Arc::strong_count(&port), 1);
    });
}
