"""Sends small replies that stand for very large values: a tensor ten thousand times, or a list of many numbers."""
# message: not a valid result

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
    length = 2**22
    bodies = [
        ({"result": ["list", *[["tensor", 0]] * 10_000], "attached": [], "changed": []}, [["uint8", [length]]]),
        ({"result": ["list", *[1] * 400_000], "attached": [], "changed": []}, []),
    ]
    body, kinds = bodies[len(values) % 2]
    connection.sendall(_frame(["done", body], kinds, bytes(length) if kinds else b""))
    os._exit(0)
