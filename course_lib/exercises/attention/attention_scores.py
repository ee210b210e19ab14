"""What `attention.attention_scores` demands."""

from __future__ import annotations

import math

import torch

from course_lib import attention
from course_lib.checks.exercise import Case, Exercise, gradient_of

attention_scores = Exercise(
    "attention.attention_scores",
    points=1,
    reference=attention.attention_scores,
    tolerance=1e-4,  # the sum over d_k may be taken in any order
)


@attention_scores.cases
def _(draw):
    yield Case("one query, two keys", {"q": draw.normal(1, 4), "k": draw.normal(2, 4)})
    yield Case("one query, one key, one channel", {"q": draw.normal(1, 1), "k": draw.normal(1, 1)})
    yield Case("more queries than keys", {"q": draw.normal(3, 5), "k": draw.normal(2, 5)})
    yield Case("as many queries as keys", {"q": draw.normal(3, 2), "k": draw.normal(3, 2)})
    yield Case("a batch", {"q": draw.normal(2, 3, 5), "k": draw.normal(2, 4, 5)})
    yield Case("batch and heads", {"q": draw.normal(2, 3, 4, 6), "k": draw.normal(2, 3, 5, 6)})
    double = {"q": draw.normal(2, 3).double(), "k": draw.normal(4, 3).double()}
    yield Case("double precision", double)
    yield Case("the gradient", {"q": draw.normal(2, 3), "k": draw.normal(4, 3)}, gradient_of(1))
    if draw.hidden:
        q, k = draw.normal(3, 2, 7, 16), draw.normal(3, 2, 11, 16)
        yield Case("wider heads", {"q": q, "k": k})


@attention_scores.misconception
def forgets_the_scale(q, k):
    """These are the bare dot products. Their spread grows with the width of a head; divide by
    the square root of `d_k`, so that it does not."""
    return q @ k.transpose(-2, -1)


@attention_scores.misconception
def divides_by_d_k_itself(q, k):
    """The variance of a dot product grows with d_k, so its typical size grows with the square
    root of d_k, and that is what to divide by. Yours divides by d_k."""
    return q @ k.transpose(-2, -1) / q.shape[-1]


@attention_scores.misconception
def divides_by_half_of_d_k(q, k):
    """You divide by half of d_k: that is what `d_k ** 1/2` means in Python, where the power comes
    before the division. The root is `d_k ** 0.5`, or `math.sqrt(d_k)`."""
    return q @ k.transpose(-2, -1) / (q.shape[-1] / 2)


@attention_scores.misconception
def divides_by_d_k_and_by_two(q, k):
    """You divide by d_k, and then by 2: that is what `/ d_k ** 1/2` means in Python, where the
    power comes first and divisions go from left to right. The root is `d_k ** 0.5`, or
    `math.sqrt(d_k)`."""
    return q @ k.transpose(-2, -1) / q.shape[-1] / 2


@attention_scores.misconception
def multiplies_number_by_number(q, k):
    """You multiply query and key number by number and add up, so query i meets key i alone. Every
    query meets every key: a matrix product, `@`."""
    scores = (q * k).sum(-1) / math.sqrt(q.shape[-1])
    return scores[..., None].expand(*scores.shape, k.shape[-2])


@attention_scores.misconception
def multiplies_by_the_root(q, k):
    """The scale brings the scores down: divide by the square root of d_k. Yours multiplies."""
    return q @ k.transpose(-2, -1) * math.sqrt(q.shape[-1])


@attention_scores.misconception
def scales_by_the_number_of_keys(q, k):
    """A score is a sum over the channels of a head, so the scale depends on their number, d_k:
    the last axis. Yours takes the root of the number of keys."""
    return q @ k.transpose(-2, -1) / math.sqrt(k.shape[-2])


@attention_scores.misconception
def scales_by_the_number_of_queries(q, k):
    """A score is a sum over the channels of a head, so the scale depends on their number, d_k:
    the last axis. Yours takes the root of the number of queries."""
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-2])


@attention_scores.misconception
def puts_keys_in_the_rows(q, k):
    """Each row belongs to a query and each column to a key: [target, source]. Yours is the other
    way round; look at the order of the two factors."""
    return k @ q.transpose(-2, -1) / math.sqrt(q.shape[-1])


@attention_scores.misconception
def transposes_every_axis(q, k):
    """`.T` turns round all the axes of a tensor, the batch and the heads as well. Swap the last
    two only, with `transpose(-2, -1)` or `.mT`."""
    return q @ k.permute(*reversed(range(k.ndim))) / math.sqrt(q.shape[-1])


@attention_scores.misconception
def compares_directions_only(q, k):
    """This is the cosine similarity: the lengths of queries and keys are divided away. In
    attention they count, since a model uses them to look harder or not; only the constant
    sqrt(d_k) is divided out."""
    q, k = q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True)
    return q @ k.transpose(-2, -1)


@attention_scores.misconception
def takes_the_softmax_already(q, k):
    """These are shares already. Return the scores themselves: a mask has to be applied to them
    before the softmax."""
    return attention.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), -1)


@attention_scores.alternative
def with_einsum(q, k):
    """The sum over the channel d, written out."""
    return torch.einsum("...td,...sd->...ts", q, k) * q.shape[-1] ** -0.5


@attention_scores.alternative
def scales_the_queries_first(q, k):
    """The scale may go to the queries: it is cheaper there."""
    return (q / q.shape[-1] ** 0.5) @ k.mT


@attention_scores.alternative
def every_pair_by_broadcasting(q, k):
    """Every query beside every key, multiplied channel by channel."""
    return (q.unsqueeze(-2) * k.unsqueeze(-3)).sum(-1) / math.sqrt(k.size(-1))
