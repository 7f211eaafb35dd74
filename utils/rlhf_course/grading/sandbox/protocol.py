"""Send and receive messages between a judge and a sandbox: a JSON body, and tensors as raw bytes with dtype and shape.

The receiver trusts nothing: it checks sizes before it allocates memory, and it never unpickles an object.
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
_MAX_DIMENSIONS = 16
_MAX_ELEMENTS = 2**40
_MAX_JOINED_BYTES = 2**16
_LENGTH = struct.Struct("!I")


class ProtocolError(Exception):
    """An error for received bytes that are not a valid message, or exceed a cap."""


class ConnectionClosed(Exception):
    """An error for a connection that the other side has closed."""


class DeadlineExceeded(Exception):
    """An error for a message that the other side did not send, or read, completely in time."""


@dataclass(frozen=True)
class Caps:
    """The largest message that is accepted from the other side.

    Attributes:
        body_bytes: The size of the JSON.
        array_bytes: The size of all tensors together.
        arrays: The number of tensors.
    """

    body_bytes: int = 2**20
    array_bytes: int = 2**26
    arrays: int = 4096


UNCAPPED = Caps(2**31, 2**40, 2**31)


def send(connection: socket.socket, body: Any, tensors: Sequence[Tensor] = (), deadline: float | None = None) -> None:
    """Send a message.

    Args:
        connection: The socket to the other side.
        body: Anything that JSON can hold.
        tensors: Strided tensors with a dtype in `DTYPES`; they are sent without gradients.
        deadline: A time of `time.monotonic`; None waits without limit.

    Raises:
        ConnectionClosed: The other side has closed the connection.
        DeadlineExceeded: The other side did not read the message in time.
    """
    arrays = [tensor.detach().cpu().contiguous() for tensor in tensors]
    headers = [[str(array.dtype).removeprefix("torch."), list(array.shape)] for array in arrays]
    text = json.dumps([body, headers]).encode()
    parts: list[bytes | memoryview] = [_LENGTH.pack(len(text)), text]
    parts += [bytes_of(array) for array in arrays if array.numel()]
    if sum(map(len, parts)) < _MAX_JOINED_BYTES:
        parts = [b"".join(parts)]
    try:
        connection.settimeout(_seconds_left(deadline))
        for part in parts:
            connection.sendall(part)
    except TimeoutError as error:
        raise DeadlineExceeded from error
    except OSError as error:
        raise ConnectionClosed from error


def receive(connection: socket.socket, caps: Caps, deadline: float | None = None) -> tuple[Any, list[Tensor]]:
    """Receive a message.

    Args:
        connection: The socket to the other side. It cannot be used any more after an exception.
        caps: The largest message to accept.
        deadline: A time of `time.monotonic`; None waits without limit.

    Returns:
        The body and the tensors.

    Raises:
        ProtocolError: The received bytes are not a valid message, or exceed a cap.
        ConnectionClosed: The other side has closed the connection.
        DeadlineExceeded: The message did not arrive in time.
    """
    prefix = bytearray(_LENGTH.size)
    _receive_into(connection, memoryview(prefix), deadline)
    (length,) = _LENGTH.unpack(prefix)
    if length > caps.body_bytes:
        raise ProtocolError(f"the JSON has {length} bytes, the cap is {caps.body_bytes}")
    text = bytearray(length)
    _receive_into(connection, memoryview(text), deadline)
    body, headers = _parse(bytes(text))
    tensors = []
    for dtype, shape in _checked_headers(headers, caps):
        tensor = torch.empty(shape, dtype=torch.uint8 if dtype is torch.bool else dtype)
        if tensor.numel():
            _receive_into(connection, bytes_of(tensor), deadline)
        # A byte other than 0 and 1 is not a valid bool, so bools are received as integers and compared with 0.
        tensors.append(tensor != 0 if dtype is torch.bool else tensor)
    return body, tensors


def _parse(text: bytes) -> tuple[Any, Any]:
    try:
        body, headers = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise ProtocolError("the JSON is not a pair of a body and a list of arrays") from error
    return body, headers


def _checked_headers(headers: Any, caps: Caps) -> list[tuple[torch.dtype, list[int]]]:
    """Return the announced dtypes and shapes, after checking that each is possible and that all are within the caps."""
    if not isinstance(headers, list) or len(headers) > caps.arrays:
        raise ProtocolError("the arrays are not a list, or too many")
    checked, total = [], 0
    for header in headers:
        dtype, shape = _checked_header(header)
        total += math.prod(shape) * dtype.itemsize
        if total > caps.array_bytes:
            raise ProtocolError(f"the arrays have more than {caps.array_bytes} bytes")
        checked.append((dtype, shape))
    return checked


def _checked_header(header: Any) -> tuple[torch.dtype, list[int]]:
    """Return the dtype and the shape in a header, after checking that they are possible."""
    is_pair = isinstance(header, list) and len(header) == 2
    if not (is_pair and isinstance(header[0], str) and isinstance(header[1], list)):
        raise ProtocolError("an array has no dtype or no shape")
    dtype, shape = DTYPES.get(header[0]), header[1]
    if dtype is None or len(shape) > _MAX_DIMENSIONS or not all(type(size) is int and size >= 0 for size in shape):
        raise ProtocolError("an array has an unknown dtype or an impossible shape")
    if math.prod(max(1, size) for size in shape) > _MAX_ELEMENTS:
        raise ProtocolError("an array has an impossible shape")
    return dtype, shape


def bytes_of(tensor: Tensor) -> memoryview:
    """Return the memory of a contiguous, non-empty tensor as bytes."""
    # A contiguous row of a matrix with one column may keep the matrix's stride, and then cannot be viewed as bytes.
    flat = tensor.reshape(-1).as_strided((tensor.numel(),), (1,))
    return memoryview(flat.view(torch.uint8).numpy().data)


def _receive_into(connection: socket.socket, buffer: memoryview, deadline: float | None) -> None:
    """Receive exactly as many bytes as the buffer has."""
    received = 0
    while received < len(buffer):
        try:
            connection.settimeout(_seconds_left(deadline))
            count = connection.recv_into(buffer[received:])
        except TimeoutError as error:
            raise DeadlineExceeded from error
        except OSError as error:
            raise ConnectionClosed from error
        if count == 0:
            raise ConnectionClosed
        received += count


def _seconds_left(deadline: float | None) -> float | None:
    """Return the seconds until a deadline; None if there is none.

    Raises:
        TimeoutError: The deadline has passed.
    """
    if deadline is None:
        return None
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
