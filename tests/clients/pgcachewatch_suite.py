"""Runs PGCacheWatch 0.4.2's own test-suite, unchanged, against pgfan.

    PGFAN=target/debug/pgfan PGHOST=/socket/folder PGUSER=postgres \\
        tests/clients/pgcachewatch_suite [RUNS]

The suite starts `uvicorn`, finds tests/clients/shim/uvicorn first in PATH, and
so starts `$PGFAN serve`. It runs RUNS times in a row, up to the first failure.

Needs a running PostgreSQL by the libpq variables, as a superuser, with
fsync=on and without a database `testdb`; that one is made here, and dropped at
the end. Exit code 0: all passed; 1: a run failed; 2: it could not be run.
"""

import argparse
import asyncio
import contextlib
import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import asyncpg

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "target" / "clients"
SUITE = TARGET / "pgcachewatch-0.4.2"

# Number of tests in the suite of 0.4.2: a run that collects fewer proves less.
TESTS = 123
# A run takes about 30 s. If the gateway does not start, the suite waits forever
# for a process that it does not kill.
RUN_LIMIT_SECONDS = 300
# The suite contains this address.
ADDRESS = ("127.0.0.1", 8000)

# The schema of tests/db/init_db.sh of the suite.
SYSCONF = """
CREATE TABLE sysconf (key VARCHAR(255) PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO sysconf (key, value) VALUES
    ('app_name', 'MyApplication'),
    ('app_version', '1.0.0'),
    ('maintenance_mode', 'false'),
    ('updated_at', '2024-02-19 23:01:54.609243+00');
"""

# test_3_cache_invalidation_* send a SELECT and a change at the same moment, then
# wait for the SELECT's answer to become another one: it never does if the change
# was committed first. These settings make every commit that writes wait before
# its flush, and so before it is visible, for 100 ms, the longest that PostgreSQL
# allows; the SELECT wins. A NOTIFY alone writes nothing and commits without this
# delay. (XLogFlush in xlog.c: the delay needs fsync=on, and at least
# commit_siblings other open transactions.)
SLOW_COMMITS = (
    "commit_delay = 100000",
    "commit_siblings = 0",
    "synchronous_commit = on",
)


def main() -> None:
    arguments = argparse.ArgumentParser(description="see the head of this file")
    arguments.add_argument("runs", nargs="?", type=int, default=1, metavar="RUNS")
    runs: int = arguments.parse_args().runs
    if runs < 1:
        arguments.error("RUNS must be at least 1")
    # Raises at once, so that the code below cleans up.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: sys.exit(128 + number))

    check_environment()
    isolation = private_network()
    if not isolation:
        check_address_is_free()
    try:
        all_passed = asyncio.run(run_all(isolation, runs))
    except (OSError, asyncpg.PostgresError) as error:
        give_up(f"PostgreSQL: {error}")
    sys.exit(0 if all_passed else 1)


def check_environment() -> None:
    if not SUITE.is_dir():
        give_up(f"no test-suite: run {HERE / 'setup'} first")
    if not os.access(os.environ.get("PGFAN", ""), os.X_OK):
        give_up("PGFAN must be the path of the gateway's executable")
    os.environ["PGFAN"] = os.path.abspath(os.environ["PGFAN"])
    # The suite has its own default, and would not find another server.
    if "PGHOST" not in os.environ:
        give_up("PGHOST must say where PostgreSQL is (a host, or its socket's folder)")


def private_network() -> list[str]:
    """The command that gives a run its own port 8000; empty if there is none.

    PostgreSQL can be reached from there by its Unix socket alone.
    """
    if not os.environ["PGHOST"].startswith("/"):
        return []
    as_root = ["unshare", "--net"]
    as_user = ["unshare", "--map-root-user", "--net"]
    for unshare in (as_root, as_user):
        command = [*unshare, sys.executable, str(HERE / "with_loopback.py")]
        if shutil.which("unshare") and succeeds([*command, "true"]):
            return command
    return []


def succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def check_address_is_free() -> None:
    with socket.socket() as probe:
        # Like the gateway: a connection in TIME_WAIT does not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(ADDRESS)
        except OSError as error:
            give_up(
                f"the suite needs 127.0.0.1:8000 and has no network of its own: {error}"
            )


async def run_all(isolation: list[str], runs: int) -> bool:
    async with testdb():
        return all(run_once(isolation, f"{n}/{runs}") for n in range(1, runs + 1))


@contextlib.asynccontextmanager
async def testdb() -> AsyncIterator[None]:
    at_hand = os.environ.get("PGDATABASE", "postgres")
    maintenance = await asyncpg.connect(database=at_hand)
    if await maintenance.fetchval("SHOW fsync") != "on":
        give_up("PostgreSQL must run with fsync=on: commit_delay needs it")
    try:
        await maintenance.execute("CREATE DATABASE testdb")
    except asyncpg.DuplicateDatabaseError:
        give_up("this PostgreSQL has a database testdb already")
    try:
        for setting in SLOW_COMMITS:
            await maintenance.execute(f"ALTER DATABASE testdb SET {setting}")
        await fill_testdb()
        yield
    finally:
        await maintenance.execute("DROP DATABASE testdb WITH (FORCE)")
        await maintenance.close()


async def fill_testdb() -> None:
    connection = await asyncpg.connect(database="testdb")
    await connection.execute(SYSCONF)
    await connection.close()


def run_once(isolation: list[str], name: str) -> bool:
    code, output, complaints = run_suite(isolation)
    lines = output.rstrip().splitlines() or ["no output"]
    print(f"run {name}: {lines[-1]}", flush=True)
    passed = re.match(r"(\d+) passed(, \d+ warnings?)? in ", lines[-1])
    if code == 0 and passed and int(passed[1]) == TESTS:
        return True
    print(output, complaints, sep="\n", file=sys.stderr)
    print(f"run {name}: exit code {code}, {TESTS} must pass", file=sys.stderr)
    return False


def run_suite(isolation: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of one run, whose process group is gone by then."""
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    with subprocess.Popen(
        [*isolation, sys.executable, "-B", *pytest],
        cwd=SUITE,
        env=suite_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as suite:
        try:
            output, complaints = suite.communicate(timeout=RUN_LIMIT_SECONDS)
        except subprocess.TimeoutExpired as timeout:
            output = (timeout.stdout or b"").decode(errors="replace")
            complaints = f"stopped after {RUN_LIMIT_SECONDS} s"
        finally:
            end_group(suite.pid)
    return suite.returncode, output, complaints


def suite_environment() -> dict[str, str]:
    """The gateway is configured by the libpq variables only."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name != "DATABASE_URL"
        and not name.startswith("PGFAN_")
        and not name.lower().endswith("_proxy")
    }
    # The suite uses its own default user if the environment has none.
    inherited.setdefault("PGUSER", getpass.getuser())
    path = f"{HERE / 'shim'}{os.pathsep}{inherited['PATH']}"
    return inherited | {"PATH": path, "PGDATABASE": "testdb"}


def end_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def give_up(reason: str) -> NoReturn:
    print(f"pgcachewatch_suite: {reason}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
