"""Brings the loopback interface up, then becomes the given command.

For a new network namespace, in which `lo` exists and is down. By ioctl
(netdevice(7)), because a small machine has no iproute2.
"""

import fcntl
import os
import socket
import struct
import sys

SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1


def bring_up(interface: str) -> None:
    """Sets IFF_UP; raises OSError without the right to change this network."""
    name = interface.encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", name, 0)
        answer = fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("h", answer, 16)
        request = struct.pack("16sh22x", name, flags | IFF_UP)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)


if __name__ == "__main__":
    bring_up("lo")
    os.execvp(sys.argv[1], sys.argv[1:])
