"""The process above a session: it runs none of the submission's code, watches how much memory the
session takes as a whole, and ends with the session all that was started in it.

At level `bwrap` a session has a pid namespace of its own, and the kernel ends all of it with its
first process. Elsewhere (Linux), whatever loses its parent becomes the keeper's child, so that its
descendants are always all that the session has started.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from course_lib.grading.sandbox import policy

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_ENDS = {signal.SIGTERM, signal.SIGCHLD}
_LOOK_EVERY = 0.25  # seconds

_libc = ctypes.CDLL(None, use_errno=True)


def adopt() -> None:
    """Become the parent of descendants that lose theirs; end with the own parent."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def fork_kept() -> int:
    """`os.fork`; in the parent, signals wait until `keep` looks at them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    if child := os.fork():
        return child
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
    os.setsid()  # a signal to its own group reaches nobody else
    return 0


def keep(child: int, proc: int | None) -> None:
    """Wait until the session's first process ends, takes too much memory, or is to end; then end
    everything.

    Args:
        child: its number.
        proc: `/proc` as an open folder, since this process may have lost sight of it.
    """
    while True:
        if _signal() == signal.SIGTERM:
            break
        if _has_ended(child) or (proc is not None and memory(proc) > policy.MAX_MEMORY):
            break
    end_all(child, proc)


def _signal() -> int | None:
    """The signal that came, if one does before it is time to look again."""
    if not hasattr(signal, "sigtimedwait"):  # macOS, where there is no /proc to look at either
        return signal.sigwait(_ENDS)
    found = signal.sigtimedwait(_ENDS, _LOOK_EVERY)
    return found and found.si_signo


def end_all(child: int, proc: int | None) -> None:
    """Kill a child and all descendants, until there are none."""
    while True:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if proc is None:
                os.killpg(child, signal.SIGKILL)
        for pid in descendants(proc) if proc is not None else ():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _has_ended(child: int) -> bool:
    """Has it? Others that were adopted are taken leave of, too."""
    with contextlib.suppress(ChildProcessError):
        while pid := os.waitpid(-1, os.WNOHANG)[0]:
            if pid == child:
                return True
        return False
    return True


def descendants(proc: int) -> Iterator[int]:
    """The numbers of all processes below this one."""
    parents = {}
    for name in os.listdir(proc):
        if name.isdigit() and (line := _read(proc, f"{name}/stat")):
            parents[int(name)] = int(line.rpartition(")")[2].split()[1])
    below: set[int] = set()
    new = {os.getpid()}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new} - below
        below |= new
        yield from new


def memory(proc: int) -> int:
    """Bytes that all processes below this one take together, shared pages counted once."""
    pids = list(descendants(proc))
    page = os.sysconf("SC_PAGE_SIZE")
    resident = sum(int((_read(proc, f"{pid}/statm") or "0 0").split()[1]) for pid in pids) * page
    if resident <= policy.MAX_MEMORY:  # with every page counted as often as it is shared
        return resident
    return sum(_share(proc, pid) for pid in pids)


def _share(proc: int, pid: int) -> int:
    """Its part of what it uses; all of it, if it does not let itself be looked at."""
    rollup = _read(proc, f"{pid}/smaps_rollup")
    for line in (rollup or "").splitlines():
        if line.startswith("Pss:"):
            return 1024 * int(line.split()[1])
    return int((_read(proc, f"{pid}/statm") or "0 0").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _read(proc: int, path: str) -> str | None:
    """A file of /proc; None if its process has just ended."""
    try:
        with open(os.open(path, os.O_RDONLY, dir_fd=proc)) as file:
            return file.read()
    except OSError:
        return None


def open_proc() -> int | None:
    """`/proc` as an open folder, where there is one."""
    return (
        os.open("/proc", os.O_RDONLY | os.O_DIRECTORY) if Path("/proc/self/stat").exists() else None
    )
