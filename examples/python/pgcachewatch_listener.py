"""A listener for PGCacheWatch 0.4.2 that reconnects, and flushes every cache before it is used again.

    pip install PGCacheWatch==0.4.2 websockets           (12 and the newest; copy this file beside your application)

    changes = Listener("ws://127.0.0.1:8000/pgpubsub/ch_pgcachewatch_table_change")

    @changes.cache(strategies.Greedy)                    # in place of @decorators.cache(strategies.Greedy(listener))
    async def orders(): ...

    following = asyncio.create_task(changes.follow())    # once in each process, after a fork; ends only when refused

PGCacheWatch's own WSEventQueue stays closed after a lost connection, and a cache whose listener is replaced still
holds the values from before the loss. Here a function's cache is bypassed while there is no connection, and cleared
by its first call after a reconnect.
"""

import asyncio
import json
import logging
import os
import random
import time
import weakref
from collections import deque

import websockets
from pgcachewatch import decorators, models

log = logging.getLogger(__name__)

LEASE = 15.0  # seconds for which an answer of the gateway proves the connection; three pings are sent in this time
MAX_EVENTS = 10_000  # queued for the next call of one function; one more clears its cache instead
LONGEST_PAUSE = 10.0  # seconds between two attempts to connect


class Refused(Exception):
    """The gateway would refuse the next attempt too."""


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


class Listener:
    """One connection for all cached functions of a process. `token` is called before each attempt to connect."""

    def __init__(self, url, token=lambda: None, lease=LEASE):
        self.url, self.token, self.lease = url, token, lease
        self.channel = models.PGChannel(url.rpartition("/")[2])
        self.flushes, self.process, self.proven = 0, None, None
        self.functions = weakref.WeakSet()

    def cache(self, strategy, statistics_callback=lambda _: None, **options):
        """Like PGCacheWatch's decorator. Each function has its own strategy: with a shared one, each function would
        miss the events that the other has taken from the queue."""

        def decorate(function):
            own = FlushingStrategy(self, strategy, options)
            self.functions.add(own)
            return decorators.cache(own, statistics_callback)(function)

        return decorate

    def flush(self):
        """Clears every cache; call it also after your own commit whose result you read at once."""
        self.flushes += 1

    def connection_healthy(self):
        # A forked process has a copy of this object and no task that receives. After a sleep of the machine, a stopped
        # process or a dead network, events may wait unread until the gateway has answered again.
        is_proven = self.proven is not None and clock() - self.proven < self.lease
        return is_proven and self.process == os.getpid()

    async def follow(self):
        """Receives until it is cancelled; raises Refused if the gateway would refuse the next attempt too."""
        attempts = 0
        while True:
            token, began = self.token(), clock()
            # Both client APIs of websockets can send the token in this header.
            protocols = ["pgfan.v1", f"pgfan.bearer.{token}"] if token else None
            try:
                async with websockets.connect(self.url, subprotocols=protocols, ping_interval=None) as socket:
                    await self._receive(socket)
            except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as error:
                why = refusal(error)
                if why and token == self.token():
                    log.error("refused, caches stay bypassed: %s", why)
                    raise Refused(why) from error
                log.warning("caches are bypassed: %s", error)
            attempts = attempts + 1 if clock() - began < LONGEST_PAUSE else 0
            await asyncio.sleep(random.uniform(0.5, 1) * min(LONGEST_PAUSE, 0.1 * 2**attempts))

    async def _receive(self, socket):
        """Receives events; LISTEN has committed. Flushes first: changes while disconnected are unknown."""
        self.flush()
        self.process, self.proven = os.getpid(), clock()
        log.info("caches are live")
        beat = asyncio.create_task(self._beat(socket))
        try:
            async for text in socket:
                self._received(text)
        finally:
            # Here, and not after the closing handshake, which may take long.
            self.proven = None
            beat.cancel()

    async def _beat(self, socket):
        """Sends pings. An answer arrives after all earlier events, so it proves more than an open connection."""
        try:
            while True:
                asked = clock()
                await asyncio.wait_for(await socket.ping(), self.lease)
                self.proven = asked
                await asyncio.sleep(self.lease / 3)
        except (asyncio.TimeoutError, websockets.ConnectionClosed):
            await socket.close()

    def _received(self, text):
        try:
            event = models.Event.model_validate(json.loads(text) | {"channel": self.channel})
        except (ValueError, TypeError):
            # PGCacheWatch would drop it; any row may have changed.
            log.warning("not an event of PGCacheWatch, all caches are flushed: %.100r", text)
            return self.flush()
        for function in self.functions:
            function.add(event)


class FlushingStrategy:
    """The strategy of one cached function, with the queue of events for PGCacheWatch's strategy inside it."""

    def __init__(self, listener, strategy, options):
        self.listener, self.flushes, self.events = listener, 0, deque()
        self.strategy = strategy(listener=self, **options)

    def connection_healthy(self):
        return self.listener.connection_healthy()

    def add(self, event):
        if len(self.events) == MAX_EVENTS:
            self.flushes = None  # acts as a flush
            self.events.clear()
        self.events.append(event)

    def get_nowait(self):
        if not self.events:
            raise asyncio.QueueEmpty
        return self.events.popleft()

    def clear(self):
        """Called before each use of the cache. A gap cannot be passed to a strategy: some clear at no single event."""
        if self.flushes != self.listener.flushes:
            self.flushes = self.listener.flushes
            self.events.clear()
            return True
        # A strategy reads for a millisecond. It is called until the queue is empty, so that no call ignores an event.
        while waiting := len(self.events):
            if self.strategy.clear() or len(self.events) == waiting:
                return True
        return False
