"""Encoder-only: a transformer that reads, each token in the light of all others (BERT; notebook
05)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from course_lib.attention import padding_mask
from course_lib.embeddings import input_embeddings
from course_lib.initialisation import initialise
from course_lib.precision import in_float32
from course_lib.shapes import check_shapes, check_sizes
from course_lib.transformer import TransformerBlock

__all__ = ["Encoder", "EncoderConfig", "MaskedLM", "mean_pool"]


@dataclass(frozen=True)
class EncoderConfig:
    """The sizes of an `Encoder`.

    Attributes:
        vocab_size: number of token ids.
        max_length: rows of the learned position table.
        width: channels of the residual stream.
        n_layers: number of blocks.
        n_heads: attention heads; they divide the width.
        ffn_width: hidden channels of the feed-forward.
        tied: the head of a `MaskedLM` is the token table again.
        n_segments: rows of the segment table.
        norm_eps: eps of all LayerNorms; BERT's.

    Raises:
        TypeError: a size is not an int.
        ValueError: a size is below 1, or `n_heads` does not divide `width`.
    """

    vocab_size: int
    max_length: int
    width: int
    n_layers: int
    n_heads: int
    ffn_width: int
    tied: bool = True
    n_segments: int = 2
    norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "max_length", "width", "n_layers", "n_heads", "ffn_width")
        check_sizes(self, *sizes, "n_segments")


class Encoder(nn.Module):
    """Ids in, one vector per token out; every token may look at every other (Devlin et al. 2019).

    Args:
        config: sizes.
        generator: draws the first weights; same seed, same model.
    """

    def __init__(self, config: EncoderConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.position_embedding = nn.Embedding(config.max_length, config.width)
        self.segment_embedding = nn.Embedding(config.n_segments, config.width)
        self.embedding_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                config.width, config.n_heads, config.ffn_width, norm="post", eps=config.norm_eps
            )
            for _ in range(config.n_layers)
        )
        initialise(self, generator)

    @check_shapes
    def forward(
        self,
        ids: Int64[Tensor, "batch time"],
        attention_mask: Shaped[Tensor, "batch time"] | None = None,
        segment_ids: Int64[Tensor, "batch time"] | None = None,
    ) -> Float[Tensor, "batch time width"]:
        """Read a batch.

        Args:
            ids: int64.
            attention_mask: 1 = token, 0 = padding, which nobody looks at; all tokens if not given.
            segment_ids: which text of a pair a token belongs to; 0 throughout if not given.

        Returns:
            The last block's output. Rows at padding are of no use.

        Raises:
            TypeError: `ids` is not an int64 tensor.
            ValueError: an id outside its table, more tokens than positions, or shapes that do not
                fit.
        """
        x = input_embeddings(
            ids,
            self.token_embedding.weight,
            self.position_embedding.weight,
            torch.zeros_like(ids) if segment_ids is None else segment_ids,
            self.segment_embedding.weight,
        )
        x = self.embedding_norm(x)  # [batch, time, width]
        mask = None if attention_mask is None else padding_mask(attention_mask)
        for block in self.blocks:
            x = block(x, mask)
        return x


class MaskedLM(nn.Module):
    """An encoder and a head that scores every id of the vocabulary at every position.

    A single matrix, without the small network that BERT has in front of it.
    """

    def __init__(self, config: EncoderConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.encoder = Encoder(config, generator)
        self.head = None
        if not config.tied:
            self.head = nn.Linear(config.width, config.vocab_size, bias=False)
            initialise(self.head, generator)

    def forward(
        self,
        ids: Int64[Tensor, "batch time"],
        attention_mask: Shaped[Tensor, "batch time"] | None = None,
        segment_ids: Int64[Tensor, "batch time"] | None = None,
    ) -> Float[Tensor, "batch time vocab"]:
        """Logits of the token at each position itself, not of the next; as `Encoder.forward`."""
        table = self.encoder.token_embedding if self.head is None else self.head
        return F.linear(self.encoder(ids, attention_mask, segment_ids), table.weight)


@check_shapes
def mean_pool(
    hidden: Float[Tensor, "batch time width"], attention_mask: Shaped[Tensor, "batch time"]
) -> Float[Tensor, "batch width"]:
    """One vector for a whole text: the mean of its tokens' vectors, padding left out.

    (What sentence embeddings are made of: Reimers and Gurevych 2019, section 3.)

    Args:
        hidden: an encoder's output.
        attention_mask: 1 = token, 0 = padding.

    Returns:
        A row of zeros for a text without tokens.

    Raises:
        TypeError: `hidden` is not a float tensor, or `attention_mask` not a tensor.
        ValueError: the shapes do not fit, or the mask holds other values than 0 and 1.
    """
    if not ((attention_mask == 0) | (attention_mask == 1)).all():
        raise ValueError(f"attention_mask must hold only 0 and 1, got {attention_mask}")

    real = attention_mask.bool()[:, :, None]  # [batch, time, 1]
    total = hidden.masked_fill(~real, 0).sum(1)  # [batch, width]
    return total / real.sum(1).clamp(min=1)


mean_pool = in_float32(mean_pool)  # a sum of many tokens has no room in float16
