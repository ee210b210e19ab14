"""Starts the process that submissions run in, shut in as `policy.py` says."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from course_lib.grading.sandbox import policy
from course_lib.grading.sandbox.client import Session, SessionLost
from course_lib.grading.sandbox.policy import LEVELS, Level

_PATIENCE = 120.0  # seconds; what it waits for takes moments, but a machine can be very busy
_shared: dict[Level, Sandbox] = {}


@cache
def strongest_level() -> Level:
    """The strongest level that really works here, found by trying."""
    try:
        with shared_sandbox("bwrap").session() as session:
            session.ask("names")
    except (SandboxUnavailable, SessionLost):
        return "unsafe"
    return "bwrap"


def shared_sandbox(level: Level) -> Sandbox:
    """One warm process for all submissions that this process grades; another, if it has ended."""
    if level not in _shared or not _shared[level].is_running():
        _shared[level] = Sandbox(level)
        atexit.register(_shared[level].close)
    return _shared[level]


class SandboxUnavailable(Exception):
    """This machine cannot run submissions at the level that was asked for."""


class Sandbox:
    """A warm process that is forked for each submission.

    Use it as a context manager; `session()` gives one submission a process of its own.

    Args:
        level: "bwrap", "container" or "unsafe".

    Raises:
        ValueError: there is no such level.
        SandboxUnavailable: it does not start here.
    """

    def __init__(self, level: Level = "bwrap") -> None:
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}; got {level!r}")
        self.level = level
        self._number = 0
        self._scratch = tempfile.TemporaryDirectory(prefix="course-sandbox-")
        self._control, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the sandbox
        descriptor = theirs.fileno()
        python = [sys.executable, "-m", "course_lib.grading.sandbox.server", str(descriptor), level]
        if level == "container" and os.getuid() == 0:  # the server becomes nobody
            os.chmod(self._scratch.name, 0o1777)
        command = [*_bubblewrap(), *python] if level == "bwrap" else python
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                env=policy.environment(level, self._scratch.name),
                cwd=self._scratch.name,
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxUnavailable(f"{command[0]} does not start: {error}") from error
        theirs.close()
        self._answer(b"ready")

    def _answer(self, expected: bytes) -> None:
        try:
            self._control.settimeout(_PATIENCE)
            got = self._control.recv(16)
        except OSError:
            got = b""
        if got != expected:
            self._end()
            self._errors.seek(0)
            said = self._errors.read()[-2000:].decode(errors="replace").strip()
            self._errors.close()
            raise SandboxUnavailable(f"the sandbox at level {self.level!r} does not work: {said}")

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """A process for one submission, as a `Session`; at the end everything it started ends.

        Raises:
            SandboxUnavailable: the warm process has ended; below level `bwrap` a submission can do
                that.
        """
        mine, theirs = socket.socketpair()
        self._number += 1
        number = self._number
        with mine:
            with contextlib.suppress(OSError):  # it has ended: there will be no answer
                socket.send_fds(self._control, [b"+%d" % number], [theirs.fileno()])
            theirs.close()
            self._answer(b"done")
            try:
                yield Session(mine)
            finally:
                with contextlib.suppress(OSError):
                    self._control.sendall(b"-%d" % number)
                self._answer(b"done")

    def is_running(self) -> bool:
        """Can it still be asked for sessions?"""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process and every session."""
        self._end()
        self._errors.close()

    def _end(self) -> None:
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        self._process.kill()
        self._process.wait()
        self._scratch.cleanup()


@cache
def _bubblewrap() -> tuple[str, ...]:
    """The command that shuts a process in."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise SandboxUnavailable(
            "bubblewrap is not installed (Debian, Ubuntu: apt install bubblewrap)"
        )
    command = [bwrap, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    command += ["--unshare-cgroup-try", "--die-with-parent", "--new-session"]
    if os.getuid() == 0:  # the server becomes nobody as soon as the files are in place
        command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user"]
    for path in policy.SYSTEM:
        if Path(path).is_symlink():
            command += ["--symlink", os.readlink(path), path]
        elif Path(path).exists():
            command += ["--ro-bind", path, path]
    for path in policy.SYSTEM_FILES:
        command += ["--ro-bind-try", path, path]
    command += ["--tmpfs", policy.COURSE]
    for here, there in policy.mounts().items():
        for parent in reversed(Path(there).parents[:-1]):  # nobody has to get through them
            command += ["--perms", "0755", "--dir", str(parent)]
        command += ["--ro-bind", here, there]
    for path in sorted(policy.masks()):  # read-only, or one submission could write to the next
        command += ["--tmpfs", path, "--remount-ro", path]
    command += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    command += ["--perms", "1777", "--size", str(policy.SCRATCH_SIZE), "--tmpfs", policy.SCRATCH]
    command += ["--remount-ro", policy.COURSE, "--remount-ro", "/", "--chdir", policy.SCRATCH]
    return tuple(command)
