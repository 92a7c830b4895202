//! Looks for inputs of the target `frame`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| odeon_fuzz::run("frame", bytes));
