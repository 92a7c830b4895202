//! Registry, supervisor, process shim and configuration of an ensemble.

pub mod config;

pub mod process;
