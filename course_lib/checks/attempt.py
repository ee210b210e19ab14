"""Try a solution on one case: what came back, or how it failed."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import io
import linecache
import pkgutil
import sysconfig
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from torch import Tensor
from torch.overrides import TorchFunctionMode

from course_lib.checks.compare import difference
from course_lib.checks.exercise import Case


class OutOfTime(BaseException):
    """Raised inside a solution that runs too long. Not an Exception, so that `except Exception`
    in the solution does not swallow it."""


class Forbidden(Exception):
    """Raised when a solution calls what the exercise asks to build."""


@dataclass(frozen=True)
class Outcome:
    """What one attempt gave: a value, or an error, or no end in time."""

    value: Any = None
    error: BaseException | None = None
    out_of_time: bool = False
    changed: tuple[str, ...] = ()  # arguments that are not what they were
    printed: str = ""

    def same_as(self, other: Outcome, tolerance: float) -> bool:
        """Do both attempts look alike from outside?"""
        if self.out_of_time or other.out_of_time:
            return self.out_of_time and other.out_of_time
        if self.error is not None or other.error is not None:
            return type(self.error) is type(other.error)
        if self.changed != other.changed:
            return False
        return difference(other.value, self.value, tolerance) is None


def _run_with_limit(work: Callable[[], Any], seconds: float) -> Outcome:
    """Run `work` in a thread of its own and stop waiting after `seconds`.

    A thread, because that works on every system and inside Jupyter; an endless Python loop in it
    is ended by raising `OutOfTime` there, again and again in case a bare `except:` swallows it.
    """
    outcome: list[Outcome] = []

    def target() -> None:
        try:
            outcome.append(Outcome(value=work()))
        except OutOfTime:
            pass
        except BaseException as error:  # noqa: BLE001 - whatever a learner's code raises
            outcome.append(Outcome(error=error))

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        for _ in range(20):
            identifier = ctypes.c_ulong(thread.ident)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(identifier, ctypes.py_object(OutOfTime))
            thread.join(0.05)
            if not thread.is_alive():
                break
        return Outcome(out_of_time=True)
    return outcome[0] if outcome else Outcome(out_of_time=True)


def _refusal(name: str) -> Callable:
    def refuse(*_: Any, **__: Any):
        raise Forbidden(f"this exercise builds what `{name}` does, so it must not call it")

    return refuse


class _Watch(TorchFunctionMode):
    """Sees every call of torch in its thread, also by a name that was given to it before."""

    def __init__(self, refusals: dict[Callable, Callable]) -> None:
        super().__init__()
        self.refusals = refusals

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return self.refusals.get(func, func)(*args, **(kwargs or {}))


@contextlib.contextmanager
def forbidding(names: tuple[str, ...]) -> Iterator[contextlib.AbstractContextManager]:
    """While a solution runs, each of the named functions refuses to work.

    Yields:
        A context manager, to be entered in the thread in which the solution runs.
    """
    watch = _Watch({pkgutil.resolve_name(name): _refusal(name) for name in names})
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(mock.patch(name, _refusal(name)))
        yield watch if names else contextlib.nullcontext()


def _run(work: Callable[[], Any]) -> Outcome:
    """Run what is known to end."""
    try:
        return Outcome(value=work())
    except Exception as error:  # noqa: BLE001 - an error can be the right answer
        return Outcome(error=error)


def _copied(value: Any) -> Any:
    """A copy that shares nothing; for tensors, `deepcopy` takes several times as long."""
    if type(value) is Tensor:
        return value.detach().clone().requires_grad_(value.requires_grad)
    if type(value) in (list, tuple):
        return type(value)(map(_copied, value))
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    return copy.deepcopy(value)


def attempt(
    case: Case, solution: Callable, forbids: tuple[str, ...] = (), seconds: float | None = 5.0
) -> Outcome:
    """Try `solution` on copies of the case's arguments.

    It may take so many seconds; None is for solutions of the course itself, which end.
    """
    arguments = {name: _copied(value) for name, value in case.arguments.items()}
    printed = io.StringIO()
    with (
        forbidding(forbids) as watch,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        warnings.simplefilter("ignore")

        def work() -> Any:
            with watch:
                return case.observe(solution, *arguments.values())

        outcome = _run(work) if seconds is None else _run_with_limit(work, seconds)
    changed = tuple(
        name
        for name, before in case.arguments.items()
        if _comparable(before) and difference(before, arguments[name], 0.0)
    )
    return Outcome(outcome.value, outcome.error, outcome.out_of_time, changed, printed.getvalue())


def _comparable(value: Any) -> bool:
    """Only plain data can be compared before and after."""
    if isinstance(value, list | tuple):
        return all(map(_comparable, value))
    if isinstance(value, dict):
        return all(map(_comparable, value.values()))
    return isinstance(value, Tensor | int | float | str | bytes | None)


_NOT_THE_LEARNERS = (str(Path(__file__).parent.parent), sysconfig.get_path("stdlib"), "<frozen")


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
