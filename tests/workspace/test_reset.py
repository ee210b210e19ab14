"""An exercise is begun anew; nothing that a learner wrote is ever lost."""

import json

import nbformat
import pytest
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.workspace.reset import back_up, find_task, reset
from course_lib.workspace.start import start

NAME = "00_start_here"
MINE = "def greedy_next_token(logits):\n    return 7  # my own words: größer\n"


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    for _ in start(folder):
        pass
    return (folder / NAME / f"{NAME}.ipynb").read_text(encoding="utf-8")


@pytest.fixture
def workspace(tmp_path, released):
    """A learner's notebook with two answers and a note of their own."""
    (tmp_path / NAME).mkdir()
    notebook = nbformat.reads(released, as_version=4)
    cells = answers(notebook)
    cells["probability-greedy_next_token"].source = MINE
    cells["probability-autocomplete_bigram"].source = "def autocomplete_bigram(): ..."
    notebook.cells.append(nbformat.v4.new_markdown_cell("my note"))
    nbformat.write(notebook, tmp_path / NAME / f"{NAME}.ipynb")
    return tmp_path


def answers(notebook):
    return {
        cell.metadata.nbgrader.grade_id: cell
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }


def test_only_that_cell_changes_and_the_notebook_was_kept_first(workspace, released):
    path = workspace / NAME / f"{NAME}.ipynb"
    before = path.read_bytes()
    exercise, copy = reset("00", "greedy_next_token", workspace)
    assert exercise == "probability.greedy_next_token"
    assert copy.read_bytes() == before
    assert copy.parent == workspace / ".backups" / NAME

    old, new = json.loads(before), json.loads(path.read_bytes())
    changed = [i for i, (a, b) in enumerate(zip(old["cells"], new["cells"])) if a != b]
    (place,) = changed
    stub = answers(nbformat.reads(released, as_version=4))["probability-greedy_next_token"].source
    assert "".join(new["cells"][place]["source"]) == stub and "raise NotImplementedError" in stub
    assert len(old["cells"]) == len(new["cells"]) and old["metadata"] == new["metadata"]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_last_twenty_copies_stay(workspace):
    path = workspace / NAME / f"{NAME}.ipynb"
    for number in range(25):
        path.write_text(str(number))
        assert back_up(path, workspace).read_text() == str(number)
    kept = {int(copy.read_text()) for copy in (workspace / ".backups" / NAME).iterdir()}
    assert kept == set(range(5, 25))


@pytest.mark.parametrize(
    "names",
    [("00_start_here", "greedy_next_token"), ("probability.greedy_next_token", None),
     ("00", "probability.greedy_next_token")],
)  # fmt: skip
def test_an_exercise_is_named_in_either_way(names):
    assert find_task(*names) == (NAME, "probability.greedy_next_token")


@pytest.mark.parametrize(
    ("names", "said"),
    [(("99", "softmax"), "99"), (("00", "softmax"), "probability.autocomplete_bigram"),
     (("nothing.at_all", None), "nothing.at_all")],
)  # fmt: skip
def test_an_unknown_one_is_said_and_nothing_is_touched(names, said, workspace):
    with pytest.raises(ValueError, match=said):
        reset(*names, workspace)
    assert not (workspace / ".backups").exists()


def test_what_cannot_be_put_back_is_left_alone(workspace):
    path = workspace / NAME / f"{NAME}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    gone = answers(notebook)["probability-greedy_next_token"]
    notebook.cells.remove(gone)
    nbformat.write(notebook, path)
    for content in (path.read_text(encoding="utf-8"), "no notebook"):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=NAME):
            reset("00", "greedy_next_token", workspace)
        assert path.read_text(encoding="utf-8") == content


def test_the_command_says_what_to_do_in_jupyterlab(workspace):
    arguments = ["reset", "00", "greedy_next_token", "--workspace", str(workspace)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "File > Reload Notebook from Disk" in result.output and ".backups" in result.output
    result = CliRunner().invoke(app, ["reset", "00", "softmax", "--workspace", str(workspace)])
    assert result.exit_code == 1 and "greedy_next_token" in result.output
