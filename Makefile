# `make run` and `make test` are all a fresh machine needs besides Rust.
.PHONY: run help test soak bench fuzz deny deb try-deb lint lint-tools clients browser postgres postgres-18 fault-tools packaging-tools proxies monitoring fresh

# The main job: the gateway at work on a private PostgreSQL.
run: postgres
	@exec cargo run --locked -- demo

# This list: each goal, with the comment above it.
help:
	@awk '/^# / { text = text (text ? "\n             " : "") substr($$0, 3); next } \
	      /^[a-z][a-z0-9-]*:/ && text { sub(/:.*/, ""); printf "%-12s %s\n", $$0, text } { text = "" }' Makefile

# Everything: unit, property and integration tests, with clients of other make.
# Faults and commands once more on PostgreSQL 18: what a session sees differs between versions.
test: postgres postgres-18 clients browser fault-tools packaging-tools proxies monitoring
	cargo test --locked
	cargo test --locked --features otlp --lib --test otlp
	PG_BIN=$(CURDIR)/target/postgres-18/bin cargo test --locked --test faults --test cli

# `make run` and `make test` in a bare system of their own, as root; the machine stays as it is.
# FRESH_STEPS=run for one of them, FRESH_KEEP=1 to keep the system for the next time.
fresh:
	@tests/fresh/run

# The promise under faults, for half an hour with caches and for half an hour with a judge of
# every delivery; then the floods, with the delays of a neighbour. CHECKER_SECONDS=N and
# STRESS_SECONDS=N for another time, CHECKER_SEED=N and STRESS_SEED=N for the faults of a run
# before.
soak: postgres clients
	CHECKER_SECONDS=$${CHECKER_SECONDS:-1800} cargo test --release --locked --test checker -- --nocapture
	STRESS_SECONDS=$${STRESS_SECONDS:-1800} cargo test --release --locked --test load stress -- --nocapture
	cargo test --release --locked --test attacks -- --nocapture --test-threads 1

# What a delivery costs, next to the machine's limit and to other servers.
# BENCH_ONLY=s1b,s2 BENCH_PEERS=raw,pgfan-ws BENCH_ROUNDS=3 for a part of it.
bench: postgres
	@benches/setup
	cargo build --locked --release
	cargo bench --locked --profile load --bench fanout

# Hunts, led by coverage, for inputs that break a parser: each of them for
# FUZZ_SECONDS=N; FUZZ_ONLY='query cursor' for some. `make test` tries the kept
# inputs, and a few of chance.
fuzz:
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-300} nice fuzz/run

# Licences, bans, duplicates and sources of the dependencies, by cargo-deny, which takes some minutes to build the first
# time; `make test` holds the same rules without it. Its advisories are not in a package registry, so it is not asked.
deny:
	@[ -x target/tools/bin/cargo-deny ] || \
		cargo install cargo-deny --version 0.20.2 --locked --root target/tools --target-dir target/tools/build
	target/tools/bin/cargo-deny --locked --offline check bans licenses sources

# A Debian package in target/debian, by cargo-deb, which takes some minutes to build the first time.
deb:
	@tests/packaging/setup --deb
	@[ -x target/tools/bin/cargo-deb ] || \
		cargo install cargo-deb --version 3.8.0 --locked --root target/tools --target-dir target/tools/build
	PATH="$(CURDIR)/target/tools/bin:$$PATH" cargo deb --locked

# The package, installed, served by and removed in a Debian of its own, as root; the machine stays as it is.
try-deb: deb postgres
	cargo test --locked --test packaging -- --ignored --nocapture debian

# Formatting, lints and documentation, of the proto file too.
lint: lint-tools
	cargo fmt --check
	cargo clippy --locked --all-targets -- --deny warnings
	cargo clippy --locked --features otlp --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --locked --no-deps --document-private-items
	target/lint/venv/bin/buf lint

# buf, which looks at the proto file.
lint-tools:
	@tests/lint/setup

# A PostgreSQL server, where the machine has none.
postgres:
	@tests/postgres/setup

# The same version on every machine, beside what it has.
postgres-18:
	@tests/postgres/setup --wheel target/postgres-18

# PgBouncer, and what steps a clock.
fault-tools:
	@tests/faults/setup

# Prometheus, which the tests of the metrics and the alerts run.
monitoring:
	@tests/monitoring/setup

# The clients in Python and JavaScript that the tests run.
clients:
	@tests/clients/setup

# What looks at Dockerfile, unit and manifests.
packaging-tools:
	@tests/packaging/setup

# nginx, HAProxy and Caddy, that pgfan is tested behind.
proxies:
	@tests/proxies/setup

# Chromium, where the machine has none.
browser:
	@tests/browser/setup
