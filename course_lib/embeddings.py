"""From ids to vectors: token tables, positions, and meaning as direction (notebook 02)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Real
from torch import Tensor

from course_lib.arguments import check_arguments
from course_lib.precision import in_float32
from course_lib.shapes import check_shapes

__all__ = [
    "analogy",
    "apply_rope",
    "embed_one_hot",
    "input_embeddings",
    "nearest_neighbours",
    "sinusoidal_positions",
    "skipgram_loss",
]


@check_shapes
def embed_one_hot(
    ids: Int64[Tensor, "*shape"], table: Float[Tensor, "vocab width"]
) -> Float[Tensor, "*shape width"]:
    """Look up rows of a table the slow way: one-hot vectors times the table.

    Equals `table[ids]`, gradients included. It shows that an embedding is a linear layer
    whose input has a single 1.

    Args:
        ids: token ids of any shape, int64.
        table: one row per token.

    Raises:
        TypeError: `ids` is not int64, or `table` not a float tensor.
        ValueError: `table` is not [vocab, width], or an id lies outside it.
    """
    if ((ids < 0) | (ids >= len(table))).any():
        raise ValueError(f"ids must lie in 0 ... {len(table) - 1}, got {ids}")

    one_hot = F.one_hot(ids, len(table)).to(table.dtype)  # [..., vocab], a single 1 per token
    return one_hot @ table  # [..., width]


def sinusoidal_positions(
    length: int, width: int, base: float = 10_000.0
) -> Float[Tensor, "length width"]:
    """Position vectors made of waves, from fast to slow; defined for any length.

    PE[p, 2i] = sin(p / base^(2i/width)), PE[p, 2i+1] = cos of the same angle
    (Vaswani et al. 2017, section 3.5).

    Args:
        length: number of positions, 0 ... length - 1.
        width: channels, even.
        base: the slowest wave turns about `base` times slower than the fastest.

    Returns:
        float32 [length, width]: sines on the even channels, cosines on the odd ones.

    Raises:
        TypeError: `length` or `width` is not an int.
        ValueError: `length` is negative, `width` odd or below 2, or `base` not positive.
    """
    if not isinstance(length, int) or not isinstance(width, int):
        raise TypeError(f"length and width must be ints, got {length!r} and {width!r}")
    if length < 0:
        raise ValueError(f"length must not be negative, got {length}")
    if width < 2 or width % 2 != 0:
        raise ValueError(f"width must be even and at least 2, got {width}")
    if base <= 0:
        raise ValueError(f"base must be positive, got {base}")

    positions = torch.arange(length, dtype=torch.float64)[:, None]  # [length, 1]
    channels = torch.arange(0, width, 2, dtype=torch.float64)  # [width / 2]: 0, 2, 4, ...
    angles = positions / base ** (channels / width)  # [length, width / 2]
    waves = torch.stack([angles.sin(), angles.cos()], dim=-1)  # [length, width / 2, 2]
    return waves.flatten(1).float()  # [length, width]: sin, cos, sin, cos, ...


@check_shapes
def input_embeddings(
    ids: Int64[Tensor, "batch time"],
    token_table: Float[Tensor, "vocab width"],
    position_table: Float[Tensor, "max_length width"],
    segment_ids: Int64[Tensor, "batch time"] | None = None,
    segment_table: Float[Tensor, "segments width"] | None = None,
) -> Float[Tensor, "batch time width"]:
    """What the first block eats: token + position (+ segment), a plain sum.

    As in BERT (Devlin et al. 2019, figure 2), before its LayerNorm; no scale, no norm.

    Raises:
        TypeError: ids are not int64, or a table is not a float tensor.
        ValueError: more tokens than positions, an id outside its table, shapes that do not
            fit, or one of `segment_ids` and `segment_table` without the other.
    """
    time = ids.shape[1]
    if time > len(position_table):
        raise ValueError(f"position_table has {len(position_table)} rows, ids have {time} tokens")
    if (segment_ids is None) != (segment_table is None):
        raise ValueError("segment_ids and segment_table must be given together")
    if ((ids < 0) | (ids >= len(token_table))).any():
        raise ValueError(f"ids must lie in 0 ... {len(token_table) - 1}, got {ids}")

    if (
        segment_ids is not None and ((segment_ids < 0) | (segment_ids >= len(segment_table))).any()  # type: ignore[arg-type]
    ):
        raise ValueError(f"segment_ids must lie in 0 ... {len(segment_table) - 1}")  # type: ignore[arg-type]

    x = token_table[ids] + position_table[:time]  # [batch, time, width]: every row, same positions
    if segment_ids is not None:
        x = x + segment_table[segment_ids]  # type: ignore[index]  # [batch, time, width]
    return x


@check_shapes
def nearest_neighbours(
    query: Float[Tensor, "width"], table: Float[Tensor, "vocab width"], k: int
) -> Int64[Tensor, "k"]:
    """The k rows of a table that point most nearly the way `query` points.

    Similarity is the cosine, a . b / (|a| |b|); a zero vector has cosine 0 to everything.

    Returns:
        Row numbers, most similar first (among equals, the lower row). Nothing is excluded: a
        query taken from the table finds itself.

    Raises:
        TypeError: `query` or `table` is not a float tensor.
        ValueError: the shapes do not fit, or `k` is not between 1 and the number of rows.
    """
    if not 1 <= k <= len(table):
        raise ValueError(f"k must be between 1 and {len(table)}, got {k}")

    tiny = torch.finfo(table.dtype).tiny  # keeps a zero vector from dividing by zero
    query = query / query.norm().clamp(min=tiny)  # [width], now of length 1
    table = table / table.norm(dim=1, keepdim=True).clamp(min=tiny)  # [vocab, width], each row too
    cosine = table @ query  # [vocab]
    return cosine.argsort(descending=True, stable=True)[:k]


@check_shapes
def analogy(a: int, b: int, c: int, table: Float[Tensor, "vocab width"]) -> int:
    """a is to b as c is to which row? man : king = woman : ?

    The row nearest, by cosine, to table[b] - table[a] + table[c]; a, b and c themselves do not
    count (Mikolov, Yih and Zweig 2013).

    Raises:
        ValueError: a, b or c is no row of the table, or the table has no other row.
        TypeError: `table` is not a float tensor.
    """
    for name, row in {"a": a, "b": b, "c": c}.items():
        if not 0 <= row < len(table):
            raise ValueError(f"{name} must lie in 0 ... {len(table) - 1}, got {row}")
    if len(table) == len({a, b, c}):
        raise ValueError(f"table must have a row besides a, b and c, got {len(table)} rows")

    target = table[b] - table[a] + table[c]  # [width]
    candidates = nearest_neighbours(target, table, k=min(4, len(table)))  # 3 may be a, b and c
    return next(row for row in candidates.tolist() if row not in (a, b, c))


@check_shapes
def skipgram_loss(
    center: Float[Tensor, "batch width"],
    context: Float[Tensor, "batch width"],
    negatives: Float[Tensor, "batch n width"],
) -> Float[Tensor, ""]:
    """Skip-gram with negative sampling: pull true neighbours close, push random words away.

    -log sigmoid(center . context) - sum over n of log sigmoid(-center . negative), in nats, the
    mean over the batch (Mikolov et al. 2013, "Distributed representations", equation 4).

    Args:
        center: the vectors of the words we stand on.
        context: for each, the vector of a word that stood near it.
        negatives: for each, the vectors of n words drawn at random.

    Returns:
        A scalar that carries gradients; finite for scores of any size, 0 for an empty batch.

    Raises:
        TypeError: an argument is not a float tensor.
        ValueError: the shapes do not fit.
    """
    true_score = (center * context).sum(-1)  # [batch]
    false_scores = (negatives @ center[:, :, None]).squeeze(-1)  # [batch, n]
    # logsigmoid, not log(sigmoid): sigmoid(-200) is 0 in float32, and log 0 is -inf
    loss = -F.logsigmoid(true_score) - F.logsigmoid(-false_scores).sum(-1)  # [batch]
    return loss.sum() / max(len(loss), 1)


nearest_neighbours = in_float32(nearest_neighbours)  # lengths and scores of half-precision tables
skipgram_loss = in_float32(skipgram_loss)


@check_shapes
def apply_rope(
    x: Float[Tensor, "*batch time d_k"],
    positions: Real[Tensor, "*#batch time"],
    base: float = 10_000.0,
) -> Float[Tensor, "*batch time d_k"]:
    """Rotary positions: turn each query or key by an angle that grows with its position.

    Channel i and channel i + d_k/2 are the two coordinates of a point, turned by
    position * base^(-2i / d_k). A score q . k then depends on the distance of the two positions
    alone (Su et al. 2021, section 3.2; pairing of halves as in LLaMA's safetensors checkpoints,
    while the paper pairs neighbours 2i and 2i + 1).

    Args:
        x: queries or keys.
        positions: one per time step, [time], or any shape that broadcasts to x's without d_k
            (a left-padded batch: [batch, 1, time]). They need not start at 0 or be in order.
        base: the slowest pair turns about `base` times slower than the fastest.

    Raises:
        TypeError: `x` is not a float tensor, or `positions` not a tensor of numbers.
        ValueError: d_k is odd, `positions` do not fit the time axis, or `base` is not positive.
    """
    d_k = x.shape[-1]
    if d_k % 2 != 0:
        raise ValueError(f"x must have an even d_k, got {d_k}")
    if base <= 0:
        raise ValueError(f"base must be positive, got {base}")

    channels = torch.arange(0, d_k, 2, dtype=torch.float64)  # [d_k / 2]: 0, 2, 4, ...
    angles = positions[..., None] / base ** (channels / d_k)  # [..., time, d_k / 2]
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)

    first, second = x.chunk(2, dim=-1)  # each [..., time, d_k / 2]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


# Checked here, so that the functions above are what the exercises show.

sinusoidal_positions = check_arguments(sinusoidal_positions)
