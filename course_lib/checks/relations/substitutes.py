"""Arguments in place of a case's own: the questions that a wrong result may answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib.checks.compare import difference
from course_lib.checks.exercise import Case

_FEW = 4  # values of a text that cases choose from
_NOTHING = object()  # None in place of a value
_NOT_A_CHOICE = ("seed", "solution", "generator")  # nothing that a solution gets wrong


@dataclass(frozen=True)
class Substitute:
    """A change of the arguments, and how it is said: "for `~mask` in place of `mask`".

    `change` returns the changed arguments, or None where they would be the same.
    """

    name: str  # of the argument
    says: str
    change: Callable[[Mapping[str, Any]], Mapping[str, Any] | None]


def substitutes(cases: Sequence[Case]) -> Iterator[Substitute]:
    """All that can be tried with the arguments of these cases."""
    given = dict.fromkeys(name for case in cases for name in case.arguments)
    names = [name for name in given if not name.endswith(_NOT_A_CHOICE)]
    for name in names:
        for says, change in _changes(name, cases):
            yield Substitute(name, f"for {says} in place of `{name}`", _of_one(name, change))
    for one, other in itertools.combinations(names, 2):
        yield Substitute(one, f"for `{one}` and `{other}` exchanged", _exchanged(one, other))


def _of_one(name: str, change: Callable[[Any], Any]) -> Callable[..., Any]:
    def changed(arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if arguments.get(name) is None:
            return None
        try:
            value = change(arguments[name])
        except (TypeError, ValueError, RuntimeError, LookupError, ArithmeticError, AttributeError):
            return None  # in this case it is something else than in the first
        if value is _NOTHING:
            return {**arguments, name: None}
        if value is None or difference(arguments[name], value, 0.0) is None:
            return None
        return {**arguments, name: value}

    return changed


def _exchanged(one: str, other: str) -> Callable[..., Any]:
    def changed(arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if one not in arguments or other not in arguments:
            return None
        first, second = arguments[one], arguments[other]
        if type(first) is not type(second) or difference(first, second, 0.0) is None:
            return None
        return {**arguments, one: second, other: first}

    return changed


def _changes(name: str, cases: Sequence[Case]) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """What can stand in place of an argument, by what it is in these cases."""
    values = [case.arguments[name] for case in cases if name in case.arguments]
    value = next((value for value in values if value is not None), None)
    if isinstance(value, bool):
        yield f"`not {name}`", lambda v: not v
    elif isinstance(value, int | float):
        yield from _of_a_number(name, isinstance(value, int))
    elif isinstance(value, Tensor) and value.dtype == torch.bool:
        yield f"`~{name}`", lambda v: ~v
        yield f"a `{name}` that is True throughout", torch.ones_like
        yield f"`{name}` with its last two axes exchanged", lambda v: v.transpose(-2, -1)
        yield f"the first row of `{name}` for all rows", _first_for_all
    elif isinstance(value, Tensor):
        yield from _of_a_tensor(name, value.is_floating_point())
    elif isinstance(value, list | tuple):
        yield f"`{name}` back to front", lambda v: v[::-1]
        yield f"`{name}` sorted", lambda v: type(v)(sorted(v))
        yield f"`{name}` without its first item", lambda v: v[1:] if len(v) > 1 else None
        yield f"`{name}` without its last item", lambda v: v[:-1] if len(v) > 1 else None
        yield f"the first item of `{name}` alone", lambda v: v[:1]
    elif isinstance(value, str):
        yield f"`{name}` in small letters", lambda v: v.lower()
        yield f"`{name}` without blanks at its ends", lambda v: v.strip()
        yield f"`{name}` back to front", lambda v: v[::-1]
        for other in sorted({v for v in values if isinstance(v, str)})[:_FEW]:
            yield f"{other!r}", lambda v, other=other: other
    if any(v is None for v in values) or any(name not in case.arguments for case in cases):
        yield "nothing", lambda v: _NOTHING


def _of_a_number(name: str, whole: bool) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    yield f"`{name} + 1`", lambda v: v + 1
    yield f"`{name} - 1`", lambda v: v - 1
    yield f"`2 * {name}`", lambda v: 2 * v
    yield f"half of `{name}`", lambda v: v // 2 if whole else v / 2
    yield "0", lambda v: type(v)(0)
    yield "1", lambda v: type(v)(1)
    yield f"`-{name}`", lambda v: -v
    if not whole:
        yield f"`1 - {name}`", lambda v: 1 - v
        yield f"`1 / {name}`", lambda v: 1 / v
        yield f"`{name} ** 2`", lambda v: v**2
        yield f"the square root of `{name}`", lambda v: v**0.5


def _of_a_tensor(name: str, floating: bool) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    yield f"`{name} + 1`", lambda v: v + 1
    yield f"`{name} - 1`", lambda v: v - 1
    yield f"`{name}` back to front along its last axis", lambda v: v.flip(-1)
    yield f"`{name}` back to front along its first axis", lambda v: v.flip(0)
    yield f"the first row of `{name}` for all rows", _first_for_all
    yield f"`{name}` without its last place along the last axis", _without_last
    yield f"`{name}` without its first place along the last axis", _without_first
    yield f"`{name}` shifted by one place", lambda v: v.roll(1, -1)
    if floating:
        yield f"`-{name}`", lambda v: -v
        yield f"`2 * {name}`", lambda v: 2 * v
        yield f"`{name} / 2`", lambda v: v / 2
        yield "zeros", torch.zeros_like
        yield "ones", torch.ones_like
        yield f"`{name}.exp()`", torch.exp
        yield f"`{name}.softmax(-1)`", lambda v: v.softmax(-1)
        yield f"the absolute value of `{name}`", torch.abs
        yield f"`{name}` times the root of its last size", lambda v: v * v.shape[-1] ** 0.5
        yield f"`{name}` divided by the root of its last size", lambda v: v / v.shape[-1] ** 0.5
        yield f"`{name}` with its last two axes exchanged", lambda v: v.transpose(-2, -1)
    else:
        yield f"`{name}` with 0 for every negative number", lambda v: v.clamp(min=0)
        yield f"`{name}` with -100 for every 0", lambda v: v.masked_fill(v == 0, -100)
        yield "ones", torch.ones_like


def _first_for_all(value: Tensor) -> Tensor | None:
    return value[:1].expand_as(value).clone() if value.ndim and len(value) > 1 else None


def _without_last(value: Tensor) -> Tensor | None:
    return value[..., :-1] if value.ndim and value.shape[-1] > 1 else None


def _without_first(value: Tensor) -> Tensor | None:
    return value[..., 1:] if value.ndim and value.shape[-1] > 1 else None


def others(arguments: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """The arguments with three unlike values in place of one of them, of its type and shape."""
    value = arguments.get(name)
    for seed in range(3):
        other: Any = None
        if isinstance(value, bool):
            other = not value
        elif isinstance(value, int):
            other = (2 * value + 1, value + 1, value // 2)[seed]
        elif isinstance(value, float):
            other = value * (3.0, 1.5, 0.25)[seed] + 0.1
        elif isinstance(value, Tensor) and value.numel():
            other = _unlike(value, torch.Generator().manual_seed(seed))
        elif isinstance(value, list | tuple) and all(type(item) is int for item in value):
            moved = [item + seed + 1 for item in value]
            other = type(value)(reversed(moved) if seed == 1 else moved)
        elif isinstance(value, list | tuple | str) and len(value) > 1:
            other = (value[::-1], value[:-1], value[1:])[seed]
        if other is not None and difference(value, other, 0.0) is not None:
            yield {**arguments, name: other}


def _unlike(value: Tensor, generator: torch.Generator) -> Tensor:
    if value.is_floating_point():
        noise = torch.randn(value.shape, generator=generator)
        return (noise * value.nan_to_num(0.0, 0.0, 0.0).abs().mean().clamp(min=1)).to(value.dtype)
    order = torch.randperm(value.numel(), generator=generator)
    mixed = value.flatten()[order].reshape(value.shape)
    if value.dtype != torch.bool:
        return mixed
    return mixed ^ (torch.rand(value.shape, generator=generator) < 0.3)
