"""How an exercise is described: once, and everything else follows from the description."""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.memory import PeakMemory


class Draw:
    """The source of a case's random parts: everything drawn follows from one seed.

    `hidden` is True while a submission is graded, so that cases can be larger then.
    """

    def __init__(self, seed: int, hidden: bool = False):
        self.hidden = hidden
        self.generator = torch.Generator().manual_seed(seed)
        self.random = random.Random(seed)

    def normal(self, *shape: int, scale: float = 1.0) -> Float[Tensor, "..."]:
        """Normal numbers with mean 0 and standard deviation `scale`."""
        return scale * torch.randn(*shape, generator=self.generator)

    def ids(self, vocab_size: int, *shape: int) -> Int[Tensor, "..."]:
        """Token ids, uniform in 0..vocab_size-1."""
        return torch.randint(vocab_size, shape, generator=self.generator)

    def permutation(self, n: int) -> Int[Tensor, "n"]:
        """0..n-1 in random order."""
        return torch.randperm(n, generator=self.generator)


def call(solution: Callable, *arguments: Any) -> Any:
    """The plain way to try a solution: call it."""
    return solution(*arguments)


def gradient_of(position: int) -> Callable[..., Tensor]:
    """A way to try a solution: the gradient of its (first) output's sum of squares with respect
    to the argument at `position`."""

    def observe(solution: Callable, *arguments: Any) -> Tensor:
        arguments = list(arguments)
        leaf = arguments[position] = arguments[position].clone().requires_grad_()
        output = solution(*arguments)
        output = output[0] if isinstance(output, tuple) else output
        if not isinstance(output, Tensor) or not output.requires_grad:
            return torch.zeros_like(leaf)
        (gradient,) = torch.autograd.grad(output.square().sum(), leaf, allow_unused=True)
        return torch.zeros_like(leaf) if gradient is None else gradient

    return observe


def peak_bytes(solution: Callable, *arguments: Any) -> int:
    """A way to try a solution: the most memory that the tensors it makes take at one moment."""
    if measure := getattr(type(solution), "peak_bytes", None):  # it makes them in a sandbox
        return measure(solution, *arguments)
    with torch.no_grad(), PeakMemory() as memory:
        solution(*arguments)
    return memory.peak


@dataclass(frozen=True)
class Case:
    """One thing to try with a solution.

    `about` says in a few words what is special; `arguments` go to the solution in order;
    `observe(solution, *arguments)` returns what is compared with the reference's. Cases
    `at_the_door` try bad input; they play no part in recognising a misconception, and are shown
    only when nothing else is wrong.
    """

    about: str
    arguments: Mapping[str, Any]
    observe: Callable[..., Any] = call
    at_the_door: bool = False


def refuses(about: str, arguments: Mapping[str, Any], naming: str) -> Case:
    """A case of bad input: the right answer is an error whose message names the argument."""

    def observe(solution: Callable, *arguments: Any) -> str:
        try:
            solution(*arguments)
        except NotImplementedError:
            raise
        except (ValueError, TypeError) as error:
            named = "names" if naming in str(error) else "does not name"
            return f"a {type(error).__name__} that {named} {naming!r}"
        return "no error"

    return Case(about, arguments, observe, at_the_door=True)


@dataclass(frozen=True)
class Misconception:
    """A wrong solution that people really write. `says` is what the learner is told."""

    name: str
    says: str
    solution: Callable


def _spoken(solution: Callable) -> str:
    """`divides_by_all` or `DividesByAll` -> "divides by all"."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", solution.__name__)
    return name.replace("_", " ").strip().lower()


@dataclass(eq=False)
class Exercise:
    """What one exercise demands.

    `id` is the module of `course_lib` and the name in it ("attention.softmax"); `forbids` lists
    what a solution must not call ("torch.softmax"); `tolerance` is how near is near enough
    (absolute and relative); `seconds` is the time one case may take.

    Cases, misconceptions and alternatives are added by decorators. A misconception is named by
    its function's name, and its docstring is the sentence said to the learner.
    """

    id: str
    points: int
    reference: Callable
    forbids: tuple[str, ...] = ()
    tolerance: float = 1e-5
    seconds: float = 5.0
    misconceptions: list[Misconception] = field(default_factory=list)
    alternatives: list[Callable] = field(default_factory=list)
    make_cases: Callable[[Draw], Iterable[Case]] | None = None

    def __post_init__(self) -> None:
        if any(self.id in registry for registry in _registries):
            raise ValueError(f"id: an exercise {self.id!r} exists already")
        _registries[-1][self.id] = self

    @property
    def name(self) -> str:
        """The name the learner gives the solution: "softmax"."""
        return self.id.partition(".")[2]

    @property
    def module(self) -> str:
        """The module of `course_lib` it belongs to: "attention"."""
        return self.id.partition(".")[0]

    @property
    def grade_id(self) -> str:
        """The name of its solution cell in the notebook: "attention-softmax"."""
        return self.id.replace(".", "-")

    def cases(self, make_cases: Callable[[Draw], Iterable[Case]]) -> Callable:
        """Decorator: the function that makes the cases from a `Draw`."""
        self.make_cases = make_cases
        return make_cases

    def misconception(self, solution: Callable) -> Callable:
        """Decorator: a named wrong solution."""
        says = " ".join((inspect.getdoc(solution) or "").split())
        if not says:
            raise ValueError(f"solution: {solution.__name__} needs a docstring to say")
        self.misconceptions.append(Misconception(_spoken(solution), says, solution))
        return solution

    def alternative(self, solution: Callable) -> Callable:
        """Decorator: a right solution written differently."""
        self.alternatives.append(solution)
        return solution


_registries: list[dict[str, Exercise]] = [{}]  # the course's; above it, one that is being filled


def registered() -> Mapping[str, Exercise]:
    """The course's exercises described so far, in order."""
    return MappingProxyType(_registries[0])


@contextmanager
def registering(found: dict[str, Exercise]) -> Iterator[None]:
    """What is described within goes into `found`, and is none of the course's; unless it is one of
    theirs, in a module that is imported only now."""
    _registries.append(found)
    try:
        yield
    finally:
        _registries.pop()
        for exercise in list(found.values()):
            if getattr(exercise.make_cases, "__module__", "").startswith("course_lib.checks."):
                _registries[0][exercise.id] = found.pop(exercise.id)
