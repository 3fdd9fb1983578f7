# `make run` and `make test` are all a fresh machine needs besides Rust.
.PHONY: run test soak lint clients postgres

# The main job: the gateway at work on a private PostgreSQL.
run: postgres
	@exec cargo run --locked -- demo

# Everything: unit, property and integration tests, with clients of other make.
test: postgres clients
	cargo test --locked

# The promise under faults for half an hour; CHECKER_SECONDS=N for another time.
soak: postgres
	CHECKER_SECONDS=$${CHECKER_SECONDS:-1800} cargo test --locked --test checker -- --nocapture

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --locked --no-deps --document-private-items

# A PostgreSQL server, where the machine has none.
postgres:
	@tests/postgres/setup

# The Python clients that the tests run.
clients:
	@tests/clients/setup
