"""Try a solution on one case: what came back, or how it failed."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import linecache
import pkgutil
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib.checks.clock import OutOfTime, Overrun, cpu_seconds_of, run_with_limit
from course_lib.checks.compare import difference
from course_lib.checks.exercise import Case


class Forbidden(Exception):
    """Raised when a solution calls what the exercise asks to build."""


@dataclass(frozen=True)
class Outcome:
    """What one attempt gave: a value, or an error, or no end in time.

    `seconds` of processor time it took, where that was measured. What was not `tried` is neither
    right nor wrong: an attempt before it did not end.
    """

    value: Any = None
    error: BaseException | None = None
    overrun: Overrun | None = None
    changed: tuple[str, ...] = ()  # arguments that are not what they were
    printed: str = ""
    seconds: float = 0.0
    tried: bool = True

    def right(self, expected: Outcome, tolerance: float) -> bool:
        """Is this what the reference gives? Of an error, its type is enough: words are free."""
        if self.error is not None and expected.error is not None:
            return type(self.error) is type(expected.error)
        return self.alike(expected, tolerance)

    def alike(self, other: Outcome, tolerance: float) -> bool:
        """Do both attempts look the same from outside, an error's words included?"""
        if not (self.tried and other.tried) or self.overrun or other.overrun:
            return False
        if self.error is not None or other.error is not None:
            same = type(self.error) is type(other.error)
            return same and str(self.error) == str(other.error)
        if self.changed != other.changed:
            return False
        return difference(other.value, self.value, tolerance) is None


UNTRIED = Outcome(tried=False)


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise Forbidden(f"this exercise builds what `{name}` does, so it must not call it")

    return refuse


class _Watch(TorchFunctionMode):
    """Sees every call of torch in its thread, also by a name that was given to it before."""

    def __init__(self, refusals: dict[Callable[..., Any], Callable[..., Any]]) -> None:
        super().__init__()
        self.refusals = refusals

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return self.refusals.get(func, func)(*args, **(kwargs or {}))


class _OperatorWatch(TorchDispatchMode):
    """Sees every operator that runs in its thread, whatever function was called to run it."""

    def __init__(self, beginnings: tuple[str, ...]) -> None:
        super().__init__()
        self.beginnings = beginnings
        self.refusal: Forbidden | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name()
        if name.startswith(self.beginnings):
            said = f"this exercise builds what `{name}` does, so it must not run it"
            self.refusal = Forbidden(said)
            raise self.refusal
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def forbidding(names: tuple[str, ...]) -> Iterator[contextlib.AbstractContextManager[Any]]:
    """While a solution runs, each of the named functions refuses to work, and each operator of
    torch whose name begins so ("aten::_softmax").

    Yields:
        A context manager, to be entered in the thread in which the solution runs.
    """
    operators = tuple(name for name in names if "::" in name)
    functions = [name for name in names if "::" not in name]
    watch = _Watch({pkgutil.resolve_name(name): _refusal(name) for name in functions})
    with contextlib.ExitStack() as stack:
        for name in functions:
            stack.enter_context(mock.patch(name, _refusal(name)))
        yield _watching(watch if functions else None, operators)


@contextlib.contextmanager
def _watching(watch: _Watch | None, operators: tuple[str, ...]) -> Iterator[None]:
    operator_watch = _OperatorWatch(operators)
    try:
        with (
            watch or contextlib.nullcontext(),
            operator_watch if operators else contextlib.nullcontext(),
        ):
            yield
    except Exception:
        if operator_watch.refusal is not None:  # TorchScript puts an error of its own in its place
            raise operator_watch.refusal from None
        raise


def _watched(solution: Callable[..., Any], operators: tuple[str, ...]) -> Callable[..., Any]:
    """The solution, watched while it is called; not while its gradients are taken: torch computes
    some that are not finite in another way while somebody watches."""
    if not operators:
        return solution

    @functools.wraps(solution)
    def watched(*arguments: Any, **options: Any) -> Any:
        with _watching(None, operators):
            return solution(*arguments, **options)

    return watched


def copied(value: Any) -> Any:
    """A copy that shares nothing; for tensors, `deepcopy` takes several times as long."""
    if type(value) is Tensor:
        return value.detach().clone().requires_grad_(value.requires_grad)
    if type(value) in (list, tuple):
        return type(value)(map(copied, value))
    if type(value) is dict:
        return {key: copied(item) for key, item in value.items()}
    return copy.deepcopy(value)


def attempt(
    case: Case,
    solution: Callable[..., Any],
    forbids: tuple[str, ...] = (),
    seconds: float | None = 5.0,
) -> Outcome:
    """Try `solution` on copies of the case's arguments.

    It may take so many seconds of processor time; None is for solutions of the course itself, which
    end.
    """
    arguments = {name: copied(value) for name, value in case.arguments.items()}
    printed = io.StringIO()
    elsewhere = getattr(type(solution), "has_a_clock_of_its_own", False)  # watched there, too
    operators = () if elsewhere else tuple(name for name in forbids if "::" in name)
    with (
        forbidding(tuple(name for name in forbids if "::" not in name)) as watch,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        warnings.simplefilter("ignore")

        def work() -> Any:
            with watch:
                return case.observe(_watched(solution, operators), *arguments.values())

        value, overrun, took = None, None, 0.0
        error: BaseException | None = None
        if seconds is None or elsewhere:
            try:
                value, took = cpu_seconds_of(work)
            except OutOfTime as out:
                overrun = out.overrun
            except Exception as raised:  # noqa: BLE001 - an error can be the right answer
                error = raised
        else:
            value, error, overrun = run_with_limit(work, seconds, is_learners)
    changed = tuple(
        name
        for name, before in case.arguments.items()
        if _comparable(before) and difference(before, arguments[name], 0.0)
    )
    return Outcome(value, error, overrun, changed, printed.getvalue(), took)


def _comparable(value: Any) -> bool:
    """Only plain data can be compared before and after."""
    if isinstance(value, list | tuple):
        return all(map(_comparable, value))
    if isinstance(value, dict):
        return all(map(_comparable, value.values()))
    return isinstance(value, Tensor | int | float | str | bytes | None)


_NOT_THE_LEARNERS = (str(Path(__file__).parent.parent), sysconfig.get_path("stdlib"), "<frozen")


def is_learners(frame: FrameType) -> bool:
    """Whether a frame runs the learner's own code."""
    name = frame.f_code.co_filename
    return "site-packages" not in name and not name.startswith(_NOT_THE_LEARNERS)


def learners_frame(error: BaseException) -> tuple[str, int, str] | None:
    """(function, line number, source line) of the deepest frame of the learner's own code."""
    if frames := getattr(error, "submission_frames", None):  # it happened in a sandbox
        return frames[-1]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "site-packages" in frame.filename or frame.filename.startswith(_NOT_THE_LEARNERS):
            continue
        line = frame.line or linecache.getline(frame.filename, frame.lineno or 0).strip()
        return frame.name, frame.lineno or 0, line
    return None
