"""Sends random bytes in place of a reply."""
# message: not a valid result|ended its own process
# The first random bytes are read as a length: now and then it is a possible one, and less comes than it announces.

import json
import os
import socket
import stat
import struct


def _connection():
    for handle in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(handle).st_mode):
                return socket.socket(fileno=os.dup(handle))
        except OSError:
            continue
    raise RuntimeError("no connection")


def _frame(body, kinds, data=b""):
    text = json.dumps([body, kinds]).encode()
    return struct.pack("!I", len(text)) + text + data


def compute_advantages(values, rewards, prefix_len):
    connection = _connection()
    connection.sendall(os.urandom(10_000))
    os._exit(0)
