# The verbs of this project. `make run` and `make test` set up what they need by themselves.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# One build cache per user, outside the checkout, unless the caller has chosen another.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sluice/target
# rustup puts its tools here; a bare PATH does not have it.
export PATH := $(HOME)/.cargo/bin:$(PATH)

DATA_DIR ?= ./var

.PHONY: help bootstrap bootstrap-k6 bootstrap-cassandra bootstrap-peers run test lint fmt deny faults sim k6 k6-grid bench bench-peers bench-instructions bench-memory bench-scale capacity openapi clean

help: ## List the verbs
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

bootstrap: ## Install what is missing (compiler, redis-server, Rust) and say what was done
	@deploy/bootstrap.sh build

bootstrap-k6: ## Install what the load tests need (Go) and build k6 from its module
	@deploy/bootstrap.sh k6

bootstrap-cassandra: ## Install what the CQL ledger's tests need (JDK, Maven) and fetch Apache Cassandra
	@deploy/bootstrap.sh cassandra

run: bootstrap ## Build and start everything in one process, with a demo sale, in ./var
	@echo "make run: building (the first time takes some minutes on a small machine)"
	@cargo build --release --locked --package sluice
	@exec "$$CARGO_TARGET_DIR/release/sluice" dev --demo --data-dir "$(DATA_DIR)"

test: bootstrap bootstrap-cassandra ## Run every test, with real servers, and close with a line of what ran
	@deploy/test.sh

lint: bootstrap ## Formatting, lints, documentation, dependency fences
	@cargo fmt --all -- --check
	@cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet
	@deploy/bootstrap.sh deny
	@cargo deny --log-level error check bans licenses sources

fmt: ## Format the code
	@cargo fmt --all

faults: bootstrap bootstrap-cassandra ## Play the fault matrix, the storm with 200 rounds of it, and print it (SLUICE_STORM_ROUNDS=n for others)
	@cargo build --locked --workspace --all-features --bin faults
	@SLUICE_ALL_FAULTS=1 SLUICE_FAULT_ROUNDS=$${SLUICE_FAULT_ROUNDS:-20} SLUICE_STORM_ROUNDS=$${SLUICE_STORM_ROUNDS:-200} SLUICE_ROLLING_ROUNDS=$${SLUICE_ROLLING_ROUNDS:-5} \
		"$$CARGO_TARGET_DIR/debug/faults" --table deploy/faults.toml --out "$$CARGO_TARGET_DIR/faults.md"

sim: bootstrap ## The deterministic simulator: SEEDS=n seeds from FIRST=n; a failing one is told as a story
	@SLUICE_SIM_SEEDS=$${SEEDS:-10000} SLUICE_SIM_FIRST=$${FIRST:-0} cargo test --locked --package sluice-sim --test simulation -- --nocapture --exact seeds::seeds

k6: bootstrap bootstrap-k6 ## The k6 scenarios against a server of their own, each closed by an audit
	@loadtest/run.sh

k6-grid: bootstrap bootstrap-k6 bootstrap-cassandra ## The k6 flash sale on SQLite, on Cassandra, and on Cassandra with a Redis Cluster, two gateways, four shards
	@loadtest/grid.sh

bench: bootstrap ## Criterion benches of pure code and of the Lua scripts
	@cargo bench --locked --package sluice-benches

bootstrap-peers: ## Install what bench-peers needs (nginx with Lua, never started as a service)
	@deploy/bootstrap.sh peers

bench-peers: bootstrap bootstrap-peers ## Goals of performance, beside hyper, nginx + Lua and others (BENCH="--phases hot,replay --rounds 5 --json f")
	@cargo build --release --locked --package sluice --package sluice-benches --bins
	@"$$CARGO_TARGET_DIR/release/bench-peers" --sluice "$$CARGO_TARGET_DIR/release/sluice" $(BENCH)

bench-instructions: bootstrap ## Instructions per request under callgrind (ARGS=--check compares, ARGS=--write appends)
	@deploy/bootstrap.sh valgrind
	@cargo build --release --locked --package sluice-benches --bin bench-instructions
	@"$$CARGO_TARGET_DIR/release/bench-instructions" $(ARGS)

bench-memory: bootstrap ## Bytes of a connection, a winner, a definition (ARGS="--soak 30" for minutes of steady load instead)
	@cargo build --release --locked --package sluice --package sluice-benches
	@ulimit -n 65536 2>/dev/null || true; "$$CARGO_TARGET_DIR/release/bench-memory" --sluice "$$CARGO_TARGET_DIR/release/sluice" $(ARGS)

bench-scale: bootstrap ## Cost of a claim with 10x users, many coupons, a long ledger (ARGS="--rows 10000000" and the like)
	@cargo build --release --locked --package sluice --package sluice-benches
	@"$$CARGO_TARGET_DIR/release/bench-scale" --sluice "$$CARGO_TARGET_DIR/release/sluice" $(ARGS)

capacity: bootstrap ## Print the tables of docs/capacity.md anew from config/costs.toml
	@SLUICE_WRITE_CAPACITY=1 cargo test --locked --package sluice --bin sluice command::capacity

openapi: bootstrap ## Write docs/openapi-*.json anew from the code
	@SLUICE_WRITE_OPENAPI=1 cargo test --locked --package sluice-control --test it openapi

clean: ## Forget ./var (the demo's data); the build cache stays
	@rm -rf "$(DATA_DIR)"
