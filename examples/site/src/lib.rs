//! A site served by N worker processes that share one listening socket, each an actor server whose greeting can
//! be changed live.

pub mod files;
pub mod greeter;
pub mod web;
