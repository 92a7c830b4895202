//! Ensembles of more than one host: namespaces of this machine that share neither network nor name.

#[path = "../common/mod.rs"]
mod common;
mod guide;
mod host;
mod two_hosts;
