"""The attack corpus: no unearned mark, no bystander touched, no grade missing."""

import sys

import pytest

from course_lib.grading.attacks.corpus import BYSTANDER, CORPUS, RIGHT, Submission
from course_lib.grading.attacks.harness import Harness
from course_lib.grading.sandbox.launcher import strongest_level

EVERY = 10  # submissions, a bystander is looked at


@pytest.fixture(scope="module")
def harness():
    if strongest_level() != "bwrap":
        pytest.skip("bubblewrap does not work here (Debian, Ubuntu: apt install bubblewrap)")
    with Harness("bwrap") as harness:
        yield harness
        assert harness.who_touched_a_bystander() is None


def test_the_corpus_is_large_enough():
    assert sum(one.hostile for one in CORPUS) >= 60
    assert sum(not one.hostile for one in CORPUS) >= 20
    assert len({one.name for one in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize(
    ("place", "submission"),
    list(enumerate(CORPUS, 1)),
    ids=[one.name.replace(" ", "-") for one in CORPUS],
)
def test_gets_what_it_must(place, submission, harness):
    assert harness.marks(submission) == submission.marks
    if place % EVERY == 0:
        assert harness.who_touched_a_bystander() is None


KILLS_THOSE_BESIDE_IT = """
import os

def parent(pid):
    return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])

server = parent(os.getppid())
for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
    try:
        if pid != os.getpid() and parent(parent(pid)) == server:
            os.kill(pid, 9)
    except OSError:
        pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who is beside")
def test_who_touches_a_bystander_is_named():
    """Without a sandbox one submission can reach another: the look at bystanders is able to fail."""
    with Harness("unsafe") as harness:
        harness.marks(BYSTANDER)
        assert harness.who_touched_a_bystander() is None
        harness.marks(BYSTANDER)
        harness.marks(Submission("guilty", {}, RIGHT, first=KILLS_THOSE_BESIDE_IT))
        assert harness.who_touched_a_bystander() == "guilty"
