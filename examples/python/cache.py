"""A cache of rows that is never stale without knowing it: docs/caching.md, over WebSocket.

    apt install python3-websockets python3-asyncpg        (or pip, in a virtual environment)
    PGHOST=… PGDATABASE=… python3 examples/python/cache.py http://127.0.0.1:8000 orders

Where the database is, libpq's variables say. The table has a trigger of `pgfan triggers install --keys`, or is the one
of `pgfan demo`.
"""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from urllib.parse import urlencode

import asyncpg
import websockets


def ids(change):
    """Of the rows that changed: as `pgfan triggers install --keys` tells them, or as the demo's table does."""
    return [row["id"] for row in change["keys"]] if "keys" in change else [change["id"]]


class Cache:
    """Rows by their id. `read` is for the application, `follow` has to run beside it."""

    def __init__(self, url, channel, fetch):
        self.url = url.replace("http", "ws", 1) + "/v1/ws"
        self.channel, self.fetch = channel, fetch
        self.values, self.changes, self.flushes = {}, Counter(), 0
        self.live, self.cursor = False, None

    async def read(self, key):
        """The row, and whether it was in the cache."""
        if not self.live:
            return await self.fetch(key), False
        if key in self.values:
            return self.values[key], True
        before = self.flushes, self.changes[key]
        fresh = await self.fetch(key)
        # What was overtaken by a change or a gap may be the value of before it.
        if self.live and before == (self.flushes, self.changes[key]):
            self.values[key] = fresh
        return fresh, False

    def flush(self):
        self.flushes += 1
        self.values.clear()

    def heard(self, message):
        """One object of the gateway."""
        kind = message["type"]
        if kind in ("ready", "live"):
            self.live = True
        elif kind == "interrupted":
            self.live = False
        elif kind == "event":
            self.changed(message["payload"])
        elif kind == "unsubscribed":
            # The connection would go on, and nothing come on it.
            raise ConnectionError(f"{self.channel} was taken away")
        else:  # a gap, or what only a later gateway says
            self.flush()
            print("flushed:", message.get("reason", kind), flush=True)
        self.cursor = message.get("cursor") or message.get("id") or self.cursor

    def changed(self, payload):
        try:
            keys = ids(json.loads(payload))
        except (ValueError, KeyError, TypeError):
            keys = []
        if not keys or None in keys:
            return self.flush()  # it names no row: it may be any
        for key in keys:
            self.changes[key] += 1
            self.values.pop(key, None)

    async def follow(self):
        attempts = 0
        while True:
            query = {"channel": self.channel} | ({"cursor": self.cursor} if self.cursor else {})
            try:
                # Pings of its own: the library hides those of the gateway.
                url = f"{self.url}?{urlencode(query)}"
                async with websockets.connect(url, ping_interval=15, ping_timeout=15) as socket:
                    async for text in socket:
                        attempts = 0
                        self.heard(json.loads(text))
            except (OSError, websockets.WebSocketException) as error:
                print(error, file=sys.stderr)
            finally:
                self.live = False  # whatever ended it
            if not self.cursor:
                self.flush()
            await asyncio.sleep(random.uniform(0.5, 1) * min(10, 0.1 * 2**attempts))
            attempts += 1


async def main(url, table):
    # The primary, one statement a transaction: each fill begins after the events that were heard before it.
    pool = await asyncpg.create_pool(min_size=1, max_size=4)
    cache = Cache(url, table, lambda key: pool.fetchrow(f'SELECT * FROM "{table}" WHERE id = $1', key))
    following = asyncio.create_task(cache.follow())
    while not following.done():
        for key in range(1, 6):
            row, cached = await cache.read(key)
            print("cached" if cached else "read  ", dict(row), flush=True)
        await asyncio.sleep(0.2)
    await following


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: cache.py URL TABLE")
    try:
        asyncio.run(main(*sys.argv[1:]))
    except BrokenPipeError:  # nobody reads it any more
        # Python would try once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
