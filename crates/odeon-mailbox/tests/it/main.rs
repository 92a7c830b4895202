//! The contract of cells, mailboxes, run queues and reply cells, tested through the public API with hand-made wakers.

mod cells;
mod consumer;
mod model;
mod replies;
mod run_queue;
mod senders;
mod stress;
mod support;
mod worker;
