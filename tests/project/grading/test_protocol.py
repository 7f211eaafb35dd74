"""A message from a sandbox becomes data or is refused, whatever it holds."""

import json
import math
import socket
import struct
import time
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A pair of connected sockets."""
    sender, receiver = socket.socketpair()
    with sender, receiver:
        yield sender, receiver


def received(data: bytes, caps: Caps = CAPS):
    """Receive what a sender of these bytes sends."""
    sender, receiver = socket.socketpair()
    with sender, receiver:
        sender.sendall(data)
        sender.shutdown(socket.SHUT_WR)
        return receive(receiver, caps, time.monotonic() + 10)


def framed(message: object, data: bytes = b"") -> bytes:
    text = json.dumps(message).encode()
    return struct.pack("!I", len(text)) + text + data


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_a_tensor_of_each_dtype_arrives_as_it_was_sent(connection, dtype: torch.dtype):
    sent = [
        torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype),
        torch.tensor(1).to(dtype),
        torch.zeros(3, 0, 2, dtype=dtype),
    ]
    send(connection[0], {"a": 1}, sent)
    body, arrived = receive(connection[1], CAPS)
    assert body == {"a": 1}
    for before, after in zip(sent, arrived, strict=True):
        assert before.dtype == after.dtype and before.shape == after.shape and torch.equal(before, after)


def test_rows_columns_and_transposed_tensors_arrive_with_the_same_numbers(connection):
    table = torch.arange(12.0).reshape(3, 4)
    sent = [table[:, 1], table[:1, 2], table.t(), table[1:, ::2], table[0].expand(2, 4)]
    send(connection[0], None, sent)
    _, arrived = receive(connection[1], CAPS)
    assert all(torch.equal(before, after) for before, after in zip(sent, arrived, strict=True))


def test_a_byte_other_than_0_and_1_becomes_a_valid_bool():
    _, (tensor,) = received(framed([None, [["bool", [4]]]], bytes([0, 1, 2, 255])))
    assert tensor.view(torch.uint8).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    "headers",
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
def test_impossible_and_too_large_arrays_are_refused_before_they_are_read(headers):
    with pytest.raises(ProtocolError):
        received(framed([None, headers], bytes(10)))


def test_a_body_that_is_too_large_is_refused_before_it_is_read():
    with pytest.raises(ProtocolError):
        received(struct.pack("!I", 2**32 - 1))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: struct.pack("!I", len(data)) + data))
def test_noise_is_refused(data: bytes):
    with pytest.raises((ProtocolError, ConnectionClosed)):
        received(data)


def test_a_message_that_is_not_complete_at_the_deadline_is_refused(connection):
    connection[0].sendall(framed([None, [["uint8", [9]]]], bytes(8)))
    with pytest.raises(DeadlineExceeded):
        receive(connection[1], CAPS, time.monotonic() + 0.05)


def test_sending_ends_at_the_deadline_if_the_other_side_reads_nothing(connection):
    with pytest.raises(DeadlineExceeded):
        send(connection[0], None, [torch.zeros(2**22)], time.monotonic() + 0.05)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(PLAIN)
def test_plain_values_arrive_unchanged(value):
    packed = json.loads(json.dumps(Packer(100).pack(value)))
    assert unpack(packed, []) == value and type(unpack(packed, [])) is type(value)


JSON = st.recursive(
    st.none() | st.integers() | st.sampled_from(["list", "tuple", "dict", "tensor", "foreign", "int", "x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=20,
)


@settings(max_examples=400, deadline=None)
@given(JSON)
def test_any_json_becomes_data_or_is_refused(node):
    try:
        value = unpack(node, [torch.zeros(2)])
    except ProtocolError:
        return
    assert (
        value is None
        or isinstance(value, int | str | list | tuple | dict | torch.Tensor)
        or type(value).__mro__[1].__name__ == "OpaqueObject"
    )


def test_a_tensor_that_occurs_twice_is_sent_once_and_unpacked_as_one_object():
    tensor = torch.ones(2)
    packer = Packer(100)
    first, (second, number) = unpack(packer.pack([tensor, (tensor, math.inf)]), packer.tensors)
    assert len(packer.tensors) == 1 and first is second and number == math.inf


@pytest.mark.parametrize(
    "node",
    [
        ["list", *[["tensor", 0]] * 1000],
        ["list", *[["list", *[["tensor", 0]] * 30]] * 30],
        ["list", *[1.5] * 100_000],
        ["dict", ["key", 10**4000]],
        -(10**4000),
    ],
    ids=["one tensor often", "one tensor in many lists", "many numbers", "a huge integer", "a huge negative integer"],
)
def test_a_small_message_does_not_stand_for_a_value_of_any_size(node):
    with pytest.raises(ProtocolError):
        unpack(node, [torch.zeros(1000)])


def test_a_tensor_may_occur_a_few_times_in_a_value():
    tensor = torch.zeros(1000)
    packer = Packer(2**20)
    assert [value is packer.tensors[0] for value in unpack(packer.pack([tensor] * 3), packer.tensors)] == [True] * 3
