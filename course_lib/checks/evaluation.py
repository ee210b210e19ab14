"""From a solution to a report: try every case, compare, say what the matter is."""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from torch import Tensor

from course_lib.checks.attempt import Forbidden, Outcome, attempt, learners_frame
from course_lib.checks.compare import Difference, difference
from course_lib.checks.exercise import Case, Draw, Exercise, Misconception, registered
from course_lib.checks.own import own_exercises
from course_lib.checks.picture import picture
from course_lib.checks.report import Report, in_words

# One file a notebook, in the order of the course: importing it registers its exercises.
NOTEBOOK_OF_MODULE = {
    "probability": "00_start_here",
    "tokenization": "01_tokenization",
    "embeddings": "02_embeddings",
    "attention": "03_attention",
    "transformer": "04_transformer_block",
    "encoder": "05_encoder_only",
    "decoder": "06_decoder_only",
    "encoder_decoder": "07_encoder_decoder",
    "decoding": "08_decoding",
    "in_context": "09_in_context_learning",
    "scaling": "10_scaling",
    "pipeline": "11_project",
}


def exercises() -> Mapping[str, Exercise]:
    """Every exercise of the course by its id, in the order of the notebooks."""
    for module in NOTEBOOK_OF_MODULE:
        importlib.import_module(f"course_lib.checks.{module}")
    order = list(NOTEBOOK_OF_MODULE)
    return dict(sorted(registered().items(), key=lambda item: order.index(item[1].module)))


def find_exercise(exercise_id: str) -> Exercise:
    """The exercise with this id, one of the course's or of the instructor's own (`own.py`); only
    its own notebook's checks are imported.

    Raises:
        ValueError: no exercise has this id.
    """
    module = exercise_id.partition(".")[0]
    if module in NOTEBOOK_OF_MODULE:
        importlib.import_module(f"course_lib.checks.{module}")
    if exercise_id in registered():
        return registered()[exercise_id]
    own = own_exercises()
    if exercise_id not in own:
        known = ", ".join([*exercises(), *own])
        raise ValueError(f"exercise_id: expected one of {known}; got {exercise_id!r}")
    return own[exercise_id]


def evaluate(
    exercise_id: str, solution: Any, *, seed: int | None = None, hidden: bool = False
) -> Report:
    """Try a solution on every case of an exercise and report.

    Never raises on a wrong, crashing or slow solution.

    Args:
        exercise_id: module and name, such as "attention.softmax".
        solution: the learner's function or class.
        seed: what the cases are drawn from; None is 0, or unknown to everyone when `hidden`.
        hidden: larger cases, and a report that shows nothing of them.

    Raises:
        ValueError: no exercise has this id.
    """
    exercise = find_exercise(exercise_id)
    if not callable(solution):
        kind = "class" if isinstance(exercise.reference, type) else "function"
        explanation = f"`{exercise.name}` should be a {kind}; it is {in_words(solution)}."
        return _failed(exercise, f"this is not a {kind}", explanation)
    if seed is None:
        seed = secrets.randbits(48) if hidden else 0
    cases, expected = _right_outcomes(exercise, seed, hidden)
    got = _attempts(exercise, cases, solution, exercise.forbids)
    wrong = [i for i, outcome in enumerate(got) if not _right(exercise, expected[i], outcome)]
    if not wrong:
        headline = f"right on all {len(cases)} cases"
        return Report(exercise.id, True, exercise.points, exercise.points, headline)

    unwritten = next((o for o in got if isinstance(o.error, NotImplementedError)), None)
    if unwritten:
        return _not_written(exercise, unwritten)
    # What happens at the door is of little use while something inside is wrong.
    smallest = min(wrong, key=lambda i: (cases[i].at_the_door, _size(cases[i].arguments.values())))
    headline, explanation = _explain(exercise, cases[smallest], expected[smallest], got[smallest])
    misconception = _recognise(exercise, seed, hidden, got)
    if misconception:
        headline, explanation = misconception.name, (misconception.says,)
    wrongs = f"{len(wrong)} of {len(cases)} cases are not right yet"
    if hidden:
        shown = explanation if misconception else ()
        headline = headline if misconception else "not right on cases you have not seen"
        where = f"{wrongs}; one of them: {cases[smallest].about}."
        return _failed(exercise, headline, *shown, where, misconception=misconception)
    if misconception is None and got[smallest].error is None:
        explanation += _explain_in_part(exercise, seed, got, wrong)
    evidence = _evidence(cases[smallest], expected[smallest], got[smallest])
    drawn = picture(expected[smallest].value, got[smallest].value, exercise.tolerance)
    if isinstance(got[smallest].error, Forbidden):
        evidence = ()  # its values may well be right
    where = f"{wrongs}. The smallest: {cases[smallest].about}."
    report = _failed(exercise, headline, *explanation, where, misconception=misconception)
    return replace(report, evidence=evidence, picture=drawn)


@lru_cache(maxsize=24)
def _right_outcomes(
    exercise: Exercise, seed: int, hidden: bool
) -> tuple[list[Case], list[Outcome]]:
    """The cases that follow from a seed, and what the reference makes of them. Kept: many
    solutions meet the same cases, and every attempt works on copies."""
    cases = list(exercise.make_cases(Draw(seed, hidden)))
    return cases, [attempt(case, exercise.reference, seconds=None) for case in cases]


def _attempts(
    exercise: Exercise, cases: list[Case], solution: Callable, forbids: tuple[str, ...] = ()
) -> list[Outcome]:
    """An outcome for each case; after one that does not end, the rest are not tried."""
    outcomes: list[Outcome] = []
    for case in cases:
        if outcomes and outcomes[-1].out_of_time:
            outcomes.append(outcomes[-1])
        else:
            outcomes.append(attempt(case, solution, forbids, exercise.seconds))
    return outcomes


def _right(exercise: Exercise, expected: Outcome, got: Outcome) -> bool:
    return got.same_as(expected, exercise.tolerance)


def _recognise(exercise: Exercise, seed: int, hidden: bool, got: list[Outcome]):
    """The first misconception that gives the same outcome as the solution on every case."""
    if any(outcome.out_of_time for outcome in got):
        return None
    cases, _ = _right_outcomes(exercise, seed, hidden)
    inside = [i for i, case in enumerate(cases) if not case.at_the_door]
    for misconception in exercise.misconceptions:
        theirs = (_their_outcome(exercise, seed, hidden, misconception, i) for i in inside)
        if all(got[i].same_as(t, exercise.tolerance) for i, t in zip(inside, theirs)):
            return misconception
    return None


def _explain_in_part(
    exercise: Exercise, seed: int, got: list[Outcome], wrong: list[int]
) -> tuple[str, ...]:
    """A sentence on the misconception behind most of a visible check's wrong cases, if it is behind
    two at least: whoever makes two mistakes at once sees one of them alone where the other does not
    matter."""
    if any(outcome.out_of_time for outcome in got):
        return ()
    cases, _ = _right_outcomes(exercise, seed, False)
    plain = [i for i in wrong if not cases[i].at_the_door and got[i].error is None]

    def explained(misconception: Misconception) -> int:
        theirs = (_their_outcome(exercise, seed, False, misconception, i) for i in plain)
        return sum(got[i].same_as(t, exercise.tolerance) for i, t in zip(plain, theirs))

    counts = [explained(misconception) for misconception in exercise.misconceptions]
    if max(counts, default=0) < 2:
        return ()
    likely = exercise.misconceptions[counts.index(max(counts))]
    says = f'In {max(counts)} of the wrong cases you get what the mistake "{likely.name}" gives:'
    return (f"{says} {likely.says}",)


@lru_cache(maxsize=5_000)
def _their_outcome(
    exercise: Exercise, seed: int, hidden: bool, misconception: Misconception, number: int
) -> Outcome:
    """What a misconception makes of one case. Kept, as many solutions are compared with it."""
    cases, _ = _right_outcomes(exercise, seed, hidden)
    return attempt(cases[number], misconception.solution, seconds=None)


def _explain(
    exercise: Exercise, case: Case, expected: Outcome, got: Outcome
) -> tuple[str, tuple[str, ...]]:
    """(headline, sentences) about one wrong outcome that no misconception explains."""
    if got.out_of_time:
        return "it does not finish", (
            f"After {exercise.seconds:g} seconds `{exercise.name}` was still running. "
            "Look for a loop whose condition never becomes false.",
        )
    if isinstance(got.error, Forbidden):
        return "it calls what you are asked to build", (f"In your code, {got.error}.",)
    if got.error is not None:
        return _explain_error(exercise, got.error)
    if got.changed:
        names = " and ".join(f"`{name}`" for name in got.changed)
        return "it changes its arguments", (
            f"After the call {names} is no longer what it was. Work on a copy: whoever calls "
            f"`{exercise.name}` still needs the original.",
        )
    found = difference(expected.value, got.value, exercise.tolerance)
    assert isinstance(found, Difference)
    headline = {
        "missing": "nothing comes back",
        "type": "the type is not the expected one",
        "dtype": "the dtype is not the expected one",
        "shape": "the shape is not the expected one",
        "length": "the number of items is not the expected one",
        "keys": "the keys are not the expected ones",
        "value": "the values are not right yet",
    }[found.kind]
    return headline, (_sentence(found.says),)


def _explain_error(exercise: Exercise, error: BaseException) -> tuple[str, tuple[str, ...]]:
    frame = learners_frame(error)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    lines = [text if len(text) <= 300 else text[:300] + " ..."]
    if frame:
        name, number, source = frame
        lines.append(f"It happened in `{name}`, line {number}: `{source}`")
    if "torch.return_types" in text:
        lines.append(
            "`max`, `min`, `sort` and `topk` along a dimension give two tensors, values and "
            "indices: take `.values`."
        )
    return "your code stopped with an error", tuple(lines)


def _not_written(exercise: Exercise, outcome: Outcome) -> Report:
    frame = learners_frame(outcome.error)
    name = frame[0] if frame else exercise.name
    if name in (exercise.name, "__init__", "__call__", "forward"):
        says = "Replace the line `raise NotImplementedError` by your code and run the cell again."
        return _failed(exercise, "not written yet", says)
    says = f"It calls `{name}`, which is not written yet: write that one first."
    return _failed(exercise, f"waits for `{name}`", says)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _evidence(case: Case, expected: Outcome, got: Outcome) -> tuple[tuple[str, str], ...]:
    rows = [(name, in_words(value)) for name, value in case.arguments.items()]
    rows.append(("expected", in_words(expected.value)))
    if got.out_of_time:
        rows.append(("got", "no end"))
    elif got.error is not None:
        rows.append(("got", type(got.error).__name__))
    else:
        rows.append(("got", in_words(got.value)))
    if got.printed.strip():
        rows.append(("printed", "\n".join(got.printed.strip().splitlines()[:10])))
    return tuple(rows)


def _size(values: Any) -> int:
    """How much there is to read in a case's arguments."""
    if isinstance(values, Tensor):
        return values.numel()
    if isinstance(values, str | bytes):
        return len(values)
    if isinstance(values, Mapping):
        return sum(map(_size, values.keys())) + sum(map(_size, values.values()))
    try:
        return sum(map(_size, values))
    except TypeError:
        return 1


def _failed(exercise: Exercise, headline: str, *explanation: str, misconception=None) -> Report:
    name = misconception.name if misconception else None
    return Report(exercise.id, False, 0.0, exercise.points, headline, name, tuple(explanation))
