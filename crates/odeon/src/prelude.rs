//! What most programs use.

pub use odeon_actor::{
    Actor, AskError, Cx, Down, ExitReason, Handle, Recipient, Reply, System, TellError, actor, message,
    protocol, receive,
};

#[cfg(feature = "ensemble")]
pub use odeon_ensemble::{Node, RoleError};
#[cfg(feature = "server")]
pub use odeon_server::Server;

#[cfg(feature = "cli")]
pub use crate::App;
