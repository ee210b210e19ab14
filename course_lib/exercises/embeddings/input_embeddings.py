"""What `embeddings.input_embeddings` demands."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from course_lib import embeddings
from course_lib.checks.exercise import Case, Exercise, gradient_of, refuses

input_embeddings = Exercise(
    "embeddings.input_embeddings", points=2, reference=embeddings.input_embeddings
)


def _sum_arguments(draw, batch, time, max_length, width=4, segments=False, vocab=5):
    arguments = {
        "ids": draw.ids(vocab, batch, time),
        "token_table": draw.normal(vocab, width, scale=2.0),
        "position_table": draw.normal(max_length, width),
    }
    if segments:
        arguments["segment_ids"] = draw.ids(3, batch, time)
        arguments["segment_table"] = draw.normal(3, width, scale=0.5)
    return arguments


@input_embeddings.cases
def _(draw):
    yield Case("one token", _sum_arguments(draw, 1, 1, 6, width=2))
    yield Case("one row of three tokens", _sum_arguments(draw, 1, 3, 6))
    yield Case("two rows", _sum_arguments(draw, 2, 3, 7))
    yield Case(
        "the same token at every place",
        _sum_arguments(draw, 2, 4, 6) | {"ids": torch.full((2, 4), 1)},
    )
    yield Case("as many tokens as positions", _sum_arguments(draw, 3, 5, 5, width=6))
    yield Case("a width of 1", _sum_arguments(draw, 2, 3, 4, width=1))
    big = _sum_arguments(draw, 1, 3, 4, width=2, vocab=300)
    yield Case("ids above 255", big | {"ids": 256 + draw.ids(40, 1, 3)})
    yield Case("positions above 511", _sum_arguments(draw, 1, 600, 600, width=2))
    yield Case("with segments", _sum_arguments(draw, 2, 4, 6, segments=True))
    yield Case("three rows with segments", _sum_arguments(draw, 3, 2, 8, width=5, segments=True))
    arguments = _sum_arguments(draw, 2, 3, 6, segments=True)
    tables = ("token_table", "position_table", "segment_table")
    double = {name: arguments[name].double() for name in tables}
    yield Case("double precision", arguments | double)
    for position, name in [(1, "token_table"), (2, "position_table"), (4, "segment_table")]:
        arguments = _sum_arguments(draw, 2, 3, 6, segments=True)
        yield Case(f"the gradient of `{name}`", arguments, gradient_of(position))
    too_long = _sum_arguments(draw, 2, 4, 3)
    yield refuses("more tokens than positions is an error", too_long, naming="position_table")
    if draw.hidden:
        yield Case("a larger batch", _sum_arguments(draw, 6, 11, 13, width=9, segments=True))


def _segment_part(segment_ids, segment_table):
    return 0 if segment_ids is None else segment_table[segment_ids]


@input_embeddings.misconception
def multiplies_by_the_positions(
    ids, token_table, position_table, segment_ids=None, segment_table=None
):
    """Positions are added to the token vectors, not multiplied into them. A product would wipe out
    every channel in which the position vector is near zero."""
    x = token_table[ids] * position_table[: ids.shape[1]]
    return x + _segment_part(segment_ids, segment_table)


@input_embeddings.misconception
def looks_positions_up_by_token_id(
    ids, token_table, position_table, segment_ids=None, segment_table=None
):
    """The row of the position table is chosen by where a token stands (0, 1, 2, ...), not by which
    token it is. Yours gives a word the same position wherever it stands."""
    x = token_table[ids] + position_table[ids]
    return x + _segment_part(segment_ids, segment_table)


@input_embeddings.misconception
def counts_rows_in_place_of_tokens(
    ids, token_table, position_table, segment_ids=None, segment_table=None
):
    """`ids` is [batch, time], and positions run along time. Yours runs along the batch: all tokens
    of a row share one position."""
    x = token_table[ids] + position_table[: len(ids), None]
    return x + _segment_part(segment_ids, segment_table)


@input_embeddings.misconception
def counts_positions_from_one(
    ids, token_table, position_table, segment_ids=None, segment_table=None
):
    """Your first token gets row 1 of the position table. Positions count from 0: take the first
    rows."""
    x = token_table[ids] + position_table[1 : ids.shape[1] + 1]
    return x + _segment_part(segment_ids, segment_table)


@input_embeddings.misconception
def leaves_the_positions_out(
    ids, token_table, position_table, segment_ids=None, segment_table=None
):
    """`position_table` has no effect on your result, so a token is the same wherever it stands. Add
    the row of its place."""
    return token_table[ids] + _segment_part(segment_ids, segment_table)


@input_embeddings.misconception
def gives_all_rows_the_segments_of_the_first(
    ids, token_table, position_table, segment_ids=None, segment_table=None
):
    """The segments of the first text serve all texts in yours. Each has its own row in
    `segment_ids`."""
    x = token_table[ids] + position_table[: ids.shape[1]]
    return x if segment_ids is None else x + segment_table[segment_ids[0]]


@input_embeddings.misconception
def leaves_the_segments_out(ids, token_table, position_table, segment_ids=None, segment_table=None):
    """Right without segments. When they are given, each token's row of `segment_table` is added
    as well."""
    return token_table[ids] + position_table[: ids.shape[1]]


@input_embeddings.misconception
def scales_the_tokens(ids, token_table, position_table, segment_ids=None, segment_table=None):
    """The original transformer multiplies token vectors by the root of the width. Here, as in BERT
    and GPT-2, it is a plain sum without a scale."""
    x = token_table[ids] * math.sqrt(token_table.shape[1]) + position_table[: ids.shape[1]]
    return x + _segment_part(segment_ids, segment_table)


@input_embeddings.misconception
def normalises_the_sum(ids, token_table, position_table, segment_ids=None, segment_table=None):
    """BERT puts a LayerNorm after this sum. It is a layer of its own with its own weights; asked
    for is the sum alone."""
    x = token_table[ids] + position_table[: ids.shape[1]]
    return F.layer_norm(x + _segment_part(segment_ids, segment_table), x.shape[-1:])


@input_embeddings.misconception
def takes_the_mean(ids, token_table, position_table, segment_ids=None, segment_table=None):
    """This is the mean of the parts. Asked for is their sum, without dividing by their number."""
    x = token_table[ids] + position_table[: ids.shape[1]]
    if segment_ids is None:
        return x / 2
    return (x + segment_table[segment_ids]) / 3


@input_embeddings.misconception
def adds_the_whole_position_table(
    ids, token_table, position_table, segment_ids=None, segment_table=None
):
    """The table has a row for every position there could be. Take as many as there are tokens: its
    first ones."""
    x = token_table[ids] + position_table
    return x + _segment_part(segment_ids, segment_table)


def _refuse_long(ids, position_table):
    if ids.shape[1] > len(position_table):
        raise ValueError("position_table is too short for ids")


@input_embeddings.alternative
def with_embedding_layers(ids, token_table, position_table, segment_ids=None, segment_table=None):
    """Three lookups by torch's own function."""
    _refuse_long(ids, position_table)
    positions = torch.arange(ids.shape[1]).expand(ids.shape)
    x = F.embedding(ids, token_table) + F.embedding(positions, position_table)
    return x if segment_ids is None else x + F.embedding(segment_ids, segment_table)


@input_embeddings.alternative
def token_by_token(ids, token_table, position_table, segment_ids=None, segment_table=None):
    """Loops over rows and tokens."""
    _refuse_long(ids, position_table)
    rows = []
    for b in range(ids.shape[0]):
        row = [token_table[ids[b, t]] + position_table[t] for t in range(ids.shape[1])]
        if segment_table is not None:
            row = [x + segment_table[segment_ids[b, t]] for t, x in enumerate(row)]
        rows.append(torch.stack(row))
    return torch.stack(rows)
