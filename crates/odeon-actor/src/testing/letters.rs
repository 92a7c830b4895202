//! A collector of dead letters.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::dead_letter::DeadLetter;
use crate::system::System;

/// Letters that are kept, the first ones: a test that makes more of them looks at their number.
pub(super) const LETTERS_MAX: usize = 65_536;

/// What reached nobody in a system.
///
/// ```
/// # extern crate odeon_actor as odeon;
/// # use odeon::actor;
/// use odeon::testing::{DeadLetters, TestWorld};
/// # struct Till(u32);
/// # #[actor]
/// # impl Till {
/// #     #[handle]
/// #     fn pay(&mut self, cents: u32) { self.0 += cents; }
/// # }
///
/// let world = TestWorld::from_env();
/// let letters = DeadLetters::collect(world.system());
/// let till = world.system().spawn(Till(0));
/// till.pay(5).try_tell().unwrap();
/// till.kill();
/// world.run_until_idle();
/// assert_eq!(letters.all().len(), 1);
/// ```
#[derive(Clone)]
pub struct DeadLetters(Arc<Mutex<Vec<DeadLetter>>>);

impl DeadLetters {
    /// Collects from now on. It takes the place of the system's [hook](System::on_dead_letter).
    #[must_use]
    pub fn collect(system: &System) -> Self {
        let letters = Self(Arc::default());
        let kept = letters.clone();
        system.on_dead_letter(move |letter| {
            let mut letters = kept.lock();
            if letters.len() < LETTERS_MAX {
                letters.push(letter.clone());
            }
        });
        letters
    }

    /// The letters so far, the first 65,536.
    #[must_use]
    pub fn all(&self) -> Vec<DeadLetter> {
        self.lock().clone()
    }

    /// The letters so far, which are forgotten.
    #[must_use]
    pub fn take(&self) -> Vec<DeadLetter> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<DeadLetter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeadLetters").field(&*self.lock()).finish()
    }
}
