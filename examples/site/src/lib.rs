//! The parts of the example site; the program that runs them is beside this file.

pub mod files;
