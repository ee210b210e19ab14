"""What a submission may do and see. All limits, mounts and masks of the sandbox stand here.

Three levels, and which one holds is tried, not believed (`self_test.py`):

- `bwrap`: bubblewrap (Linux). No network, no files but Python's and the course's own (without
  exercises' checks, notebooks, gradebook), an unprivileged user, and for every submission
  namespaces of its own within.
- `container`: the process runs in a container or virtual machine that somebody else made (a
  JupyterHub pod, for example). Limits, and never root; the container has to keep the gradebook
  out.
- `unsafe`: a process of its own with limits, and all the rights of whoever grades.
"""

from __future__ import annotations

import site
import sys
import sysconfig
from pathlib import Path
from typing import Literal

import course_lib
from course_lib.notebooks import NOTEBOOKS, SHARE

Level = Literal["bwrap", "container", "unsafe"]
LEVELS: tuple[Level, ...] = ("bwrap", "container", "unsafe")

MIB = 2**20

# --- limits: what is handed in ---------------------------------------------------------------

MAX_FOLDER = 1024 * MIB  # bytes of all files
MAX_FILES = 10_000
MAX_FILE = 200 * MIB  # bytes of a notebook file, outputs included
MAX_VALUES = 5_000_000  # in it: what reading it takes of memory
MAX_NOTEBOOK = 20 * MIB  # bytes without outputs
MAX_SOURCE = 200_000  # characters of a cell
MAX_EXTRA_CELLS = 500  # of a learner's own
MAX_PICTURE = 4 * MIB  # bytes of a picture that a person is shown
MAX_PICTURES = 10  # of a cell

# --- limits: a submission's process ----------------------------------------------------------

RLIMITS = {  # names as in `man setrlimit`
    "AS": 4096 * MIB,  # memory
    "FSIZE": 64 * MIB,  # a file
    "NOFILE": 256,  # open files
    "NPROC": 64,  # processes
    "CPU": 600,  # seconds
    "CORE": 0,
}
MAX_MEMORY = 4096 * MIB  # of all its processes together
SECONDS_PER_CELL = 60.0  # of the processor's time, as all seconds here
SECONDS_PER_CALL = 10.0  # by a plain assert; an exercise's check has a clock of its own
SECONDS_PER_CHECK = 120.0  # a check cell as a whole
SECONDS_PER_SUBMISSION = 300.0  # all its cells together, and once more all its checks
SECONDS_LEFT = 1.0  # for an answer, when other cells have used these up
OUTER_CLOCK = 4  # times these, by the clock on the wall: for what sleeps, on a busy machine too
OUTER_CLOCK_IN_ALL = 2  # the same for a check cell, and for a submission, as a whole
MAX_PRINTED = 20_000  # characters a cell may print
MAX_PRINTED_IN_ALL = 500_000  # characters of a submission's output
MAX_ITEMS = 1_000_000  # items taken from an iterator
MAX_STEPS = 100_000  # of a generator
MAX_GRAPHS = 64  # calls that can still be differentiated

# --- limits: a message between judge and submission ------------------------------------------

MAX_TEXT = 16 * MIB  # bytes of JSON
MAX_BYTES = 256 * MIB  # bytes of tensors
MAX_RECEIVED = 2048 * MIB  # in all, of one check: what is received takes memory here
MAX_BUFFERS = 10_000
MAX_DEPTH = 60

# --- mounts: all that a submission can see at level `bwrap`, read-only -----------------------

SYSTEM = ("/usr", "/lib", "/lib64", "/bin")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/fonts", "/etc/localtime")
COURSE = "/course"  # where the package is seen; the neighbours of its folder are not
SCRATCH = "/scratch"  # the one folder it can write into; not /tmp, where Python may be
SCRATCH_SIZE = 64 * MIB  # of that, and of shared memory (/dev/shm)

PACKAGE = Path(course_lib.__file__).parent


def mounts() -> dict[str, str]:
    """The folders it sees besides `SYSTEM`: where each is here, and where it is seen."""
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    python = {sys.prefix, sys.base_prefix, *site.getsitepackages(), *packages}
    outermost = [
        path
        for path in sorted(python, key=len)
        if not any(path != other and path.startswith(f"{other}/") for other in python)
    ]
    return {path: path for path in outermost} | {str(PACKAGE): f"{COURSE}/course_lib"}


# --- masks: what is hidden in what it sees ---------------------------------------------------


def hidden_exercises() -> set[Path]:
    """What exercises demand: the folder `exercises` of the package, and of any other copy of it."""
    copies = {Path(path, "course_lib") for path in (*sys.path, *site.getsitepackages())}
    return {copy / "exercises" for copy in {PACKAGE, *copies}}


def hidden_notebooks() -> set[Path]:
    """The instructor's notebooks: those in use, and wherever a wheel may have put some."""
    prefixes = {sysconfig.get_path("data", scheme) for scheme in sysconfig.get_scheme_names()}
    return {NOTEBOOKS, *(Path(prefix) / SHARE / "notebooks" for prefix in prefixes)}


def masks() -> set[str]:
    """Where a submission would see something hidden; it sees an empty folder there."""
    hidden = [p.resolve() for p in hidden_exercises() | hidden_notebooks() if p.is_dir()]
    seen = {path: path for path in SYSTEM} | mounts()
    return {
        str(Path(there) / place.relative_to(Path(here).resolve()))
        for here, there in seen.items()
        for place in hidden
        if place.is_relative_to(Path(here).resolve())
    }


# --- the environment: nothing but this -------------------------------------------------------


def environment(level: Level, scratch: str) -> dict[str, str]:
    """The environment variables of a submission; `scratch` is its folder outside of bubblewrap."""
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
        "PYTHONSAFEPATH": "1",  # no torch.py of theirs
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_OFFLINE": "1",
        "NBGRADER_EXECUTION": "autograde",  # as when nbgrader itself runs a submission
        "PYTHONPATH": COURSE if level == "bwrap" else str(PACKAGE.parent),
    }
