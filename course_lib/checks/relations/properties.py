"""What every right result has, and the wrong ones lack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_lib.checks.relations.group import Group


def not_finite(group: Group) -> str | None:
    """Wrong only where it is NaN or infinite."""
    for expected, got in group.pairs():
        if not isinstance(expected, Tensor | float) or type(expected) is not type(got):
            return None
        one, other = torch.as_tensor(expected).detach(), torch.as_tensor(got).detach()
        if one.shape != other.shape or not one.is_floating_point():
            return None
        strange = (~other.isfinite()) & one.isfinite()
        if not strange.any() or not group.near(one[~strange], other[~strange]):
            return None
    where = group.counted(len(group.telling))
    return f"{group.subject} is wrong only where it is NaN or infinite, {where}."


_PROPERTIES: dict[str, Callable[[Tensor], Any]] = {
    "The right values sum to one along axis {axis}; yours do not": lambda t: _all_one(t.sum(-1)),
    "The right values are never negative; yours are in places": lambda t: (t >= 0).all(),
    "The right values are at most one; yours are larger in places": lambda t: (t <= 1.001).all(),
    "The right values average to zero along axis {axis}; yours do not": lambda t: _all_one(
        1 + t.mean(-1)
    ),
    "The right vectors along axis {axis} have length one; yours do not": lambda t: _all_one(
        t.norm(dim=-1)
    ),
    "The right values never fall along axis {axis}; yours do": lambda t: (
        t.diff(dim=-1) >= 0
    ).all(),
    "The right values never rise along axis {axis}; yours do": lambda t: (
        t.diff(dim=-1) <= 0
    ).all(),
    "The right result is whole numbers; yours is not": lambda t: (t == t.round()).all(),
}


def lost(group: Group) -> str | None:
    """A plain property that every right result has and no wrong one of the solution's."""
    pairs = [_floats(*pair) for pair in group.pairs()]
    if None in pairs or len(pairs) < 3:
        return None
    everything = [_floats(v, v) for v in (group.pair(i)[0] for i in group.numbers)]
    for says, holds in _PROPERTIES.items():
        for axis in (-1, -2) if "{axis}" in says else (-1,):
            turned = [tuple(_turned(t, axis) for t in both) for both in pairs if both]
            all_right = [_turned(both[0], axis) for both in everything if both]
            if any(t is None for both in turned for t in both) or None in all_right:
                continue
            got = [t for _, t in turned if t is not None]
            if all(holds(t) for t in all_right if t is not None) and not any(map(holds, got)):
                return f"{says.format(axis=axis)}, {group.counted(len(pairs))}."
    return None


def _floats(expected: Any, got: Any) -> tuple[Tensor, Tensor] | None:
    if not isinstance(expected, Tensor) or not isinstance(got, Tensor):
        return None
    if expected.shape != got.shape or not expected.is_floating_point() or expected.ndim == 0:
        return None
    both = expected.detach().double(), got.detach().double()
    return both if all(t.isfinite().all() and t.shape[-1] > 1 for t in both) else None


def _turned(value: Tensor, axis: int) -> Tensor | None:
    """With `axis` last."""
    return value.transpose(axis, -1) if value.ndim >= -axis and value.shape[axis] > 1 else None


def _all_one(values: Tensor) -> bool:
    return bool(torch.isclose(values, torch.ones_like(values), atol=1e-4).all())
