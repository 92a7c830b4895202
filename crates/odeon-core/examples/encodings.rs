//! What it costs to encode and decode a small message, by encoding:
//!
//! ```sh
//! cargo run --release -p odeon-core --features compact --example encodings
//! ```

use std::hint::black_box;
use std::time::Instant;

use odeon_core::{Encoding, decode, encode};
use serde::{Deserialize, Serialize};

/// About 64 bytes without its names.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: String,
    lines: Vec<Line>,
    total: f64,
    note: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    article: u32,
    count: u16,
}

const ROUNDS: u32 = 200_000;

#[expect(clippy::print_stdout, reason = "it is what a person reads")]
fn main() {
    let order = Order {
        id: 8_123_456_789,
        customer: "Ada Lovelace, London".to_owned(),
        lines: (0..3).map(|n| Line { article: 70_000 + n, count: 2 }).collect(),
        total: 129.95,
        note: Some("by the side door".to_owned()),
    };
    println!("{:>8} {:>6} {:>10} {:>10}", "", "bytes", "encode ns", "decode ns");
    for encoding in [Encoding::Cbor, Encoding::Compact, Encoding::Json] {
        let mut bytes = Vec::new();
        encode(&order, encoding, &mut bytes).expect("encodes");
        let mut out = Vec::with_capacity(256);
        let encoding_ns = nanos(|| {
            out.clear();
            encode(black_box(&order), encoding, &mut out).expect("encodes");
        });
        let decoding_ns = nanos(|| {
            black_box(decode::<Order>(encoding, black_box(&bytes)).expect("decodes"));
        });
        println!("{:>8} {:>6} {encoding_ns:>10.0} {decoding_ns:>10.0}", format!("{encoding:?}"), bytes.len());
        if encoding == Encoding::Cbor {
            let bare_ns = nanos(|| {
                black_box(minicbor_serde::from_slice::<Order>(black_box(&bytes)).expect("decodes"));
            });
            println!("{:>8} {:>6} {:>10} {bare_ns:>10.0}  without a look at the depth", "", "", "");
        }
    }
}

/// The least of five averages: what others do on the machine only adds.
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn nanos(mut act: impl FnMut()) -> f64 {
    let run = |_| {
        let begun = Instant::now();
        (0..ROUNDS).for_each(|_| act());
        begun.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
    };
    (0..5).map(run).fold(f64::INFINITY, f64::min)
}
