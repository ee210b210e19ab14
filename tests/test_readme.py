"""The README is true: its commands run, its examples print, its links lead somewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.grading.sandbox.launcher import strongest_level
from course_lib.notebooks import NOTEBOOKS, ROOT
from course_lib.syllabus import CHAPTERS
from course_lib.workspace.start import start

README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.split("  #")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
REVIEW = ("review", "quiz", "practice", "match", "cards")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A folder as after `git clone` and `make lab`, with one submission waiting to be graded."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("Makefile", "nbgrader_config.py", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    with open(folder / "nbgrader_config.py", "a") as config:
        config.write(f"\nc.Judge.level = {strongest_level()!r}\n")
    shutil.copytree(NOTEBOOKS, folder / "notebooks")
    list(start(folder / "workspace"))
    shutil.copytree(
        folder / "workspace" / "01_tokenization", folder / "submitted/ada/01_tokenization"
    )
    return folder


def test_three_short_examples():
    assert len(PYTHON) == 3


@pytest.mark.parametrize("code", PYTHON)
def test_python_examples_run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_commands_run(course):
    """In their order: what one makes, the next takes."""
    assert not {command: said for command in COMMANDS if (said := outcome(command, course))}


def outcome(command, course):
    """What a command said if it failed."""
    program, *arguments = command.split()
    if program == "make":
        # The whole of `make lab` and `make test` is what runs these tests; here: do they exist?
        arguments = ["--dry-run", *arguments]
    elif program == ".venv/bin/course":
        workspace = ["--workspace", str(course / "workspace")]
        if arguments[0] == "lab":  # tests/test_server.py starts it
            arguments.append("--help")
        if arguments[0] in ("check", "submit", "progress", "reset", "update", *REVIEW):
            arguments += workspace + ["--no-show"] * (arguments[0] == "submit")
        if arguments[0] in ("grade", "overview"):
            arguments += ["--folder", str(course)]
        if arguments[0] == "release":
            arguments[1] = str(course / arguments[1])
        if arguments[0] == "cards":
            arguments[2] = str(course / arguments[2])
        result = CliRunner().invoke(app, arguments, input="q\n")
        return result.output if result.exit_code else ""
    else:
        assert program == ".venv/bin/nbgrader"
        program, arguments = sys.executable, ["-m", "nbgrader", *arguments]
    done = subprocess.run([program, *arguments], cwd=course, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def test_the_table_of_notebooks_is_the_syllabus():
    rows = [
        f"| [{chapter.notebook[:2]} {chapter.title}]"
        f"(notebooks/{chapter.notebook}/{chapter.notebook}.ipynb)"
        f" | {chapter.question} | {chapter.minutes} |"
        for chapter in CHAPTERS
    ]
    assert [line for line in README.splitlines() if line.startswith("| [")] == rows


def test_links_within_the_repository_lead_somewhere():
    for target in re.findall(r"\]\(((?!http)[^)]+)\)", README):
        assert Path(ROOT, target).exists(), target


def test_no_network_is_needed_to_import(tmp_path):
    """The examples above ran; none of them may have reached for the hub."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)}
    code = "from course_lib.pretrained.minilm import load_minilm; load_minilm()"
    subprocess.run([sys.executable, "-c", code], check=True, env=env)
