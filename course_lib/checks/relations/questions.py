"""Ask again, with other arguments: which question did the solution answer, and what did it use?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib.checks.relations.group import Group
from course_lib.checks.relations.substitutes import Substitute, others, substitutes
from course_lib.checks.trial import NO_ANSWER, Trial

_TRIES = 4  # that an argument has to fail to matter in, at least
_CASES = 4  # right and wrong ones, that are asked again for it


def another_question(group: Group) -> str | None:
    """The result is what the reference gives for other arguments; for two of them at once, if one
    alone explains a part: somebody made two mistakes."""
    singles = list(substitutes([group.trial.cases[i] for i in group.numbers]))
    partial = []
    for one in singles:
        held = group.held(lambda i, s=(one,): _answer(group, s, i))
        if where := group.in_words(held, lambda i, s=(one,): _answer(group, s, i)):
            return f"{group.subject} is the right one {one.says}, {where}."
        if len(held) >= 2:
            partial.append(one)
    for one, other in itertools.product(partial, singles):
        if one.name == other.name:
            continue
        if where := group.explained(lambda i, s=(one, other): _answer(group, s, i)):
            return f"{group.subject} is the right one {one.says} and {other.says}, {where}."
    return None


def _answer(group: Group, changes: Sequence[Substitute], i: int) -> Any:
    """The reference's result for the changed arguments; None where nothing changes."""
    given = changed = group.trial.cases[i].arguments
    for substitute in changes:
        changed = substitute.change(changed) or changed
    if changed is given:
        return None
    answer = group.trial.answer(i, changed)
    if answer is NO_ANSWER or not group.has_part(answer):
        return None
    picked = group.pick(answer)
    return None if group.near(picked, group.pair(i)[0]) else picked


def no_effect(group: Group) -> str | None:
    """An argument that changes the right result and never the solution's."""
    trial = group.trial
    if group.part is not None or trial.cases[group.numbers[0]].gradients:
        return None
    chosen = [*group.right[:_CASES], *group.telling[:_CASES]]
    for name in group.names:
        unmoved = list(itertools.takewhile(_is_known, (_unmoved(group, i, name) for i in chosen)))
        tries = sum(n for n in unmoved if n)
        if len(unmoved) == len(chosen) and tries >= _TRIES and sum(map(bool, unmoved)) >= 2:
            return (
                f"`{name}` has no effect on your result: with another `{name}` it stayed the same "
                f"in {tries} of {tries} tries, though it should have changed."
            )
    return None


def _is_known(unmoved: int | None) -> bool:
    return unmoved is not None


def _unmoved(group: Group, i: int, name: str) -> int | None:
    """How often another value of an argument left a case's result as it was, though the right one
    changed; None if it changed once."""
    trial, tries = group.trial, 0
    for changed in others(trial.cases[i].arguments, name):
        right = trial.answer(i, changed)
        if right is NO_ANSWER or group.near(right, group.pair(i)[0]):
            continue
        if not trial.alike(trial.ask(i, changed), trial.got[i]):
            return None
        tries += 1
    return tries


def one_row_at_a_time(group: Group) -> str | None:
    """Right for each row by itself, wrong for several together."""
    if group.part is not None:
        return None
    trial, told_by = group.trial, []
    for i in group.telling:
        alone = list(_rows(trial, i))
        if len(alone) < 2:
            continue
        right = [trial.answer(i, arguments) for arguments in alone]
        if not all(
            isinstance(one, Tensor) and one.shape[1:] == right[0].shape[1:] for one in right
        ):
            return None
        if not group.near(trial.expected[i].value, torch.cat(right)):
            return None
        got = [trial.ask(i, arguments) for arguments in alone]
        both = zip(right, got, strict=True)
        if not all(one.error is None and group.near(answer, one.value) for answer, one in both):
            return None
        told_by.append(i)
    if len(told_by) < 2:
        return None
    return "It is right for each row alone, and wrong when several rows come together."


def _rows(trial: Trial, number: int) -> Iterator[dict[str, Any]]:
    """A case's arguments, one row of the batch at a time."""
    expected, given = trial.expected[number].value, trial.cases[number].arguments
    if not isinstance(expected, Tensor) or expected.ndim < 2 or not 2 <= len(expected) <= 6:
        return
    batched = {
        name
        for name, value in given.items()
        if isinstance(value, Tensor) and value.ndim and len(value) == len(expected)
    }
    first = next((name for name, value in given.items() if isinstance(value, Tensor)), None)
    if first not in batched:
        return
    for row in range(len(expected)):
        yield {n: v[row : row + 1] if n in batched else v for n, v in given.items()}


def another_answer_each_time(group: Group) -> str | None:
    """The same call gives something else the second time."""
    if group.part is not None:
        return None
    trial, differing = group.trial, 0
    asked = group.telling[:3]
    for i in asked:
        once, again = (trial.ask(i, trial.cases[i].arguments) for _ in range(2))
        if once.error or again.error:
            return None
        differing += not (trial.alike(once, again) and trial.alike(once, trial.got[i]))
    if differing < min(2, len(asked)):
        return None
    given = trial.cases[asked[0]].arguments.values()
    if any(isinstance(value, torch.Generator) for value in given):
        return (
            "The same call with an equal generator gives another result each time: draw from "
            "`generator` and from nothing else."
        )
    return (
        "The same call gives another result the second time: something is kept from one call to "
        "the next, or drawn at random."
    )
