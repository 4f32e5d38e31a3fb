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
stop_seconds=${STOP_SECONDS:-30}
users=${USERS_MAX:-50000}
flash_users=${FLASH_USERS:-50000}
[ "$users" -ge "$flash_users" ] || users=$flash_users

work=
server_pid=

. loadtest/steps.sh

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
