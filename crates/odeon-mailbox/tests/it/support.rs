//! Wakers that count, one poll at a time, and a `block_on` with a deadline. Owns no state beyond a test.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

/// How long anything in these tests waits for the next wake; reached only when something hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A waker that counts its wakes.
#[derive(Default)]
pub(crate) struct Bell {
    rings: AtomicUsize,
}

impl Bell {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    pub(crate) fn rings(&self) -> usize {
        self.rings.load(Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rings.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls a future once, with a waker that rings `bell`.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F, bell: &Arc<Bell>) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&bell.waker()))
}

/// Runs a future to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Nudge(mpsc::SyncSender<()>);
    impl Wake for Nudge {
        fn wake(self: Arc<Self>) {
            // When it is full, a wake is on its way already.
            let _ = self.0.try_send(());
        }
    }

    let (nudge, nudged) = mpsc::sync_channel(1);
    let waker = Waker::from(Arc::new(Nudge(nudge)));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        nudged.recv_timeout(DEADLINE).expect("the future is woken before the deadline");
    }
}

/// Runs `test` on a thread of its own, so that a deadlock fails the test instead of hanging it.
pub(crate) fn without_deadlock(test: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let runner = thread::spawn(move || {
        test();
        done.send(()).expect("the test waits for this");
    });
    match wait.recv_timeout(DEADLINE) {
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => runner.join().expect("the test passes"),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("deadlock"),
    }
}
