"""What `transformer.TransformerBlock` demands."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import transformer
from course_lib.attention import causal_mask, padding_mask
from course_lib.checks.exercise import Case, Exercise, compares_gradients, gradient_of
from course_lib.exercises.shared import load_weights

TransformerBlock = Exercise(
    "transformer.TransformerBlock",
    points=4,
    reference=transformer.TransformerBlock,
    tolerance=1e-4,
)


def _parameter_shapes(solution, width, n_heads, ffn_width, norm):
    state = solution(width, n_heads, ffn_width, norm).state_dict()
    return {name: list(value.shape) for name, value in state.items()}


def _weights(draw, width, n_heads, ffn_width, norm):
    reference = transformer.TransformerBlock(width, n_heads, ffn_width, norm)
    return {
        name: draw.normal(*value.shape, scale=0.5) for name, value in reference.state_dict().items()
    }


def _block_output(solution, width, n_heads, ffn_width, norm, weights, x, mask):
    block = load_weights(solution(width, n_heads, ffn_width, norm), weights)
    return block(x, mask=mask)


def _block_without_mask(solution, width, n_heads, ffn_width, norm, weights, x):
    return load_weights(solution(width, n_heads, ffn_width, norm), weights)(x)


def _block_with_eps(solution, width, n_heads, ffn_width, norm, weights, x, eps):
    return load_weights(solution(width, n_heads, ffn_width, norm, eps), weights)(x)


def _second_output(solution, width, n_heads, ffn_width, norm, weights, first_mask, x):
    """What a block makes of x alone, when it has seen a mask before."""
    block = load_weights(solution(width, n_heads, ffn_width, norm), weights)
    block(x, mask=first_mask)
    return block(x)


@compares_gradients
def _gradient_through_block(solution, width, n_heads, ffn_width, norm, weights, x):
    block = load_weights(solution(width, n_heads, ffn_width, norm), weights)
    return gradient_of(0)(block, x)


@TransformerBlock.cases
def _(draw):
    sizes = {"width": 6, "n_heads": 2, "ffn_width": 10}

    def case(about, norm, x, observe=_block_without_mask, sizes=sizes, **arguments):
        shape = {**sizes, "norm": norm}
        arguments = {**shape, "weights": _weights(draw, **shape), "x": x, **arguments}
        return Case(about, arguments, observe)

    def second(about, norm, x, first_mask):
        shape = {**sizes, "norm": norm}
        arguments = {"weights": _weights(draw, **shape), "first_mask": first_mask, "x": x}
        return Case(about, shape | arguments, _second_output)

    yield Case(
        "the names and shapes of its parameters", {**sizes, "norm": "pre"}, _parameter_shapes
    )
    tiny = {"width": 2, "n_heads": 1, "ffn_width": 3}
    for norm in ("pre", "post"):
        x = draw.normal(1, 2, 2)
        yield case(f"two tokens of width 2, one head, {norm}-norm", norm, x, sizes=tiny)
        yield case(f"a text of two tokens, {norm}-norm", norm, draw.normal(1, 2, 6))
        yield case(f"several texts, {norm}-norm", norm, draw.normal(2, 4, 6))
        mask = {"observe": _block_output, "mask": causal_mask(4)}
        yield case(f"with a causal mask, {norm}-norm", norm, draw.normal(2, 4, 6), **mask)
        padding = padding_mask(torch.tensor([[1, 1, 1], [1, 1, 0]]))
        mask = {"observe": _block_output, "mask": padding}
        yield case(f"with padding, {norm}-norm", norm, draw.normal(2, 3, 6), **mask)
        x, eps = draw.normal(1, 2, 6), {"observe": _block_with_eps, "eps": 0.5}
        yield case(f"a large eps, {norm}-norm", norm, x, **eps)
    each = torch.tensor([
        [[[1, 0], [1, 1]], [[1, 1], [0, 1]]],
        [[[1, 1], [1, 0]], [[0, 1], [1, 1]]],
    ]).bool()  # fmt: skip
    mask = {"observe": _block_output, "mask": each}
    yield case("a mask of its own for each text and head", "pre", draw.normal(2, 2, 6), **mask)
    about = "a second call, without the mask of the first"
    yield second(about, "pre", draw.normal(1, 3, 6), causal_mask(3))
    yield case("vectors close to zero, pre-norm", "pre", draw.normal(2, 2, 6, scale=3e-3))
    yield case("large vectors, post-norm", "post", draw.normal(2, 3, 6, scale=20.0))
    gradient = _gradient_through_block
    yield case("the gradient with respect to x, pre-norm", "pre", draw.normal(1, 3, 6), gradient)
    if draw.hidden:
        wide = {"width": 12, "n_heads": 3, "ffn_width": 8}
        about = "more heads, a narrow feed-forward"
        yield case(about, "pre", draw.normal(3, 7, 12), sizes=wide)


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
    """A mask has no effect in yours, so every position sees every other. Hand it on:
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
class SharesOneNorm(_Block):
    """`norm1` and `norm2` are the same layer in your block, under two names, so both have the
    weights that were loaded last. Make two: `nn.LayerNorm` twice."""

    def __init__(self, width, n_heads, ffn_width, norm, eps=1e-5):
        super().__init__(width, n_heads, ffn_width, norm, eps)
        self.norm2 = self.norm1


@TransformerBlock.misconception
class TakesAnEpsOfItsOwn(_Block):
    """`eps` has no effect in your block: its norms have torch's default, 0.00001. Hand it on:
    `nn.LayerNorm(width, eps=eps)`."""

    def __init__(self, width, n_heads, ffn_width, norm, eps=1e-5):
        super().__init__(width, n_heads, ffn_width, norm)


@TransformerBlock.misconception
class AddsTheStreamTwice(_Block):
    """Your block adds x twice at each part: 2x + part(x). The part gives only what is to be added;
    the x comes on top once."""

    def forward(self, x, mask=None):
        if self.norm == "pre":
            x = x + x + self.attend(self.norm1(x), mask)
            return x + x + self.feed_forward(self.norm2(x))
        x = self.norm1(x + x + self.attend(x, mask))
        return self.norm2(x + x + self.feed_forward(x))


@TransformerBlock.misconception
class KeepsTheMaskOfAnEarlierCall(_Block):
    """A call without a mask uses that of the call before in your block. Each call has its own mask,
    or none: keep nothing of it on `self`."""

    kept = None

    def forward(self, x, mask=None):
        self.kept = self.kept if mask is None else mask
        return super().forward(x, self.kept)


@TransformerBlock.misconception
class TakesTheFirstMaskForAll(_Block):
    """The mask of the first text serves all texts in your block. A mask may differ from text to
    text; hand it on as it is."""

    def forward(self, x, mask=None):
        return super().forward(x, mask[:1] if mask is not None and mask.ndim == 4 else mask)


@TransformerBlock.misconception
class NormalisesAtTheEndOfPreNorm(_Block):
    """In your pre-norm block the result is normalised once more. The norms stand before the parts
    only; a last norm stands behind the last block of a model, not in each."""

    def forward(self, x, mask=None):
        x = super().forward(x, mask)
        return x if self.norm == "post" else self.norm2(x)


@TransformerBlock.misconception
class FeedsForwardFirst(_Block):
    """Your block runs the feed-forward before the attention. Attention comes first, then the
    feed-forward reads what it has added."""

    def forward(self, x, mask=None):
        if self.norm == "pre":
            x = x + self.feed_forward(self.norm2(x))
            return x + self.attend(self.norm1(x), mask)
        x = self.norm2(x + self.feed_forward(x))
        return self.norm1(x + self.attend(x, mask))


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

    def __init__(self, width, n_heads, ffn_width, norm, eps=1e-5):
        super().__init__()
        self.pre = norm == "pre"
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.ffn_in, self.ffn_out = nn.Linear(width, ffn_width), nn.Linear(ffn_width, width)
        self.attention = transformer.MultiHeadAttention(width, n_heads)

    def forward(self, x, mask=None):
        attended = self.attention(self.norm1(x) if self.pre else x, mask=mask)
        x = attended + x if self.pre else self.norm1(attended + x)
        weights = (self.ffn_in.weight, self.ffn_in.bias, self.ffn_out.weight, self.ffn_out.bias)
        written = transformer.gelu_feed_forward(self.norm2(x) if self.pre else x, *weights)
        return written + x if self.pre else self.norm2(written + x)
