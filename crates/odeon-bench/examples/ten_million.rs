//! Ten million actors in one process: each is spawned, answers one ask, and idles. Prints what that costs.

use std::time::Instant;

extern crate odeon_actor as odeon;
use odeon::{System, actor};

const ACTORS: u64 = 10_000_000;

/// A page, in bytes, as `/proc/self/statm` counts.
const PAGE_BYTES: u64 = 4_096;

struct Counter(u64);

#[actor]
impl Counter {
    #[handle(inline)]
    fn add(&mut self, by: u64) -> u64 {
        self.0 += by;
        self.0
    }
}

fn resident_bytes() -> Result<u64, Box<dyn std::error::Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).ok_or("statm has a second field")?.parse()?;
    Ok(pages * PAGE_BYTES)
}

#[expect(clippy::print_stdout, reason = "it prints its result")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let system = System::new();
    let (before, began) = (resident_bytes()?, Instant::now());
    for n in 0..ACTORS {
        let counter = system.spawn(Counter(n));
        assert_eq!(counter.add(1).await?, n + 1);
    }
    let (took, bytes) = (began.elapsed(), resident_bytes()? - before);
    assert_eq!(system.live() as u64, ACTORS);
    println!(
        "{ACTORS} actors: {:.1} s, {:.2} GB resident, {} bytes and {} ns each",
        took.as_secs_f64(),
        bytes as f64 / 1e9,
        bytes / ACTORS,
        took.as_nanos() / u128::from(ACTORS),
    );
    Ok(())
}
