"""What `in_context.induction_score` demands."""

from __future__ import annotations

import math

import torch

from course_lib import in_context
from course_lib.checks.exercise import Case, Exercise

induction_score = Exercise(
    "in_context.induction_score", points=2, reference=in_context.induction_score
)


@induction_score.cases
def _(draw):
    def weights(*shape):
        """Causal attention weights, [..., target, source]."""
        scores = draw.normal(*shape, shape[-1], scale=2.0)
        time = shape[-1]
        return scores.masked_fill(torch.ones(time, time).triu(1).bool(), -math.inf).softmax(-1)

    def case(about, attention, period):
        return Case(about, {"attention": attention, "period": period})

    def looking_back(time, distance):
        """A head that looks a fixed distance back, and at the start before that."""
        places = (torch.arange(time) - distance).clamp(min=0)
        return torch.eye(time)[places][None]

    yield case("one head, four tokens, period 2", weights(1, 4), 2)
    yield case("a perfect induction head", looking_back(8, 3), 4)
    yield case("a head that looks at the token before", looking_back(9, 1), 4)
    yield case("a head that looks at the same token, last time", looking_back(9, 4), 4)
    yield case("three heads", weights(3, 7), 3)
    yield case("two texts, three heads", weights(2, 3, 8), 3)
    yield case("three texts, two heads", weights(3, 2, 8), 4)
    yield case("a single token after the first period", weights(2, 6), 5)
    yield case("one text, one head", weights(1, 1, 5), 2)
    yield case("a period of 1", weights(2, 5), 1)
    yield case("three periods", weights(2, 2, 9), 3)
    yield case("double precision", weights(2, 2, 6).double(), 2)
    arguments = {"attention": weights(1, 4), "period": 4}
    yield Case("no token after the first period", arguments, _refused, edge=True)
    if draw.hidden:
        yield case("many heads", weights(3, 7, 24), 9)


def _refused(solution, attention, period):
    """Nothing to average: an error that names the period."""
    try:
        solution(attention, period)
    except ValueError as error:
        return f"a ValueError that {'names' if 'period' in str(error) else 'does not name'} period"
    return "no error"


def _mean_attention(attention, period, back, *, first=None):
    """Mean weight from t to t - back for t >= first, [heads]."""
    first = period if first is None else first
    time = attention.shape[-1]
    targets = torch.arange(max(first, back, 0), time)
    picked = attention[..., targets, targets - back].mean(-1)
    return picked.mean(0) if picked.ndim == 2 else picked


@induction_score.misconception
def looks_at_the_same_token(attention, period):
    """You measure the attention to t - period: the same token, last time. An induction head looks
    one place further on, at what *followed* it: t - period + 1."""
    return _mean_attention(attention, period, period)


@induction_score.misconception
def looks_at_the_token_before(attention, period):
    """You measure the attention to t - period - 1, the token *before* the same one. What followed
    it stands at t - period + 1."""
    return _mean_attention(attention, period, period + 1)


@induction_score.misconception
def starts_one_token_too_early(attention, period):
    """The diagonal begins at t = period - 1, where nothing has been repeated yet. Only t >= period
    counts."""
    return _mean_attention(attention, period, period - 1, first=period - 1)


@induction_score.misconception
def starts_one_token_too_late(attention, period):
    """You leave out t = period. The first token of the second round is a repetition already."""
    time = attention.shape[-1]
    if period + 1 >= time:
        return torch.full(attention.shape[-3:-2], torch.nan, dtype=attention.dtype)
    return _mean_attention(attention, period, period - 1, first=period + 1)


@induction_score.misconception
def divides_by_all_tokens(attention, period):
    """You divide by the number of all tokens. The mean is over t >= period only, so that a perfect
    head has the score 1."""
    n, time = attention.shape[-1] - period, attention.shape[-1]
    return _mean_attention(attention, period, period - 1) * n / time


@induction_score.misconception
def adds_up(attention, period):
    """You add up the weights. Take their mean, so that texts of different length can be
    compared."""
    return _mean_attention(attention, period, period - 1) * (attention.shape[-1] - period)


@induction_score.misconception
def swaps_target_and_source(attention, period):
    """Target and source are swapped: you read the weights above the diagonal, from a token to one
    that comes after it. The next-to-last axis is who looks, the last is who is looked at."""
    return _mean_attention(attention.mT, period, period - 1)


@induction_score.misconception
def averages_the_heads_too(attention, period):
    """One number for all heads hides which of them it is. Return one score a head."""
    return _mean_attention(attention, period, period - 1).mean()


@induction_score.misconception
def keeps_the_batch(attention, period):
    """You return scores for every text of the batch. Average over the batch as well: one number a
    head."""
    diagonal = attention.diagonal(offset=1 - period, dim1=-2, dim2=-1)[..., 1:]
    return diagonal.mean(-1)


@induction_score.misconception
def takes_the_first_text_only(attention, period):
    """Only the first text of the batch counts in yours. Average over all of them."""
    first = attention[0] if attention.ndim == 4 else attention
    return _mean_attention(first, period, period - 1)


@induction_score.misconception
def takes_every_period_only(attention, period):
    """You look at every `period`-th token. All tokens from t = period on are repetitions, and all
    of them count."""
    targets = torch.arange(period, attention.shape[-1], period)
    picked = attention[..., targets, targets - period + 1].mean(-1)
    return picked.mean(0) if picked.ndim == 2 else picked


@induction_score.misconception
def averages_heads_instead_of_texts(attention, period):
    """With a batch you average over the heads and keep the texts. It is the other way round: axis 0
    is the batch, axis 1 the heads."""
    scores = keeps_the_batch(attention, period)
    return scores.mean(1) if scores.ndim == 2 else scores


@induction_score.alternative
def token_by_token(attention, period):
    """A loop over the targets."""
    if period >= attention.shape[-1]:
        raise ValueError("period must be shorter than the text")
    if attention.ndim == 3:
        attention = attention[None]
    batch, heads, time, _ = attention.shape
    total = torch.zeros(heads, dtype=attention.dtype)
    for target in range(period, time):
        total += attention[:, :, target, target - period + 1].sum(0)
    return total / (batch * (time - period))


@induction_score.alternative
def by_a_mask(attention, period):
    """A boolean matrix picks the places."""
    time = attention.shape[-1]
    if period >= time:
        raise ValueError("period must be shorter than the text")
    target, source = torch.arange(time)[:, None], torch.arange(time)
    places = (source == target - period + 1) & (target >= period)
    picked = (attention * places).sum(dim=(-2, -1)) / places.sum()
    return picked.mean(0) if picked.ndim > 1 else picked
