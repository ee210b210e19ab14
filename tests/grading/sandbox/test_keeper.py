"""What a session leaves behind, and how much memory all of it takes: at every level."""

import os
import sys
import time
from pathlib import Path

import pytest

from course_lib.grading.sandbox import keeper, policy
from course_lib.grading.sandbox.client import SessionLost
from course_lib.grading.sandbox.launcher import Sandbox, strongest_level

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who is left")

STAYS = """
import ctypes, os, signal, time
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)  # PR_SET_PDEATHSIG: no signal when the parent is gone
os._exit = lambda code: time.sleep(600)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        time.sleep(600)
"""


@pytest.fixture(params=["unsafe", "bwrap"])
def sandbox(request):
    if request.param == "bwrap" and strongest_level() != "bwrap":
        pytest.skip("bubblewrap does not work here")
    with Sandbox(request.param) as sandbox:
        yield sandbox


def below(pid: int) -> set[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            line = path.read_text()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(line.rpartition(")")[2].split()[1])
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def test_nothing_outlives_its_session(sandbox):
    before = below(os.getpid())
    with sandbox.session() as session:
        session.ask("run", source=STAYS, seconds=20)
        assert len(below(os.getpid()) - before) >= 6
    assert below(os.getpid()) - before == set()


TAKES = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        held = bytearray(b"x") * {each}
        time.sleep(60)
        os._exit(0)
time.sleep(30)
"""


def test_memory_is_limited_for_a_session_as_a_whole(sandbox, monkeypatch):
    """The server has read its policy already: what it allows is really asked for."""
    each = policy.MAX_MEMORY // 3
    if os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < 1.3 * policy.MAX_MEMORY:
        pytest.skip("this machine has too little free memory")
    with sandbox.session() as session, pytest.raises(SessionLost):
        session.ask("run", source=TAKES.format(each=each), seconds=60)


def test_memory_is_counted_once_where_it_is_shared():
    held = bytearray(b"x") * 100_000_000
    proc = keeper.open_proc()
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    try:
        whole = keeper.memory(proc)
        assert whole >= len(held)  # below the limit: an upper bound
        assert keeper._share(proc, child) < 0.8 * whole
        assert child in keeper.descendants(proc)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(proc)


def test_memory_that_nobody_counts_is_refused():
    if strongest_level() != "bwrap":
        pytest.skip("bubblewrap does not work here")
    with Sandbox("bwrap") as sandbox, sandbox.session() as session:
        session.ask("run", source="import os\nos.memfd_create('x')\nfound = True", seconds=20)
        with pytest.raises(KeyError):
            session.ask("lookup", name="found")
        answer = session.ask(
            "run",
            source="import ctypes\nfound = ctypes.CDLL(None).shmget(0, 2**20, 0o1600)",
            seconds=20,
        )
        assert answer["error"] is None
        assert session.ask("lookup", name="found") == -1
