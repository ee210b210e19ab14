"""What is said of a solution that is not right: only what was seen of it.

In order of strength: a recognised misconception; what the result has to do with the right one,
found by trying (`relations.py`); which kinds of cases are right and which are wrong.
"""

from __future__ import annotations

from dataclasses import replace

from course_lib.checks.attempt import Forbidden, Outcome, learners_frame
from course_lib.checks.clock import Overrun
from course_lib.checks.compare import Difference, difference
from course_lib.checks.exercise import Case, Exercise, Misconception
from course_lib.checks.picture import picture
from course_lib.checks.recognition import recognised
from course_lib.checks.relations import relations
from course_lib.checks.report import Report, in_words
from course_lib.checks.trial import Trial

_NAMED = 6  # cases of a kind, before "and others"


def diagnose(trial: Trial, shown: int) -> Report:
    """The report on a solution that is wrong, with the case `shown` as evidence."""
    exercise = trial.exercise
    unwritten = next((o for o in trial.got if o.error and _is_a_stub(o.error)), None)
    if unwritten:
        return _not_written(exercise, unwritten)
    misconception = recognised(trial)
    case, expected, got = trial.cases[shown], trial.expected[shown], trial.got[shown]
    if misconception:
        headline, says = misconception.name, [misconception.says]
    else:
        headline, says = _explain(trial, shown)
        if got.overrun is None and not isinstance(got.error, Forbidden) and not trial.hidden:
            says += relations(trial)
    if trial.hidden:
        if not misconception:
            headline, says = "not right on cases you have not seen", []
        where = f"{_counted(trial)}; one of them: {case.about}."
        return _failed(exercise, headline, [*says, where], misconception)
    if not misconception:
        says += _kinds(trial)
    report = _failed(exercise, headline, [*says, _where(trial, case)], misconception)
    if isinstance(got.error, Forbidden):
        return report  # its values may well be right
    drawn = picture(expected.value, got.value, exercise.tolerance)
    return replace(report, evidence=_evidence(trial, case, expected, got), picture=drawn)


def _failed(
    exercise: Exercise, headline: str, says: list[str], misconception: Misconception | None = None
) -> Report:
    name = misconception.name if misconception else None
    return Report(exercise.id, False, 0.0, exercise.points, headline, name, tuple(says))


def _counted(trial: Trial) -> str:
    untried = sum(not one.tried for one in trial.got)
    tried = len(trial.cases) - untried
    are = "is" if len(trial.wrong) == 1 else "are"
    says = f"{len(trial.wrong)} of {tried} cases {are} not right yet"
    return f"{says}, {untried} more were not tried" if untried else says


def _where(trial: Trial, case: Case) -> str:
    if any(one.overrun for one in trial.got):
        untried = sum(not one.tried for one in trial.got)
        after = f" The cases after it ({untried}) were not tried." if untried else ""
        return f"The case: {case.about}.{after}"
    only = "The case" if len(trial.wrong) == 1 else "One of them"
    return f"{_counted(trial)}. {only}: {case.about}."


def _kinds(trial: Trial) -> list[str]:
    """Which cases are right and which are wrong, by their labels."""
    if not trial.right or len(trial.wrong) + len(trial.right) < 3:
        return []
    right, wrong = (_labels(trial, numbers) for numbers in (trial.right, trial.wrong))
    return [f"Right already: {right}.", f"Not yet: {wrong}."]


def _labels(trial: Trial, numbers: list[int]) -> str:
    labels = list(dict.fromkeys(trial.cases[i].about for i in numbers))
    more = f"; and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
    return "; ".join(labels[:_NAMED]) + more


# --- one outcome in words ------------------------------------------------------------------


def _explain(trial: Trial, shown: int) -> tuple[str, list[str]]:
    """(headline, sentences) about one wrong outcome that no misconception explains."""
    exercise, case = trial.exercise, trial.cases[shown]
    expected, got = trial.expected[shown], trial.got[shown]
    if got.overrun:
        return "it does not finish", _overrun(exercise, got.overrun, expected.seconds)
    if isinstance(got.error, Forbidden):
        return "it calls what you are asked to build", [f"In your code, {got.error}."]
    if got.error is not None:
        return "your code stopped with an error", _error(got.error)
    if got.changed and not expected.changed:
        names = " and ".join(f"`{name}`" for name in got.changed)
        return "it changes its arguments", [
            f"After the call {names} is no longer what it was. Work on a copy: whoever calls "
            f"`{exercise.name}` still needs the original.",
        ]
    found = difference(expected.value, got.value, exercise.tolerance)
    if found is None:  # an error was right here
        return "an error is missing", [f"Expected here: {_named(expected.error)}."]
    if case.edge and isinstance(expected.value, str) and isinstance(got.value, str):
        return "right but for bad input", [f"Expected here: {expected.value}. It was {got.value}."]
    if all(trial.cases[i].gradients for i in trial.wrong) and found.kind == "value":
        says = "Every value is right. What is wrong is the gradient that flows back through it: "
        return "the values are right, the gradient is not", [says + found.says]
    return _headline(found, case), [_sentence(found.says)]


def _headline(found: Difference, case: Case) -> str:
    if found.kind == "value" and case.gradients:
        return "the gradient is not right yet"
    return {
        "missing": "nothing comes back",
        "type": "the type is not the expected one",
        "dtype": "the dtype is not the expected one",
        "shape": "the shape is not the expected one",
        "length": "the number of items is not the expected one",
        "keys": "the keys are not the expected ones",
        "value": "the values are not right yet",
    }[found.kind]


def _overrun(exercise: Exercise, overrun: Overrun, reference: float) -> list[str]:
    if overrun.asleep:
        return [f"`{exercise.name}` stopped doing anything: it sleeps, or waits for something."]
    if overrun.circling:
        line, names = overrun.circling
        still = f": {names}, look after look" if names else ""
        return [
            f"It goes round in circles at line {line}, and nothing changes there any more{still}."
        ]
    theirs = f"{reference:.2g}" if reference >= 0.01 else "less than 0.01"
    return [
        f"It had used {overrun.seconds:.0f} seconds of the processor's time on this case and was "
        f"not done; the course's own needs {theirs}. A loop in it never ends, or does far more "
        "than it has to."
    ]


def _error(error: BaseException) -> list[str]:
    text = _named(error)
    lines = [text if len(text) <= 300 else text[:300] + " ..."]
    if frame := learners_frame(error):
        name, number, source = frame
        lines.append(f"It happened in `{name}`, line {number}: `{source}`")
    if "torch.return_types" in text:
        lines.append(
            "`max`, `min`, `sort` and `topk` along a dimension give two tensors, values and "
            "indices: take `.values`."
        )
    return lines


def _named(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


# --- code that is not written yet ---------------------------------------------------------------


def _is_a_stub(error: BaseException) -> bool:
    """Raised by the line that stands for the answer; torch raises NotImplementedError too."""
    if not isinstance(error, NotImplementedError):
        return False
    frame = learners_frame(error)
    line = frame[2] if frame else ""
    return line.startswith("raise NotImplementedError") if line else not str(error)


def _not_written(exercise: Exercise, outcome: Outcome) -> Report:
    frame = learners_frame(outcome.error) if outcome.error else None
    name = frame[0] if frame else exercise.name
    if name in (exercise.name, "__init__", "__call__", "forward"):
        says = "Replace the line `raise NotImplementedError` by your code and run the cell again."
        return _failed(exercise, "not written yet", [says])
    says = f"It calls `{name}`, which is not written yet: write that one first."
    return _failed(exercise, f"waits for `{name}`", [says])


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- the case that is shown ---------------------------------------------------------------------


def _evidence(
    trial: Trial, case: Case, expected: Outcome, got: Outcome
) -> tuple[tuple[str, str], ...]:
    rows = [(name, in_words(value)) for name, value in case.arguments.items()]
    what = "expected gradient" if case.gradients else "expected"
    right = _named(expected.error) if expected.error is not None else in_words(expected.value)
    rows.append((what, right))
    if got.overrun:
        rows.append(("got", "no end"))
    elif got.error is not None:
        rows.append(("got", type(got.error).__name__))
    else:
        rows.append(("got", in_words(got.value)))
    if got.printed.strip():
        rows.append(("printed", "\n".join(got.printed.strip().splitlines()[:10])))
    return tuple(_cut(rows))


_LINES = 30  # of evidence, at most


def _cut(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same rows in so few lines that somebody reads them: the longest are cut first."""
    lines = [text.split("\n") for _, text in rows]
    while sum(map(len, lines)) > _LINES:
        longest = max(lines, key=len)
        if len(longest) <= 3:
            break
        del longest[-2 if longest[-1] == "..." else -1]
        if longest[-1] != "...":
            longest[-1] = "..."
    return [(label, "\n".join(part)) for (label, _), part in zip(rows, lines, strict=True)]
