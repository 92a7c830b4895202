//! Looks for inputs of the target `session`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| odeon_fuzz::run("session", bytes));
