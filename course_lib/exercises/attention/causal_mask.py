"""What `attention.causal_mask` demands."""

from __future__ import annotations

import torch

from course_lib import attention
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.exercises.attention.shared import INF

causal_mask = Exercise("attention.causal_mask", points=2, reference=attention.causal_mask)


@causal_mask.cases
def _(draw):
    yield Case("one token", {"target": 1})
    yield Case("three tokens", {"target": 3})
    yield Case("as many queries as keys, said twice", {"target": 4, "source": 4})
    yield Case("the last two of five tokens", {"target": 2, "source": 5})
    yield Case("the last one of several tokens", {"target": 1, "source": draw.random.randint(3, 6)})
    yield Case("more queries than keys", {"target": 5, "source": 2})
    yield Case("three queries, one key", {"target": 3, "source": 1})
    yield refuses("a negative number", {"target": -1}, "target")
    if draw.hidden:
        for _ in range(3):
            target, source = draw.random.randint(5, 12), draw.random.randint(5, 12)
            yield Case("other sizes", {"target": target, "source": source})


@causal_mask.misconception
def true_means_blocked(target, source=None):
    """Here True means "may attend". Yours is True where looking is forbidden, as in
    `torch.nn.MultiheadAttention`: turn it round."""
    source = target if source is None else source
    return torch.ones(target, source, dtype=torch.bool).triu(source - target + 1)


@causal_mask.misconception
def forbids_a_position_to_see_itself(target, source=None):
    """A position may attend to itself: the diagonal is True. What a model must not see is the
    token it shall predict, and that is the next one; the loss takes care of that shift."""
    source = target if source is None else source
    return torch.ones(target, source, dtype=torch.bool).tril(source - target - 1)


@causal_mask.misconception
def lets_each_position_see_the_next(target, source=None):
    """Each of your queries sees one key too many, the one after its own position. The diagonal
    is the last that may be True."""
    source = target if source is None else source
    return torch.ones(target, source, dtype=torch.bool).tril(source - target + 1)


@causal_mask.misconception
def sees_the_future_and_not_the_past(target, source=None):
    """Yours lets each position look at itself and at what comes after it. It is the other half
    that is allowed: `tril` keeps the lower left."""
    source = target if source is None else source
    return torch.ones(target, source, dtype=torch.bool).triu(source - target)


@causal_mask.misconception
def lines_up_the_first_query_with_the_first_key(target, source=None):
    """With fewer queries than keys, the queries are the last tokens: the last query sees the last
    key. Yours gives the first query the first key alone; shift the diagonal by the difference of
    the two lengths."""
    source = target if source is None else source
    return torch.ones(target, source, dtype=torch.bool).tril()


@causal_mask.misconception
def shifts_the_diagonal_the_wrong_way(target, source=None):
    """The diagonal is shifted, but to the wrong side: with more keys than queries, each query
    should see more keys, not fewer. It is source - target."""
    source = target if source is None else source
    return torch.ones(target, source, dtype=torch.bool).tril(target - source)


@causal_mask.misconception
def lets_the_first_queries_see_too_much(target, source=None):
    """With more queries than keys the diagonal moves to the left: the last query sees the last key,
    and the first ones see nothing. Yours never moves it to the left of the corner."""
    source = target if source is None else source
    return torch.ones(target, source, dtype=torch.bool).tril(max(source - target, 0))


@causal_mask.misconception
def exchanges_rows_and_columns(target, source=None):
    """Your mask is [source, target]. Each row belongs to a query and each column to a key."""
    source = target if source is None else source
    return torch.ones(source, target, dtype=torch.bool).tril(target - source)


@causal_mask.misconception
def ignores_source(target, source=None):
    """The mask has a column for each key, and there are `source` of them. Yours always has as many
    columns as rows."""
    return torch.ones(target, target, dtype=torch.bool).tril()


@causal_mask.misconception
def gives_numbers_and_not_booleans(target, source=None):
    """The pattern is right, but these are numbers. A mask is boolean here: make it with
    `dtype=torch.bool`."""
    source = target if source is None else source
    return torch.tril(torch.ones(target, source), diagonal=source - target)


@causal_mask.misconception
def gives_what_is_added_to_the_scores(target, source=None):
    """This is the other kind of mask, zeros and -inf to add to the scores. Here a mask is
    boolean, True where a query may attend."""
    source = target if source is None else source
    return torch.full((target, source), -INF).triu(source - target + 1)


@causal_mask.alternative
def by_comparing_positions(target, source=None):
    """The position of a query is at least that of the key."""
    source = source if source is not None else target
    if min(target, source) < 0:
        raise ValueError(f"target and source must not be negative, got {target}, {source}")
    queries = torch.arange(source - target, source)
    return queries[:, None] >= torch.arange(source)[None, :]


@causal_mask.alternative
def as_a_list_of_rows(target, source=None):
    """One comparison a cell."""
    source = source if source is not None else target
    if target < 0:
        raise ValueError("target must not be negative")
    return torch.tensor([[j - i <= source - target for j in range(source)] for i in range(target)])


@causal_mask.alternative
def not_the_upper_half(target, source=None):
    """All but what lies above the diagonal."""
    source = source if source is not None else target
    if target < 0:
        raise ValueError("target must not be negative")
    return ~torch.triu(torch.ones(target, source), source - target + 1).bool()
