//! The type table of a link: message types travel as numbers that each direction gives out on its own.
//!
//! Numbers are given out from 0 without a gap, each before its first use; so the receiver's table is a list,
//! and a number that comes out of turn is a broken protocol.

use std::collections::BTreeSet;

use odeon_core::Mark;

use crate::hash::Table;
use crate::limits::TYPES_MAX;

/// The numbers this side has given out.
#[derive(Debug, Default)]
pub(crate) struct TypesOut {
    numbers: Table<Box<str>, u32>,
    /// By number: the mark, and whether the peer has agreed to its fingerprint.
    types: Vec<(Mark, bool)>,
}

/// What to do to send a type by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TypeNumber {
    /// The peer knows it.
    Known(u32),
    /// The peer must be told first.
    New(u32),
    /// There are no numbers left.
    None,
}

impl TypesOut {
    /// The number of `mark`; a new one is taken by [`TypesOut::insert`].
    pub(crate) fn number(&self, mark: &str) -> TypeNumber {
        match self.numbers.get(mark) {
            Some(number) => TypeNumber::Known(*number),
            None if self.types.len() < TYPES_MAX => {
                TypeNumber::New(u32::try_from(self.types.len()).expect("less than TYPES_MAX"))
            }
            None => TypeNumber::None,
        }
    }

    /// Notes that the peer has been told.
    pub(crate) fn insert(&mut self, mark: Mark, number: u32) {
        self.numbers.insert(mark.as_str().into(), number);
        self.types.push((mark, false));
    }

    /// The mark of a number that was given out.
    pub(crate) fn mark(&self, number: u32) -> Option<&Mark> {
        self.types.get(usize::try_from(number).ok()?).map(|(mark, _)| mark)
    }

    /// The peer understands the compact encoding of a type.
    ///
    /// # Errors
    /// When it was not defined.
    pub(crate) fn agree(&mut self, number: u32) -> Result<(), String> {
        let known = usize::try_from(number).ok().and_then(|index| self.types.get_mut(index));
        let (_, is_agreed) =
            known.ok_or_else(|| format!("it agreed to message type {number}, which was never defined"))?;
        *is_agreed = true;
        Ok(())
    }

    /// Whether the peer has agreed to a type.
    pub(crate) fn is_agreed(&self, mark: &str) -> bool {
        let number = self.numbers.get(mark).and_then(|number| usize::try_from(*number).ok());
        number.and_then(|index| self.types.get(index)).is_some_and(|(_, is_agreed)| *is_agreed)
    }
}

/// The numbers the peer has given out.
#[derive(Debug, Default)]
pub(crate) struct TypesIn {
    marks: usize,
    seen: BTreeSet<Mark>,
}

impl TypesIn {
    /// Takes a definition.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn define(&mut self, number: u32, mark: Mark) -> Result<(), String> {
        if self.marks >= TYPES_MAX {
            return Err(format!("it defined more than {TYPES_MAX} message types"));
        }
        let next = self.marks;
        if usize::try_from(number) != Ok(next) {
            return Err(format!("it defined message type {number} where {next} is the next"));
        }
        if !self.seen.insert(mark.clone()) {
            return Err(format!("it defined the message type {mark} twice"));
        }
        self.marks += 1;
        Ok(())
    }

    /// Whether there is a type with this number.
    ///
    /// # Errors
    /// When it has not been defined.
    pub(crate) fn check(&self, number: u32) -> Result<(), String> {
        if usize::try_from(number).is_ok_and(|index| index < self.marks) {
            return Ok(());
        }
        Err(format!("it used message type {number} before defining it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(n: usize) -> Mark {
        format!("type-{n}/1").parse().expect("a mark")
    }

    #[test]
    fn both_tables_take_the_limit_and_no_more() {
        let (mut sent, mut received) = (TypesOut::default(), TypesIn::default());
        for n in 0..TYPES_MAX {
            let TypeNumber::New(number) = sent.number(mark(n).as_str()) else {
                panic!("type {n} must be new");
            };
            sent.insert(mark(n), number);
            received.define(number, mark(n)).expect("in turn");
        }
        assert_eq!(sent.number(mark(TYPES_MAX).as_str()), TypeNumber::None);
        assert_eq!(sent.number(mark(7).as_str()), TypeNumber::Known(7));
        assert_eq!(sent.mark(65_535), Some(&mark(65_535)));
        assert_eq!(received.check(65_535), Ok(()));
        let error = received.define(65_536, mark(TYPES_MAX)).expect_err("full");
        assert!(error.contains("more than 65536"), "{error}");
    }

    #[test]
    fn numbers_come_in_turn_and_marks_once() {
        let mut table = TypesIn::default();
        table.define(0, mark(0)).expect("the first");
        assert!(table.define(0, mark(1)).is_err(), "a number twice");
        assert!(table.define(2, mark(1)).is_err(), "a number skipped");
        assert!(table.define(1, mark(0)).is_err(), "a mark twice");
        assert!(table.check(1).is_err(), "a number not defined");
        assert!(table.check(u32::MAX).is_err());
        table.define(1, mark(1)).expect("refusals change nothing");
    }
}
