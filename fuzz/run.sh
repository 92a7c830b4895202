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
# Kept are 40 inputs at most. What has another name than libFuzzer gives, the hash of its bytes, was put there by hand and
# stays; then, one after another, the input that reaches most of what none before it has reached.
mkdir "$found/all"
"$binary" -set_cover_merge=1 -use_counters=0 -max_len=1024 -merge_control_file="$found/control" \
    "$found/all" "corpus/$target" "$found/new" 2>&1 | tail -n 3
awk -v most=40 '
    NR == 1 { count = $1 }
    NR > 2 && NR <= count + 2 { path[NR - 3] = $0 }
    NR > count + 2 && $1 == "FT" { reached[$2] = $0; gain[$2] = NF - 2 }
    function is_hash(path,    parts, many) {
        many = split(path, parts, "/")
        return length(parts[many]) == 40 && parts[many] ~ /^[0-9a-f]+$/
    }
    function gained(i, is_kept,    parts, many, j, fresh) {
        many = split(reached[i], parts, " ")
        for (j = 3; j <= many; j++) {
            if (!(parts[j] in known)) { fresh++; if (is_kept) known[parts[j]] }
        }
        return fresh + 0
    }
    END {
        for (i in reached) if (!is_hash(path[i])) { gained(i, 1); delete reached[i]; kept++ }
        for (; kept < most; kept++) {
            best = -1; most_gained = 0
            # What an input adds only falls, so that most need not be counted again.
            for (i in reached) if (gain[i] > most_gained && (gain[i] = gained(i, 0)) > most_gained) {
                best = i; most_gained = gain[i]
            }
            if (best < 0) break
            gained(best, 1); delete reached[best]; print path[best]
        }
    }' "$found/control" >"$found/kept"
mkdir "$found/keep"
while read -r path; do cp "$path" "$found/keep/$(sha1sum <"$path" | cut -c 1-40)"; done <"$found/kept"
find "corpus/$target" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
mv "$found"/keep/* "corpus/$target/"
