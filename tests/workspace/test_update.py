"""The course's corrected text comes around a learner's answers; no line of theirs is ever lost."""

import copy
from collections import Counter

import nbformat
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.notebooks import NOTEBOOKS, grade_id, notebook_path
from course_lib.release import released_from
from course_lib.workspace.start import start
from course_lib.workspace.update import merge

NAME = "00_start_here"
RELEASED = released_from(notebook_path(NAME, NOTEBOOKS))
LINES = st.lists(st.sampled_from(["x = 1", "größer", "  indented", "# mine"]), min_size=1)
EDITS = st.lists(
    st.tuples(st.sampled_from(["change", "own", "split", "delete"]), st.integers(0, 200), LINES),
    max_size=8,
)


def name(cell):
    """What a cell is known by: nbgrader's name, or its own."""
    return grade_id(cell) or cell.id


def solution(cell):
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


@given(edits=EDITS, gone=st.sets(st.integers(0, 200), max_size=3))
@settings(max_examples=30, deadline=None)
def test_no_line_of_a_learner_is_lost(edits, gone):
    mine, new = copy.deepcopy(RELEASED), copy.deepcopy(RELEASED)
    for kind, place, lines in edits:
        at, text = place % len(mine.cells), "\n".join(lines)
        if kind == "change":
            mine.cells[at].source += "\n" + text
        elif kind == "own":
            mine.cells.insert(at, nbformat.v4.new_code_cell(text))
        elif kind == "split":
            mine.cells.insert(at, copy.deepcopy(mine.cells[at]))
        elif len(mine.cells) > 1:
            del mine.cells[at]
    new.cells = [cell for i, cell in enumerate(new.cells) if i not in gone]
    for cell in new.cells:
        if not solution(cell):
            cell.source = "corrected\n" + cell.source
    names = {name(cell) for cell in new.cells}
    whole = [c for c in mine.cells if solution(c) or name(c) not in names]
    others = {line for c in mine.cells for line in c.source.splitlines() if line.strip()}
    answers = Counter((cell.cell_type, cell.source) for cell in whole)
    order = [cell.source for cell in mine.cells if solution(cell) and name(cell) in names]
    merged, _ = merge(mine, new)
    nbformat.validate(merged)
    assert answers <= Counter((cell.cell_type, cell.source) for cell in merged.cells)
    assert [c.source for c in merged.cells if solution(c) and c.source in order] == order
    after = {line for cell in merged.cells for line in cell.source.splitlines()}
    assert all(line in after or f"    {line}" in after for line in others)
    assert {c.source for c in new.cells if not solution(c)} <= {c.source for c in merged.cells}


def test_what_is_up_to_date_stays_as_it_is():
    merged, done = merge(copy.deepcopy(RELEASED), RELEASED)
    assert [c.source for c in merged.cells] == [c.source for c in RELEASED.cells]
    assert (done.corrected, done.added, done.kept, done.lines) == (0, 0, 0, 0)


def test_the_command_copies_first_and_says_what_moved(tmp_path):
    for _ in start(tmp_path):
        pass
    path = tmp_path / NAME / f"{NAME}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = "an old text"
    notebook.cells.append(nbformat.v4.new_markdown_cell("my note"))
    nbformat.write(notebook, path)
    before = path.read_bytes()
    result = CliRunner().invoke(app, ["update", NAME, "--workspace", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "1 cells corrected, 0 added" in result.output and "1 other" in result.output
    (kept,) = (tmp_path / ".backups" / NAME).iterdir()
    assert kept.read_bytes() == before
    sources = [cell.source for cell in nbformat.read(path, as_version=4).cells]
    assert sources[0] == RELEASED.cells[0].source and "my note" in sources
    assert "    an old text" in sources[-1]
