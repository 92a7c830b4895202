//! Panics in handlers become exit reasons, with the place they came from.
//!
//! A reply port that falls while a handler unwinds cannot say yet why: it is kept until the exit reason stands.
//! What is kept belongs to the innermost poll on this thread and is given back by it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use odeon_core::PanicReport;

thread_local! {
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
    /// How many runs are nested on this thread, and whether something has fallen in one of them: all that a run
    /// without a panic looks at.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static HAS_FALLEN: Cell<bool> = const { Cell::new(false) };
    /// What fell, with the depth of the run in which it did.
    static FALLEN: RefCell<Vec<(u32, Box<dyn Any + Send>)>> = const { RefCell::new(Vec::new()) };
}

/// Reply ports that fell while a handler unwound. Dropped once the exit reason stands, they tell it.
pub(crate) type Fallen = Vec<Box<dyn Any + Send>>;

/// Keeps `port`, which is falling, if a handler of this thread is unwinding; else it falls now.
pub(crate) fn keep_while_unwinding(port: impl Any + Send) {
    let depth = DEPTH.get();
    if depth == 0 || !std::thread::panicking() {
        return;
    }
    let mut port = Some(port);
    // It must not fall under the borrow: whoever is told may drop another. At the thread's end it just falls.
    let _ = FALLEN.try_with(|fallen| {
        if let Some(port) = port.take() {
            fallen.borrow_mut().push((depth, Box::new(port)));
            HAS_FALLEN.set(true);
        }
    });
}

/// Takes what fell in the run that is over, which was at `depth`.
#[cold]
fn take_fallen(depth: u32) -> Fallen {
    let taken = FALLEN.try_with(|fallen| {
        let mut fallen = fallen.borrow_mut();
        let taken = fallen.extract_if(.., |(at, _)| *at >= depth).map(|(_, port)| port).collect();
        HAS_FALLEN.set(!fallen.is_empty());
        taken
    });
    taken.unwrap_or_default()
}

/// Runs what belongs to others, such as a notice; a panic in it harms nobody else.
pub(crate) fn contained(what: &'static str, f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        let panic = report(&*payload);
        tracing::error!(what, message = panic.message, location = panic.location, "panicked");
    }
}

/// Remembers where panics happen, beside whatever hook the program has.
fn install() {
    static ONCE: Once = Once::new();
    // Whoever unwinds may not change hooks, and a destructor that panics then ends the process.
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let location = info.location().map(ToString::to_string);
            // A hook that panics aborts the process, and at the thread's end the slot may be gone.
            let _ = LOCATION.try_with(|slot| *slot.borrow_mut() = location);
            before(info);
        }));
    });
}

/// Runs what belongs to an actor; a panic in it is a value, with what fell meanwhile.
#[inline]
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, Box<(PanicReport, Fallen)>> {
    install();
    let depth = DEPTH.get() + 1;
    DEPTH.set(depth);
    let outcome = catch_unwind(AssertUnwindSafe(f));
    DEPTH.set(depth - 1);
    // If the handler caught its own panic, what fell falls here: the actor lives.
    let fallen = if HAS_FALLEN.get() { take_fallen(depth) } else { Fallen::new() };
    outcome.map_err(|payload| Box::new((report(&*payload), fallen)))
}

fn report(payload: &(dyn Any + Send)) -> PanicReport {
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without a text".to_owned(),
    };
    let location = LOCATION.with_borrow_mut(Option::take).unwrap_or_else(|| "unknown".to_owned());
    PanicReport { message, location }
}
