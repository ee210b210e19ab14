"""A course folder with the small assignment of the attack corpus, ready for submissions."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from course_lib.grading.attacks.corpus import assignment
from course_lib.grading.jobs import run
from course_lib.grading.sandbox.launcher import strongest_level
from course_lib.notebooks import ROOT
from course_lib.release import released_from


@pytest.fixture(scope="session")
def released_course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released") / "course"
    path = folder / "notebooks" / "small" / "small.ipynb"
    path.parent.mkdir(parents=True)
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    with open(folder / "nbgrader_config.py", "a") as config:
        config.write(f"\nc.Judge.level = {strongest_level()!r}\n")
    nbformat.write(assignment(), path)
    _generate(folder)
    return folder


def _generate(folder):
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", "small", "--force"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def generate():
    return _generate


@pytest.fixture
def course_folder(released_course, tmp_path):
    return Path(shutil.copytree(released_course, tmp_path / "course"))


@pytest.fixture
def hand_in(course_folder):
    def hand_in(student, submission):
        """Put a submission of the corpus where `nbgrader collect` would."""
        released = released_from(course_folder / "notebooks" / "small" / "small.ipynb")
        folder = course_folder / "submitted" / student / "small"
        os.makedirs(folder, exist_ok=True)
        nbformat.write(submission.write(released), folder / "small.ipynb")
        return folder

    return hand_in


@pytest.fixture(scope="session")
def here():
    """Judges without a pool: these tests are about what becomes of a judgement, and a process that
    starts for each of them would take most of their time."""
    return lambda jobs: ((job, run(job)) for job in jobs)
