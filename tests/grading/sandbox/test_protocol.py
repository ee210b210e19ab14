"""What is sent comes back the same; what makes no sense is refused."""

import json
import socket
import struct
import threading
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.checks.compare import difference
from course_lib.grading.sandbox import protocol

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.tuples(st.integers()), inner, max_size=4)
    ),
    max_leaves=20,
)
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64]


def refuse(value):
    raise protocol.ProtocolError(f"{value!r} is no plain data")


def through(value):
    """There and back, over a real socket."""
    here, there = socket.socketpair()
    with here, there:
        buffers = []
        tree = protocol.encode(value, refuse, buffers)
        sender = threading.Thread(target=protocol.send, args=(here, {"value": tree}, buffers))
        sender.start()
        message, received, _ = protocol.receive(there, time.monotonic() + 10)
        sender.join()
    return protocol.decode(message["value"], refuse, received)


@given(plain)
def test_plain_data_comes_back(value):
    assert difference(value, through(value), 0.0) is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
def test_tensors_come_back(dtype, shape):
    value = torch.randint(0, 2, shape).to(dtype)
    back = through([value, {"views": value.transpose(0, -1) if value.ndim else value}])
    assert torch.equal(back[0], value) and back[0].dtype == dtype
    assert back[1]["views"].shape == (value.transpose(0, -1) if value.ndim else value).shape


def test_gradients_and_generators_come_along():
    leaf = torch.ones(2, requires_grad=True)
    (leaf * 3).sum().backward()
    back = through(leaf)
    assert back.requires_grad and torch.equal(back.grad, leaf.grad)
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(
        torch.rand(4, generator=through(generator)), torch.rand(4, generator=generator)
    )


def test_containers_of_other_classes_become_plain():
    from collections import Counter, OrderedDict

    back = through([Counter("aab"), OrderedDict(x=1), torch.zeros(2, 3).shape])
    assert [type(item) for item in back] == [dict, dict, tuple]


def test_other_objects_are_referred_to():
    with pytest.raises(protocol.ProtocolError, match="no plain data"):
        protocol.encode([object()], refuse, [])
    assert protocol.encode([1, max], lambda value: ["theirs", 1], []) == ["list", 1, ["theirs", 1]]


def test_too_deep_is_refused():
    value = []
    for _ in range(200):
        value = [value]
    with pytest.raises(protocol.ProtocolError, match="deep"):
        protocol.encode(value, refuse, [])


@pytest.mark.parametrize(
    "tree",
    [
        [],
        [1, 2],
        {"a": 1},
        ["bytes"],
        ["bytes", 3],
        ["dict", 1],
        ["dict", ["tuple", 1, 2, 3]],
        ["dict", ["tuple", ["list"], 2]],
        ["set", ["list"]],
        ["generator", 3],
        ["generator", ["tensor", "uint8", [1], 0, False, None]],
        ["tensor"],
        ["tensor", "float32", [2], 0, False, None],
        ["tensor", "float32", [-1], 0, False, None],
        ["tensor", "float32", [10**15], 0, False, None],
        ["tensor", "float32", "1", 0, False, None],
        ["tensor", "float32", [1.0], 0, False, None],
        ["tensor", "float32", [1], 7, False, None],
        ["tensor", "object", [1], 0, False, None],
        ["namespace", ["tuple", 1, 2]],
        ["no such kind", 1],
    ],
)
def test_nonsense_is_refused(tree):
    with pytest.raises(protocol.ProtocolError):
        protocol.decode(tree, refuse, [b"aaaa"])


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense" * 10,
        b"\xff" * 64,
        struct.pack("!II", 4, 0) + b"[[[[",
        struct.pack("!II", 2, 0) + b"[]",
        struct.pack("!II", 200_000, 0) + b"[" * 200_000,
        struct.pack("!IIQ", 2, 1, 2**60) + b"{}",
        b"",
    ],
)
def test_nonsense_on_the_line_is_refused(data):
    here, there = socket.socketpair()
    with there:
        with here:
            here.sendall(data)
        with pytest.raises(protocol.ProtocolError):
            protocol.receive(there, time.monotonic() + 5)


def test_silence_has_an_end():
    here, there = socket.socketpair()
    with here, there:
        with pytest.raises(protocol.TooSlow):
            protocol.receive(there, time.monotonic() + 0.1)
        here.sendall(struct.pack("!II", 10, 0) + json.dumps({}).encode())
        with pytest.raises(protocol.TooSlow):
            protocol.receive(there, time.monotonic() + 0.1)
