# Steps that run.sh and grid.sh share; sourced from the root of the checkout, with `root` and
# RESULTS_DIR set.

scenario_seconds=${SCENARIO_SECONDS:-420}
k6_pid=
passed=0
failed=0

say() { printf 'loadtest: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Waits until a process is gone, at most so many seconds; false where it still runs.
gone_within() {
    local pid=$1 tries=$(( $2 * 10 ))
    while kill -0 "$pid" 2>/dev/null; do
        tries=$(( tries - 1 ))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.1
    done
}

count() { if "$@"; then passed=$(( passed + 1 )); else failed=$(( failed + 1 )); fi; }

find_binaries() {
    if [ -n "${SLUICE_BIN:-}" ]; then
        sluice=$SLUICE_BIN
    else
        # The cache that the Makefile chooses, where nobody has chosen another.
        export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/target}
        say "building the release binary"
        cargo build --release --locked --package sluice
        sluice=$CARGO_TARGET_DIR/release/sluice
    fi
    [ -x "$sluice" ] || die "there is no sluice at $sluice"
    k6=${K6_BIN:-$root/loadtest/bin/k6}
    [ -x "$k6" ] || deploy/bootstrap.sh k6
    [ -x "$k6" ] || die "there is no k6 at $k6"
}

# Runs one scenario in the background, so that it can be stopped when its time is over.
run_scenario() {
    local name=$1 status=0
    rm -f "$RESULTS_DIR/$name".{txt,json,xml,log}
    "$k6" run --quiet --no-color --no-usage-report "loadtest/scenarios/$name.js" \
        >"$RESULTS_DIR/$name.log" 2>&1 &
    k6_pid=$!
    if ! gone_within "$k6_pid" "$scenario_seconds"; then
        say "$name did not end within $scenario_seconds s; stopping it"
        kill -KILL "$k6_pid" 2>/dev/null || true
    fi
    wait "$k6_pid" || status=$?
    k6_pid=
    # The summary's first line says it all; without one the log has to.
    if [ -f "$RESULTS_DIR/$name.txt" ]; then
        head -n 1 "$RESULTS_DIR/$name.txt"
    else
        tail -n 15 "$RESULTS_DIR/$name.log" >&2
        printf '%s failed without a summary (exit code %s), see %s\n' "$name" "$status" "$RESULTS_DIR/$name.log"
    fi
    return "$status"
}
