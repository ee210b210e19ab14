"""Attention: every position looks at the others and takes a weighted mean (notebook 03)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from course_lib.arguments import check_arguments
from course_lib.precision import in_float32
from course_lib.shapes import broadcasts, check_shapes

__all__ = [
    "MultiHeadAttention",
    "attend_to",
    "attention_scores",
    "causal_mask",
    "is_recording",
    "merge_heads",
    "padding_mask",
    "record_attention",
    "scaled_dot_product_attention",
    "softmax",
    "split_heads",
    "streaming_attention",
]


@check_shapes
def softmax(x: Float[Tensor, "*shape"], dim: int) -> Float[Tensor, "*shape"]:
    """Turn scores into shares along one axis: exp(x) / sum of exp(x).

    Args:
        x: scores of any size; -inf means "no share at all".
        dim: the axis whose slices shall sum to 1.

    Returns:
        Shares in [0, 1], same shape and dtype. A slice that is -inf throughout gives zeros, and
        its gradients are zeros too.

    Raises:
        TypeError: `x` is not a float tensor.
        ValueError: `x` has no axis `dim`.
    """
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(f"dim must be an axis of x, which has {x.ndim}, got {dim}")
    if x.numel() == 0:
        return x.clone()  # no scores, no shares

    # Subtracting the largest score changes no share, and keeps exp from overflowing.
    top = x.detach().amax(dim, keepdim=True)
    top = top.masked_fill(top == float("-inf"), 0)  # -inf - -inf would be NaN
    shares = (x - top).exp()  # the largest is 1
    total = shares.sum(dim, keepdim=True)  # at least 1, or 0 where all scores are -inf
    return shares / total.masked_fill(total == 0, 1)


@check_shapes
def attention_scores(
    q: Float[Tensor, "*batch target d_k"], k: Float[Tensor, "*batch source d_k"]
) -> Float[Tensor, "*batch target source"]:
    """How well each query matches each key: q k^T / sqrt(d_k) (Vaswani et al. 2017, eq. 1).

    The dot product of two random vectors with unit variance has variance d_k; the scale brings
    it back to 1, so that softmax does not start out saturated.

    Raises:
        TypeError: `q` or `k` is not a float tensor.
        ValueError: `q` or `k` has fewer than two axes, or they differ in d_k or the batch axes.
    """
    d_k = q.shape[-1]
    return q @ k.transpose(-2, -1) / math.sqrt(d_k)  # [..., target, source]


def causal_mask(target: int, source: int | None = None) -> Bool[Tensor, "target source"]:
    """Who may look at whom when nobody may look ahead: True = may attend.

    The last query sees the last key. With fewer queries than keys (a cache holds the rest) the
    queries are the last ones; with more queries than keys the first rows are all False.

    Args:
        target: number of queries.
        source: number of keys; as many as queries if not given.

    Raises:
        TypeError: a number is not an int.
        ValueError: a number is negative.
    """
    source = target if source is None else source
    for name, number in {"target": target, "source": source}.items():
        if not isinstance(number, int):
            raise TypeError(f"{name} must be an int, got {type(number).__name__}")
        if number < 0:
            raise ValueError(f"{name} must not be negative, got {number}")

    everything = torch.ones(target, source, dtype=torch.bool)
    return everything.tril(diagonal=source - target)


@check_shapes
def padding_mask(
    attention_mask: Shaped[Tensor, "batch source"],
) -> Bool[Tensor, "batch 1 1 source"]:
    """From a tokenizer's attention mask (1 = token, 0 = padding) to who may be attended to.

    Returns:
        bool, True = may attend: no head and no query may look at padding. The two axes of size
        1 stretch over heads and targets.

    Raises:
        TypeError: `attention_mask` is not a tensor.
        ValueError: it is not [batch, source], or holds other values than 0 and 1.
    """
    if not ((attention_mask == 0) | (attention_mask == 1)).all():
        raise ValueError(f"attention_mask must hold only 0 and 1, got {attention_mask}")

    return attention_mask.bool()[:, None, None, :]


@check_shapes
def scaled_dot_product_attention(
    q: Float[Tensor, "*batch target d_k"],
    k: Float[Tensor, "*batch source d_k"],
    v: Float[Tensor, "*batch source d_v"],
    mask: Bool[Tensor, "..."] | None = None,
) -> tuple[Float[Tensor, "*batch target d_v"], Float[Tensor, "*batch target source"]]:
    """Each query takes the mean of the values, weighted by how well their keys match it.

    softmax(q k^T / sqrt(d_k)) v (Vaswani et al. 2017, equation 1).

    Args:
        mask: True = may attend; any shape that broadcasts to [..., target, source].

    Returns:
        (output, weights). A query with nothing to attend to gets zeros in both.

    Raises:
        TypeError: `q`, `k` or `v` is not a float tensor, or `mask` not a bool tensor.
        ValueError: the shapes do not fit.
    """
    shape = (*q.shape[:-1], k.shape[-2])  # [..., target, source]
    if mask is not None and not broadcasts(mask.shape, shape):
        raise ValueError(f"mask must broadcast to {list(shape)}, got {list(mask.shape)}")

    scores = attention_scores(q, k)  # [..., target, source]
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))  # no finite score beats a blocked one
    weights = softmax(scores, dim=-1)  # [..., target, source], each row sums to 1
    return weights @ v, weights  # [..., target, d_v]


@check_shapes
def split_heads(
    x: Shaped[Tensor, "batch time width"], n_heads: int
) -> Shaped[Tensor, "batch heads time d_k"]:
    """Deal the channels out to the heads: head h takes channels h * d_k ... (h + 1) * d_k - 1.

    Raises:
        TypeError: `x` is not a tensor.
        ValueError: `x` is not [batch, time, width], or `n_heads` does not divide the width.
    """
    if n_heads < 1 or x.shape[-1] % n_heads != 0:
        raise ValueError(f"n_heads must divide the width {x.shape[-1]}, got {n_heads}")

    batch, time, width = x.shape
    x = x.reshape(batch, time, n_heads, width // n_heads)  # first cut the channels into runs,
    return x.transpose(1, 2)  # then bring heads forward: [batch, heads, time, d_k]


@check_shapes
def merge_heads(x: Shaped[Tensor, "batch heads time d_k"]) -> Shaped[Tensor, "batch time width"]:
    """Put the heads' channels side by side again; undoes `split_heads`.

    Raises:
        TypeError: `x` is not a tensor.
        ValueError: `x` is not [batch, heads, time, d_k].
    """
    return x.transpose(1, 2).flatten(2)  # [batch, time, heads, d_k] -> [batch, time, width]


class MultiHeadAttention(nn.Module):
    """Several small attentions side by side, mixed by a last projection.

    (Vaswani et al. 2017, section 3.2.2.)

    Args:
        width: channels in and out.
        n_heads: each head gets width / n_heads channels.

    Raises:
        ValueError: `n_heads` does not divide `width`.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        if n_heads < 1 or width < 1 or width % n_heads != 0:
            raise ValueError(f"n_heads must divide the width {width}, got {n_heads}")
        self.width, self.n_heads = width, n_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    @check_shapes
    def forward(
        self,
        x: Float[Tensor, "batch target width"],
        context: Float[Tensor, "batch source width"] | None = None,
        mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "batch target width"]:
        """Let x look at itself, or at `context` if there is one.

        Args:
            x: where the queries come from.
            context: where keys and values come from (cross-attention); x itself if not given.
            mask: True = may attend; broadcasts to [batch, heads, target, source].

        Raises:
            TypeError: `x` or `context` is not a float tensor, or `mask` not a bool tensor.
            ValueError: `x` or `context` is not [batch, time, width], or `mask` does not fit.
        """
        if x.shape[-1] != self.width:
            raise ValueError(f"x must be [batch, time, {self.width}], got {list(x.shape)}")

        context = x if context is None else context
        q = split_heads(self.q_proj(x), self.n_heads)  # [batch, heads, target, d_k]
        k = split_heads(self.k_proj(context), self.n_heads)  # [batch, heads, source, d_k]
        v = split_heads(self.v_proj(context), self.n_heads)  # [batch, heads, source, d_k]
        output, _ = scaled_dot_product_attention(q, k, v, mask)  # [batch, heads, target, d_k]
        return self.out_proj(merge_heads(output))  # [batch, target, width]


@check_shapes
def attend_to(
    attention: MultiHeadAttention,
    queries: Float[Tensor, "batch target width"],
    keys: Float[Tensor, "batch source width"],
    values: Float[Tensor, "batch source width"],
    mask: Bool[Tensor, "..."] | None = None,
) -> Float[Tensor, "batch target width"]:
    """A `MultiHeadAttention` whose keys and values come from different sources.

    What is looked at and what is taken may be two things: a memory's addresses and its contents.

    Args:
        attention: its projections are used.
        queries: who looks.
        keys: what they look at.
        values: what they take, one for each key.
        mask: True = may attend; broadcasts to [batch, heads, target, source].

    Raises:
        TypeError: a tensor is not of floats, or `mask` not a bool tensor.
        ValueError: the shapes do not fit.
    """
    if queries.shape[-1] != attention.width:
        message = f"queries must be [batch, time, {attention.width}], got {list(queries.shape)}"
        raise ValueError(message)
    q = split_heads(attention.q_proj(queries), attention.n_heads)  # [batch, heads, target, d_k]
    k = split_heads(attention.k_proj(keys), attention.n_heads)  # [batch, heads, source, d_k]
    v = split_heads(attention.v_proj(values), attention.n_heads)  # [batch, heads, source, d_k]
    output, _ = scaled_dot_product_attention(q, k, v, mask)  # [batch, heads, target, d_k]
    return attention.out_proj(merge_heads(output))  # [batch, target, width]


@check_shapes
def streaming_attention(
    q: Float[Tensor, "*batch target d_k"],
    k: Float[Tensor, "*batch source d_k"],
    v: Float[Tensor, "*batch source d_v"],
    block_size: int,
    causal: bool = False,
) -> Float[Tensor, "*batch target d_v"]:
    """Attention that never builds the full score matrix: it reads the keys block by block.

    It keeps, for each query, the largest score so far and two running sums; when a larger score
    comes, it scales both down (Milakov and Gimelshein 2018, algorithm 3; Rabe and Staats 2021;
    the idea inside FlashAttention, Dao et al. 2022). Equals `scaled_dot_product_attention`.

    Memory grows with target * block_size. When gradients are wanted, autograd keeps every block
    for the backward pass, and only a backward that recomputes them would save that too.

    Args:
        block_size: how many keys to look at in one go; need not divide their number.
        causal: nobody looks ahead, as in `causal_mask`.

    Raises:
        TypeError: `q`, `k` or `v` is not a float tensor.
        ValueError: the shapes do not fit, or `block_size` is below 1.
    """
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1, got {block_size}")

    target, source = q.shape[-2], k.shape[-2]
    top = q.new_full((*q.shape[:-1], 1), float("-inf"))  # [..., target, 1], largest score so far
    total = torch.zeros_like(top)  # [..., target, 1], sum of the shares so far
    output = q.new_zeros(*q.shape[:-1], v.shape[-1])  # [..., target, d_v], sum of shares * values

    for start in range(0, source, block_size):
        stop = min(start + block_size, source)
        scores = attention_scores(q, k[..., start:stop, :])  # [..., target, block]
        if causal:
            last_seen = torch.arange(target)[:, None] + source - target  # [target, 1]
            scores = scores.masked_fill(torch.arange(start, stop) > last_seen, float("-inf"))

        new_top = torch.maximum(top, scores.detach().amax(-1, keepdim=True))
        shift = new_top.masked_fill(new_top == float("-inf"), 0)  # nothing seen yet: no NaN
        shares = (scores - shift).exp()  # [..., target, block]
        shrink = (top - shift).exp()  # brings the old sums to the new scale; 0 at the start
        total = total * shrink + shares.sum(-1, keepdim=True)
        output = output * shrink + shares @ v[..., start:stop, :]
        top = new_top

    return output / total.masked_fill(total == 0, 1)


# In float16 a dot product or a sum soon leaves the range, in bfloat16 it is lost to rounding.

softmax = in_float32(softmax)
attention_scores = in_float32(attention_scores)
scaled_dot_product_attention = in_float32(scaled_dot_product_attention)
streaming_attention = in_float32(streaming_attention)

# Looking at attention. The functions above return or drop their weights; inside
# `with record_attention() as weights:` every call of `scaled_dot_product_attention`, whoever
# makes it, also leaves its weights in the list. A context variable, so threads do not mix.

_records: ContextVar[tuple[list[Tensor], ...]] = ContextVar("_records", default=())


def _recorded(attend: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor]]:
    @wraps(attend)
    def attend_and_record(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        output, weights = attend(*args, **kwargs)
        for record in _records.get():
            record.append(weights.detach())
        return output, weights

    return attend_and_record


scaled_dot_product_attention = _recorded(scaled_dot_product_attention)


@contextmanager
def record_attention() -> Iterator[list[Float[Tensor, "batch heads target source"]]]:
    """Collect the attention weights of every call inside the `with` block, in order.

    Example:
        >>> with record_attention() as weights:
        ...     _ = MultiHeadAttention(8, n_heads=2)(torch.randn(1, 5, 8))
        >>> weights[0].shape
        torch.Size([1, 2, 5, 5])

    Yields:
        A list that fills with detached tensors [batch, heads, target, source].
    """
    weights: list[Tensor] = []
    token = _records.set((*_records.get(), weights))
    try:
        yield weights
    finally:
        _records.reset(token)


def is_recording() -> bool:
    """Is somebody recording attention? Then a faster kernel that keeps no weights must not run."""
    return bool(_records.get())


# Checked here, so that the functions above are what the exercises show.

causal_mask = check_arguments(causal_mask)
