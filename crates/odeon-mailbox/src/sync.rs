//! The primitives that a model checker has to see: the standard ones, or loom's under `--cfg loom`.

#[cfg(not(loom))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
    pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

    /// Values of which each thread has its own.
    macro_rules! per_thread {
        ($($(#[$doc:meta])* static $name:ident: $type:ty = $init:expr;)*) => {
            std::thread_local! { $($(#[$doc])* static $name: $type = const { $init };)* }
        };
    }
    pub(crate) use per_thread;

    /// `std`'s cell, with loom's interface.
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(loom)]
mod real {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};

    macro_rules! per_thread {
        ($($item:tt)*) => {
            loom::thread_local! { $($item)* }
        };
    }
    pub(crate) use per_thread;
}

pub(crate) use real::*;
