"""Notebook 03: what each attention exercise demands."""

from __future__ import annotations

import torch

from course_lib import attention
from course_lib.checks.exercise import Case, Exercise, gradient_of

# --- softmax -------------------------------------------------------------------------------

softmax = Exercise(
    "attention.softmax",
    points=2,
    reference=attention.softmax,
    forbids=("torch.softmax", "torch.nn.functional.softmax", "torch.Tensor.softmax"),
)


@softmax.cases
def _(draw):
    inf = float("inf")
    yield Case("three scores", {"x": draw.normal(3), "dim": 0})
    yield Case("the rows of a matrix", {"x": draw.normal(2, 3, scale=3.0), "dim": -1})
    yield Case("its columns", {"x": draw.normal(2, 3, scale=3.0), "dim": 0})
    yield Case("the middle axis of three", {"x": draw.normal(2, 4, 3), "dim": 1})
    yield Case("scores in the thousands", {"x": draw.normal(4, scale=5.0) + 2000, "dim": 0})
    yield Case("scores far below zero", {"x": draw.normal(4, scale=5.0) - 2000, "dim": 0})
    blocked = draw.normal(2, 3)
    blocked[0, 1] = -inf
    yield Case("one blocked score (-inf)", {"x": blocked, "dim": -1})
    nothing = draw.normal(2, 3)
    nothing[1] = -inf
    yield Case("a row in which every score is blocked", {"x": nothing, "dim": -1})
    yield Case("double precision", {"x": draw.normal(3).double(), "dim": 0})
    yield Case("the gradient", {"x": draw.normal(2, 3), "dim": -1}, gradient_of(0))
    yield Case("the gradient of a blocked row", {"x": nothing, "dim": -1}, gradient_of(0))
    if draw.hidden:
        yield Case("many rows", {"x": draw.normal(5, 7, 11, scale=30.0), "dim": -2})


@softmax.misconception
def overflows_for_large_scores(x, dim):
    """`exp` of a large score is infinite, and inf / inf is NaN. Subtract the largest score of
    each slice first: the result is the same, and nothing overflows."""
    exp = x.exp()
    return exp / exp.sum(dim, keepdim=True)


@softmax.misconception
def divides_by_the_sum_of_everything(x, dim):
    """Each slice along `dim` must sum to one. Yours divides by the sum over the whole tensor;
    sum along `dim` only, with `keepdim=True`."""
    exp = (x - _largest(x, dim)).exp()
    return exp / exp.sum()


@softmax.misconception
def always_uses_the_last_axis(x, dim):
    """The weights must sum to one along `dim`. Yours always uses the last axis."""
    return attention.softmax(x, -1)


@softmax.misconception
def gives_nan_when_everything_is_blocked(x, dim):
    """When every score of a slice is -inf there is nothing to attend to, and the weights are
    zeros. Yours gives NaN: -inf minus -inf is NaN, and so is 0 / 0."""
    exp = (x - x.amax(dim, keepdim=True)).exp()
    return exp / exp.sum(dim, keepdim=True)


@softmax.misconception
def shares_without_exponentiating(x, dim):
    """Dividing the scores by their sum gives negative weights for negative scores. Take `exp`
    first: it makes every score positive and keeps their order."""
    return x / x.sum(dim, keepdim=True)


@softmax.misconception
def returns_log_probabilities(x, dim):
    """These are the logarithms of the weights. Take `exp` of them, or leave out the `log`."""
    return torch.log_softmax(x, dim)


def _largest(x, dim):
    return x.amax(dim, keepdim=True).clamp(min=torch.finfo(x.dtype).min)


@softmax.alternative
def through_log_sum_exp(x, dim):
    """exp(x - logsumexp(x)) with the empty rows filled in."""
    blocked = (x == -torch.inf).all(dim, keepdim=True)
    x = x.masked_fill(blocked, 0.0)
    return (x - x.logsumexp(dim, keepdim=True)).exp().masked_fill(blocked, 0.0)


@softmax.alternative
def by_moving_the_axis_to_the_end(x, dim):
    """The axis goes to the end, comes back at the end."""
    x = x.movedim(dim, -1)
    exp = (x - _largest(x, -1)).exp()
    return (exp / exp.sum(-1, keepdim=True).clamp(min=1e-30)).movedim(-1, dim)
