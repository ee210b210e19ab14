"""What `attention.softmax` demands."""

from __future__ import annotations

import torch

from course_lib import attention
from course_lib.checks.exercise import Case, Exercise, gradient_of
from course_lib.exercises.attention.shared import ATTENTION, INF, SOFTMAX

softmax = Exercise(
    "attention.softmax",
    points=2,
    reference=attention.softmax,
    forbids=(
        "torch.softmax",
        "torch.nn.functional.softmax",
        "torch.Tensor.softmax",
        *SOFTMAX,
        *ATTENTION,
    ),
    tolerance=1e-4,  # x - logsumexp(x) rounds a little, and is right
)


@softmax.cases
def _(draw):
    yield Case("three scores", {"x": draw.normal(3), "dim": 0})
    yield Case("the rows of a matrix", {"x": draw.normal(2, 3, scale=3.0), "dim": -1})
    yield Case("its columns", {"x": draw.normal(2, 3, scale=3.0), "dim": 0})
    yield Case("the rows of a square", {"x": draw.normal(3, 3, scale=3.0), "dim": 1})
    yield Case("slices of a single score", {"x": draw.normal(3, 1), "dim": -1})
    yield Case("the middle axis of three", {"x": draw.normal(2, 4, 3), "dim": 1})
    yield Case("scores in the hundreds", {"x": draw.normal(4, scale=5.0) + 200, "dim": 0})
    yield Case("scores far below zero", {"x": draw.normal(4, scale=5.0) - 200, "dim": 0})
    apart = draw.normal(2, 3) + torch.tensor([[0.0], [-200.0]])
    yield Case("a row far below another row", {"x": apart, "dim": -1})
    blocked = draw.normal(2, 3)
    blocked[0, 1] = -INF
    yield Case("one blocked score (-inf)", {"x": blocked, "dim": -1})
    nothing = draw.normal(2, 3)
    nothing[1] = -INF
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
def subtracts_the_largest_of_everything(x, dim):
    """Subtracting a number from a whole slice changes nothing, so any number would do, but it has
    to be near the scores of that slice. Yours is the largest score of the whole tensor: a row far
    below it becomes 0 / 0. Take the largest along `dim`."""
    exp = (x - x.max()).exp()
    return exp / exp.sum(dim, keepdim=True)


@softmax.misconception
def loses_the_axis_of_the_sum(x, dim):
    """`sum(dim)` drops the axis, and the sums no longer stand beside their slices: keep the axis,
    with `keepdim=True`. (For columns it happens to fit, and in a square it fits with wrong
    values.)"""
    exp = (x - _largest(x, dim)).exp()
    total = exp.sum(dim)
    return exp / total.masked_fill(total == 0, 1)


@softmax.misconception
def loses_the_axis_of_largest_and_sum(x, dim):
    """`amax(dim)` and `sum(dim)` drop the axis, and their numbers no longer stand beside their
    slices: keep the axis in both, with `keepdim=True`."""
    exp = (x - x.amax(dim).clamp(min=torch.finfo(x.dtype).min)).exp()
    total = exp.sum(dim)
    return exp / total.masked_fill(total == 0, 1)


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
def replaces_nan_too_late(x, dim):
    """The values are right, but the NaN is still there one step earlier, and the gradient of a
    blocked row runs into it. Keep it from arising: choose what you subtract, and what you divide
    by, so that -inf minus -inf and 0 / 0 never happen."""
    exp = (x - x.amax(dim, keepdim=True)).exp()
    return (exp / exp.sum(dim, keepdim=True)).nan_to_num(0.0)


@softmax.misconception
def shares_out_evenly_when_everything_is_blocked(x, dim):
    """With a very small number in place of -inf, a slice in which everything is blocked comes out
    evenly shared: all its scores are equally small. Nothing to attend to must give zeros."""
    x = x.clamp(min=-1e9)
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
    return x - torch.logsumexp(x, dim, keepdim=True)


@softmax.misconception
def forgets_to_divide(x, dim):
    """These are `exp` of the scores, the largest taken off. Divide by their sum along `dim`: then
    they are shares."""
    return (x - _largest(x, dim)).exp()


@softmax.misconception
def uses_another_base(x, dim):
    """You take powers of 2. Softmax takes powers of e: `exp`."""
    powers = 2 ** (x - _largest(x, dim))
    total = powers.sum(dim, keepdim=True)
    return powers / total.masked_fill(total == 0, 1)


@softmax.misconception
def cuts_the_way_back(x, dim):
    """The values are right, but `detach` or `no_grad` cuts the way back to the scores: they get no
    gradient, and nothing can be learnt through them. Only the largest may be detached."""
    return attention.softmax(x.detach(), dim)


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


@softmax.alternative
def with_a_tiny_number_below(x, dim):
    """Nothing divides by zero when a tiny number is added."""
    exp = (x - torch.nan_to_num(x.max(dim, keepdim=True).values, neginf=0.0)).exp()
    return exp / (exp.sum(dim, keepdim=True) + 1e-12)
