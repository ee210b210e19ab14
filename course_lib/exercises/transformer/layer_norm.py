"""What `transformer.layer_norm` demands."""

from __future__ import annotations

import torch

from course_lib import transformer
from course_lib.checks.exercise import Case, Exercise, gradient_of
from course_lib.exercises.transformer.shared import centred

layer_norm = Exercise(
    "transformer.layer_norm",
    points=2,
    reference=transformer.layer_norm,
    forbids=("torch.layer_norm", "torch.nn.functional.layer_norm", "aten::native_layer_norm"),
)


@layer_norm.cases
def _(draw):
    def case(about, x, eps=1e-5, **options):
        width = x.shape[-1]
        weight, bias = draw.normal(width).to(x.dtype), draw.normal(width).to(x.dtype)
        return Case(about, {"x": x, "weight": weight, "bias": bias, "eps": eps}, **options)

    x = torch.tensor([1.0, 2.0, 3.0, 6.0])
    plain = {"x": x, "weight": torch.ones(4), "bias": torch.zeros(4), "eps": 1e-5}
    yield Case("four numbers, weight 1 and bias 0", plain)
    yield case("one vector, with weight and bias", draw.normal(4, scale=3.0) + 2)
    yield case(
        "vectors of different sizes", draw.normal(3, 5) * torch.tensor([[0.1], [1.0], [9.0]])
    )
    yield case("a batch of texts", draw.normal(2, 3, 4, scale=2.0) - 1)
    yield case("one text of one vector", draw.normal(1, 1, 3))
    yield case("a large eps", draw.normal(3, 4, scale=0.5), eps=0.5)
    yield case("a vector of equal numbers", torch.full((4,), 2.5))
    yield case("vectors of one number", draw.normal(3, 1))
    yield case("an eps of 0", draw.normal(2, 6), eps=0.0)
    far = draw.normal(2, 6).double() + 1e7
    yield case("numbers near ten million, in double precision", far)
    yield case("the gradient with respect to x", draw.normal(2, 4), observe=gradient_of(0))
    yield case("the gradient with respect to weight", draw.normal(3, 4), observe=gradient_of(1))
    if draw.hidden:
        yield case("many vectors", draw.normal(5, 7, 16, scale=4.0) + 3)


@layer_norm.misconception
def divides_by_one_less_than_the_width(x, weight, bias, eps):
    """Your variance divides the sum of squares by width - 1, which is what `var` and `std` of
    torch do unless told otherwise. Layer norm divides by the width: `correction=0`."""
    return centred(x) / (x.var(-1, keepdim=True) + eps).sqrt() * weight + bias


@layer_norm.misconception
def adds_eps_outside_the_root(x, weight, bias, eps):
    """You add eps to the standard deviation. It belongs to the variance, before the root is
    taken."""
    return centred(x) / (x.std(-1, keepdim=True, correction=0) + eps) * weight + bias


@layer_norm.misconception
def uses_the_standard_deviation_of_a_sample(x, weight, bias, eps):
    """`std` divides by width - 1, and eps comes after its root. Both are common in tutorials, and
    neither is layer norm as trained models use it: take the variance divided by the width, add
    eps, then the root."""
    return centred(x) / (x.std(-1, keepdim=True) + eps) * weight + bias


@layer_norm.misconception
def divides_by_the_variance(x, weight, bias, eps):
    """You divide by the variance itself. Divide by its root: only then is the variance of the
    result 1."""
    return centred(x) / (x.var(-1, keepdim=True, correction=0) + eps) * weight + bias


@layer_norm.misconception
def does_not_subtract_the_mean(x, weight, bias, eps):
    """The result should have mean 0 before weight and bias are applied. Yours divides by the
    standard deviation, but the mean is never taken away."""
    return x / (x.var(-1, keepdim=True, correction=0) + eps).sqrt() * weight + bias


@layer_norm.misconception
def takes_the_root_mean_square_of_what_is_not_centred(x, weight, bias, eps):
    """You subtract the mean, but then divide by the size of the original x. The variance is the
    mean square of what is left *after* the mean is gone."""
    return centred(x) / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias


@layer_norm.misconception
def normalises_over_the_first_axis(x, weight, bias, eps):
    """You take mean and variance over the first axis: that mixes different texts (it is what batch
    norm does). Each vector is normalised by itself, along the last axis."""
    mean, variance = x.mean(0, keepdim=True), x.var(0, keepdim=True, correction=0)
    return (x - mean) / (variance + eps).sqrt() * weight + bias


@layer_norm.misconception
def normalises_everything_together(x, weight, bias, eps):
    """You take one mean and one variance of the whole tensor, so one large vector shrinks all the
    others. Each vector has its own: give `mean` and `var` the last axis."""
    return (x - x.mean()) / (x.var(correction=0) + eps).sqrt() * weight + bias


@layer_norm.misconception
def loses_the_axis_of_the_mean(x, weight, bias, eps):
    """For a single vector yours is right. With several, `mean(-1)` drops the last axis, and the
    means no longer stand beside their vectors: keep the axis, with `keepdim=True`."""
    return (x - x.mean(-1)) / (x.var(-1, correction=0) + eps).sqrt() * weight + bias


@layer_norm.misconception
def leaves_out_weight_and_bias(x, weight, bias, eps):
    """The vectors have mean 0 and variance 1, and there you stop. The learned scale and shift,
    `weight` and `bias`, come last."""
    return centred(x) / (x.var(-1, keepdim=True, correction=0) + eps).sqrt()


@layer_norm.misconception
def shifts_before_it_scales(x, weight, bias, eps):
    """You add the bias before multiplying, so the bias is scaled as well. Scale first, then
    shift."""
    return (centred(x) / (x.var(-1, keepdim=True, correction=0) + eps).sqrt() + bias) * weight


@layer_norm.misconception
def forgets_eps(x, weight, bias, eps):
    """`eps` has no effect in yours. Where all numbers of a vector are equal the variance is 0, and
    0 / 0 is not a number."""
    return centred(x) / x.var(-1, keepdim=True, correction=0).sqrt() * weight + bias


@layer_norm.misconception
def takes_an_eps_of_its_own(x, weight, bias, eps):
    """Yours adds 0.00001 whatever `eps` is. Models differ in it, so it is an argument: use that."""
    return centred(x) / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt() * weight + bias


@layer_norm.misconception
def forgets_the_bias(x, weight, bias, eps):
    """`bias` has no effect in yours. Add it at the end."""
    return centred(x) / (x.var(-1, keepdim=True, correction=0) + eps).sqrt() * weight


@layer_norm.misconception
def stops_at_the_mean(x, weight, bias, eps):
    """You subtract the mean, but the size stays as it was. Divide by the root of (variance + eps)
    before you scale and shift."""
    return centred(x) * weight + bias


@layer_norm.misconception
def drops_axes_of_size_one(x, weight, bias, eps):
    """`squeeze()` without a number takes out every axis of size 1, also one that was in x. The
    result has the shape of x."""
    return transformer.layer_norm(x, weight, bias, eps).squeeze()


@layer_norm.misconception
def subtracts_two_huge_numbers(x, weight, bias, eps):
    """The mean of the squares minus the square of the mean is the variance on paper. When the
    numbers are far from zero both are huge, their difference is tiny, and rounding eats it.
    Subtract the mean first and square afterwards."""
    mean = x.mean(-1, keepdim=True)
    variance = (x.square().mean(-1, keepdim=True) - mean.square()).clamp(min=0)
    return (x - mean) / (variance + eps).sqrt() * weight + bias


@layer_norm.misconception
def hides_the_mean_and_variance_from_the_gradient(x, weight, bias, eps):
    """The values are right, the gradients are not: mean and variance depend on x, and with
    `detach` or `no_grad` the gradient no longer knows it."""
    mean = x.detach().mean(-1, keepdim=True)
    variance = x.detach().var(-1, keepdim=True, correction=0)
    return (x - mean) / (variance + eps).sqrt() * weight + bias


@layer_norm.alternative
def with_torchs_variance(x, weight, bias, eps):
    """`var` with `correction=0`, and `rsqrt`."""
    variance, mean = torch.var_mean(x, -1, keepdim=True, correction=0)
    return weight * ((x - mean) * torch.rsqrt(variance + eps)) + bias


@layer_norm.alternative
def one_vector_after_another(x, weight, bias, eps):
    """A loop over all the vectors."""
    vectors = []
    for vector in x.reshape(-1, x.shape[-1]):
        vector = vector - vector.sum() / len(vector)
        scale = ((vector**2).sum() / len(vector) + eps) ** 0.5
        vectors.append(vector / scale * weight + bias)
    return torch.stack(vectors).reshape(x.shape)
