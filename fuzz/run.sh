#!/usr/bin/env bash
# Looks for inputs that break a target, or reach code that no kept input reaches: fuzz/run.sh TARGET SECONDS
#
# New inputs are kept in fuzz/corpus/TARGET as far as they reach something new; one that breaks the target is written
# to fuzz/artifacts/TARGET. Needs a C++ compiler, for libFuzzer. The stable compiler can instrument, but its switch is
# not stable, hence RUSTC_BOOTSTRAP.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if (($# != 2)); then
    echo 'usage: fuzz/run.sh TARGET SECONDS' >&2
    exit 2
fi
target=$1 seconds=$2
if [[ ! -f fuzz_targets/$target.rs ]]; then
    echo "fuzz/run.sh: there is no target '$target'; there are $(cd fuzz_targets && echo *.rs | sed 's/\.rs//g')" >&2
    exit 2
fi

export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/fuzz
triple=$(rustc -vV | sed -n 's/^host: //p')
# As cargo-fuzz does: coverage of edges and comparisons, into the instrumented crates alone.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
cargo build --release --target "$triple" --bin "$target"
binary=$CARGO_TARGET_DIR/$triple/release/$target

found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
mkdir "$found/new"
mkdir -p "corpus/$target" "artifacts/$target"
"$binary" -max_len=1024 -timeout=5 -rss_limit_mb=1024 -max_total_time="$seconds" -print_final_stats=1 \
    -artifact_prefix="artifacts/$target/" "$found/new" "corpus/$target"
# Kept is the smallest set that reaches all that any input reached, under the names that libFuzzer gives: the hashes
# of their bytes. What has another name was put there by hand and stays.
mkdir "$found/kept"
"$binary" -set_cover_merge=1 -use_counters=0 -max_len=1024 "$found/kept" "corpus/$target" "$found/new" 2>&1 | tail -n 3
find "corpus/$target" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
mv "$found"/kept/* "corpus/$target/"
