//! A cell: something that one thread at a time may run, and that knows whether it has to be run at all.
//!
//! A cell holds its *contents* (an actor and what it works with) and, while a handler waits, the handler's future,
//! which borrows them. One word says how things stand:
//!
//! ```text
//!              notify: the caller puts it on a run queue
//!     idle ─────────────────────────────────────▶ NOTIFIED
//!      ▲ │                                          │ begin, by the runner that took it off the queue
//!      │ └──── try_enter: right here ───▶ RUNNING ◀─┘
//!      │                                   │   ▲
//!      └──────── try_leave, not notified ──┘   └─ notify while RUNNING: it will look again
//! ```
//!
//! A cell that is left while its future waits for something that is no message is `BUSY`: then messages need not
//! notify, because nobody could take them. Whoever runs the cell next clears it, before the future can look at the
//! mailbox.
//!
//! # Invariants
//!
//! - Whoever set `RUNNING` has contents and future to itself until it clears it; the word's release and acquire
//!   order what one holder did before what the next sees.
//! - A cell is on a run queue exactly once while `NOTIFIED` is set and `RUNNING` is not.
//! - While there is a future, the contents are its own: [`Entered::contents`] gives nothing.
//! - A future runs only where it began: in a cell that was moved meanwhile it is neither polled nor dropped.
//! - `BUSY` and `RUNNING` are never set together.
//! - No notification is lost: one that comes while the cell runs keeps it from becoming idle.

#![expect(unsafe_code, reason = "contents that whoever set RUNNING has to itself")]

use std::fmt;
use std::future::Future;
use std::mem::{self, ManuallyDrop};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::slot::{Slot, Spare};
use crate::sync::{AtomicU32, Ordering, UnsafeCell};

const RUNNING: u32 = 1;
const NOTIFIED: u32 = 2;
const BUSY: u32 = 4;

/// Contents that one thread at a time may use, with the word that says whose turn it is.
pub struct Cell<C> {
    word: AtomicU32,
    future: UnsafeCell<Option<Placed>>,
    contents: UnsafeCell<Option<C>>,
}

/// A future, and the address of the contents it borrows.
struct Placed {
    slot: Slot,
    place: usize,
}

// SAFETY: contents and future are used only by whoever set RUNNING, one thread at a time; both may be sent.
unsafe impl<C: Send> Sync for Cell<C> {}

/// A future over the contents of a cell.
pub trait Begin<C> {
    /// Makes it.
    fn begin<'c>(self, contents: &'c mut C) -> impl Future<Output = ()> + Send + 'c;
}

/// How a cell stands, at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Nobody runs it, and it is on no run queue.
    Idle,
    /// It is on a run queue.
    Ready,
    /// Somebody runs it.
    Running,
}

/// What a future that is not ready waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// For messages, perhaps among other things: they notify.
    Messages,
    /// For something else: messages wait meanwhile, without notifying.
    Other,
}

impl<C> Cell<C> {
    /// An idle cell.
    #[must_use]
    pub fn idle(contents: C) -> Self {
        Self {
            word: AtomicU32::new(0),
            future: UnsafeCell::new(None),
            contents: UnsafeCell::new(Some(contents)),
        }
    }

    /// A cell without contents that nobody can enter before its maker has [begun](Self::begin) it.
    #[must_use]
    pub fn notified() -> Self {
        Self {
            word: AtomicU32::new(NOTIFIED),
            future: UnsafeCell::new(None),
            contents: UnsafeCell::new(None),
        }
    }

    /// Says that the cell has to be run. `true`: the caller puts it on a run queue.
    #[must_use = "a cell that is notified and on no run queue never runs again"]
    pub fn notify(&self) -> bool {
        let before = self.word.fetch_or(NOTIFIED, Ordering::AcqRel);
        before & (RUNNING | NOTIFIED) == 0
    }

    /// As [`notify`](Self::notify), after a message was put into the cell's mailbox; mostly one load.
    ///
    /// It must come after the mailbox's lock was released. If the message was put in after whoever runs the cell
    /// last looked, then that one's clearing of the bits read here came before too, and is seen.
    #[must_use = "a cell that is notified and on no run queue never runs again"]
    pub fn notify_message(&self) -> bool {
        self.word.load(Ordering::Acquire) & (NOTIFIED | BUSY) == 0 && self.notify()
    }

    /// Enters a cell that came off a run queue.
    ///
    /// # Panics
    ///
    /// When the cell was not notified, or is being run: it was on no run queue, or on one twice.
    pub fn begin(&self) -> Entered<'_, C> {
        let begin =
            |word| self.word.compare_exchange(word, RUNNING, Ordering::Acquire, Ordering::Relaxed).is_ok();
        assert!(begin(NOTIFIED) || begin(NOTIFIED | BUSY), "a cell runs when notified, and once at a time");
        Entered { cell: self, is_left: false }
    }

    /// Enters the cell if it is idle: nothing waits, nobody runs it. A future may still wait in it.
    pub fn try_enter(&self) -> Option<Entered<'_, C>> {
        self.word.compare_exchange(0, RUNNING, Ordering::Acquire, Ordering::Relaxed).ok()?;
        Some(Entered { cell: self, is_left: false })
    }

    /// Whether a future waits in the cell for something that is no message. For people: it may be over at once.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.word.load(Ordering::Relaxed) & BUSY != 0
    }

    /// How the cell stands, for people to look at.
    pub fn activity(&self) -> Activity {
        match self.word.load(Ordering::Relaxed) {
            word if word & RUNNING != 0 => Activity::Running,
            word if word & NOTIFIED != 0 => Activity::Ready,
            _ => Activity::Idle,
        }
    }

    /// Where the contents are.
    fn place(&self) -> usize {
        self.contents.with_mut(|at| at.addr())
    }

    /// Takes the future out, if there is one. Of one whose contents are somewhere else now not even the drop may run.
    ///
    /// # Safety
    ///
    /// The caller has the cell to itself.
    unsafe fn take_future(&self) -> Option<Slot> {
        // SAFETY: as required.
        let Placed { slot, place } = self.future.with_mut(|at| unsafe { (*at).take() })?;
        if place == self.place() {
            Some(slot)
        } else {
            mem::forget(slot);
            None
        }
    }
}

impl<C> Drop for Cell<C> {
    /// The future goes before the contents, which it borrows.
    fn drop(&mut self) {
        // SAFETY: nobody else has the cell any longer.
        drop(unsafe { self.take_future() });
    }
}

impl<C> fmt::Debug for Cell<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell").field("word", &self.word.load(Ordering::Relaxed)).finish_non_exhaustive()
    }
}

/// The right to use a cell, for now. To be given back by [`try_leave`](Self::try_leave) or
/// [`give_way`](Self::give_way); dropped on another way (a panic), it leaves the cell to the next who notifies.
#[must_use = "a cell stays entered until it is left"]
pub struct Entered<'c, C> {
    cell: &'c Cell<C>,
    is_left: bool,
}

impl<C> Entered<'_, C> {
    /// The contents; `None` while a future has them, or once they were taken.
    pub fn contents(&mut self) -> Option<&mut C> {
        if self.is_waiting() {
            return None;
        }
        // SAFETY: RUNNING is ours, and no future borrows the contents. The borrow ends before `self` is used again.
        self.cell.contents.with_mut(|at| unsafe { (*at).as_mut() })
    }

    /// Whether a future has been begun and is not over.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        // SAFETY: RUNNING is ours.
        self.cell.future.with_mut(|at| unsafe { (*at).is_some() })
    }

    /// Begins a future over the contents, without polling it. From now on the cell must stay where it is.
    ///
    /// # Panics
    ///
    /// When there is one already, or no contents.
    pub fn start(&mut self, begin: impl Begin<C>, spare: &mut Spare)
    where
        C: 'static,
    {
        assert!(!self.is_waiting(), "one future at a time has the contents");
        let place = self.cell.place();
        let slot = self.cell.contents.with_mut(|at| {
            // SAFETY: RUNNING is ours, and no future borrows the contents.
            let contents =
                unsafe { &mut *at }.as_mut().expect("a future is begun before the contents are taken");
            // SAFETY: nobody uses the contents until the future is gone: `contents` and `take` see to that, and so
            // does the cell's drop. Should they be somewhere else by then, `poll` and `take_future` do not touch the
            // future. It borrows nothing but what is as static as the contents.
            unsafe { Slot::new(begin.begin(contents), spare) }
        });
        // SAFETY: RUNNING is ours.
        self.cell.future.with_mut(|at| unsafe { *at = Some(Placed { slot, place }) });
    }

    /// Polls the future, which is gone once it is ready. Ready at once where there is none. Its waker wakes `owner`,
    /// and costs nothing unless the future keeps it.
    ///
    /// # Panics
    ///
    /// As the future does, which stays then; and when the cell has been moved since the future began.
    pub fn poll(&mut self, owner: &Arc<impl Wake + Send + Sync + 'static>, spare: &mut Spare) -> Poll<()> {
        // SAFETY: the count that this `Arc` stands for is `owner`'s, which lives longer; `ManuallyDrop` keeps it from
        // being given up. A waker that is cloned counts for itself.
        let lent = unsafe { Arc::from_raw(Arc::as_ptr(owner)) };
        let waker = ManuallyDrop::new(Waker::from(lent));
        let cx = &mut Context::from_waker(&waker);
        let place = self.cell.place();
        let polled = self.cell.future.with_mut(|at| {
            // SAFETY: RUNNING is ours, and what the future runs does not reach this field.
            let future = unsafe { &mut *at };
            let Some(placed) = future else {
                return Poll::Ready(None);
            };
            assert_eq!(placed.place, place, "a cell stays where it is while a future waits in it");
            placed.slot.poll(cx).map(|()| future.take())
        });
        polled.map(|over| {
            if let Some(placed) = over {
                placed.slot.finish(spare);
            }
        })
    }

    /// Drops the future where it stands, if there is one.
    pub fn cancel(&mut self) {
        // SAFETY: RUNNING is ours.
        drop(unsafe { self.cell.take_future() });
    }

    /// Takes the contents out, for good or until [`put`](Self::put). A future over them is dropped first.
    pub fn take(&mut self) -> Option<C> {
        self.cancel();
        // SAFETY: RUNNING is ours, and no future borrows the contents.
        self.cell.contents.with_mut(|at| unsafe { (*at).take() })
    }

    /// Puts contents in the place of those that were taken.
    pub fn put(&mut self, contents: C) {
        let before = self.take();
        // SAFETY: RUNNING is ours, and no future borrows the contents.
        self.cell.contents.with_mut(|at| unsafe { *at = Some(contents) });
        drop(before);
    }

    /// Leaves the cell, unless it has been notified meanwhile: then the caller looks again, having it still.
    ///
    /// # Errors
    ///
    /// The right, back.
    pub fn try_leave(mut self, waiting: Waiting) -> Result<(), Self> {
        let word = self.waiting_word(waiting);
        if self.cell.word.compare_exchange(RUNNING, word, Ordering::Release, Ordering::Relaxed).is_ok() {
            self.is_left = true;
            return Ok(());
        }
        self.cell.word.fetch_and(!NOTIFIED, Ordering::Acquire);
        Err(self)
    }

    /// Leaves the cell although there is more to do: the caller puts it on a run queue.
    pub fn give_way(mut self) {
        self.is_left = true;
        let word = NOTIFIED | self.waiting_word(Waiting::Other);
        // Notifications of the time between are in it: it is notified. What came before them is seen by whoever
        // runs the cell next, because it is acquired here.
        self.cell.word.swap(word, Ordering::AcqRel);
    }

    fn waiting_word(&self, waiting: Waiting) -> u32 {
        if waiting == Waiting::Other && self.is_waiting() { BUSY } else { 0 }
    }
}

impl<C> Drop for Entered<'_, C> {
    fn drop(&mut self) {
        if !self.is_left {
            self.cell.word.fetch_and(!(RUNNING | NOTIFIED), Ordering::Release);
        }
    }
}

impl<C> fmt::Debug for Entered<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entered").field(self.cell).finish()
    }
}
