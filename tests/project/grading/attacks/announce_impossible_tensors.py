"""Announces tensors of impossible sizes and unknown kinds, each time another."""
# message: not a valid result

import json
import os
import random
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
    kinds = [
        ["float32", [2**40]],
        ["float32", [-1]],
        ["float32", [True, 3]],
        ["float64", [2**31, 0, 2**31]],
        ["object", [1]],
        ["float32", [1] * 1000],
        ["float32", "33"],
        [["float32"], [1]],
        ["float32", [1e3]],
        None,
    ]
    body = ["done", {"result": ["tensor", 0], "attached": [], "changed": []}]
    connection.sendall(_frame(body, [random.choice(kinds)]))
    os._exit(0)
