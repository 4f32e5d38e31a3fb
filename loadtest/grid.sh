#!/usr/bin/env bash
# The flash sale on each kind of ledger and hot state, each closed by exact audits.
#
#   grid.sh [SET-UP...]    sqlite cassandra cassandra-cluster; all of them without a name
#
#   sqlite             one gateway, SQLite, one Redis
#   cassandra          one gateway, Apache Cassandra, one Redis
#   cassandra-cluster  two gateways, Apache Cassandra, a Redis Cluster of three masters, a coupon
#                      with four shards
#
# All servers are this run's own, on free loopback ports, in a temporary folder, and end with it.
# README.md lists the variables.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

setups=("$@")
[ ${#setups[@]} -gt 0 ] || setups=(sqlite cassandra cassandra-cluster)

results=${RESULTS_DIR:-$root/loadtest/results}
export RESULTS_DIR=$results
ready_seconds=${READY_SECONDS:-120}
stop_seconds=${STOP_SECONDS:-30}
export FLASH_PIECES=${FLASH_PIECES:-2000} FLASH_USERS=${FLASH_USERS:-10000} FLASH_PEAK=${FLASH_PEAK:-300}

. loadtest/steps.sh

work=
# Process ids: what is stopped in good order, and what is just ended.
gateways=()
servers=()
taken_ports=" "

cleanup() {
    [ -z "$k6_pid" ] || kill -TERM "$k6_pid" 2>/dev/null || true
    stop_gateways || true
    end_servers
    if [ -n "$work" ]; then
        if [ -n "${KEEP:-}" ]; then say "kept $work"; else rm -rf "$work"; fi
    fi
    work=
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Stops the gateways one after the other; false where one did not end as it should.
stop_gateways() {
    local pid status=0
    for pid in "${gateways[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
        if gone_within "$pid" "$stop_seconds"; then
            wait "$pid" || status=1
        else
            say "a gateway did not stop within $stop_seconds s; killing it"
            kill -KILL "$pid" 2>/dev/null || true
            status=1
        fi
    done
    gateways=()
    return "$status"
}

end_servers() {
    local pid
    for pid in "${servers[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    servers=()
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Sets `port` to one that nobody listens on, and that was not handed out before.
free_port() {
    while :; do
        port=$(( 20000 + RANDOM % 10000 ))
        [[ $taken_ports != *" $port "* ]] || continue
        listens "$port" || break
    done
    taken_ports+="$port "
}

# Waits until a port of process $1 takes connections.
until_listens() {
    local pid=$1 port=$2 what=$3 tries=$(( ready_seconds * 5 ))
    until listens "$port"; do
        tries=$(( tries - 1 ))
        [ "$tries" -gt 0 ] && kill -0 "$pid" 2>/dev/null || die "$what did not start, see $work"
        sleep 0.2
    done
}

# Starts a redis-server with these further arguments; sets `port`.
start_redis() {
    free_port
    local folder=$work/redis-$port
    mkdir -p "$folder"
    redis-server --port "$port" --bind 127.0.0.1 --dir "$folder" --appendonly yes --save '' \
        --maxmemory-policy noeviction "$@" >"$folder/log" 2>&1 &
    servers+=($!)
    until_listens "$!" "$port" redis-server
}

start_cluster() {
    local nodes=() number bus
    for number in 1 2 3; do
        free_port
        bus=$port
        start_redis --cluster-enabled yes --cluster-port "$bus" --cluster-require-full-coverage no
        nodes+=("127.0.0.1:$port")
    done
    redis-cli --cluster create "${nodes[@]}" --cluster-yes >"$work/cluster.log" 2>&1 \
        || die "the Redis Cluster could not be made, see $work/cluster.log"
    local tries=$(( ready_seconds * 5 )) node
    for node in "${nodes[@]}"; do
        until redis-cli -p "${node#*:}" cluster info | grep -q '^cluster_state:ok'; do
            tries=$(( tries - 1 ))
            [ "$tries" -gt 0 ] || die "the nodes of the Redis Cluster do not agree"
            sleep 0.2
        done
    done
    redis_urls=$(printf ', "redis://%s"' "${nodes[@]}")
    redis_urls=${redis_urls:2}
}

start_cassandra() {
    local storage native
    free_port; storage=$port
    free_port; native=$port
    mkdir -p "$work/cassandra"
    deploy/cassandra/start.sh "$work/cassandra" 127.0.0.1 "$native" "$storage" \
        >"$work/cassandra/log" 2>&1 &
    servers+=($!)
    until_listens "$!" "$native" Cassandra
    cql="backend = \"cql\"
nodes = [\"127.0.0.1:$native\"]
lwt_timeout_ms = 5000
request_timeout_ms = 5000"
}

# The stores of a set-up; sets what the configuration says of them.
start_stores() {
    cql=
    cluster=false
    case $1 in
        cassandra*) start_cassandra ;;
    esac
    case $1 in
        *-cluster) cluster=true; start_cluster ;;
        *) start_redis; redis_urls="\"redis://127.0.0.1:$port\"" ;;
    esac
}

write_config() {
    cat >"$work/sluice.toml" <<END
data_dir = "$work/data"
[hotstate]
redis_urls = [$redis_urls]
cluster = $cluster
[ledger]
$cql
[limits]
enabled = false
[data]
drain_wait_ms = 0
END
}

# A member of a ready line, which is flat JSON.
ready() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$2"; }

start_gateway() {
    local number=$1 tries=$(( ready_seconds * 5 )) pid ops
    : >"$work/ready-$number"
    SLUICE__DATA__LISTEN=127.0.0.1:0 SLUICE__CONTROL__LISTEN=127.0.0.1:0 SLUICE__OPS__LISTEN=127.0.0.1:0 \
        "$sluice" serve --config "$work/sluice.toml" >"$work/ready-$number" 2>"$RESULTS_DIR/gateway-$number.log" &
    pid=$!
    gateways+=("$pid")
    until ops=$(ready ops "$work/ready-$number") && [ -n "$ops" ] \
        && "$sluice" healthcheck --url "$ops" >/dev/null 2>&1; do
        tries=$(( tries - 1 ))
        if [ "$tries" -le 0 ] || ! kill -0 "$pid" 2>/dev/null; then
            tail -n 20 "$RESULTS_DIR/gateway-$number.log" >&2
            die "gateway $number was not ready within $ready_seconds s"
        fi
        sleep 0.2
    done
}

# One sale: stores, gateways, k6, audits, stop. One line says how it went.
play() {
    local setup=$1 count=1 number status=0 said audit urls=
    [ "$setup" != cassandra-cluster ] || count=2
    export RESULTS_DIR=$results/$setup
    mkdir -p "$RESULTS_DIR"
    work=$(mktemp -d "${TMPDIR:-/tmp}/sluice-grid.XXXXXX")
    start_stores "$setup"
    write_config
    "$sluice" migrate --config "$work/sluice.toml" >"$RESULTS_DIR/migrate.log" 2>&1 \
        || die "the ledger could not be made: $(cat "$RESULTS_DIR/migrate.log")"
    SLUICE_ADMIN_KEY=$("$sluice" key create --config "$work/sluice.toml" --role admin)
    for (( number = 1; number <= count; number++ )); do
        start_gateway "$number"
        urls+=,$(ready data "$work/ready-$number")
    done
    SLUICE_DATA_URL=${urls:1}
    SLUICE_CONTROL_URL=$(ready control "$work/ready-1")
    SLUICE_PASSES=$work/passes.csv
    FLASH_SHARDS=1
    [ "$setup" != cassandra-cluster ] || FLASH_SHARDS=4
    export SLUICE_ADMIN_KEY SLUICE_DATA_URL SLUICE_CONTROL_URL SLUICE_PASSES FLASH_SHARDS
    "$sluice" token --data-dir "$work/data" --users "$FLASH_USERS" --prefix u --pass --out "$SLUICE_PASSES"
    run_scenario flash_spike >"$RESULTS_DIR/headline.txt" || status=1
    said=$(cat "$RESULTS_DIR/headline.txt")
    # Everything that the stores show, once while the gateways run and once after they have stopped.
    "$sluice" audit --config "$work/sluice.toml" >"$RESULTS_DIR/audit.txt" 2>&1 || status=1
    stop_gateways || { status=1; said+="; a gateway did not stop in good order"; }
    "$sluice" audit --config "$work/sluice.toml" >"$RESULTS_DIR/audit-stopped.txt" 2>&1 || status=1
    audit="$(tail -n 1 "$RESULTS_DIR/audit.txt") running, $(tail -n 1 "$RESULTS_DIR/audit-stopped.txt") stopped"
    printf '%s (%s gateway(s), %s shard(s)): %s; audit: %s\n' "$setup" "$count" "$FLASH_SHARDS" "$said" "$audit"
    cleanup
    return "$status"
}

for setup in "${setups[@]}"; do
    case $setup in
        sqlite | cassandra | cassandra-cluster) ;;
        *) die "there is no set-up $setup: sqlite, cassandra, cassandra-cluster" ;;
    esac
done
mkdir -p "$RESULTS_DIR"
find_binaries
for setup in "${setups[@]}"; do
    count play "$setup"
done
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
