"""Run somebody's code for so much of the processor's time, whatever else the machine is doing.

A limit in seconds of wall time refuses right solutions on a busy machine. This one counts what the
solution's own thread has used; a wide outer bound, and a look at whether it does anything at all,
end what sleeps or waits for itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import dis
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any

from torch import Tensor

_IDLE = 15.0  # seconds without any work: it sleeps, or waits for itself
_OUTER = 12.0  # times the limit, in seconds of wall time: a machine can be that busy
_LOOKS = 25  # at a loop, before anything is said about it
_BETWEEN_LOOKS = 0.02  # seconds


@dataclass(frozen=True)
class Overrun:
    """How a solution used up its time.

    `seconds` are its own processor time; `asleep` says that it did nothing for long; `circling`
    names the line of a loop in which nothing changed from look to look, and what did not.
    """

    seconds: float
    asleep: bool = False
    circling: tuple[int, str] | None = None


class OutOfTime(BaseException):
    """Raised inside a solution that runs too long. Not an Exception, so that `except Exception`
    in the solution does not swallow it. Where the solution is stopped elsewhere, in a sandbox, it
    says how that came."""

    overrun = Overrun(0.0)


def cpu_seconds_of(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work()` returns, and the processor time it took in this thread."""
    before = time.thread_time()
    value = work()
    return value, time.thread_time() - before


def run_with_limit(
    work: Callable[[], Any], seconds: float, learners: Callable[[FrameType], bool]
) -> tuple[Any, BaseException | None, Overrun | None]:
    """(value, error, overrun) of `work()`, of which at most one of the last two is there.

    `work` runs in a thread of its own, because that works on every system and inside Jupyter; an
    endless Python loop in it is ended by raising `OutOfTime` there, again and again in case a bare
    `except:` swallows it.

    Args:
        work: what to run.
        seconds: of processor time.
        learners: whether a frame is the solution's own, for telling where it goes in circles.
    """
    done: list[tuple[Any, BaseException | None]] = []

    def target() -> None:
        try:
            done.append((work(), None))
        except OutOfTime:
            pass
        except BaseException as error:  # noqa: BLE001 - whatever a learner's code raises
            done.append((None, error))

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    used = _clock_of(thread)
    overrun = _wait(thread, used, seconds)
    if overrun and not overrun.asleep and thread.is_alive():
        circling = _circling(thread, learners)
        overrun = Overrun(overrun.seconds, circling=circling)
    if thread.is_alive():
        _end(thread)
    if done and overrun is None:
        return *done[0], None
    return None, None, overrun or Overrun(seconds)


@contextlib.contextmanager
def ending_after(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in what stands inside once it has used so many seconds of processor time in
    this thread. A single call into C is waited for."""
    thread, done = threading.get_ident(), threading.Event()
    used = _clock_of(threading.current_thread())
    start = used()

    def watch() -> None:
        while not done.wait(0.5):
            if used() - start > seconds:
                _raise_in(thread, OutOfTime)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        try:
            yield
        finally:
            done.set()
    finally:
        done.set()  # if it was raised just before that
        watcher.join()
        _raise_in(thread, None)


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Have a thread raise an error as soon as it runs Python again; None takes that back."""
    raised = ctypes.py_object() if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)


def _clock_of(thread: threading.Thread) -> Callable[[], float]:
    """The processor time that a running thread has used so far. Where a thread has no clock that
    others can read (macOS, Windows), that of the process stands in, from now on."""
    if not hasattr(time, "pthread_getcpuclockid"):
        start = time.process_time()
        return lambda: time.process_time() - start
    last = 0.0

    def used() -> float:
        nonlocal last
        with contextlib.suppress(OSError):  # it has just ended
            last = time.clock_gettime(time.pthread_getcpuclockid(thread.ident or 0))
        return last

    return used


def _wait(thread: threading.Thread, used: Callable[[], float], seconds: float) -> Overrun | None:
    """Wait for the thread to end; None if it did within its time."""
    begun = worked_at = time.monotonic()
    worked = 0.0
    pause = 0.002
    while True:
        thread.join(pause)
        if not thread.is_alive():
            return None
        pause = min(2 * pause, 0.1)
        now, spent = time.monotonic(), used()
        if spent - worked > 0.001:
            worked, worked_at = spent, now
        if spent >= seconds:
            return Overrun(spent)
        if now - worked_at >= _IDLE or now - begun >= max(_OUTER * seconds, _IDLE):
            return Overrun(spent, asleep=spent < 0.1 * (now - begun))


def _circling(
    thread: threading.Thread, learners: Callable[[FrameType], bool]
) -> tuple[int, str] | None:
    """The line of a loop that runs without changing any of its names, and these names' values."""
    looks: list[dict[FrameType, tuple[int, Any]]] = []
    for _ in range(_LOOKS):
        time.sleep(_BETWEEN_LOOKS)
        frame, look = sys._current_frames().get(thread.ident or 0), {}
        while frame is not None:
            if learners(frame):
                look[frame] = (frame.f_lasti, _state(frame))
            frame = frame.f_back
        looks.append(look)
    for loop in looks[0]:  # from the inside out
        if all(loop in look for look in looks):
            break
    else:
        return None
    states = [look[loop][1] for look in looks]
    # or it waits for one long call; a tight loop is always seen as it jumps back
    places = {look[loop][0] for look in looks}
    moves = len(places) > 1 or "JUMP" in dis.opname[loop.f_code.co_code[places.pop()]]
    if not moves or states[0] is None or any(state != states[0] for state in states):
        return None
    numbers = [(n, v) for n, v in loop.f_locals.items() if isinstance(v, int | float)]
    return loop.f_lineno, ", ".join(f"`{name}` is {value!r}" for name, value in numbers[:4])


def _state(frame: FrameType) -> Any:
    """All that the code of a frame can see change; None if something may change unseen."""
    try:
        return _frozen({**_globals_of(frame), **frame.f_locals})
    except _MayHide:
        return None


class _MayHide(Exception):
    """A value, such as an iterator, that can change without looking different."""


def _globals_of(frame: FrameType) -> dict[str, Any]:
    names = (name for name in frame.f_code.co_names if name in frame.f_globals)
    return {name: frame.f_globals[name] for name in names}


def _frozen(value: Any) -> Any:
    if value is None or isinstance(value, int | float | str | bytes):
        return value
    if isinstance(value, list | tuple | set | dict) and len(value) <= 1000:
        items = value.items() if isinstance(value, dict) else value
        return type(value), tuple(_frozen(item) for item in items)
    if isinstance(value, Tensor):
        return id(value), value._version  # it counts its changes
    if isinstance(value, FunctionType | BuiltinFunctionType | ModuleType | type):
        return id(value)
    raise _MayHide


def _end(thread: threading.Thread) -> None:
    for _ in range(20):
        _raise_in(thread.ident or 0, OutOfTime)
        thread.join(0.05)
        if not thread.is_alive():
            return
