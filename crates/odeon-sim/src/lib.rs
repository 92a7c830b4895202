//! Deterministic simulation of ensembles: network, clock and faults from one seed.
