#!/usr/bin/env bash
# The k6 scenarios, one after the other, against a server of their own, each closed by an audit.
#
#   run.sh [SCENARIO...]    smoke hot_key idempotent_replay checkout flash_spike; all of them without a name
#
# SLUICE_BIN and K6_BIN name other binaries, KEEP=1 leaves the data folder. README.md has the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

scenarios=("$@")
[ ${#scenarios[@]} -gt 0 ] || scenarios=(smoke hot_key idempotent_replay checkout flash_spike)

export RESULTS_DIR=${RESULTS_DIR:-$root/loadtest/results}
ready_seconds=${READY_SECONDS:-60}
scenario_seconds=${SCENARIO_SECONDS:-420}
stop_seconds=${STOP_SECONDS:-30}
users=${USERS_MAX:-50000}
flash_users=${FLASH_USERS:-50000}
[ "$users" -ge "$flash_users" ] || users=$flash_users

work=
server_pid=
k6_pid=

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

# Stops the server and answers with its exit code.
stop_server() {
    local pid=$server_pid
    server_pid=
    kill -TERM "$pid" 2>/dev/null || true
    if ! gone_within "$pid" "$stop_seconds"; then
        say "the server did not stop within $stop_seconds s; killing it"
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" || true
        return 1
    fi
    wait "$pid"
}

cleanup() {
    [ -z "$k6_pid" ] || kill -TERM "$k6_pid" 2>/dev/null || true
    [ -z "$server_pid" ] || stop_server || true
    if [ -n "$work" ]; then
        if [ -n "${KEEP:-}" ]; then say "kept $work"; else rm -rf "$work"; fi
    fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

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

# A member of the ready line, which is flat JSON.
ready() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$work/ready"; }

start_server() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/sluice-load.XXXXXX")
    : >"$work/ready"
    # Request limits are for strangers, not for one machine that plays fifty thousand users.
    SLUICE__LIMITS__ENABLED=false \
    SLUICE__DATA__LISTEN=127.0.0.1:0 SLUICE__CONTROL__LISTEN=127.0.0.1:0 SLUICE__OPS__LISTEN=127.0.0.1:0 \
        "$sluice" dev --data-dir "$work/data" >"$work/ready" 2>"$RESULTS_DIR/server.log" &
    server_pid=$!
    local tries=$(( ready_seconds * 10 ))
    until grep -q '"event":"ready"' "$work/ready"; do
        tries=$(( tries - 1 ))
        if [ "$tries" -le 0 ] || ! kill -0 "$server_pid" 2>/dev/null; then
            tail -n 20 "$RESULTS_DIR/server.log" >&2
            die "the server was not ready within $ready_seconds s"
        fi
        sleep 0.1
    done
    SLUICE_DATA_URL=$(ready data)
    SLUICE_CONTROL_URL=$(ready control)
    SLUICE_ADMIN_KEY=$(ready admin_key)
    export SLUICE_DATA_URL SLUICE_CONTROL_URL SLUICE_ADMIN_KEY
}

make_users() {
    export SLUICE_PASSES=$work/passes.csv SLUICE_TOKENS=$work/tokens.csv
    "$sluice" token --data-dir "$work/data" --users "$users" --prefix u --pass --out "$SLUICE_PASSES"
    "$sluice" token --data-dir "$work/data" --users "${SMOKE_WALKS:-5}" --prefix buyer --out "$SLUICE_TOKENS"
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

# Everything that the stores can show, over all coupons of all scenarios, beside the running server.
run_audit() {
    local status=0
    "$sluice" audit --data-dir "$work/data" >"$RESULTS_DIR/audit.txt" 2>&1 || status=$?
    printf 'audit %s: %s\n' "$([ "$status" -eq 0 ] && echo passed || echo failed)" \
        "$(tail -n 1 "$RESULTS_DIR/audit.txt")"
    return "$status"
}

run_stop() {
    local status=0
    stop_server || status=$?
    printf 'graceful stop %s: exit code %s\n' "$([ "$status" -eq 0 ] && echo passed || echo failed)" "$status"
    return "$status"
}

passed=0
failed=0
count() { if "$@"; then passed=$(( passed + 1 )); else failed=$(( failed + 1 )); fi; }

for scenario in "${scenarios[@]}"; do
    [ -f "loadtest/scenarios/$scenario.js" ] || die "there is no scenario $scenario"
done
mkdir -p "$RESULTS_DIR"
find_binaries
start_server
make_users
for scenario in "${scenarios[@]}"; do
    count run_scenario "$scenario"
done
count run_audit
count run_stop
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
