"""What `embeddings.embed_one_hot` demands."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from course_lib import embeddings
from course_lib.checks.exercise import Case, Exercise, gradient_of

embed_one_hot = Exercise(
    "embeddings.embed_one_hot",
    points=1,
    reference=embeddings.embed_one_hot,
    forbids=("torch.nn.functional.embedding", "aten::embedding"),
)


@embed_one_hot.cases
def _(draw):
    yield Case("one id alone", {"ids": draw.ids(4, 1)[0], "table": draw.normal(4, 3)})
    yield Case("three ids", {"ids": draw.permutation(4)[:3], "table": draw.normal(4, 2)})
    yield Case("the same id twice", {"ids": torch.tensor([1, 0, 1]), "table": draw.normal(5, 2)})
    yield Case("a batch of one, one id", {"ids": draw.ids(4, 1, 1), "table": draw.normal(4, 3)})
    yield Case("a table of width 1", {"ids": draw.ids(4, 2, 1), "table": draw.normal(4, 1)})
    big = {"ids": 256 + draw.ids(40, 3), "table": draw.normal(300, 2)}
    yield Case("ids above 255", big)
    yield Case("the last row", {"ids": torch.tensor([2, 4]), "table": draw.normal(5, 3)})
    yield Case("two sequences", {"ids": draw.ids(5, 2, 3), "table": draw.normal(6, 4, scale=9.0)})
    yield Case("ids of three axes", {"ids": draw.ids(6, 2, 4, 3), "table": draw.normal(7, 5)})
    yield Case("double precision", {"ids": draw.ids(4, 3), "table": draw.normal(5, 2).double()})
    gradient = {"ids": torch.tensor([[1, 3, 1]]), "table": draw.normal(5, 2)}
    yield Case("the gradient of the table", gradient, gradient_of(1))
    if draw.hidden:
        yield Case("a larger table", {"ids": draw.ids(49, 5, 7), "table": draw.normal(50, 11)})


@embed_one_hot.misconception
def puts_all_ids_into_one_vector(ids, table):
    """Each id needs a one-hot vector of its own. Yours puts the ones of all ids into a single
    vector, so the rows are added up, and their order and repetitions are lost."""
    many_hot = torch.zeros(len(table), dtype=table.dtype)
    many_hot[ids] = 1
    return many_hot @ table


@embed_one_hot.misconception
def returns_the_one_hot_vectors(ids, table):
    """These are the one-hot vectors themselves, as wide as the vocabulary. The product with the
    table is still to come; it turns each of them into a row of the table."""
    return F.one_hot(ids, len(table)).to(table.dtype)


@embed_one_hot.misconception
def always_works_in_float32(ids, table):
    """The matrix product wants the same dtype on both sides. Yours makes the one-hot vectors
    float32, which fails for a table in double precision: give them the table's dtype."""
    return F.one_hot(ids, len(table)).float() @ table


@embed_one_hot.misconception
def guesses_the_vocabulary_from_the_ids(ids, table):
    """A one-hot vector is as long as the table has rows. Yours is only as long as the largest id
    at hand asks for, so it fits the table only when the last row happens to be used."""
    return F.one_hot(ids).to(table.dtype) @ table


@embed_one_hot.misconception
def runs_the_sequences_together(ids, table):
    """The numbers are right, but the axes of `ids` are gone: ids of shape [batch, time] should
    give [batch, time, width]. There is no need to flatten the ids."""
    return F.one_hot(ids.flatten(), len(table)).to(table.dtype) @ table


@embed_one_hot.misconception
def cuts_the_way_back_to_the_table(ids, table):
    """The numbers are right, but they are a copy: a Python list, `torch.tensor(...)`, `.detach()`
    or `torch.no_grad()` cuts the way back to the table. It gets no gradient, so it never learns."""
    rows = [table[i].tolist() for i in ids.flatten().tolist()]
    return torch.tensor(rows, dtype=table.dtype).reshape(*ids.shape, table.shape[1])


@embed_one_hot.misconception
def drops_axes_of_size_one(ids, table):
    """`squeeze()` without a number takes out every axis of size 1, also a batch of one text or a
    width of 1. The result has the axes of `ids` and the width behind them, whatever their sizes."""
    return (F.one_hot(ids, len(table)).to(table.dtype) @ table).squeeze()


@embed_one_hot.misconception
def counts_ids_from_one(ids, table):
    """Your rows are those before the right ones: id 0 is the first row of the table."""
    return table[ids - 1]


@embed_one_hot.alternative
def by_comparing_with_every_id(ids, table):
    """The one-hot vector says for every row: is it you?"""
    one_hot = ids[..., None] == torch.arange(len(table))
    return one_hot.to(table.dtype) @ table


@embed_one_hot.alternative
def rows_of_the_identity(ids, table):
    """A one-hot vector is a row of the identity matrix."""
    return torch.einsum("...v,vw->...w", torch.eye(len(table), dtype=table.dtype)[ids], table)


@embed_one_hot.alternative
def by_indexing(ids, table):
    """What libraries do: no product at all."""
    return table[ids]
