"""PGCacheWatch's WSEventQueue through the gateway, on the newest websockets.

    pgcachewatch_receive.py HOST:PORT [--events N]

N events sent by PGCacheWatch's emit_event, one transaction each, must come out
of the queue once, in order, with every field as it was sent. Its
connection_healthy() is not called: it reads `.closed` of the socket, which newer
releases of websockets do not have. Database by the libpq variables. Exit
code 0, or 1 and `failed: ...` on stderr.
"""

import argparse
import asyncio
import datetime
import itertools
import secrets
import sys
from typing import get_args

import asyncpg
import websockets
from pgcachewatch import listeners, models, utils

# Far above the total duration.
LIMIT_SECONDS = 30.0


def main() -> None:
    arguments = argparse.ArgumentParser(description="see the head of this file")
    arguments.add_argument("address", metavar="HOST:PORT")
    arguments.add_argument("--events", type=int, default=100, metavar="N")
    parsed = arguments.parse_args()
    receiving = receive(parsed.address, parsed.events)
    try:
        asyncio.run(asyncio.wait_for(receiving, LIMIT_SECONDS))
    except asyncio.TimeoutError:
        sys.exit(f"failed: not all of it came within {LIMIT_SECONDS} s")
    except (OSError, websockets.WebSocketException) as error:
        sys.exit(f"failed: {error}")
    print(f"received: {parsed.events} events, in order, with every field")


async def receive(address: str, number: int) -> None:
    channel = models.PGChannel(f"received_{secrets.token_hex(4)}")
    # A proxy from the environment must not be used for a server on this
    # machine.
    url = f"ws://{address}/pgpubsub/{channel}"
    async with websockets.connect(url, proxy=None) as socket:
        queue = listeners.WSEventQueue()
        await queue.connect(socket, channel)
        sent = make_events(channel, number)
        await emit(sent)
        for position, wanted in enumerate(sent):
            found = await queue.get()
            if found != wanted:
                sys.exit(f"failed: event {position}: {found!r} instead of {wanted!r}")
        if not queue.empty():
            sys.exit(f"failed: one too many: {queue.get_nowait()!r}")


def make_events(channel: models.PGChannel, number: int) -> list[models.Event]:
    operations = itertools.cycle(get_args(models.OPERATIONS))
    start = datetime.datetime.now(tz=datetime.timezone.utc)
    return [
        models.Event(
            channel=channel,
            operation=operation,
            sent_at=start + datetime.timedelta(microseconds=position),
            table=f'tåble "{position}"',
        )
        for position, operation in zip(range(number), operations)
    ]


async def emit(events: list[models.Event]) -> None:
    connection = await asyncpg.connect()
    for event in events:
        await utils.emit_event(connection, event)
    await connection.close()


if __name__ == "__main__":
    main()
