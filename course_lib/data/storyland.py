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

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, count, islice, permutations
from math import inf, log
from random import Random
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.data import storyland_words as words
from course_lib.data.grammar import Belief, Grammar, Note, Token, sample
from course_lib.data.storyland_world import END, PLOTS, Person, Size, World

__all__ = ["SIZES", "TAGS", "Fact", "Story", "Storyland", "spell"]

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
        return spell(self.tokens[:-1])

    @cached_property
    def ids(self) -> Int[Tensor, "time"]:
        """The tokens' ids."""
        return self._world.ids(self.tokens)

    @cached_property
    def log_probs(self) -> Float[Tensor, "time"]:
        """Exact natural log-probability of each token given all before it."""
        return self._world.log_probs(self.ids)


def spell(tokens: Sequence[str]) -> str:
    """Tokens as readable text: sentences begin with a capital, a story ends with its line."""
    text = " ".join(tokens).replace(" ,", ",").replace(" .", ".")
    text = re.sub(rf" ?{END} ?", "\n", text)
    return re.sub(r"(^|\n|\. )([a-z])", lambda start: start[1] + start[2].upper(), text)


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
            size: "full" has over 1,500 words, "small" about 600, for models that train in a minute;
                all stories of "tiny" can be listed. Or a `Size` of your own.
            plots: the kinds of stories told, some of "life", "role" and "encounter".

        Raises:
            TypeError: `seed` is not an int, or `plots` is a string.
            ValueError: `size` or a plot is unknown, or there is no plot.
        """
        _check_int("seed", seed)
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

    # Stories.

    def stories(self, n: int, seed: int) -> Iterator[Story]:
        """The first `n` stories told under `seed`.

        Raises:
            TypeError: `n` or `seed` is not an int.
            ValueError: `n` is negative.
        """
        _check_int("n", n, least=0)
        return (self._story(leaves) for leaves in islice(self._draw(seed), n))

    def sample_ids(self, n_tokens: int, seed: int) -> Int[Tensor, "n_tokens"]:
        """The first `n_tokens` ids of the same stories, one after another; the last may be cut.

        Raises:
            TypeError: `n_tokens` or `seed` is not an int.
            ValueError: `n_tokens` is negative.
        """
        _check_int("n_tokens", n_tokens, least=0)
        leaves = chain.from_iterable(self._draw(seed))
        ids = (self.token_to_id[leaf.text] for leaf in leaves if isinstance(leaf, Token))
        return torch.tensor(list(islice(ids, n_tokens)), dtype=torch.long)

    def _draw(self, seed: int) -> Iterator[list[Token | Note]]:
        _check_int("seed", seed)
        rng = Random(seed)
        return (sample(self._grammar.start, rng) for _ in count())

    def _story(self, leaves: list[Token | Note]) -> Story:
        tokens = [leaf for leaf in leaves if isinstance(leaf, Token)]
        said: dict[str, Any] = {}
        facts: list[Fact] = []
        for note in leaves:
            if isinstance(note, Note):
                said[note.kind] = note.value
                if said.keys() >= {"agent", "verb", "patient"}:
                    facts.append(Fact(*(said.pop(part) for part in Fact._fields)))
        return Story(
            tokens=tuple(token.text for token in tokens),
            entities=tuple(token.tag for token in tokens),
            plot=said["plot"],
            sentiment=said["sentiment"],
            negated=said["negated"],
            facts=tuple(facts),
            _world=self,
        )

    # Tokens, ids, text.

    def ids(self, tokens: Sequence[str]) -> Int[Tensor, "time"]:
        """The ids of tokens.

        Raises:
            ValueError: a token is not in the vocabulary.
        """
        unknown = [token for token in tokens if token not in self.token_to_id]
        if unknown:
            raise ValueError(f"this world has no token {unknown[0]!r}")
        return torch.tensor([self.token_to_id[token] for token in tokens], dtype=torch.long)

    def encode(self, text: str) -> Int[Tensor, "time"]:
        """The ids of a text; the opposite of `decode`. A line break is read as "<end>".

        Raises:
            ValueError: a word is not in the vocabulary.
        """
        tokens = re.findall(r"\n|[.,]|[^\s.,]+", text)
        starts = [True, *(token in (".", "\n") for token in tokens)]
        tokens = [END if token == "\n" else token for token in tokens]
        return self.ids([
            token[0].lower() + token[1:] if start and token not in self.token_to_id else token
            for token, start in zip(tokens, starts)
        ])  # fmt: skip

    def decode(self, ids: Sequence[int] | Int[Tensor, "time"]) -> str:
        """The readable text of ids, each story on a line of its own.

        Raises:
            ValueError: an id is outside the vocabulary.
        """
        return spell([self.vocab[i] for i in self._checked(ids)])

    def _checked(self, ids: Sequence[int] | Int[Tensor, "time"]) -> list[int]:
        ids = torch.as_tensor(ids)
        if ids.dim() != 1:
            raise ValueError(f"ids must have one dimension, got shape {tuple(ids.shape)}")
        if ids.numel() and (ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool):
            raise TypeError(f"ids must be integers, got {ids.dtype}")
        bad = [i for i in ids.tolist() if not 0 <= i < len(self.vocab)]
        if bad:
            raise ValueError(f"ids must lie between 0 and {len(self.vocab) - 1}, got {bad[0]}")
        return ids.tolist()

    # Probabilities.

    def log_probs(self, ids: Sequence[int] | Int[Tensor, "time"]) -> Float[Tensor, "time"]:
        """Exact natural log-probability (float64) of each token given all before it.

        The ids start where a story starts; they may go through several stories. From a token that
        cannot be said up to the end of its story, all are -inf.

        Raises:
            TypeError: ids are not integers.
            ValueError: ids have not one dimension, or one is outside the vocabulary.
        """
        belief: Belief | None = self._grammar.beginning
        result = []
        for i in self._checked(ids):
            following = self._grammar.next_tokens(belief) if belief else {}
            p, belief = following.get(self.vocab[i], (0.0, None))
            if i == self.end_id:
                belief = self._grammar.beginning
            result.append(log(p) if p else -inf)
        return torch.tensor(result, dtype=torch.float64)

    def next_token_probs(
        self, prefix_ids: Sequence[int] | Int[Tensor, "time"]
    ) -> Float[Tensor, "vocab"]:
        """Exact probability (float64) of each token after a prefix, which starts a story.

        The prefix may be empty and may hold whole stories.

        Raises:
            TypeError: ids are not integers.
            ValueError: as `log_probs`, or no story goes like this.
        """
        belief = self._grammar.beginning
        for i in self._checked(prefix_ids):
            following = self._grammar.next_tokens(belief)
            if self.vocab[i] not in following:
                raise ValueError(f"no story has {self.vocab[i]!r} at this place")
            _, belief = following[self.vocab[i]]
        probs = torch.zeros(len(self.vocab), dtype=torch.float64)
        for token, (p, _) in self._grammar.next_tokens(belief).items():
            probs[self.token_to_id[token]] = p
        return probs

    def entropy_rate(self) -> float:
        """Nats per token: the loss that no model of these stories can go below on average.

        Exact: entropy of a story / expected tokens of a story ("<end>" counts), both summed over
        the grammar; no sample is drawn. A model reaches it only if it sees each story from its
        start.
        """
        return self._grammar.entropy / sum(self._grammar.expected_counts.values())

    def unigram_probs(self) -> Float[Tensor, "vocab"]:
        """Exact share (float64) of each token of the vocabulary in endless text."""
        counts = self._grammar.expected_counts
        probs = torch.tensor([counts[token] for token in self.vocab], dtype=torch.float64)
        return probs / probs.sum()

    # Words.

    @property
    def gender_pairs(self) -> list[tuple[str, str]]:
        """(king, queen), (man, woman), ...: the roles, which differ in gender alone."""
        return [(male.name, female.name) for male, female in self._world.roles]

    def analogies(self) -> list[tuple[str, str, str, str]]:
        """All (a, b, c, d) with a to b as c to d: man, woman, king, queen, and woman, man, ...

        They hold in every world that tells of roles.
        """
        one_way = list(permutations(self.gender_pairs, 2))
        other_way = [(one[::-1], two[::-1]) for one, two in one_way]
        return [one + two for one, two in one_way + other_way]

    @cached_property
    def categories(self) -> dict[str, list[str]]:
        """Words by kind, commonest first; only those of one token and of one kind."""
        male_roles, female_roles = zip(*self.gender_pairs)
        kinds = {
            "women": words.FEMALE_NAMES,
            "men": words.MALE_NAMES,
            "female roles": female_roles,
            "male roles": male_roles,
            "cities": dict(words.CITIES),
            "countries": dict(words.CITIES).values(),
            "jobs": dict(words.JOBS),
            "good feelings": words.MOODS["positive"],
            "bad feelings": words.MOODS["negative"],
            "deeds": words.VERBS["helped"] + words.VERBS["chased"],
            "animals": words.WORDS["animal"] + words.WORDS["pet"],
            "objects": words.WORDS["object"],
            "food": words.WORDS["food"],
            "drinks": words.WORDS["drink"],
            "colours": words.WORDS["colour"],
            "clothes": words.WORDS["garment"],
            "flowers": words.WORDS["flower"],
            "hobbies": words.WORDS["hobby"],
            "sports": words.WORDS["sport"],
            "instruments": words.WORDS["instrument"],
            "languages": words.WORDS["language"],
            "subjects": words.WORDS["subject"],
            "vehicles": words.WORDS["vehicle"],
            "days": words.WORDS["day"],
            "months": words.WORDS["month"],
        }
        times = Counter(chain.from_iterable(map(set, kinds.values())))
        return {
            kind: [word for word in self.vocab if word in entries and times[word] == 1]
            for kind, entries in ((kind, set(entries)) for kind, entries in kinds.items())
        }


def _check_int(name: str, value: int, least: int | None = None) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
