"""Honest mess is put right, and each repair is said in a line."""

import ast
import copy

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from course_lib.grading.attacks.corpus import CORPUS
from course_lib.grading.rebuild import rebuild
from course_lib.release import released_from


@pytest.fixture
def released(tmp_path):
    from course_lib.grading.attacks.corpus import assignment

    path = tmp_path / "small.ipynb"
    nbformat.write(assignment(), path)
    return released_from(path)


def graded(notebook):
    return [
        cell.metadata.nbgrader.grade_id for cell in notebook.cells if "nbgrader" in cell.metadata
    ]


def test_an_untouched_copy_is_as_it_was(released):
    result, repairs = rebuild(copy.deepcopy(released), released)
    assert repairs == ()
    assert [c.source for c in result.cells] == [c.source for c in released.cells]


@pytest.mark.parametrize("one", CORPUS, ids=lambda one: one.name.replace(" ", "-"))
def test_the_graded_cells_are_always_those_of_the_release(one, released):
    handed_in = one.write(copy.deepcopy(released))
    result, _ = rebuild(handed_in, released)
    assert graded(result) == graded(released)
    for cell in result.cells:
        if (marks := cell.metadata.get("nbgrader")) and marks["grade"]:
            (original,) = [c for c in released.cells if c.metadata.get("nbgrader") == marks]
            assert cell.source == original.source and cell.cell_type == "code"
            assert "tags" not in cell.metadata
    nbformat.validate(result)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("copied a check cell", "The cell check-double was there 2 times"),
        ("copied an answer", "The cell of double was there 2 times"),
        ("deleted a check cell", "The cell check-double was missing"),
        ("lost all ids and marks to an editor", "The cell of double had lost its mark"),
        ("moved cells around", "The order of the cells was put right."),
    ],
)
def test_each_repair_is_said(name, line, released):
    (one,) = [one for one in CORPUS if one.name == name]
    result, repairs = rebuild(one.write(copy.deepcopy(released)), released)
    assert any(line in repair for repair in repairs)
    assert line in result.cells[0].source


@pytest.mark.parametrize("slow", ["import " + "a." * 90_000 + "a", 'f"' + "{a}" * 60_000 + '"'])
def test_what_takes_the_parser_long_is_not_parsed(slow, released, monkeypatch):
    parsed, parse = [], ast.parse
    monkeypatch.setattr("ast.parse", lambda source: parsed.append(source) or parse(source))
    handed_in = copy.deepcopy(released)
    handed_in.metadata["language_info"] = {"name": "python", "version": "3.99.0"}
    for cell in handed_in.cells:
        cell.source = slow
    handed_in.cells += [new_code_cell(slow), new_markdown_cell(slow)]
    result, _ = rebuild(handed_in, released)
    assert any(cell.source == slow for cell in result.cells)
    assert parsed and slow not in parsed
