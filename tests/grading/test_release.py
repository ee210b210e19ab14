"""The learner's copies."""

import sys
import types

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from course_lib.grading.release import release
from course_lib.notebooks import NOTEBOOKS


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
