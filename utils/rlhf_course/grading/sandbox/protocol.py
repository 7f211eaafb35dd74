"""Messages between a judge and a sandbox: a JSON body, and tensors as raw bytes with their dtype and shape.

Whoever receives trusts nothing: sizes are checked before anything is allocated, and no object is rebuilt from what comes.
"""

import json
import math
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.float16, torch.bfloat16, torch.float32, torch.float64,
    )
}  # fmt: skip
_DIMENSIONS = 16
_ENTRIES = 2**40
_LENGTH = struct.Struct("!I")


class ProtocolError(Exception):
    """What came is no message, or is larger than is taken."""


class ConnectionClosed(Exception):
    """The other side has closed."""


class DeadlineExceeded(Exception):
    """The other side did not send, or take, a whole message in time."""


@dataclass(frozen=True)
class Caps:
    """What is taken from the other side.

    Attributes:
        body_bytes: of a message's JSON.
        array_bytes: of its tensors together.
        arrays: how many tensors.
    """

    body_bytes: int = 2**20
    array_bytes: int = 2**26
    arrays: int = 4096


UNCAPPED = Caps(2**31, 2**40, 2**31)


def send(connection: socket.socket, body: Any, tensors: Sequence[Tensor] = (), deadline: float | None = None) -> None:
    """Send a message.

    Args:
        tensors: plain ones, of a dtype in `DTYPES`; sent without gradients.
        deadline: by `time.monotonic`; None to wait for ever.

    Raises:
        ConnectionClosed, DeadlineExceeded: the other side has closed, or takes nothing.
    """
    arrays = [tensor.detach().cpu().contiguous() for tensor in tensors]
    kinds = [[str(one.dtype).removeprefix("torch."), list(one.shape)] for one in arrays]
    text = json.dumps([body, kinds]).encode()
    parts = [_LENGTH.pack(len(text)), text, *(bytes_of(one) for one in arrays if one.numel())]
    try:
        connection.settimeout(_left(deadline))
        for part in [b"".join(parts)] if sum(map(len, parts)) < 2**16 else parts:
            connection.sendall(part)
    except TimeoutError as error:
        raise DeadlineExceeded from error
    except OSError as error:
        raise ConnectionClosed from error


def receive(connection: socket.socket, caps: Caps, deadline: float | None = None) -> tuple[Any, list[Tensor]]:
    """Receive a message: its body, and its tensors.

    Raises:
        ProtocolError, ConnectionClosed, DeadlineExceeded: see there. After any of them the connection is of no more use.
    """
    (length,) = _LENGTH.unpack(_read(connection, bytearray(_LENGTH.size), deadline))
    if length > caps.body_bytes:
        raise ProtocolError(f"{length} bytes of JSON; {caps.body_bytes} are taken")
    body, kinds = _parsed(bytes(_read(connection, bytearray(length), deadline)))
    tensors = []
    for dtype, shape in _checked(kinds, caps):
        stored = torch.uint8 if dtype is torch.bool else dtype
        tensor = torch.empty(shape, dtype=stored)
        if tensor.numel():
            _read(connection, bytes_of(tensor), deadline)
        # A byte that is neither 0 nor 1 is no bool, and must not become one by being called one.
        tensors.append(tensor != 0 if dtype is torch.bool else tensor)
    return body, tensors


def _parsed(text: bytes) -> tuple[Any, Any]:
    try:
        body, kinds = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise ProtocolError("no JSON of a body and of arrays") from error
    return body, kinds


def _checked(kinds: Any, caps: Caps) -> list[tuple[torch.dtype, list[int]]]:
    """The announced dtypes and shapes, all of them possible and together not too large."""
    if not isinstance(kinds, list) or len(kinds) > caps.arrays:
        raise ProtocolError("no list of arrays, or too long a one")
    found, total = [], 0
    for kind in kinds:
        if not (isinstance(kind, list) and len(kind) == 2 and isinstance(kind[0], str) and isinstance(kind[1], list)):
            raise ProtocolError("an array without dtype and shape")
        dtype, shape = DTYPES.get(kind[0]), kind[1]
        if dtype is None or len(shape) > _DIMENSIONS or not all(type(size) is int and size >= 0 for size in shape):
            raise ProtocolError("an array of an unknown dtype or an impossible shape")
        if math.prod(max(1, size) for size in shape) > _ENTRIES:
            raise ProtocolError("an array of an impossible shape")
        total += math.prod(shape) * dtype.itemsize
        if total > caps.array_bytes:
            raise ProtocolError(f"more than {caps.array_bytes} bytes of arrays")
        found.append((dtype, shape))
    return found


def bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor that is not empty."""
    # One row of a matrix with one column may keep the matrix's stride, with which bytes cannot be viewed.
    flat = tensor.reshape(-1).as_strided((tensor.numel(),), (1,))
    return memoryview(flat.view(torch.uint8).numpy())


def _read(connection: socket.socket, buffer: Any, deadline: float | None) -> Any:
    """Fill a buffer."""
    view, done = memoryview(buffer), 0
    while done < len(view):
        try:
            connection.settimeout(_left(deadline))
            count = connection.recv_into(view[done:])
        except TimeoutError as error:
            raise DeadlineExceeded from error
        except OSError as error:
            raise ConnectionClosed from error
        if count == 0:
            raise ConnectionClosed
        done += count
    return buffer


def _left(deadline: float | None) -> float | None:
    """Seconds to a deadline.

    Raises:
        TimeoutError: it has passed.
    """
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
