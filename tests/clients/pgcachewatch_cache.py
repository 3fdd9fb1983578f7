"""An application with a PGCacheWatch cache, written as its users write it.

    pgcachewatch_cache.py HOST:PORT

Its own table and triggers in the database of the libpq variables, a
WSEventQueue and @cache through the gateway at HOST:PORT. It shows that the
cache is right while the gateway has its source, then ends the gateway's own
sessions (application_name 'pgfan'; needs the right to) and shows that the cache
detects it. One line on stdout for each proof, in order; exit code 0, or 1 and
`failed: ...` on stderr, where PGCacheWatch's own task also reports the 1012 as
an unretrieved exception. Needs websockets < 14, as PGCacheWatch 0.4.2 does.
"""

import argparse
import asyncio
import collections
import contextlib
import os
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar
from unittest import mock

import asyncpg
import websockets
from pgcachewatch import cli, decorators, listeners, models, strategies

T = TypeVar("T")
# Far above the duration of each step; a step that needs longer has failed.
STEP_SECONDS = 15.0


class Failed(Exception):
    """The expected and the actual result."""


@dataclass
class Application:
    """The cached read, and the state of the cache that users can see."""

    database: asyncpg.Connection
    table: str
    socket: websockets.WebSocketClientProtocol
    events: listeners.WSEventQueue
    read: Callable[[], Awaitable[str]]
    counts: collections.Counter[str] = field(default_factory=collections.Counter)

    async def write(self, value: str) -> None:
        await self.database.execute(f"UPDATE {self.table} SET value = $1", value)


def main() -> None:
    arguments = argparse.ArgumentParser(description="see the head of this file")
    arguments.add_argument("address", metavar="HOST:PORT")
    address: str = arguments.parse_args().address
    try:
        asyncio.run(scenario(address))
    except asyncio.TimeoutError:
        sys.exit(f"failed: no upgrade within {STEP_SECONDS} s")
    except (Failed, OSError, websockets.WebSocketException) as error:
        sys.exit(f"failed: {error}")


async def scenario(address: str) -> None:
    async with table_with_triggers() as (database, table):
        async with application(address, database, table) as first:
            await prove_cache(first, "one", "two")
            await lose_source(first)
            await prove_bypass(first)
        async with application(address, database, table) as second:
            await prove_cache(second, "four", "five")
            await prove_close(second)


async def prove_cache(app: Application, value: str, changed: str) -> None:
    """`value` is the value of the row at the beginning."""
    expect(await app.read(), value, "first read")
    expect(app.counts, {"miss": 1}, "counts after the first read")
    proven(f"miss: {value}")

    expect(await app.read(), value, "second read")
    expect(app.counts, {"miss": 1, "hit": 1}, "counts after the second read")
    proven(f"hit: {value}")

    await app.write(changed)
    await within(read_until(app, changed), f"a read that gives {changed!r}")
    expect(app.counts["miss"], 2, "misses after the change")
    proven(f"miss after the change: {changed}")

    hits = app.counts["hit"]
    expect(await app.read(), changed, "read after the change")
    expect(app.counts, {"miss": 2, "hit": hits + 1}, "counts after the change")
    proven(f"hit: {changed}")


async def read_until(app: Application, value: str) -> None:
    while await app.read() != value:
        # A hit never yields to the loop, which must receive the event.
        await asyncio.sleep(0.001)


async def lose_source(app: Application) -> None:
    ended = await app.database.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'pgfan' AND datname = current_database()"
    )
    if not ended:
        raise Failed("no session with application_name 'pgfan' to end")
    await within(app.socket.wait_closed(), "the gateway to close the socket")
    expect(app.socket.close_code, 1012, "close code after the loss of the source")
    proven("closed by the gateway: 1012")


async def prove_bypass(app: Application) -> None:
    expect(app.events.connection_healthy(), False, "connection_healthy()")
    proven("connection_healthy() is false")

    before = app.counts.copy()
    for value in ("three", "four"):
        await app.write(value)
        expect(await app.read(), value, "read without the gateway")
    expect(app.counts, before, "counts while the cache is bypassed")
    proven("cache bypassed: every read is fresh")


async def prove_close(app: Application) -> None:
    """PGCacheWatch takes an end without the close handshake for an error."""
    await app.socket.close()
    expect(app.socket.close_code, 1000, "close code after the application closed")
    proven("closed by the application: 1000")


@contextlib.asynccontextmanager
async def application(
    address: str, database: asyncpg.Connection, table: str
) -> AsyncIterator[Application]:
    channel = channel_of(table)
    url = f"ws://{address}/pgpubsub/{channel}"
    async with websockets.connect(url, open_timeout=STEP_SECONDS) as socket:
        events = listeners.WSEventQueue()
        await events.connect(socket, channel)
        counts = collections.Counter[str]()

        @decorators.cache(
            strategy=strategies.Greedy(listener=events),
            statistics_callback=lambda what: counts.update([what]),
        )
        async def read() -> str:
            return await database.fetchval(f"SELECT value FROM {table}")

        yield Application(database, table, socket, events, read, counts)


@contextlib.asynccontextmanager
async def table_with_triggers() -> AsyncIterator[tuple[asyncpg.Connection, str]]:
    """A table of one row, with a unique name, because runs may overlap."""
    table = f"cached_{secrets.token_hex(4)}"
    database = await asyncpg.connect()
    try:
        await database.execute(f"CREATE TABLE {table} (value text NOT NULL)")
        await database.execute(f"INSERT INTO {table} VALUES ('one')")
        await pgcachewatch("install", table, "--channel-name", channel_of(table))
        yield database, table
    finally:
        await pgcachewatch("uninstall", "--channel-name", channel_of(table))
        await database.execute(f"DROP TABLE IF EXISTS {table}")
        await database.close()


def channel_of(table: str) -> models.PGChannel:
    return models.PGChannel(f"changes_of_{table}")


async def pgcachewatch(*arguments: str) -> None:
    """PGCacheWatch's own command; its printed SQL is discarded."""
    command = ["pgcachewatch", *arguments, "--commit"]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        with mock.patch.object(sys, "argv", command):
            await cli.main()


async def within(wanted: Awaitable[T], what: str) -> T:
    try:
        return await asyncio.wait_for(wanted, STEP_SECONDS)
    except asyncio.TimeoutError:
        raise Failed(f"waited {STEP_SECONDS} s in vain for {what}") from None


def expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise Failed(f"{what}: {found!r} instead of {wanted!r}")


def proven(fact: str) -> None:
    print(fact, flush=True)


if __name__ == "__main__":
    main()
