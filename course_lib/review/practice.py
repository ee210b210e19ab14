"""Two other uses of the cards: a practice test, and matching questions with answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from course_lib.review.material import Card


@dataclass(frozen=True)
class Item:
    """A card whose answer is to be found among the answers of other cards of its notebook."""

    card: Card
    choices: tuple[Card, ...]


def practice_test(cards: Sequence[Card], n: int, random: Random, choices: int = 4) -> list[Item]:
    """`n` different cards (all of them, if there are fewer), each with up to `choices` answers.

    Raises:
        ValueError: `n` is below 1, or there are no two cards of one notebook to choose from.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    items = []
    for card in random.sample(cards, min(n, len(cards))):
        others = [one for one in cards if one.notebook == card.notebook and one != card]
        if not others:
            raise ValueError(f"cards: {card.notebook} has only one, so nothing to choose from")
        answers = [card, *random.sample(others, min(choices - 1, len(others)))]
        random.shuffle(answers)
        items.append(Item(card, tuple(answers)))
    return items


@dataclass(frozen=True)
class Round:
    """Fronts in one order, backs in another: `backs[i]` belongs to the card `backs[i].id`."""

    fronts: tuple[Card, ...]
    backs: tuple[Card, ...]

    def fits(self, front: int, back: int) -> bool:
        """Whether two places, counted from 0, belong together."""
        return self.fronts[front] == self.backs[back]


def matching_round(cards: Sequence[Card], pairs: int, random: Random) -> Round:
    """`pairs` different cards (all of them, if there are fewer), fronts and backs shuffled apart.

    Raises:
        ValueError: `pairs` is below 2 or above 26 (answers are lettered).
    """
    if not 2 <= pairs <= 26:
        raise ValueError(f"pairs must be from 2 to 26, got {pairs}")
    fronts = random.sample(cards, min(pairs, len(cards)))
    return Round(tuple(fronts), tuple(random.sample(fronts, len(fronts))))
