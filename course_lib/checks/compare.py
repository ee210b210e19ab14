"""Is what a solution returned the same as what the reference returned, and if not, how not?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Difference:
    """The first difference found: its kind and a sentence about it."""

    kind: str  # "missing", "type", "dtype", "shape", "length", "keys" or "value"
    says: str


def _article(name: str) -> str:
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"


def _type_name(value: Any) -> str:
    return "Tensor" if isinstance(value, Tensor) else type(value).__name__


def _typed(value: Any) -> str:
    """A type with its article; a value that has no other of its type is named itself."""
    return "None" if value is None else _article(_type_name(value))


def _types_differ(expected: Any, got: Any, where: str) -> Difference | None:
    if got is None and expected is not None and where == WHOLE:
        return Difference("missing", f"{where} is None. Is a `return` missing?")
    if isinstance(expected, Tensor):
        same = isinstance(got, Tensor)
    elif isinstance(expected, Mapping):
        same = isinstance(got, Mapping)
    elif isinstance(expected, bool | int | float):
        same = type(got) is type(expected)  # True is not 1, and a NumPy float is not a float
    else:
        same = isinstance(got, type(expected))
    if same:
        return None
    says = f"{where} is {_typed(got)}; expected {_typed(expected)}"
    if type(got).__module__ == "torch.return_types":
        says += (
            f" (`{_type_name(got)}` gives a pair, values and indices: take `.values` or `.indices`)"
        )
    elif isinstance(got, Tensor) and isinstance(expected, int | float):
        says += " (`.item()` turns a one-element tensor into a Python number)"
    elif isinstance(got, np.generic) and isinstance(expected, int | float):
        says += " (`.item()` turns a NumPy number into a Python one)"
    return Difference("type", says + ".")


def _tensors_differ(
    expected: Tensor, got: Tensor, tolerance: float, where: str
) -> Difference | None:
    if got.shape != expected.shape:
        says = f"{where} has shape {list(got.shape)}; expected {list(expected.shape)}."
        return Difference("shape", says)
    if got.dtype != expected.dtype:
        return Difference("dtype", f"{where} has dtype {got.dtype}; expected {expected.dtype}.")
    got, expected = got.detach(), expected.detach()
    if torch.equal(got, expected):
        return None
    near = torch.isclose(
        got.double() if got.is_floating_point() else got,
        expected.double() if got.is_floating_point() else expected,
        rtol=tolerance, atol=tolerance, equal_nan=True,
    )  # fmt: skip
    if near.all():
        return None
    if got.isnan().any() and not expected.isnan().any():
        return Difference("value", f"{where} contains NaN; it must not.")
    wrong = (~near).nonzero()[0].tolist()
    here = f"{where}[{', '.join(map(str, wrong))}]" if wrong else where
    return Difference(
        "value",
        f"{int((~near).sum())} of {near.numel()} values differ; the first is {here}: expected "
        f"{_number(expected[tuple(wrong)])}, got {_number(got[tuple(wrong)])}.",
    )


def _number(value: Tensor) -> str:
    return str(value.item()) if value.dtype == torch.bool else f"{value.item():.6g}"


def _keys_differ(
    expected: Mapping[Any, Any], got: Mapping[Any, Any], where: str
) -> Difference | None:
    lacking = [key for key in expected if key not in got]
    extra = [key for key in got if key not in expected]
    if not lacking and not extra:
        return None
    parts = []
    if lacking:
        parts.append(f"lacks {_some(lacking)}")
    if extra:
        parts.append(
            f"has {_some(extra)}, which {'was' if len(extra) == 1 else 'were'} not expected"
        )
    return Difference("keys", f"{where} {' and '.join(parts)}.")


def _some(keys: list[Any]) -> str:
    """The first keys of several, in words."""
    shown = ", ".join(repr(key) for key in keys[:4])
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return f"the key{'s' if len(keys) > 1 else ''} {shown}{more}"


def _lengths_differ(expected: Any, got: Any, tolerance: float, where: str) -> Difference | None:
    if len(expected) == len(got):
        return None
    items = "1 item" if len(got) == 1 else f"{len(got)} items"
    says = f"{where} has {items}; expected {len(expected)}."
    pairs = enumerate(zip(expected, got, strict=False))
    first = next((i for i, (e, g) in pairs if difference(e, g, tolerance)), None)
    if first is not None:
        says += f" They part at {where}[{first}]: expected {_short(expected[first])}, got "
        says += f"{_short(got[first])}."
    elif len(got) < len(expected):
        says += f" After these the next would be {_short(expected[len(got)])}."
    else:
        says += f" The first too many is {_short(got[len(expected)])}."
    return Difference("length", says)


def _short(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a Tensor of shape {list(value.shape)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]} ..."


def _texts_differ(expected: str | bytes, got: str | bytes, where: str) -> Difference | None:
    """Long texts are shown from where they part."""
    if expected == got:
        return None
    both = zip(expected, got, strict=False)
    first = next((i for i, (e, g) in enumerate(both) if e != g), min(len(expected), len(got)))
    start = max(first - 20, 0)
    if max(len(expected), len(got)) <= 60:
        return Difference("value", f"{where} is {got!r}; expected {expected!r}.")
    cut = [part[start : first + 20] for part in (expected, got)]
    return Difference(
        "value",
        f"{where} differs from character {first} on: expected ... {cut[0]!r} ..., "
        f"got ... {cut[1]!r} ....",
    )


WHOLE = "the result"


def difference(expected: Any, got: Any, tolerance: float, where: str = WHOLE) -> Difference | None:
    """The first `Difference` between two results, or None when they are the same.

    Results are trees of tensors, numbers, texts, lists, tuples and dicts. Floats may differ by
    `tolerance`, absolute or relative; everything else must be equal, types included.
    """
    if found := _types_differ(expected, got, where):
        return found
    if isinstance(expected, Tensor):
        return _tensors_differ(expected, got, tolerance, where)
    if isinstance(expected, Mapping):
        if found := _keys_differ(expected, got, where):
            return found
        pairs = ((f"{where}[{key!r}]", expected[key], got[key]) for key in expected)
    elif isinstance(expected, list | tuple):
        if found := _lengths_differ(expected, got, tolerance, where):
            return found
        pairs = ((f"{where}[{i}]", *both) for i, both in enumerate(zip(expected, got, strict=True)))
    elif isinstance(expected, str | bytes):
        return _texts_differ(expected, got, where)
    else:
        if isinstance(expected, float):
            same = math.isclose(expected, got, rel_tol=tolerance, abs_tol=tolerance)
            same = same or (math.isnan(expected) and math.isnan(got))
        else:
            same = expected == got
        return None if same else Difference("value", f"{where} is {got!r}; expected {expected!r}.")
    for place, one, other in pairs:
        if found := difference(one, other, tolerance, place):
            return found
    return None
