"""What comes over the wall is data or is refused, whatever comes."""

import json
import math
import socket
import struct
import time
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from rlhf_course.grading.sandbox.protocol import (
    DTYPES,
    Caps,
    ConnectionClosed,
    DeadlineExceeded,
    ProtocolError,
    receive,
    send,
)
from rlhf_course.grading.sandbox.serialization import Packer, unpack

CAPS = Caps(body_bytes=10_000, array_bytes=10_000, arrays=5)


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def received(data: bytes, caps: Caps = CAPS):
    one, other = socket.socketpair()
    with one, other:
        one.sendall(data)
        one.shutdown(socket.SHUT_WR)
        return receive(other, caps, time.monotonic() + 10)


def framed(message: object, data: bytes = b"") -> bytes:
    text = json.dumps(message).encode()
    return struct.pack("!I", len(text)) + text + data


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_a_tensor_of_each_dtype_arrives_as_it_was_sent(wire, dtype: torch.dtype):
    sent = [
        torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype),
        torch.tensor(1).to(dtype),
        torch.zeros(3, 0, 2, dtype=dtype),
    ]
    send(wire[0], {"a": 1}, sent)
    body, arrived = receive(wire[1], CAPS)
    assert body == {"a": 1}
    for one, other in zip(sent, arrived, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)


def test_rows_columns_and_transposed_tensors_arrive_with_their_own_numbers(wire):
    table = torch.arange(12.0).reshape(3, 4)
    sent = [table[:, 1], table[:1, 2], table.t(), table[1:, ::2], table[0].expand(2, 4)]
    send(wire[0], None, sent)
    assert all(torch.equal(one, other) for one, other in zip(sent, receive(wire[1], CAPS)[1], strict=True))


def test_bytes_that_are_no_bool_become_one():
    _, (came,) = received(framed([None, [["bool", [4]]]], bytes([0, 1, 2, 255])))
    assert came.view(torch.uint8).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    "kinds",
    [
        None,
        [["float32", [10**4]]],
        [["float32", [2**62, 2**62]]],
        [["float32", [-1]]],
        [["float32", [True]]],
        [["float32", [1.0]]],
        [["float32", [1] * 17]],
        [["float32", [0, 2**41]]],
        [["object", [1]]],
        [[["float32"], [1]]],
        [["float32", [1]]] * 6,
        [["uint8", [6000]], ["uint8", [6000]]],
        ["float32"],
        [["float32"]],
    ],
)
def test_arrays_that_cannot_be_or_are_too_large_are_refused_unread(kinds):
    with pytest.raises(ProtocolError):
        received(framed([None, kinds], bytes(10)))


def test_a_body_that_is_too_large_is_refused_unread():
    with pytest.raises(ProtocolError):
        received(struct.pack("!I", 2**32 - 1))


@settings(max_examples=200, deadline=None)
@given(some.binary(max_size=200) | some.binary(max_size=200).map(lambda data: struct.pack("!I", len(data)) + data))
def test_noise_is_refused(data: bytes):
    with pytest.raises((ProtocolError, ConnectionClosed)):
        received(data)


def test_a_message_that_does_not_end_is_late_however_it_drips(wire):
    wire[0].sendall(framed([None, [["uint8", [9]]]], bytes(8)))
    with pytest.raises(DeadlineExceeded):
        receive(wire[1], CAPS, time.monotonic() + 0.05)


def test_whoever_takes_nothing_is_late(wire):
    with pytest.raises(DeadlineExceeded):
        send(wire[0], None, [torch.zeros(2**22)], time.monotonic() + 0.05)


PLAIN = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**70), 2**70)
    | some.floats(allow_nan=False)
    | some.text(max_size=5),
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.tuples(inner, inner)
        | some.dictionaries(some.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(PLAIN)
def test_plain_values_arrive_as_they_were(value):
    packed = json.loads(json.dumps(Packer(100).pack(value)))
    assert unpack(packed, []) == value and type(unpack(packed, [])) is type(value)


JSON = some.recursive(
    some.none() | some.integers() | some.sampled_from(["list", "tuple", "dict", "tensor", "foreign", "int", "x"]),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=2), inner, max_size=2),
    max_leaves=20,
)


@settings(max_examples=400, deadline=None)
@given(JSON)
def test_json_that_no_packer_made_becomes_data_or_is_refused(node):
    try:
        value = unpack(node, [torch.zeros(2)])
    except ProtocolError:
        return
    assert (
        value is None
        or isinstance(value, int | str | list | tuple | dict | torch.Tensor)
        or type(value).__mro__[1].__name__ == "OpaqueObject"
    )


def test_a_tensor_that_occurs_twice_is_sent_once_and_stays_one():
    tensor = torch.ones(2)
    packer = Packer(100)
    one, (other, number) = unpack(packer.pack([tensor, (tensor, math.inf)]), packer.tensors)
    assert len(packer.tensors) == 1 and one is other and number == math.inf
