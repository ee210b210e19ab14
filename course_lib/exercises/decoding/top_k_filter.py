"""What `decoding.top_k_filter` demands."""

from __future__ import annotations

import torch

from course_lib import decoding
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.exercises.decoding.shared import INF, masked

top_k_filter = Exercise("decoding.top_k_filter", points=2, reference=decoding.top_k_filter)


@top_k_filter.cases
def _(draw):
    def case(about, logits, k, **options):
        return Case(about, {"logits": logits, "k": k}, **options)

    some = torch.tensor([1.0, 3.0, -2.0, 2.0, 0.0])[draw.permutation(5)]
    yield case("the best 2 of 5", some, 2)
    yield case("only the best", draw.normal(4), 1)
    yield case("all of them", draw.normal(4), 4)
    yield case("negative logits", draw.normal(5) - 50, 3)
    far = draw.normal(3, 6) + torch.tensor([[0.0], [100.0], [-100.0]])
    yield case("a batch whose rows lie far apart", far, 2)
    yield case("two equal logits, and room for one", torch.tensor([0.0, 5.0, 2.0, 2.0, -1.0]), 2)
    yield case("all logits equal", torch.zeros(2, 7), 3)
    yield case("a hundred equal logits", torch.full((100,), 1.5), 40)
    yield case("many rows of whole numbers, many equal", draw.normal(2, 90).round(), 30)
    blocked = draw.normal(5)
    blocked[:3] = -INF
    yield case("fewer tokens possible than k", blocked[draw.permutation(5)], 3)
    yield case("double precision", draw.normal(2, 4).double(), 2)
    yield case("k above the vocabulary", draw.normal(3), 9, edge=True)
    yield refuses("a k of 0", {"logits": torch.tensor([1.0, 2.0]), "k": 0}, "k")
    if draw.hidden:
        yield case("many rows", draw.normal(30, 100), 17)
        yield case("whole numbers, many equal", draw.normal(30, 40).round(), 11)


def _ranked(logits, k):
    """True for the k best, lower ids first among equals."""
    order = logits.argsort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order[..., :k], True)


def _kth(logits, k):
    return logits.topk(min(k, logits.shape[-1])).values[..., -1:]


@top_k_filter.misconception
def keeps_all_that_equal_the_kth(logits, k):
    """You compare with the k-th best logit, so when several equal it, all of them stay, and more
    than k are left. Exactly k shall stay: of equals, those with the lower ids. A stable sort
    gives that order."""
    return masked(logits, logits >= _kth(logits, k))


@top_k_filter.misconception
def removes_the_kth_too(logits, k):
    """You keep what is *above* the k-th best logit, so the k-th itself goes, and k - 1 are left at
    most."""
    return masked(logits, logits > _kth(logits, k))


@top_k_filter.misconception
def prefers_the_higher_id_among_equals(logits, k):
    """Among equal logits you keep those with the higher ids. That comes of sorting upwards and
    taking the end. Sort downwards with `stable=True`: then lower ids come first."""
    return masked(logits.flip(-1), _ranked(logits.flip(-1), k)).flip(-1)


@top_k_filter.misconception
def sorts_without_keeping_the_order_of_equals(logits, k):
    """Your sort does not promise to keep equal logits in the order of their ids. With a handful it
    happens to, with a hundred it does not. Ask for it: `stable=True`."""
    order = logits.argsort(dim=-1, descending=True)
    keep = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order[..., :k], True)
    return masked(logits, keep)


@top_k_filter.misconception
def takes_the_equals_that_topk_takes(logits, k):
    """`topk` takes any of several equal logits, not always those with the lower ids. A stable sort
    gives that order."""
    order = logits.topk(min(k, logits.shape[-1])).indices
    return masked(logits, torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, True))


@top_k_filter.misconception
def sets_the_others_to_zero(logits, k):
    """The others get a logit of 0. That is no low score: softmax makes it e^0 = 1, which may be
    more than what you keep. Only -inf becomes probability 0."""
    return masked(logits, _ranked(logits, k), 0.0)


@top_k_filter.misconception
def multiplies_by_the_mask(logits, k):
    """You multiply by a mask of ones and zeros, so the others get a logit of 0. That is no low
    score: softmax makes it e^0 = 1. Only -inf becomes probability 0; `masked_fill` puts it in."""
    return logits * _ranked(logits, k)


@top_k_filter.misconception
def uses_a_low_number_in_place_of_minus_infinity(logits, k):
    """A very low number is not -inf: after softmax it is nearly 0, and if all logits of a row are
    low, it is not even that. Use `float("-inf")`."""
    return masked(logits, _ranked(logits, k), -1e9)


@top_k_filter.misconception
def returns_only_the_best(logits, k):
    """You return k logits, and nobody can tell whose they are. Return as many as came in, each in
    its place, with -inf for those that are out."""
    return logits.sort(dim=-1, descending=True, stable=True).values[..., :k]


@top_k_filter.misconception
def returns_them_sorted(logits, k):
    """The right ones are kept, but they no longer stand in their places: the position of a logit is
    the id of its token."""
    ordered = logits.sort(dim=-1, descending=True, stable=True).values
    return ordered.masked_fill(torch.arange(logits.shape[-1]) >= k, -INF)


@top_k_filter.misconception
def removes_the_best(logits, k):
    """You put -inf where the best k are. It is the others that go."""
    return logits.masked_fill(_ranked(logits, k), -INF)


@top_k_filter.misconception
def takes_ids_for_ranks(logits, k):
    """`argsort` gives the ids, best first. You read it the other way round, as the rank of each
    token. The first k entries of it are the ids to keep: set a mask to True at those."""
    return masked(logits, logits.argsort(dim=-1, descending=True, stable=True) < k)


@top_k_filter.misconception
def keeps_the_lowest(logits, k):
    """You keep the k lowest logits: `sort` and `argsort` go upwards unless told
    `descending=True`."""
    order = logits.argsort(dim=-1, stable=True)
    keep = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order[..., :k], True)
    return masked(logits, keep)


@top_k_filter.misconception
def takes_one_threshold_for_the_whole_batch(logits, k):
    """The k best of the *whole batch* set your threshold. Each row is a text of its own and keeps
    its own k."""
    rows = logits.shape[:-1].numel()
    threshold = logits.flatten().sort(descending=True).values[min(k, logits.numel()) - 1]
    return masked(logits, _ranked(logits, k) & (logits >= threshold) if rows > 1 else
                   _ranked(logits, k))  # fmt: skip


@top_k_filter.misconception
def returns_probabilities(logits, k):
    """You return probabilities. A filter returns logits; softmax comes last of all, once."""
    return masked(logits, _ranked(logits, k)).softmax(-1)


@top_k_filter.alternative
def by_counting_who_is_better(logits, k):
    """A token's rank is the number of tokens that beat it."""
    if k < 1:
        raise ValueError("k must be at least 1")
    ids = torch.arange(logits.shape[-1])
    me, other = logits[..., :, None], logits[..., None, :]
    beats = (other > me) | ((other == me) & (ids[None, :] < ids[:, None]))
    return torch.where(beats.sum(-1) < k, logits, -INF)


@top_k_filter.alternative
def row_by_row_in_python(logits, k):
    """Python's sort is stable."""
    if k < 1:
        raise ValueError("k must be at least 1")
    rows = logits.reshape(-1, logits.shape[-1])
    out = torch.full_like(rows, -INF)
    for row, new in zip(rows, out, strict=True):
        for id in sorted(range(len(row)), key=lambda id: -float(row[id]))[:k]:
            new[id] = row[id]
    return out.reshape(logits.shape)
