"""Decoder-only: a transformer that writes, token after token (GPT; notebook 06)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence  # noqa: F401 - in a type comment
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor, nn

from course_lib.arguments import check_arguments
from course_lib.attention import (
    causal_mask,
    is_recording,
    merge_heads,
    padding_mask,
    scaled_dot_product_attention,
    split_heads,
)
from course_lib.embeddings import apply_rope
from course_lib.initialisation import initialise
from course_lib.rope_scaling import RopeScaling, apply_scaled_rope
from course_lib.shapes import check_shapes, check_sizes
from course_lib.transformer import rms_norm

__all__ = [
    "Cache",
    "DecoderAttention",
    "DecoderBlock",
    "DecoderConfig",
    "DecoderLM",
    "RMSNorm",
    "decode_step",
    "inference_memory",
    "n_parameters",
    "new_norm",
    "positions_and_mask",
    "resize_vocabulary",
    "seen_tokens",
]


@dataclass(frozen=True)
class DecoderConfig:
    """The sizes and parts of a `DecoderLM`; the defaults make a small GPT-2.

    Attributes:
        vocab_size: number of token ids.
        max_length: rows of the learned position table; with "rope", the length it was made for.
        width: channels of the residual stream.
        n_layers: number of blocks.
        n_heads: query heads; they divide the width.
        ffn_width: hidden channels of the feed-forward.
        tied: the head is the token table again (Press and Wolf 2017).
        positions: "learned", added to the tokens, or "rope", turned into queries and keys.
        rope_base: the base of "rope".
        norm: "layer" or "rms".
        norm_eps: its eps.
        feed_forward: "gelu"; "gelu_tanh", nearly the same, as in GPT-2 itself; or "swiglu" with a
            third projection `ffn_gate`.
        n_kv_heads: key and value heads, each shared by n_heads / n_kv_heads query heads
            (Ainslie et al. 2023); as many as query heads if not given.
        bias: whether the projections have biases.
        ffn_bias: whether those of the feed-forward have, if it is otherwise there.
        head_width: channels of a head; width / n_heads if not given.
        rope_scaling: slows "rope" down, for longer texts.

    Raises:
        TypeError: a size is not an int.
        ValueError: a size is below 1, the sizes do not fit, or an option is unknown.
    """

    vocab_size: int
    max_length: int
    width: int
    n_layers: int
    n_heads: int
    ffn_width: int
    tied: bool = True
    positions: Literal["learned", "rope"] = "learned"
    rope_base: float = 10_000.0
    norm: Literal["layer", "rms"] = "layer"
    norm_eps: float = 1e-5
    feed_forward: Literal["gelu", "gelu_tanh", "swiglu"] = "gelu"
    n_kv_heads: int | None = None
    bias: bool = True
    ffn_bias: bool | None = None
    head_width: int | None = None
    rope_scaling: RopeScaling | None = None

    def __post_init__(self) -> None:
        sizes = ["vocab_size", "max_length", "width", "n_layers", "n_heads", "ffn_width"]
        sizes += [name for name in ("n_kv_heads", "head_width") if getattr(self, name) is not None]
        check_sizes(self, *sizes)
        if self.n_kv_heads is not None and self.n_heads % self.n_kv_heads != 0:
            raise ValueError(f"n_kv_heads must divide {self.n_heads} heads, got {self.n_kv_heads}")
        choices: dict[str, tuple[str, ...]] = {
            "positions": ("learned", "rope"),
            "norm": ("layer", "rms"),
            "feed_forward": ("gelu", "gelu_tanh", "swiglu"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        if self.positions == "rope" and self.d_k % 2 != 0:
            raise ValueError(f"rope needs an even width per head, got {self.d_k}")
        if self.rope_scaling is not None and self.positions != "rope":
            raise ValueError(f'rope_scaling needs positions "rope", got {self.positions!r}')
        if self.feed_forward == "swiglu" and self.bias and self.ffn_bias is None:
            raise ValueError("bias must be False with swiglu, unless ffn_bias says otherwise")

    @property
    def d_k(self) -> int:
        """Channels of a head."""
        return self.head_width or self.width // self.n_heads

    @property
    def has_ffn_bias(self) -> bool:
        """Whether the projections of the feed-forward have biases."""
        return self.bias if self.ffn_bias is None else self.ffn_bias


class RMSNorm(nn.Module):
    """`rms_norm` with its learned scale."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape width"]:
        return rms_norm(x, self.weight, self.eps)


@check_arguments
def new_norm(config: DecoderConfig) -> nn.LayerNorm | RMSNorm:
    """The kind of norm that the config asks for."""
    if config.norm == "layer":
        return nn.LayerNorm(config.width, eps=config.norm_eps)
    return RMSNorm(config.width, eps=config.norm_eps)


class DecoderAttention(nn.Module):
    """`MultiHeadAttention` to oneself, in two steps, so that a cache fits in between.

    Two options more: rotary positions, and key and value heads that query heads share.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.n_kv_heads = config.n_kv_heads or config.n_heads
        self.rope_base = config.rope_base if config.positions == "rope" else None
        scaling = config.rope_scaling
        self.rope = partial(apply_scaled_rope, scaling=scaling) if scaling else apply_rope
        q_width, kv_width = config.d_k * self.n_heads, config.d_k * self.n_kv_heads
        self.q_proj = nn.Linear(config.width, q_width, bias=config.bias)
        self.k_proj = nn.Linear(config.width, kv_width, bias=config.bias)
        self.v_proj = nn.Linear(config.width, kv_width, bias=config.bias)
        self.out_proj = nn.Linear(q_width, config.width, bias=config.bias)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        mask: Bool[Tensor, "batch 1 time time"],
        positions: Int64[Tensor, "batch time"],
    ) -> Float[Tensor, "batch time width"]:
        """Every token looks at those that the mask lets it see."""
        return self.attend(*self.project(x, positions), mask)

    def project(
        self, x: Float[Tensor, "batch time width"], positions: Int64[Tensor, "batch time"]
    ) -> tuple[
        Float[Tensor, "batch heads time d_k"],
        Float[Tensor, "batch kv_heads time d_k"],
        Float[Tensor, "batch kv_heads time d_k"],
    ]:
        """Queries, keys and values of these tokens: all that later tokens need to know of them."""
        q = split_heads(self.q_proj(x), self.n_heads)
        k = split_heads(self.k_proj(x), self.n_kv_heads)
        v = split_heads(self.v_proj(x), self.n_kv_heads)
        if self.rope_base is not None:
            q = self.rope(q, positions[:, None], self.rope_base)
            k = self.rope(k, positions[:, None], self.rope_base)
        return q, k, v

    def attend(
        self,
        q: Float[Tensor, "batch heads target d_k"],
        k: Float[Tensor, "batch kv_heads source d_k"],
        v: Float[Tensor, "batch kv_heads source d_k"],
        mask: Bool[Tensor, "batch 1 target source"],
    ) -> Float[Tensor, "batch target width"]:
        """Attention proper, then the mixing of the heads.

        torch's fused kernel computes what `scaled_dot_product_attention` does, faster, but keeps
        no weights: when somebody records them, the reference does the work.
        """
        if is_recording():
            shared = self.n_heads // self.n_kv_heads
            k, v = k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
            output, _ = scaled_dot_product_attention(q, k, v, mask)
        else:
            output = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        return self.out_proj(merge_heads(output))


class DecoderBlock(nn.Module):
    """The pre-norm `TransformerBlock`, with other parts where the config asks for them."""

    attention: DecoderAttention
    norm1: nn.LayerNorm | RMSNorm
    norm2: nn.LayerNorm | RMSNorm

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.attention = DecoderAttention(config)
        self.ffn_in = nn.Linear(config.width, config.ffn_width, config.has_ffn_bias)
        self.ffn_out = nn.Linear(config.ffn_width, config.width, config.has_ffn_bias)
        self.norm1, self.norm2 = new_norm(config), new_norm(config)
        self.ffn_gate = None
        if config.feed_forward == "swiglu":
            self.ffn_gate = nn.Linear(config.width, config.ffn_width, config.has_ffn_bias)
        self.gelu = partial(
            F.gelu, approximate="tanh" if config.feed_forward == "gelu_tanh" else "none"
        )

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        mask: Bool[Tensor, "batch 1 time time"],
        positions: Int64[Tensor, "batch time"],
    ) -> Float[Tensor, "batch time width"]:
        """One step of the residual stream."""
        x = x + self.attention(self.norm1(x), mask, positions)
        return x + self.feed_forward(self.norm2(x))

    def feed_forward(
        self, x: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch time width"]:
        """What each position does on its own."""
        if self.ffn_gate is None:
            return self.ffn_out(self.gelu(self.ffn_in(x)))
        # `swiglu`, through the layers: they may have biases, or LoRA around them
        return self.ffn_out(F.silu(self.ffn_gate(x)) * self.ffn_in(x))


class DecoderLM(nn.Module):
    """A language model: ids in, for each position the logits of the next token out.

    With the defaults of its config a small GPT-2 (Radford et al. 2019); with rope, rms, swiglu,
    shared key-value heads and no biases a LLaMA (Touvron et al. 2023), as SmolLM2 is.

    Args:
        config: sizes and parts.
        generator: draws the first weights; same seed, same model.
    """

    def __init__(self, config: DecoderConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.position_embedding = None
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(config.max_length, config.width)
        self.blocks = nn.ModuleList(  # type: ignore[assignment]
            DecoderBlock(config) for _ in range(config.n_layers)
        )  # type: Sequence[DecoderBlock]
        self.norm = new_norm(config)
        self.head = None
        if not config.tied:
            self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        initialise(self, generator, n_residual=2 * config.n_layers)

    @check_shapes
    def forward(
        self,
        ids: Int64[Tensor, "batch time"],
        attention_mask: Shaped[Tensor, "batch time"] | None = None,
    ) -> Float[Tensor, "batch time vocab"]:
        """Score every id of the vocabulary as the next token, at each position.

        Args:
            ids: int64, at least one token a row.
            attention_mask: 1 = token, 0 = padding (on the left, if the model shall go on
                writing); padding is seen by nobody and counts no position. All tokens if not given.

        Raises:
            TypeError: `ids` is not an int64 tensor, or `attention_mask` not a tensor.
            ValueError: an id outside the vocabulary, a shape that does not fit, or more tokens
                than learned positions.
        """
        seen = seen_tokens(ids, attention_mask, self.config.vocab_size)
        positions, mask = positions_and_mask(seen, ids.shape[1])
        x = self.embed(ids, positions)  # [batch, time, width]
        for block in self.blocks:
            x = block(x, mask, positions)
        return self.unembed(self.norm(x))  # [batch, time, vocab]

    def embed(
        self, ids: Int64[Tensor, "batch time"], positions: Int64[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time width"]:
        """Ids to vectors: the token table, plus the position table if there is one."""
        if self.position_embedding is None:  # "rope" comes in later, in the attention
            return self.token_embedding(ids)
        most, got = self.config.max_length, positions.max() + 1
        if got > most:
            raise ValueError(f"ids must have at most {most} tokens a row, got {got}")
        return self.token_embedding(ids) + self.position_embedding(positions)

    def unembed(self, x: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape vocab"]:
        """Vectors to logits: a dot product with each row of the head, or of the token table."""
        table = self.token_embedding if self.head is None else self.head
        return F.linear(x, table.weight)


@dataclass(frozen=True)
class Cache:
    """What tokens leave behind for those that come after them.

    Attributes:
        keys, values: one tensor per layer.
        attention_mask: True = token, False = padding.
    """

    keys: tuple[Float[Tensor, "batch kv_heads time d_k"], ...]
    values: tuple[Float[Tensor, "batch kv_heads time d_k"], ...]
    attention_mask: Bool[Tensor, "batch time"]


@check_shapes
def decode_step(
    model: DecoderLM,
    token: Int64[Tensor, "batch time"],
    cache: Cache | None = None,
    attention_mask: Shaped[Tensor, "batch time"] | None = None,
) -> tuple[Float[Tensor, "batch vocab"], Cache]:
    """Read the next token, or several, and score the one after: the model's forward, continued.

    The past is not computed again: a token's key and value never change once it is read, since
    nobody looks ahead. A step costs one token's work, plus a look at all keys.

    Args:
        model: a decoder.
        token: the new ids [batch, 1]; several at once to begin with a whole prompt.
        cache: what the last step returned; None starts. It stays as it is, so one cache can be
            continued in several ways.
        attention_mask: 1 = token, 0 = padding, for the new ids; all tokens if not given.

    Returns:
        The logits after the last new token, and the cache to go on with.

    Raises:
        TypeError, ValueError: as `DecoderLM.forward`; also if batch or layers of the cache do not
            fit.
    """
    seen = seen_tokens(token, attention_mask, model.config.vocab_size)
    if cache is not None:
        layers, rows = len(model.blocks), len(token)
        if len(cache.keys) != layers or len(cache.attention_mask) != rows:
            got = f"{len(cache.keys)} layers and {len(cache.attention_mask)} rows"
            raise ValueError(f"cache must have {layers} layers, {rows} rows, got {got}")
        seen = torch.cat([cache.attention_mask, seen], dim=1)  # [batch, source]
    positions, mask = positions_and_mask(seen, token.shape[1])

    x = model.embed(token, positions)  # [batch, time, width], the new tokens alone
    keys, values = [], []
    for layer, block in enumerate(model.blocks):
        q, k, v = block.attention.project(block.norm1(x), positions)
        if cache is not None:
            k = torch.cat([cache.keys[layer], k], dim=2)  # [batch, kv_heads, source, d_k]
            v = torch.cat([cache.values[layer], v], dim=2)
        keys.append(k)
        values.append(v)
        x = x + block.attention.attend(q, k, v, mask)
        x = x + block.feed_forward(block.norm2(x))
    logits = model.unembed(model.norm(x[:, -1]))  # [batch, vocab]
    return logits, Cache(tuple(keys), tuple(values), seen)


def _or_its_own(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step for models that bring their own, such as `fast.FastDecoder`, too."""

    @wraps(step)
    def decode_step(model: Any, *arguments: Any, **options: Any) -> Any:
        own = getattr(model, "decode_step", None)
        if own is None and not hasattr(model, "config"):
            raise TypeError(f"model must be a DecoderLM, got {type(model).__name__}")
        return own(*arguments, **options) if own else step(model, *arguments, **options)

    return decode_step


decode_step = _or_its_own(decode_step)


@check_arguments
def resize_vocabulary(model: DecoderLM, vocab_size: int) -> None:
    """Give a model more ids in place, or fewer: its token table and its head, tied or not.

    A new id starts as the mean of the old ones, so that it is neither likely nor impossible before
    it is learned (Hewitt 2021). An optimiser made before knows nothing of the new tables.

    Raises:
        TypeError: `model` is not a `DecoderLM`, or `vocab_size` not an int.
        ValueError: `vocab_size` is below 1.
    """
    if not isinstance(model, DecoderLM):
        raise TypeError(f"model must be a DecoderLM, got {type(model).__name__}")
    model.config = replace(model.config, vocab_size=vocab_size)
    for layer in (model.token_embedding, model.head):
        if layer is not None:
            table = layer.weight.detach()
            new = table.mean(dim=0).expand(max(0, vocab_size - len(table)), -1)
            rows = torch.cat([table[:vocab_size], new])  # [vocab_size, width]
            layer.weight = nn.Parameter(rows, requires_grad=layer.weight.requires_grad)
    model.token_embedding.num_embeddings = vocab_size
    if model.head is not None:
        model.head.out_features = vocab_size


@check_arguments
def n_parameters(config: DecoderConfig) -> int:
    """How many numbers a decoder learns, counted without building it: `count_parameters` for every
    option."""
    width, ffn_width = config.width, config.ffn_width
    q_width, kv_width = (
        config.d_k * config.n_heads,
        config.d_k * (config.n_kv_heads or config.n_heads),
    )
    attention = 2 * width * q_width + 2 * width * kv_width
    n_wide = 2 if config.feed_forward == "swiglu" else 1  # the gate, and what it lets pass
    feed_forward = (n_wide + 1) * width * ffn_width
    biases = config.bias * (q_width + 2 * kv_width + width)
    biases += config.has_ffn_bias * (n_wide * ffn_width + width)
    norm = (2 if config.norm == "layer" else 1) * width
    tables = config.vocab_size * (1 if config.tied else 2)
    tables += config.max_length if config.positions == "learned" else 0
    blocks = config.n_layers * (attention + feed_forward + biases + 2 * norm)
    return blocks + norm + tables * width


def inference_memory(
    config: DecoderConfig, batch: int, length: int, bytes_per_value: float
) -> dict[str, int]:
    """What it takes to keep a model ready to write the next token of each text.

    Args:
        config: a decoder's sizes and parts.
        batch: texts written at the same time.
        length: tokens in each, the newest included; all are in the cache.
        bytes_per_value: 4 for float32, 2 for float16, 0.5 for 4 bits.

    Returns:
        Bytes, rounded up:
        `weights`: every parameter; does not grow with the texts.
        `cache`: a key and a value for each token, in each layer.
        `activations`: what one step computes at its widest, for one token of each text: the
        stream, its normalised copy, and the longest vector made from them, which is the scores of
        all heads, the hidden channels or the logits.
        `total`: the sum.

    Raises:
        ValueError: `batch` or `length` is below 1, or `bytes_per_value` not above 0.
    """
    for name, number in {"batch": batch, "length": length}.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    if not bytes_per_value > 0:
        raise ValueError(f"bytes_per_value must be above 0, got {bytes_per_value}")

    d_k = config.d_k
    kv_heads = config.n_kv_heads or config.n_heads
    longest = max(config.n_heads * length, config.ffn_width, config.vocab_size)
    values = {
        "weights": n_parameters(config),
        "cache": config.n_layers * batch * length * 2 * kv_heads * d_k,
        "activations": batch * (2 * config.width + longest),
    }
    memory = {part: math.ceil(count * bytes_per_value) for part, count in values.items()}
    return memory | {"total": sum(memory.values())}


def positions_and_mask(
    seen: Bool[Tensor, "batch source"], target: int
) -> tuple[Int64[Tensor, "batch target"], Bool[Tensor, "batch 1 target source"]]:
    """Where the last `target` tokens stand, and whom they may look at.

    Padding counts no position, so a row means the same however far it is padded on the left.
    """
    positions = (seen.cumsum(dim=1) - 1).clamp(min=0)[:, -target:]
    causal = causal_mask(target, seen.shape[1]).to(seen.device)
    return positions, causal & padding_mask(seen)


def seen_tokens(
    ids: Int64[Tensor, "batch time"],
    attention_mask: Shaped[Tensor, "batch time"] | None,
    vocab_size: int,
) -> Bool[Tensor, "batch time"]:
    """Which ids are tokens and which are padding; complains about both arguments at the door."""
    if ids.numel() == 0:
        raise ValueError(f"token ids must not be empty, got the shape {list(ids.shape)}")
    if ids.min() < 0 or ids.max() >= vocab_size:
        span = f"{ids.min()} ... {ids.max()}"
        raise ValueError(f"token ids must lie in 0 ... {vocab_size - 1}, got {span}")
    if attention_mask is None:
        return torch.ones_like(ids, dtype=torch.bool)
    return padding_mask(attention_mask)[:, 0, 0]


# Checked here, so that the functions above are what the exercises show.

inference_memory = check_arguments(inference_memory)
