//! The reports: a table for people, JSON for programs, SVG for pages. Each is a function from figures to text.

pub(crate) mod json;
mod programs;
pub(crate) mod remote;
pub(crate) mod svg;
pub(crate) mod table;
