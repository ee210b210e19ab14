"""A weighted grammar of which every probability is exact.

A text is made from left to right by replacing a `Choice` with one of its productions, picked at
random, until only `Token`s are left. A stack holds what is still to be said. That is enough to

- draw texts (`sample`),
- know the probability of every next token (`Grammar.next_tokens`): the forward algorithm keeps
  all derivations that agree with the tokens so far, each with its posterior probability,
- know the entropy and the expected length (`Grammar.entropy`): for a choice with probabilities p,
  H = sum of p * (-log p + H of what the production holds) (Grenander, 1976; Booth & Thompson,
  1973).

The entropy of derivations is the entropy of texts only if no text has two derivations. A grammar
that breaks this is refused as soon as the forward algorithm meets the second derivation.
"""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from math import log
from random import Random
from typing import Any, NamedTuple


class Token(NamedTuple):
    """A word or a punctuation mark, with its entity tag (BIO; "O" is outside any entity)."""

    text: str
    tag: str = "O"


@dataclass(frozen=True)
class Note:
    """Something true of the text at this place, which is not spoken: a label for a learner."""

    kind: str
    value: Any


class Choice:
    """A random choice among productions; `options` lists (weight, production), asked only once.

    The call is put off until the choice is first needed, so that a choice may mention others
    without building the whole world.
    """

    def __init__(self, options: Callable[[], Iterable[tuple[float, Production]]]) -> None:
        self._options = options

    @cached_property
    def _weighted(self) -> list[tuple[float, Production]]:
        options = list(self._options())
        if not options or any(weight <= 0 for weight, _ in options):
            raise ValueError("a choice needs at least one option, and weights above 0")
        return options

    @cached_property
    def probs(self) -> list[float]:
        """Probability of each production; they sum to one."""
        total = sum(weight for weight, _ in self._weighted)
        return [weight / total for weight, _ in self._weighted]

    @cached_property
    def productions(self) -> list[Production]:
        """What each option is replaced with."""
        return [production for _, production in self._weighted]

    @cached_property
    def spoken(self) -> list[tuple[float, Spoken]]:
        """(probability, production without its notes)."""
        return [
            (p, tuple(symbol for symbol in production if not isinstance(symbol, Note)))
            for p, production in zip(self.probs, self.productions)
        ]

    @cached_property
    def _draws(self) -> tuple[list[float], list[Production]]:
        # Without the last boundary, which rounding may leave just below one. Reversed, because
        # the next symbol to say is the one on top of the stack.
        return list(accumulate(self.probs))[:-1], [p[::-1] for p in self.productions]

    def draw(self, uniform: float) -> Production:
        """The production that a uniform number in [0, 1) falls on, last symbol first."""
        boundaries, reversed_productions = self._draws
        return reversed_productions[bisect(boundaries, uniform)]


Symbol = Token | Note | Choice
Production = tuple[Symbol, ...]
Spoken = tuple[Token | Choice, ...]  # a production without its notes
# What may still be said, given the tokens so far: (posterior probability, symbols to come).
Belief = tuple[tuple[float, Spoken], ...]


def sample(start: Choice, rng: Random) -> list[Token | Note]:
    """One text drawn from `start`, with its notes."""
    leaves: list[Token | Note] = []
    stack: list[Symbol] = [start]
    random = rng.random
    while stack:
        symbol = stack.pop()
        if isinstance(symbol, Choice):
            stack.extend(symbol.draw(random()))
        else:
            leaves.append(symbol)
    return leaves


class Grammar:
    """The exact quantities of an endless stream of texts, each drawn anew from `start`.

    Every text must end with a token that stands nowhere else, so that the stream can be cut.
    """

    def __init__(self, start: Choice) -> None:
        self.start = start
        self.beginning: Belief = ((1.0, (start,)),)
        self.next_tokens = lru_cache(maxsize=200_000)(self._next_tokens)

    def _next_tokens(self, belief: Belief) -> dict[str, tuple[float, Belief]]:
        """Each possible next token with its probability and the belief after it (cached).

        Raises ValueError if two derivations meet, that is, if the grammar is ambiguous.
        """
        after: dict[str, dict[Spoken, float]] = {}
        agenda = list(belief)
        while agenda:
            weight, (symbol, *rest) = agenda.pop()
            if isinstance(symbol, Choice):
                agenda.extend((weight * p, (*option, *rest)) for p, option in symbol.spoken)
                continue
            futures = after.setdefault(symbol.text, {})
            future = tuple(rest) or (self.start,)
            if future in futures:
                raise ValueError(f"the grammar says {symbol.text!r} here in two ways")
            futures[future] = weight

        result: dict[str, tuple[float, Belief]] = {}
        for text, futures in after.items():
            total = sum(futures.values())
            result[text] = total, tuple((w / total, future) for future, w in futures.items())
        return result

    @cached_property
    def _choices(self) -> list[Choice]:
        """Every choice that can be reached, each after all that its productions mention."""
        order: list[Choice] = []
        done: dict[Choice, bool] = {}  # False while the choice's own productions are walked
        stack = [self.start]
        while stack:
            choice = stack[-1]
            if choice not in done:
                done[choice] = False
                for production in choice.productions:
                    for symbol in production:
                        if isinstance(symbol, Choice) and not done.get(symbol, False):
                            if symbol in done:
                                raise ValueError("the grammar is recursive")
                            stack.append(symbol)
            else:
                stack.pop()
                if not done[choice]:
                    done[choice] = True
                    order.append(choice)
        return order

    @cached_property
    def entropy(self) -> float:
        """Entropy of one text in nats."""
        entropy: dict[Symbol, float] = {}
        for choice in self._choices:
            entropy[choice] = sum(
                p * (sum(entropy.get(symbol, 0.0) for symbol in production) - log(p))
                for p, production in choice.spoken
            )
        return entropy[self.start]

    @cached_property
    def expected_counts(self) -> dict[str, float]:
        """How often each token stands in one text, on average."""
        counts: dict[str, float] = defaultdict(float)
        visits: dict[Choice, float] = defaultdict(float, {self.start: 1.0})
        for choice in reversed(self._choices):
            for p, production in choice.spoken:
                for symbol in production:
                    if isinstance(symbol, Choice):
                        visits[symbol] += p * visits[choice]
                    else:
                        counts[symbol.text] += p * visits[choice]
        return dict(counts)
