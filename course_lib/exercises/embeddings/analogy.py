"""What `embeddings.analogy` demands."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from course_lib import embeddings
from course_lib.checks.exercise import Case, Exercise

analogy = Exercise("embeddings.analogy", points=2, reference=embeddings.analogy)


def _nearest(target, table, excluded=()):
    cosine = F.cosine_similarity(table, target, dim=1)
    cosine[list(excluded)] = -2
    return cosine.argmax().item()


def _clear(a, b, c, table):
    """Is the best row better by more than a rounding error?"""
    cosine = F.cosine_similarity(table, table[b] - table[a] + table[c], dim=1)
    cosine[[a, b, c]] = -2
    best, second = cosine.topk(2).values
    return best - second > 1e-3


@analogy.cases
def _(draw):
    # (gender, royalty): man, king, woman, queen, a duke on the way, and the least royal
    crafted = torch.tensor(
        [[1.0, 0.0], [1.0, 8.0], [-1.0, 0.0], [-1.0, 8.0], [-1.0, 1.0], [0.0, -1.0]]
    )
    yield Case("man is to king as woman is to ?", {"a": 0, "b": 1, "c": 2, "table": crafted})
    yield Case("king is to man as queen is to ?", {"a": 1, "b": 0, "c": 3, "table": crafted})
    # In each of the next, one mistake leads to a row of its own.
    mistakes = {
        forgets_to_leave_out_the_three: "one of the three words is the nearest of all",
        subtracts_the_wrong_way: "the way from b to a leads elsewhere",
        swaps_a_and_c: "the way from c to b leads elsewhere",
        shortens_the_rows_first: "rows of very different length",
        takes_the_largest_dot_product: "a long row in a similar direction",
        takes_the_closest_point: "a row close by in another direction",
    }
    for mistake, about in mistakes.items():
        while True:
            table = draw.normal(9, 4) * draw.normal(9, 1).exp()
            a, b, c = draw.permutation(9)[:3].tolist()
            others = [embeddings.analogy, *(m for m in mistakes if m is not mistake)]
            answer = mistake(a, b, c, table)
            if _clear(a, b, c, table) and all(m(a, b, c, table) != answer for m in others):
                break
        yield Case(about, {"a": a, "b": b, "c": c, "table": table})
    a, b, c, _ = draw.permutation(4).tolist()
    yield Case("one row is left to choose", {"a": a, "b": b, "c": c, "table": draw.normal(4, 3)})
    while True:
        table = draw.normal(5, 4)
        a, b = draw.permutation(5)[:2].tolist()
        if _clear(a, b, a, table):
            break
    yield Case("a is to b as a is to ?", {"a": a, "b": b, "c": a, "table": table})
    while True:
        table = draw.normal(7, 5).double()
        a, b, c = draw.permutation(7)[:3].tolist()
        if _clear(a, b, c, table):
            break
    yield Case("double precision", {"a": a, "b": b, "c": c, "table": table})
    if draw.hidden:
        while not _clear(a, b, c, table := draw.normal(40, 8)):
            pass
        yield Case("forty rows", {"a": a, "b": b, "c": c, "table": table})


@analogy.misconception
def forgets_to_leave_out_the_three(a, b, c, table):
    """The nearest row is very often one of the three words of the question, b or c above all. They
    are no answer: leave a, b and c out before you choose."""
    return _nearest(table[b] - table[a] + table[c], table)


@analogy.misconception
def leaves_out_only_the_first_row_found(a, b, c, table):
    """This takes the second best row, as if exactly one of the three words always came first. Of
    a, b and c any number may come before the answer: leave out these three rows themselves."""
    target = table[b] - table[a] + table[c]
    return embeddings.nearest_neighbours(target, table, 2)[1].item()


@analogy.misconception
def subtracts_the_wrong_way(a, b, c, table):
    """The step that leads from a to b is table[b] - table[a]: the goal minus the start. Yours goes
    from b to a, so it answers another question: b is to a as c is to what?"""
    return _nearest(table[a] - table[b] + table[c], table, (a, b, c))


@analogy.misconception
def swaps_a_and_c(a, b, c, table):
    """The step from a to b is applied to c. Yours takes the step from c to b and applies it to a:
    king - woman + man, where king - man + woman is meant."""
    return _nearest(table[b] - table[c] + table[a], table, (a, b, c))


@analogy.misconception
def shortens_the_rows_first(a, b, c, table):
    """You made every row one unit long before the arithmetic. Here the raw rows are added and
    subtracted, and only the comparison at the end is a cosine."""
    unit = F.normalize(table, dim=1)
    return _nearest(unit[b] - unit[a] + unit[c], table, (a, b, c))


@analogy.misconception
def takes_the_largest_dot_product(a, b, c, table):
    """The dot product prefers long rows. Compare directions: the cosine, as in
    `nearest_neighbours`."""
    scores = table @ (table[b] - table[a] + table[c])
    scores[[a, b, c]] = -torch.inf
    return scores.argmax().item()


@analogy.misconception
def takes_the_closest_point(a, b, c, table):
    """This finds the row closest to the target as a point. Compare directions: the cosine, as in
    `nearest_neighbours`."""
    distance = (table - (table[b] - table[a] + table[c])).norm(dim=1)
    distance[[a, b, c]] = torch.inf
    return distance.argmin().item()


@analogy.misconception
def subtracts_c_as_well(a, b, c, table):
    """You take both a and c away from b. The step from a to b, table[b] - table[a], is *added* to
    c."""
    return _nearest(table[b] - table[a] - table[c], table, (a, b, c))


@analogy.misconception
def leaves_c_out_of_the_sum(a, b, c, table):
    """You look for the step from a to b itself. It has to be added to c: only then it leads
    somewhere."""
    return _nearest(table[b] - table[a], table, (a, b, c))


@analogy.misconception
def leaves_out_only_a_and_b(a, b, c, table):
    """a and b are no answers in yours, but c may be one. Leave out all three."""
    return _nearest(table[b] - table[a] + table[c], table, (a, b))


@analogy.alternative
def masks_the_three(a, b, c, table):
    """All cosines, with those of the question out of the race."""
    return _nearest(table[b] - table[a] + table[c], table, {a, b, c})


@analogy.alternative
def goes_down_the_whole_list(a, b, c, table):
    """Ranks every row and takes the first that is allowed."""
    ranking = embeddings.nearest_neighbours(table[b] + table[c] - table[a], table, len(table))
    return [row for row in ranking.tolist() if row not in {a, b, c}][0]
