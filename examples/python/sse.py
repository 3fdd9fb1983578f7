"""Follows channels over SSE, with Python's standard library only.

    python3 examples/python/sse.py http://127.0.0.1:8000 orders

It reconnects automatically from the last cursor: the missed events, or one gap, arrive before `ready`.
PGFAN_TOKEN has the token if the gateway needs one.
"""

import http.client
import json
import os
import random
import sys
import time
from urllib.parse import urlencode, urlsplit

SILENCE = 30  # seconds: twice the gateway's --keepalive. A stream that is silent for this time is dead.


class Refused(Exception):
    """The gateway would refuse the next attempt too."""


def stream(url, channels, cursor):
    """One stream: pairs of the newest cursor and a message. A comment line is the keepalive of an idle stream."""
    address = urlsplit(url)
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    connection = kinds[address.scheme](address.netloc, timeout=SILENCE)
    query = [("channel", channel) for channel in channels]
    query += [("cursor", cursor)] if cursor else []
    try:
        token = os.environ.get("PGFAN_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", f"{address.path}/v1/sse?{urlencode(query)}", headers=headers)
        answer = connection.getresponse()
        if answer.status in (400, 401, 403, 404, 421):
            raise Refused(answer.read().decode())
        if answer.status != 200:
            raise OSError(f"status {answer.status}")
        message = None
        for line in answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                cursor = value
            elif name == "data":
                message = json.loads(value)
            elif name == "" and message:  # an empty line ends a message
                yield cursor, message
                message = None
    finally:
        connection.close()


def follow(url, channels):
    """All messages, endlessly; {"type": "disconnected"} at each end of a stream. Raises Refused."""
    cursor, attempts = None, 0
    while True:
        try:
            for cursor, message in stream(url, channels, cursor):
                attempts = 0
                yield message
        except (OSError, http.client.HTTPException) as error:
            print(error, file=sys.stderr)
        yield {"type": "disconnected"}
        if cursor is None:
            # Without a position to resume from, any event may have been missed.
            yield {"type": "gap", "reason": "no_cursor"}
        # With jitter, so that not all readers of a gateway reconnect at once.
        time.sleep(random.uniform(0.5, 1) * min(10, 0.1 * 2**attempts))
        attempts += 1


def main(url, *channels):
    for message in follow(url, channels):
        match message["type"]:
            case "event":
                print(message["channel"], message["payload"], flush=True)
            case "ready" | "live":
                print("-- live", flush=True)  # up to date: the cache may be used
            case "interrupted" | "disconnected":
                print("-- nothing is heard: bypass what you hold", flush=True)
            case "gap":
                print("-- something may be missing:", message["reason"], flush=True)
            case "error":
                print("-- the gateway ends it:", message["code"], flush=True)
            case _:
                print("-- unknown, so best taken for a gap", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: sse.py URL CHANNEL…")
    try:
        main(*sys.argv[1:])
    except Refused as refused:
        sys.exit(f"refused: {refused}")
    except BrokenPipeError:  # the reader of the pipe has ended
        # Python would write once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
