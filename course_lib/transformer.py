"""The transformer block and its parts, an LSTM to compare with, and where the parameters are
(notebook 04)."""

from __future__ import annotations

import math
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.arguments import check_arguments
from course_lib.attention import MultiHeadAttention
from course_lib.precision import in_float32
from course_lib.shapes import check_shapes

__all__ = [
    "CountableConfig",
    "TransformerBlock",
    "count_parameters",
    "gelu_feed_forward",
    "layer_norm",
    "lstm_step",
    "rms_norm",
    "swiglu",
]


@check_shapes
def layer_norm(
    x: Float[Tensor, "*shape width"],
    weight: Float[Tensor, "width"],
    bias: Float[Tensor, "width"],
    eps: float,
) -> Float[Tensor, "*shape width"]:
    """Give every vector mean 0 and variance 1, then a learned scale and shift.

    (x - mean) / sqrt(variance + eps) * weight + bias over the last axis, with the biased
    variance (Ba, Kiros and Hinton 2016).

    Raises:
        TypeError: `x` is not a float tensor.
        ValueError: `weight` or `bias` is not [width], or `eps` is negative.
    """
    if eps < 0:
        raise ValueError(f"eps must not be negative, got {eps}")

    centered = x - x.mean(-1, keepdim=True)  # [..., width]
    variance = centered.square().mean(-1, keepdim=True)  # [..., 1], divided by width, not width - 1
    return centered / (variance + eps).sqrt() * weight + bias


@check_shapes
def rms_norm(
    x: Float[Tensor, "*shape width"], weight: Float[Tensor, "width"], eps: float
) -> Float[Tensor, "*shape width"]:
    """Give every vector a root mean square of 1, then a learned scale; no mean, no shift.

    x / sqrt(mean(x^2) + eps) * weight over the last axis (Zhang and Sennrich 2019).

    Raises:
        TypeError: `x` is not a float tensor.
        ValueError: `weight` is not [width], or `eps` is negative.
    """
    if eps < 0:
        raise ValueError(f"eps must not be negative, got {eps}")

    mean_square = x.square().mean(-1, keepdim=True)  # [..., 1]
    return x / (mean_square + eps).sqrt() * weight


layer_norm = in_float32(layer_norm)  # where 300 squared is no float16 any more
rms_norm = in_float32(rms_norm)


@check_shapes
def gelu_feed_forward(
    x: Float[Tensor, "*shape width"],
    w_in: Float[Tensor, "ffn_width width"],
    b_in: Float[Tensor, "ffn_width"],
    w_out: Float[Tensor, "width ffn_width"],
    b_out: Float[Tensor, "width"],
) -> Float[Tensor, "*shape width"]:
    """Widen, bend, narrow: the part of a block that works on each position alone.

    GELU(x) = x * P(Z <= x) for a standard normal Z, exactly: x/2 * (1 + erf(x / sqrt 2))
    (Hendrycks and Gimpel 2016; in GPT and BERT). Weights are [out, in], as in `nn.Linear`.

    Raises:
        TypeError: `x` is not a float tensor.
        ValueError: the shapes do not fit.
    """
    hidden = x @ w_in.T + b_in  # [..., ffn_width]
    hidden = hidden / 2 * (1 + torch.erf(hidden / math.sqrt(2)))  # GELU
    return hidden @ w_out.T + b_out  # [..., width]


@check_shapes
def swiglu(
    x: Float[Tensor, "*shape width"],
    w_gate: Float[Tensor, "ffn_width width"],
    w_up: Float[Tensor, "ffn_width width"],
    w_down: Float[Tensor, "width ffn_width"],
) -> Float[Tensor, "*shape width"]:
    """A feed-forward with a gate: one projection decides how much of the other passes.

    (SiLU(x w_gate^T) * (x w_up^T)) w_down^T with SiLU(z) = z * sigmoid(z), no biases (Shazeer
    2020; in LLaMA). Weights are [out, in], as in `nn.Linear`.

    Raises:
        TypeError: `x` is not a float tensor.
        ValueError: the shapes do not fit.
    """
    gate = x @ w_gate.T  # [..., ffn_width]
    gate = gate * gate.sigmoid()  # SiLU
    return (gate * (x @ w_up.T)) @ w_down.T  # [..., width]


class TransformerBlock(nn.Module):
    """Attention, then a feed-forward, each added to the stream that runs through.

    Args:
        width: channels of the residual stream.
        n_heads: attention heads; they must divide the width.
        ffn_width: hidden channels of the feed-forward, often 4 * width.
        norm: "pre" normalises what each part reads and leaves the stream alone (GPT-2; Xiong et
            al. 2020); "post" normalises the stream after each addition (Vaswani et al. 2017,
            BERT).
        eps: of both LayerNorms.

    Raises:
        ValueError: `n_heads` does not divide `width`, `ffn_width` is below 1, or `norm` is
            neither "pre" nor "post".
    """

    def __init__(
        self,
        width: int,
        n_heads: int,
        ffn_width: int,
        norm: Literal["pre", "post"],
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f'norm must be "pre" or "post", got {norm!r}')
        if ffn_width < 1:
            raise ValueError(f"ffn_width must be at least 1, got {ffn_width}")
        self.norm = norm
        self.attention = MultiHeadAttention(width, n_heads)
        self.ffn_in = nn.Linear(width, ffn_width)
        self.ffn_out = nn.Linear(ffn_width, width)
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.norm2 = nn.LayerNorm(width, eps=eps)

    @check_shapes
    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        mask: Bool[Tensor, "... #time #time"] | None = None,
    ) -> Float[Tensor, "batch time width"]:
        """One step of the residual stream.

        Args:
            mask: True = may attend; broadcasts to [batch, heads, time, time].

        Raises:
            TypeError, ValueError: as `MultiHeadAttention`.
        """
        if self.norm == "pre":
            x = x + self.attention(self.norm1(x), mask=mask)
            return x + self.feed_forward(self.norm2(x))
        x = self.norm1(x + self.attention(x, mask=mask))
        return self.norm2(x + self.feed_forward(x))

    def feed_forward(
        self, x: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch time width"]:
        """What each position does on its own."""
        return self.ffn_out(nn.functional.gelu(self.ffn_in(x)))


@check_shapes
def lstm_step(
    x: Float[Tensor, "batch in"],
    h: Float[Tensor, "batch hidden"],
    c: Float[Tensor, "batch hidden"],
    w_x: Float[Tensor, "4*hidden in"],
    w_h: Float[Tensor, "4*hidden hidden"],
    b: Float[Tensor, "4*hidden"],
) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch hidden"]]:
    """One tick of an LSTM: step t needs the h of step t - 1, so T steps take T turns.

    c' = f * c + i * g and h' = o * tanh(c') with gates i, f, o in (0, 1) and news g in (-1, 1)
    (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000). The rows of the weights
    are stacked in torch's order: input, forget, cell, output. One bias, where torch has two.

    Args:
        x: what comes in now.
        h: what the cell said last; `c`: what it remembers.

    Returns:
        (h', c').

    Raises:
        TypeError: `x` is not a float tensor.
        ValueError: the shapes do not fit.
    """
    gates = x @ w_x.T + h @ w_h.T + b  # [batch, 4 * hidden]
    i, f, g, o = gates.chunk(4, dim=-1)  # each [batch, hidden]
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()  # forget some of the old, take in some of the new
    h = o.sigmoid() * c.tanh()  # and say some of what is remembered
    return h, c


@runtime_checkable
class CountableConfig(Protocol):
    """The sizes `count_parameters` reads; the configs of the architectures have them."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def max_length(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def n_heads(self) -> int: ...
    @property
    def ffn_width(self) -> int: ...
    @property
    def tied(self) -> bool: ...


def count_parameters(config: CountableConfig) -> dict[str, int]:
    """Where the parameters of a transformer are, from its sizes alone.

    Counts a token table and a learned position table; `n_layers` pre-norm `TransformerBlock`s
    with biases; a final LayerNorm; a head from width to vocabulary without bias, which is the
    token table again if `tied`.

    Returns:
        `token_embedding`, `position_embedding`, `attention`, `feed_forward`, `norm`, `head` (0 if
        tied), `total`, and `non_embedding`: the total less the two tables.

    Raises:
        TypeError: a field is missing or not an int.
        ValueError: a size is negative, or `n_heads` does not divide `width`.
    """
    for name in ("vocab_size", "max_length", "width", "n_layers", "n_heads", "ffn_width", "tied"):
        value = getattr(config, name, None)
        if not isinstance(value, int):
            raise TypeError(f"config.{name} must be an int, got {value!r}")
        if value < 0:
            raise ValueError(f"config.{name} must not be negative, got {value}")
    if config.n_heads == 0 or config.width % config.n_heads != 0:
        raise ValueError(f"config.n_heads must divide {config.width}, got {config.n_heads}")

    width, ffn_width = config.width, config.ffn_width
    parts = {
        "token_embedding": config.vocab_size * width,
        "position_embedding": config.max_length * width,
        "attention": config.n_layers * 4 * (width * width + width),  # q, k, v, out
        "feed_forward": config.n_layers * (2 * width * ffn_width + ffn_width + width),
        "norm": (config.n_layers * 2 + 1) * 2 * width,  # two a block and a last one; scale, shift
        "head": 0 if config.tied else config.vocab_size * width,
    }
    total = sum(parts.values())
    tables = parts["token_embedding"] + parts["position_embedding"]
    return {**parts, "total": total, "non_embedding": total - tables}


# Checked here, so that the functions above are what the exercises show.

count_parameters = check_arguments(count_parameters)
