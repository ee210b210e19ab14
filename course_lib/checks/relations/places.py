"""Right values in other places, in fewer places, or wrong ones in some places only."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from course_lib.checks.compare import difference
from course_lib.checks.relations.group import Group

_MOVES: dict[str, Callable[[Any], Any]] = {
    "its last two axes are exchanged": lambda t: t.transpose(-2, -1),
    "it is back to front along the last axis": lambda t: t.flip(-1),
    "it is back to front along the first axis": lambda t: t.flip(0),
    "it is shifted by one place along the last axis": lambda t: t.roll(1, -1),
    "it is shifted back by one place along the last axis": lambda t: t.roll(-1, -1),
    "it is shifted by one place along axis -2": lambda t: t.roll(1, -2),
    "it is shifted back by one place along axis -2": lambda t: t.roll(-1, -2),
    "its two halves along the last axis are exchanged": lambda t: torch.cat(
        list(reversed(t.chunk(2, -1))), -1
    ),
    "it is back to front": lambda items: type(items)(reversed(items)),
    "it is sorted": lambda items: type(items)(sorted(items)),
}


def rearranged(group: Group) -> str | None:
    """The same numbers stand in other places."""
    for says, move in (*_MOVES.items(), *_axis_orders()):
        if where := group.explained(lambda i, move=move: _moved(group.pair(i)[0], move)):
            return f"{group.subject} holds the right values in other places, {where}: {says}."
    pairs = group.pairs()
    if len(pairs) >= 2 and all(_in_another_order(group, *pair) for pair in pairs):
        return f"{group.subject} holds the right items in another order."
    return None


def _axis_orders() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    for ndim in (3, 4):
        for order in itertools.permutations(range(ndim)):
            if order != tuple(range(ndim)):

                def move(t: Any, order: tuple[int, ...] = order) -> Any:
                    return t.permute(order) if t.ndim == len(order) else None

                yield f"its axes stand in the order {list(order)}", move


def _moved(value: Any, move: Callable[[Any], Any]) -> Any:
    if not isinstance(value, Tensor | list | tuple):
        return None
    try:
        moved = move(value.detach() if isinstance(value, Tensor) else value)
    except (AttributeError, TypeError, ValueError, IndexError, RuntimeError):
        return None
    return None if moved is None or difference(value, moved, 0.0) is None else moved


def _in_another_order(group: Group, expected: Any, got: Any) -> bool:
    if isinstance(expected, Tensor) and isinstance(got, Tensor):
        if expected.numel() < 4 or expected.numel() != got.numel() or expected.dtype != got.dtype:
            return False
        if expected.dtype == torch.bool:
            return False
        return group.near(*(t.detach().flatten().sort().values for t in (expected, got)))
    if isinstance(expected, list) and isinstance(got, list) and len(expected) >= 3:
        return _counted(expected) == _counted(got)
    return False


def _counted(items: Any) -> Counter[Any]:
    return Counter(map(repr, items))


_COLLAPSES: dict[str, Callable[[Tensor, int, bool], Tensor]] = {
    "summed": lambda t, axis, keep: t.sum(axis, keepdim=keep),
    "averaged": lambda t, axis, keep: t.mean(axis, keepdim=keep),
    "reduced to the largest": lambda t, axis, keep: t.amax(axis, keepdim=keep),
    "cut to the first place": lambda t, axis, keep: (
        t.narrow(axis, 0, 1) if keep else t.select(axis, 0)
    ),
}


def collapsed(group: Group) -> str | None:
    """An axis that should be there was summed or averaged away."""
    for says, collapse in _COLLAPSES.items():
        for axis, keep in itertools.product(range(-4, 0), (False, True)):

            def predicted(
                i: int, collapse: Callable[..., Any] = collapse, axis: int = axis, keep: bool = keep
            ) -> Any:
                value = group.pair(i)[0]
                if not isinstance(value, Tensor) or value.ndim < -axis:
                    return None
                if not value.is_floating_point() or value.shape[axis] < 2:
                    return None
                return collapse(value.detach(), axis, keep)

            if where := group.explained(predicted):
                return f"{group.subject} is the right one {says} along axis {axis}, {where}."
    return None


def one_place_off(group: Group) -> str | None:
    """Everything stands one place too early or too late, and something new at the end."""
    found: set[str] | None = None
    for expected, got in group.pairs():
        ways = set(_offsets(group, expected, got))
        found = ways if found is None else found & ways
    if not found or len(group.telling) < 2:
        return None
    return f"{group.subject} stands one place {min(found)}, {group.counted(len(group.telling))}."


def _offsets(group: Group, expected: Any, got: Any) -> Iterator[str]:
    if isinstance(expected, list) and isinstance(got, list) and min(len(expected), len(got)) >= 3:
        n = min(len(expected), len(got)) - 1
        if group.near(expected[1 : n + 1], got[:n]):
            yield "too early"
        if group.near(expected[:n], got[1 : n + 1]):
            yield "too late"
    if isinstance(expected, Tensor) and isinstance(got, Tensor):
        for axis in range(-min(expected.ndim, got.ndim), 0):
            sizes = expected.shape[axis], got.shape[axis]
            n = min(sizes) - 1
            if n < 2 or _without(expected, axis) != _without(got, axis):
                continue
            if group.near(expected.narrow(axis, 1, n), got.narrow(axis, 0, n)):
                yield f"too early along axis {axis}"
            if group.near(expected.narrow(axis, 0, n), got.narrow(axis, 1, n)):
                yield f"too late along axis {axis}"


def _without(value: Tensor, axis: int) -> list[int]:
    sizes = list(value.shape)
    del sizes[axis]
    return sizes


_CONDITIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "is negative": lambda t: t < 0,
    "is positive": lambda t: t > 0,
    "is zero": lambda t: t == 0,
    "is not zero": lambda t: t != 0,
    "is -100": lambda t: t == -100,
    "is -inf": lambda t: t == -torch.inf,
    "is True": lambda t: t.bool() if t.dtype == torch.bool else torch.zeros_like(t).bool(),
    "is False": lambda t: ~t if t.dtype == torch.bool else torch.zeros_like(t).bool(),
}


def wrong_where(group: Group) -> str | None:
    """Wrong exactly where an argument, place by place, has a plain property."""
    for name in group.names:
        for says, holds in _CONDITIONS.items():
            if len(group.telling) >= 2 and all(
                _is_wrong_where(group, i, name, holds) for i in group.telling
            ):
                where = group.counted(len(group.telling))
                return f"{group.subject} is wrong just where `{name}` {says}, {where}."
    return None


def _is_wrong_where(group: Group, i: int, name: str, holds: Callable[[Tensor], Tensor]) -> bool:
    given, near = group.given(i, name), _near(group, *group.pair(i))
    if not isinstance(given, Tensor) or near is None or given.numel() < 2:
        return False
    if given.shape != near.shape:
        if near.shape[: given.ndim] != given.shape:
            return False
        near = near.flatten(given.ndim).all(-1)
    told = holds(given)
    return bool(told.any() and not told.all() and torch.equal(told, ~near))


def some_places(group: Group) -> str | None:
    """Along an axis, only the first or last place is wrong, or all but one of them."""
    found: set[tuple[int, str]] | None = None
    for expected, got in group.pairs():
        near = _near(group, expected, got)
        if near is None:
            return None
        places = {(axis, says) for axis in range(-near.ndim, 0) for says in _places(near, axis)}
        found = places if found is None else found & places
    if not found or len(group.telling) < 2:
        return None
    axis, says = max(found)
    return f"{says.format(axis)}, {group.counted(len(group.telling))}."


def _near(group: Group, expected: Any, got: Any) -> Tensor | None:
    """Where two results of one shape agree."""
    try:
        one, other = (torch.as_tensor(value).detach().double() for value in (expected, got))
    except (TypeError, ValueError, RuntimeError):
        return None
    if one.shape != other.shape or one.ndim == 0:
        return None
    tolerance = group.trial.exercise.tolerance
    return torch.isclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)


def _places(near: Tensor, axis: int) -> Iterator[str]:
    others = [i for i in range(near.ndim) if i != axis % near.ndim]
    wrong = ~(near.all(others) if others else near)
    if len(wrong) < 3 or not wrong.any():
        return
    if wrong[-1] and not wrong[:-1].any():
        yield "Only the last place along axis {} is wrong"
    if wrong[0] and not wrong[1:].any():
        yield "Only the first place along axis {} is wrong"
    if wrong[1:].all() and not wrong[0]:
        yield "Only the first place along axis {} is right, all after it are wrong"
    if wrong[:-1].all() and not wrong[-1]:
        yield "Only the last place along axis {} is right, all before it are wrong"


def cut_or_grown(group: Group) -> str | None:
    """A list or a text is the right one with something missing or added at one end."""
    kinds = {_ends(expected, got) for expected, got in group.pairs()}
    if len(kinds) != 1 or len(group.telling) < 2:
        return None
    return kinds.pop()


def _ends(expected: Any, got: Any) -> str | None:
    if isinstance(expected, Tensor) and isinstance(got, Tensor):
        return _tensor_ends(expected, got)
    if type(expected) is not type(got) or not isinstance(expected, list | tuple | str):
        return None
    what, kind = ("character", "text") if isinstance(expected, str) else ("item", "result")
    n = len(expected) - len(got)
    if not got or not expected or abs(n) > 3 or n == 0:
        return None
    many = f"{abs(n)} {what}{'s' if abs(n) > 1 else ''}"
    verb = "are" if abs(n) > 1 else "is"
    if n > 0:
        ends = {"beginning": (expected[n:], got), "end": (expected[:-n], got)}
        says = f"{many} {verb} missing there"
    else:
        ends = {"beginning": (expected, got[-n:]), "end": (expected, got[:n])}
        says = f"{many} too many there"
    for end, (one, other) in ends.items():
        if difference(one, other, 0.0) is None:
            return f"Your {kind} is right but for its {end}: {says}, in every wrong case."
    return None


def _tensor_ends(expected: Tensor, got: Tensor) -> str | None:
    for axis in range(-min(expected.ndim, got.ndim), 0):
        short, long = sorted((expected.shape[axis], got.shape[axis]))
        if short == long or short == 0 or _without(expected, axis) != _without(got, axis):
            continue
        is_long = got.shape[axis] == long
        for end, start in (("end", 0), ("beginning", long - short)):
            cut = (got if is_long else expected).narrow(axis, start, short)
            if difference(cut, expected if is_long else got, 1e-4) is None:
                what = "has too many places" if is_long else "lacks places"
                return f"Your result is right, but {what} at its {end} along axis {axis}."
    return None


def too_many_or_too_few(group: Group) -> str | None:
    """All that is there is right, and some is missing; or all is there, and more."""
    kinds = {_subset(*pair) for pair in group.pairs()}
    if len(kinds) != 1 or len(group.telling) < 2:
        return None
    says = kinds.pop()
    return f"{says}, {group.counted(len(group.telling))}." if says else None


def _subset(expected: Any, got: Any) -> str | None:
    if isinstance(expected, str) and isinstance(got, str):
        if expected.split() == got.split():
            return "Your text is right but for blanks and line breaks"
        if "".join(expected.split()) == "".join(got.split()):
            return "Your text is right but for blanks and line breaks"
        return "Your text is right but for capitals" if expected.lower() == got.lower() else None
    if isinstance(expected, Tensor) and isinstance(got, Tensor):
        if expected.dtype != torch.bool or got.dtype != torch.bool or expected.shape != got.shape:
            return None
        if not (got & ~expected).any():
            return "Every True of yours is right, but some are missing"
        if not (expected & ~got).any():
            return "No True is missing in yours, but there are too many"
        return None
    if isinstance(expected, dict) and isinstance(got, dict) and set(expected) == set(got):
        return "Every key is right, but values are not"
    if isinstance(expected, list | set | dict) and type(expected) is type(got):
        one, other = _counted(expected), _counted(got)
        if other < one:
            return "All that your result holds belongs there, but some is missing"
        if one < other:
            return "Nothing is missing in your result, but it holds too much"
        if isinstance(expected, list) and len(got) != len(expected):
            few = "few" if len(got) < len(expected) else "many"
            return f"Your result has too {few} items, and not only right ones"
    return None
