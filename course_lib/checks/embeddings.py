"""Notebook 02: what each embeddings exercise demands."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from course_lib import embeddings
from course_lib.checks.exercise import Case, Exercise, gradient_of, refuses

# --- embed_one_hot -------------------------------------------------------------------------

embed_one_hot = Exercise(
    "embeddings.embed_one_hot",
    points=1,
    reference=embeddings.embed_one_hot,
    forbids=("torch.nn.functional.embedding",),
)


@embed_one_hot.cases
def _(draw):
    yield Case("one id alone", {"ids": draw.ids(4, 1)[0], "table": draw.normal(4, 3)})
    yield Case("three ids", {"ids": draw.permutation(4)[:3], "table": draw.normal(4, 2)})
    yield Case("the same id twice", {"ids": torch.tensor([1, 0, 1]), "table": draw.normal(5, 2)})
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


# --- nearest_neighbours --------------------------------------------------------------------

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


# --- skipgram_loss -------------------------------------------------------------------------

skipgram_loss = Exercise(
    "embeddings.skipgram_loss",
    points=3,
    reference=embeddings.skipgram_loss,
    tolerance=1e-4,
)


def _skipgram_arguments(draw, batch, n, width, scale=1.0):
    return {
        "center": draw.normal(batch, width, scale=scale),
        "context": draw.normal(batch, width, scale=scale),
        "negatives": draw.normal(batch, n, width, scale=scale),
    }


@skipgram_loss.cases
def _(draw):
    yield Case("one pair, one random word", _skipgram_arguments(draw, 1, 1, 2))
    yield Case("one pair, three random words", _skipgram_arguments(draw, 1, 3, 2))
    yield Case("four pairs", _skipgram_arguments(draw, 4, 3, 5))
    far = _skipgram_arguments(draw, 2, 3, 4)
    far = {"center": far["center"].sign() * 30, "context": far["center"].sign() * -9,
           "negatives": far["center"].sign()[:, None].repeat(1, 3, 1) * 8}  # fmt: skip
    yield Case("scores beyond a thousand, all on the wrong side", far)
    arguments = _skipgram_arguments(draw, 2, 3, 4)
    yield Case("double precision", {name: value.double() for name, value in arguments.items()})
    for position, name in enumerate(("center", "context", "negatives")):
        arguments = _skipgram_arguments(draw, 2, 3, 4)
        yield Case(f"the gradient of `{name}`", arguments, gradient_of(position))
    empty = _skipgram_arguments(draw, 0, 3, 4)
    yield Case("a batch without a pair", empty, at_the_door=True)
    if draw.hidden:
        yield Case("a larger batch", _skipgram_arguments(draw, 13, 7, 11, scale=3.0))


def _scores(center, context, negatives):
    return (center * context).sum(-1), torch.einsum("bw,bnw->bn", center, negatives)


@skipgram_loss.misconception
def averages_over_the_negatives(center, context, negatives):
    """Each random word is an example of its own, so their terms are added up. Yours takes their
    mean, which makes pushing away n times weaker than the formula says."""
    true_score, false_scores = _scores(center, context, negatives)
    return (-F.logsigmoid(true_score) - F.logsigmoid(-false_scores).mean(-1)).mean()


@skipgram_loss.misconception
def adds_up_the_batch(center, context, negatives):
    """The loss is the mean over the batch. Yours is the sum, so it grows with the batch size, and
    so does the step that training takes."""
    true_score, false_scores = _scores(center, context, negatives)
    return (-F.logsigmoid(true_score) - F.logsigmoid(-false_scores).sum(-1)).sum()


@skipgram_loss.misconception
def pulls_the_random_words_closer_too(center, context, negatives):
    """Random words should get a low score: the formula has sigmoid of MINUS center . negative.
    Without that minus every vector is rewarded for pointing the same way as every other."""
    true_score, false_scores = _scores(center, context, negatives)
    return (-F.logsigmoid(true_score) - F.logsigmoid(false_scores).sum(-1)).mean()


@skipgram_loss.misconception
def pushes_the_true_neighbours_away(center, context, negatives):
    """The signs have changed places: a true neighbour should get a high score and a random word a
    low one. The minus belongs inside the sigmoid of the random words."""
    true_score, false_scores = _scores(center, context, negatives)
    return (-F.logsigmoid(-true_score) - F.logsigmoid(false_scores).sum(-1)).mean()


@skipgram_loss.misconception
def forgets_the_minus_in_front(center, context, negatives):
    """This is the log-likelihood, which gets better as it grows. A loss gets better as it falls:
    it is minus that."""
    true_score, false_scores = _scores(center, context, negatives)
    return (F.logsigmoid(true_score) + F.logsigmoid(-false_scores).sum(-1)).mean()


@skipgram_loss.misconception
def is_infinite_for_large_scores(center, context, negatives):
    """For a score of -200 the sigmoid rounds to 0, and log 0 is minus infinity. Taken as one step,
    log sigmoid loses nothing: torch has it, as `F.logsigmoid`."""
    true_score, false_scores = _scores(center, context, negatives)
    likelihood = true_score.sigmoid().log() + (-false_scores).sigmoid().log().sum(-1)
    return -likelihood.mean()


@skipgram_loss.misconception
def leaves_out_the_sigmoid(center, context, negatives):
    """Without log sigmoid there is no end to what can be gained: longer vectors always lower this
    loss. The sigmoid lets a pair go once its score is right."""
    true_score, false_scores = _scores(center, context, negatives)
    return (false_scores.sum(-1) - true_score).mean()


@skipgram_loss.misconception
def leaves_out_the_negatives(center, context, negatives):
    """Only the true pairs are in this loss. If nothing is pushed away, all vectors may collapse
    into one direction and the loss is perfect: the random words must count too."""
    return -F.logsigmoid((center * context).sum(-1)).mean()


@skipgram_loss.alternative
def as_binary_cross_entropy(center, context, negatives):
    """True pairs have the label 1, random ones 0."""
    words = torch.cat([context[:, None], negatives], dim=1)
    scores = (words @ center[..., None])[..., 0]
    labels = torch.zeros_like(scores)
    labels[:, :1] = 1
    total = F.binary_cross_entropy_with_logits(scores, labels, reduction="sum")
    return total / max(1, len(center))


@skipgram_loss.alternative
def with_softplus(center, context, negatives):
    """-log sigmoid(x) = log(1 + exp(-x)) = softplus(-x)."""
    if len(center) == 0:
        return center.sum()
    true_score, false_scores = _scores(center, context, negatives)
    return (F.softplus(-true_score) + F.softplus(false_scores).sum(1)).mean()


# --- analogy -------------------------------------------------------------------------------

analogy = Exercise("embeddings.analogy", points=2, reference=embeddings.analogy)


def _nearest(target, table, excluded=()):
    cosine = F.cosine_similarity(table, target, dim=1)
    cosine[list(excluded)] = -2
    return cosine.argmax().item()


def _clear(a, b, c, table):
    """Is the best row better by more than a rounding error?"""
    cosine = F.cosine_similarity(table, table[b] - table[a] + table[c], dim=1)
    cosine[[a, b, c]] = -2
    best, second = cosine.topk(2).values
    return best - second > 1e-3


@analogy.cases
def _(draw):
    # (gender, royalty): man, king, woman, queen, a duke on the way, and the least royal
    crafted = torch.tensor(
        [[1.0, 0.0], [1.0, 8.0], [-1.0, 0.0], [-1.0, 8.0], [-1.0, 1.0], [0.0, -1.0]]
    )
    yield Case("man is to king as woman is to ?", {"a": 0, "b": 1, "c": 2, "table": crafted})
    yield Case("king is to man as queen is to ?", {"a": 1, "b": 0, "c": 3, "table": crafted})
    # In each of the next, one mistake leads to a row of its own.
    mistakes = {
        forgets_to_leave_out_the_three: "one of the three words is the nearest of all",
        subtracts_the_wrong_way: "the way from b to a leads elsewhere",
        swaps_a_and_c: "the way from c to b leads elsewhere",
        shortens_the_rows_first: "rows of very different length",
        takes_the_largest_dot_product: "a long row in a similar direction",
        takes_the_closest_point: "a row close by in another direction",
    }
    for mistake, about in mistakes.items():
        while True:
            table = draw.normal(9, 4) * draw.normal(9, 1).exp()
            a, b, c = draw.permutation(9)[:3].tolist()
            others = [embeddings.analogy, *(m for m in mistakes if m is not mistake)]
            answer = mistake(a, b, c, table)
            if _clear(a, b, c, table) and all(m(a, b, c, table) != answer for m in others):
                break
        yield Case(about, {"a": a, "b": b, "c": c, "table": table})
    a, b, c, _ = draw.permutation(4).tolist()
    yield Case("one row is left to choose", {"a": a, "b": b, "c": c, "table": draw.normal(4, 3)})
    while True:
        table = draw.normal(7, 5).double()
        a, b, c = draw.permutation(7)[:3].tolist()
        if _clear(a, b, c, table):
            break
    yield Case("double precision", {"a": a, "b": b, "c": c, "table": table})
    if draw.hidden:
        while not _clear(a, b, c, table := draw.normal(40, 8)):
            pass
        yield Case("forty rows", {"a": a, "b": b, "c": c, "table": table})


@analogy.misconception
def forgets_to_leave_out_the_three(a, b, c, table):
    """The nearest row is very often one of the three words of the question, b or c above all. They
    are no answer: leave a, b and c out before you choose."""
    return _nearest(table[b] - table[a] + table[c], table)


@analogy.misconception
def leaves_out_only_the_first_row_found(a, b, c, table):
    """This takes the second best row, as if exactly one of the three words always came first. Of
    a, b and c any number may come before the answer: leave out these three rows themselves."""
    target = table[b] - table[a] + table[c]
    return embeddings.nearest_neighbours(target, table, 2)[1].item()


@analogy.misconception
def subtracts_the_wrong_way(a, b, c, table):
    """The step that leads from a to b is table[b] - table[a]: the goal minus the start. Yours goes
    from b to a, so it answers another question: b is to a as c is to what?"""
    return _nearest(table[a] - table[b] + table[c], table, (a, b, c))


@analogy.misconception
def swaps_a_and_c(a, b, c, table):
    """The step from a to b is applied to c. Yours takes the step from c to b and applies it to a:
    king - woman + man, where king - man + woman is meant."""
    return _nearest(table[b] - table[c] + table[a], table, (a, b, c))


@analogy.misconception
def shortens_the_rows_first(a, b, c, table):
    """You made every row one unit long before the arithmetic. Here the raw rows are added and
    subtracted, and only the comparison at the end is a cosine."""
    unit = F.normalize(table, dim=1)
    return _nearest(unit[b] - unit[a] + unit[c], table, (a, b, c))


@analogy.misconception
def takes_the_largest_dot_product(a, b, c, table):
    """The dot product prefers long rows. Compare directions: the cosine, as in
    `nearest_neighbours`."""
    scores = table @ (table[b] - table[a] + table[c])
    scores[[a, b, c]] = -torch.inf
    return scores.argmax().item()


@analogy.misconception
def takes_the_closest_point(a, b, c, table):
    """This finds the row closest to the target as a point. Compare directions: the cosine, as in
    `nearest_neighbours`."""
    distance = (table - (table[b] - table[a] + table[c])).norm(dim=1)
    distance[[a, b, c]] = torch.inf
    return distance.argmin().item()


@analogy.alternative
def masks_the_three(a, b, c, table):
    """All cosines, with those of the question out of the race."""
    return _nearest(table[b] - table[a] + table[c], table, {a, b, c})


@analogy.alternative
def goes_down_the_whole_list(a, b, c, table):
    """Ranks every row and takes the first that is allowed."""
    ranking = embeddings.nearest_neighbours(table[b] + table[c] - table[a], table, len(table))
    return [row for row in ranking.tolist() if row not in {a, b, c}][0]


# --- sinusoidal_positions ------------------------------------------------------------------

sinusoidal_positions = Exercise(
    "embeddings.sinusoidal_positions",
    points=2,
    reference=embeddings.sinusoidal_positions,
    tolerance=1e-4,  # learners may count in float32
)


@sinusoidal_positions.cases
def _(draw):
    yield Case("two positions, one wave", {"length": 2, "width": 2})
    yield Case("three positions, two waves", {"length": 3, "width": 4})
    yield Case("more channels than positions", {"length": 2, "width": 10})
    yield Case("more positions than channels", {"length": draw.random.randint(9, 20), "width": 6})
    base = float(draw.random.randint(20, 900))
    yield Case("another base", {"length": 5, "width": 6, "base": base})
    yield Case("an odd width is an error", {"length": 3, "width": 4}, _odd_width, at_the_door=True)
    if draw.hidden:
        sizes = {"length": draw.random.randint(60, 120), "width": 2 * draw.random.randint(6, 20)}
        yield Case("a long text", sizes)


def _odd_width(solution, length, width):
    """As `refuses`, with an argument list that is easy to read."""
    return refuses("", {}, naming="width").observe(solution, length, width + 1)


def _waves(length, width, base, angles=None):
    """Sines on even channels, cosines on odd ones, of the given angles [length, width / 2]."""
    angles = _angles(length, width, base) if angles is None else angles
    return torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(length, width)


def _angles(length, width, base):
    return torch.arange(length)[:, None] / base ** (torch.arange(0, width, 2) / width)


@sinusoidal_positions.misconception
def puts_all_sines_before_all_cosines(length, width, base=10_000.0):
    """The first half of your channels are sines and the second half cosines, as some libraries
    have it. Here they alternate: sine on the even channels, cosine on the odd ones."""
    angles = _angles(length, width, base)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


@sinusoidal_positions.misconception
def swaps_sine_and_cosine(length, width, base=10_000.0):
    """Channel 0 is a sine, so that position 0 begins with 0, 1, 0, 1. Yours begins with 1, 0."""
    angles = _angles(length, width, base)
    return torch.stack([angles.cos(), angles.sin()], dim=-1).reshape(length, width)


@sinusoidal_positions.misconception
def uses_half_the_exponent(length, width, base=10_000.0):
    """The exponent of pair i is 2i / width: it runs from 0 almost to 1. Yours is i / width and
    stops at one half, so the slow waves are missing."""
    i = torch.arange(width // 2)
    return _waves(length, width, base, torch.arange(length)[:, None] / base ** (i / width))


@sinusoidal_positions.misconception
def gives_each_channel_its_own_wavelength(length, width, base=10_000.0):
    """Sine and cosine of a pair share one angle: channel 2i + 1 uses the exponent 2i / width, as
    channel 2i does. Yours changes the wavelength from every channel to the next."""
    angles = torch.arange(length)[:, None] / base ** (torch.arange(width) / width)
    table = angles.sin()
    table[:, 1::2] = angles[:, 1::2].cos()
    return table


@sinusoidal_positions.misconception
def multiplies_by_the_power(length, width, base=10_000.0):
    """The position is divided by base^(2i / width), so the waves get slower from left to right.
    Yours multiplies, and they get faster without end."""
    angles = torch.arange(length)[:, None] * base ** (torch.arange(0, width, 2) / width)
    return _waves(length, width, base, angles)


@sinusoidal_positions.misconception
def counts_positions_from_one(length, width, base=10_000.0):
    """The first position is 0: its sines are 0 and its cosines 1. Yours starts at 1."""
    return _waves(length + 1, width, base)[1:]


@sinusoidal_positions.misconception
def ignores_the_base(length, width, base=10_000.0):
    """With the usual base this is right, but `base` is an argument: put it in place of the number
    10000."""
    return _waves(length, width, 10_000.0)


@sinusoidal_positions.misconception
def takes_one_wave_for_all_channels(length, width, base=10_000.0):
    """All pairs of channels carry the same wave. Each pair turns slower than the one before: its
    angle is divided by base^(2i / width)."""
    angles = torch.arange(length)[:, None].float().repeat(1, width // 2)
    return _waves(length, width, base, angles)


def _refuse_odd(width):
    if width % 2:
        raise ValueError(f"width must be even, got {width}")


@sinusoidal_positions.alternative
def filled_into_a_table(length, width, base=10_000.0):
    """With exp and log, into every second column."""
    _refuse_odd(width)
    table = torch.zeros(length, width)
    speeds = torch.exp(torch.arange(0, width, 2) * (-math.log(base) / width))
    table[:, 0::2] = torch.sin(torch.arange(length).unsqueeze(1) * speeds)
    table[:, 1::2] = torch.cos(torch.arange(length).unsqueeze(1) * speeds)
    return table


@sinusoidal_positions.alternative
def one_number_at_a_time(length, width, base=10_000.0):
    """Loops and `math`."""
    _refuse_odd(width)
    return torch.tensor([
        [(math.cos if c % 2 else math.sin)(p / base ** ((c - c % 2) / width)) for c in range(width)]
        for p in range(length)
    ])  # fmt: skip


# --- input_embeddings ----------------------------------------------------------------------

input_embeddings = Exercise(
    "embeddings.input_embeddings", points=2, reference=embeddings.input_embeddings
)


def _sum_arguments(draw, batch, time, max_length, width=4, segments=False):
    arguments = {
        "ids": draw.ids(5, batch, time),
        "token_table": draw.normal(5, width, scale=2.0),
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


# --- apply_rope ----------------------------------------------------------------------------

apply_rope = Exercise(
    "embeddings.apply_rope",
    points=4,
    reference=embeddings.apply_rope,
    tolerance=3e-4,  # learners may count angles in float32
)


@apply_rope.cases
def _(draw):
    def positions(time, highest=60):
        return torch.randperm(highest, generator=draw.generator)[:time]

    yield Case(
        "one pair of channels, position 1", {"x": draw.normal(1, 2), "positions": torch.tensor([1])}
    )
    yield Case("position 0 turns nothing", {"x": draw.normal(1, 4), "positions": torch.tensor([0])})
    yield Case("three positions in order", {"x": draw.normal(3, 4), "positions": torch.arange(3)})
    yield Case(
        "positions that start at 7", {"x": draw.normal(2, 6), "positions": torch.arange(7, 9)}
    )
    yield Case(
        "positions in no order, one twice",
        {"x": draw.normal(5, 4), "positions": positions(4).repeat(2)[:5]},
    )
    yield Case("a batch of two", {"x": draw.normal(2, 3, 6, scale=3.0), "positions": positions(3)})
    heads = {"x": draw.normal(2, 3, 5, 8), "positions": positions(5)}
    yield Case("batch and heads", heads)
    base = {
        "x": draw.normal(3, 8),
        "positions": positions(3),
        "base": float(draw.random.randint(20, 900)),
    }
    yield Case("another base", base)
    yield Case("double precision", {"x": draw.normal(4, 6).double(), "positions": positions(4)})
    yield Case("the gradient", {"x": draw.normal(3, 4), "positions": positions(3)}, _gradient)
    if draw.hidden:
        yield Case(
            "a longer text", {"x": draw.normal(2, 4, 17, 12), "positions": positions(17, 150)}
        )


def _gradient(solution, x, positions):
    """The gradient of the sum of cubes: that of the squares is 2x, whatever the angles."""
    return gradient_of(0)(lambda x: solution(x, positions).abs() ** 1.5, x)


def _rope_angles(x, positions, base):
    return positions[:, None] / base ** (torch.arange(0, x.shape[-1], 2) / x.shape[-1])


def _turn_halves(x, angles):
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


@apply_rope.misconception
def pairs_neighbouring_channels(x, positions, base=10_000.0):
    """You turn channels 2i and 2i + 1 together, as the paper does. This course turns i and
    i + d_k/2, the halves, as LLaMA's checkpoints do: same idea, other channels."""
    angles = _rope_angles(x, positions, base)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


@apply_rope.misconception
def mixes_the_two_pairings(x, positions, base=10_000.0):
    """The angles are laid out for neighbouring channels (each twice in a row), but the turn pairs
    the two halves. Channels i and i + d_k/2 must share an angle: the list of angles comes twice,
    one copy after the other."""
    angles = _rope_angles(x, positions, base).repeat_interleave(2, dim=-1)
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return x * angles.cos().to(x.dtype) + turned * angles.sin().to(x.dtype)


@apply_rope.misconception
def counts_from_zero_whatever_the_positions(x, positions, base=10_000.0):
    """The angles must follow the argument `positions`. Yours numbers the steps 0, 1, 2, ...,
    which goes wrong as soon as a cache or padding makes positions start elsewhere."""
    return _turn_halves(x, _rope_angles(x, torch.arange(x.shape[-2]), base))


@apply_rope.misconception
def turns_the_other_way(x, positions, base=10_000.0):
    """A turn by a positive angle takes (1, 0) to (cos, sin). Yours goes the other way round: look
    at the sign of the two sines."""
    return _turn_halves(x, -_rope_angles(x, positions, base))


@apply_rope.misconception
def reuses_the_half_it_has_turned(x, positions, base=10_000.0):
    """The second half is computed from the first half as it was BEFORE the turn. In yours the
    first half has already been replaced when the second needs it."""
    angles = _rope_angles(x, positions, base)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    first = first * cos - second * sin
    second = first * sin + second * cos
    return torch.cat([first, second], dim=-1)


@apply_rope.misconception
def turns_every_pair_by_the_same_angle(x, positions, base=10_000.0):
    """Every pair of channels turns by the same angle. Pair i should turn base^(2i / d_k) times
    slower than pair 0, so that some pairs tell near from far."""
    return _turn_halves(x, positions[:, None].float())


@apply_rope.misconception
def uses_half_the_exponent_for_rope(x, positions, base=10_000.0):
    """The exponent of pair i is 2i / d_k: it runs from 0 almost to 1. Yours is i / d_k, so the slow
    turns are missing."""
    d_k = x.shape[-1]
    return _turn_halves(x, positions[:, None] / base ** (torch.arange(d_k // 2) / d_k))


@apply_rope.misconception
def multiplies_the_angle_by_the_power(x, positions, base=10_000.0):
    """The angle is the position divided by base^(2i / d_k), so later pairs turn slower. Yours
    multiplies, and they spin faster without end."""
    powers = base ** (torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    return _turn_halves(x, positions[:, None] * powers)


@apply_rope.misconception
def has_a_fixed_base(x, positions, base=10_000.0):
    """With the usual base this is right, but `base` is an argument: put it in place of the number
    10000."""
    return _turn_halves(x, _rope_angles(x, positions, 10_000.0))


@apply_rope.misconception
def adds_the_waves(x, positions, base=10_000.0):
    """This adds sines and cosines to x, as the original transformer does to its embeddings. Rotary
    positions add nothing: they turn each pair of channels, and every length stays as it is."""
    angles = _rope_angles(x, positions, base)
    return x + torch.cat([angles.sin(), angles.cos()], dim=-1).to(x.dtype)


@apply_rope.alternative
def with_rotate_half(x, positions, base=10_000.0):
    """x cos + rotate_half(x) sin, as most libraries write it."""
    speeds = 1.0 / base ** (torch.arange(0, x.shape[-1], 2).float() / x.shape[-1])
    angles = torch.outer(positions.float(), speeds).repeat(1, 2)
    half = x.shape[-1] // 2
    rotated = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return x * angles.cos().to(x.dtype) + rotated * angles.sin().to(x.dtype)


@apply_rope.alternative
def with_complex_numbers(x, positions, base=10_000.0):
    """A turn is a product with exp(i angle)."""
    points = torch.complex(*x.chunk(2, dim=-1))
    angles = _rope_angles(x, positions, base).to(x.dtype)
    turned = points * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], dim=-1)


@apply_rope.alternative
def with_rotation_matrices(x, positions, base=10_000.0):
    """One 2 x 2 matrix for each position and pair."""
    angles = _rope_angles(x, positions, base).to(x.dtype)
    rows = [
        torch.stack([angles.cos(), -angles.sin()], -1),
        torch.stack([angles.sin(), angles.cos()], -1),
    ]
    matrices = torch.stack(rows, dim=-2)  # [time, pair, 2, 2]
    points = torch.stack(x.chunk(2, dim=-1), dim=-1)  # [..., time, pair, 2]
    return torch.einsum("tpij,...tpj->...itp", matrices, points).movedim(-3, -2).flatten(-2)
