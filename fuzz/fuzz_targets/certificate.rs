//! Looks for inputs of the target `certificate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| odeon_fuzz::run("certificate", bytes));
