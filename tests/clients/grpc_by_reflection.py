"""A gRPC client without pgfan's proto.

It requests the descriptors of its calls from the server (server reflection, v1)
and builds its messages from the answer, like grpcurl; with --alpha it uses
grpcio-reflection's own database, which supports only v1alpha.

    grpc_by_reflection.py [--timeout S] [--alpha] HOST:PORT subscribe --channel a --events 3
    grpc_by_reflection.py [--timeout S] HOST:PORT publish a 'some payload'
    grpc_by_reflection.py [--timeout S] HOST:PORT health [SERVICE]

One JSON object a line: each message, by its field in the proto
(`{"event": {"id": ..., ...}}`), `{"published": {}}`, `{"status": "SERVING"}`, or
as the last line `{"end": {"code": "UNAVAILABLE", "message": ..., "reason": ...,
"domain": ..., "retry_seconds": ...}}`, the last three from the details of
google.rpc if present, with an empty code for a stream that ended normally. Exit
code 0: got its events, or was stopped (SIGTERM, SIGINT); 1: the server ended the
call; 2: wrong usage, or the service is unknown to reflection;
3: --timeout.

With `--pause` a subscriber reads nothing after `ready` until SIGUSR1.
"""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

import grpc
from google.protobuf import descriptor, descriptor_pb2, json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status

GATEWAY = "pgfan.v1.GatewayService"
HEALTH = "grpc.health.v1.Health"
# grpcio has only the messages of v1alpha; those of v1 have the same encoding.
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


def main() -> None:
    arguments = parse_arguments()
    # A proxy from the environment must not be used for a server on this machine.
    options = [("grpc.enable_http_proxy", 0)]
    if getattr(arguments, "pause", False):
        # Otherwise the client increases its window by megabytes that it does not
        # read.
        options.append(("grpc.http2.bdp_probe", 0))
    with grpc.insecure_channel(arguments.address, options) as channel:
        try:
            sys.exit(arguments.run(channel, arguments))
        except grpc.RpcError as error:
            sys.exit(ended(error))
        except KeyError as unknown:
            give_up(f"reflection does not know {unknown.args[0]}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="see the head of this file")
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument(
        "--timeout", type=float, default=30, help="seconds for the whole call"
    )
    parser.add_argument("--alpha", action="store_true")
    commands = parser.add_subparsers(required=True)

    subscribing = commands.add_parser("subscribe")
    subscribing.add_argument("--channel", action="append", default=[])
    subscribing.add_argument("--cursor", default="")
    subscribing.add_argument("--events", type=int, help="leave after so many")
    subscribing.add_argument("--pause", action="store_true")
    subscribing.set_defaults(run=subscribe)

    publishing = commands.add_parser("publish")
    publishing.add_argument("channel")
    publishing.add_argument("payload")
    publishing.set_defaults(run=publish)

    health = commands.add_parser("health")
    health.add_argument("service", nargs="?", default="")
    health.set_defaults(run=check_health)
    return parser.parse_args()


def subscribe(channel: grpc.Channel, arguments: argparse.Namespace) -> int:
    method = find_method(channel, GATEWAY, "Subscribe", arguments)
    request = {"channels": arguments.channel, "cursor": arguments.cursor}
    stream = call(channel, method, request, arguments.timeout)
    was_told = False

    def leave(*_: object) -> None:
        nonlocal was_told
        was_told = True
        stream.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    try:
        return read(stream, arguments)
    except grpc.RpcError:
        if was_told:
            return 0
        raise


def read(stream: Any, arguments: argparse.Namespace) -> int:
    goes_on = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: goes_on.set())
    events = 0
    for response in stream:
        line = as_dictionary(response)
        show(line)
        if "ready" in line and arguments.pause:
            goes_on.wait()
        events += "event" in line
        if events == arguments.events:
            stream.cancel()
            return 0
    show({"end": {"code": "", "message": ""}})
    return 1


def publish(channel: grpc.Channel, arguments: argparse.Namespace) -> int:
    method = find_method(channel, GATEWAY, "Publish", arguments)
    request = {"channel": arguments.channel, "payload": arguments.payload}
    response = call(channel, method, request, arguments.timeout)
    show({"published": as_dictionary(response)})
    return 0


def check_health(channel: grpc.Channel, arguments: argparse.Namespace) -> int:
    method = find_method(channel, HEALTH, "Check", arguments)
    request = {"service": arguments.service}
    show(as_dictionary(call(channel, method, request, arguments.timeout)))
    return 0


def find_method(
    channel: grpc.Channel, service: str, name: str, arguments: argparse.Namespace
) -> descriptor.MethodDescriptor:
    """Raises KeyError if the server's reflection does not know it."""
    if arguments.alpha:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        return pool.FindServiceByName(service).methods_by_name[name]
    pool = DescriptorPool()
    wanted = reflection_pb2.ServerReflectionRequest(file_containing_symbol=service)
    for file in files_with_imports(channel, wanted, arguments.timeout):
        pool.Add(file)
    return pool.FindServiceByName(service).methods_by_name[name]


def files_with_imports(
    channel: grpc.Channel,
    wanted: reflection_pb2.ServerReflectionRequest,
    timeout: float,
) -> Iterator[descriptor_pb2.FileDescriptorProto]:
    """The requested files, each after all its imports."""
    found = {file.name: file for file in ask_reflection(channel, wanted, timeout)}
    yielded = set[str]()

    def visit(name: str) -> Iterator[descriptor_pb2.FileDescriptorProto]:
        if name in yielded:
            return
        if name not in found:
            by_name = reflection_pb2.ServerReflectionRequest(file_by_filename=name)
            for file in ask_reflection(channel, by_name, timeout):
                found[file.name] = file
        for imported in found[name].dependency:
            yield from visit(imported)
        yielded.add(name)
        yield found[name]

    for name in list(found):
        yield from visit(name)


def ask_reflection(
    channel: grpc.Channel,
    request: reflection_pb2.ServerReflectionRequest,
    timeout: float,
) -> list[descriptor_pb2.FileDescriptorProto]:
    ask = channel.stream_stream(
        REFLECTION,
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    for response in ask(iter([request]), timeout=timeout):
        if response.HasField("error_response"):
            raise KeyError(f"{request!s}{response.error_response.error_message}")
        files = response.file_descriptor_response.file_descriptor_proto
        return [descriptor_pb2.FileDescriptorProto.FromString(file) for file in files]
    raise KeyError(f"{request!s}(no answer)")


def call(
    channel: grpc.Channel,
    method: descriptor.MethodDescriptor,
    request: dict[str, Any],
    timeout: float,
) -> Any:
    """One response, or an iterator of them if the method streams."""
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    response_class = message_factory.GetMessageClass(method.output_type)
    start = kind(
        f"/{method.containing_service.full_name}/{method.name}",
        lambda message: message.SerializeToString(),
        response_class.FromString,
    )
    message = message_factory.GetMessageClass(method.input_type)()
    return start(json_format.ParseDict(request, message), timeout=timeout)


def as_dictionary(message: Any) -> dict[str, Any]:
    """Every field by its name in the proto, including empty ones."""
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )


def ended(error: grpc.RpcError) -> int:
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        print("grpc_by_reflection: --timeout is over", file=sys.stderr)
        return 3
    end = {"code": error.code().name, "message": error.details()}
    show({"end": end | details(error)})
    return 1


def details(error: grpc.RpcError) -> dict[str, Any]:
    """Content of google.rpc's messages: grpcio-status checks that they agree with
    the status itself."""
    found: dict[str, Any] = {}
    status = rpc_status.from_call(error)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details if status else []:
        if detail.Unpack(info):
            found |= {"reason": info.reason, "domain": info.domain}
        elif detail.Unpack(retry):
            found["retry_seconds"] = retry.retry_delay.ToTimedelta().total_seconds()
    return found


def show(line: dict[str, Any]) -> None:
    print(json.dumps(line, ensure_ascii=False), flush=True)


def give_up(reason: str) -> NoReturn:
    print(f"grpc_by_reflection: {reason}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
