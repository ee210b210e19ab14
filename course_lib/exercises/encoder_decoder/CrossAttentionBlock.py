"""What `encoder_decoder.CrossAttentionBlock` demands."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import encoder_decoder
from course_lib.attention import causal_mask, padding_mask
from course_lib.checks.exercise import Case, Exercise, compares_gradients, gradient_of
from course_lib.exercises.encoder_decoder.shared import random_state, right_shapes, shapes_of

CrossAttentionBlock = Exercise(
    "encoder_decoder.CrossAttentionBlock",
    points=3,
    reference=encoder_decoder.CrossAttentionBlock,
)


def _block_shapes(solution, width, n_heads, ffn_width):
    return shapes_of(solution(width, n_heads, ffn_width))


def _block(solution, width, n_heads, ffn_width, weights_seed):
    sizes = (width, n_heads, ffn_width)
    block = solution(*sizes)
    shapes = right_shapes(encoder_decoder.CrossAttentionBlock, *sizes)
    block.load_state_dict(random_state(shapes, weights_seed))
    return block


def _block_output(solution, width, n_heads, ffn_width, weights_seed, x, context):
    return _block(solution, width, n_heads, ffn_width, weights_seed)(x, context)


def _masked_block_output(
    solution, width, n_heads, ffn_width, weights_seed, x, context, mask, context_mask
):
    block = _block(solution, width, n_heads, ffn_width, weights_seed)
    return block(x, context, mask, context_mask)


def _two_calls(
    solution, width, n_heads, ffn_width, weights_seed, x, context, context_mask, other, second
):
    """The same block is called twice, with another text and another context the second time."""
    block = _block(solution, width, n_heads, ffn_width, weights_seed)
    mask = causal_mask(x.shape[1])
    return [block(x, context, mask, context_mask), block(other, second)]


def _block_gradient(position):
    @compares_gradients
    def observe(solution, width, n_heads, ffn_width, weights_seed, x, context):
        block = _block(solution, width, n_heads, ffn_width, weights_seed)
        return gradient_of(position)(block, x, context)

    return observe


@CrossAttentionBlock.cases
def _(draw):
    sizes = {"width": 6, "n_heads": 2, "ffn_width": 10}

    def case(about, x, context, observe=_block_output, **masks):
        seed = draw.random.randrange(10_000)
        arguments = {**sizes, "weights_seed": seed, "x": x, "context": context, **masks}
        return Case(about, arguments, observe)

    yield Case("the names and shapes of its parameters", sizes, _block_shapes)
    yield case("two tokens look at three", draw.normal(1, 2, 6), draw.normal(1, 3, 6))
    yield case("several texts", draw.normal(2, 4, 6), draw.normal(2, 3, 6))
    yield case("as many tokens on both sides", draw.normal(2, 3, 6), draw.normal(2, 3, 6))
    yield case(
        "a long context of large vectors", draw.normal(1, 2, 6), draw.normal(1, 7, 6, scale=9)
    )
    yield case("large vectors in the stream", draw.normal(2, 2, 6, scale=20), draw.normal(2, 5, 6))
    padding = padding_mask(torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]))
    masks = {"mask": causal_mask(4), "context_mask": padding}
    inputs = draw.normal(2, 4, 6), draw.normal(2, 4, 6)
    yield case("with a causal mask and a padded context", *inputs, _masked_block_output, **masks)
    masks = {"mask": causal_mask(3), "context_mask": None}
    inputs = draw.normal(2, 3, 6), draw.normal(2, 5, 6)
    yield case("with a causal mask alone", *inputs, _masked_block_output, **masks)
    masks = {"mask": None, "context_mask": padding}
    inputs = draw.normal(2, 3, 6), draw.normal(2, 4, 6)
    yield case("with a padded context alone", *inputs, _masked_block_output, **masks)
    yield case("a single token looks at a single one", draw.normal(1, 1, 6), draw.normal(1, 1, 6))
    yield case("one token each, several texts", draw.normal(3, 1, 6), draw.normal(3, 1, 6))

    def some(*shape):
        """Who may attend to whom, by chance; everybody to somebody."""
        mask = draw.normal(*shape) > 0
        return mask | (~mask.any(-1, keepdim=True) & (torch.arange(shape[-1]) == 0))

    masks = {"mask": some(2, 1, 3, 3), "context_mask": some(2, 1, 3, 4)}
    inputs = draw.normal(2, 3, 6), draw.normal(2, 4, 6)
    yield case("masks that differ by text", *inputs, _masked_block_output, **masks)
    masks = {"mask": some(2, 2, 3, 3), "context_mask": some(2, 2, 3, 4)}
    yield case("masks that differ by head", *inputs, _masked_block_output, **masks)
    again = {"other": draw.normal(2, 4, 6), "second": draw.normal(2, 4, 6)}
    yield case("two calls of one block, with other texts", *inputs, _two_calls,
               context_mask=padding, **again)  # fmt: skip
    inputs = draw.normal(1, 3, 6), draw.normal(1, 4, 6)
    yield case("the gradient with respect to x", *inputs, _block_gradient(0))
    yield case("the gradient with respect to the context", *inputs, _block_gradient(1))
    if draw.hidden:
        sizes = {"width": 12, "n_heads": 3, "ffn_width": 8}
        yield case("more heads, longer texts", draw.normal(3, 7, 12), draw.normal(3, 9, 12))


class _CrossBlock(encoder_decoder.CrossAttentionBlock):
    """The right steps one by one; the misconceptions put them together."""

    def look_at_itself(self, x, mask):
        return self.attention(self.norm1(x), mask=mask)

    def look_across(self, x, context, context_mask):
        return self.cross_attention(self.cross_norm(x), context, context_mask)

    def think(self, x):
        return self.feed_forward(self.norm2(x))


@CrossAttentionBlock.misconception
class ForgetsTheResidualOfTheCrossAttention(_CrossBlock):
    """What comes from the context replaces the stream, and all that the block knew about the text
    it writes is gone. Add it: x = x + cross_attention(...)."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = self.look_across(x, context, context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class ForgetsAllResiduals(_CrossBlock):
    """Each of your three steps replaces the stream. Each should be *added* to it."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = self.look_at_itself(x, mask)
        x = self.look_across(x, context, context_mask)
        return self.think(x)


@CrossAttentionBlock.misconception
class ForgetsTheLastResidual(_CrossBlock):
    """What your feed-forward returns replaces the stream, and with it all that the two attentions
    have brought. Add it, as after the other two steps."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.look_across(x, context, context_mask)
        return self.think(x)


@CrossAttentionBlock.misconception
class NormalisesTheStreamItself(_CrossBlock):
    """You write x = norm(x) and go on with that, so the stream is overwritten before each step. The
    norm belongs to what a step reads: x = x + step(norm(x)), and the stream on the left stays."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = self.norm1(x)
        x = x + self.attention(x, mask=mask)
        x = self.cross_norm(x)
        x = x + self.cross_attention(x, context, context_mask)
        x = self.norm2(x)
        return x + self.feed_forward(x)


@CrossAttentionBlock.misconception
class LooksAcrossFirst(_CrossBlock):
    """Your block looks at the context before it looks at its own text. The other way round: first
    self-attention, so that a token knows where the sentence stands, then the look across."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_across(x, context, context_mask)
        x = x + self.look_at_itself(x, mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class LooksAcrossLast(_CrossBlock):
    """Your cross-attention comes after the feed-forward. It stands between the self-attention and
    the feed-forward, which then works on what both have brought."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.think(x)
        return x + self.look_across(x, context, context_mask)


@CrossAttentionBlock.misconception
class LooksBothWaysAtOnce(_CrossBlock):
    """Both attentions read the same x, side by side. One after the other: the cross-attention reads
    the stream to which the self-attention has already added."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask) + self.look_across(x, context, context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class NeverLooksAcross(_CrossBlock):
    """The context plays no part in your block: it is the block of notebook 04. Add the step with
    `cross_attention`."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class ForgetsToHandOverTheContext(_CrossBlock):
    """Your cross-attention gets x alone, so it looks at its own text once more. Keys and values are
    to come from `context`: its second argument."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.cross_attention(self.cross_norm(x))
        return x + self.think(x)


@CrossAttentionBlock.misconception
class AsksFromTheContext(_CrossBlock):
    """Here the context asks and the text that is written answers. The other way round: queries come
    from x (the first argument), keys and values from the context (the second)."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.cross_attention(context, self.cross_norm(x), context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class NormalisesTheContextToo(_CrossBlock):
    """You send the context through `cross_norm` as well. The encoder has normalised it already, at
    its end; the norms of a block are for its own stream."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.look_across(x, self.cross_norm(context), context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class NormalisesTheContextAlone(_CrossBlock):
    """You normalise the context and not the stream. It is the stream that needs it: the norm stands
    before what each step reads of x. The encoder has normalised the context already."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.cross_attention(x, self.cross_norm(context), context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class ForgetsTheCrossNorm(_CrossBlock):
    """Your cross-attention reads the stream as it is. As before each step of a pre-norm block, a
    norm stands before it: `cross_norm`."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.cross_attention(x, context, context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class UsesNormsInOrderOfTheirNames(_CrossBlock):
    """Your cross-attention goes through `norm2` and the feed-forward through `cross_norm`. They are
    exchanged: `cross_norm` belongs to the cross-attention."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.cross_attention(self.norm2(x), context, context_mask)
        return x + self.feed_forward(self.cross_norm(x))


@CrossAttentionBlock.misconception
class UsesNormOneForBothAttentions(_CrossBlock):
    """Both attentions go through `norm1`. The cross-attention has a norm with weights of its own,
    `cross_norm`."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.cross_attention(self.norm1(x), context, context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class UsesTheSelfAttentionTwice(_CrossBlock):
    """You look across with `attention`. The look at the other text has projections of its own:
    `cross_attention`."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.look_at_itself(x, mask)
        x = x + self.attention(self.cross_norm(x), context, context_mask)
        return x + self.think(x)


@CrossAttentionBlock.misconception
class NormalisesAfterAdding(_CrossBlock):
    """This is a post-norm block: it normalises the stream after each addition. Here the norm comes
    before each step, and the stream itself stays as it is."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = self.norm1(x + self.attention(x, mask=mask))
        x = self.cross_norm(x + self.cross_attention(x, context, context_mask))
        return self.norm2(x + self.feed_forward(x))


@CrossAttentionBlock.misconception
class ForgetsTheContextMask(_CrossBlock):
    """`context_mask` never reaches the cross-attention, so the padding of the source is read like
    words. Hand it on."""

    def forward(self, x, context, mask=None, context_mask=None):
        return super().forward(x, context, mask)


@CrossAttentionBlock.misconception
class ForgetsTheMask(_CrossBlock):
    """`mask` never reaches the self-attention: a token may then look at those that come after it.
    Hand it on by name, mask=mask."""

    def forward(self, x, context, mask=None, context_mask=None):
        return super().forward(x, context, None, context_mask)


@CrossAttentionBlock.misconception
class ForgetsBothMasks(_CrossBlock):
    """Neither mask reaches its attention. `mask` belongs to the self-attention, `context_mask` to
    the cross-attention."""

    def forward(self, x, context, mask=None, context_mask=None):
        return super().forward(x, context)


@CrossAttentionBlock.misconception
class SwapsTheMasks(_CrossBlock):
    """Your two masks are exchanged: `mask` says who in x may look at whom in x, `context_mask` who
    may look at whom in the context."""

    def forward(self, x, context, mask=None, context_mask=None):
        return super().forward(x, context, context_mask, mask)


@CrossAttentionBlock.misconception
class HidesTheFutureOfTheContext(_CrossBlock):
    """Your cross-attention gets the mask of the self-attention. The source is all there from the
    beginning, its end included: only `context_mask` limits the look at it."""

    def forward(self, x, context, mask=None, context_mask=None):
        return super().forward(x, context, mask, mask)


@CrossAttentionBlock.misconception
class KeepsTheFirstContext(_CrossBlock):
    """Your block remembers the context of an earlier call and looks at it again. Each call brings
    its own."""

    def forward(self, x, context, mask=None, context_mask=None):
        kept = self.__dict__.setdefault("kept", context)
        context = kept if kept.shape == context.shape else context
        return super().forward(x, context, mask, context_mask)


@CrossAttentionBlock.misconception
class TakesOneTextsMasksForAll(_CrossBlock):
    """The first text's masks are used for all texts. Hand the masks on as they are: they may differ
    from text to text, and from head to head."""

    def forward(self, x, context, mask=None, context_mask=None):
        mask, context_mask = (
            m[:1] if m is not None and m.ndim == 4 else m for m in (mask, context_mask)
        )
        return super().forward(x, context, mask, context_mask)


@CrossAttentionBlock.misconception
class TakesOneHeadsMasksForAll(_CrossBlock):
    """The first head's masks are used for all heads. Hand the masks on as they are: they may differ
    from text to text, and from head to head."""

    def forward(self, x, context, mask=None, context_mask=None):
        mask, context_mask = (
            m[:, :1] if m is not None and m.ndim == 4 else m for m in (mask, context_mask)
        )
        return super().forward(x, context, mask, context_mask)


@CrossAttentionBlock.misconception
class HandsTheMaskOverAsContext(_CrossBlock):
    """`self.attention(x, mask)` gives the mask to the second argument of `MultiHeadAttention`,
    which is `context`. Name it: mask=mask."""

    def forward(self, x, context, mask=None, context_mask=None):
        x = x + self.attention(self.norm1(x), mask)
        x = x + self.look_across(x, context, context_mask)
        return x + self.think(x)


@CrossAttentionBlock.alternative
class FromItsParts(nn.Module):
    """Without inheritance, with a short name for each step."""

    def __init__(self, width, n_heads, ffn_width):
        super().__init__()
        self.attention = encoder_decoder.MultiHeadAttention(width, n_heads)
        self.cross_attention = encoder_decoder.MultiHeadAttention(width, n_heads)
        self.ffn_in, self.ffn_out = nn.Linear(width, ffn_width), nn.Linear(ffn_width, width)
        self.norm1, self.norm2, self.cross_norm = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x, context, mask=None, context_mask=None):
        read = self.norm1(x)
        x = x + self.attention(read, read, mask)
        asked = self.cross_attention(self.cross_norm(x), context=context, mask=context_mask)
        x = x + asked
        return x + self.ffn_out(F.gelu(self.ffn_in(self.norm2(x))))


@CrossAttentionBlock.alternative
class AddsUpTheSteps(encoder_decoder.CrossAttentionBlock):
    """The stream as a running sum in place of a copy."""

    def forward(self, x, context, mask=None, context_mask=None):
        stream = x.clone()
        stream += self.attention(self.norm1(stream.clone()), mask=mask)
        stream = stream + self.cross_attention(self.cross_norm(stream), context, context_mask)
        return torch.add(stream, self.feed_forward(self.norm2(stream)))
