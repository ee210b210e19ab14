"""What `embeddings.nearest_neighbours` demands."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from course_lib import embeddings
from course_lib.checks.exercise import Case, Exercise

nearest_neighbours = Exercise(
    "embeddings.nearest_neighbours",
    points=2,
    reference=embeddings.nearest_neighbours,
    forbids=("torch.cosine_similarity", "torch.nn.functional.cosine_similarity"),
)


def _table_and_query(draw, vocab, width):
    """Rows of very different length, no two of them nearly as similar to the query."""
    while True:
        table = draw.normal(vocab, width) * draw.normal(vocab, 1).mul(1.5).exp()
        query = draw.normal(width)
        cosines = F.cosine_similarity(table, query, dim=1).sort().values
        if (cosines.diff() > 1e-3).all() and cosines.abs().min() > 1e-3:
            return table, query


@nearest_neighbours.cases
def _(draw):
    # From the query (1, 0) the long row has the largest dot product, the short one the smallest
    # angle, and the third is the closest as a point.
    crafted = torch.tensor([[8.0, 9.0], [0.1, 0.01], [1.0, 0.9], [-1.0, 0.2]])
    yield Case("a short row in the query's direction, a long one beside it",
               {"query": torch.tensor([1.0, 0.0]), "table": crafted, "k": 1})  # fmt: skip
    for vocab, width, k in [(4, 3, 2), (7, 4, 3), (9, 5, 9)]:
        table, query = _table_and_query(draw, vocab, width)
        about = "all rows, in order" if k == vocab else f"the best {k} of {vocab} rows"
        yield Case(about, {"query": query, "table": table, "k": k})
    table, _ = _table_and_query(draw, 6, 4)
    yield Case("the query is a row of the table, and comes first",
               {"query": 3 * table[2], "table": table, "k": 1})  # fmt: skip
    table, query = _table_and_query(draw, 5, 3)
    table[1] = 2 * query  # so that the row of zeros is not the best
    table[3] = 0
    yield Case("a row of zeros", {"query": query, "table": table, "k": 5})
    table, query = _table_and_query(draw, 8, 4)
    arguments = {"query": query.double(), "table": table.double(), "k": 4}
    yield Case("double precision", arguments)
    table, query = _table_and_query(draw, 1, 3)
    yield Case("a table of one row", {"query": query, "table": table, "k": 1})
    small = {"query": torch.tensor([1.0, 0.0]), "table": 1e-6 * crafted, "k": 2}
    yield Case("very short rows", small)
    if draw.hidden:
        table, query = _table_and_query(draw, 20, 7)
        yield Case("twenty rows", {"query": query, "table": table, "k": 6})


def _cosines(query, table):
    return F.normalize(table, dim=1) @ F.normalize(query, dim=0)


@nearest_neighbours.misconception
def compares_dot_products(query, table, k):
    """The dot product grows with the length of a row, so long rows win even when they point
    elsewhere. The cosine divides each row by its own length first."""
    return (table @ query).topk(k).indices


@nearest_neighbours.misconception
def measures_the_distance_between_points(query, table, k):
    """This ranks rows by their distance from the query as points in space. The cosine looks at
    directions only: two rows on the same ray are equally near, however long they are."""
    return (table - query).norm(dim=1).argsort()[:k]


@nearest_neighbours.misconception
def puts_the_least_similar_first(query, table, k):
    """`argsort` sorts from small to large, so these are the k rows that point away from the query
    the most. The most similar row has the largest cosine."""
    return _cosines(query, table).argsort()[:k]


@nearest_neighbours.misconception
def puts_the_best_last(query, table, k):
    """These are the right rows, in the order from less to more similar. The most similar comes
    first."""
    return _cosines(query, table).argsort()[-k:]


@nearest_neighbours.misconception
def takes_opposite_rows_for_similar(query, table, k):
    """You compare the cosines without their sign, so a row that points the opposite way counts as
    near. Its cosine is -1, the lowest there is."""
    return _cosines(query, table).abs().topk(k).indices


@nearest_neighbours.misconception
def ranks_all_rows(query, table, k):
    """You return all rows, in the right order. Asked for are the first `k`."""
    return _cosines(query, table).argsort(descending=True)


@nearest_neighbours.misconception
def adds_a_number_to_the_lengths(query, table, k):
    """To be safe from 0 you add a small number to every length. For short rows it is not small: it
    makes their cosines smaller and changes the order. `clamp(min=...)` changes only what is
    below."""
    lengths = table.norm(dim=1) + 1e-3
    return (table @ query / lengths).argsort(descending=True)[:k]


@nearest_neighbours.misconception
def skips_the_best_row(query, table, k):
    """The most similar row is missing. Here nothing is left out: a query taken from the table
    finds itself first, and any other query would lose its true nearest neighbour."""
    return _cosines(query, table).argsort(descending=True)[1 : k + 1]


@nearest_neighbours.misconception
def divides_by_the_lengths_of_the_columns(query, table, k):
    """The words are the rows of the table, so each row is divided by its own length: the norm
    over the width, `dim=1`. Yours takes the norm of each column."""
    return ((table / table.norm(dim=0)) @ F.normalize(query, dim=0)).topk(k).indices


@nearest_neighbours.misconception
def gives_nan_for_a_row_of_zeros(query, table, k):
    """A row of zeros has length 0, and 0 / 0 is NaN, which sorts before every number. Its cosine
    counts as 0: keep the length you divide by above zero."""
    cosine = (table @ query) / (table.norm(dim=1) * query.norm())
    return cosine.argsort(descending=True)[:k]


@nearest_neighbours.misconception
def returns_the_similarities(query, table, k):
    """These are the k largest cosines. Asked for are the numbers of the rows they belong to."""
    return _cosines(query, table).topk(k).values


@nearest_neighbours.alternative
def leaves_the_query_as_it_is(query, table, k):
    """The query's length divides all cosines alike and changes no order."""
    return (F.normalize(table, dim=1) @ query).topk(k).indices


@nearest_neighbours.alternative
def one_row_at_a_time(query, table, k):
    """Python's own sort."""

    def cosine(row):
        length = float(table[row].norm() * query.norm())
        return float(table[row] @ query) / length if length else 0.0

    return torch.tensor(sorted(range(len(table)), key=cosine, reverse=True)[:k])
