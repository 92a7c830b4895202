#!/usr/bin/env bash
# One ensemble from `up` to `down` on real pages, with `curl` as the reader: for CI, and for figures by hand.
#
#     examples/site/e2e.sh [PROGRAM]     default: target/release/site, else target/debug/site
#
# Serves the toolchain's own documentation if it is installed, else the example's pages. Takes seconds; every
# command has a deadline. Exits with 0 only if everything was as it should be and nothing is left.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
program=${1:-}
for candidate in "$root/target/release/site" "$root/target/debug/site"; do
    [ -n "$program" ] || { [ -x "$candidate" ] && program=$candidate; }
done
[ -x "$program" ] || { echo "e2e: no program; build one with: cargo build -p site" >&2; exit 2; }
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")

pages_wanted=200
project=$(mktemp -d "${TMPDIR:-/tmp}/odeon-e2e.XXXXXX")
unset ODEON_HOME XDG_RUNTIME_DIR

# Processes of this run: the project's directory stands in their command line or environment.
processes() {
    local pid
    for pid in /proc/[0-9]*; do
        if grep -qaF "$project" "$pid/cmdline" "$pid/environ" 2>/dev/null; then basename "$pid"; fi
    done
}

clean_up() {
    local status=$?
    if [ "$status" -ne 0 ]; then
        echo "e2e: FAILED (exit status $status)" >&2
        tail -n 20 "$project"/.odeon/servers/@*/log/server.log >&2 2>/dev/null || true
    fi
    local tries=0
    while [ -n "$(processes)" ] && [ "$tries" -lt 20 ]; do
        processes | xargs -r kill -9 2>/dev/null || true
        tries=$((tries + 1))
    done
    rm -rf "$project"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() { echo "e2e: $*" >&2; exit 1; }
site() { timeout 30 "$program" "$@"; }
now_ms() { date +%s%3N; }
# The value of a member in pretty-printed JSON, first occurrence.
member() {
    local all
    all=$(sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p")
    echo "${all%%$'\n'*}"
}
pid_of() { site ps "$1" --json | member pid; }

# Resident memory of a process; what is shared with other processes of the same program counts in the first only.
memory() {
    awk '/^VmRSS/ { all = $2 } /^RssAnon/ { own = $2 } END { printf "%d KiB resident, %d of its own", all, own }' \
        "/proc/$1/status"
}

# Milliseconds that a whole process takes, the median of 9.
median_ms() {
    local i begin
    for i in 1 2 3 4 5 6 7 8 9; do
        begin=$(date +%s%N)
        "$@" >/dev/null
        echo $((($(date +%s%N) - begin) / 10000))
    done | sort -n | sed -n 5p | awk '{ printf "%.2f ms", $1 / 100 }'
}

docs=$(rustc --print sysroot 2>/dev/null || true)/share/doc/rust/html
[ -f "$docs/index.html" ] || docs=$here/pages
cat >"$project/odeon.toml" <<EOF
[roles.web]
workers = 2
listen = ["tcp:127.0.0.1:0"]

[roles.web.settings]
root = "$docs"
greeting = "Good evening."
EOF
cd "$project"
echo "program   $program"
echo "pages     $docs ($(find "$docs" -type f | wc -l) files)"

begin=$(now_ms)
site up --detach 2>up.log || { cat up.log >&2; fail "up"; }
echo "up        $(($(now_ms) - begin)) ms (supervisor, registry, 2 workers)"
listen=$(site ps web-0 --json | sed -n 's/^ *"tcp:\(.*\)"$/\1/p')
[ -n "$listen" ] || fail "ps shows no address"
url=http://$listen

# Walk: every page that was fetched names further ones.
mkdir seen
echo / >queue
: >known
fetched=0
begin=$(now_ms)
while [ "$fetched" -lt "$pages_wanted" ] && [ -s queue ]; do
    # One curl for a batch of pages, over kept connections.
    head -n 50 queue >batch
    sed -i 1,50d queue
    awk -v url="$url" -v at="$fetched" '{
        printf "url = \"%s%s\"\noutput = \"seen/%d\"\nwrite-out = \"%%{http_code} %s\\n\"\n", url, $0, at + NR, $0
    }' batch >curl.cfg
    timeout 60 curl --silent --show-error --max-time 20 --config curl.cfg >codes || fail "curl: $(tail -n 1 codes)"
    wrong=$(grep -v '^200 ' codes || true)
    [ -z "$wrong" ] || fail "not 200: $wrong"
    at=$fetched
    while read -r page; do
        at=$((at + 1))
        case $page in */) dir=$page ;; *) dir=${page%/*}/ ;; esac
        # Relative links to pages, up to three levels up.
        { grep -oE 'href="[^"#?:]+\.html"' "seen/$at" || true; } | sed 's/^href="//; s/"$//' |
            sed -E "s|^([^/])|$dir\\1|" |
            sed -E ':a; s|/\./|/|; s|/[^/.][^/]*/\.\./|/|; ta' | { grep -v '\.\.' || true; } >>links
    done <batch
    fetched=$((fetched + $(wc -l <batch)))
    cat batch >>known
    cat queue links 2>/dev/null | sort -u | comm -23 - <(sort -u known) >next
    mv next queue
    : >links
done
echo "walk      $fetched pages, $(du -sk seen | cut -f 1) KiB in $(($(now_ms) - begin)) ms"
[ "$fetched" -ge 5 ] || fail "too few pages were found"

# The greeting, changed live.
site ask web-0:greeter SetGreeting '{"text":"hi"}' >/dev/null
site ask web-1:greeter SetGreeting '{"text":"hi"}' >/dev/null
curl --silent --max-time 10 "$url/greeting" | grep -q '"text":"hi"' || fail "the next page does not show the greeting"
echo "greeting  changed in both workers"

# A worker is killed while four loops of curl run; each curl is one connection.
pid=$(pid_of web-0)
rss=$(memory "$pid")
: >loop.codes
for _ in 1 2 3 4; do
    ( while [ ! -e stop ]; do
        curl --silent --output /dev/null --max-time 10 --write-out '%{http_code} %{exitcode}\n' "$url/" \
            >>loop.codes || true
    done ) &
done
wait_lines() {
    local deadline=$(($(now_ms) + 20000))
    while [ "$(wc -l <loop.codes)" -lt "$1" ]; do
        [ "$(now_ms)" -lt "$deadline" ] || fail "the loop of curl makes no progress"
        sleep 0.02
    done
}
wait_lines 20
begin=$(now_ms)
kill -9 "$pid"
until new=$(pid_of web-0) && [ -n "$new" ] && [ "$new" != null ] && [ "$new" != "$pid" ] &&
    [ "$(site ps web-0 --json | member state)" = ready ]; do
    [ $(($(now_ms) - begin)) -lt 5000 ] || fail "the worker was not restarted"
done
restart=$(($(now_ms) - begin))
wait_lines $(($(wc -l <loop.codes) + 20))
: >stop
wait
lost=$(grep -vc '^200 0$' loop.codes || true)
refused=$(grep -c ' 7$' loop.codes || true)
echo "kill -9   ready again after $restart ms; $(wc -l <loop.codes) requests, $lost lost, $refused refused"
[ "$restart" -lt 1000 ] || fail "a restart takes more than a second"
[ "$lost" -le 4 ] || fail "more is lost than what the dead worker held: $(grep -v '^200 0$' loop.codes)"
[ "$refused" -eq 0 ] || fail "connections were refused"
[ "$(site ps web-0 --json | member restarts)" = 1 ] || fail "ps does not show the restart"
site logs web-0 | grep -q 'killed by signal 9' || fail "the log does not say why"

echo "ps        $(median_ms site ps) (whole process, median of 9)"
echo "ping      $(median_ms site ping web-0) (whole process, median of 9)"
echo "worker    $rss"
for shim in $(processes); do
    if grep -qz __shim "/proc/$shim/cmdline"; then break; fi
done
echo "shim      $(memory "$shim")"

begin=$(now_ms)
site down
echo "down      $(($(now_ms) - begin)) ms"
deadline=$(($(now_ms) + 2000))
while [ -n "$(processes)" ]; do
    [ "$(now_ms)" -lt "$deadline" ] || fail "processes are left: $(processes)"
done
[ -z "$(ls -A .odeon/run)" ] || fail "sockets are left: $(ls .odeon/run)"
echo "nothing is left"
