"""A submission, put back onto the notebook that was released.

Of a submission only the text of its answers and its own extra cells is taken. Order, tags, check
cells and all metadata are those of the release, so an honest mess gets its marks, and tricks with
them have nothing to hold on to.
"""

from __future__ import annotations

import ast
import copy
from collections import defaultdict

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from course_lib.grading.harmless import harmless

MAX_SOURCE = 200_000  # characters of a cell
MAX_OWN_CELLS = 500


def rebuild(
    submitted: NotebookNode, released: NotebookNode
) -> tuple[NotebookNode, tuple[str, ...]]:
    """The released notebook with a submission's answers in it, and one line for each repair.

    Args:
        submitted: what a learner handed in; any notebook of format 4.
        released: the learner's copy as it was released.
    """
    result = copy.deepcopy(released)
    graded = {_grade_id(cell): cell for cell in released.cells if _grade_id(cell)}
    answers = {name for name, cell in graded.items() if cell.metadata.nbgrader.solution}
    names = {name: defines(graded[name].source) for name in answers}
    known_sources = {cell.source for cell in released.cells}

    found: dict[str, list[str]] = defaultdict(list)  # answers, in the order they were handed in
    own: dict[str | None, list[NotebookNode]] = defaultdict(list)  # extra cells, by what is before
    repairs: list[str] = []
    checks: dict[str, int] = defaultdict(int)
    place = None
    for cell in submitted.cells:
        source = _source(cell)
        grade_id = _grade_id(cell)
        if grade_id not in graded and cell.get("cell_type") == "code":
            grade_id = _recognised(source, names, found)
            if grade_id:
                repairs.append(f"The cell of {grade_id} had lost its mark; its content was found.")
        if grade_id in graded:
            place = grade_id
            if grade_id in answers:
                found[grade_id].append(source)
            else:
                checks[grade_id] += 1
        elif source.strip() and source not in known_sources:
            own[place].append(cell)

    for name, cell in graded.items():
        if name in answers:
            written = [source for source in found[name] if source.strip() != cell.source.strip()]
            if not found[name]:
                repairs.append(f"The cell of {name} was missing; it counts as not answered.")
            elif len(found[name]) > 1:
                repairs.append(f"The cell of {name} was there {len(found[name])} times; the last "
                               "one that was changed counts.")  # fmt: skip
            cell_in_result = result.cells[released.cells.index(cell)]
            cell_in_result.source = written[-1] if written else cell.source
            if cell.cell_type != "code":
                cell_in_result.source = harmless(cell_in_result.source)
        elif checks[name] == 0:
            repairs.append(f"The cell {name} was missing; it was put back.")
        elif checks[name] > 1:
            repairs.append(f"The cell {name} was there {checks[name]} times; once is enough.")

    order = [_grade_id(cell) for cell in submitted.cells if _grade_id(cell) in graded]
    if [name for name in graded if name in order] != list(dict.fromkeys(order)):
        repairs.append("The order of the cells was put right.")
    _insert_own(result, own)
    if repairs:
        lines = "\n".join(f"- {line}" for line in repairs)
        result.cells.insert(0, new_markdown_cell(f"**Put right before grading:**\n\n{lines}"))
    return result, tuple(repairs)


def _insert_own(result: NotebookNode, own: dict[str | None, list[NotebookNode]]) -> None:
    """Put a learner's extra cells where they stood: after the graded cell before them."""
    cells, left = [], MAX_OWN_CELLS

    def add(place: str | None) -> None:
        nonlocal left
        for cell in own.get(place, [])[: max(left, 0)]:
            text = _source(cell)
            is_code = cell.cell_type == "code"
            cells.append(new_code_cell(text) if is_code else new_markdown_cell(harmless(text)))
            left -= 1

    first_import = next((i for i, c in enumerate(result.cells) if c.cell_type == "code"), 0)
    for i, cell in enumerate(result.cells):
        cells.append(cell)
        if i == first_import:
            add(None)
        if name := _grade_id(cell):
            add(name)
    result.cells = cells


def _grade_id(cell: NotebookNode) -> str | None:
    metadata = cell.get("metadata", {}).get("nbgrader", {})
    name = metadata.get("grade_id") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else None


def _source(cell: NotebookNode) -> str:
    source = cell.get("source", "")
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    return source[:MAX_SOURCE]


def put_hidden_tests(notebook: NotebookNode, source: NotebookNode) -> None:
    """Give a rebuilt submission's check cells the instructor's text, in place, as nbgrader does."""
    texts = {
        marks["grade_id"]: cell.source
        for cell in source.cells
        if (marks := cell.metadata.get("nbgrader", {})).get("locked") and marks.get("grade_id")
    }
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = texts.get(name, cell.source)


def defines(source: str) -> frozenset[str]:
    """The functions and classes that a cell defines."""
    kinds = ast.FunctionDef | ast.ClassDef
    return frozenset(node.name for node in statements(source) if isinstance(node, kinds))


def statements(source: str) -> list[ast.stmt]:
    """The statements of a cell that anybody may have written; none if it is no Python."""
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _recognised(
    source: str, names: dict[str, frozenset[str]], found: dict[str, list[str]]
) -> str | None:
    """The answer that a cell without a mark must be: it defines what only that cell defines."""
    defined = defines(source)
    for name, expected in names.items():
        if expected and expected <= defined and not found[name]:
            return name
    return None
