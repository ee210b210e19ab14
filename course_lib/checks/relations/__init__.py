"""What a wrong result has to do with the right one, found by trying; no exercise is known here.

Each finder looks at the cases that are tried in one way and returns a sentence, or None. What it
says was seen of this solution, in several wrong cases in which enough happens, and is contradicted
by no right one: a coincidence in one small case is not told.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from course_lib.checks.relations import form, places, properties, questions, values
from course_lib.checks.relations.group import Group, groups
from course_lib.checks.trial import TooLate, Trial

_SECONDS = 1.0  # of processor time for all finders together

# What needs no call comes first; within that, the strongest.
FINDERS: tuple[Callable[[Group], str | None], ...] = (
    form.only_the_form,
    form.one_part,
    values.always_the_same,
    values.worked_on,
    values.factor,
    values.combined_with_an_argument,
    values.an_argument_itself,
    places.rearranged,
    places.collapsed,
    questions.another_answer_each_time,
    questions.another_question,
    questions.no_effect,
    questions.one_row_at_a_time,
    places.cut_or_grown,
    places.one_place_off,
    places.wrong_where,
    places.some_places,
    values.factor_of_each_row,
    properties.not_finite,
    values.nearly,
    properties.lost,
    values.in_order_but_not_in_size,
    places.too_many_or_too_few,
    values.too_large_or_too_small,
)


def first_relation(trial: Trial) -> str | None:
    """The strongest sentence that can be said of a wrong solution."""
    trial = replace(trial, until=time.thread_time() + _SECONDS)
    with contextlib.suppress(TooLate):
        ways = list(groups(trial))
        for find in FINDERS:
            for group in ways:
                trial.in_time()
                if group.telling and (says := find(group)):
                    return says
    return None


def relations(trial: Trial) -> tuple[str, ...]:
    """The same as zero or one sentence. A result that a finder stumbles over costs nobody the
    rest of the report."""
    if any(one.overrun for one in trial.got):
        return ()
    with contextlib.suppress(Exception):
        if says := first_relation(trial):
            return (says,)
    return ()
