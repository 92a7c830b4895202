//! Looks for inputs of the target `grant`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| odeon_fuzz::run("grant", bytes));
