"""The right values, worked on: turned, scaled, added to, or never touched."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from course_lib.checks.relations.group import Group, as_tensors, count

_WORKED_ON: dict[str, Callable[[Tensor], Tensor]] = {
    "the right one with its sign turned": lambda t: -t,
    "`exp` of the right one": torch.exp,
    "the logarithm of the right one": torch.log,
    "the square root of the right one": torch.sqrt,
    "the square of the right one": torch.square,
    "one divided by the right one": torch.reciprocal,
    "one minus the right one": lambda t: 1 - t,
    "the right one without its sign": torch.abs,
    "the right one rounded": torch.round,
    "the right one rounded down": torch.floor,
    "the right one rounded up": torch.ceil,
    "the right one plus 1": lambda t: t + 1,
    "the right one minus 1": lambda t: t - 1,
    "two to the power of the right one": torch.exp2,
    "the logarithm of the right one to base 2": torch.log2,
    "the softmax of the right one along the last axis": lambda t: t.softmax(-1),
    "the logarithm of the right one's softmax": lambda t: t.log_softmax(-1),
    "the running sum of the right one along the last axis": lambda t: t.cumsum(-1),
    "the right one turned round, True where it should be False": lambda t: ~t,
}


def worked_on(group: Group) -> str | None:
    """The result is a function of the right one: its negative, its logarithm, ..."""
    for says, work in _WORKED_ON.items():
        where = group.explained(lambda i, work=work: _worked(group.pair(i)[0], work))
        if where:
            return f"{group.subject} is {says}, {where}."
    return None


def always_the_same(group: Group) -> str | None:
    """The result is one number throughout: nothing of the input arrives in it."""
    numbers = set()
    for expected, got in group.pairs():
        both = as_tensors(expected, got)
        if both is None or both[0].numel() < 2 or len(both[0].unique()) < 2:
            return None
        numbers |= set(both[1].unique().tolist()[:2])
    if len(numbers) != 1:
        return None
    return f"{group.subject} is {numbers.pop():g} throughout, {group.counted(len(group.telling))}."


def _worked(value: Any, work: Callable[[Tensor], Tensor]) -> Any:
    if not isinstance(value, Tensor | float | int | bool):
        return None
    one = torch.as_tensor(value)
    try:
        worked = work(one.detach().double() if isinstance(value, float) else one.detach())
    except (RuntimeError, TypeError, IndexError):
        return None
    if worked.is_floating_point() and worked.isnan().any():
        return None
    try:
        return worked if isinstance(value, Tensor) else type(value)(worked.item())
    except OverflowError:
        return None


def factor(group: Group) -> str | None:
    """The result is the right one times a number, or more by a number."""
    if not group.is_enough(group.telling):
        return None
    factors, offsets = [], []
    for expected, got in group.pairs():
        both = as_tensors(expected, got)
        if both is None:
            return None
        factors.append(_constant(both[1] / both[0], both[0].abs() > 1e-6))
        offsets.append(_constant(both[1] - both[0], torch.ones_like(both[0], dtype=torch.bool)))
    numbers = sum(count(expected) for expected, _ in group.pairs())
    where = group.counted(len(group.telling))
    for found, says in ((factors, "times"), (offsets, "plus")):
        constants = [one for one in found if one is not None]
        if len(constants) < len(found) or numbers < 4:
            continue
        if max(constants) - min(constants) <= 1e-3 * abs(constants[0]):
            return f"{group.subject} is the right one {says} {constants[0]:.4g}, {where}."
        if says == "times" and (size := _a_size(group, constants)):
            return f"{group.subject} is the right one {size}, {where}."
    return None


def _constant(values: Tensor, where: Tensor) -> float | None:
    """The one number that a tensor holds where it counts."""
    values = values[where]
    if values.numel() == 0 or not values.isfinite().all():
        return None
    low, high = values.min().item(), values.max().item()
    return (low + high) / 2 if high - low <= 2e-3 * max(abs(low), abs(high)) else None


def _a_size(group: Group, factors: list[float]) -> str | None:
    """Whether the factors are a size, a ratio of two sizes, a root of these, or one by them."""
    sizes = list(_sizes(group))
    for what, each in sizes:
        if says := _power(factors, each, what):
            return says
    for what, each in sizes:
        for other, those in sizes:
            if what != other and min(those) > 0:
                ratios = [a / b for a, b in zip(each, those, strict=True)]
                if says := _power(factors, ratios, f"({what} / {other})"):
                    return says
    return None


def _power(factors: list[float], sizes: list[float], what: str) -> str | None:
    if len(set(sizes)) < 2 or min(sizes) <= 0:
        return None
    powers = {1.0: f"times {what}", 0.5: f"times the square root of {what}"}
    powers |= {-1.0: f"divided by {what}", -0.5: f"divided by the square root of {what}"}
    for power, says in powers.items():
        pairs = zip(factors, sizes, strict=True)
        if all(math.isclose(one, size**power, rel_tol=2e-3) for one, size in pairs):
            return says
    return None


def _sizes(group: Group) -> Iterator[tuple[str, list[float]]]:
    """The sizes of the arguments, for each telling case."""
    for name in group.names:
        given = [group.given(i, name) for i in group.telling]
        if all(isinstance(value, Tensor) for value in given):
            for axis in range(-1, -1 - min(value.ndim for value in given), -1):
                yield f"`{name}.shape[{axis}]`", [value.shape[axis] for value in given]
            yield f"`{name}.numel()`", [value.numel() for value in given]
        elif all(isinstance(value, list | tuple | str) for value in given):
            yield f"`len({name})`", [len(value) for value in given]
        elif all(isinstance(value, int | float) for value in given):
            yield f"`{name}`", list(given)


def factor_of_each_row(group: Group) -> str | None:
    """Each row is right but for a factor of its own."""
    for expected, got in group.pairs():
        both = as_tensors(expected, got)
        if both is None or both[0].ndim < 2 or both[0].shape[-1] < 3 or both[0].shape[-2] < 2:
            return None
        rows = zip(both[0].flatten(0, -2), both[1].flatten(0, -2), strict=True)
        if any(_constant(got / right, right.abs() > 1e-6) is None for right, got in rows):
            return None
    if len(group.telling) < 2:
        return None
    return "Each row of your result is right but for a factor of its own: look at what divides it."


def combined_with_an_argument(group: Group) -> str | None:
    """An argument was added to the right result, or taken off, or multiplied with it."""
    ways: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "plus": torch.add,
        "minus": torch.sub,
        "times": torch.mul,
        "divided by": torch.div,
    }
    for name in group.names:
        for says, combine in ways.items():

            def predicted(i: int, name: str = name, combine: Callable[..., Any] = combine) -> Any:
                expected, given = group.pair(i)[0], group.given(i, name)
                return _combined(expected, given, combine)

            if where := group.explained(predicted):
                return f"{group.subject} is the right one {says} `{name}`, {where}."
    return None


def _combined(expected: Any, given: Any, combine: Callable[..., Any]) -> Any:
    if isinstance(expected, Tensor) and isinstance(given, Tensor):
        if expected.shape != given.shape or expected.dtype != given.dtype:
            return None
        if not expected.is_floating_point():
            return None
        return combine(expected.detach(), given.detach())
    numbers = (int, float)
    if type(expected) in numbers and type(given) in numbers and given not in (0, 1):
        return type(expected)(combine(torch.tensor(float(expected)), float(given)).item())
    return None


def an_argument_itself(group: Group) -> str | None:
    """The result is an argument as it came."""
    for name in group.names:

        def predicted(i: int, name: str = name) -> Any:
            given = group.given(i, name)
            return given if count(given) > 1 else None

        if where := group.explained(predicted):
            return f"{group.subject} is `{name}` as it came in, {where}."
    return None


def nearly(group: Group) -> str | None:
    """Near, but not equal: an approximation, or a constant that is a little off."""
    furthest = 0.0
    for expected, got in group.pairs():
        both = as_tensors(expected, got)
        if both is None or both[0].numel() < 2 or not both[1].isfinite().all():
            return None
        spread = both[0].std().item()
        if spread == 0 or not math.isfinite(spread):
            return None
        furthest = max(furthest, (both[1] - both[0]).abs().max().item() / spread)
    if furthest > 0.05 or not group.is_enough(group.telling):
        return None
    return (
        f"{group.subject} is near the right one, at most {100 * furthest:.2g} % of its spread "
        f"away, {group.counted(len(group.telling))}: look for an approximation, or a constant "
        "that is a little off or in the wrong place."
    )


def in_order_but_not_in_size(group: Group) -> str | None:
    """The values have the right order along the last axis, and the wrong size."""
    for expected, got in group.pairs():
        both = as_tensors(expected, got)
        if both is None or both[0].ndim == 0 or both[0].shape[-1] < 3:
            return None
        if not torch.equal(*(value.argsort(dim=-1, stable=True) for value in both)):
            return None
    if not group.is_enough(group.telling):
        return None
    where = group.counted(len(group.telling))
    return f"The values have the right order along the last axis, but not the right size, {where}."


def too_large_or_too_small(group: Group) -> str | None:
    """All that is wrong is wrong to one side."""
    sides = set()
    for expected, got in group.pairs():
        both = as_tensors(expected, got)
        if both is None or not both[1].isfinite().all():
            return None
        apart = both[1] - both[0]
        apart = apart[apart.abs() > group.trial.exercise.tolerance * (1 + both[0].abs())]
        sides |= {"large" if (apart > 0).all() else "small" if (apart < 0).all() else "mixed"}
    if len(sides) != 1 or sides == {"mixed"} or len(group.telling) < 3:
        return None
    where = group.counted(len(group.telling))
    return f"{group.subject} is too {sides.pop()} wherever it is wrong, {where}."
