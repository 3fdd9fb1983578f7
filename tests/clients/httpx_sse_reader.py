"""httpx-sse in a program that reconnects: each message's payload, or its type.

    python tests/clients/httpx_sse_reader.py URL
"""

import sys
import time

import httpx
from httpx_sse import connect_sse


def read(client, url, last):
    """Reads until the stream ends; returns the newest id, or None after the stop message."""
    headers = {"Last-Event-ID": last} if last else {}
    try:
        with connect_sse(client, "GET", url, headers=headers) as source:
            print("open", flush=True)
            for event in source.iter_sse():
                message = event.json()
                print(message.get("payload", message["type"]), flush=True)
                last = event.id
                if message.get("payload") == "stop":
                    return None
    except httpx.TransportError:
        pass
    return last


def main():
    last = ""
    with httpx.Client(timeout=30) as client:
        while last is not None:
            last = read(client, sys.argv[1], last)
            time.sleep(0.1)


main()
