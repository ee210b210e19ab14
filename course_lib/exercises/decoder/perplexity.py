"""What `decoder.perplexity` demands."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_lib import objectives
from course_lib.checks.exercise import Case, Exercise, gradient_of

perplexity = Exercise("decoder.perplexity", points=1, reference=objectives.perplexity)


@perplexity.cases
def _(draw):
    yield Case("a loss of 0: no doubt at all", {"loss": 0.0})
    yield Case("a number", {"loss": 0.5 + draw.random.random()})
    yield Case("a whole number", {"loss": draw.random.randint(1, 4)})
    yield Case("a tensor of shape [1]", {"loss": draw.normal(1).abs() + 0.3})
    yield Case("a tensor with one number", {"loss": draw.normal(1)[0].abs() + 0.3})
    yield Case("a tensor with several losses", {"loss": draw.normal(4).abs() + 0.1})
    yield Case("a table of losses", {"loss": draw.normal(2, 3).abs() + 0.1})
    yield Case("double precision", {"loss": draw.normal(3).abs().double()})
    yield Case("the gradient", {"loss": draw.normal(3).abs()}, gradient_of(0))
    if draw.hidden:
        yield Case("a larger loss", {"loss": 5.0 + draw.random.random()})


@perplexity.misconception
def takes_a_power_of_two(loss):
    """You raise 2 to the loss. That is right for a loss in bits; ours is in nats, so the base
    is e."""
    return 2**loss


@perplexity.misconception
def always_returns_a_tensor(loss):
    """A number in, a tensor out. For a Python float return a Python float."""
    return torch.as_tensor(loss).exp()


@perplexity.misconception
def always_returns_a_number(loss):
    """`math.exp` and `.item()` give a Python number, and they refuse a tensor with several losses.
    For a tensor use its method `.exp()`."""
    return math.exp(loss)


@perplexity.misconception
def calls_exp_on_a_number(loss):
    """A Python float has no method `.exp()`. Use `math.exp` for it, and the method for a tensor."""
    return loss.exp()


@perplexity.misconception
def takes_only_floats_for_numbers(loss):
    """You ask for `float`, and a whole number, an `int`, goes the way of tensors. Ask instead
    whether it is a tensor; all else is a number."""
    return math.exp(loss) if isinstance(loss, float) else loss.exp()


@perplexity.misconception
def returns_the_probability(loss):
    """e to the *minus* loss is the typical probability of a token. Perplexity is one divided by
    that: e to the loss."""
    return (-loss).exp() if isinstance(loss, Tensor) else math.exp(-loss)


@perplexity.misconception
def averages_the_losses_first(loss):
    """Several losses give several perplexities. Yours are averaged into one."""
    return loss.mean().exp() if isinstance(loss, Tensor) else math.exp(loss)


@perplexity.misconception
def is_right_for_losses_near_zero(loss):
    """1 + loss is near e to the loss only while the loss is near 0."""
    return 1 + loss


@perplexity.alternative
def as_a_power_of_e(loss):
    """The same with the operator."""
    return math.e**loss


@perplexity.alternative
def by_way_of_a_tensor(loss):
    """A tensor does the work, and a number is taken out again if one came in."""
    if isinstance(loss, Tensor):
        return torch.exp(loss)
    return torch.tensor(loss, dtype=torch.float64).exp().item()
