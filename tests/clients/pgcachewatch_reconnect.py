"""An application with three PGCacheWatch caches, one of each strategy, that outlives its gateway and its database.

    pgcachewatch_reconnect.py HOST:PORT [--replace | --page] [--lease SECONDS] [--token TOKEN]

The cached function reads the only row of the table `orders` in the database of the libpq variables. Each cache
is read continuously; a line on stdout reports each new result: `STRATEGY hit|miss|bypass VALUE`, or
`STRATEGY failed` while the database is away, or `forked STRATEGY ...` in a forked process on SIGUSR1. The listener is
that of examples/python, or with `--replace` that of PGCacheWatch's own pages: a new WSEventQueue for each
connection, which replaces the previous one.
With `--page` the one cache is that of docs/migrating.md. Ends when it is refused, with 1 and why on stderr.
"""

import argparse
import asyncio
import datetime
import functools
import os
import pathlib
import signal
import sys

import asyncpg
import websockets
from pgcachewatch import decorators, listeners, strategies

ROOT = pathlib.Path(__file__).parents[2]
sys.path.append(str(ROOT / "examples/python"))
import pgcachewatch_listener  # noqa: E402

CHANNEL = "ch_pgcachewatch_table_change"
# An UPDATE clears the first. No single event clears the others: only a flush does.
STRATEGIES = {
    "greedy": (strategies.Greedy, {}),
    "windowed": (strategies.Windowed, {"window": ["insert", "delete"]}),
    "timed": (strategies.Timed, {"timedelta": datetime.timedelta(hours=1)}),
}


class Replaced:
    """The queue of the newest connection, with the methods that PGCacheWatch's strategies call."""

    def __init__(self, url):
        self.url, self.queue = url, listeners.WSEventQueue()

    def connection_healthy(self):
        return self.queue.connection_healthy()

    def get_nowait(self):
        return self.queue.get_nowait()

    def cache(self, strategy, statistics_callback, **options):
        return decorators.cache(strategy(listener=self, **options), statistics_callback)

    async def follow(self):
        while True:
            try:
                async with websockets.connect(self.url) as socket:
                    queue = listeners.WSEventQueue()
                    await queue.connect(socket, CHANNEL)
                    self.queue = queue
                    await socket.wait_closed()
            except (OSError, websockets.WebSocketException):
                pass
            await asyncio.sleep(0.1)


async def value():
    connection = await asyncpg.connect()
    try:
        return await connection.fetchval("SELECT value FROM orders")
    finally:
        await connection.close()


async def watch(name, listener, said):
    """Reads one cache forever."""
    kind, options = STRATEGIES[name]
    counted = []
    cached = listener.cache(kind, counted.append, **options)(value)
    while True:
        counted.clear()
        try:
            found = await cached()
            result = f"{counted[0] if counted else 'bypass'} {found}"
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            result = "failed"
        if said.get(name) != result:
            said[name] = result
            print(name, result, flush=True)
        await asyncio.sleep(0.01)


def of_page(url):
    """The listener and the cached function of docs/migrating.md, exactly as in the page."""
    page = (ROOT / "docs/migrating.md").read_text()
    block = page.split("```diff\n")[2].split("```")[0]
    code = "\n".join(line[1:] for line in block.splitlines() if not line.startswith("-"))
    address = "ws://127.0.0.1:8000/pgpubsub/ch_pgcachewatch_table_change"
    assert address in code and "): ..." in code, code
    code = code.replace(address, url).replace("): ...", "): return await value()")
    names = {"asyncio": asyncio, "strategies": strategies, "value": value} | vars(pgcachewatch_listener)
    exec(code, names)
    return names["changes"], names["orders"], names["following"]


async def watch_page(url):
    listener, cached, following = of_page(url)
    last = None
    while not following.done():
        said = "healthy" if listener.connection_healthy() else "bypassed", await cached()
        if said != last:
            last = said
            print("page", *said, flush=True)
        await asyncio.sleep(0.01)
    await following


def fork(listener):
    """Like an application server that forks its workers after loading the application."""
    child = os.fork()
    if child == 0:
        print("forked", "healthy" if listener.connection_healthy() else "bypassed", flush=True)
        os._exit(0)
    os.waitpid(child, 0)


async def main():
    arguments = argparse.ArgumentParser(description="see the head of this file")
    arguments.add_argument("address", metavar="HOST:PORT")
    arguments.add_argument("--replace", action="store_true")
    arguments.add_argument("--page", action="store_true")
    arguments.add_argument("--lease", type=float, default=pgcachewatch_listener.LEASE)
    arguments.add_argument("--token")
    parsed = arguments.parse_args()
    url = f"ws://{parsed.address}/pgpubsub/{CHANNEL}"
    if parsed.page:
        return await watch_page(url)
    listener = Replaced(url)
    if not parsed.replace:
        listener = pgcachewatch_listener.Listener(url, lambda: parsed.token, parsed.lease)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, functools.partial(fork, listener))
    said = {}
    watching = [watch(name, listener, said) for name in STRATEGIES]
    await asyncio.gather(listener.follow(), *watching)


if __name__ == "__main__":
    # A proxy from the environment must not be used for a server on this machine.
    os.environ["NO_PROXY"] = "*"
    try:
        asyncio.run(main())
    except pgcachewatch_listener.Refused as refused:
        sys.exit(f"refused: {refused}")
