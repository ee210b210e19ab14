"""A new exercise and a new notebook, made in a copy of the course and run there."""

import os
import re
import subprocess
import sys

import pytest

from course_lib.authoring.scaffold import new_exercise, new_notebook, write_syllabus
from course_lib.notebooks import ROOT
from course_lib.syllabus import CHAPTERS

REFERENCE = '''

def double(x: int) -> int:
    """Twice a number."""
    if x < 0:
        raise ValueError(f"x must not be negative, got {x}")
    # the plain way
    return 2 * x
'''

FILLED_IN = '''
from course_lib import IDEA
from course_lib.checks.exercise import Case, Exercise, refuses

double = Exercise("IDEA.double", points=1, reference=IDEA.double)


@double.cases
def _(draw):
    yield Case("a small number", {"x": 3})
    yield Case("a number", {"x": draw.random.randint(4, 99)})
    yield refuses("a negative number", {"x": -1}, "x")


@double.misconception
def squares_instead(x):
    """Twice x is x plus x. Yours is x times x."""
    return x * x


@double.misconception
def adds_two(x):
    """Twice is times two. Yours adds two."""
    return x + 2


@double.misconception
def gives_it_back(x):
    """Yours is x itself."""
    return x


@double.misconception
def halves(x):
    """Yours goes the other way: it halves."""
    return x // 2


def refuse(x):
    if x < 0:
        raise ValueError("x is negative")


@double.alternative
def as_a_sum(x):
    refuse(x)
    return x + x


@double.alternative
def by_shifting(x):
    refuse(x)
    return x << 1
'''


@pytest.fixture(scope="module")
def copy(clone_into, tmp_path_factory):
    return clone_into(tmp_path_factory.mktemp("copy") / "course")


@pytest.fixture(scope="module")
def run(copy):
    def run(*arguments):
        env = os.environ | {"PYTHONPATH": str(copy)}
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True)

    return run


def course(run, *arguments):
    done = run("course_lib", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def outcome(run):
    """What the tests of exercises and notebooks say, in the copy, of what is new there."""
    files = ["checks/test_exercises.py", "notebooks", "test_syllabus.py", "test_readme.py"]
    new = "double or 12_mine or 01_tokenization and not tokenization. or table_of_notebooks"
    done = run("pytest", *(f"tests/{file}" for file in files), "-q", "-k", new)
    return done.stdout


def test_a_new_notebook_and_new_exercises_run_in_a_copy_of_the_course(copy, run):
    said = course(run, "new", "notebook", "12_mine", "--question", "How much is twice?")
    assert "notebooks/12_mine/12_mine.py" in said
    for idea in ("mine", "tokenization"):
        with open(copy / "course_lib" / f"{idea}.py", "a") as file:
            file.write(REFERENCE)
        said = course(run, "new", "exercise", f"{idea}.double", "--points", "1")
        assert f"course_lib/exercises/{idea}/double.py" in said

    for idea, name in {"mine": "12_mine", "tokenization": "01_tokenization"}.items():
        path = copy / "course_lib" / "exercises" / idea / "double.py"
        path.write_text(FILLED_IN.replace("IDEA", idea), encoding="utf-8")
        path = copy / "notebooks" / name / f"{name}.py"
        text = path.read_text(encoding="utf-8")
        assert "    # the plain way\n    return 2 * x\n    ### END SOLUTION" in text
        path.write_text(re.sub(r"(?m)^(# .*)\.\.\.", r"\1words", text), encoding="utf-8")
    assert "12_mine: " in course(run, "build", "--stale")
    said = outcome(run)
    assert re.search("\n[0-9]+ passed, [0-9]+ deselected", said), said

    course(run, "start")
    for name in ("12_mine", "01_tokenization"):
        assert os.listdir(copy / "workspace" / name) == [f"{name}.ipynb"]
        released = (copy / "workspace" / name / f"{name}.ipynb").read_text(encoding="utf-8")
        assert "def double" in released and "2 * x" not in released
    assert "mine.double" in course(run, "check", "12")


def test_the_syllabus_is_written_as_it_stands(copy):
    path = copy / "course_lib" / "syllabus.py"
    path.write_bytes((ROOT / "course_lib" / "syllabus.py").read_bytes())
    write_syllabus(CHAPTERS, copy)
    assert path.read_bytes() == (ROOT / "course_lib" / "syllabus.py").read_bytes()


@pytest.mark.parametrize(
    ("exercise_id", "says"),
    [
        ("mine.double", "IDEA of probability"),
        ("softmax", "expected IDEA.NAME"),
        ("attention.soft max", "expected IDEA.NAME"),
        ("attention.softmax", "there is an exercise 'attention.softmax' already"),
        ("attention.double", "write the reference first, double in course_lib/attention.py"),
    ],
)
def test_an_exercise_that_cannot_be_is_refused(exercise_id, says, tmp_path):
    with pytest.raises(ValueError, match=f"exercise_id: .*{says}"):
        new_exercise(exercise_id, root=tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "question", "says"),
    [
        ("mine", "Why?", "notebook: expected a number"),
        ("12-mine", "Why?", "notebook: expected a number"),
        ("03_mine", "Why?", "notebook: number or idea are taken"),
        ("12_attention", "Why?", "notebook: number or idea are taken"),
        ("12_mine", "Because.", "question: expected a question"),
    ],
)
def test_a_notebook_that_cannot_be_is_refused(name, question, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        new_notebook(name, question, root=tmp_path)
    assert not any(tmp_path.iterdir())
