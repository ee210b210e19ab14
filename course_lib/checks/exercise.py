"""How an exercise is described: once, and everything else follows from the description."""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.checks.report import in_words
from course_lib.checks.spoken import spoken
from course_lib.memory import PeakMemory
from course_lib.notebooks import answer_id


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


def call(solution: Callable[..., Any], *arguments: Any) -> Any:
    """The plain way to try a solution: call it."""
    return solution(*arguments)


def compares_gradients(observe: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: what this way to try a solution returns are gradients."""
    observe.compares_gradients = True  # type: ignore[attr-defined]
    return observe


def gradient_of(position: int) -> Callable[..., Tensor]:
    """A way to try a solution: the gradient of its (first) output's sum of squares with respect
    to the argument at `position`."""

    @compares_gradients
    def observe(solution: Callable[..., Any], *arguments: Any) -> Tensor:
        given = list(arguments)
        leaf = given[position] = given[position].clone().requires_grad_()
        output = solution(*given)
        output = output[0] if isinstance(output, tuple) else output
        if not isinstance(output, Tensor) or not output.requires_grad:
            return torch.zeros_like(leaf)
        (gradient,) = torch.autograd.grad(output.square().sum(), leaf, allow_unused=True)
        return torch.zeros_like(leaf) if gradient is None else gradient

    return observe


def backward_of(position: int) -> Callable[..., dict[str, Any]]:
    """A way to try a loss: whether `backward()` can run, and the gradient it leaves in the argument
    at `position`. A loss that is cut off shows even where the right gradient is 0."""

    @compares_gradients
    def observe(solution: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        given = list(arguments)
        leaf = given[position] = given[position].clone().requires_grad_()
        loss = solution(*given)
        runs = isinstance(loss, Tensor) and loss.requires_grad
        if runs:
            loss.sum().backward()
        gradient = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        return {"backward() can run": runs, "gradient": gradient}

    return observe


def peak_bytes(solution: Callable[..., Any], *arguments: Any) -> int:
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
    `observe(solution, *arguments)` returns what is compared with the reference's. Cases at the
    `edge` try bad or odd input; a misconception is recognised by them, and they are shown, only
    where nothing else is wrong.
    """

    about: str
    arguments: Mapping[str, Any]
    observe: Callable[..., Any] = call
    edge: bool = False

    @property
    def gradients(self) -> bool:
        """Whether gradients are compared, and not values."""
        return getattr(self.observe, "compares_gradients", False)


def refuses(about: str, arguments: Mapping[str, Any], naming: str) -> Case:
    """A case of bad input: the right answer is an error whose message names the argument."""

    def observe(solution: Callable[..., Any], *arguments: Any) -> str:
        try:
            value = solution(*arguments)
        except NotImplementedError:
            raise
        except (ValueError, TypeError) as error:
            named = "names" if naming in str(error) else "does not name"
            return f"a {type(error).__name__} that {named} {naming!r}"
        return f"no error; what came back is {_DECIMALS.sub(_rounded, in_words(value))}"

    return Case(about, arguments, observe, edge=True)


# Two runs of one solution may differ in the last digits, and what they gave is compared as text.
_DECIMALS = re.compile(r"\d+\.\d+(e[-+]?\d+)?")


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.6g}"


@dataclass(frozen=True)
class Misconception:
    """A wrong solution that people really write. `says` is what the learner is told."""

    name: str
    says: str
    solution: Callable[..., Any]


@dataclass(eq=False)
class Exercise:
    """What one exercise demands.

    `id` is the module of `course_lib` and the name in it ("attention.softmax"); `forbids` lists
    what a solution must not call ("torch.softmax"), or by no name have run (torch's operator
    "aten::_softmax"); `tolerance` is how near is near enough (absolute and relative); `seconds` of
    processor time are what one case may take at least, more where the reference is slow itself.

    Cases, misconceptions and alternatives are added by decorators. A misconception is named by
    its function's name, and its docstring is the sentence said to the learner.
    """

    id: str
    points: int
    reference: Callable[..., Any]
    forbids: tuple[str, ...] = ()
    tolerance: float = 1e-5
    seconds: float = 10.0
    misconceptions: list[Misconception] = field(default_factory=list)
    alternatives: list[Callable[..., Any]] = field(default_factory=list)
    make_cases: Callable[[Draw], Iterable[Case]] | None = None

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
        return answer_id(self.id)

    def cases(self, make_cases: Callable[[Draw], Iterable[Case]]) -> Callable[..., Any]:
        """Decorator: the function that makes the cases from a `Draw`."""
        self.make_cases = make_cases
        return make_cases

    def misconception(self, solution: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: a named wrong solution."""
        says = " ".join((inspect.getdoc(solution) or "").split())
        if not says:
            raise ValueError(f"solution: {solution.__name__} needs a docstring to say")
        self.misconceptions.append(Misconception(spoken(solution.__name__), says, solution))
        return solution

    def alternative(self, solution: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: a right solution written differently."""
        self.alternatives.append(solution)
        return solution
