"""What check cells may rely on: the instructor's own statements, executed by the judge.

A check cell names three kinds of things: what the answers define, what was computed with that, and
what the instructor gave. The first two live in the sandbox. The third must never come from there,
or a submission could bring a `torch` of its own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

SKIPPED_TAG = "experiment"
_SEEDS = ("manual_seed", "seed")
_LATER = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda  # their bodies run when called


def is_skipped(cell: NotebookNode) -> bool:
    """Is a cell left out of a grade?"""
    return SKIPPED_TAG in cell.metadata.get("tags", [])


def believed(source: NotebookNode) -> tuple[str, ...]:
    """Those statements of an instructor's notebook that its check cells need and that can be
    executed without its answers, in their order.

    Names that the *instructor's* answers define, and values computed with them, are left to the
    submission; what a submission defines has no say. A helper that calls an answer is the
    instructor's: executed here, it calls the stand-in.
    """
    answers: list[ast.stmt] = []
    given: list[ast.stmt] = []
    checks: list[ast.stmt] = []
    for cell in source.cells:
        marks = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and not is_skipped(cell):
            kind = answers if marks.get("solution") else checks if marks.get("grade") else given
            kind += _statements(cell.source)
    # a module is nobody's answer, wherever it is imported
    given = [node for node in answers if isinstance(node, ast.Import)] + given
    imported = {name for node in given if _is_import(node) for name in _binds(node)}
    theirs = {name for node in answers if not _is_import(node) for name in _binds(node)}
    theirs |= {name for node in answers if _is_import(node) for name in _binds(node)} - imported
    ours: list[ast.stmt] = []
    calls_theirs: set[str] = set()
    for node in given:
        if _binds(node) & theirs or _reads(node, later=False) & (theirs | calls_theirs):
            theirs |= _binds(node)
            continue
        ours.append(node)
        if _reads(node) & (theirs | calls_theirs):
            calls_theirs |= _binds(node)
    kept = _needed([node for node in ours if not _binds(node) & theirs], checks)
    texts = [ast.unparse(node) for node in kept]
    if any(map(_is_star, kept)):
        texts += [f"globals().pop({name!r}, None)" for name in sorted(theirs)]
    return tuple(texts)


def names_in(text: str) -> set[str]:
    """The names that a Python text reads, wherever they stand."""
    return {name for node in ast.parse(text).body for name in _reads(node)}


def _statements(source: str) -> Iterator[ast.stmt]:
    """The statements of a cell, magics and all; an import of several names as several imports."""
    try:
        body = ast.parse(TransformerManager().transform_cell(source)).body
    except SyntaxError:
        return
    for node in body:
        if isinstance(node, ast.Import):
            yield from (ast.Import([alias]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (ast.ImportFrom(node.module, [a], node.level) for a in node.names)
        else:
            yield node


def _is_import(node: ast.AST) -> TypeGuard[ast.Import | ast.ImportFrom]:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _is_star(node: ast.AST) -> bool:
    return _is_import(node) and node.names[0].name == "*"


def _parts(node: ast.AST, later: bool) -> Iterator[ast.AST]:
    """All nodes of a statement; without `later`, only what runs when the statement does."""
    yield node
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, _LATER) and not later:
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST):
                yield from _parts(part, later)


def _reads(node: ast.AST, later: bool = True) -> set[str]:
    names = (part for part in _parts(node, later) if isinstance(part, ast.Name))
    return {part.id for part in names if isinstance(part.ctx, ast.Load)}


def _binds(node: ast.AST) -> set[str]:
    """The names that a statement gives a value, at the top level of its cell."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if _is_import(node):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names} - {"*"}
    names = (part for part in _parts(node, later=False) if isinstance(part, ast.Name))
    return {part.id for part in names if isinstance(part.ctx, ast.Store)}


def _changes(node: ast.AST, imported: set[str]) -> set[str]:
    """The names whose values a statement makes or changes: `x = 1`, `x[0] = 1`, `x.sort()`; a
    module is changed only by a seed."""
    changed = _binds(node)
    for part in _parts(node, later=False):
        if isinstance(part, ast.Attribute | ast.Subscript) and isinstance(part.ctx, ast.Store):
            changed.add(_root(part))
        if isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
            called = part.value.func
            if isinstance(called, ast.Attribute) and (
                _root(called) not in imported or called.attr in _SEEDS
            ):
                changed.add(_root(called))
    return changed


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _needed(given: list[ast.stmt], checks: list[ast.stmt]) -> list[ast.stmt]:
    """Those of the statements that the checks rest on, directly or not."""
    imported = {name for node in given if _is_import(node) for name in _binds(node)}
    needed = {name for node in checks for name in _reads(node)}
    kept: set[ast.stmt] = set()
    while True:
        new = {n for n in given if _is_star(n) or _changes(n, imported) & needed}
        if new == kept:
            return [node for node in given if node in kept]
        kept = new
        needed |= {name for node in kept for name in _reads(node)}
