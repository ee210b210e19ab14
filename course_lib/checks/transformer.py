"""Notebook 04: what each exercise demands."""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import transformer
from course_lib.attention import causal_mask, padding_mask
from course_lib.checks.exercise import Case, Exercise, gradient_of

# --- layer_norm ----------------------------------------------------------------------------

layer_norm = Exercise(
    "transformer.layer_norm",
    points=2,
    reference=transformer.layer_norm,
    forbids=("torch.layer_norm", "torch.nn.functional.layer_norm"),
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
    yield case("a large eps", draw.normal(3, 4, scale=0.5), eps=0.5)
    yield case("a vector of equal numbers", torch.full((4,), 2.5))
    yield case("an eps of 0", draw.normal(2, 6), eps=0.0)
    far = draw.normal(2, 6).double() + 1e7
    yield case("numbers near ten million, in double precision", far)
    yield case("the gradient with respect to x", draw.normal(2, 4), observe=gradient_of(0))
    yield case("the gradient with respect to weight", draw.normal(3, 4), observe=gradient_of(1))
    if draw.hidden:
        yield case("many vectors", draw.normal(5, 7, 16, scale=4.0) + 3)


def _centred(x):
    return x - x.mean(-1, keepdim=True)


@layer_norm.misconception
def divides_by_one_less_than_the_width(x, weight, bias, eps):
    """Your variance divides the sum of squares by width - 1, which is what `var` and `std` of
    torch do unless told otherwise. Layer norm divides by the width: `correction=0`."""
    return _centred(x) / (x.var(-1, keepdim=True) + eps).sqrt() * weight + bias


@layer_norm.misconception
def adds_eps_outside_the_root(x, weight, bias, eps):
    """You add eps to the standard deviation. It belongs to the variance, before the root is
    taken."""
    return _centred(x) / (x.std(-1, keepdim=True, correction=0) + eps) * weight + bias


@layer_norm.misconception
def uses_the_standard_deviation_of_a_sample(x, weight, bias, eps):
    """`std` divides by width - 1, and eps comes after its root. Both are common in tutorials, and
    neither is layer norm as trained models use it: take the variance divided by the width, add
    eps, then the root."""
    return _centred(x) / (x.std(-1, keepdim=True) + eps) * weight + bias


@layer_norm.misconception
def divides_by_the_variance(x, weight, bias, eps):
    """You divide by the variance itself. Divide by its root: only then is the variance of the
    result 1."""
    return _centred(x) / (x.var(-1, keepdim=True, correction=0) + eps) * weight + bias


@layer_norm.misconception
def does_not_subtract_the_mean(x, weight, bias, eps):
    """The result should have mean 0 before weight and bias are applied. Yours divides by the
    standard deviation, but the mean is never taken away."""
    return x / (x.var(-1, keepdim=True, correction=0) + eps).sqrt() * weight + bias


@layer_norm.misconception
def takes_the_root_mean_square_of_what_is_not_centred(x, weight, bias, eps):
    """You subtract the mean, but then divide by the size of the original x. The variance is the
    mean square of what is left *after* the mean is gone."""
    return _centred(x) / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias


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
    return _centred(x) / (x.var(-1, keepdim=True, correction=0) + eps).sqrt()


@layer_norm.misconception
def shifts_before_it_scales(x, weight, bias, eps):
    """You add the bias before multiplying, so the bias is scaled as well. Scale first, then
    shift."""
    return (_centred(x) / (x.var(-1, keepdim=True, correction=0) + eps).sqrt() + bias) * weight


@layer_norm.misconception
def forgets_eps(x, weight, bias, eps):
    """You never use `eps`. Where all numbers of a vector are equal the variance is 0, and 0 / 0
    is not a number."""
    return _centred(x) / x.var(-1, keepdim=True, correction=0).sqrt() * weight + bias


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


# --- rms_norm ------------------------------------------------------------------------------

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
    return _centred(x) / (_centred(x).square().mean(-1, keepdim=True) + eps).sqrt() * weight


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
def adds_eps_outside_the_root(x, weight, eps):  # noqa: F811 - a name in another exercise
    """You add eps after the root. It belongs to the mean square, inside the root."""
    return x / (x.square().mean(-1, keepdim=True).sqrt() + eps) * weight


@rms_norm.misconception
def normalises_everything_together(x, weight, eps):  # noqa: F811
    """You take one mean of the squares of the whole tensor, so one large vector shrinks all the
    others. Each vector has its own: give `mean` the last axis and `keepdim=True`."""
    return x / (x.square().mean() + eps).sqrt() * weight


@rms_norm.misconception
def loses_the_axis_of_the_mean(x, weight, eps):  # noqa: F811
    """For a single vector yours is right. With several, `mean(-1)` drops the last axis, and the
    sizes no longer stand beside their vectors: keep the axis, with `keepdim=True`."""
    return x / (x.square().mean(-1) + eps).sqrt() * weight


@rms_norm.misconception
def leaves_out_the_weight(x, weight, eps):
    """The size is right, but the learned scale is missing: multiply by `weight` at the end."""
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


@rms_norm.misconception
def forgets_eps(x, weight, eps):  # noqa: F811
    """You never use `eps`. For a vector of zeros that is 0 / 0, which is not a number."""
    return x / x.square().mean(-1, keepdim=True).sqrt() * weight


@rms_norm.misconception
def squares_the_mean(x, weight, eps):
    """You take the square of the mean. The root mean square is read from the right: first the
    squares, then their mean, then the root."""
    return x / (x.mean(-1, keepdim=True).square() + eps).sqrt() * weight


@rms_norm.alternative
def with_a_power(x, weight, eps):
    """`rsqrt` of the mean of `pow(2)`, as in LLaMA's code."""
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))


@rms_norm.alternative
def through_a_dot_product(x, weight, eps):
    """The sum of squares is the product of a vector with itself."""
    squares = torch.einsum("...w,...w->...", x, x)[..., None]
    return x * weight / (squares / x.shape[-1] + eps) ** 0.5


# --- gelu_feed_forward ---------------------------------------------------------------------

gelu_feed_forward = Exercise(
    "transformer.gelu_feed_forward",
    points=2,
    reference=transformer.gelu_feed_forward,
    forbids=("torch.nn.functional.gelu",),
)


@gelu_feed_forward.cases
def _(draw):
    def case(about, *batch, width=3, ffn_width=5, scale=1.0, dtype=torch.float32, **options):
        shapes = {"w_in": (ffn_width, width), "b_in": (ffn_width,)}
        shapes |= {"w_out": (width, ffn_width), "b_out": (width,)}
        arguments = {"x": scale * draw.normal(*batch, width)}
        arguments |= {name: draw.normal(*shape) for name, shape in shapes.items()}
        return Case(about, {name: t.to(dtype) for name, t in arguments.items()}, **options)

    one, zero = torch.ones(1, 1), torch.zeros(1)
    by_hand = {"x": torch.tensor([[-1.0], [0.0], [2.0]]), "w_in": one, "b_in": zero}
    yield Case("GELU alone (weights 1, biases 0)", {**by_hand, "w_out": one, "b_out": zero})
    yield case("one vector")
    yield case("several vectors", 4)
    yield case("a batch of texts", 2, 4)
    yield case("as wide inside as outside", 2, width=4, ffn_width=4)
    yield case("narrower inside than outside", 2, width=5, ffn_width=2)
    yield case("double precision", 3, dtype=torch.float64)
    yield case("large inputs", 2, scale=1000.0)
    yield case("the gradient with respect to x", 2, observe=gradient_of(0))
    yield case("the gradient with respect to w_in", 2, observe=gradient_of(1))
    if draw.hidden:
        yield case("wide ones", 3, 5, width=16, ffn_width=64)


@gelu_feed_forward.misconception
def uses_relu(x, w_in, b_in, w_out, b_out):
    """Negative numbers become exactly 0 in yours: that is ReLU. GELU bends smoothly, and lets a
    little of the numbers just below zero through."""
    return F.linear(F.linear(x, w_in, b_in).relu(), w_out, b_out)


@gelu_feed_forward.misconception
def uses_the_tanh_approximation(x, w_in, b_in, w_out, b_out):
    """This is the approximation of GELU with tanh, which GPT-2 uses. It is off by up to 5 in
    10,000. Here the exact one is asked for, with `torch.erf`."""
    hidden = F.linear(x, w_in, b_in)
    inner = math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden**3)
    return F.linear(hidden / 2 * (1 + inner.tanh()), w_out, b_out)


@gelu_feed_forward.misconception
def uses_the_sigmoid_approximation(x, w_in, b_in, w_out, b_out):
    """x * sigmoid(1.702 x) is a rough approximation of GELU. Here the exact one is asked for,
    with `torch.erf`."""
    hidden = F.linear(x, w_in, b_in)
    return F.linear(hidden * (1.702 * hidden).sigmoid(), w_out, b_out)


@gelu_feed_forward.misconception
def uses_silu(x, w_in, b_in, w_out, b_out):
    """x * sigmoid(x) is SiLU, a relative of GELU that comes in the next exercise. GELU weighs x by
    the normal distribution, with `torch.erf`."""
    return F.linear(F.silu(F.linear(x, w_in, b_in)), w_out, b_out)


@gelu_feed_forward.misconception
def forgets_the_root_of_two(x, w_in, b_in, w_out, b_out):
    """`erf` is not yet the normal distribution: P(Z <= x) is (1 + erf(x / sqrt(2))) / 2. The root
    of two is missing."""
    hidden = F.linear(x, w_in, b_in)
    return F.linear(hidden / 2 * (1 + torch.erf(hidden)), w_out, b_out)


@gelu_feed_forward.misconception
def divides_by_two_inside_erf(x, w_in, b_in, w_out, b_out):
    """Inside `erf` you divide by 2. There it is the *root* of two; the plain 2 stands outside."""
    hidden = F.linear(x, w_in, b_in)
    return F.linear(hidden / 2 * (1 + torch.erf(hidden / 2)), w_out, b_out)


@gelu_feed_forward.misconception
def forgets_to_halve(x, w_in, b_in, w_out, b_out):
    """Everything inside is twice as large as it should be: 1 + erf(...) goes from 0 to 2, and a
    probability from 0 to 1."""
    hidden = F.linear(x, w_in, b_in)
    return F.linear(hidden * (1 + torch.erf(hidden / math.sqrt(2))), w_out, b_out)


@gelu_feed_forward.misconception
def returns_the_probability_without_x(x, w_in, b_in, w_out, b_out):
    """You pass on P(Z <= x), a number from 0 to 1. GELU multiplies x by it."""
    hidden = F.linear(x, w_in, b_in)
    return F.linear((1 + torch.erf(hidden / math.sqrt(2))) / 2, w_out, b_out)


@gelu_feed_forward.misconception
def does_not_bend(x, w_in, b_in, w_out, b_out):
    """Between your two products nothing bends. Two linear maps in a row are one linear map: the
    widening would be for nothing. Apply GELU in between."""
    return F.linear(F.linear(x, w_in, b_in), w_out, b_out)


@gelu_feed_forward.misconception
def bends_the_output_as_well(x, w_in, b_in, w_out, b_out):
    """GELU belongs between the two products only. You apply it to the output too, so almost
    nothing negative could be added to the stream."""
    output = transformer.gelu_feed_forward(x, w_in, b_in, w_out, b_out)
    return output / 2 * (1 + torch.erf(output / math.sqrt(2)))


@gelu_feed_forward.misconception
def multiplies_without_transposing(x, w_in, b_in, w_out, b_out):
    """Weights are stored [out, in], so x meets their transpose: `x @ w_in.T`. Without `.T` the
    shapes do not fit, and where they happen to fit the values are wrong."""
    hidden = x @ w_in + b_in
    return hidden / 2 * (1 + torch.erf(hidden / math.sqrt(2))) @ w_out + b_out


@gelu_feed_forward.misconception
def forgets_the_biases(x, w_in, b_in, w_out, b_out):
    """The biases `b_in` and `b_out` are never added."""
    return transformer.gelu_feed_forward(x, w_in, 0 * b_in, w_out, 0 * b_out)


@gelu_feed_forward.misconception
def forgets_the_last_bias(x, w_in, b_in, w_out, b_out):
    """The bias of the second product, `b_out`, is never added."""
    return transformer.gelu_feed_forward(x, w_in, b_in, w_out, 0 * b_out)


@gelu_feed_forward.misconception
def adds_the_input(x, w_in, b_in, w_out, b_out):
    """You add x to the result. The block does that, around its feed-forward; here return only what
    is to be added."""
    return x + transformer.gelu_feed_forward(x, w_in, b_in, w_out, b_out)


@gelu_feed_forward.alternative
def with_torchs_linear(x, w_in, b_in, w_out, b_out):
    """`F.linear`, and the normal distribution from `torch.special`."""
    hidden = F.linear(x, w_in, b_in)
    return F.linear(hidden * torch.special.ndtr(hidden), w_out, b_out)


@gelu_feed_forward.alternative
def with_einsum(x, w_in, b_in, w_out, b_out):
    """Axes by name, and `erfc` from the other side."""
    hidden = torch.einsum("...w,fw->...f", x, w_in) + b_in
    hidden = 0.5 * hidden * torch.erfc(-hidden * 2**-0.5)
    return torch.einsum("...f,wf->...w", hidden, w_out) + b_out


# --- swiglu --------------------------------------------------------------------------------

swiglu = Exercise("transformer.swiglu", points=2, reference=transformer.swiglu)


@swiglu.cases
def _(draw):
    def case(about, *batch, width=3, ffn_width=5, scale=1.0, dtype=torch.float32, **options):
        shapes = {"w_gate": (ffn_width, width), "w_up": (ffn_width, width)}
        shapes |= {"w_down": (width, ffn_width)}
        arguments = {"x": scale * draw.normal(*batch, width)}
        arguments |= {name: draw.normal(*shape) for name, shape in shapes.items()}
        return Case(about, {name: t.to(dtype) for name, t in arguments.items()}, **options)

    one = torch.ones(1, 1)
    by_hand = {"x": torch.tensor([[-1.0], [0.0], [2.0]]), "w_gate": one, "w_up": -one}
    yield Case("weights of 1, -1 and 1", {**by_hand, "w_down": one})
    yield case("one vector")
    yield case("several vectors", 4)
    yield case("a batch of texts", 2, 4)
    yield case("as wide inside as outside", 2, width=4, ffn_width=4)
    yield case("narrower inside than outside", 2, width=5, ffn_width=2)
    yield case("double precision", 3, dtype=torch.float64)
    yield case("large inputs", 2, scale=100.0)
    yield case("the gradient with respect to x", 2, observe=gradient_of(0))
    yield case("the gradient with respect to w_gate", 2, observe=gradient_of(1))
    if draw.hidden:
        yield case("wide ones", 3, 5, width=16, ffn_width=40)


def _gated(activation, x, w_gate, w_up, w_down):
    return F.linear(activation(F.linear(x, w_gate)) * F.linear(x, w_up), w_down)


@swiglu.misconception
def swaps_gate_and_up(x, w_gate, w_up, w_down):
    """SiLU is applied to the wrong one of the two: it bends the gate, `x @ w_gate.T`, and leaves
    the other as it is."""
    return _gated(F.silu, x, w_up, w_gate, w_down)


@swiglu.misconception
def gates_with_a_sigmoid_alone(x, w_gate, w_up, w_down):
    """Your gate is sigmoid(z). SiLU is z * sigmoid(z). (Yours exists too: it is the older GLU.)"""
    return _gated(torch.sigmoid, x, w_gate, w_up, w_down)


@swiglu.misconception
def gates_with_gelu(x, w_gate, w_up, w_down):
    """Your gate is GELU, which makes this GEGLU, a sibling from the same paper. SwiGLU uses SiLU:
    z * sigmoid(z)."""
    return _gated(F.gelu, x, w_gate, w_up, w_down)


@swiglu.misconception
def gates_with_relu(x, w_gate, w_up, w_down):
    """Your gate is ReLU, which makes this ReGLU, a sibling from the same paper. SwiGLU uses SiLU:
    z * sigmoid(z)."""
    return _gated(F.relu, x, w_gate, w_up, w_down)


@swiglu.misconception
def bends_both(x, w_gate, w_up, w_down):
    """You apply SiLU to both projections. Only the gate bends; the other one stays linear."""
    return F.linear(F.silu(F.linear(x, w_gate)) * F.silu(F.linear(x, w_up)), w_down)


@swiglu.misconception
def bends_the_product(x, w_gate, w_up, w_down):
    """You multiply the two projections first and bend their product. Bend the gate alone, then
    multiply."""
    return F.linear(F.silu(F.linear(x, w_gate) * F.linear(x, w_up)), w_down)


@swiglu.misconception
def does_not_bend_the_gate(x, w_gate, w_up, w_down):
    """You multiply the two projections, and neither was bent. Apply SiLU to the gate first."""
    return F.linear(F.linear(x, w_gate) * F.linear(x, w_up), w_down)


@swiglu.misconception
def adds_instead_of_multiplying(x, w_gate, w_up, w_down):
    """You add the two projections. A gate decides how much of the other passes, so they are
    multiplied, number by number."""
    return F.linear(F.silu(F.linear(x, w_gate)) + F.linear(x, w_up), w_down)


@swiglu.misconception
def multiplies_without_transposing(x, w_gate, w_up, w_down):  # noqa: F811
    """Weights are stored [out, in], so x meets their transpose: `x @ w_gate.T`. Without `.T` the
    shapes do not fit, and where they happen to fit the values are wrong."""
    return F.silu(x @ w_gate) * (x @ w_up) @ w_down


@swiglu.misconception
def forgets_the_gate(x, w_gate, w_up, w_down):
    """`w_gate` plays no part in yours: this is a feed-forward with SiLU and without a gate."""
    return F.linear(F.silu(F.linear(x, w_up)), w_down)


@swiglu.misconception
def adds_the_input(x, w_gate, w_up, w_down):  # noqa: F811
    """You add x to the result. The block does that, around its feed-forward; here return only what
    is to be added."""
    return x + transformer.swiglu(x, w_gate, w_up, w_down)


@swiglu.alternative
def with_torchs_silu(x, w_gate, w_up, w_down):
    """`F.silu` and `F.linear`, up first."""
    return F.linear(F.linear(x, w_up) * F.silu(F.linear(x, w_gate)), w_down)


@swiglu.alternative
def both_projections_in_one_product(x, w_gate, w_up, w_down):
    """The two matrices stacked, as fast implementations store them."""
    gate, up = (x @ torch.cat([w_gate, w_up]).T).chunk(2, dim=-1)
    return (gate / (1 + (-gate).exp()) * up) @ w_down.T


# --- TransformerBlock ----------------------------------------------------------------------

TransformerBlock = Exercise(
    "transformer.TransformerBlock", points=4, reference=transformer.TransformerBlock
)


def _parameter_shapes(solution, width, n_heads, ffn_width, norm):
    state = solution(width, n_heads, ffn_width, norm).state_dict()
    return {name: list(value.shape) for name, value in state.items()}


def _with_weights(solution, width, n_heads, ffn_width, norm, weights_seed):
    """A block of the learner's class with weights that follow from a seed alone."""
    reference = transformer.TransformerBlock(width, n_heads, ffn_width, norm)
    generator = torch.Generator().manual_seed(weights_seed)
    weights = {
        name: 0.5 * torch.randn(value.shape, generator=generator)
        for name, value in reference.state_dict().items()
    }
    block = solution(width, n_heads, ffn_width, norm)
    block.load_state_dict(weights)
    return block


def _block_output(solution, width, n_heads, ffn_width, norm, weights_seed, x, mask):
    block = _with_weights(solution, width, n_heads, ffn_width, norm, weights_seed)
    return block(x, mask=mask)


def _block_without_mask(solution, width, n_heads, ffn_width, norm, weights_seed, x):
    return _with_weights(solution, width, n_heads, ffn_width, norm, weights_seed)(x)


def _gradient_through_block(solution, width, n_heads, ffn_width, norm, weights_seed, x):
    block = _with_weights(solution, width, n_heads, ffn_width, norm, weights_seed)
    return gradient_of(0)(block, x)


@TransformerBlock.cases
def _(draw):
    sizes = {"width": 6, "n_heads": 2, "ffn_width": 10}

    def case(about, norm, x, observe=_block_without_mask, **arguments):
        seed = draw.random.randrange(10_000)
        arguments = {**sizes, "norm": norm, "weights_seed": seed, "x": x, **arguments}
        return Case(about, arguments, observe)

    yield Case(
        "the names and shapes of its parameters", {**sizes, "norm": "pre"}, _parameter_shapes
    )
    for norm in ("pre", "post"):
        yield case(f"a text of two tokens, {norm}-norm", norm, draw.normal(1, 2, 6))
        yield case(f"several texts, {norm}-norm", norm, draw.normal(2, 4, 6))
        mask = {"observe": _block_output, "mask": causal_mask(4)}
        yield case(f"with a causal mask, {norm}-norm", norm, draw.normal(2, 4, 6), **mask)
        padding = padding_mask(torch.tensor([[1, 1, 1], [1, 1, 0]]))
        mask = {"observe": _block_output, "mask": padding}
        yield case(f"with padding, {norm}-norm", norm, draw.normal(2, 3, 6), **mask)
    yield case("vectors close to zero, pre-norm", "pre", draw.normal(2, 2, 6, scale=3e-3))
    yield case("large vectors, post-norm", "post", draw.normal(2, 3, 6, scale=20.0))
    gradient = _gradient_through_block
    yield case("the gradient with respect to x, pre-norm", "pre", draw.normal(1, 3, 6), gradient)
    if draw.hidden:
        sizes = {"width": 12, "n_heads": 3, "ffn_width": 8}
        yield case("more heads, a narrow feed-forward", "pre", draw.normal(3, 7, 12))


class _Block(transformer.TransformerBlock):
    """The right parts; the misconceptions put them together."""

    def attend(self, x, mask):
        return self.attention(x, mask=mask)


@TransformerBlock.misconception
class ForgetsTheResidualConnections(_Block):
    """Each part's output replaces the stream. It should be *added* to what was there before:
    x = x + part(...)."""

    def forward(self, x, mask=None):
        if self.norm == "pre":
            x = self.attend(self.norm1(x), mask)
            return self.feed_forward(self.norm2(x))
        x = self.norm1(self.attend(x, mask))
        return self.norm2(self.feed_forward(x))


@TransformerBlock.misconception
class ForgetsTheSecondResidualConnection(_Block):
    """The feed-forward's output replaces the stream. As with attention, it should be added to what
    was there before."""

    def forward(self, x, mask=None):
        if self.norm == "pre":
            x = x + self.attend(self.norm1(x), mask)
            return self.feed_forward(self.norm2(x))
        x = self.norm1(x + self.attend(x, mask))
        return self.norm2(self.feed_forward(x))


@TransformerBlock.misconception
class AddsToTheNormalisedStream(_Block):
    """In your pre-norm you overwrite x with its normalised copy, then add to that copy. The norm is
    for the reader only: the stream itself must pass unchanged, x + attention(norm1(x))."""

    def forward(self, x, mask=None):
        if self.norm == "post":
            return super().forward(x, mask)
        x = self.norm1(x)
        x = x + self.attend(x, mask)
        x = self.norm2(x)
        return x + self.feed_forward(x)


@TransformerBlock.misconception
class IsAlwaysPreNorm(_Block):
    """With norm="post" your block still normalises before each part. There the norm comes after
    the addition."""

    def forward(self, x, mask=None):
        x = x + self.attend(self.norm1(x), mask)
        return x + self.feed_forward(self.norm2(x))


@TransformerBlock.misconception
class IsAlwaysPostNorm(_Block):
    """With norm="pre" your block still normalises after each addition. There the norm comes before
    each part, and only on the way into it."""

    def forward(self, x, mask=None):
        x = self.norm1(x + self.attend(x, mask))
        return self.norm2(x + self.feed_forward(x))


@TransformerBlock.misconception
class SwapsPreAndPost(_Block):
    """Your two kinds are exchanged. "pre" normalises before attention and feed-forward, "post"
    after the additions."""

    def forward(self, x, mask=None):
        if self.norm == "post":
            x = x + self.attend(self.norm1(x), mask)
            return x + self.feed_forward(self.norm2(x))
        x = self.norm1(x + self.attend(x, mask))
        return self.norm2(x + self.feed_forward(x))


@TransformerBlock.misconception
class NormalisesBeforeAddingInPostNorm(_Block):
    """In your post-norm the part's output is normalised and then added. The addition comes first:
    norm1(x + attention(x)) normalises the sum."""

    def forward(self, x, mask=None):
        if self.norm == "pre":
            return super().forward(x, mask)
        x = x + self.norm1(self.attend(x, mask))
        return x + self.norm2(self.feed_forward(x))


@TransformerBlock.misconception
class ForgetsTheMask(_Block):
    """The mask never reaches the attention, so every position sees every other. Hand it on:
    self.attention(..., mask=mask)."""

    def forward(self, x, mask=None):
        return super().forward(x)


@TransformerBlock.misconception
class HandsTheMaskOverAsContext(_Block):
    """`self.attention(x, mask)` gives the mask to the second argument of `MultiHeadAttention`,
    which is `context`. Name it: mask=mask."""

    def forward(self, x, mask=None):
        if self.norm == "pre":
            x = x + self.attention(self.norm1(x), mask)
            return x + self.feed_forward(self.norm2(x))
        x = self.norm1(x + self.attention(x, mask))
        return self.norm2(x + self.feed_forward(x))


@TransformerBlock.misconception
class UsesTheFirstNormTwice(_Block):
    """Both parts go through `norm1`. The second has a norm of its own, `norm2`, with weights of its
    own."""

    def forward(self, x, mask=None):
        if self.norm == "pre":
            x = x + self.attend(self.norm1(x), mask)
            return x + self.feed_forward(self.norm1(x))
        x = self.norm1(x + self.attend(x, mask))
        return self.norm1(x + self.feed_forward(x))


@TransformerBlock.misconception
class SwapsTheTwoNorms(_Block):
    """`norm1` and `norm2` are exchanged: the first goes with attention, the second with the
    feed-forward. Loaded weights would land in the wrong one."""

    def forward(self, x, mask=None):
        if self.norm == "pre":
            x = x + self.attend(self.norm2(x), mask)
            return x + self.feed_forward(self.norm1(x))
        x = self.norm2(x + self.attend(x, mask))
        return self.norm1(x + self.feed_forward(x))


@TransformerBlock.misconception
class NormalisesWhatIsWrittenInPreNorm(_Block):
    """In your pre-norm each part reads the stream as it is, and what it writes is normalised. It is
    the other way round: the part reads a normalised copy, and what it writes is added as it is."""

    def forward(self, x, mask=None):
        if self.norm == "post":
            return super().forward(x, mask)
        x = x + self.norm1(self.attend(x, mask))
        return x + self.norm2(self.feed_forward(x))


@TransformerBlock.misconception
class RunsBothPartsSideBySide(_Block):
    """Your feed-forward reads the stream from before the attention, so both work at the same time.
    (Some models do so, GPT-J for one.) Here the feed-forward reads what attention has added."""

    def forward(self, x, mask=None):
        if self.norm == "post":
            return super().forward(x, mask)
        return x + self.attend(self.norm1(x), mask) + self.feed_forward(self.norm2(x))


@TransformerBlock.misconception
class AddsTheFeedForwardToTheOriginalInput(_Block):
    """After the feed-forward you add the x the block began with. What attention wrote is lost from
    the stream; add to the sum you already have."""

    def forward(self, x, mask=None):
        if self.norm == "pre":
            attended = x + self.attend(self.norm1(x), mask)
            return x + self.feed_forward(self.norm2(attended))
        attended = self.norm1(x + self.attend(x, mask))
        return self.norm2(x + self.feed_forward(attended))


@TransformerBlock.misconception
class UsesReluInTheFeedForward(_Block):
    """Your feed-forward bends with ReLU. This block uses GELU, the exact one."""

    def feed_forward(self, x):
        return self.ffn_out(self.ffn_in(x).relu())


@TransformerBlock.misconception
class UsesTheTanhApproximationOfGelu(_Block):
    """Your GELU is the approximation with tanh. This block uses the exact one, which is torch's
    default."""

    def feed_forward(self, x):
        return self.ffn_out(F.gelu(self.ffn_in(x), approximate="tanh"))


@TransformerBlock.misconception
class DoesNotBendInTheFeedForward(_Block):
    """Between `ffn_in` and `ffn_out` nothing bends. Apply GELU in between."""

    def feed_forward(self, x):
        return self.ffn_out(self.ffn_in(x))


@TransformerBlock.alternative
class WithTheNormsChosenOnce(_Block):
    """Which norm stands where is decided by two small functions."""

    def forward(self, x, mask=None):
        def nothing(stream):
            return stream

        pre1, pre2 = (self.norm1, self.norm2) if self.norm == "pre" else (nothing, nothing)
        post1, post2 = (nothing, nothing) if self.norm == "pre" else (self.norm1, self.norm2)
        x = post1(x + self.attend(pre1(x), mask))
        return post2(x + self.feed_forward(pre2(x)))


@TransformerBlock.alternative
class FromPartsOfTorch(nn.Module):
    """Everything but the attention anew, and the feed-forward through the exercise's function."""

    def __init__(self, width, n_heads, ffn_width, norm):
        super().__init__()
        self.pre = norm == "pre"
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ffn_in, self.ffn_out = nn.Linear(width, ffn_width), nn.Linear(ffn_width, width)
        self.attention = transformer.MultiHeadAttention(width, n_heads)

    def forward(self, x, mask=None):
        attended = self.attention(self.norm1(x) if self.pre else x, mask=mask)
        x = attended + x if self.pre else self.norm1(attended + x)
        weights = (self.ffn_in.weight, self.ffn_in.bias, self.ffn_out.weight, self.ffn_out.bias)
        written = transformer.gelu_feed_forward(self.norm2(x) if self.pre else x, *weights)
        return written + x if self.pre else self.norm2(written + x)


# --- lstm_step -----------------------------------------------------------------------------

lstm_step = Exercise(
    "transformer.lstm_step",
    points=3,
    reference=transformer.lstm_step,
    forbids=("torch.lstm_cell", "torch._VF.lstm_cell"),
)


def _gradient_through_two_steps(solution, x, h, c, w_x, w_h, b):
    def two_steps(x):
        return solution(x, *solution(x, h, c, w_x, w_h, b), w_x, w_h, b)

    return gradient_of(0)(two_steps, x)


@lstm_step.cases
def _(draw):
    def case(about, batch=2, width=3, hidden=4, scale=1.0, dtype=torch.float32, **options):
        shapes = {"x": (batch, width), "h": (batch, hidden), "c": (batch, hidden)}
        shapes |= {"w_x": (4 * hidden, width), "w_h": (4 * hidden, hidden), "b": (4 * hidden,)}
        arguments = {name: draw.normal(*shape).to(dtype) for name, shape in shapes.items()}
        arguments["x"], arguments["c"] = scale * arguments["x"], 2 * arguments["c"]
        return Case(about, arguments, **options)

    start = case("the first step: h and c are zero", batch=1, width=2, hidden=1).arguments
    zero = {"h": torch.zeros(1, 1), "c": torch.zeros(1, 1)}
    yield Case("the first step: h and c are zero", {**start, **zero})
    yield case("one text, one hidden number", batch=1, width=2, hidden=1)
    yield case("several texts")
    yield case("as wide inside as outside", width=4)
    yield case("large inputs", scale=100.0)
    yield case("double precision", dtype=torch.float64)
    yield case("the gradient through two steps", observe=_gradient_through_two_steps)
    if draw.hidden:
        yield case("many texts, a wide state", batch=7, width=5, hidden=16)


def _gates(x, h, w_x, w_h, b):
    return (x @ w_x.T + h @ w_h.T + b).chunk(4, dim=-1)


@lstm_step.misconception
def reads_the_gates_in_another_order(x, h, c, w_x, w_h, b):
    """You unpack the four gates as input, forget, output, cell. The rows are stacked in torch's
    order: input, forget, *cell*, output."""
    i, f, o, g = _gates(x, h, w_x, w_h, b)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@lstm_step.misconception
def swaps_input_and_forget_gate(x, h, c, w_x, w_h, b):
    """The first two gates are exchanged: the first quarter of the rows says what comes in, the
    second what is kept."""
    f, i, g, o = _gates(x, h, w_x, w_h, b)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@lstm_step.misconception
def returns_c_before_h(x, h, c, w_x, w_h, b):
    """Both numbers are there, in the wrong order: first h, what the cell says, then c, what it
    remembers."""
    h, c = transformer.lstm_step(x, h, c, w_x, w_h, b)
    return c, h


@lstm_step.misconception
def returns_h_alone(x, h, c, w_x, w_h, b):
    """You return h alone. The next step needs c as well: return both, (h, c)."""
    return transformer.lstm_step(x, h, c, w_x, w_h, b)[0]


@lstm_step.misconception
def speaks_without_tanh(x, h, c, w_x, w_h, b):
    """Your h is output gate times c. There is a tanh in between, which keeps what is said between
    -1 and 1 however much has piled up in c."""
    i, f, g, o = _gates(x, h, w_x, w_h, b)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c, c


@lstm_step.misconception
def squashes_the_news_with_sigmoid(x, h, c, w_x, w_h, b):
    """You put all four through sigmoid. Three are gates between 0 and 1, but the third, the news,
    goes through tanh: it must be able to say something negative."""
    i, f, g, o = _gates(x, h, w_x, w_h, b)
    c = f.sigmoid() * c + i.sigmoid() * g.sigmoid()
    return o.sigmoid() * c.tanh(), c


@lstm_step.misconception
def speaks_from_the_old_memory(x, h, c, w_x, w_h, b):
    """Your h is computed from the c of the step before. First update c, then speak from it."""
    i, f, g, o = _gates(x, h, w_x, w_h, b)
    return o.sigmoid() * c.tanh(), f.sigmoid() * c + i.sigmoid() * g.tanh()


@lstm_step.misconception
def never_hears_itself(x, h, c, w_x, w_h, b):
    """`h` and `w_h` play no part in your gates, so the cell does not know what it said before. Add
    `h @ w_h.T`."""
    return transformer.lstm_step(x, 0 * h, c, w_x, w_h, b)


@lstm_step.misconception
def forgets_the_bias(x, h, c, w_x, w_h, b):
    """The bias `b` is never added to the gates."""
    return transformer.lstm_step(x, h, c, w_x, w_h, 0 * b)


@lstm_step.misconception
def shuts_the_gates_with_the_other_sign(x, h, c, w_x, w_h, b):
    """Your memory keeps 1 - f of the old and takes i of the new. A forget gate of 1 means "keep
    all": its name says the opposite of what it does."""
    i, f, g, o = _gates(x, h, w_x, w_h, b)
    c = (1 - f.sigmoid()) * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@lstm_step.misconception
def mixes_like_a_gru(x, h, c, w_x, w_h, b):
    """You take 1 - f of the news: what is forgotten makes room, as in a GRU. An LSTM has an input
    gate for that, independent of the forget gate."""
    i, f, g, o = _gates(x, h, w_x, w_h, b)
    f = f.sigmoid()
    c = f * c + (1 - f) * g.tanh()
    return o.sigmoid() * c.tanh(), c


@lstm_step.misconception
def multiplies_without_transposing(x, h, c, w_x, w_h, b):  # noqa: F811
    """Weights are stored [out, in], so x meets their transpose: `x @ w_x.T`, and h likewise.
    Without `.T` the shapes do not fit."""
    i, f, g, o = (x @ w_x + h @ w_h + b).chunk(4, dim=-1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@lstm_step.alternative
def gate_by_gate(x, h, c, w_x, w_h, b):
    """Four products, one for each gate."""
    w_xi, w_xf, w_xg, w_xo = w_x.split(h.shape[-1])
    w_hi, w_hf, w_hg, w_ho = w_h.split(h.shape[-1])
    b_i, b_f, b_g, b_o = b.split(h.shape[-1])
    i = torch.sigmoid(F.linear(x, w_xi) + F.linear(h, w_hi) + b_i)
    f = torch.sigmoid(F.linear(x, w_xf) + F.linear(h, w_hf) + b_f)
    g = torch.tanh(F.linear(x, w_xg) + F.linear(h, w_hg) + b_g)
    o = torch.sigmoid(F.linear(x, w_xo) + F.linear(h, w_ho) + b_o)
    c = f * c + i * g
    return o * torch.tanh(c), c


@lstm_step.alternative
def with_one_product_for_both(x, h, c, w_x, w_h, b):
    """x and h side by side meet one wide matrix."""
    gates = torch.cat([x, h], dim=1) @ torch.cat([w_x, w_h], dim=1).T + b
    gates = gates.reshape(len(x), 4, -1)
    kept, taken, said = gates[:, [1, 0, 3]].sigmoid().unbind(1)
    c = torch.addcmul(kept * c, taken, gates[:, 2].tanh())
    return said * c.tanh(), c


# --- count_parameters ----------------------------------------------------------------------

count_parameters = Exercise(
    "transformer.count_parameters", points=3, reference=transformer.count_parameters
)


def _count(solution, vocab_size, max_length, width, n_layers, n_heads, ffn_width, tied):
    return solution(
        SimpleNamespace(
            vocab_size=vocab_size,
            max_length=max_length,
            width=width,
            n_layers=n_layers,
            n_heads=n_heads,
            ffn_width=ffn_width,
            tied=tied,
        )
    )


@count_parameters.cases
def _(draw):
    def case(about, vocab_size, max_length, width, n_layers, n_heads, ffn_width, tied):
        sizes = {"vocab_size": vocab_size, "max_length": max_length, "width": width}
        sizes |= {"n_layers": n_layers, "n_heads": n_heads, "ffn_width": ffn_width, "tied": tied}
        return Case(about, sizes, _count)

    number = draw.random.randint
    yield case("one layer, one head", 10, 5, 2, 1, 1, 3, True)
    yield case("the head has a table of its own", 10, 5, 2, 1, 1, 3, False)
    yield case("three layers, two heads", number(50, 99), 20, 12, 3, 2, 30, True)
    yield case("no layers at all", number(50, 99), 20, 12, 0, 2, 30, False)
    yield case("a feed-forward that is not 4 times the width", 300, 40, 16, 2, 4, 100, False)
    yield case("GPT-2 small", 50257, 1024, 768, 12, 12, 3072, True)
    if draw.hidden:
        width, n_layers = 24 * number(1, 9), number(4, 20)
        yield case("other sizes", number(100, 999), 77, width, n_layers, 8, number(50, 99), True)


def _recount(config, **changes):
    """The right count with some parts replaced, sums adjusted."""
    counts = transformer.count_parameters(config) | changes
    parts = ("token_embedding", "position_embedding", "attention", "feed_forward", "norm", "head")
    counts["total"] = sum(counts[part] for part in parts)
    tables = counts["token_embedding"] + counts["position_embedding"]
    return counts | {"non_embedding": counts["total"] - tables}


@count_parameters.misconception
def forgets_all_biases(config):
    """You count the matrices and no biases. Every projection of the block has one number more for
    each output: its bias."""
    attention = config.n_layers * 4 * config.width**2
    feed_forward = config.n_layers * 2 * config.width * config.ffn_width
    return _recount(config, attention=attention, feed_forward=feed_forward)


@count_parameters.misconception
def forgets_the_biases_of_attention(config):
    """The four projections of attention have biases too: `width` numbers each."""
    return _recount(config, attention=config.n_layers * 4 * config.width**2)


@count_parameters.misconception
def forgets_the_biases_of_the_feed_forward(config):
    """The two projections of the feed-forward have biases: `ffn_width` numbers for the first,
    `width` for the second."""
    return _recount(config, feed_forward=config.n_layers * 2 * config.width * config.ffn_width)


@count_parameters.misconception
def gives_both_biases_of_the_feed_forward_one_size(config):
    """A bias is as long as the *output* of its projection. The feed-forward's first bias has
    `ffn_width` numbers, but the second has `width`."""
    width, ffn_width = config.width, config.ffn_width
    feed_forward = config.n_layers * 2 * (width * ffn_width + ffn_width)
    return _recount(config, feed_forward=feed_forward)


@count_parameters.misconception
def forgets_the_output_projection(config):
    """You count queries, keys and values. Attention has a fourth projection, which mixes the heads:
    `out_proj`."""
    width = config.width
    return _recount(config, attention=config.n_layers * 3 * (width**2 + width))


@count_parameters.misconception
def gives_each_head_a_full_projection(config):
    """You multiply attention by the number of heads. The heads *share* the width: each projects to
    width / n_heads channels, and together they have one width x width matrix."""
    width = config.width
    attention = config.n_layers * (config.n_heads * 3 * (width**2 + width) + width**2 + width)
    return _recount(config, attention=attention)


@count_parameters.misconception
def multiplies_all_of_attention_by_the_heads(config):
    """You multiply attention by the number of heads. The heads *share* the width: however many
    there are, queries have one width x width matrix, and so have keys, values and output."""
    width = config.width
    return _recount(config, attention=config.n_layers * config.n_heads * 4 * (width**2 + width))


@count_parameters.misconception
def counts_a_tied_head_again(config):
    """A tied head *is* the token table: the same numbers, used twice, stored once. Its entry is 0
    when `tied`."""
    return _recount(config, head=config.vocab_size * config.width)


@count_parameters.misconception
def leaves_out_the_head_always(config):
    """When `tied` is False the head is a matrix of its own, vocabulary times width."""
    return _recount(config, head=0)


@count_parameters.misconception
def gives_the_head_a_bias(config):
    """Your head has a bias of `vocab_size` numbers. This architecture's head has none."""
    head = 0 if config.tied else config.vocab_size * (config.width + 1)
    return _recount(config, head=head)


@count_parameters.misconception
def forgets_the_final_norm(config):
    """There is one LayerNorm more than those in the blocks: a last one before the head."""
    return _recount(config, norm=config.n_layers * 2 * 2 * config.width)


@count_parameters.misconception
def counts_one_norm_in_each_block(config):
    """Each block has two norms: one for the attention, one for the feed-forward."""
    return _recount(config, norm=(config.n_layers + 1) * 2 * config.width)


@count_parameters.misconception
def forgets_the_shift_of_the_norms(config):
    """A LayerNorm has a scale *and* a shift, `width` numbers each. (It is RMSNorm that has only a
    scale.)"""
    return _recount(config, norm=(config.n_layers * 2 + 1) * config.width)


@count_parameters.misconception
def counts_a_single_layer(config):
    """You count one block. There are `n_layers` of them."""
    width, ffn_width = config.width, config.ffn_width
    attention, norm = 4 * (width**2 + width), (2 + 1) * 2 * width
    feed_forward = 2 * width * ffn_width + ffn_width + width
    return _recount(config, attention=attention, feed_forward=feed_forward, norm=norm)


@count_parameters.misconception
def takes_four_times_the_width_for_granted(config):
    """Your feed-forward is always 4 times as wide as the stream. Read its width from
    `config.ffn_width`."""
    width = config.width
    feed_forward = config.n_layers * (2 * width * 4 * width + 4 * width + width)
    return _recount(config, feed_forward=feed_forward)


@count_parameters.misconception
def leaves_the_position_table_in_non_embedding(config):
    """You take only the token table off. `non_embedding` is the total less *both* tables: tokens
    and positions."""
    counts = transformer.count_parameters(config)
    return counts | {"non_embedding": counts["total"] - counts["token_embedding"]}


@count_parameters.misconception
def takes_the_head_off_non_embedding(config):
    """You take the head off as well. `non_embedding` is the total less the two tables; an untied
    head stays in."""
    counts = transformer.count_parameters(config)
    return counts | {"non_embedding": counts["non_embedding"] - counts["head"]}


@count_parameters.misconception
def adds_up_to_floats(config):
    """The numbers are right, but some are floats: a `/` or a `0.5` turned them. Parameters are
    counted in whole numbers; use `//`, or multiply by integers only."""
    return {name: float(count) for name, count in transformer.count_parameters(config).items()}


@count_parameters.alternative
def by_building_the_model(config):
    """Build every part (without memory for its numbers) and count."""
    with torch.device("meta"):
        block = transformer.TransformerBlock(config.width, config.n_heads, config.ffn_width, "pre")
        norm = nn.LayerNorm(config.width)
        token_table = nn.Embedding(config.vocab_size, config.width)
        position_table = nn.Embedding(config.max_length, config.width)
        head = nn.Linear(config.width, config.vocab_size, bias=False)

    def numbers(*modules):
        return sum(p.numel() for module in modules for p in module.parameters())

    attention, norms = numbers(block.attention), numbers(block.norm1, block.norm2)
    parts = {"token_embedding": numbers(token_table), "position_embedding": numbers(position_table)}
    parts["attention"] = config.n_layers * attention
    parts["feed_forward"] = config.n_layers * (numbers(block) - attention - norms)
    parts["norm"] = config.n_layers * norms + numbers(norm)
    parts["head"] = 0 if config.tied else numbers(head)
    total = sum(parts.values())
    tables = parts["token_embedding"] + parts["position_embedding"]
    return parts | {"total": total, "non_embedding": total - tables}


@count_parameters.alternative
def from_the_matrices_one_by_one(config):
    """A list of shapes, and the product of each."""
    w, f = config.width, config.ffn_width
    shapes = {
        "token_embedding": [(config.vocab_size, w)],
        "position_embedding": [(config.max_length, w)],
        "attention": [(w, w), (w,)] * 4 * config.n_layers,
        "feed_forward": [(f, w), (f,), (w, f), (w,)] * config.n_layers,
        "norm": [(w,), (w,)] * (2 * config.n_layers + 1),
        "head": [] if config.tied else [(config.vocab_size, w)],
    }
    counts = {name: sum(math.prod(s) for s in part) for name, part in shapes.items()}
    counts["total"] = sum(counts.values())
    counts["non_embedding"] = sum(counts[n] for n in ("attention", "feed_forward", "norm", "head"))
    return counts
