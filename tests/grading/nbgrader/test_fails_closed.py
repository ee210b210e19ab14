"""A configuration that does not load: nbgrader would go on and trust the submission's kernel."""

import os
import subprocess
import sys

import nbformat
import pytest

from course_lib.grading.attacks.corpus import BYSTANDER


@pytest.fixture
def autograde(course_folder, hand_in):
    hand_in("ada", BYSTANDER)
    with open(course_folder / "nbgrader_config.py", "a") as config:
        config.write("\nthis is not Python\n")

    def run(**environment):
        command = [sys.executable, "-m", "nbgrader", "autograde", "small"]
        options = {"source_directory": "notebooks", "course_id": "transformers"}
        command += [f"--CourseDirectory.{name}={value}" for name, value in options.items()]
        path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            command, cwd=course_folder, capture_output=True, text=True,
            env=os.environ | {"PATH": path} | environment,
        )  # fmt: skip

    return run


def test_nbgrader_stops_where_it_is_told_to(autograde, course_folder):
    done = autograde(TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR="1")
    assert done.returncode != 0 and "not Python" in done.stderr
    assert not (course_folder / "autograded").exists()


def test_a_right_answer_gets_nothing_unjudged(autograde, course_folder):
    done = autograde()
    assert done.returncode == 0, "nbgrader only logs the error"
    path = course_folder / "autograded" / "ada" / "small" / "small.ipynb"
    (cell,) = (
        cell
        for cell in nbformat.read(path, as_version=4).cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "check-greedy"
    )
    assert any(o.output_type == "error" and "Not judged" in o.evalue for o in cell.outputs)
