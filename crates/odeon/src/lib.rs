//! Distributed actors, supervised ensembles of servers, and durable agents.
