"""A reader of /v1/ws on the `websockets` library: a third-party implementation.

    websocket_reader.py HOST:PORT --channel a --channel b [--cursor C] [--events N]

Each text frame is printed as one line as it came (--format raw: as a JSON
string, for a payload may have line ends). `--send TEXT` sends a frame first, and
may be repeated. The last line is `close CODE REASON`, or, without an upgrade,
`refused STATUS BODY`. Exit code 0: had its N events, or was stopped (SIGTERM,
SIGINT); 1: refused, or closed by the gateway; 3: --timeout.
"""

import argparse
import asyncio
import json
import signal
import sys
from urllib.parse import quote, urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


def main() -> None:
    sys.exit(asyncio.run(read(parse_arguments())))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="see the head of this file")
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("--channel", action="append", default=[])
    parser.add_argument("--cursor")
    parser.add_argument("--format", choices=("json", "raw"), default="json")
    parser.add_argument("--send", action="append", default=[], metavar="TEXT")
    parser.add_argument("--events", type=int, help="leave after so many")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for all")
    return parser.parse_args()


async def read(arguments: argparse.Namespace) -> int:
    try:
        # A proxy from the environment must not be used for a server on this
        # machine.
        async with connect(url(arguments), proxy=None) as socket:
            code = await read_socket(socket, arguments)
    except InvalidStatus as refused:
        response = refused.response
        print(f"refused {response.status_code} {response.body.decode()}", flush=True)
        return 1
    except OSError as error:
        print(f"websocket_reader: {error}", file=sys.stderr)
        return 1
    print(f"close {socket.close_code} {socket.close_reason}", flush=True)
    return code


def url(arguments: argparse.Namespace) -> str:
    query = [("channel", channel) for channel in arguments.channel]
    if arguments.cursor is not None:
        query.append(("cursor", arguments.cursor))
    query.append(("format", arguments.format))
    return f"ws://{arguments.address}/v1/ws?{urlencode(query, quote_via=quote)}"


async def read_socket(socket: ClientConnection, arguments: argparse.Namespace) -> int:
    reading = asyncio.create_task(read_frames(socket, arguments))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, reading.cancel)
    try:
        return await asyncio.wait_for(reading, arguments.timeout)
    except asyncio.CancelledError:
        return 0
    except asyncio.TimeoutError:
        print("websocket_reader: --timeout is over", file=sys.stderr)
        return 3
    except ConnectionClosed:
        return 1


async def read_frames(socket: ClientConnection, arguments: argparse.Namespace) -> int:
    for text in arguments.send:
        await socket.send(text)
    events = 0
    while events != arguments.events:
        frame = await socket.recv()
        if isinstance(frame, bytes):
            print(f"websocket_reader: a binary frame: {frame!r}", file=sys.stderr)
            return 1
        if arguments.format == "raw":
            print(json.dumps(frame), flush=True)
            events += 1
        else:
            print(frame, flush=True)
            events += json.loads(frame).get("type") == "event"
    return 0


if __name__ == "__main__":
    main()
