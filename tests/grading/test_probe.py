"""What the sandbox keeps from submissions, tried."""

import pytest

from course_lib.grading.probe import probe
from course_lib.grading.sandbox import strongest_level


def test_at_the_strongest_level_everything_holds():
    if strongest_level() != "bwrap":
        pytest.skip("bubblewrap does not work here (Debian, Ubuntu: apt install bubblewrap)")
    assert all(probe("bwrap").values())


def test_the_attempts_can_succeed():
    """Without a sandbox the same attempts get through: the probe is able to fail."""
    held = probe("unsafe")
    assert not held["read a file of the grader"]
    assert not held["signal the grader"]
    assert not held["reach a server on this machine"]
