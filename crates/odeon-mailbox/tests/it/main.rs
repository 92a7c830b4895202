//! The contract of the mailbox and of the reply cell, tested through the public API with hand-made wakers.

mod model;
mod receiver;
mod replies;
mod senders;
mod stress;
mod support;
