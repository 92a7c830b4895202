//! What whoever runs a cell may rely on, and what a cell does to the future in it.

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use odeon_mailbox::{Begin, Cell, Entered, Spare, Waiting};

use crate::support::Bell;

/// Contents that count who is alive, and what futures did.
struct Contents {
    steps: u32,
    _alive: Arc<()>,
}

/// A future that makes so many steps, one a poll, and then ends.
struct Steps {
    polls: u32,
    held: Arc<()>,
}

impl Begin<Contents> for Steps {
    async fn begin(self, contents: &mut Contents) {
        for poll in 0..self.polls {
            contents.steps += 1;
            if poll + 1 < self.polls {
                yield_once().await;
            }
        }
        drop(self.held);
    }
}

/// A future that waits for good.
struct Forever(Arc<()>);

impl Begin<Contents> for Forever {
    async fn begin(self, contents: &mut Contents) {
        contents.steps += 1;
        pending::<()>().await;
        drop(self.0);
    }
}

/// A future whose drop panics, while it waits for good.
struct Tripwire;

impl Drop for Tripwire {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

impl Begin<Contents> for Tripwire {
    async fn begin(self, _contents: &mut Contents) {
        pending::<()>().await;
    }
}

/// A future that is ready at once, and whose drop panics then.
struct Bomb;

impl Begin<Contents> for Bomb {
    fn begin<'c>(self, _contents: &'c mut Contents) -> impl Future<Output = ()> + Send + 'c {
        self
    }
}

impl Future for Bomb {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped when ready");
    }
}

/// A future that panics at its first poll.
struct Panics(Arc<()>);

impl Begin<Contents> for Panics {
    async fn begin(self, contents: &mut Contents) {
        contents.steps += 1;
        let _held = self.0;
        panic!("polled");
    }
}

async fn yield_once() {
    let mut is_ready = false;
    poll_fn(|_| if std::mem::replace(&mut is_ready, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

fn contents(alive: &Arc<()>) -> Contents {
    Contents { steps: 0, _alive: Arc::clone(alive) }
}

fn enter(cell: &Cell<Contents>) -> Entered<'_, Contents> {
    cell.try_enter().expect("it is idle")
}

fn poll(entered: &mut Entered<'_, Contents>) -> Poll<()> {
    entered.poll(&Bell::new(), &mut Spare::new())
}

#[test]
fn a_cell_is_notified_once_until_it_runs() {
    let cell = Cell::idle(());
    assert!(cell.notify());
    assert!(!cell.notify() && !cell.notify_message(), "it is on a run queue");
    assert!(cell.try_enter().is_none(), "nobody overtakes the run queue");
    let entered = cell.begin();
    assert!(entered.try_leave(Waiting::Messages).is_ok());
    assert!(cell.notify_message());
    assert!(!cell.notify());
}

#[test]
fn a_notification_while_it_runs_keeps_the_cell_from_being_left() {
    for notify in [Cell::notify, Cell::notify_message] {
        let cell = Cell::idle(());
        let entered = cell.try_enter().expect("it is idle");
        assert!(cell.try_enter().is_none(), "it runs");
        assert!(!notify(&cell), "whoever runs it looks again");
        let entered = entered.try_leave(Waiting::Messages).expect_err("it has been notified");
        assert!(entered.try_leave(Waiting::Messages).is_ok(), "each notification counts once");
        assert!(notify(&cell));
    }
}

#[test]
fn a_cell_that_gives_way_is_notified() {
    let cell = Cell::idle(());
    cell.try_enter().expect("it is idle").give_way();
    assert!(!cell.notify() && !cell.notify_message());
    assert!(cell.try_enter().is_none());
    assert!(cell.begin().try_leave(Waiting::Messages).is_ok());
    assert!(cell.try_enter().is_some());
}

#[test]
fn a_busy_cell_is_notified_by_all_but_messages() {
    let alive = Arc::new(());
    let cell = Cell::idle(contents(&alive));
    let mut entered = enter(&cell);
    entered.start(Steps { polls: 4, held: Arc::clone(&alive) }, &mut Spare::new());
    assert!(poll(&mut entered).is_pending());
    assert!(entered.try_leave(Waiting::Other).is_ok());

    assert!(!cell.notify_message(), "nobody could take it");
    assert!(cell.try_enter().is_none(), "messages are not all it waits for");
    assert!(cell.notify());
    let mut entered = cell.begin();
    assert!(!cell.notify_message(), "it runs");
    assert!(poll(&mut entered).is_pending());
    let entered = entered.try_leave(Waiting::Messages);
    let mut entered = entered.expect_err("the future may have looked before the message was there");
    assert!(poll(&mut entered).is_pending());
    assert!(entered.try_leave(Waiting::Messages).is_ok());
    assert!(cell.notify_message(), "now it waits for messages");

    let mut entered = cell.begin();
    assert!(poll(&mut entered).is_ready());
    assert!(entered.try_leave(Waiting::Other).is_ok());
    assert!(cell.notify_message(), "without a future nothing is busy");
}

#[test]
fn a_busy_cell_that_gives_way_may_begin_again() {
    let alive = Arc::new(());
    let cell = Cell::idle(contents(&alive));
    let mut entered = enter(&cell);
    entered.start(Forever(Arc::clone(&alive)), &mut Spare::new());
    entered.give_way();
    assert!(cell.begin().try_leave(Waiting::Other).is_ok());
    assert!(cell.notify());
    assert!(cell.begin().try_leave(Waiting::Other).is_ok());
}

#[test]
fn a_cell_without_contents_waits_for_its_maker() {
    let cell = Cell::notified();
    assert!(!cell.notify() && cell.try_enter().is_none());
    let mut entered = cell.begin();
    assert_eq!(entered.contents(), None);
    entered.put(7);
    entered.give_way();
    let mut entered = cell.begin();
    assert_eq!(entered.contents(), Some(&mut 7));
    entered.put(8);
    assert_eq!(entered.take(), Some(8));
    assert_eq!(entered.take(), None);
}

#[test]
fn begin_out_of_turn_panics_and_lets_nobody_in() {
    let begin = |cell: &Cell<()>| catch_unwind(AssertUnwindSafe(|| drop(cell.begin()))).is_err();
    let cell = Cell::idle(());
    assert!(begin(&cell), "it is idle");
    let entered = cell.try_enter().expect("it still is");
    for _ in 0..2 {
        assert!(begin(&cell), "it runs");
    }
    assert!(!cell.notify());
    assert!(begin(&cell), "it runs, and was notified");
    assert!(entered.try_leave(Waiting::Messages).is_err(), "the notification is there");
}

#[test]
fn a_right_that_falls_leaves_the_cell_to_the_next_who_notifies() {
    let cell = Cell::idle(());
    let entered = cell.try_enter().expect("it is idle");
    assert!(!cell.notify());
    drop(entered);
    assert!(cell.notify());
    assert!(cell.begin().try_leave(Waiting::Messages).is_ok());
}

#[test]
fn a_future_has_the_contents_until_it_is_ready() {
    let (alive, held) = (Arc::new(()), Arc::new(()));
    let cell = Cell::idle(contents(&alive));
    let mut entered = enter(&cell);
    assert!(poll(&mut entered).is_ready(), "there is none");
    entered.start(Steps { polls: 2, held: Arc::clone(&held) }, &mut Spare::new());
    assert!(entered.is_waiting() && entered.contents().is_none());
    assert!(poll(&mut entered).is_pending());
    assert!(entered.is_waiting() && entered.contents().is_none());
    assert!(entered.try_leave(Waiting::Messages).is_ok());

    let mut entered = enter(&cell);
    assert!(entered.is_waiting(), "it waits across turns");
    assert!(poll(&mut entered).is_ready());
    assert!(!entered.is_waiting());
    assert_eq!(entered.contents().map(|contents| contents.steps), Some(2));
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_second_future_or_one_without_contents_panics() {
    let alive = Arc::new(());
    let cell = Cell::idle(contents(&alive));
    let mut entered = enter(&cell);
    let start = |entered: &mut Entered<'_, Contents>| {
        catch_unwind(AssertUnwindSafe(|| entered.start(Forever(Arc::clone(&alive)), &mut Spare::new())))
            .is_ok()
    };
    assert!(start(&mut entered));
    assert!(!start(&mut entered), "there is one");
    assert!(poll(&mut entered).is_pending(), "it is still there");
    assert!(entered.take().is_some());
    assert!(!start(&mut entered), "there is nothing to borrow");
    assert!(!entered.is_waiting());
}

/// Runs `end` on a cell that stays where it is, with a future that waits; then nothing is left.
fn with_waiting(end: impl FnOnce(&Cell<Contents>)) {
    let (alive, held) = (Arc::new(()), Arc::new(()));
    let cell = Box::new(Cell::idle(contents(&alive)));
    let mut entered = enter(&cell);
    entered.start(Forever(Arc::clone(&held)), &mut Spare::new());
    assert!(poll(&mut entered).is_pending());
    assert!(entered.try_leave(Waiting::Messages).is_ok());
    assert_eq!(Arc::strong_count(&held), 2);
    end(&cell);
    drop(cell);
    assert_eq!((Arc::strong_count(&alive), Arc::strong_count(&held)), (1, 1));
}

#[test]
fn a_future_that_waits_is_dropped_with_its_cell() {
    with_waiting(|_| {});
}

#[test]
fn a_cancelled_future_leaves_the_contents() {
    with_waiting(|cell| {
        let mut entered = enter(cell);
        entered.cancel();
        assert_eq!(entered.contents().map(|contents| contents.steps), Some(1));
        entered.cancel();
    });
}

#[test]
fn taking_the_contents_drops_the_future() {
    with_waiting(|cell| {
        let mut entered = enter(cell);
        assert_eq!(entered.take().map(|contents| contents.steps), Some(1));
        assert!(!entered.is_waiting() && entered.contents().is_none());
    });
    with_waiting(|cell| {
        let mut entered = enter(cell);
        entered.put(contents(&Arc::new(())));
        assert_eq!(entered.contents().map(|contents| contents.steps), Some(0));
    });
}

#[test]
fn a_future_that_panics_stays_until_it_is_cancelled() {
    let (alive, held) = (Arc::new(()), Arc::new(()));
    let cell = Cell::idle(contents(&alive));
    let mut entered = enter(&cell);
    entered.start(Panics(Arc::clone(&held)), &mut Spare::new());
    for _ in 0..2 {
        assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut entered))).is_err());
        assert!(entered.is_waiting());
    }
    entered.cancel();
    assert_eq!(entered.contents().map(|contents| contents.steps), Some(1));
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(entered.try_leave(Waiting::Other).is_ok());
}

#[test]
fn a_future_whose_drop_panics_is_dropped_once() {
    let alive = Arc::new(());
    let cell = Box::new(Cell::idle(contents(&alive)));
    let mut entered = enter(&cell);
    let fallen = |fall: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(fall)).is_err();

    entered.start(Tripwire, &mut Spare::new());
    assert!(fallen(&mut || entered.cancel()));
    assert!(!entered.is_waiting() && entered.contents().is_some());

    entered.start(Bomb, &mut Spare::new());
    assert!(fallen(&mut || assert!(poll(&mut entered).is_ready())), "as it ends");
    assert!(!entered.is_waiting() && entered.contents().is_some());

    entered.start(Tripwire, &mut Spare::new());
    assert!(fallen(&mut || drop(entered.take())));
    assert!(entered.take().is_some(), "the contents are still there");
    entered.put(contents(&alive));

    entered.start(Tripwire, &mut Spare::new());
    assert!(entered.try_leave(Waiting::Messages).is_ok());
    let mut cell = Some(cell);
    assert!(fallen(&mut || drop(cell.take())));
    assert_eq!(Arc::strong_count(&alive), 1, "the contents fell with the cell");
}

#[test]
fn a_future_in_a_moved_cell_is_not_touched_again() {
    let (alive, held) = (Arc::new(()), Arc::new(()));
    let cell = Box::new(Cell::idle(contents(&alive)));
    let mut entered = enter(&cell);
    entered.start(Forever(Arc::clone(&held)), &mut Spare::new());
    assert!(entered.try_leave(Waiting::Messages).is_ok());

    let moved = Box::new([*cell]);
    let mut entered = enter(&moved[0]);
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut entered))).is_err());
    entered.cancel();
    assert!(!entered.is_waiting());
    assert_eq!(entered.contents().map(|contents| contents.steps), Some(0));
    drop(entered);
    drop(moved);
    assert_eq!((Arc::strong_count(&alive), Arc::strong_count(&held)), (1, 2), "it is leaked");
}

#[test]
fn the_waker_lent_to_a_future_counts_only_where_it_is_kept() {
    struct Keep(Arc<std::sync::Mutex<Option<Waker>>>);
    impl Begin<Contents> for Keep {
        async fn begin(self, _contents: &mut Contents) {
            poll_fn(|cx| {
                *self.0.lock().expect("nobody panics with it") = Some(cx.waker().clone());
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            })
            .await;
        }
    }

    let (bell, kept) = (Bell::new(), Arc::default());
    let cell = Cell::idle(contents(&Arc::new(())));
    let mut entered = enter(&cell);
    entered.start(Keep(Arc::clone(&kept)), &mut Spare::new());
    for polls in 1..3 {
        assert!(entered.poll(&bell, &mut Spare::new()).is_pending());
        assert_eq!((Arc::strong_count(&bell), bell.rings()), (2, polls));
    }
    kept.lock().expect("nobody panics with it").take().expect("it was kept").wake();
    assert_eq!((Arc::strong_count(&bell), bell.rings()), (1, 3));
}
