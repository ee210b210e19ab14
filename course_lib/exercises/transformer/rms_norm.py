"""What `transformer.rms_norm` demands."""

from __future__ import annotations

import torch

from course_lib import transformer
from course_lib.checks.exercise import Case, Exercise, gradient_of
from course_lib.exercises.transformer.shared import centred

rms_norm = Exercise(
    "transformer.rms_norm",
    points=1,
    reference=transformer.rms_norm,
    forbids=("torch.rms_norm", "torch.nn.functional.rms_norm"),
)


@rms_norm.cases
def _(draw):
    def case(about, x, eps=1e-5, **options):
        weight = draw.normal(x.shape[-1]).to(x.dtype)
        return Case(about, {"x": x, "weight": weight, "eps": eps}, **options)

    x = torch.tensor([1.0, -1.0, 7.0, 7.0])
    yield Case("four numbers, weight 1", {"x": x, "weight": torch.ones(4), "eps": 1e-5})
    yield case("one vector, with a weight", draw.normal(4, scale=3.0) + 2)
    yield case(
        "vectors of different sizes", draw.normal(3, 5) * torch.tensor([[0.1], [1.0], [9.0]])
    )
    yield case("a batch of texts", draw.normal(2, 3, 4, scale=2.0) - 1)
    yield case("one text of one vector", draw.normal(1, 1, 3))
    yield case("vectors of one number", draw.normal(3, 1))
    yield case("a large eps", draw.normal(3, 4, scale=0.5), eps=0.5)
    yield case("a vector of zeros", torch.zeros(4))
    yield case("an eps of 0", draw.normal(2, 6), eps=0.0)
    yield case("double precision", draw.normal(2, 3).double())
    yield case("the gradient with respect to x", draw.normal(2, 4), observe=gradient_of(0))
    yield case("the gradient of a vector of zeros", torch.zeros(1, 4), observe=gradient_of(0))
    if draw.hidden:
        yield case("many vectors", draw.normal(5, 7, 16, scale=4.0) + 3)


@rms_norm.misconception
def subtracts_the_mean(x, weight, eps):
    """You subtract the mean, as layer norm does. RMSNorm leaves it in: that is the work it
    saves."""
    return centred(x) / (centred(x).square().mean(-1, keepdim=True) + eps).sqrt() * weight


@rms_norm.misconception
def divides_by_the_standard_deviation(x, weight, eps):
    """You divide by the standard deviation, which measures distances from the mean. The root mean
    square measures them from zero: square x itself."""
    return x / (x.var(-1, keepdim=True, correction=0) + eps).sqrt() * weight


@rms_norm.misconception
def divides_by_the_length(x, weight, eps):
    """You divide by the length of the vector, the root of the *sum* of squares. Take the root of
    their *mean*: the numbers then have size 1, however wide the vector is."""
    return x / (x.square().sum(-1, keepdim=True) + eps).sqrt() * weight


@rms_norm.misconception
def forgets_the_root(x, weight, eps):
    """You divide by the mean square. Divide by its root: that has the unit of x."""
    return x / (x.square().mean(-1, keepdim=True) + eps) * weight


@rms_norm.misconception
def adds_eps_outside_the_root(x, weight, eps):
    """You add eps after the root. It belongs to the mean square, inside the root."""
    return x / (x.square().mean(-1, keepdim=True).sqrt() + eps) * weight


@rms_norm.misconception
def normalises_everything_together(x, weight, eps):
    """You take one mean of the squares of the whole tensor, so one large vector shrinks all the
    others. Each vector has its own: give `mean` the last axis and `keepdim=True`."""
    return x / (x.square().mean() + eps).sqrt() * weight


@rms_norm.misconception
def loses_the_axis_of_the_mean(x, weight, eps):
    """For a single vector yours is right. With several, `mean(-1)` drops the last axis, and the
    sizes no longer stand beside their vectors: keep the axis, with `keepdim=True`."""
    return x / (x.square().mean(-1) + eps).sqrt() * weight


@rms_norm.misconception
def leaves_out_the_weight(x, weight, eps):
    """The size is right, but the learned scale is missing: multiply by `weight` at the end."""
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


@rms_norm.misconception
def forgets_eps(x, weight, eps):
    """`eps` has no effect in yours. For a vector of zeros that is 0 / 0, which is not a number."""
    return x / x.square().mean(-1, keepdim=True).sqrt() * weight


@rms_norm.misconception
def squares_the_mean(x, weight, eps):
    """You take the square of the mean. The root mean square is read from the right: first the
    squares, then their mean, then the root."""
    return x / (x.mean(-1, keepdim=True).square() + eps).sqrt() * weight


@rms_norm.misconception
def takes_an_eps_of_its_own(x, weight, eps):
    """Yours adds 0.00001 whatever `eps` is. Models differ in it, so it is an argument: use that."""
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight


@rms_norm.misconception
def multiplies_by_the_root(x, weight, eps):
    """You multiply by the root mean square. Divide by it: that brings every vector to the same
    size."""
    return x * (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


@rms_norm.misconception
def normalises_over_the_first_axis(x, weight, eps):
    """You take the mean of the squares over the first axis: that mixes different texts. Each vector
    is normalised by itself, along the last axis."""
    return x / (x.square().mean(0, keepdim=True) + eps).sqrt() * weight


@rms_norm.misconception
def drops_axes_of_size_one(x, weight, eps):
    """`squeeze()` without a number takes out every axis of size 1, also one that was in x. The
    result has the shape of x."""
    return transformer.rms_norm(x, weight, eps).squeeze()


@rms_norm.alternative
def with_a_power(x, weight, eps):
    """`rsqrt` of the mean of `pow(2)`, as in LLaMA's code."""
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))


@rms_norm.alternative
def through_a_dot_product(x, weight, eps):
    """The sum of squares is the product of a vector with itself."""
    squares = torch.einsum("...w,...w->...", x, x)[..., None]
    return x * weight / (squares / x.shape[-1] + eps) ** 0.5
