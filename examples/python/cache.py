"""A cache of rows that is never stale without knowing it: docs/caching.md, over WebSocket.

    apt install python3-websockets python3-asyncpg        (or pip, in a virtual environment; Python 3.11 or newer)
    PGHOST=… PGDATABASE=… python3 examples/python/cache.py http://127.0.0.1:8000 orders

The libpq variables name the database, PGFAN_TOKEN has the token if the gateway asks for one. The table has a trigger
of `pgfan triggers install --keys`, or is the one of `pgfan demo`.
"""

import asyncio
import json
import os
import random
import sys
import time
import uuid
from collections import OrderedDict, deque
from datetime import date, datetime
from decimal import Decimal
from urllib.parse import urlencode

import asyncpg
import websockets

SIZE = 10_000  # maximum number of rows, and of changes remembered for running fills
LEASE = 15.0  # seconds for which an answer of the gateway proves the connection; three pings are sent in this time
LONGEST_PAUSE = 10.0  # seconds between two attempts to connect


class Refused(Exception):
    """The gateway would refuse the next attempt too."""


def from_bytea(text):
    if not text.startswith("\\x"):
        raise ValueError(f"not bytea in hex: {text!r}")
    return bytes.fromhex(text[2:])


# Parsers for a payload's text; other types are called: UUID(text), Decimal(text), Color(text).
PARSERS = {
    bool: {"true": True, "false": False}.__getitem__,
    bytes: from_bytea,
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
}


def as_key(kind, value):
    """One column of a key, of a payload or of a row, as the application has it; ValueError if it is invalid.

    The application's own key is not converted to text: equal keys (1.5 and 1.50, an instant in two time zones) are
    equal in Python, and their texts are not."""
    if isinstance(value, kind):
        return value
    if kind is Decimal and isinstance(value, int):
        return Decimal(value)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a {kind.__name__}")
    return PARSERS.get(kind, kind)(value)


def clock():
    """Seconds, including the time in which the machine slept."""
    if hasattr(time, "clock_gettime"):
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
    return time.monotonic()


def refusal(error):
    """The reason why another attempt is useless; None if it may succeed."""
    if isinstance(error, websockets.InvalidURI):
        return str(error)
    if isinstance(error, websockets.ConnectionClosed):
        end = error.rcvd
        return f"closed with {end.code}: {end.reason}" if end and end.code in (1008, 4401, 4403) else None
    # The name depends on the release of websockets.
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    reason = (getattr(response, "body", None) or b"").decode(errors="replace")
    return f"status {status} {reason}" if status in (400, 401, 403, 404, 421) else None


class Cache:
    """Rows by their primary key. The application calls `read`; `follow` has to run concurrently, in each process.

    `key` names the columns and their types: {"id": int}, {"shop": uuid.UUID, "number": int}.
    `fetch(*key)` reads one row from the primary, in a transaction that begins with it.
    `token()` is called before each attempt to connect, `on_flush(why)` after each flush."""

    def __init__(self, url, channel, key, fetch, token=lambda: None, on_flush=lambda why: None, size=SIZE, lease=LEASE):
        if float in key.values():
            raise TypeError("PostgreSQL's text of a real is not Python's: take another key than a float")
        self.url = url.replace("http", "ws", 1) + "/v1/ws"
        self.channel, self.key, self.fetch, self.token = channel, key, fetch, token
        self.on_flush, self.size, self.lease = on_flush, size, lease
        self.values = OrderedDict()
        # Incremented by every event and flush. A fill that began at an older generation than its key's last change, or
        # than `void`, may have read the value from before.
        self.generation, self.changed, self.void = 0, {}, 0
        self.live, self.cursor, self.process, self.proven = False, None, None, 0.0

    async def read(self, *key, fetch=None, since=None):
        """The row, and whether it was in the cache.

        To read in a transaction of your own: `since = cache.generation` first, then begin the transaction, and then
        `await cache.read(key, fetch=…, since=since)`."""
        self.check(key)
        if not self.is_usable():
            return await (fetch or self.fetch)(*key), False
        if key in self.values:
            self.values.move_to_end(key)
            return self.values[key], True
        if since is None:
            if fetch:
                raise TypeError("a `fetch` of your own needs the generation from before its transaction: `since`")
            since = self.generation
        row = await (fetch or self.fetch)(*key)
        if self.is_usable() and max(self.void, self.changed.get(key, 0)) <= since and self.is_of(row, key):
            self.values[key] = row
            if len(self.values) > self.size:
                self.values.popitem(last=False)  # the least recently used
        return row, False

    def drop(self, *key):
        """Call after your own commit that changed this row: its event arrives later than your next read."""
        self.check(key)
        self.generation += 1
        if len(self.changed) >= self.size:
            # Running fills are discarded; later ones do not need earlier changes.
            self.void = self.generation
            self.changed.clear()
        self.changed[key] = self.generation
        self.values.pop(key, None)

    def flush(self, why):
        self.generation += 1
        self.void = self.generation
        self.changed.clear()
        self.values.clear()
        self.on_flush(why)

    def check(self, key):
        """A key of another type would never be invalidated: a UUID's text is not the UUID."""
        if len(key) != len(self.key):
            raise TypeError(f"a key has {len(self.key)} columns, not {len(key)}")
        for part, (column, kind) in zip(key, self.key.items()):
            if not isinstance(part, kind):
                raise TypeError(f"{column} is a {kind.__name__}, not a {type(part).__name__}: {part!r}")

    def is_of(self, row, key):
        """Whether the row contains this key. It may not: 'A' finds 'a' in citext, and the event names 'a'. A row that
        does not exist has no key, and is not stored."""
        return row is not None and self.key_in(row) == key

    def key_in(self, columns):
        return tuple(as_key(kind, columns[column]) for column, kind in self.key.items())

    def is_usable(self):
        # A forked process has a copy of this object and no task that receives. After a sleep of the machine, a stopped
        # process or a dead network, events may wait unread until the gateway has answered again.
        return self.live and self.process == os.getpid() and clock() - self.proven < self.lease

    def received(self, message):
        """Processes one message. Missed events, or the gap, come before `ready`."""
        kind = message["type"]
        if kind in ("ready", "live"):
            self.generation += 1
            self.void = self.generation  # discards earlier fills
            self.live = True
        elif kind == "interrupted":
            self.live = False
        elif kind == "event":
            self.change(message["payload"])
        elif kind == "unsubscribed":
            # The connection would continue without events.
            raise ConnectionError(f"{self.channel} was taken away")
        else:  # a gap, or a message of a later version
            self.flush(message.get("reason", kind))
        self.cursor = message.get("cursor") or message.get("id") or self.cursor

    def change(self, payload):
        try:
            told = json.loads(payload, parse_float=Decimal)
            # The format of `pgfan triggers install --keys`, or of the demo's table.
            keys = [self.key_in(row) for row in told.get("keys", [told])]
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
            keys = []
        if not keys:
            self.flush("an event that names no row")  # any row may have changed
        for key in keys:
            self.drop(*key)

    async def follow(self):
        """Receives until it is cancelled; raises Refused if the gateway would refuse the next attempt too."""
        attempts = 0
        while True:
            token, began = self.token(), clock()
            query = {"channel": self.channel} | ({"cursor": self.cursor} if self.cursor else {})
            protocols = ["pgfan.v1", f"pgfan.bearer.{token}"] if token else None
            try:
                url = f"{self.url}?{urlencode(query)}"
                async with websockets.connect(url, subprotocols=protocols, ping_interval=None) as socket:
                    await self.receive(socket)
            except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as error:
                print(error, file=sys.stderr)
                why = refusal(error)
                if why and token == self.token():
                    raise Refused(why) from error
            if not self.cursor:
                self.flush("no cursor to resume from")
            attempts = attempts + 1 if clock() - began < LONGEST_PAUSE else 0
            await asyncio.sleep(random.uniform(0.5, 1) * min(LONGEST_PAUSE, 0.1 * 2**attempts))

    async def receive(self, socket):
        self.process, self.proven = os.getpid(), clock()
        beat = asyncio.create_task(self.beat(socket))
        try:
            async for text in socket:
                self.received(json.loads(text))
        finally:
            # Here, and not after the closing handshake, which may take long.
            self.live = False
            beat.cancel()

    async def beat(self, socket):
        """Sends pings. An answer arrives after all earlier events, so it proves more than an open connection."""
        try:
            while True:
                asked = clock()
                await asyncio.wait_for(await socket.ping(), self.lease)
                self.proven = asked
                await asyncio.sleep(self.lease / 3)
        except (asyncio.TimeoutError, websockets.ConnectionClosed):
            await socket.close()


# Types of a primary key with the same equality in Python. Not supported: char(n) and citext ('a' and 'A'), real.
KINDS = {
    **dict.fromkeys(("int2", "int4", "int8"), int),
    **dict.fromkeys(("text", "varchar"), str),
    **dict.fromkeys(("timestamp", "timestamptz"), datetime),
    "bool": bool,
    "bytea": bytes,
    "date": date,
    "numeric": Decimal,
    "uuid": uuid.UUID,
}

PRIMARY_KEY = """
    SELECT attname, CASE typtype WHEN 'e' THEN 'text' ELSE typname END AS kind
    FROM pg_index
    CROSS JOIN unnest(indkey) WITH ORDINALITY AS part (attnum, position)
    JOIN pg_attribute USING (attnum)
    JOIN pg_type ON pg_type.oid = atttypid
    WHERE indrelid = $1::text::regclass AND attrelid = indrelid AND indisprimary AND position <= indnkeyatts
    ORDER BY position"""


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


async def main(url, table):
    pool = await asyncpg.create_pool(min_size=1, max_size=4)
    types = dict(await pool.fetch(PRIMARY_KEY, quoted(table)))
    if not types or not KINDS.keys() >= set(types.values()):
        sys.exit(f"the primary key of {table} must have columns of {', '.join(KINDS)}, or of an enum: {types}")
    key = {column: KINDS[kind] for column, kind in types.items()}
    columns = ", ".join(map(quoted, key))
    placeholders = ", ".join(f"${n + 1}" for n in range(len(key)))
    rows = await pool.fetch(f"SELECT {columns} FROM {quoted(table)} ORDER BY {columns} LIMIT 5")

    async def fetch(*key):  # a single statement is its own transaction
        return await pool.fetchrow(f"SELECT * FROM {quoted(table)} WHERE ({columns}) = ({placeholders})", *key)

    flushes = deque(maxlen=100)  # the newest ones, until they are printed
    cache = Cache(url, table, key, fetch, lambda: os.environ.get("PGFAN_TOKEN"), flushes.append)
    following = asyncio.create_task(cache.follow())
    while not following.done():
        while flushes:
            print("flushed:", flushes.popleft(), flush=True)
        for row in rows:
            row, cached = await cache.read(*cache.key_in(row))
            print("cached" if cached else "read  ", row and dict(row), flush=True)
        await asyncio.sleep(0.2)
    await following


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: cache.py URL TABLE")
    try:
        asyncio.run(main(*sys.argv[1:]))
    except Refused as refused:
        sys.exit(f"refused: {refused}")
    except BrokenPipeError:  # the reader of the pipe has ended
        # Python would write once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
