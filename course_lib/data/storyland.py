"""Storyland: a small world that writes readable English of which everything is known.

Real text hides its own numbers: nobody knows how well the best possible model would predict it.
Storyland is told by a grammar (`course_lib.data.grammar`), so the probability of every next
token, the entropy that no model can beat, the entities, the mood and who did what are exact.

Three kinds of stories share the world:

- *life*: a person with fixed facts (home, job, food, friends, ...). Later sentences say "he" or
  "she" and still depend on who was named at the start; a thing found early comes back later.
- *role*: kings and queens, waiters and waitresses. What is said depends on the role and, apart
  from that, on the gender: what king - man + woman = queen needs.
- *encounter*: "the dog chased the man" and "the man chased the dog", equally likely, and the
  passive. The words without their order never tell who did it.

Every story ends with a mood. Half of the moods are negated ("not sad but happy"), and the same
words with both feelings exchanged are equally likely and mean the opposite.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from math import inf, log
from random import Random
from typing import Literal, NamedTuple
import re

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.data import storyland_words as words
from course_lib.data.grammar import Belief, Grammar, Note, sample
from course_lib.data.storyland_world import END, PLOTS, Person, Size, World

SIZES = {
    "tiny": Size(people=2, words=1, topics=1),
    "small": Size(people=24, words=12, topics=4),
    "full": Size(people=240, words=200, topics=5),
}
TAGS = ["O", "B-PERSON", "I-PERSON", "B-PLACE", "I-PLACE", "B-ANIMAL", "I-ANIMAL"]


class Fact(NamedTuple):
    """Who did what to whom."""

    agent: str
    verb: str
    patient: str


@dataclass(frozen=True)
class Story:
    """One story and what is true of it.

    Attributes:
        tokens: words and punctuation; the last is "<end>".
        entities: one BIO tag of `TAGS` for each token.
        plot: "life", "role" or "encounter".
        sentiment: "positive" or "negative": the mood at the end.
        negated: whether that mood is told with its negated opposite ("not sad but happy").
        facts: who did what, in order; persons by first name, even where the story says "he".
    """

    tokens: tuple[str, ...]
    entities: tuple[str, ...]
    plot: str
    sentiment: Literal["positive", "negative"]
    negated: bool
    facts: tuple[Fact, ...]
    _world: Storyland = field(repr=False, compare=False)

    @property
    def text(self) -> str:
        """The story as people write it, without "<end>"."""
        return self._world.spell(self.tokens[:-1])

    @cached_property
    def ids(self) -> Int[Tensor, "time"]:
        """The tokens' ids."""
        return self._world.ids(self.tokens)

    @cached_property
    def log_probs(self) -> Float[Tensor, "time"]:
        """Exact natural log-probability of each token given all before it."""
        return self._world.log_probs(self.ids)


class Storyland:
    """A world that writes stories; see the module's text.

    Attributes:
        vocab: every token that can be said, commonest first.
        token_to_id: the place of each token in `vocab`.
        end_id: the id of "<end>", the last token of every story.
        people: everybody, most often told of first, with their facts.
    """

    def __init__(
        self,
        seed: int = 0,
        size: Literal["tiny", "small", "full"] | Size = "full",
        plots: Collection[str] = tuple(PLOTS),
    ):
        """
        Args:
            seed: decides the facts and which words are common; not the stories.
            size: "full" has over 1,500 words; "small" is learned in a minute; all stories of
                "tiny" can be listed. Or a `Size` of your own.
            plots: the kinds of stories told, some of "life", "role" and "encounter".

        Raises:
            TypeError: `seed` is not an int, or `plots` is a string.
            ValueError: `size` or a plot is unknown, or there is no plot.
        """
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise TypeError(f"seed must be an int, got {type(seed).__name__}")
        if not isinstance(size, Size):
            if size not in SIZES:
                raise ValueError(f"size must be a Size or one of {list(SIZES)}, got {size!r}")
            size = SIZES[size]
        if isinstance(plots, str):
            raise TypeError(f"plots must be a collection of names, got the string {plots!r}")
        if not plots or not set(plots) <= set(PLOTS):
            raise ValueError(f"plots must be some of {list(PLOTS)}, got {list(plots)}")
        self._world = World(seed, size, [plot for plot in PLOTS if plot in plots])
        self._grammar = Grammar(self._world.story())
        counts = self._grammar.expected_counts
        self.vocab: list[str] = sorted(counts, key=lambda token: (-counts[token], token))
        self.token_to_id = {token: i for i, token in enumerate(self.vocab)}
        self.end_id = self.token_to_id[END]
        self.people: list[Person] = self._world.people
