//! The models, by what they are about, and what they share.

mod cell;
mod mailbox;
mod reply;
mod run_queue;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::model::Builder;
use loom::thread::{self, Thread};

/// Preemptions in the models that have too many interleavings for all of them to be run.
const PREEMPTIONS_MAX: usize = 4;

/// Runs every interleaving of a model.
fn check(model: impl Fn() + Sync + Send + 'static) {
    Builder::new().check(model);
}

/// Runs every interleaving of a model that has [`PREEMPTIONS_MAX`] at most.
fn check_bounded(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(model);
}

/// Runs a future to its end on this thread of the model.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}
