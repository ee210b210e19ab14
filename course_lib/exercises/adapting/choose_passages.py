"""What `adapting.choose_passages` demands."""

from __future__ import annotations

from course_lib import adapting
from course_lib.checks.exercise import Case, Exercise

choose_passages = Exercise("adapting.choose_passages", points=2, reference=adapting.choose_passages)


@choose_passages.cases
def _(draw):
    def given(scores, lengths, budget):
        return {"scores": scores, "lengths": lengths, "budget": budget}

    def some(n, budget):
        scores = (draw.permutation(n) / n - 0.4).tolist()
        return given(scores, (draw.ids(9, n) + 1).tolist(), budget)

    yield Case("both fit", given([0.2, 0.9], [3, 4], 10))
    yield Case("only the better one fits", given([0.2, 0.9], [3, 4], 5))
    yield Case("it fits exactly", given([0.9, 0.2, 0.5], [3, 4, 2], 5))
    skipped = given([0.5, 0.9, 0.7, 0.1], [2, 4, 5, 1], 8)
    yield Case("the second best is too long, shorter ones follow", skipped)
    yield Case("the best is too long by itself", given([0.9, 0.3, 0.5], [9, 2, 3], 6))
    greedy = given([0.9, 0.8, 0.7], [6, 4, 4], 8)
    yield Case("two others would fill the room better", greedy)
    dense = given([0.9, 0.8, 0.7], [5, 1, 2], 6)
    yield Case("a short one with a lower score", dense)
    yield Case("equal scores", given([0.5, 0.7, 0.5, 0.7], [2, 2, 2, 2], 6))
    yield Case("scores below zero", given([-0.2, -0.9, -0.1], [2, 2, 2], 4))
    yield Case("nothing fits", given([0.2, 0.9], [3, 4], 2))
    yield Case("no room at all", given([0.2, 0.9], [3, 4], 0))
    yield Case("an empty passage", given([0.2, 0.9], [0, 4], 4))
    yield Case("no passages", given([], [], 7))
    yield Case("several", some(7, 17))
    yield Case("several more", some(8, 21))
    if draw.hidden:
        yield Case("many", some(40, 77))


def _by_score(scores):
    return sorted(range(len(scores)), key=lambda place: -scores[place])


def _fill(order, lengths, budget):
    chosen = []
    for place in order:
        if lengths[place] <= budget:
            chosen.append(place)
            budget -= lengths[place]
    return chosen


@choose_passages.misconception
def stops_at_the_first_that_does_not_fit(scores, lengths, budget):
    """You stop at the first passage that is too long. A shorter one further down may still fit:
    pass over the long one and go on."""
    chosen = []
    for place in _by_score(scores):
        if lengths[place] > budget:
            break
        chosen.append(place)
        budget -= lengths[place]
    return chosen


@choose_passages.misconception
def starts_with_the_worst(scores, lengths, budget):
    """You go through the passages from the lowest score up. The best comes first."""
    return _fill(_by_score(scores)[::-1], lengths, budget)


@choose_passages.misconception
def takes_them_in_the_order_of_the_text(scores, lengths, budget):
    """The scores play no part in yours: passages are taken in the order they stand. Go through them
    by score, the best first."""
    return _fill(range(len(scores)), lengths, budget)


@choose_passages.misconception
def returns_them_in_the_order_of_the_text(scores, lengths, budget):
    """The right passages, sorted by their place. The best comes first in what you return, too."""
    return sorted(_fill(_by_score(scores), lengths, budget))


@choose_passages.misconception
def needs_room_to_spare(scores, lengths, budget):
    """A passage that fills the room to the last token still fits: `<=`, not `<`."""
    chosen = []
    for place in _by_score(scores):
        if lengths[place] < budget:
            chosen.append(place)
            budget -= lengths[place]
    return chosen


@choose_passages.misconception
def forgets_what_is_taken(scores, lengths, budget):
    """Every passage is compared with the whole room. What was taken before takes up some of it: the
    room shrinks with each."""
    return [place for place in _by_score(scores) if lengths[place] <= budget]


@choose_passages.misconception
def takes_one_too_many(scores, lengths, budget):
    """You look whether there is room left before you take a passage, not whether it fits. The last
    one sticks out."""
    chosen = []
    for place in _by_score(scores):
        if budget > 0:
            chosen.append(place)
            budget -= lengths[place]
    return chosen


@choose_passages.misconception
def counts_passages(scores, lengths, budget):
    """You take the best `budget` passages. The budget is in tokens: each passage takes `lengths` of
    them."""
    return _by_score(scores)[:budget]


@choose_passages.misconception
def weighs_score_by_length(scores, lengths, budget):
    """You go by score per token, so that a short passage beats a better one. Here they go by score
    alone."""
    order = sorted(range(len(scores)), key=lambda p: -scores[p] / max(lengths[p], 1))
    return _fill(order, lengths, budget)


@choose_passages.misconception
def takes_the_later_of_equals(scores, lengths, budget):
    """Of passages with equal scores you take the later one first. Equal ones go by place:
    `sorted(..., reverse=True)` keeps that order, turning the list round afterwards does not."""
    order = sorted(range(len(scores)), key=lambda place: scores[place])[::-1]
    return _fill(order, lengths, budget)


@choose_passages.misconception
def returns_the_scores(scores, lengths, budget):
    """These are the scores of the passages that were chosen. Return their places."""
    return [scores[place] for place in _fill(_by_score(scores), lengths, budget)]


@choose_passages.alternative
def with_pairs(scores, lengths, budget):
    """Sorts pairs of score and place."""
    chosen, used = [], 0
    for _, place in sorted((-score, place) for place, score in enumerate(scores)):
        if used + lengths[place] <= budget:
            chosen.append(place)
            used += lengths[place]
    return chosen


@choose_passages.alternative
def by_picking_the_best_left(scores, lengths, budget):
    """Looks for the best again each time, among those that still fit."""
    left, chosen = set(range(len(scores))), []
    while fits := [place for place in sorted(left) if lengths[place] <= budget]:
        best = max(fits, key=lambda place: scores[place])  # the first of equals
        left.discard(best)
        chosen.append(best)
        budget -= lengths[best]
    return chosen
