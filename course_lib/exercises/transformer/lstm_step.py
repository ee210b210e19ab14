"""What `transformer.lstm_step` demands."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from course_lib import transformer
from course_lib.checks.exercise import Case, Exercise, compares_gradients, gradient_of

lstm_step = Exercise(
    "transformer.lstm_step",
    points=3,
    reference=transformer.lstm_step,
    forbids=("torch.lstm_cell", "torch._VF.lstm_cell"),
    tolerance=1e-4,
)


@compares_gradients
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
def reads_the_gates_in_the_order_of_onnx(x, h, c, w_x, w_h, b):
    """You unpack the four gates as ONNX stacks them: input, output, forget, cell. Here they stand
    in torch's order: input, forget, cell, output."""
    i, o, f, g = _gates(x, h, w_x, w_h, b)
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
def forgets_the_sigmoids(x, h, c, w_x, w_h, b):
    """Your gates are the raw numbers, of any size. A gate lies between 0 and 1: put i, f and o
    through a sigmoid."""
    i, f, g, o = _gates(x, h, w_x, w_h, b)
    c = f * c + i * g.tanh()
    return o * c.tanh(), c


@lstm_step.misconception
def takes_the_news_as_they_are(x, h, c, w_x, w_h, b):
    """The news g comes in as it is, of any size. It goes through tanh first."""
    i, f, g, o = _gates(x, h, w_x, w_h, b)
    c = f.sigmoid() * c + i.sigmoid() * g
    return o.sigmoid() * c.tanh(), c


@lstm_step.misconception
def remembers_nothing(x, h, c, w_x, w_h, b):
    """The old c has no effect in yours, so the memory lasts one step. Add the forget gate times the
    old c."""
    i, _, g, o = _gates(x, h, w_x, w_h, b)
    c = i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@lstm_step.misconception
def adds_the_bias_twice(x, h, c, w_x, w_h, b):
    """You add the bias twice, once for x and once for h. torch has two biases that are added up;
    here there is one."""
    return transformer.lstm_step(x, h, c, w_x, w_h, 2 * b)


@lstm_step.misconception
def cuts_the_texts_in_four(x, h, c, w_x, w_h, b):
    """You cut along the first axis, and that one counts texts. The four pieces stand side by side
    along the last axis: `chunk(4, dim=-1)`."""
    i, f, g, o = (x @ w_x.T + h @ w_h.T + b).chunk(4)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@lstm_step.misconception
def speaks_from_the_old_memory(x, h, c, w_x, w_h, b):
    """Your h is computed from the c of the step before. First update c, then speak from it."""
    i, f, g, o = _gates(x, h, w_x, w_h, b)
    return o.sigmoid() * c.tanh(), f.sigmoid() * c + i.sigmoid() * g.tanh()


@lstm_step.misconception
def never_hears_itself(x, h, c, w_x, w_h, b):
    """`h` has no effect on your gates, so the cell does not know what it said before. Add
    `h @ w_h.T`."""
    return transformer.lstm_step(x, 0 * h, c, w_x, w_h, b)


@lstm_step.misconception
def forgets_the_bias(x, h, c, w_x, w_h, b):
    """The bias `b` has no effect in yours. Add it to the gates, before they are cut in four."""
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
def multiplies_without_transposing(x, h, c, w_x, w_h, b):
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
