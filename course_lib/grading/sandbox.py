"""Where submissions run: a process that can read Python and the course, and reach nothing else.

Three levels, and which one holds is tried, not believed:

- `bwrap`: bubblewrap (Linux). No network, no files but Python's and the course's own (without
  exercises' checks, notebooks, gradebook), an unprivileged user, and for every submission
  namespaces of its own within.
- `container`: the process runs in a container or virtual machine that somebody else made (a
  JupyterHub pod, for example). Limits, and never root; the container has to keep the gradebook
  out.
- `unsafe`: a process of its own with limits, and all the rights of whoever grades.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import site
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

import course_lib
from course_lib.checks.evaluation import NOTEBOOK_OF_MODULE
from course_lib.grading.remote import Session, SessionLost

Level = Literal["bwrap", "container", "unsafe"]
LEVELS: tuple[Level, ...] = ("bwrap", "container", "unsafe")
SCRATCH = "/scratch"  # the one folder a submission can write into; not /tmp, where Python may be
_PACKAGE = Path(course_lib.__file__).parent


@cache
def strongest_level() -> Level:
    """The strongest level that really works here, found by trying."""
    try:
        with shared_sandbox("bwrap").session() as session:
            session.ask("names")
    except (SandboxUnavailable, SessionLost):
        return "unsafe"
    return "bwrap"


@cache
def shared_sandbox(level: Level) -> Sandbox:
    """One warm process for all submissions that this process grades."""
    sandbox = Sandbox(level)
    atexit.register(sandbox.close)
    return sandbox


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
        self._errors = tempfile.TemporaryFile()
        descriptor = theirs.fileno()
        python = [sys.executable, "-m", "course_lib.grading.worker", str(descriptor), level]
        if level == "container" and os.getuid() == 0:  # the worker becomes nobody
            os.chmod(self._scratch.name, 0o1777)
        command = [*_bubblewrap(), *python] if level == "bwrap" else python
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                env=_environment(level, self._scratch.name),
                cwd=self._scratch.name,
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxUnavailable(f"{command[0]} does not start: {error}") from error
        theirs.close()
        self._answer(b"ready", seconds=120)

    def _answer(self, expected: bytes, seconds: float) -> None:
        self._control.settimeout(seconds)
        try:
            got = self._control.recv(16)
        except OSError:
            got = b""
        if got != expected:
            self.close()
            self._errors.seek(0)
            said = self._errors.read()[-2000:].decode(errors="replace").strip()
            raise SandboxUnavailable(f"the sandbox at level {self.level!r} does not work: {said}")

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def session(self):
        """A process for one submission, as a `Session`; at the end everything it started ends."""
        mine, theirs = socket.socketpair()
        self._number += 1
        number = self._number
        with mine:
            socket.send_fds(self._control, [b"+%d" % number], [theirs.fileno()])
            theirs.close()
            self._answer(b"done", seconds=30)
            try:
                yield Session(mine)
            finally:
                self._control.sendall(b"-%d" % number)
                self._answer(b"done", seconds=30)

    def close(self) -> None:
        """End the process and every session."""
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        self._process.kill()
        self._process.wait()
        self._scratch.cleanup()


def _environment(level: Level, scratch: str) -> dict[str, str]:
    """What a submission sees of the environment: nothing but this."""
    home = SCRATCH if level == "bwrap" else scratch
    return {
        "HOME": home,
        "TMPDIR": home,
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": home,
        "IPYTHONDIR": f"{home}/.ipython",
        "OMP_NUM_THREADS": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_OFFLINE": "1",
        "NBGRADER_EXECUTION": "autograde",  # as when nbgrader itself runs a submission
        "PYTHONPATH": str(_PACKAGE.parent) if level != "bwrap" else "/course",
    }


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
    if os.getuid() == 0:  # the worker becomes nobody as soon as the files are in place
        command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user"]
    for path in ("/usr", "/lib", "/lib64", "/bin"):
        if Path(path).is_symlink():
            command += ["--symlink", os.readlink(path), path]
        elif Path(path).exists():
            command += ["--ro-bind", path, path]
    for path in ("/etc/ld.so.cache", "/etc/fonts", "/etc/localtime"):
        command += ["--ro-bind-try", path, path]
    pythons = {sys.prefix, sys.base_prefix, *site.getsitepackages()}
    for path in sorted(pythons, key=len):
        if not any(path != other and path.startswith(f"{other}/") for other in pythons):
            for parent in reversed(Path(path).parents[:-1]):  # nobody has to get through them
                command += ["--perms", "0755", "--dir", str(parent)]
            command += ["--ro-bind", path, path]
    # the course without what submissions must not see; its folder's neighbours stay out
    command += ["--tmpfs", "/course", "--ro-bind", str(_PACKAGE), "/course/course_lib"]
    for module in NOTEBOOK_OF_MODULE:
        command += ["--ro-bind", "/dev/null", f"/course/course_lib/checks/{module}.py"]
    if (_PACKAGE / "checks" / "__pycache__").exists():  # the same once more, compiled
        command += ["--tmpfs", "/course/course_lib/checks/__pycache__"]
    command += ["--proc", "/proc", "--dev", "/dev"]
    command += ["--perms", "1777", "--size", str(64 * 2**20), "--tmpfs", SCRATCH]
    command += ["--remount-ro", "/course", "--remount-ro", "/", "--chdir", SCRATCH]
    return tuple(command)
