"""A notebook and its text: what an author edits is built, and no edit is lost."""

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from typer.testing import CliRunner

from course_lib.authoring import source
from course_lib.cli import app

TEXT = """\
# %% [markdown]
# # Twelve
#
# A notebook.

# %% tags=["experiment"]
import time

print(time.sleep(0) or 6 * 7)


# %% nbgrader={"grade": false, "grade_id": "own-double", "solution": true}
def double(x):
    return 2 * x
"""


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "12_mine" / "12_mine.py"
    path.parent.mkdir()
    path.write_text(TEXT, encoding="utf-8")
    return path


def read(path):
    return nbformat.read(path.with_suffix(".ipynb"), as_version=4)


def edit_in_jupyter(path, old, new):
    """What JupyterLab does when it saves: the cell's text, and metadata of its own."""
    notebook = read(path)
    for cell in notebook.cells:
        cell.source = cell.source.replace(old, new)
    notebook.metadata.language_info["version"] = "3.99"
    notebook.cells[0].metadata["editable"] = True
    nbformat.write(notebook, path.with_suffix(".ipynb"))


def test_a_built_notebook_is_its_text_executed(text):
    assert source.is_stale(text)
    assert source.build(text) > 0
    assert not source.is_stale(text)
    notebook = read(text)
    nbformat.validate(notebook)
    assert [cell.id for cell in notebook.cells] == ["cell-000", "cell-001", "own-double"]
    assert notebook.cells[1].outputs[0].text == "42\n"
    assert notebook.cells[1].metadata == {"tags": ["experiment"]}
    assert notebook.cells[2].metadata.nbgrader.solution is True
    before = text.with_suffix(".ipynb").read_bytes()
    source.build(text)
    assert text.with_suffix(".ipynb").read_bytes() == before
    assert text.read_text(encoding="utf-8") == TEXT


def test_what_is_edited_in_the_text_is_built(text):
    source.build(text)
    text.write_text(TEXT.replace("6 * 7", "6 * 8"), encoding="utf-8")
    assert source.is_stale(text)
    source.build(text)
    assert read(text).cells[1].outputs[0].text == "48\n"


def test_where_prose_alone_has_changed_outputs_are_kept(text, monkeypatch):
    source.build(text)
    text.write_text(
        TEXT.replace("A notebook.", "A book.\n\n# %% [markdown]\n# More."), encoding="utf-8"
    )
    with monkeypatch.context() as patched:
        patched.setattr(source, "execute", lambda *_: pytest.fail("it was executed"))
        source.build(text)
    notebook = read(text)
    assert [cell.source for cell in notebook.cells[:2]] == ["# Twelve\n\nA book.", "More."]
    assert notebook.cells[2].outputs[0].text == "42\n"
    assert not source.is_stale(text)


def test_what_is_edited_in_jupyter_goes_into_the_text(text):
    source.build(text)
    edit_in_jupyter(text, "6 * 7", "6 * 9")
    assert source.is_stale(text)
    source.build(text)
    assert text.read_text(encoding="utf-8") == TEXT.replace("6 * 7", "6 * 9")
    assert read(text).cells[1].outputs[0].text == "54\n"


def test_what_is_edited_in_both_is_left_to_a_person(text):
    source.build(text)
    edit_in_jupyter(text, "6 * 7", "6 * 9")
    text.write_text(TEXT.replace("2 * x", "x + x"), encoding="utf-8")
    before = [path.read_bytes() for path in (text, text.with_suffix(".ipynb"))]
    with pytest.raises(ValueError, match="both edited"):
        source.build(text)
    assert before == [path.read_bytes() for path in (text, text.with_suffix(".ipynb"))]


def test_what_is_edited_in_jupyter_during_the_build_is_kept(text, monkeypatch):
    source.build(text)
    execute = source.execute

    def slowly(*arguments):
        edit_in_jupyter(text, "6 * 7", "6 * 9")
        return execute(*arguments)

    monkeypatch.setattr(source, "execute", slowly)
    source.build(text)
    assert "6 * 9" in text.read_text(encoding="utf-8")


def test_a_cell_that_fails_leaves_text_and_notebook_as_they_were(text):
    source.build(text)
    before = text.with_suffix(".ipynb").read_bytes()
    text.write_text(TEXT.replace("6 * 7", "1 / 0"), encoding="utf-8")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        source.build(text)
    assert text.with_suffix(".ipynb").read_bytes() == before
    assert "1 / 0" in text.read_text(encoding="utf-8")


cells = st.lists(
    st.builds(
        lambda make, source, tags: make(source, metadata={"tags": tags} if tags else {}),
        st.sampled_from([new_code_cell, new_markdown_cell]),
        st.text("ab #%'\"\\\n!$[]{}-=λ", max_size=40),
        st.lists(st.sampled_from(["experiment", "nbval-ignore-output"]), unique=True),
    ),
    max_size=4,
)


@given(cells)
def test_any_notebook_comes_back_from_its_text_or_is_refused(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("text") / "12_mine.py"
    notebook = new_notebook(cells=cells)
    try:
        source.write_source(notebook, path)
    except ValueError:
        assert not path.exists()
    else:
        assert source.content(source.read_source(path)) == source.content(notebook)


def test_a_text_is_found_by_its_number(text):
    folder = text.parent.parent
    assert source.sources(folder) == [text]
    assert source.source_path("12", folder) == text
    with pytest.raises(ValueError, match="12_mine; got '13'"):
        source.source_path("13", folder)


def test_the_command_builds_what_is_named_or_stale(text, monkeypatch):
    monkeypatch.setattr("course_lib.notebooks.NOTEBOOKS", text.parent.parent)

    def run(*arguments):
        return CliRunner().invoke(app, ["build", *arguments])

    assert run().exit_code == 1 and run("12", "--stale").exit_code == 1
    assert run("13").exit_code == 1
    done = run("--stale")
    assert done.exit_code == 0 and "12_mine: " in done.output, done.output
    assert not source.is_stale(text)
    assert "12_mine" not in run("--stale").output
    assert "12_mine: " in run("12").output
