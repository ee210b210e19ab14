"""Encoder-decoder: a transformer that reads one text and writes another (T5; notebook 07)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from course_lib.attention import MultiHeadAttention, causal_mask, padding_mask
from course_lib.embeddings import input_embeddings
from course_lib.initialisation import initialise
from course_lib.shapes import check_shapes, check_sizes
from course_lib.transformer import TransformerBlock

__all__ = ["CrossAttentionBlock", "EncoderDecoder", "EncoderDecoderConfig", "greedy_translate"]


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """The sizes of an `EncoderDecoder`.

    Attributes:
        vocab_size: number of token ids, one vocabulary for both texts.
        max_length: rows of the learned position table, which both texts use.
        width: channels of the residual stream.
        n_layers: blocks of the encoder, and as many of the decoder.
        n_heads: attention heads; they divide the width.
        ffn_width: hidden channels of the feed-forward.
        tied: the head is the token table again (Press and Wolf 2017).
        pad_id: the id that fills up the source; nobody looks at it.

    Raises:
        TypeError: a size is not an int.
        ValueError: a size is below 1, `n_heads` does not divide `width`, or `pad_id` is no id.
    """

    vocab_size: int
    max_length: int
    width: int
    n_layers: int
    n_heads: int
    ffn_width: int
    tied: bool = True
    pad_id: int = 0

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "max_length", "width", "n_layers", "n_heads", "ffn_width")
        check_sizes(self, *sizes)
        if not isinstance(self.pad_id, int):
            raise TypeError(f"pad_id must be an int, got {self.pad_id!r}")
        if not 0 <= self.pad_id < self.vocab_size:
            raise ValueError(f"pad_id must lie in 0 ... {self.vocab_size - 1}, got {self.pad_id}")


class CrossAttentionBlock(TransformerBlock):
    """The pre-norm `TransformerBlock` with one step more: a look at another text.

    (Vaswani et al. 2017, section 3.1, with the norms in front, as in T5.)

    Args:
        width: channels of both residual streams.
        n_heads: attention heads, of either kind of attention.
        ffn_width: hidden channels of the feed-forward.

    Raises:
        ValueError: `n_heads` does not divide `width`, or `ffn_width` is below 1.
    """

    def __init__(self, width: int, n_heads: int, ffn_width: int) -> None:
        super().__init__(width, n_heads, ffn_width, norm="pre")
        self.cross_attention = MultiHeadAttention(width, n_heads)
        self.cross_norm = nn.LayerNorm(width)

    @check_shapes
    def forward(  # type: ignore[override]  # it reads a second text
        self,
        x: Float[Tensor, "batch target width"],
        context: Float[Tensor, "batch source width"],
        mask: Bool[Tensor, "... #target #target"] | None = None,
        context_mask: Bool[Tensor, "... #target #source"] | None = None,
    ) -> Float[Tensor, "batch target width"]:
        """One step of the residual stream of the text that is written.

        Args:
            x: the stream.
            context: what the encoder made of the other text; it is normalised already.
            mask: who in x may look at whom in x; True = may attend.
            context_mask: who in x may look at whom in the context.

        Raises:
            TypeError, ValueError: as `MultiHeadAttention`.
        """
        x = x + self.attention(self.norm1(x), mask=mask)
        x = x + self.cross_attention(self.cross_norm(x), context, context_mask)
        return x + self.feed_forward(self.norm2(x))


class EncoderDecoder(nn.Module):
    """Reads a source text, and scores each next token of a target text: P(y_t | y_<t, x).

    The architecture of Vaswani et al. (2017) and T5 (Raffel et al. 2020), with learned positions.

    Args:
        config: sizes.
        generator: draws the first weights; same seed, same model.
    """

    def __init__(
        self, config: EncoderDecoderConfig, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        sizes = (config.width, config.n_heads, config.ffn_width)
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.position_embedding = nn.Embedding(config.max_length, config.width)
        self.encoder = nn.ModuleList(
            TransformerBlock(*sizes, norm="pre") for _ in range(config.n_layers)
        )
        self.encoder_norm = nn.LayerNorm(config.width)
        self.decoder = nn.ModuleList(CrossAttentionBlock(*sizes) for _ in range(config.n_layers))
        self.decoder_norm = nn.LayerNorm(config.width)
        self.head = None
        if not config.tied:
            self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        # Each decoder block adds to its stream three times. In a narrow model GPT-2's deviation of
        # 0.02 would leave attention nearly even, and learning slow to begin.
        initialise(self, generator, 3 * config.n_layers, deviation=config.width**-0.5)

    @check_shapes
    def forward(
        self,
        source_ids: Int64[Tensor, "batch source"],
        target_ids: Int64[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target vocab"]:
        """Logits of the token after each position of the target.

        Args:
            source_ids: the text to read, filled up with `pad_id` on either side.
            target_ids: what has been written so far: the start token and what came after it.

        Raises:
            TypeError: ids are not an int64 tensor.
            ValueError: an id outside the vocabulary, more tokens than positions, or a different
                number of rows.
        """
        context = self.encode(source_ids)  # [batch, source, width]
        return self.decode(target_ids, context, source_ids)

    def encode(
        self, source_ids: Int64[Tensor, "batch source"]
    ) -> Float[Tensor, "batch source width"]:
        """Read: every source token may look at every other; padding is seen by nobody."""
        mask = padding_mask(source_ids != self.config.pad_id)  # [batch, 1, 1, source]
        x = self.embed(source_ids)  # [batch, source, width]
        for block in self.encoder:
            x = block(x, mask)
        return self.encoder_norm(x)

    def decode(
        self,
        target_ids: Int64[Tensor, "batch target"],
        context: Float[Tensor, "batch source width"],
        source_ids: Int64[Tensor, "batch source"],
    ) -> Float[Tensor, "batch target vocab"]:
        """Write: nobody looks ahead in the target; everybody looks at the whole source."""
        mask = causal_mask(target_ids.shape[1])  # [target, target]
        context_mask = padding_mask(source_ids != self.config.pad_id)  # [batch, 1, 1, source]
        x = self.embed(target_ids)  # [batch, target, width]
        for block in self.decoder:
            x = block(x, context, mask, context_mask)
        return self.unembed(self.decoder_norm(x))

    def embed(self, ids: Int64[Tensor, "batch time"]) -> Float[Tensor, "batch time width"]:
        """Ids to vectors: the token table plus the position table, the same two for both texts."""
        return input_embeddings(ids, self.token_embedding.weight, self.position_embedding.weight)

    def unembed(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time vocab"]:
        """Vectors to logits: a dot product with each row of the head, or of the token table."""
        table = self.token_embedding if self.head is None else self.head
        return F.linear(x, table.weight)


@torch.no_grad()
@check_shapes
def greedy_translate(
    model: Callable[[Tensor, Tensor], Tensor],
    source_ids: Int64[Tensor, "batch source"],
    start_id: int,
    end_id: int,
    max_length: int,
) -> Int64[Tensor, "batch target"]:
    """Write the most likely next token, again and again, until every row has ended.

    Args:
        model: `model(source_ids, target_ids)` gives logits [batch, target, vocab].
        source_ids: the texts to read.
        start_id: what every target begins with.
        end_id: a row that has written it is finished.
        max_length: the most tokens to write a row, the end token included.

    Returns:
        What was written, without the start token, with the end token; rows that finished earlier
        than others are filled up with it.

    Raises:
        TypeError: `source_ids` is not an int64 tensor.
        ValueError: `source_ids` is not [batch, source], or `max_length` is below 1.
    """
    if max_length < 1:
        raise ValueError(f"max_length must be at least 1, got {max_length}")

    target_ids = source_ids.new_full((len(source_ids), 1), start_id)
    finished = torch.zeros(len(source_ids), dtype=torch.bool)
    for _ in range(max_length):
        logits = model(source_ids, target_ids)[:, -1]  # [batch, vocab], those of the next token
        next_ids = logits.argmax(-1).masked_fill(finished, end_id)  # [batch]
        target_ids = torch.cat([target_ids, next_ids[:, None]], dim=1)
        finished = finished | (next_ids == end_id)
        if finished.all():
            break
    return target_ids[:, 1:]
