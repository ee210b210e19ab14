"""From ids to vectors: token tables, positions, and meaning as direction (notebook 02)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Real
from torch import Tensor


def embed_one_hot(
    ids: Int[Tensor, "*shape"], table: Float[Tensor, "vocab width"]
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
    if not isinstance(ids, Tensor) or ids.dtype != torch.int64:
        raise TypeError(f"ids must be an int64 tensor, got {getattr(ids, 'dtype', type(ids))}")
    if not isinstance(table, Tensor) or not table.is_floating_point():
        raise TypeError(f"table must be a float tensor, got {getattr(table, 'dtype', type(table))}")
    if table.ndim != 2:
        raise ValueError(f"table must be [vocab, width], got {tuple(table.shape)}")
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
        raise TypeError(f"length and width must be ints, got {type(length)} and {type(width)}")
    if length < 0:
        raise ValueError(f"length must not be negative, got {length}")
    if width < 2 or width % 2 != 0:
        raise ValueError(f"width must be even and at least 2, got {width}")
    if base <= 0:
        raise ValueError(f"base must be positive, got {base}")

    positions = torch.arange(length, dtype=torch.float64)[:, None]  # [length, 1]
    channels = torch.arange(0, width, 2, dtype=torch.float64)  # [width / 2], the even ones
    angles = positions / base ** (channels / width)  # [length, width / 2]
    waves = torch.stack([angles.sin(), angles.cos()], dim=-1)  # [length, width / 2, 2]
    return waves.flatten(1).float()  # [length, width], sin and cos side by side


def input_embeddings(
    ids: Int[Tensor, "batch time"],
    token_table: Float[Tensor, "vocab width"],
    position_table: Float[Tensor, "max_length width"],
    segment_ids: Int[Tensor, "batch time"] | None = None,
    segment_table: Float[Tensor, "segments width"] | None = None,
) -> Float[Tensor, "batch time width"]:
    """What the first block eats: token + position (+ segment), a plain sum.

    As in BERT (Devlin et al. 2019, figure 2), before its LayerNorm; no scale, no norm.

    Raises:
        TypeError: ids are not int64, or a table is not a float tensor.
        ValueError: more tokens than positions, an id outside its table, shapes that do not
            fit, or one of `segment_ids` and `segment_table` without the other.
    """
    if (segment_ids is None) != (segment_table is None):
        raise ValueError("segment_ids and segment_table must be given together")
    lookups = {"ids": (ids, token_table)}
    if segment_ids is not None:
        lookups["segment_ids"] = (segment_ids, segment_table)
    for name, (indices, table) in lookups.items():
        if not isinstance(indices, Tensor) or indices.dtype != torch.int64:
            got = getattr(indices, "dtype", type(indices))
            raise TypeError(f"{name} must be an int64 tensor, got {got}")
        if indices.ndim != 2 or indices.shape != ids.shape:
            raise ValueError(f"{name} must be [batch, time], got {tuple(indices.shape)}")
        if ((indices < 0) | (indices >= len(table))).any():
            raise ValueError(f"{name} must lie in 0 ... {len(table) - 1}, got {indices}")
        if table.shape[1:] != position_table.shape[1:]:
            widths = f"{tuple(table.shape)} and {tuple(position_table.shape)}"
            raise ValueError(f"the table of {name} and position_table differ in width: {widths}")
    time = ids.shape[1]
    if time > len(position_table):
        raise ValueError(f"position_table has {len(position_table)} rows, ids have {time} tokens")

    x = token_table[ids] + position_table[:time]  # [batch, time, width]: every row, same positions
    if segment_ids is not None:
        x = x + segment_table[segment_ids]  # [batch, time, width]
    return x


def nearest_neighbours(
    query: Float[Tensor, "width"], table: Float[Tensor, "vocab width"], k: int
) -> Int[Tensor, "k"]:
    """The k rows of a table that point most nearly the way `query` points.

    Similarity is the cosine, a . b / (|a| |b|); a zero vector has cosine 0 to everything.

    Returns:
        Row numbers, most similar first (among equals, the lower row). Nothing is excluded: a
        query taken from the table finds itself.

    Raises:
        TypeError: `query` or `table` is not a float tensor.
        ValueError: the shapes do not fit, or `k` is not between 1 and the number of rows.
    """
    for name, value in {"query": query, "table": table}.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            got = getattr(value, "dtype", type(value))
            raise TypeError(f"{name} must be a float tensor, got {got}")
    if query.ndim != 1 or table.ndim != 2 or table.shape[1] != len(query):
        shapes = f"{tuple(query.shape)} and {tuple(table.shape)}"
        raise ValueError(f"query and table must be [width] and [vocab, width], got {shapes}")
    if not 1 <= k <= len(table):
        raise ValueError(f"k must be between 1 and {len(table)}, got {k}")

    tiny = torch.finfo(table.dtype).tiny  # keeps a zero vector from dividing by zero
    query = query / query.norm().clamp(min=tiny)  # [width], length 1
    table = table / table.norm(dim=1, keepdim=True).clamp(min=tiny)  # [vocab, width]
    cosine = table @ query  # [vocab]
    return cosine.argsort(descending=True, stable=True)[:k]


def analogy(a: int, b: int, c: int, table: Float[Tensor, "vocab width"]) -> int:
    """a is to b as c is to which row? man : king = woman : ?

    The row nearest, by cosine, to table[b] - table[a] + table[c]; a, b and c themselves do not
    count (Mikolov, Yih and Zweig 2013).

    Raises:
        ValueError: a, b or c is no row of the table, or the table has no other row.
        TypeError: `table` is not a float tensor.
    """
    if not isinstance(table, Tensor) or not table.is_floating_point():
        raise TypeError(f"table must be a float tensor, got {getattr(table, 'dtype', type(table))}")
    for name, row in {"a": a, "b": b, "c": c}.items():
        if not 0 <= row < len(table):
            raise ValueError(f"{name} must lie in 0 ... {len(table) - 1}, got {row}")
    if len(table) == len({a, b, c}):
        raise ValueError(f"table must have a row besides a, b and c, got {len(table)} rows")

    target = table[b] - table[a] + table[c]  # [width]
    candidates = nearest_neighbours(target, table, k=min(4, len(table)))  # 3 may be a, b and c
    return next(row for row in candidates.tolist() if row not in (a, b, c))


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
    for name, value in {"center": center, "context": context, "negatives": negatives}.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            got = getattr(value, "dtype", type(value))
            raise TypeError(f"{name} must be a float tensor, got {got}")
    if center.ndim != 2 or context.shape != center.shape:
        shapes = f"{tuple(center.shape)} and {tuple(context.shape)}"
        raise ValueError(f"center and context must both be [batch, width], got {shapes}")
    if negatives.ndim != 3 or negatives.shape[::2] != center.shape:
        raise ValueError(f"negatives must be [batch, n, width], got {tuple(negatives.shape)}")

    true_score = (center * context).sum(-1)  # [batch]
    false_scores = (negatives @ center[:, :, None]).squeeze(-1)  # [batch, n]
    # logsigmoid, not log(sigmoid): sigmoid(-200) is 0 in float32, and log 0 is -inf
    loss = -F.logsigmoid(true_score) - F.logsigmoid(-false_scores).sum(-1)  # [batch]
    return loss.sum() / max(len(loss), 1)


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
        TypeError: `x` is not a float tensor, or `positions` not a tensor.
        ValueError: d_k is odd, `positions` do not fit the time axis, or `base` is not positive.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"x must be a float tensor, got {getattr(x, 'dtype', type(x))}")
    if not isinstance(positions, Tensor):
        raise TypeError(f"positions must be a tensor, got {type(positions)}")
    if x.ndim < 2 or x.shape[-1] % 2 != 0:
        raise ValueError(f"x must be [..., time, d_k] with d_k even, got {tuple(x.shape)}")
    if positions.shape[-1:] != x.shape[-2:-1]:
        raise ValueError(f"positions must be [{x.shape[-2]}], got {tuple(positions.shape)}")
    if base <= 0:
        raise ValueError(f"base must be positive, got {base}")

    d_k = x.shape[-1]
    dtype = torch.promote_types(x.dtype, torch.float32)  # half precision cannot count far
    channels = torch.arange(0, d_k, 2, dtype=dtype, device=x.device)  # [d_k / 2]
    angles = positions[..., None] * (1 / base ** (channels / d_k))  # [..., time, d_k / 2]
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)

    first, second = x.chunk(2, dim=-1)  # each [..., time, d_k / 2]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
