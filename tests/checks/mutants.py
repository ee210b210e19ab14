"""Small changes of right solutions: does every check notice?

    python tests/checks/mutants.py                  # all exercises: many minutes
    python tests/checks/mutants.py attention        # an idea, or one exercise: attention.softmax

A mutant is the reference or an alternative with one change in its syntax tree, or with its result
changed in one of the ways tensors go wrong. One that passes the visible and the hidden cases is
either a gap in the check, or equal to the original; those stand in `equal_mutants.toml`, with the
reason. mutmut and cosmic-ray change files and run a test suite for each; here thousands of mutants
of functions are tried in one process, and the changes are those of people who write tensors.
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import inspect
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from course_lib.checks.attempt import attempt
from course_lib.checks.catalogue import course_exercise
from course_lib.checks.exercise import Draw, Exercise
from course_lib.syllabus import exercise_ids

EQUAL = Path(__file__).with_name("equal_mutants.toml")
DRAWS = ((0, False), (1, True), (2, True))
SECONDS = 2.0  # of processor time for a case

_OTHER_NAME = {
    "sum": "mean", "mean": "sum", "amax": "amin", "amin": "amax", "max": "min", "min": "max",
    "argmax": "argmin", "argmin": "argmax", "tril": "triu", "triu": "tril", "exp": "expm1",
    "log": "log2", "sin": "cos", "cos": "sin", "floor": "ceil", "ceil": "floor", "cumsum": "cumprod",
    "zeros": "ones", "ones": "zeros", "zeros_like": "ones_like", "softmax": "log_softmax",
    "log_softmax": "softmax", "sqrt": "square", "any": "all", "all": "any", "append": "extend",
    "sigmoid": "tanh", "tanh": "sigmoid", "randn": "rand", "rand": "randn", "startswith": "endswith",
}  # fmt: skip
_WITHOUT = {
    "detach",
    "clone",
    "contiguous",
    "mT",
    "T",
    "transpose",
    "flip",
    "abs",
    "strip",
    "sorted",
}
_DROPPED = {"keepdim", "stable", "generator", "dtype", "correction", "unbiased", "reverse", "descending",
            "key", "default", "eps", "bias", "dim"}  # fmt: skip
_OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Div, ast.Mod: ast.FloorDiv,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.And: ast.Or,
    ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A changed solution; `change` says how, and is its name in `equal_mutants.toml`."""

    exercise: str
    change: str
    solution: Callable


def _changed(node: ast.AST) -> Iterator[ast.AST | None]:
    """What a node can be changed into; None drops a statement."""
    match node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        case ast.Constant(value=float(value)) if abs(value) > 1e-6:  # or it only avoids a zero
            yield ast.Constant(value * 2)
        case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
            yield ast.BinOp(left, _OPERATORS[type(op)](), right)
        case ast.BinOp(left, ast.MatMult(), right):
            yield ast.BinOp(right, ast.MatMult(), left)
        case ast.BoolOp(op, values) if type(op) in _OPERATORS:
            yield ast.BoolOp(_OPERATORS[type(op)](), values)
        case ast.Compare(left, [op], [right]) if type(op) in _OPERATORS:
            yield ast.Compare(left, [_OPERATORS[type(op)]()], [right])
        case ast.UnaryOp(ast.Not() | ast.Invert() | ast.USub(), operand):
            yield operand
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.Call(ast.Attribute(value, name), _, _) if name in _WITHOUT:
            yield value
        case ast.Attribute(value, "mT" | "T"):
            yield value
        case ast.Slice(lower, upper, step):
            if lower is not None:
                yield ast.Slice(None, upper, step)
            if upper is not None:
                yield ast.Slice(lower, None, step)
        case ast.Expr(ast.Call()) | ast.Assign() | ast.AugAssign() | ast.If() | ast.Break():
            yield None
        case ast.Continue():
            yield ast.Pass()
    match node:
        case ast.Attribute(value, name, context) if name in _OTHER_NAME:
            yield ast.Attribute(value, _OTHER_NAME[name], context)
        case ast.Name(name, context) if name in ("min", "max", "any", "all"):
            yield ast.Name(_OTHER_NAME[name], context)
        case ast.Call(function, arguments, keywords):
            for dropped in keywords:
                if dropped.arg in _DROPPED:
                    kept = [keyword for keyword in keywords if keyword is not dropped]
                    yield ast.Call(function, arguments, kept)
            plain = not any(isinstance(argument, ast.Starred) for argument in arguments)
            if len(arguments) >= 2 and plain and ast.unparse(function) not in ("min", "max"):
                yield ast.Call(function, [arguments[1], arguments[0], *arguments[2:]], keywords)


def _is_a_guard(node: ast.AST) -> bool:
    """What refuses bad arguments: in the notebook it is given, and its edges are tested beside it."""
    raising = isinstance(node, ast.If) and all(isinstance(one, ast.Raise) for one in node.body)
    return isinstance(node, ast.Raise) or raising


class _Replace(ast.NodeTransformer):
    def __init__(self, number: int, new: ast.AST | None) -> None:
        self.number, self.new = number, new

    def visit(self, node: ast.AST) -> Any:
        if getattr(node, "number", None) == self.number:
            return self.new if self.new is not None else ast.Pass()
        return self.generic_visit(node)


def of_the_tree(exercise: Exercise, original: Callable) -> Iterator[Mutant]:
    """The original with one change in its syntax tree."""
    plain = inspect.unwrap(original)
    tree = ast.parse(textwrap.dedent(inspect.getsource(plain)))
    definition = tree.body[0]
    kept = ("check_shapes",)  # what registers an alternative goes
    definition.decorator_list = [
        d for d in definition.decorator_list if ast.unparse(d).rpartition(".")[2] in kept
    ]
    inside = [node for statement in definition.body for node in ast.walk(statement)]
    guards = [node for node in inside if _is_a_guard(node)]
    told = {id(n) for node in guards for n in ast.walk(node)}
    for number, node in enumerate(inside):
        node.number = number
    for number, node in enumerate(inside):
        if id(node) in told:
            continue
        for new in _changed(node):
            changed = _Replace(number, copy.deepcopy(new)).visit(copy.deepcopy(tree))
            was, now = ast.unparse(node), "" if new is None else ast.unparse(new)
            name = f"{plain.__name__}, line {node.lineno}: {was[:60]} -> {now[:60] or 'nothing'}"
            scope = dict(sys.modules[plain.__module__].__dict__)
            try:
                exec(compile(ast.fix_missing_locations(changed), "<mutant>", "exec"), scope)
            except (SyntaxError, TypeError, ValueError):
                continue
            yield Mutant(exercise.id, name, scope[plain.__name__])


def _first_row_for_all(value: Tensor) -> Tensor:
    return value[:1].expand_as(value).clone() if value.ndim and len(value) > 1 else value


_OF_THE_RESULT: dict[str, Callable[[Tensor], Tensor]] = {
    "detached": lambda t: t.detach(),
    "in double precision": lambda t: t.double() if t.is_floating_point() else t,
    "in single precision": lambda t: t.float() if t.is_floating_point() else t,
    "squeezed": lambda t: t.squeeze(),
    "the first row for all": _first_row_for_all,
    "without a gradient for all but the first": lambda t: (
        torch.cat([t[:1], t[1:].detach()]) if t.ndim and len(t) > 1 else t
    ),
}


def of_the_result(exercise: Exercise) -> Iterator[Mutant]:
    """The reference with its tensor changed after the fact."""
    if isinstance(exercise.reference, type):
        return
    for says, change in _OF_THE_RESULT.items():

        @functools.wraps(exercise.reference)
        def solution(*arguments: Any, change: Callable = change, **options: Any) -> Any:
            value = exercise.reference(*arguments, **options)
            if isinstance(value, tuple):
                return tuple(change(v) if isinstance(v, Tensor) else v for v in value)
            return change(value) if isinstance(value, Tensor) else value

        yield Mutant(exercise.id, f"the result {says}", solution)


def mutants(exercise: Exercise) -> Iterator[Mutant]:
    """All of an exercise."""
    for original in (exercise.reference, *exercise.alternatives):
        yield from of_the_tree(exercise, original)
    yield from of_the_result(exercise)


def passes(mutant: Mutant) -> bool:
    """Whether a mutant is right on all visible and hidden cases that are drawn."""
    exercise = course_exercise(mutant.exercise)
    for seed, hidden in DRAWS:
        for case in exercise.make_cases(Draw(seed, hidden)):
            expected = attempt(case, exercise.reference, seconds=None)
            got = attempt(case, mutant.solution, exercise.forbids, SECONDS)
            if not got.right(expected, exercise.tolerance):
                return False
    return True


def known_equal() -> dict[str, dict[str, str]]:
    """exercise -> change -> why it makes no difference."""
    return tomllib.loads(EQUAL.read_text(encoding="utf-8")) if EQUAL.exists() else {}


def is_known_equal(mutant: Mutant) -> bool:
    """Whether a mutant stands in the list."""
    return mutant.change in known_equal().get(mutant.exercise, {})


def main() -> None:
    """Try them, and print those that pass without standing in the list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", help="ideas or exercises; none: all")
    chosen = parser.parse_args().what
    made = rejected = equal = 0
    for exercise_id in tqdm(list(exercise_ids()), disable=None):
        if chosen and not {exercise_id, exercise_id.partition(".")[0]} & set(chosen):
            continue
        for mutant in mutants(course_exercise(exercise_id)):
            made += 1
            if is_known_equal(mutant):
                equal += 1
            elif passes(mutant):
                print(f"[{mutant.exercise!r}] passes: {mutant.change}", flush=True)
            else:
                rejected += 1
    print(
        f"{made} mutants: {rejected} rejected, {equal} equal, {made - rejected - equal} to look at"
    )


if __name__ == "__main__":
    main()
