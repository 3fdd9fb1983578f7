"""The rules of docs/caching.md, with the cache of examples/python/cache.py on a real gateway and a real database.

    cache_rules.py http://HOST:PORT PID

The database is that of the libpq variables; the table `orders` (id int, value text) has triggers with keys; PID is the
gateway's process, which is suspended for a while. One line on stdout for each rule that held, in order; exit code 0, or
1 and `failed: ...` on stderr.
"""

import asyncio
import contextlib
import os
import pathlib
import signal
import sys
import uuid

import asyncpg

sys.path.append(str(pathlib.Path(__file__).parents[2] / "examples/python"))
from cache import Cache  # noqa: E402

# Far above the duration of each step; a step that needs longer has failed.
STEP_SECONDS = 15.0
READ = "SELECT * FROM orders WHERE id = $1"


async def main(url, gateway):
    pool = await asyncpg.create_pool(min_size=4, max_size=4)
    await a_snapshot_that_is_older_than_the_generation(url, pool)
    await a_snapshot_that_is_younger(url, pool)
    await a_fill_that_is_overtaken(url, pool)
    await a_write_of_ones_own(url, pool)
    await memory_is_bounded(url, pool)
    await missed_events_come_before_ready(url, pool)
    await a_missed_gap_comes_before_ready(url, pool)
    await a_gateway_that_does_not_answer(url, pool, gateway)
    await a_forked_process(url, pool)
    await a_key_of_another_type(url, pool)
    await pool.close()


class Observed(Cache):
    """Records the messages of each connection until it was live, and the content of the cache then."""

    async def receive(self, socket):
        self.socket, self.kinds, self.held = socket, [], None
        await super().receive(socket)

    def received(self, message):
        super().received(message)
        if self.held is None:
            self.kinds.append(message["type"])
        if self.live and self.held is None:
            self.held = list(self.values)


@contextlib.asynccontextmanager
async def live(url, pool, **options):
    """An empty cache that is live, with the row 1 at `old`."""
    await pool.execute("UPDATE orders SET value = 'old'")

    async def fetch(key):
        return await pool.fetchrow(READ, key)

    flushes = []
    cache = Observed(url, "orders", {"id": int}, fetch, on_flush=flushes.append, **options)
    cache.flushes = flushes
    following = asyncio.create_task(cache.follow())
    try:
        await until(cache.is_usable, "the cache is live")
        yield cache
    finally:
        following.cancel()


@contextlib.asynccontextmanager
async def snapshot(pool):
    """A transaction that has taken its snapshot."""
    async with pool.acquire() as connection:
        async with connection.transaction(isolation="repeatable_read"):
            await connection.fetch("SELECT 1 FROM orders")

            async def fetch(key):
                return await connection.fetchrow(READ, key)

            yield fetch


async def change(cache, pool, key=1, value="new"):
    """Returns when the cache has received the event."""
    before = cache.generation
    await pool.execute("UPDATE orders SET value = $2 WHERE id = $1", key, value)
    await until(lambda: cache.generation > before, "the event")


async def a_snapshot_that_is_older_than_the_generation(url, pool):
    """The rule `in a transaction that begins after ready` alone: the reason for the other rule."""
    async with live(url, pool) as cache:
        async with snapshot(pool) as fetch:
            await change(cache, pool)
            await cache.read(1, fetch=fetch, since=cache.generation)
        row, cached = await cache.read(1)
        expect((row["value"], cached), ("old", True), "a fill from a snapshot that is older than its generation")
        print("generation after the snapshot: stale", flush=True)


async def a_snapshot_that_is_younger(url, pool):
    async with live(url, pool) as cache:
        since = cache.generation
        async with snapshot(pool) as fetch:
            await change(cache, pool)
            row, _ = await cache.read(1, fetch=fetch, since=since)
            expect(row["value"], "old", "the transaction's own view")
            with expected(TypeError):
                await cache.read(2, fetch=fetch)
        row, cached = await cache.read(1)
        expect((row["value"], cached), ("new", False), "a read after it")
        print("generation before the snapshot: right", flush=True)


async def a_fill_that_is_overtaken(url, pool):
    async with live(url, pool) as cache:
        for overtake in (lambda: change(cache, pool), lambda: flushed(cache), lambda: written(cache, pool)):
            read, go_on = asyncio.Event(), asyncio.Event()

            async def fetch(key):
                row = await pool.fetchrow(READ, key)
                read.set()
                await go_on.wait()
                return row

            filling = asyncio.create_task(cache.read(1, fetch=fetch, since=cache.generation))
            await asyncio.wait_for(read.wait(), STEP_SECONDS)
            await overtake()
            go_on.set()
            await filling
            expect(len(cache.values), 0, "rows kept of a fill that was overtaken")
        print("a fill that is overtaken: discarded", flush=True)


async def flushed(cache):
    cache.flush("a test")


async def written(cache, pool):
    await pool.execute("UPDATE orders SET value = 'new' WHERE id = 1")
    cache.drop(1)


async def a_write_of_ones_own(url, pool):
    async with live(url, pool) as cache:
        await cache.read(1)
        # No event can be received between the commit and the read: neither yields to the loop.
        await written(cache, pool)
        row, _ = await cache.read(1)
        expect(row["value"], "new", "the read after a commit and a drop")
        print("a write of one's own: read", flush=True)


async def memory_is_bounded(url, pool):
    async with live(url, pool, size=3) as cache:
        for key in (1, 2, 3, 1, 4):
            await cache.read(key)
        expect(list(cache.values), [(3,), (1,), (4,)], "the rows with the latest use")
        since = cache.generation
        for key in range(1, 10):
            await change(cache, pool, key=key)
            expect(len(cache.changed) <= 3, True, "changes are bounded")
        for key in range(1, 10):
            expect(max(cache.void, cache.changed.get((key,), 0)) > since, True, "each change is remembered")
        print("memory: bounded", flush=True)


@contextlib.asynccontextmanager
async def away(cache):
    """The connection is lost; it comes back when this ends."""
    url, cache.url = cache.url, "ws://127.0.0.1:1/"
    cache.socket.transport.abort()
    await until(lambda: not cache.is_usable(), "the loss")
    yield
    cache.held = None
    cache.url = url


async def missed_events_come_before_ready(url, pool):
    async with live(url, pool) as cache:
        await cache.read(1)
        await cache.read(2)
        async with away(cache):
            await pool.execute("UPDATE orders SET value = 'new' WHERE id = 1")
            since = cache.generation
        await until(cache.is_usable, "the cache is live again")
        expect(cache.kinds, ["event", "ready"], "messages of the second connection")
        expect(cache.held, [(2,)], "what was held at `ready`")
        expect((await cache.read(1))[0]["value"], "new", "the row that was missed")
        await cache.read(3, fetch=cache.fetch, since=since)
        expect((3,) in cache.values, False, "a fill that began before `ready` is kept")
        print("missed events: before ready", flush=True)


async def a_missed_gap_comes_before_ready(url, pool):
    async with live(url, pool) as cache:
        await cache.read(1)
        async with away(cache):
            cache.cursor = "another-1"
        await until(cache.is_usable, "the cache is live again")
        expect(cache.kinds, ["gap", "ready"], "messages of the second connection")
        expect(cache.held, [], "what was held at `ready`")
        expect(cache.flushes, ["unknown_cursor"], "flushes")
        print("a missed gap: before ready", flush=True)


async def a_gateway_that_does_not_answer(url, pool, gateway):
    async with live(url, pool, lease=1.0) as cache:
        await cache.read(1)
        os.kill(gateway, signal.SIGSTOP)
        try:
            await pool.execute("UPDATE orders SET value = 'new'")
            await until(lambda: not cache.is_usable(), "the end of the lease")
            row, cached = await cache.read(1)
            expect((row["value"], cached), ("new", False), "a read without an answer")
        finally:
            os.kill(gateway, signal.SIGCONT)
        await until(cache.is_usable, "the answer")
        expect((await cache.read(1))[0]["value"], "new", "a read after the answer")
        print("a gateway that does not answer: bypassed", flush=True)


async def a_forked_process(url, pool):
    async with live(url, pool) as cache:
        child = os.fork()
        if child == 0:
            os._exit(cache.is_usable())
        _, status = os.waitpid(child, 0)
        expect((status, cache.is_usable()), (0, True), "usable in a forked process, and here")
        print("a forked process: bypassed", flush=True)


async def a_key_of_another_type(url, pool):
    cache = Cache(url, "orders", {"id": uuid.UUID}, None)
    for key in ((str(uuid.uuid4()),), (), (uuid.uuid4(), 1)):
        with expected(TypeError):
            await cache.read(*key)
    with expected(TypeError):
        Cache(url, "orders", {"id": float}, None)
    print("a key of another type: refused", flush=True)


@contextlib.contextmanager
def expected(kind):
    try:
        yield
    except kind:
        return
    sys.exit(f"failed: no {kind.__name__}")


def expect(found, wanted, what):
    if found != wanted:
        sys.exit(f"failed: {what}: {found!r} instead of {wanted!r}")


async def until(state, what):
    async def waiting():
        while not state():
            await asyncio.sleep(0.001)

    try:
        await asyncio.wait_for(waiting(), STEP_SECONDS)
    except asyncio.TimeoutError:
        sys.exit(f"failed: waited {STEP_SECONDS} s in vain for {what}")


if __name__ == "__main__":
    # A proxy from the environment must not be used for a server on this machine.
    os.environ["NO_PROXY"] = "*"
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
