"""What a judgement rests on, found by reading, beside what Python really imports."""

import subprocess
import sys

import pytest

from course_lib.grading.provenance import PACKAGE, digest, files

NOT_JUDGING = ("cli", "review", "server", "workspace", "authoring", "plots", "experiments")


def told(*texts):
    return {path.relative_to(PACKAGE).as_posix() for path in files(texts)}


def test_everything_that_judging_imports_is_in_it():
    code = """
import sys
from course_lib.checks import exercises
from course_lib.grading import jobs
from course_lib.grading.sandbox import server
exercises()
server._warm_up()
ours = {m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "course_lib"}
print(*sorted(ours), sep="\\n")
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    imported = {line for line in done.stdout.splitlines() if line.endswith(".py")}
    prepare = ("jobs", "provenance", "rebuild", "intake", "sanitize", "pictures")  # before judging
    assert imported - {str(path) for path in files(())} <= {
        str(PACKAGE / "grading" / f"{name}.py") for name in prepare
    }


def test_what_plays_no_part_is_not():
    found = told()
    assert not {name for name in found if name.split("/")[0] in NOT_JUDGING}
    assert {"attention.py", "grading/judge.py", "grading/sandbox/policy.py"} <= found
    assert "exercises/attention/softmax.py" in found


@pytest.mark.parametrize(
    "text",
    [
        "from course_lib.plots import attention as plots",
        "import course_lib.plots.attention",
        "def late():\n    from course_lib.plots.attention import heatmap",
    ],
)
def test_what_a_submission_imports_is(text):
    assert {"plots/attention.py", "plots/style.py"} <= told(text) - told()
    assert digest([text]) != digest([])


@pytest.mark.parametrize("text", ["no python", "import torch, os", "from course_lib import *"])
def test_other_texts_add_nothing(text):
    assert told(text) == told()
