//! Shapes: what a value looks like when its fields travel without names, written as a text.
//!
//! The text says what decides about the bytes: the order of fields, their types and widths, the places of variants.
//! Names are in it too, since where they differ values travel with names, and serde's aliases apply. What an attribute
//! of serde's encodes in a way of its own is *opaque*: it has no text, and always travels with names.
//!
//! ```text
//! bool u8 … i128 f32 f64 char str bytes ()    leaves
//! ?T [T] {KV} (T*3) (TU)                      option, list, map, array, tuple
//! <RULES 4:nameT …>                           struct; RULES is what `rename_all` says
//! |RULES 4:nameT …|                           enum; a variant's T is as a struct's, or (), or a tuple
//! @2                                          the third type defined in this text, once more
//! ```

mod known;

use std::any::TypeId;
use std::fmt::Write as _;
use std::marker::PhantomData;

use crate::limits::{PAYLOAD_DEPTH_MAX, SHAPE_BYTES_MAX};

/// A type whose values can travel compactly. `#[message]` writes it for a type, and `#[derive(Shape)]` for one that is
/// only a part of messages; by hand it must say what the type's `Serialize` does.
pub trait Shape: 'static {
    /// Writes the shape.
    fn shape(to: &mut Outline);
}

/// The text of a shape while it is written.
#[derive(Debug)]
pub struct Outline {
    text: String,
    is_opaque: bool,
    depth: usize,
    /// The least number of bytes that a value of what was written so far takes.
    bytes_min: usize,
    /// The types met so far and the least size of each; none while it is being written.
    defined: Vec<(TypeId, Option<usize>)>,
}

/// First line of every text, so that another language for shapes makes other fingerprints.
const LANGUAGE: &str = "odeon shape 1\n";

impl Outline {
    /// The text of what `write` outlines; none if that is opaque.
    pub fn text_of(write: impl FnOnce(&mut Self)) -> Option<String> {
        let mut outline =
            Self { text: LANGUAGE.to_owned(), is_opaque: false, depth: 0, bytes_min: 0, defined: Vec::new() };
        write(&mut outline);
        (!outline.is_opaque).then_some(outline.text)
    }

    /// Says that there is no shape: the whole is opaque.
    pub const fn opaque(&mut self) {
        self.is_opaque = true;
    }

    /// The shape of a type.
    pub fn value<T: Shape>(&mut self) {
        if !self.is_opaque {
            T::shape(self);
        }
    }

    /// A value without parts, which takes at least `bytes_min` bytes.
    pub fn leaf(&mut self, name: &str, bytes_min: usize) {
        self.say(format_args!("{name} "));
        self.bytes_min = self.bytes_min.saturating_add(bytes_min);
    }

    /// A value or none.
    pub fn option(&mut self, value: impl FnOnce(&mut Self)) {
        self.say(format_args!("?"));
        self.counted(value);
    }

    /// Values of one type, as many as there are.
    pub fn list(&mut self, item: impl FnOnce(&mut Self)) {
        self.say(format_args!("["));
        if self.counted(item) == 0 {
            // A few bytes could claim any number of items that take none, and have us count them.
            self.opaque();
        }
        self.say(format_args!("]"));
    }

    /// Pairs of keys and values.
    pub fn map(&mut self, key: impl FnOnce(&mut Self), value: impl FnOnce(&mut Self)) {
        self.say(format_args!("{{"));
        let pair = |to: &mut Self| {
            key(to);
            value(to);
        };
        if self.counted(pair) == 0 {
            self.opaque();
        }
        self.say(format_args!("}}"));
    }

    /// `len` values of one type.
    pub fn array(&mut self, len: usize, item: impl FnOnce(&mut Self)) {
        let before = std::mem::take(&mut self.bytes_min);
        self.say(format_args!("("));
        self.nested(item);
        self.say(format_args!("*{len})"));
        self.bytes_min = before.saturating_add(self.bytes_min.saturating_mul(len));
    }

    /// Values of several types, one after the other.
    pub fn tuple(&mut self, values: impl FnOnce(&mut Self)) {
        self.say(format_args!("("));
        self.nested(values);
        self.say(format_args!(")"));
    }

    /// Fields with names; `rules` is how serde renames them.
    pub fn record(&mut self, rules: &str, fields: impl FnOnce(&mut Self)) {
        self.say(format_args!("<{rules} "));
        self.nested(fields);
        self.say(format_args!(">"));
    }

    /// One of several variants; `rules` is how serde renames them.
    pub fn choice(&mut self, rules: &str, variants: impl FnOnce(&mut Self)) {
        self.say(format_args!("|{rules} "));
        self.counted(variants);
        self.say(format_args!("|"));
    }

    /// One field or variant, and what it holds.
    pub fn named(&mut self, name: &str, value: impl FnOnce(&mut Self)) {
        self.say(format_args!("{}:{name}", name.len()));
        value(self);
    }

    /// A type with a name of its own. Met once more, it is a reference to the first time; met within itself, it is
    /// opaque, because a peer's nesting would be a decoder's recursion.
    pub fn define<T: 'static>(&mut self, write: impl FnOnce(&mut Self)) {
        if self.is_opaque {
            return;
        }
        let id = TypeId::of::<T>();
        match self.defined.iter().position(|(known, _)| *known == id) {
            Some(place) => match self.defined[place].1 {
                Some(bytes_min) => self.leaf(&format!("@{place}"), bytes_min),
                None => self.opaque(),
            },
            None => {
                let place = self.defined.len();
                self.defined.push((id, None));
                let before = std::mem::take(&mut self.bytes_min);
                write(self);
                self.defined[place].1 = Some(self.bytes_min);
                self.bytes_min = before.saturating_add(self.bytes_min);
            }
        }
    }

    /// What a length, a flag or an index of one byte or more precedes. The least size of one of it.
    fn counted(&mut self, write: impl FnOnce(&mut Self)) -> usize {
        let before = std::mem::take(&mut self.bytes_min);
        self.nested(write);
        std::mem::replace(&mut self.bytes_min, before.saturating_add(1))
    }

    fn nested(&mut self, write: impl FnOnce(&mut Self)) {
        self.depth += 1;
        if self.depth > PAYLOAD_DEPTH_MAX {
            self.opaque();
        }
        if !self.is_opaque {
            write(self);
        }
        self.depth -= 1;
    }

    fn say(&mut self, text: std::fmt::Arguments<'_>) {
        if !self.is_opaque {
            // A `String` takes whatever is written.
            let _ = self.text.write_fmt(text);
            self.is_opaque = self.text.len() > SHAPE_BYTES_MAX;
        }
    }
}

/// Asks a type for its shape without demanding that it has one: `(&Probe::<T>::NEW).outline(to)`, with both traits in
/// scope. Without a shape the second is found, a reference further.
#[derive(Debug)]
pub struct Probe<T>(PhantomData<fn() -> T>);

impl<T> Probe<T> {
    /// The question.
    pub const NEW: Self = Self(PhantomData);
}

/// What has a shape.
pub trait Outlined {
    /// Writes it.
    fn outline(&self, to: &mut Outline);
}

impl<T: Shape> Outlined for Probe<T> {
    fn outline(&self, to: &mut Outline) {
        to.value::<T>();
    }
}

/// What has none.
pub trait NotOutlined {
    /// Says so.
    fn outline(&self, to: &mut Outline);
}

impl<T> NotOutlined for &Probe<T> {
    fn outline(&self, to: &mut Outline) {
        to.opaque();
    }
}

#[cfg(test)]
mod tests;
