//! Room for one future whose type is forgotten, in memory that is used again and again.
//!
//! A handler's future is made in the spare memory of the worker that polls it. If it is ready at once, as most are,
//! the memory stays with the worker and nothing was allocated; if it is not, the future keeps the memory, and the
//! worker takes new memory for the next one.
//!
//! # Invariants
//!
//! - While a [`Slot`] exists its memory holds a live, pinned future: it is not moved until it is dropped.
//! - The `kind` is that of the future's type, because only [`Slot::new`] sets them.

#![expect(unsafe_code, reason = "a future of a forgotten type in reused memory")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

/// Spare memory is at least so large: most handlers' futures fit, so that it is allocated once per worker.
const SPARE_BYTES_MIN: usize = 512;

/// Memory larger than this is given back rather than kept spare: one large handler does not cost every worker.
const SPARE_BYTES_MAX: usize = 16 * 1024;

/// The alignment of spare memory. A future that needs more has memory of its own.
const SPARE_ALIGN: usize = 16;

/// Spare memory so many times larger than wanted stays spare: a future that waits keeps what it was made in.
const SPARE_EXCESS_MAX: usize = 4;

/// Its layout in half the space: every cell has one.
struct Memory {
    at: NonNull<u8>,
    size: u32,
    align: u32,
}

// SAFETY: plain memory, owned by whoever owns the `Memory`.
unsafe impl Send for Memory {}

impl Memory {
    fn new(layout: Layout) -> Self {
        // SAFETY: the layout's size is not zero, see `Memory::fitting`.
        let at = unsafe { alloc(layout) };
        match NonNull::new(at) {
            Some(at) => {
                let half = |size| u32::try_from(size).expect("a future has less than 4 GiB");
                Self { at, size: half(layout.size()), align: half(layout.align()) }
            }
            None => handle_alloc_error(layout),
        }
    }

    fn layout(&self) -> Layout {
        Layout::from_size_align(self.size as usize, self.align as usize).expect("it was valid when allocated")
    }

    /// The spare memory if the future fits, else new memory.
    fn fitting(wanted: Layout, spare: &mut Spare) -> Self {
        let size = wanted.size().max(SPARE_BYTES_MIN);
        let fits = |memory: &mut Self| {
            let has = memory.layout();
            has.size() >= size && has.align() >= wanted.align() && has.size() / SPARE_EXCESS_MAX <= size
        };
        if let Some(memory) = spare.0.take_if(fits) {
            return memory;
        }
        let align = wanted.align().max(SPARE_ALIGN);
        Self::new(Layout::from_size_align(size, align).expect("a future's own layout, rounded up, is valid"))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout, and freed once.
        unsafe { dealloc(self.at.as_ptr(), self.layout()) }
    }
}

/// Memory for the next future that a worker polls.
#[derive(Default)]
pub struct Spare(Option<Memory>);

impl Spare {
    /// No memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    fn keep(&mut self, memory: Memory) {
        let layout = memory.layout();
        if layout.size() <= SPARE_BYTES_MAX && layout.align() == SPARE_ALIGN {
            self.0 = Some(memory);
        }
    }
}

impl fmt::Debug for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spare").field(&self.0.as_ref().map(|memory| memory.size)).finish()
    }
}

/// A pinned future whose type, and whose borrows, are forgotten.
pub(crate) struct Slot {
    memory: Option<Memory>,
    kind: &'static Kind,
}

/// What is known of a future's type.
struct Kind {
    poll: unsafe fn(NonNull<u8>, &mut Context<'_>) -> Poll<()>,
    discard: unsafe fn(NonNull<u8>),
}

// SAFETY: `new` takes only futures that are `Send`.
unsafe impl Send for Slot {}

impl Slot {
    /// Moves `future` into memory.
    ///
    /// # Safety
    ///
    /// Whatever the future borrows must outlive the slot, and must not be used otherwise while the slot exists.
    pub(crate) unsafe fn new<F: Future<Output = ()> + Send>(future: F, spare: &mut Spare) -> Self {
        let memory = Memory::fitting(Layout::new::<F>(), spare);
        // SAFETY: the memory is free, and large and aligned enough for an `F`.
        unsafe { memory.at.cast::<F>().write(future) };
        Self { memory: Some(memory), kind: const { &Kind { poll: poll::<F>, discard: discard::<F> } } }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let memory = self.memory.as_ref().expect("a slot has its memory until it is finished");
        // SAFETY: the memory holds the future of the type that `poll` is for, pinned since it was written.
        unsafe { (self.kind.poll)(memory.at, cx) }
    }

    /// Drops the future; its memory becomes the spare.
    pub(crate) fn finish(mut self, spare: &mut Spare) {
        if let Some(memory) = self.discard_future() {
            spare.keep(memory);
        }
    }

    fn discard_future(&mut self) -> Option<Memory> {
        // Out of the slot first: should the future's drop panic, it is not dropped again.
        let memory = self.memory.take()?;
        // SAFETY: the memory holds a live future of the type that `discard` is for.
        unsafe { (self.kind.discard)(memory.at) };
        Some(memory)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.discard_future());
    }
}

/// # Safety
///
/// `at` holds a live `F` that is never moved.
unsafe fn poll<F: Future<Output = ()>>(at: NonNull<u8>, cx: &mut Context<'_>) -> Poll<()> {
    // SAFETY: as required; the slot's owner has it alone.
    let future = unsafe { at.cast::<F>().as_mut() };
    // SAFETY: as required, it is never moved.
    unsafe { Pin::new_unchecked(future) }.poll(cx)
}

/// # Safety
///
/// `at` holds a live `F`, which is used no more.
unsafe fn discard<F>(at: NonNull<u8>) {
    // SAFETY: as required.
    unsafe { at.cast::<F>().drop_in_place() }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Waker;

    /// SAFETY of the tests' slots: their futures own all they use.
    macro_rules! slot {
        ($future:expr, $spare:expr) => {
            // SAFETY: the future borrows nothing.
            unsafe { Slot::new($future, $spare) }
        };
    }

    #[test]
    fn memory_is_used_again_once_a_future_is_done() {
        let mut spare = Spare::new();
        let mut slot = slot!(async {}, &mut spare);
        assert_eq!(slot.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()));
        let at = slot.memory.as_ref().map(|memory| memory.at);
        slot.finish(&mut spare);
        let next = slot!(async {}, &mut spare);
        assert_eq!(next.memory.as_ref().map(|memory| memory.at), at);
        assert!(spare.0.is_none());
    }

    #[test]
    fn a_future_is_dropped_once_polled_or_not() {
        let alive = Arc::new(());
        let mut spare = Spare::new();
        for polled in [false, true] {
            let held = Arc::clone(&alive);
            let mut slot = slot!(
                async move {
                    let _held = held;
                    std::future::pending::<()>().await;
                },
                &mut spare
            );
            if polled {
                assert!(slot.poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            assert_eq!(Arc::strong_count(&alive), 2);
            drop(slot);
            assert_eq!(Arc::strong_count(&alive), 1);
        }
    }

    #[test]
    fn large_and_over_aligned_futures_have_memory_of_their_own() {
        #[repr(align(64))]
        struct Aligned(u8);
        let mut spare = Spare::new();
        let big = [7_u8; SPARE_BYTES_MAX + 1];
        let aligned = Aligned(3);
        let mut slot = slot!(
            async move {
                std::future::ready(()).await;
                assert_eq!(big[SPARE_BYTES_MAX], 7);
            },
            &mut spare
        );
        assert!(slot.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        slot.finish(&mut spare);
        assert!(spare.0.is_none(), "too large to keep");
        let mut slot = slot!(
            async move {
                std::future::ready(()).await;
                assert_eq!(std::ptr::from_ref(&aligned).addr() % 64, 0);
                assert_eq!(aligned.0, 3);
            },
            &mut spare
        );
        assert!(slot.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        slot.finish(&mut spare);
        assert!(spare.0.is_none(), "too aligned to keep");
    }

    #[test]
    fn memory_of_the_largest_size_is_kept_and_one_byte_more_is_not() {
        /// Ready at once, and of exactly this size.
        struct Sized<const BYTES: usize>([u8; BYTES]);
        impl<const BYTES: usize> Future for Sized<BYTES> {
            type Output = ();

            fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
                assert_eq!(self.0[BYTES - 1], 7);
                Poll::Ready(())
            }
        }
        fn kept<const BYTES: usize>() -> Option<usize> {
            let mut spare = Spare::new();
            let mut slot = slot!(Sized([7; BYTES]), &mut spare);
            assert!(slot.poll(&mut Context::from_waker(Waker::noop())).is_ready());
            slot.finish(&mut spare);
            spare.0.map(|memory| memory.layout().size())
        }
        assert_eq!(kept::<1>(), Some(SPARE_BYTES_MIN));
        assert_eq!(kept::<SPARE_BYTES_MIN>(), Some(SPARE_BYTES_MIN));
        assert_eq!(kept::<{ SPARE_BYTES_MIN + 1 }>(), Some(SPARE_BYTES_MIN + 1));
        assert_eq!(kept::<SPARE_BYTES_MAX>(), Some(SPARE_BYTES_MAX));
        assert_eq!(kept::<{ SPARE_BYTES_MAX + 1 }>(), None);
    }

    #[test]
    fn memory_too_small_for_a_future_stays_spare() {
        let mut spare = Spare::new();
        slot!(async {}, &mut spare).finish(&mut spare);
        let small = spare.0.as_ref().map(|memory| memory.at);
        let big = [7_u8; SPARE_BYTES_MIN];
        let slot = slot!(
            async move {
                std::future::ready(()).await;
                assert_eq!(big[0], 7);
            },
            &mut spare
        );
        assert_eq!(spare.0.as_ref().map(|memory| memory.at), small);
        drop(slot);
    }

    #[test]
    fn memory_so_many_times_too_large_is_used_and_more_is_not() {
        let used = |size| {
            let layout = Layout::from_size_align(size, SPARE_ALIGN).expect("it is small");
            let mut spare = Spare(Some(Memory::new(layout)));
            drop(slot!(async {}, &mut spare));
            spare.0.is_none()
        };
        assert!(used(SPARE_EXCESS_MAX * SPARE_BYTES_MIN));
        assert!(!used(SPARE_EXCESS_MAX * (SPARE_BYTES_MIN + 1)));
    }
}
