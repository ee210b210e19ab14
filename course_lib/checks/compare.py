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


def _types_differ(expected: Any, got: Any, where: str) -> Difference | None:
    if got is None and expected is not None:
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
    says = f"{where} is {_article(_type_name(got))}; expected {_article(_type_name(expected))}"
    if isinstance(got, Tensor) and isinstance(expected, int | float):
        says += " (`.item()` turns a one-element tensor into a Python number)"
    elif isinstance(got, np.generic) and isinstance(expected, int | float):
        says += " (`.item()` turns a NumPy number into a Python one)"
    return Difference("type", says + ".")


def _tensors_differ(expected: Tensor, got: Tensor, tolerance: float, where: str):
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


def difference(expected: Any, got: Any, tolerance: float, where: str = "the result"):
    """The first `Difference` between two results, or None when they are the same.

    Results are trees of tensors, numbers, texts, lists, tuples and dicts. Floats may differ by
    `tolerance`, absolute or relative; everything else must be equal, types included.
    """
    if found := _types_differ(expected, got, where):
        return found
    if isinstance(expected, Tensor):
        return _tensors_differ(expected, got, tolerance, where)
    if isinstance(expected, Mapping):
        if set(expected) != set(got):
            says = f"{where} has the keys {sorted(map(str, got))}; "
            return Difference("keys", says + f"expected {sorted(map(str, expected))}.")
        pairs = ((f"{where}[{key!r}]", expected[key], got[key]) for key in expected)
    elif isinstance(expected, list | tuple):
        if len(expected) != len(got):
            says = f"{where} has {len(got)} items; expected {len(expected)}."
            return Difference("length", says)
        pairs = ((f"{where}[{i}]", *both) for i, both in enumerate(zip(expected, got, strict=True)))
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
