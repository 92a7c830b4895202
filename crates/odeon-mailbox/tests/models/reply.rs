//! The two ends of a reply cell.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use loom::thread;
use odeon_mailbox::{Lost, reply_cell};

use super::{block_on, check};

#[test]
fn a_reply_arrives() {
    check(|| {
        let (port, future) = reply_cell::<_, ()>();
        let sender = thread::spawn(move || assert_eq!(port.send(7), Ok(())));
        assert_eq!(block_on(future), Ok(7));
        sender.join().expect("the sender ends well");
    });
}

#[test]
fn who_waits_learns_that_there_will_be_no_reply() {
    for abandon in [false, true] {
        check(move || {
            let (port, future) = reply_cell::<u8, _>();
            let sender = thread::spawn(move || if abandon { port.abandon(9) } else { drop(port) });
            let expected = if abandon { Lost::Abandoned(9) } else { Lost::Dropped };
            assert_eq!(block_on(future), Err(expected));
            sender.join().expect("the sender ends well");
        });
    }
}

#[test]
fn a_reply_is_taken_or_comes_back() {
    check(|| {
        let value = std::sync::Arc::new(());
        let (port, mut future) = reply_cell::<_, ()>();
        let sender = thread::spawn({
            let value = value.clone();
            move || {
                let was_wanted = port.is_wanted();
                let sent = port.send(value);
                assert!(was_wanted || sent.is_err(), "nobody comes back to wait");
            }
        });
        let polled = Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending | Poll::Ready(Ok(_))));
        drop((future, polled));
        sender.join().expect("the sender ends well");
        assert_eq!(std::sync::Arc::strong_count(&value), 1, "it was dropped once");
    });
}
