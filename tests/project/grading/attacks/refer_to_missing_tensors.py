"""Refers to tensors that it did not send, and to arguments that it did not receive."""
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
    body = random.choice(
        [
            {"result": ["tensor", -1], "attached": [], "changed": []},
            {"result": ["tensor", 10**9], "attached": [0], "changed": []},
            {"result": ["list", ["dict", [["list"], 1]]], "attached": [], "changed": []},
            {"result": None, "attached": [0, True, "0"], "changed": [[99, ["tensor", 0]]]},
            {"result": ["foreign", "<script>alert(1)</script>"], "attached": [], "changed": [[0, 1]]},
        ]
    )
    connection.sendall(_frame(["done", body], []))
    os._exit(0)
