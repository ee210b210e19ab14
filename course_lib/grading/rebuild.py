"""A submission, put back onto the notebook that was released.

Of a submission only the text of its answers and its own extra cells is taken. Order, tags, check
cells and all metadata are those of the release, so an honest mess gets its marks, and tricks with
them have nothing to hold on to.
"""

from __future__ import annotations

import ast
import copy
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from course_lib.grading.intake import Refused
from course_lib.grading.pictures import handed_in, markdown_cell
from course_lib.grading.sandbox.policy import MAX_EXTRA_CELLS, MAX_SOURCE
from course_lib.grading.sanitize import sanitize
from course_lib.notebooks import grade_id

_IMPORT = re.compile(r"\b(?:import|from)\b(?:\\\r?\n|[^\n;])*")
_MAX_PARTS = 100  # of all the names in an import
_MAX_LOOKED_AT = 10**8  # characters


def rebuild(
    submitted: NotebookNode, released: NotebookNode, lines: Iterable[str] = ()
) -> tuple[NotebookNode, tuple[str, ...]]:
    """The released notebook with a submission's answers in it, and one line for each repair.

    Args:
        submitted: what a learner handed in; any notebook of format 4.
        released: the learner's copy as it was released.
        lines: what the intake says of the file.

    Raises:
        Refused: it is another notebook.
    """
    result = copy.deepcopy(released)
    graded = {name: cell for cell in released.cells if (name := grade_id(cell))}
    answers = {name for name, cell in graded.items() if cell.metadata.nbgrader.solution}
    names = {name: defines(graded[name].source) for name in answers}
    by_person = {name for name in answers if graded[name].metadata.nbgrader.grade}
    known = {cell.source.strip(): cell for cell in released.cells if not grade_id(cell)}
    texts = {cell.source.strip() for cell in released.cells}

    found: dict[str, list[NotebookNode]] = defaultdict(list)  # answers, in their order
    extra: dict[str | None, list[NotebookNode]] = defaultdict(list)  # by what is before
    shown: dict[str, NotebookNode] = {}  # what the released cells had drawn, by their text
    repairs: list[str] = list(lines)
    checks: dict[str, int] = defaultdict(int)
    place = None
    for cell in submitted.cells:
        source = _source(cell)
        name = grade_id(cell)
        if name not in graded and cell.get("cell_type") == "code":
            name = _recognised(source, names, found)
            if name:
                repairs.append(f"The cell of {name} had lost its mark; its content was found.")
        if name is not None and name in graded:
            place = name
            if name in answers:
                found[name].append(cell)
            else:
                checks[name] += 1
        elif source.strip() and source.strip() not in texts:
            extra[place].append(cell)
        elif by_person and source.strip() in known:
            skipped = "experiment" in known[source.strip()].metadata.get("tags", [])
            if (drawn := handed_in(cell, texts=skipped)) is not None:
                shown[source.strip()] = drawn
    _expect_ours(submitted, graded, found, checks)

    bound = {n for c in submitted.cells if c.get("cell_type") == "code" for n in _binds(c)}
    given = {n for cell in graded.values() for n in defines(cell.source)}
    theirs = _python_of(submitted)
    own_text = [c for cells in extra.values() for c in cells if _is_text(c)]
    for name, cell in graded.items():
        if name in answers:
            stub = cell.source.strip()
            written = [c for c in found[name] if _source(c).strip() not in ("", stub)]
            if not found[name]:
                repairs.append(f"The cell of {name} was missing; it counts as not answered.")
            elif len(found[name]) > 1:
                repairs.append(f"The cell of {name} was there {len(found[name])} times; all that "
                               "were changed count, in their order.")  # fmt: skip
            place_in_result = released.cells.index(cell)
            answer = result.cells[place_in_result]
            if cell.cell_type == "code":
                _put_code(answer, written, extra[name], drawn=name in by_person)
                repairs += _causes(name, written, names[name] - bound, theirs, given)
            elif written:
                answer.update(_joined(written))
            if name in by_person and not written:
                repairs += _put_stray_text(answer, name, extra[name], own_text)
        elif checks[name] == 0:
            repairs.append(f"The cell {name} was missing; it was put back.")
        elif checks[name] > 1:
            repairs.append(f"The cell {name} was there {checks[name]} times; once is enough.")

    order = [grade_id(cell) for cell in submitted.cells if grade_id(cell) in graded]
    if [name for name in graded if name in order] != list(dict.fromkeys(order)):
        repairs.append("The order of the cells was put right.")
    _insert_extra(result, extra, shown, drawn=bool(by_person))
    if repairs:
        said = "\n".join(f"- {sanitize(line)}" for line in repairs)
        result.cells.insert(0, new_markdown_cell(f"**Put right before grading:**\n\n{said}"))
    return result, tuple(repairs)


def _expect_ours(
    submitted: NotebookNode, graded: Mapping[str, Any], *found: Mapping[str, Any]
) -> None:
    """Another assignment's notebook is no answer to this one: a person has to look."""
    if not graded or any(any(counts.values()) for counts in found):
        return
    others = [name for cell in submitted.cells if (name := grade_id(cell))]
    if not submitted.cells:
        raise Refused("the notebook has no cells")
    its = f"; its own are {', '.join(map(repr, others[:3]))}" if others else ""
    raise Refused(f"it is another notebook: none of this assignment's graded cells is in it{its}")


def _put_code(
    answer: NotebookNode, written: list[NotebookNode], after: list[NotebookNode], drawn: bool
) -> None:
    """Put all parts of a code answer in their order: the first into its cell, which each part that
    follows it runs after."""
    parts = [_source(cell) for cell in written]
    if parts:
        answer.source = parts[0]
    following = [new_code_cell(part) for part in parts[1:]]
    if drawn and written and (seen := handed_in(written[0], texts=False)) is not None:
        following.insert(0, seen)
    after[:0] = following


def _joined(written: list[NotebookNode]) -> NotebookNode:
    """A written answer in one cell, whatever it was split into."""
    cells = [markdown_cell(cell, _source(cell)) for cell in written]
    if len(cells) == 1:
        return NotebookNode({k: v for k, v in cells[0].items() if k in ("source", "attachments")})
    joined = NotebookNode(source="", attachments={})
    for i, cell in enumerate(cells):
        text = cell.source
        for name, bundle in cell.get("attachments", {}).items():
            text = text.replace(f"(attachment:{name})", f"(attachment:{i}-{name})")
            joined.attachments[f"{i}-{name}"] = bundle
        joined.source += ("\n\n" if i else "") + text
    if not joined.attachments:
        del joined["attachments"]
    return joined


def _put_stray_text(
    answer: NotebookNode, name: str, below: list[NotebookNode], own_text: list[NotebookNode]
) -> list[str]:
    """An answer left as it was, though something was written elsewhere, is no automatic zero."""
    if answer.cell_type == "code":
        if not below:
            return []
        answer.source += "\n# What was written instead stands in the cells below."
        return [f"The cell of {name} was left as it was; cells below it are for a person to read."]
    near = [cell for cell in below if _is_text(cell)]
    if near:
        below[:] = [cell for cell in below if not _is_text(cell)]
        answer.update(_joined(near))
        return [f"The answer of {name} stood in another cell below it; it was put in its place."]
    if own_text:
        answer.source += "\n\n*Left as it was, but text of the learner's own stands elsewhere.*"
        return [f"The cell of {name} was left as it was, but there is text in other cells."]
    return []


def _is_text(cell: NotebookNode) -> bool:
    """Is it text, or a code cell that holds text?"""
    if cell.get("cell_type") != "code":
        return True
    source = _source(cell).strip()
    return not source.startswith(("%", "!")) and not statements(source)


def _causes(
    name: str,
    written: list[NotebookNode],
    missing: frozenset[str],
    theirs: tuple[int, int] | None,
    given: set[str],
) -> Iterator[str]:
    """Why an answer cannot be right, where its text alone says so: `missing` are the names that
    nothing in the submission defines, `theirs` is its Python, `given` are the released names."""
    parts = [_source(cell) for cell in written]
    ours = sys.version_info[:2]
    if theirs and theirs > ours and not all(map(_reads, parts)):
        versions = f"Python {theirs[0]}.{theirs[1]}; it is graded with {ours[0]}.{ours[1]}"
        yield f"The cell of {name} was written with {versions}, which cannot read it."
    instead = sorted({n for part in parts for n in defines(part)} - given)
    if missing and instead:
        said = ", ".join(instead), ", ".join(sorted(missing))
        yield f"The cell of {name} defines {said[0]}, but not {said[1]}."


def _python_of(notebook: NotebookNode) -> tuple[int, int] | None:
    """The Python a notebook says it was run with last."""
    language = notebook.metadata.get("language_info", {})
    version = language.get("version") if isinstance(language, dict) else None
    found = re.match(r"(\d{1,2})\.(\d{1,3})", version) if isinstance(version, str) else None
    return (int(found[1]), int(found[2])) if found else None


def _reads(source: str) -> bool:
    """Can this Python read a cell, IPython's own lines left out?"""
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines()]
    if _takes_long(source):
        return True
    try:
        ast.parse("\n".join(lines))
    except SyntaxError:
        return False
    except (ValueError, RecursionError, MemoryError):
        pass
    return True


def _binds(cell: NotebookNode) -> Iterator[str]:
    """The names that a code cell gives a meaning to."""
    for node in ast.walk(ast.Module(statements(_source(cell)), [])):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


def _insert_extra(
    result: NotebookNode,
    extra: Mapping[str | None, list[NotebookNode]],
    shown: Mapping[str, NotebookNode],
    drawn: bool,
) -> None:
    """Put a learner's extra cells where they stood: after the graded cell before them. `shown` is
    put below the cells with these texts; `drawn`: show what the extra cells had drawn, too."""
    cells, left = [], MAX_EXTRA_CELLS

    def add(place: str | None) -> None:
        nonlocal left
        for cell in extra.get(place, [])[: max(left, 0)]:
            text = _source(cell)
            is_code = cell.get("cell_type") == "code"
            cells.append(new_code_cell(text) if is_code else markdown_cell(cell, text))
            if drawn and is_code and (seen := handed_in(cell, texts=False)) is not None:
                cells.append(seen)
            left -= 1

    first_import = next((i for i, c in enumerate(result.cells) if c.cell_type == "code"), 0)
    for i, cell in enumerate(result.cells):
        cells.append(cell)
        if cell.source.strip() in shown and not grade_id(cell):
            cells.append(shown[cell.source.strip()])
        if i == first_import:
            add(None)
        if name := grade_id(cell):
            add(name)
    result.cells = cells


def _source(cell: NotebookNode) -> str:
    source = cell.get("source", "")
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    return source[:MAX_SOURCE].replace("\r\n", "\n").replace("\r", "\n")


def put_hidden_tests(notebook: NotebookNode, locked: Mapping[str, str]) -> None:
    """Give a rebuilt submission's locked cells their text, hidden tests included, in place, as
    nbgrader does; `locked` holds it by the cells' ids."""
    for cell in notebook.cells:
        cell.source = locked.get(grade_id(cell) or "", cell.source)


def defines(source: str) -> frozenset[str]:
    """The functions and classes that a cell defines."""
    kinds = ast.FunctionDef | ast.ClassDef
    return frozenset(node.name for node in statements(source) if isinstance(node, kinds))


def statements(source: str) -> list[ast.stmt]:
    """The statements of a cell that anybody may have written; none if it is no Python, or takes
    long to read."""
    if _takes_long(source):
        return []
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _takes_long(source: str) -> bool:
    """Nothing that a person writes: names of thousands of parts take the parser minutes, and texts
    of thousands of `{}` seconds (Python looks through the whole text for each)."""
    parts = (found.group().count(".") for found in _IMPORT.finditer(source))
    return any(n > _MAX_PARTS for n in parts) or source.count("{") * len(source) > _MAX_LOOKED_AT


def _recognised(
    source: str, names: dict[str, frozenset[str]], found: dict[str, list[NotebookNode]]
) -> str | None:
    """The answer that a cell without a mark must be: it defines what only that cell defines."""
    defined = defines(source)
    for name, expected in names.items():
        if expected and expected <= defined and not found[name]:
            return name
    return None
