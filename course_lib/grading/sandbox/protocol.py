"""What judge and sandbox send each other: plain data, nothing that executes when it is read.

A message is a JSON tree and, beside it, the raw bytes of the tensors in it. Only exact, known types
travel as values. Anything else stays where it is and travels as a reference; what a reference
means is for the two ends to say (`refer` and `resolve`). No pickle, no `torch.load`.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from math import prod
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from course_lib.grading.sandbox import policy

_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
        torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128,
    )
}  # fmt: skip
_HEAD = struct.Struct("!II")
_LENGTH = struct.Struct("!Q")
_PER_CHARACTER = 16  # bytes of Python's objects for a byte of JSON, at most about

Tree = Any  # None, bool, int, float, str, or a list whose first item says what the rest is


class ProtocolError(Exception):
    """A message that is too large, too deep, cut off, or makes no sense."""


class TooSlow(ProtocolError):
    """No whole message came in time."""


# --- values to trees -------------------------------------------------------------------------


def encode(value: Any, refer: Callable[[Any], Tree], buffers: list[bytes], depth: int = 0) -> Tree:
    """A value as a tree; the bytes of its tensors are added to `buffers`.

    Subclasses of containers travel as the plain container. What is no plain data is handed to
    `refer`, which returns a tree for it.

    Raises:
        ProtocolError: nested too deeply, or plainly too large.
    """
    if depth > policy.MAX_DEPTH:
        raise ProtocolError(f"the value is nested more than {policy.MAX_DEPTH} deep")
    sized = isinstance(value, str | bytes | list | tuple | set | frozenset | dict)
    if sized and len(value) > policy.MAX_TEXT:  # before time and memory are spent on it
        raise ProtocolError("the value is too large")

    def inner(items: Any) -> list[Tree]:
        return [encode(item, refer, buffers, depth + 1) for item in items]

    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Tensor):
        return _encode_tensor(value, refer, buffers, depth)
    if type(value) is bytes:
        return ["bytes", value.decode("latin-1")]
    if isinstance(value, list):
        return ["list", *inner(value)]
    if isinstance(value, tuple):
        return ["tuple", *inner(value)]
    if isinstance(value, set | frozenset):
        kind = "set" if isinstance(value, set) else "frozenset"
        return [kind, *inner(value)]
    if isinstance(value, dict):
        return ["dict", *inner(value.items())]
    if type(value) is SimpleNamespace:
        return ["namespace", *inner(vars(value).items())]
    if type(value) is torch.Generator:
        return ["generator", encode(value.get_state(), refer, buffers)]
    return refer(value)


def _encode_tensor(
    value: Tensor, refer: Callable[[Any], Tree], buffers: list[bytes], depth: int
) -> Tree:
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype not in _DTYPES or value.layout != torch.strided or value.device.type != "cpu":
        return refer(value)
    if value.numel() * value.element_size() > policy.MAX_BYTES:
        raise ProtocolError("the tensor is too large")
    flat = value.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    buffers.append(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    gradient = value.grad if value.is_leaf else None
    return [
        "tensor",
        dtype,
        list(value.shape),
        len(buffers) - 1,
        value.requires_grad,
        None if gradient is None else encode(gradient, refer, buffers, depth + 1),
    ]


def decode(tree: Tree, resolve: Callable[[list[Tree]], Any], buffers: list[bytes]) -> Any:
    """The value of a tree. Lists with an unknown first item are handed to `resolve`.

    Raises:
        ProtocolError: the tree makes no sense.
    """
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    if not isinstance(tree, list) or not tree or not isinstance(tree[0], str):
        raise ProtocolError("a message that makes no sense")
    kind, *items = tree
    if kind == "tensor":
        return _decode_tensor(items, resolve, buffers)
    if kind == "bytes":
        return _only(items, str).encode("latin-1")
    if kind not in ("list", "tuple", "set", "frozenset", "dict", "namespace", "generator"):
        return resolve(tree)
    values = [decode(item, resolve, buffers) for item in items]
    try:
        if kind == "generator":
            generator = torch.Generator()
            generator.set_state(values[0])
            return generator
        if kind == "namespace":
            return SimpleNamespace(**dict(values))
        builtin = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "dict": dict}
        return builtin[kind](values)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise ProtocolError("a message that makes no sense") from error


def _decode_tensor(
    items: list[Tree], resolve: Callable[[list[Tree]], Any], buffers: list[bytes]
) -> Tensor:
    try:
        dtype, shape, index, requires_grad, gradient = items
        dtype = _DTYPES[dtype]
        if not all(type(size) is int and size >= 0 for size in shape) or len(shape) > 32:
            raise ProtocolError("a tensor whose shape makes no sense")
        data = buffers[index]
        if type(index) is not int or prod(shape) * dtype.itemsize != len(data):
            raise ProtocolError("a tensor whose size and shape do not agree")
        value = torch.empty(shape, dtype=dtype)
        if data:
            raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
            value = raw.view(dtype).reshape(shape).clone()
        if requires_grad is True and (value.is_floating_point() or value.is_complex()):
            value.requires_grad_()
            value.grad = None if gradient is None else decode(gradient, resolve, buffers)
    except (TypeError, ValueError, KeyError, IndexError, RuntimeError) as error:
        raise ProtocolError("a tensor that makes no sense") from error
    return value


def _only(items: list[Tree], kind: type) -> Any:
    if len(items) != 1 or not isinstance(items[0], kind):
        raise ProtocolError("a message that makes no sense")
    return items[0]


# --- trees over a socket ---------------------------------------------------------------------


def send(
    connection: socket.socket,
    message: Mapping[str, Tree],
    buffers: list[bytes],
    deadline: float | None = None,
) -> None:
    """Send one message, until `deadline` on the clock of `time.monotonic`.

    Raises:
        TooSlow: the deadline passed.
        ProtocolError: the message cannot be written down or is too large, or nobody listens.
    """
    try:
        text = json.dumps(message).encode("ascii")
    except (ValueError, TypeError, RecursionError, MemoryError) as error:  # 10**5000, say
        raise ProtocolError("the value cannot be sent") from error
    if (
        len(text) > policy.MAX_TEXT
        or len(buffers) > policy.MAX_BUFFERS
        or sum(map(len, buffers)) > policy.MAX_BYTES
    ):
        raise ProtocolError("the value is too large to be sent")
    lengths = b"".join(_LENGTH.pack(len(buffer)) for buffer in buffers)
    try:
        for part in (_HEAD.pack(len(text), len(buffers)) + lengths + text, *buffers):
            connection.settimeout(_left(deadline))
            connection.sendall(part)
    except TimeoutError as error:
        raise TooSlow("nobody takes the message") from error
    except OSError as error:
        raise ProtocolError("the other end is gone") from error


def receive(
    connection: socket.socket, deadline: float | None = None
) -> tuple[dict[str, Tree], list[bytes], int]:
    """Receive one message, until `deadline` on the clock of `time.monotonic`: its tree, its
    buffers, and about how many bytes of memory they take.

    Raises:
        TooSlow: the deadline passed.
        ProtocolError: the other end is gone, or sent what makes no sense.
    """
    n_text, n_buffers = _HEAD.unpack(_read(connection, _HEAD.size, deadline))
    if n_text > policy.MAX_TEXT or n_buffers > policy.MAX_BUFFERS:
        raise ProtocolError("a message that is too large")
    packed = _read(connection, _LENGTH.size * n_buffers, deadline)
    lengths = [length for (length,) in _LENGTH.iter_unpack(packed)]
    if sum(lengths) > policy.MAX_BYTES:
        raise ProtocolError("a message that is too large")
    text = _read(connection, n_text, deadline)
    buffers = [_read(connection, length, deadline) for length in lengths]
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a message that makes no sense") from error
    if not isinstance(message, dict):
        raise ProtocolError("a message that makes no sense")
    return message, buffers, _PER_CHARACTER * n_text + sum(lengths)


def _read(connection: socket.socket, size: int, deadline: float | None) -> bytes:
    data = bytearray()
    while len(data) < size:
        try:
            connection.settimeout(_left(deadline))
            part = connection.recv(min(size - len(data), 2**20))
        except TimeoutError as error:
            raise TooSlow("no answer in time") from error
        except OSError as error:
            raise ProtocolError("the other end is gone") from error
        if not part:
            raise ProtocolError("the other end is gone")
        data += part
    return bytes(data)


def _left(deadline: float | None) -> float | None:
    """Seconds until the deadline; None is no deadline."""
    if deadline is None:
        return None
    if (left := deadline - time.monotonic()) <= 0:
        raise TimeoutError
    return left
