"""What `attention.MultiHeadAttention` demands."""

from __future__ import annotations

import math

import torch
from torch import nn

from course_lib import attention
from course_lib.checks.exercise import Case, Exercise, compares_gradients, gradient_of, refuses
from course_lib.exercises.attention.shared import INF
from course_lib.exercises.shared import load_weights

MultiHeadAttention = Exercise(
    "attention.MultiHeadAttention",
    points=4,
    reference=attention.MultiHeadAttention,
    forbids=(
        "torch.nn.MultiheadAttention",
        "torch.nn.functional.multi_head_attention_forward",
    ),
    tolerance=1e-4,
)


_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


def _parameter_shapes(solution, width, n_heads):
    layer = solution(width, n_heads)
    return {name: list(value.shape) for name, value in layer.state_dict().items()}


def _output(solution, width, n_heads, weights, x, context=None, mask=None):
    layer = load_weights(solution(width, n_heads), weights)
    return layer(x, context=context, mask=mask)


def _second_output(solution, width, n_heads, weights, first_context, first_mask, x):
    """What a layer says to x alone, when it has seen a context and a mask before."""
    layer = load_weights(solution(width, n_heads), weights)
    layer(x, context=first_context, mask=first_mask)
    return layer(x)


@compares_gradients
def _gradient(solution, width, n_heads, weights, x, context=None, mask=None):
    layer = load_weights(solution(width, n_heads), weights)
    return gradient_of(0)(lambda x: layer(x, context=context, mask=mask), x)


@MultiHeadAttention.cases
def _(draw):
    def layer(width, n_heads):
        weights = {}
        for name in _PROJECTIONS:
            weights[f"{name}.weight"] = draw.normal(width, width, scale=width**-0.5)
            weights[f"{name}.bias"] = draw.normal(width)
        return {"width": width, "n_heads": n_heads, "weights": weights}

    def case(about, width, n_heads, x, observe=_output, **more):
        return Case(about, {**layer(width, n_heads), "x": x, **more}, observe)

    sizes = {"width": 6, "n_heads": 3}
    yield Case("the names and shapes of the parameters", sizes, _parameter_shapes)
    x, context = draw.normal(2, 3, 6), draw.normal(2, 5, 6)
    yield case("two tokens, two heads of one channel", 2, 2, draw.normal(1, 2, 2))
    yield case("self-attention, two tokens, two heads", 4, 2, draw.normal(1, 2, 4))
    yield case("one token, one channel", 1, 1, draw.normal(1, 1, 1))
    yield case("a batch, three heads", 6, 3, x)
    yield case("a single head", 6, 1, x)
    yield case("cross-attention", 6, 3, x, context=context)
    causal = attention.causal_mask(3)
    yield case("a causal mask", 6, 2, x, context=None, mask=causal)
    kept = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]])
    kept = attention.padding_mask(kept)
    yield case("cross-attention to a padded text", 6, 2, x, context=context, mask=kept)
    per_head = torch.tensor([[True, False, True], [True, True, False]])[:, None, :]
    yield case("a mask of its own for each head", 6, 2, x, context=None, mask=per_head)
    each = torch.tensor([[[1, 0, 1], [1, 1, 0]], [[0, 1, 1], [1, 0, 0]]]).bool()[:, :, None]
    about = "a mask of its own for each text and head"
    yield case(about, 6, 2, x, context=None, mask=each)
    before = {"first_context": context[:, :3], "first_mask": causal, "x": x}
    about = "a second call, without the context and the mask of the first"
    yield Case(about, layer(6, 2) | before, _second_output)
    nothing = attention.padding_mask(torch.tensor([[1, 1, 0], [0, 0, 0]]))
    yield case("a row of padding alone", 6, 3, x, context=None, mask=nothing)
    yield case("the gradient", 6, 3, x, _gradient, context=None, mask=nothing)
    yield refuses("heads that do not divide the width", {"width": 6, "n_heads": 4}, "n_heads")
    if draw.hidden:
        x, context = draw.normal(3, 4, 24), draw.normal(3, 7, 24)
        mask = attention.causal_mask(4, 7)
        yield case("a wider layer", 24, 6, x, context=context, mask=mask)


class _Projections(nn.Module):
    """The part that everybody writes alike."""

    bias = True

    def __init__(self, width, n_heads):
        super().__init__()
        if width % n_heads != 0:
            raise ValueError(f"n_heads must divide the width {width}, got {n_heads}")
        self.n_heads = n_heads
        for name in _PROJECTIONS:
            setattr(self, name, nn.Linear(width, width, bias=self.bias))

    def heads(self, x, context):
        q, k, v = self.q_proj(x), self.k_proj(context), self.v_proj(context)
        return (attention.split_heads(part, self.n_heads) for part in (q, k, v))


@MultiHeadAttention.misconception
class ForgetsTheOutputProjection(_Projections):
    """The heads are joined, but not mixed: `out_proj` has no effect. Send the joined heads through
    it."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return attention.merge_heads(output)


@MultiHeadAttention.misconception
class IgnoresTheContext(_Projections):
    """When there is a `context`, keys and values come from it. Yours looks at x itself, with or
    without one."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x)
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class TakesTheQueriesFromTheContext(_Projections):
    """The roles are swapped: x asks and the context answers. Queries come from x, keys and values
    from the context, and there is one output for each token of x."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x if context is None else context, x)
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class TakesTheValuesFromX(_Projections):
    """The keys come from the context and the values from x. A value belongs to its key: both come
    from the context."""

    def forward(self, x, context=None, mask=None):
        context = x if context is None else context
        q, k = self.q_proj(x), self.k_proj(context)
        q, k, v = (attention.split_heads(part, self.n_heads) for part in (q, k, self.v_proj(x)))
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class UsesOneBigHead(_Projections):
    """With one head this is right. Yours attends once over the full width; split queries, keys and
    values into `n_heads` heads first, and merge afterwards."""

    def forward(self, x, context=None, mask=None):
        context = x if context is None else context
        q, k, v = self.q_proj(x), self.k_proj(context), self.v_proj(context)
        q, k, v = q[:, None], k[:, None], v[:, None]
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(output.mean(1))


@MultiHeadAttention.misconception
class ForgetsTheMask(_Projections):
    """A mask has no effect in yours: pass it on to `scaled_dot_product_attention`."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        output, _ = attention.scaled_dot_product_attention(q, k, v)
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class ReturnsTheWeightsToo(_Projections):
    """Return the output alone. `scaled_dot_product_attention` gives a pair; the weights are not
    passed on here."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        output, weights = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(attention.merge_heads(output)), weights


@MultiHeadAttention.misconception
class SwapsQueriesAndKeys(_Projections):
    """Queries and keys have changed places on the way into `scaled_dot_product_attention`: it takes
    the queries first, then the keys, then the values."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        output, _ = attention.scaled_dot_product_attention(k, q, v, mask)
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class TakesTheValuesFromTheKeys(_Projections):
    """Your values are the keys: `v_proj` has no effect. A token says one thing to be found, its
    key, and another when it is found, its value."""

    def forward(self, x, context=None, mask=None):
        q, k, _ = self.heads(x, x if context is None else context)
        output, _ = attention.scaled_dot_product_attention(q, k, k, mask)
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class KeepsTheMaskOfAnEarlierCall(_Projections):
    """A call without a mask uses that of the call before in yours. Each call has its own mask, or
    none: keep nothing of it on `self`."""

    kept = None

    def forward(self, x, context=None, mask=None):
        self.kept = self.kept if mask is None else mask
        q, k, v = self.heads(x, x if context is None else context)
        output, _ = attention.scaled_dot_product_attention(q, k, v, self.kept)
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class HidesItsProjections(_Projections):
    """torch sees no parameters in your layer: the projections do not stand on `self`, or they stand
    there in a plain list. So nothing trains them, and no weights can be loaded. Give each its
    name: `self.q_proj = nn.Linear(width, width)`."""

    def __init__(self, width, n_heads):
        super().__init__(width, n_heads)
        self.projections = [self._modules.pop(name) for name in _PROJECTIONS]

    def heads(self, x, context):
        q_proj, k_proj, v_proj, _ = self.projections
        q, k, v = q_proj(x), k_proj(context), v_proj(context)
        return (attention.split_heads(part, self.n_heads) for part in (q, k, v))

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.projections[-1](attention.merge_heads(output))


@MultiHeadAttention.misconception
class LeavesOutTheBiases(_Projections):
    """The projections have a bias here, as `nn.Linear` has unless it is told otherwise. Yours have
    none. (Many newer models, LLaMA among them, leave them out; the course says so when it loads
    one.)"""

    bias = False

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class ScalesByTheFullWidth(_Projections):
    """The scores of a head are sums over its own channels, so the scale is sqrt(d_k) with d_k =
    width / n_heads. Yours divides by the root of the full width."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        scores = q @ k.transpose(-2, -1) / math.sqrt(x.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, -INF)
        output = attention.softmax(scores, -1) @ v
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class JoinsTheHeadsWithoutMovingTheTimeBack(_Projections):
    """The heads are joined by a bare reshape, so that a row holds one head at several moments. Use
    `merge_heads`, which first brings the time forward again."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(output.reshape(x.shape))


@MultiHeadAttention.misconception
class AddsTheInput(_Projections):
    """Yours adds x to the result. That sum (the residual connection) belongs to the block around
    this layer, in the next notebook; here the output stands alone."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return x + self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.alternative
class OneHeadAfterTheOther(_Projections):
    """A loop over slices of the channels."""

    def forward(self, x, context=None, mask=None):
        context = x if context is None else context
        q, k, v = self.q_proj(x), self.k_proj(context), self.v_proj(context)
        if mask is not None:
            shape = (len(x), self.n_heads, x.shape[1], context.shape[1])
            mask = mask.expand(shape).unbind(1)
        outputs = []
        for h, (q_h, k_h, v_h) in enumerate(
            zip(*(part.chunk(self.n_heads, -1) for part in (q, k, v)), strict=True)
        ):
            mask_h = None if mask is None else mask[h]
            outputs.append(attention.scaled_dot_product_attention(q_h, k_h, v_h, mask_h)[0])
        return self.out_proj(torch.cat(outputs, -1))


@MultiHeadAttention.alternative
class WithEinsum(_Projections):
    """The axes have names."""

    def forward(self, x, context=None, mask=None):
        context = context if context is not None else x
        q, k, v = (
            projection(source).unflatten(-1, (self.n_heads, -1))
            for projection, source in (
                (self.q_proj, x),
                (self.k_proj, context),
                (self.v_proj, context),
            )
        )
        scores = torch.einsum("bthd,bshd->bhts", q, k) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = torch.where(mask, scores, -INF)
        weights = attention.softmax(scores, -1)
        return self.out_proj(torch.einsum("bhts,bshd->bthd", weights, v).flatten(2))
