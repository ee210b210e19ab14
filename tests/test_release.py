"""The learner's copies."""

import subprocess
import sys
import types
from shutil import copy, copytree

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from course_lib.notebooks import NOTEBOOKS, ROOT
from course_lib.release import release


@pytest.fixture
def one_notebook(tmp_path):
    folder = tmp_path / "notebooks"
    (folder / "00_start_here").mkdir(parents=True)
    source = NOTEBOOKS / "00_start_here" / "00_start_here.ipynb"
    (folder / "00_start_here" / source.name).write_bytes(source.read_bytes())
    return folder


def test_copies_for_colab_install_the_course_there_and_only_there(
    one_notebook, tmp_path, monkeypatch
):
    ((plain, _),) = release(tmp_path / "plain", one_notebook)
    ((colab, written),) = release(tmp_path / "colab", one_notebook, colab="ada/course")
    assert written
    first, *others = nbformat.read(colab, as_version=4).cells
    assert [c.source for c in others] == [c.source for c in nbformat.read(plain, 4).cells]

    shell = InteractiveShell()
    installed = []
    shell.register_magic_function(installed.append, magic_name="pip")
    shell.run_cell(first.source).raise_error()
    assert installed == []
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    shell.run_cell(first.source).raise_error()
    assert "git+https://github.com/ada/course" in installed[0] and len(installed) == 2


@pytest.mark.parametrize("colab", ["ada", "https://github.com/ada/course", 'a/b"; rm -rf'])
def test_a_repository_is_named_as_on_github(colab, tmp_path, one_notebook):
    with pytest.raises(ValueError, match="OWNER/REPOSITORY"):
        list(release(tmp_path / "copies", one_notebook, colab))


def test_the_notebooks_text_which_holds_the_solutions_is_not_handed_out(tmp_path):
    name = "00_start_here"
    copytree(NOTEBOOKS / name, tmp_path / "notebooks" / name)
    copy(ROOT / "nbgrader_config.py", tmp_path)
    for other in ("exercises.py", "helper.py", "numbers.csv"):  # these are for the learners
        (tmp_path / "notebooks" / name / other).touch()
    assert "BEGIN SOLUTION" in (tmp_path / "notebooks" / name / f"{name}.py").read_text()
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    released = {path.name for path in (tmp_path / "release" / name).iterdir()}
    assert released == {f"{name}.ipynb", "exercises.py", "helper.py", "numbers.csv"}

    list(release(tmp_path / "copies", tmp_path / "notebooks"))
    copies = {path.name for path in (tmp_path / "copies" / name).iterdir()}
    assert copies == {f"{name}.ipynb", "exercises.py"}
