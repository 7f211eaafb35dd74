"""Sends a long reply one byte at a time, so that no single wait is ever long."""
# slow: waits for its deadline twice
# message: no result within 1 second
# limits: timeout=1

import json
import os
import socket
import stat
import struct
import time


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
    connection.sendall(struct.pack("!I", 1_000_000))
    while True:
        connection.sendall(b" ")
        time.sleep(0.01)
