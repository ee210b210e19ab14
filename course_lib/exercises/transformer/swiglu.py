"""What `transformer.swiglu` demands."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from course_lib import transformer
from course_lib.checks.exercise import Case, Exercise, gradient_of

swiglu = Exercise(
    "transformer.swiglu",
    points=2,
    reference=transformer.swiglu,
    tolerance=1e-4,  # sums over the units may be taken in any order
)


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
    yield case("one text of one vector", 1, 1)
    yield case("several vectors", 4)
    yield case("a batch of texts", 2, 4)
    yield case("as wide inside as outside", 2, width=4, ffn_width=4)
    yield case("narrower inside than outside", 2, width=5, ffn_width=2)
    yield case("double precision", 3, dtype=torch.float64)
    yield case("large inputs", 2, scale=1000.0, dtype=torch.float64)
    yield case("many units", 2, width=16, ffn_width=64, dtype=torch.float64)
    yield case("the gradient with respect to x", 2, observe=gradient_of(0))
    yield case("the gradient with respect to w_gate", 2, observe=gradient_of(1))
    if draw.hidden:
        yield case("wide ones", 3, 5, width=16, ffn_width=64, dtype=torch.float64)


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
def multiplies_without_transposing(x, w_gate, w_up, w_down):
    """Weights are stored [out, in], so x meets their transpose: `x @ w_gate.T`. Without `.T` the
    shapes do not fit, and where they happen to fit the values are wrong."""
    return F.silu(x @ w_gate) * (x @ w_up) @ w_down


@swiglu.misconception
def forgets_the_gate(x, w_gate, w_up, w_down):
    """`w_gate` has no effect in yours: this is a feed-forward with SiLU and without a gate."""
    return F.linear(F.silu(F.linear(x, w_up)), w_down)


@swiglu.misconception
def adds_the_input(x, w_gate, w_up, w_down):
    """You add x to the result. The block does that, around its feed-forward; here return only what
    is to be added."""
    return x + transformer.swiglu(x, w_gate, w_up, w_down)


@swiglu.misconception
def stops_in_the_wide_middle(x, w_gate, w_up, w_down):
    """You stop behind the product of gate and up, in the wide middle. `w_down` brings it back to
    the width of x."""
    return F.silu(F.linear(x, w_gate)) * F.linear(x, w_up)


@swiglu.misconception
def forgets_what_passes_the_gate(x, w_gate, w_up, w_down):
    """`w_up` has no effect in yours: the bent gate goes on alone. Multiply it by `x @ w_up.T`
    first."""
    return F.linear(F.silu(F.linear(x, w_gate)), w_down)


@swiglu.misconception
def divides_by_the_sigmoid(x, w_gate, w_up, w_down):
    """Your gate is z / sigmoid(z). SiLU is z times sigmoid(z)."""
    return _gated(lambda z: z / z.sigmoid(), x, w_gate, w_up, w_down)


@swiglu.alternative
def unit_by_unit(x, w_gate, w_up, w_down):
    """A sum over the units in the middle, one after the other."""
    output = 0
    for gate, up, down in zip(w_gate, w_up, w_down.T, strict=True):
        z = x @ gate
        output = output + (z * torch.sigmoid(z) * (x @ up))[..., None] * down
    return output


@swiglu.alternative
def with_torchs_silu(x, w_gate, w_up, w_down):
    """`F.silu` and `F.linear`, up first."""
    return F.linear(F.linear(x, w_up) * F.silu(F.linear(x, w_gate)), w_down)


@swiglu.alternative
def both_projections_in_one_product(x, w_gate, w_up, w_down):
    """The two matrices stacked, as fast implementations store them."""
    gate, up = (x @ torch.cat([w_gate, w_up]).T).chunk(2, dim=-1)
    return (gate / (1 + (-gate).exp()) * up) @ w_down.T
