//! What the binaries in `fuzz_targets` share. The targets themselves are in `odeon_sim::targets`, where the tests run
//! them over `corpus/`.

/// Gives `bytes` to the target of this name; those that are too long to be kept are passed over.
///
/// # Panics
/// When the target does, or there is none of this name.
pub fn run(name: &str, bytes: &[u8]) {
    if bytes.len() <= odeon_sim::targets::INPUT_BYTES_MAX {
        let target = odeon_sim::targets::target(name).expect("a binary is named after its target");
        target(bytes);
    }
}
