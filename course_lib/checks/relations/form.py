"""The form alone is wrong, or one part of several."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from course_lib.checks.relations.group import ORDINALS, Group, parts


def only_the_form(group: Group) -> str | None:
    """The numbers are right, and their type, dtype or shape is not."""
    forms = {_wrong_form(group, *pair) for pair in group.pairs()}
    return forms.pop() if len(forms) == 1 else None


def _wrong_form(group: Group, expected: Any, got: Any) -> str | None:
    if isinstance(expected, tuple) and not isinstance(got, tuple | list):
        right = [i for i, part in enumerate(expected) if group.near(part, got)]
        return f"It is the {ORDINALS[right[0]]} of what should come back, alone." if right else None
    if isinstance(got, tuple) and not isinstance(expected, tuple | list):
        within = any(group.near(expected, part) for part in got)
        return "The right result is in it, and more beside it." if within else None
    if isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        if type(expected) is not type(got) and group.near(list(expected), list(got)):
            kind = type(expected).__name__
            return f"The items are right; they only have to come back as a {kind}."
        return None
    if isinstance(expected, Tensor) and isinstance(got, list | tuple | int | float):
        try:
            same = group.near(expected, torch.as_tensor(got, dtype=expected.dtype))
        except (TypeError, ValueError, RuntimeError):
            return None
        return "The values are right; they only have to come back as a tensor." if same else None
    if not isinstance(got, Tensor):
        return None
    if isinstance(expected, bool | int | float):
        same = got.numel() == 1 and group.near(expected, type(expected)(got.item()))
        return "The value is right; it only has to be a Python number." if same else None
    return _wrong_kind_of_tensor(group, expected, got) if isinstance(expected, Tensor) else None


def _wrong_kind_of_tensor(group: Group, expected: Tensor, got: Tensor) -> str | None:
    if got.shape == expected.shape and got.dtype != expected.dtype:
        same = group.near(expected, got.to(expected.dtype))
        return "The values are right; only their dtype is not." if same else None
    if got.numel() == expected.numel() and got.shape != expected.shape and got.numel() > 1:
        same = group.near(expected, got.reshape(expected.shape))
        return "The values are right and in order; only the shape is not." if same else None
    return None


def one_part(group: Group) -> str | None:
    """Of a pair or a dict, some parts are right in every case and others are not."""
    verdicts: dict[Any, list[bool]] = {}
    for i in (*group.telling, *group.right):
        expected, got = (parts(value) for value in group.pair(i))
        if not expected or set(expected) != set(got):
            return None
        for name, part in expected.items():
            verdicts.setdefault(name, []).append(group.near(part, got[name]))
    right = [_named(part) for part, all_of in verdicts.items() if all(all_of)]
    wrong = [_named(part) for part, all_of in verdicts.items() if not all(all_of)]
    same_parts = len(set(map(len, verdicts.values()))) == 1
    if not (right and wrong and same_parts) or len(group.telling) < 2:
        return None
    where = "in every case that was compared"
    if len(right) > 3:
        be = "are" if len(wrong) > 1 else "is"
        return f"Of the result, only {_listed(wrong)} {be} wrong; the rest is right {where}."
    are, be = ("are" if len(names) > 1 else "is" for names in (right, wrong))
    return f"Of the result, {_listed(right)} {are} right {where}; {_listed(wrong)} {be} not."


def _named(part: int | str) -> str:
    return f"`{part}`" if isinstance(part, str) else f"the {ORDINALS[part]} part"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
