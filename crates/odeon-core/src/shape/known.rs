//! The shapes of the standard library's types, and of Odeon's own.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque};
use std::marker::PhantomData;
use std::num::NonZero;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Outline, Shape};
use crate::{Epoch, ExitReason, PanicReport, Refusal, RefusalCode};

macro_rules! leaves {
    ($($type:ty: $name:literal, $bytes_min:literal;)*) => {
        $(impl Shape for $type {
            fn shape(to: &mut Outline) {
                to.leaf($name, $bytes_min);
            }
        })*
    };
}

leaves! {
    bool: "bool", 1;
    u8: "u8", 1;
    u16: "u16", 1;
    u32: "u32", 1;
    u64: "u64", 1;
    u128: "u128", 1;
    // To serde they are 64 bits wide, on every machine.
    usize: "u64", 1;
    i8: "i8", 1;
    i16: "i16", 1;
    i32: "i32", 1;
    i64: "i64", 1;
    i128: "i128", 1;
    isize: "i64", 1;
    NonZero<u8>: "u8", 1;
    NonZero<u16>: "u16", 1;
    NonZero<u32>: "u32", 1;
    NonZero<u64>: "u64", 1;
    NonZero<u128>: "u128", 1;
    NonZero<usize>: "u64", 1;
    NonZero<i8>: "i8", 1;
    NonZero<i16>: "i16", 1;
    NonZero<i32>: "i32", 1;
    NonZero<i64>: "i64", 1;
    NonZero<i128>: "i128", 1;
    NonZero<isize>: "i64", 1;
    f32: "f32", 4;
    f64: "f64", 8;
    char: "char", 2;
    String: "str", 1;
    Box<str>: "str", 1;
    Arc<str>: "str", 1;
    Cow<'static, str>: "str", 1;
    PathBuf: "str", 1;
    (): "()", 0;
    Epoch: "u64", 1;
}

impl<T: 'static> Shape for PhantomData<T> {
    fn shape(to: &mut Outline) {
        to.leaf("()", 0);
    }
}

impl<T: Shape> Shape for Option<T> {
    fn shape(to: &mut Outline) {
        to.option(Outline::value::<T>);
    }
}

macro_rules! lists {
    ($($type:ty $(, $hasher:ident)?;)*) => {
        $(impl<T: Shape $(, $hasher: 'static)?> Shape for $type {
            fn shape(to: &mut Outline) {
                to.list(Outline::value::<T>);
            }
        })*
    };
}

lists! {
    Vec<T>;
    VecDeque<T>;
    LinkedList<T>;
    Box<[T]>;
    Arc<[T]>;
    BTreeSet<T>;
    HashSet<T, S>, S;
}

macro_rules! maps {
    ($($type:ty $(, $hasher:ident)?;)*) => {
        $(impl<K: Shape, V: Shape $(, $hasher: 'static)?> Shape for $type {
            fn shape(to: &mut Outline) {
                to.map(Outline::value::<K>, Outline::value::<V>);
            }
        })*
    };
}

maps! {
    BTreeMap<K, V>;
    HashMap<K, V, S>, S;
}

macro_rules! wrappers {
    ($($type:ident)*) => {
        $(impl<T: Shape> Shape for $type<T> {
            fn shape(to: &mut Outline) {
                T::shape(to);
            }
        })*
    };
}

wrappers! { Box Arc Rc }

impl<T: Shape, const N: usize> Shape for [T; N] {
    fn shape(to: &mut Outline) {
        to.array(N, Outline::value::<T>);
    }
}

macro_rules! tuples {
    ($(($($part:ident)*))*) => {
        $(impl<$($part: Shape),*> Shape for ($($part,)*) {
            fn shape(to: &mut Outline) {
                to.tuple(|to| { $(to.value::<$part>();)* });
            }
        })*
    };
}

tuples! {
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
    (A B C D E F G)
    (A B C D E F G H)
    (A B C D E F G H I)
    (A B C D E F G H I J)
    (A B C D E F G H I J K)
    (A B C D E F G H I J K L)
}

impl<T: Shape, E: Shape> Shape for Result<T, E> {
    fn shape(to: &mut Outline) {
        to.choice("", |to| {
            to.named("Ok", Outline::value::<T>);
            to.named("Err", Outline::value::<E>);
        });
    }
}

impl Shape for Duration {
    fn shape(to: &mut Outline) {
        to.record("", |to| {
            to.named("secs", Outline::value::<u64>);
            to.named("nanos", Outline::value::<u32>);
        });
    }
}

impl Shape for SystemTime {
    fn shape(to: &mut Outline) {
        to.record("", |to| {
            to.named("secs_since_epoch", Outline::value::<u64>);
            to.named("nanos_since_epoch", Outline::value::<u32>);
        });
    }
}

impl Shape for RefusalCode {
    fn shape(to: &mut Outline) {
        // In the order of its declaration, which is that of the frozen numbers.
        to.define::<Self>(|to| {
            to.choice("kebab-case", |to| {
                for name in [
                    "UnknownActor",
                    "UnknownMark",
                    "BadPayload",
                    "NotAuthorised",
                    "Full",
                    "Expired",
                    "Internal",
                    "BadRequest",
                    "NameTaken",
                    "NotFound",
                    "LimitReached",
                    "Unreachable",
                    "StaleNumber",
                ] {
                    to.named(name, Outline::value::<()>);
                }
            });
        });
    }
}

impl Shape for Refusal {
    fn shape(to: &mut Outline) {
        to.define::<Self>(|to| {
            to.record("", |to| {
                to.named("code", Outline::value::<RefusalCode>);
                to.named("detail", Outline::value::<String>);
            });
        });
    }
}

impl Shape for PanicReport {
    fn shape(to: &mut Outline) {
        to.define::<Self>(|to| {
            to.record("", |to| {
                to.named("message", Outline::value::<String>);
                to.named("location", Outline::value::<String>);
            });
        });
    }
}

impl Shape for ExitReason {
    fn shape(to: &mut Outline) {
        to.define::<Self>(|to| {
            to.choice("kebab-case", |to| {
                to.named("Normal", Outline::value::<()>);
                to.named("Stopped", Outline::value::<()>);
                to.named("Drained", Outline::value::<()>);
                to.named("Killed", Outline::value::<()>);
                to.named("Failed", Outline::value::<String>);
                to.named("Panicked", Outline::value::<PanicReport>);
                to.named("LinkLost", Outline::value::<String>);
                to.named("NoActor", Outline::value::<()>);
                to.named("Linked", |to| {
                    to.record("", |to| {
                        to.named("actor", Outline::value::<String>);
                        to.named("why", Outline::value::<String>);
                    });
                });
                to.named("NotMonitored", Outline::value::<String>);
            });
        });
    }
}
