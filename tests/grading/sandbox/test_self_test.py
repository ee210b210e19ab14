"""What the sandbox keeps from submissions, tried."""

import pytest

from course_lib.grading.sandbox.launcher import strongest_level
from course_lib.grading.sandbox.self_test import self_test


def test_at_the_strongest_level_everything_holds():
    if strongest_level() != "bwrap":
        pytest.skip("bubblewrap does not work here (Debian, Ubuntu: apt install bubblewrap)")
    assert all(self_test("bwrap").values())


def test_the_attempts_can_succeed():
    """Without a sandbox the same attempts get through: the self-test is able to fail."""
    held = self_test("unsafe")
    assert not held["read a file of the grader"]
    assert not held["read what an exercise demands"]
    assert not held["read the instructor's notebooks"]
    assert not held["write into the course's package"]
    assert not held["signal the grader"]
    assert not held["reach a server on this machine"]
