"""The decoder once more, made for speed: the same weights, the same logits but for rounding.

`decoder.py` is the version to read first. What is other here:

- Matrices that multiply the same vector are stacked into one: queries, keys and values; the gate
  and the input of the feed-forward. In writing, one larger product is quicker than several.
- Two channels that a rotary position turns together stand side by side and are one complex
  number. Turning it is one multiplication.
- The cache has room to grow. `decode_step` copies all of it at each step; here a step writes the
  new keys and values behind the old ones.
- Query heads that share a key head are rows of one matrix, so that no key is copied for them.
- Where nothing is padding there is no mask.
- Shapes are checked once at the door and not in every layer.
- `FastDecoder` can keep its matrices in fewer bits. To write one token, every weight is read from
  memory once, and little is computed with it: fewer bytes, less time.
- `next_token_loss` never holds all logits of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Complex, Float, Int64, Shaped
from torch import Tensor, nn

from course_lib.attention import causal_mask
from course_lib.decoder import (
    DecoderBlock,
    DecoderConfig,
    DecoderLM,
    RMSNorm,
    positions_and_mask,
    seen_tokens,
)
from course_lib.fast.products import LINEAR, Bias, Map, Maps, Together, Weight, plain, stacked
from course_lib.rope_scaling import rope_frequencies
from course_lib.twins import twin_of

__all__ = ["FastDecoder", "GrowingCache", "next_token_loss"]

# ---- the blocks, for training and for writing


class _Layer:
    """One block as maps, made of its own parameters.

    Args:
        block: where the parameters come from; gradients go back there.
        linear: makes a map from a weight and a bias.
        together: makes a map with several outputs from weights and biases.
    """

    def __init__(self, block: DecoderBlock, linear: Callable[..., Map], together: Together) -> None:
        attention = block.attention
        q, k, v = attention.q_proj, attention.k_proj, attention.v_proj
        self.d_k = len(q.weight) // attention.n_heads
        self.norm1, self.norm2 = _norm(block.norm1), _norm(block.norm2)
        rope = attention.rope_base is not None
        pairs: Callable[[Any], Any] = self._pairs if rope else lambda rows: rows
        self.qkv = together(
            [pairs(q.weight), pairs(k.weight), v.weight], [pairs(q.bias), pairs(k.bias), v.bias]
        )
        self.out = linear(attention.out_proj.weight, attention.out_proj.bias)
        self.gate = block.ffn_gate is not None
        widen = [part for part in (block.ffn_gate, block.ffn_in) if part is not None]
        self.widen = together([part.weight for part in widen], [part.bias for part in widen])
        self.gelu = block.gelu
        self.narrow = linear(block.ffn_out.weight, block.ffn_out.bias)

    def _pairs(self, rows: Float[Tensor, "out *in"] | None) -> Float[Tensor, "out *in"] | None:
        """Rows i and i + d_k/2 of each head, which rotary positions turn together, side by side.
        Queries and keys change alike, so that no score changes."""
        if rows is None:
            return None
        return rows.unflatten(0, (-1, 2, self.d_k // 2)).transpose(1, 2).flatten(0, 2)

    def project(
        self,
        x: Float[Tensor, "batch time width"],
        waves: Complex[Tensor, "#batch 1 time pairs"] | None,
    ) -> tuple[
        Float[Tensor, "batch heads time d_k"],
        Float[Tensor, "batch kv_heads time d_k"],
        Float[Tensor, "batch kv_heads time d_k"],
    ]:
        """As `DecoderAttention.project`."""
        batch, time, _ = x.shape
        q, k, v = [y.view(batch, time, -1, self.d_k).transpose(1, 2) for y in self.qkv(x)]
        return (q, k, v) if waves is None else (_turn(q, waves), _turn(k, waves), v)

    def feed_forward(
        self, x: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch time width"]:
        """As `DecoderBlock.feed_forward`."""
        if not self.gate:
            (up,) = self.widen(x)
            return self.narrow(self.gelu(up))
        gate, up = self.widen(x)
        return self.narrow(F.silu(gate) * up)


def _through(
    layers: Sequence[_Layer],
    x: Float[Tensor, "batch time width"],
    waves: Complex[Tensor, "#batch 1 time pairs"] | None,
    attend: Callable[[int, Tensor, Tensor, Tensor], Tensor],
) -> Float[Tensor, "batch time width"]:
    """All blocks, one after the other; `attend(layer, q, k, v)` is the attention proper."""
    for number, layer in enumerate(layers):
        x = x + layer.out(attend(number, *layer.project(layer.norm1(x), waves)))
        x = x + layer.feed_forward(layer.norm2(x))
    return x


def _waves(
    config: DecoderConfig, positions: Int64[Tensor, "batch time"]
) -> Complex[Tensor, "batch 1 time pairs"] | None:
    """e^(i angle) for each position and pair of channels, the angles of `apply_rope`; None without
    rotary positions. Computed once for all layers."""
    if config.positions != "rope":
        return None
    turns = rope_frequencies(config.d_k, config.rope_base, config.rope_scaling)
    angles = positions[:, None, :, None] * turns
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def _turn(
    x: Float[Tensor, "batch heads time d_k"], waves: Complex[Tensor, "#batch 1 time pairs"]
) -> Float[Tensor, "batch heads time d_k"]:
    points = torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(points * waves).flatten(-2)


def _attention(
    q: Float[Tensor, "batch heads target d_k"],
    k: Float[Tensor, "batch kv_heads source d_k"],
    v: Float[Tensor, "batch kv_heads source d_k"],
    mask: Bool[Tensor, "*batch 1 target source"] | None,
) -> Float[Tensor, "batch target width"]:
    """`DecoderAttention.attend` without its projection; no mask means a causal one."""
    batch, heads, target, d_k = q.shape
    if target == 1:  # in the place of targets stand the query heads that share a key head
        q = q.reshape(batch, k.shape[1], -1, d_k)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).reshape(batch, 1, -1)
    output = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=heads > k.shape[1]
    )
    return output.transpose(1, 2).flatten(2)


def _norm(norm: nn.LayerNorm | RMSNorm) -> Map:
    if isinstance(norm, nn.LayerNorm):
        return norm
    if torch.is_grad_enabled():
        return lambda x: _RMSNorm.apply(x, norm.weight, norm.eps)
    width = len(norm.weight)
    floor, weight = torch.tensor(width * norm.eps).sqrt(), norm.weight * width**0.5
    return lambda x: x / _hypotenuse(x, floor) * weight


def _hypotenuse(
    x: Float[Tensor, "*shape width"], floor: Float[Tensor, ""]
) -> Float[Tensor, "*shape 1"]:
    """sqrt(sum(x^2) + floor^2): with floor = sqrt(width * eps), the root mean square of `rms_norm`
    times sqrt(width), in two operations."""
    return torch.hypot(torch.linalg.vector_norm(x, dim=-1, keepdim=True), floor)


class _RMSNorm(torch.autograd.Function):
    """`rms_norm` with a backward pass in few operations, where autograd would take some for each of
    the forward's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        width = len(weight)
        scale = width**0.5 / _hypotenuse(x, x.new_tensor(width * eps).sqrt())
        normed = x * scale
        ctx.save_for_backward(normed, scale, weight)
        return normed * weight

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        normed, scale, weight = ctx.saved_tensors
        products = grad * normed
        along = (products @ weight / len(weight))[..., None]  # no gradient along x itself
        x_grad = (grad * weight).addcmul_(normed, along, value=-1).mul_(scale)
        return x_grad, products.flatten(0, -2).sum(0), None


# ---- training


@twin_of("course_lib.objectives.causal_lm_loss")
def next_token_loss(model: DecoderLM, ids: Int64[Tensor, "batch time"]) -> Float[Tensor, ""]:
    """`causal_lm_loss(model(ids), ids)` and its gradients, for texts without padding.

    The logits are the largest tensor of a training step, and only the loss needs them: they are
    made, used and dropped some rows at a time (Wijmans et al. 2024), where torch can do so.

    Raises:
        TypeError, ValueError: as `DecoderLM.forward`; also if a row has no second token.
    """
    seen_tokens(ids, None, model.config.vocab_size)
    if ids.shape[1] < 2:
        raise ValueError(f"ids must have at least 2 tokens a row, got {ids.shape[1]}")

    positions = torch.arange(ids.shape[1])[None]
    layers = [_Layer(block, plain, _one_by_one) for block in model.blocks]
    waves = _waves(model.config, positions)
    x = model.embed(ids, positions)
    x = _through(layers, x, waves, lambda _, q, k, v: _attention(q, k, v, mask=None))
    x = _norm(model.norm)(x[:, :-1]).flatten(0, 1)  # [batch * (time - 1), width]
    table = (model.token_embedding if model.head is None else model.head).weight
    labels = ids[:, 1:].flatten()
    if hasattr(F, "linear_cross_entropy"):  # torch 2.13
        some = nn.LinearCrossEntropyOptions(batch_chunk_size=256)
        return F.linear_cross_entropy(x, table, labels, options=some)
    return F.cross_entropy(F.linear(x, table), labels)


def _one_by_one(weights: Sequence[Weight], biases: Sequence[Bias]) -> Maps:
    """For long inputs stacking gains nothing, and its backward pass would copy the gradients."""
    return lambda x: [F.linear(x, *pair) for pair in zip(weights, biases)]


# ---- writing


@dataclass
class _Memory:
    """Room for keys and values, and how many tokens have been written into it."""

    tensor: Float[Tensor, "layers 2 batch kv_heads room d_k"]
    filled: int


@dataclass(frozen=True)
class GrowingCache:
    """What a `Cache` holds, with room for more.

    Like a `Cache` it stays as it is, so that it can be continued in several ways. The first to
    continue it writes into the memory behind it; the next finds that place taken and gets a copy.

    Attributes:
        memory: keys and values of all layers.
        length: how many tokens of the memory belong to this cache.
        attention_mask: True = token, False = padding; None if nothing is padding.
    """

    memory: _Memory
    length: int = 0
    attention_mask: Bool[Tensor, "batch time"] | None = None

    def longer(self, seen: Bool[Tensor, "batch time"]) -> GrowingCache:
        """This cache with room for these tokens, which are yet to be written."""
        memory, length = self.memory, self.length + seen.shape[1]
        *sizes, room, d_k = memory.tensor.shape
        if length > room or self.length < memory.filled:
            new = memory.tensor.new_empty(*sizes, max(room, 2 * length), d_k)
            new[..., : self.length, :] = memory.tensor[..., : self.length, :]
            memory = _Memory(new, 0)
        memory.filled = length
        mask = self.attention_mask
        if mask is not None or not seen.all():
            mask = seen.new_ones(len(seen), self.length) if mask is None else mask
            mask = torch.cat([mask, seen], dim=1)
        return GrowingCache(memory, length, mask)

    def rows(self, places: Int64[Tensor, "rows"]) -> GrowingCache:
        """A cache of these rows, in this order; a row may come twice."""
        memory = _Memory(self.memory.tensor.index_select(2, places), self.length)
        mask = None if self.attention_mask is None else self.attention_mask[places]
        return GrowingCache(memory, self.length, mask)


@twin_of("course_lib.decoder.decode_step")
class FastDecoder:
    """A `DecoderLM` made ready to write. It stands in the model's place in `decode_step`, and so in
    `generate`, `stream_tokens`, `logits_of` and `log_probs_of`; and in `fast_beam_search`.

    Args:
        model: its weights are copied as they are now.
        weights: how the matrices are kept.
            "float32": the same logits but for rounding.
            "bfloat16": 8 significant bits of 24.
            "int4": 16 levels between the least and the largest of 32 neighbours, as in llama.cpp's
            Q4_1 (weights that were Q4_1 keep their levels); the head in bfloat16.
            In the last two, vectors are rounded to bfloat16 before each product.

    Raises:
        ValueError: `weights` is unknown, or "int4" does not fit the sizes of the matrices.
    """

    @torch.no_grad()
    def __init__(
        self, model: DecoderLM, weights: Literal["float32", "bfloat16", "int4"] = "float32"
    ) -> None:
        if weights not in LINEAR:
            raise ValueError(f"weights must be one of {list(LINEAR)}, got {weights!r}")
        linear, head = LINEAR[weights]
        self.config = config = model.config
        self._embed, self._norm = model.embed, _norm(model.norm)
        self._layers = [_Layer(block, linear, stacked(linear)) for block in model.blocks]
        self._head = head((model.token_embedding if model.head is None else model.head).weight)
        kv_heads = config.n_kv_heads or config.n_heads
        self._cache_sizes = (kv_heads, 0, config.d_k)

    @torch.no_grad()
    def __call__(
        self,
        ids: Int64[Tensor, "batch time"],
        attention_mask: Shaped[Tensor, "batch time"] | None = None,
    ) -> Float[Tensor, "batch time vocab"]:
        """As `DecoderLM.forward`, without gradients."""
        x, _ = self._read(ids, None, attention_mask)
        return self._head(self._norm(x))

    @torch.no_grad()
    def decode_step(
        self,
        token: Int64[Tensor, "batch time"],
        cache: GrowingCache | None = None,
        attention_mask: Shaped[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch vocab"], GrowingCache]:
        """As `decoder.decode_step`, which comes here when its model is a `FastDecoder`."""
        x, cache = self._read(token, cache, attention_mask)
        return self._head(self._norm(x[:, -1])), cache

    def _read(
        self,
        ids: Int64[Tensor, "batch time"],
        cache: GrowingCache | None,
        attention_mask: Shaped[Tensor, "batch time"] | None,
    ) -> tuple[Float[Tensor, "batch time width"], GrowingCache]:
        """The stream of the new tokens after the last block, and the longer cache."""
        seen = seen_tokens(ids, attention_mask, self.config.vocab_size)
        if cache is None:
            sizes = (len(self._layers), 2, len(ids), *self._cache_sizes)
            cache = GrowingCache(_Memory(torch.empty(sizes), 0))
        elif cache.memory.tensor.shape[2] != len(ids):
            got = f"{cache.memory.tensor.shape[2]} rows"
            raise ValueError(f"cache must have {len(ids)} rows, got {got}")
        start, cache = cache.length, cache.longer(seen)
        if cache.attention_mask is not None:
            positions, mask = positions_and_mask(cache.attention_mask, ids.shape[1])
        else:
            positions, mask = torch.arange(start, cache.length)[None], None
            if start > 0 and ids.shape[1] > 1:
                mask = causal_mask(ids.shape[1], cache.length)

        memory = cache.memory.tensor[..., : cache.length, :].unbind()  # [2, batch, ...] each
        behind = cache.memory.tensor[..., start : cache.length, :].unbind()

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            torch.stack([k, v], out=behind[layer])
            keys, values = memory[layer]
            return _attention(q, keys, values, mask)

        x = self._embed(ids, positions)
        return _through(self._layers, x, _waves(self.config, positions), attend), cache
