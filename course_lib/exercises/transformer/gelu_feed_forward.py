"""What `transformer.gelu_feed_forward` demands."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from course_lib import transformer
from course_lib.checks.exercise import Case, Exercise, gradient_of

gelu_feed_forward = Exercise(
    "transformer.gelu_feed_forward",
    points=2,
    reference=transformer.gelu_feed_forward,
    forbids=("torch.nn.functional.gelu", "aten::gelu"),
    tolerance=1e-4,  # sums over the units may be taken in any order
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
    yield case("one text of one vector", 1, 1)
    yield case("several vectors", 4)
    yield case("a batch of texts", 2, 4)
    yield case("as wide inside as outside", 2, width=4, ffn_width=4)
    yield case("narrower inside than outside", 2, width=5, ffn_width=2)
    yield case("double precision", 3, dtype=torch.float64)
    yield case("large inputs", 2, scale=1000.0, dtype=torch.float64)
    yield case("many units", 2, width=16, ffn_width=64, dtype=torch.float64)
    yield case("the gradient with respect to x", 2, observe=gradient_of(0))
    yield case("the gradient with respect to w_in", 2, observe=gradient_of(1))
    if draw.hidden:
        yield case("wide ones", 3, 5, width=16, ffn_width=64, dtype=torch.float64)


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
    """The biases `b_in` and `b_out` have no effect in yours. Add each behind its product."""
    return transformer.gelu_feed_forward(x, w_in, 0 * b_in, w_out, 0 * b_out)


@gelu_feed_forward.misconception
def forgets_the_last_bias(x, w_in, b_in, w_out, b_out):
    """The bias of the second product, `b_out`, has no effect in yours. Add it at the end."""
    return transformer.gelu_feed_forward(x, w_in, b_in, w_out, 0 * b_out)


@gelu_feed_forward.misconception
def forgets_the_first_bias(x, w_in, b_in, w_out, b_out):
    """The bias of the first product, `b_in`, has no effect in yours. Add it before GELU."""
    return transformer.gelu_feed_forward(x, w_in, 0 * b_in, w_out, b_out)


@gelu_feed_forward.misconception
def adds_the_first_bias_after_gelu(x, w_in, b_in, w_out, b_out):
    """You bend first and add `b_in` afterwards. The bias belongs to the product: x @ w_in.T + b_in,
    and that sum is bent."""
    hidden = x @ w_in.T
    hidden = hidden / 2 * (1 + torch.erf(hidden / math.sqrt(2))) + b_in
    return F.linear(hidden, w_out, b_out)


@gelu_feed_forward.misconception
def stops_in_the_wide_middle(x, w_in, b_in, w_out, b_out):
    """You stop behind GELU, in the wide middle. The second product, with `w_out`, brings it back to
    the width of x."""
    hidden = F.linear(x, w_in, b_in)
    return hidden / 2 * (1 + torch.erf(hidden / math.sqrt(2)))


@gelu_feed_forward.misconception
def adds_the_input(x, w_in, b_in, w_out, b_out):
    """You add x to the result. The block does that, around its feed-forward; here return only what
    is to be added."""
    return x + transformer.gelu_feed_forward(x, w_in, b_in, w_out, b_out)


@gelu_feed_forward.alternative
def unit_by_unit(x, w_in, b_in, w_out, b_out):
    """A sum over the units in the middle, one after the other."""
    output = b_out
    for into, bias, out in zip(w_in, b_in, w_out.T, strict=True):
        z = x @ into + bias
        output = output + (z / 2 * (1 + torch.erf(z / math.sqrt(2))))[..., None] * out
    return output


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
