"""Talks to the network and to every socket on the machine."""
# message: ConnectionError

import ctypes
import os
import socket


def compute_advantages(values, rewards, prefix_len):
    reached = []
    for family, address in (
        (socket.AF_INET, ("1.1.1.1", 53)),
        (socket.AF_INET, ("127.0.0.1", 22)),
        (socket.AF_UNIX, "\0abstract"),
    ):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
            try:
                socket.socket(family, kind).connect(address)
                reached.append(address)
            except OSError:
                continue
    try:
        socket.getaddrinfo("pypi.org", 443)
        reached.append("a name server")
    except OSError:
        pass
    if ctypes.CDLL(None).socket(16, 3, 0) >= 0:  # netlink
        reached.append("the kernel")
    if reached:
        os._exit(17)
    raise ConnectionError("nobody there")
