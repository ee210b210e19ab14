"""Notebook 03: what each attention exercise demands."""

from __future__ import annotations

import math

import torch
from torch import nn

from course_lib import attention
from course_lib.checks.exercise import Case, Exercise, gradient_of, peak_bytes, refuses

INF = float("inf")

# --- softmax -------------------------------------------------------------------------------

softmax = Exercise(
    "attention.softmax",
    points=2,
    reference=attention.softmax,
    forbids=("torch.softmax", "torch.nn.functional.softmax", "torch.Tensor.softmax"),
    tolerance=1e-4,  # x - logsumexp(x) rounds a little, and is right
)


@softmax.cases
def _(draw):
    yield Case("three scores", {"x": draw.normal(3), "dim": 0})
    yield Case("the rows of a matrix", {"x": draw.normal(2, 3, scale=3.0), "dim": -1})
    yield Case("its columns", {"x": draw.normal(2, 3, scale=3.0), "dim": 0})
    yield Case("the middle axis of three", {"x": draw.normal(2, 4, 3), "dim": 1})
    yield Case("scores in the hundreds", {"x": draw.normal(4, scale=5.0) + 200, "dim": 0})
    yield Case("scores far below zero", {"x": draw.normal(4, scale=5.0) - 200, "dim": 0})
    apart = draw.normal(2, 3) + torch.tensor([[0.0], [-200.0]])
    yield Case("a row far below another row", {"x": apart, "dim": -1})
    blocked = draw.normal(2, 3)
    blocked[0, 1] = -INF
    yield Case("one blocked score (-inf)", {"x": blocked, "dim": -1})
    nothing = draw.normal(2, 3)
    nothing[1] = -INF
    yield Case("a row in which every score is blocked", {"x": nothing, "dim": -1})
    yield Case("double precision", {"x": draw.normal(3).double(), "dim": 0})
    yield Case("the gradient", {"x": draw.normal(2, 3), "dim": -1}, gradient_of(0))
    yield Case("the gradient of a blocked row", {"x": nothing, "dim": -1}, gradient_of(0))
    if draw.hidden:
        yield Case("many rows", {"x": draw.normal(5, 7, 11, scale=30.0), "dim": -2})


@softmax.misconception
def overflows_for_large_scores(x, dim):
    """`exp` of a large score is infinite, and inf / inf is NaN. Subtract the largest score of
    each slice first: the result is the same, and nothing overflows."""
    exp = x.exp()
    return exp / exp.sum(dim, keepdim=True)


@softmax.misconception
def subtracts_the_largest_of_everything(x, dim):
    """Subtracting a number from a whole slice changes nothing, so any number would do, but it has
    to be near the scores of that slice. Yours is the largest score of the whole tensor: a row far
    below it becomes 0 / 0. Take the largest along `dim`."""
    exp = (x - x.max()).exp()
    return exp / exp.sum(dim, keepdim=True)


@softmax.misconception
def divides_by_the_sum_of_everything(x, dim):
    """Each slice along `dim` must sum to one. Yours divides by the sum over the whole tensor;
    sum along `dim` only, with `keepdim=True`."""
    exp = (x - _largest(x, dim)).exp()
    return exp / exp.sum()


@softmax.misconception
def always_uses_the_last_axis(x, dim):
    """The weights must sum to one along `dim`. Yours always uses the last axis."""
    return attention.softmax(x, -1)


@softmax.misconception
def gives_nan_when_everything_is_blocked(x, dim):
    """When every score of a slice is -inf there is nothing to attend to, and the weights are
    zeros. Yours gives NaN: -inf minus -inf is NaN, and so is 0 / 0."""
    exp = (x - x.amax(dim, keepdim=True)).exp()
    return exp / exp.sum(dim, keepdim=True)


@softmax.misconception
def replaces_nan_too_late(x, dim):
    """The values are right, but the NaN is still there one step earlier, and the gradient of a
    blocked row runs into it. Keep it from arising: choose what you subtract, and what you divide
    by, so that -inf minus -inf and 0 / 0 never happen."""
    exp = (x - x.amax(dim, keepdim=True)).exp()
    return (exp / exp.sum(dim, keepdim=True)).nan_to_num(0.0)


@softmax.misconception
def shares_out_evenly_when_everything_is_blocked(x, dim):
    """With a very small number in place of -inf, a slice in which everything is blocked comes out
    evenly shared: all its scores are equally small. Nothing to attend to must give zeros."""
    x = x.clamp(min=-1e9)
    exp = (x - x.amax(dim, keepdim=True)).exp()
    return exp / exp.sum(dim, keepdim=True)


@softmax.misconception
def shares_without_exponentiating(x, dim):
    """Dividing the scores by their sum gives negative weights for negative scores. Take `exp`
    first: it makes every score positive and keeps their order."""
    return x / x.sum(dim, keepdim=True)


@softmax.misconception
def returns_log_probabilities(x, dim):
    """These are the logarithms of the weights. Take `exp` of them, or leave out the `log`."""
    return torch.log_softmax(x, dim)


def _largest(x, dim):
    return x.amax(dim, keepdim=True).clamp(min=torch.finfo(x.dtype).min)


@softmax.alternative
def through_log_sum_exp(x, dim):
    """exp(x - logsumexp(x)) with the empty rows filled in."""
    blocked = (x == -torch.inf).all(dim, keepdim=True)
    x = x.masked_fill(blocked, 0.0)
    return (x - x.logsumexp(dim, keepdim=True)).exp().masked_fill(blocked, 0.0)


@softmax.alternative
def by_moving_the_axis_to_the_end(x, dim):
    """The axis goes to the end, comes back at the end."""
    x = x.movedim(dim, -1)
    exp = (x - _largest(x, -1)).exp()
    return (exp / exp.sum(-1, keepdim=True).clamp(min=1e-30)).movedim(-1, dim)


@softmax.alternative
def with_a_tiny_number_below(x, dim):
    """Nothing divides by zero when a tiny number is added."""
    exp = (x - torch.nan_to_num(x.max(dim, keepdim=True).values, neginf=0.0)).exp()
    return exp / (exp.sum(dim, keepdim=True) + 1e-12)


# --- attention_scores ----------------------------------------------------------------------

attention_scores = Exercise(
    "attention.attention_scores",
    points=1,
    reference=attention.attention_scores,
    tolerance=1e-4,  # the sum over d_k may be taken in any order
)


@attention_scores.cases
def _(draw):
    yield Case("one query, two keys", {"q": draw.normal(1, 4), "k": draw.normal(2, 4)})
    yield Case("more queries than keys", {"q": draw.normal(3, 5), "k": draw.normal(2, 5)})
    yield Case("as many queries as keys", {"q": draw.normal(3, 2), "k": draw.normal(3, 2)})
    yield Case("a batch", {"q": draw.normal(2, 3, 5), "k": draw.normal(2, 4, 5)})
    yield Case("batch and heads", {"q": draw.normal(2, 3, 4, 6), "k": draw.normal(2, 3, 5, 6)})
    double = {"q": draw.normal(2, 3).double(), "k": draw.normal(4, 3).double()}
    yield Case("double precision", double)
    yield Case("the gradient", {"q": draw.normal(2, 3), "k": draw.normal(4, 3)}, gradient_of(1))
    if draw.hidden:
        q, k = draw.normal(3, 2, 7, 16), draw.normal(3, 2, 11, 16)
        yield Case("wider heads", {"q": q, "k": k})


@attention_scores.misconception
def forgets_the_scale(q, k):
    """These are the bare dot products. Their spread grows with the width of a head; divide by
    the square root of `d_k`, so that it does not."""
    return q @ k.transpose(-2, -1)


@attention_scores.misconception
def divides_by_d_k_itself(q, k):
    """The variance of a dot product grows with d_k, so its typical size grows with the square
    root of d_k, and that is what to divide by. Yours divides by d_k."""
    return q @ k.transpose(-2, -1) / q.shape[-1]


@attention_scores.misconception
def multiplies_by_the_root(q, k):
    """The scale brings the scores down: divide by the square root of d_k. Yours multiplies."""
    return q @ k.transpose(-2, -1) * math.sqrt(q.shape[-1])


@attention_scores.misconception
def scales_by_the_number_of_keys(q, k):
    """A score is a sum over the channels of a head, so the scale depends on their number, d_k:
    the last axis. Yours takes the root of the number of keys."""
    return q @ k.transpose(-2, -1) / math.sqrt(k.shape[-2])


@attention_scores.misconception
def scales_by_the_number_of_queries(q, k):
    """A score is a sum over the channels of a head, so the scale depends on their number, d_k:
    the last axis. Yours takes the root of the number of queries."""
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-2])


@attention_scores.misconception
def puts_keys_in_the_rows(q, k):
    """Each row belongs to a query and each column to a key: [target, source]. Yours is the other
    way round; look at the order of the two factors."""
    return k @ q.transpose(-2, -1) / math.sqrt(q.shape[-1])


@attention_scores.misconception
def transposes_every_axis(q, k):
    """`.T` turns round all the axes of a tensor, the batch and the heads as well. Swap the last
    two only, with `transpose(-2, -1)` or `.mT`."""
    return q @ k.permute(*reversed(range(k.ndim))) / math.sqrt(q.shape[-1])


@attention_scores.misconception
def compares_directions_only(q, k):
    """This is the cosine similarity: the lengths of queries and keys are divided away. In
    attention they count, since a model uses them to look harder or not; only the constant
    sqrt(d_k) is divided out."""
    q, k = q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True)
    return q @ k.transpose(-2, -1)


@attention_scores.misconception
def takes_the_softmax_already(q, k):
    """These are shares already. Return the scores themselves: a mask has to be applied to them
    before the softmax."""
    return attention.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), -1)


@attention_scores.alternative
def with_einsum(q, k):
    """The sum over the channel d, written out."""
    return torch.einsum("...td,...sd->...ts", q, k) * q.shape[-1] ** -0.5


@attention_scores.alternative
def scales_the_queries_first(q, k):
    """The scale may go to the queries: it is cheaper there."""
    return (q / q.shape[-1] ** 0.5) @ k.mT


@attention_scores.alternative
def every_pair_by_broadcasting(q, k):
    """Every query beside every key, multiplied channel by channel."""
    return (q.unsqueeze(-2) * k.unsqueeze(-3)).sum(-1) / math.sqrt(k.size(-1))


# --- causal_mask ---------------------------------------------------------------------------

causal_mask = Exercise("attention.causal_mask", points=2, reference=attention.causal_mask)


@causal_mask.cases
def _(draw):
    yield Case("one token", {"target": 1})
    yield Case("three tokens", {"target": 3})
    yield Case("as many queries as keys, said twice", {"target": 4, "source": 4})
    yield Case("the last two of five tokens", {"target": 2, "source": 5})
    yield Case("the last one of several tokens", {"target": 1, "source": draw.random.randint(3, 6)})
    yield Case("more queries than keys", {"target": 5, "source": 2})
    yield refuses("a negative number", {"target": -1}, "target")
    if draw.hidden:
        for _ in range(3):
            target, source = draw.random.randint(5, 12), draw.random.randint(5, 12)
            yield Case("other sizes", {"target": target, "source": source})


@causal_mask.misconception
def true_means_blocked(target, source=None):
    """Here True means "may attend". Yours is True where looking is forbidden, as in
    `torch.nn.MultiheadAttention`: turn it round."""
    source = target if source is None else source
    return torch.ones(target, source, dtype=torch.bool).triu(source - target + 1)


@causal_mask.misconception
def forbids_a_position_to_see_itself(target, source=None):
    """A position may attend to itself: the diagonal is True. What a model must not see is the
    token it shall predict, and that is the next one; the loss takes care of that shift."""
    source = target if source is None else source
    return torch.ones(target, source, dtype=torch.bool).tril(source - target - 1)


@causal_mask.misconception
def lets_each_position_see_the_next(target, source=None):
    """Each of your queries sees one key too many, the one after its own position. The diagonal
    is the last that may be True."""
    source = target if source is None else source
    return torch.ones(target, source, dtype=torch.bool).tril(source - target + 1)


@causal_mask.misconception
def sees_the_future_and_not_the_past(target, source=None):
    """Yours lets each position look at itself and at what comes after it. It is the other half
    that is allowed: `tril` keeps the lower left."""
    source = target if source is None else source
    return torch.ones(target, source, dtype=torch.bool).triu(source - target)


@causal_mask.misconception
def lines_up_the_first_query_with_the_first_key(target, source=None):
    """With fewer queries than keys, the queries are the last tokens: the last query sees the last
    key. Yours gives the first query the first key alone; shift the diagonal by the difference of
    the two lengths."""
    source = target if source is None else source
    return torch.ones(target, source, dtype=torch.bool).tril()


@causal_mask.misconception
def shifts_the_diagonal_the_wrong_way(target, source=None):
    """The diagonal is shifted, but to the wrong side: with more keys than queries, each query
    should see more keys, not fewer. It is source - target."""
    source = target if source is None else source
    return torch.ones(target, source, dtype=torch.bool).tril(target - source)


@causal_mask.misconception
def ignores_source(target, source=None):
    """The mask has a column for each key, and there are `source` of them. Yours always has as many
    columns as rows."""
    return torch.ones(target, target, dtype=torch.bool).tril()


@causal_mask.misconception
def gives_numbers_and_not_booleans(target, source=None):
    """The pattern is right, but these are numbers. A mask is boolean here: make it with
    `dtype=torch.bool`."""
    source = target if source is None else source
    return torch.tril(torch.ones(target, source), diagonal=source - target)


@causal_mask.misconception
def gives_what_is_added_to_the_scores(target, source=None):
    """This is the other kind of mask, zeros and -inf to add to the scores. Here a mask is
    boolean, True where a query may attend."""
    source = target if source is None else source
    return torch.full((target, source), -INF).triu(source - target + 1)


@causal_mask.alternative
def by_comparing_positions(target, source=None):
    """The position of a query is at least that of the key."""
    source = source if source is not None else target
    if min(target, source) < 0:
        raise ValueError(f"target and source must not be negative, got {target}, {source}")
    queries = torch.arange(source - target, source)
    return queries[:, None] >= torch.arange(source)[None, :]


@causal_mask.alternative
def as_a_list_of_rows(target, source=None):
    """One comparison a cell."""
    source = source if source is not None else target
    if target < 0:
        raise ValueError("target must not be negative")
    return torch.tensor([[j - i <= source - target for j in range(source)] for i in range(target)])


@causal_mask.alternative
def not_the_upper_half(target, source=None):
    """All but what lies above the diagonal."""
    source = source if source is not None else target
    if target < 0:
        raise ValueError("target must not be negative")
    return ~torch.triu(torch.ones(target, source), source - target + 1).bool()


# --- padding_mask --------------------------------------------------------------------------

padding_mask = Exercise("attention.padding_mask", points=1, reference=attention.padding_mask)


@padding_mask.cases
def _(draw):
    def rows(*lengths, left=False, width=None):
        width = width or max(lengths)
        mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
        return mask.flip(1) if left else mask

    yield Case("one text, no padding", {"attention_mask": rows(3)})
    yield Case("two texts, the second one padded", {"attention_mask": rows(3, 2)})
    yield Case("padding on the left", {"attention_mask": rows(1, 4, 2, left=True)})
    yield Case("a row of padding alone", {"attention_mask": rows(0, 2, width=3)})
    yield Case("booleans", {"attention_mask": rows(5, 3).bool()})
    lengths = [draw.random.randint(1, 7) for _ in range(4)]
    yield Case("four texts", {"attention_mask": rows(*lengths, width=7)})
    if draw.hidden:
        yield Case("any zeros and ones", {"attention_mask": draw.ids(2, 6, 9)})


@padding_mask.misconception
def true_means_padding(attention_mask):
    """Here True means "may attend". Yours is True for the padding, as the `key_padding_mask` of
    `torch.nn.MultiheadAttention`: turn it round."""
    return (attention_mask == 0)[:, None, None, :]


@padding_mask.misconception
def leaves_out_the_axes_of_heads_and_targets(attention_mask):
    """The values are right, but the shape is [batch, source]. Beside scores of shape [batch,
    heads, target, source] torch would read its first axis as targets. Put two axes of size 1
    between the two."""
    return attention_mask.bool()


@padding_mask.misconception
def leaves_out_the_axis_of_the_heads(attention_mask):
    """One axis is missing: scores have four, [batch, heads, target, source], and yours has three.
    Lined up from the right, its batch would meet the heads."""
    return attention_mask.bool()[:, None, :]


@padding_mask.misconception
def hides_the_queries_and_not_the_keys(attention_mask):
    """The padding has to be hidden as a key, from whoever looks: it belongs on the last axis. Yours
    has it on the axis of the targets."""
    return attention_mask.bool()[:, None, :, None]


@padding_mask.misconception
def puts_the_keys_right_after_the_batch(attention_mask):
    """The two new axes stand at the end. The keys belong on the last axis: [batch, 1, 1,
    source]."""
    return attention_mask.bool()[:, :, None, None]


@padding_mask.misconception
def blocks_the_rows_of_padding_as_well(attention_mask):
    """Yours is [batch, 1, source, source] and forbids padded queries to look at anything. What
    they find is never used, so it is enough, and cheaper, to hide the keys: [batch, 1, 1,
    source]."""
    kept = attention_mask.bool()
    return (kept[:, :, None] & kept[:, None, :])[:, None]


@padding_mask.misconception
def gives_numbers_and_not_booleans_for_padding(attention_mask):
    """The shape and the pattern are right, but these are still the tokenizer's numbers. A mask is
    boolean here: `.bool()`."""
    return attention_mask.long()[:, None, None, :]


@padding_mask.misconception
def gives_what_is_added_to_the_scores_for_padding(attention_mask):
    """This is the other kind of mask, to be added to the scores (0 or a very negative number).
    Here a mask is boolean, True where a query may attend."""
    return (1.0 - attention_mask.float()[:, None, None, :]) * -1e9


@padding_mask.alternative
def one_axis_after_the_other(attention_mask):
    """`unsqueeze` twice."""
    return (attention_mask == 1).unsqueeze(1).unsqueeze(1)


@padding_mask.alternative
def by_view(attention_mask):
    """The sizes written out."""
    batch, source = attention_mask.shape
    return attention_mask.reshape(batch, 1, 1, source) != 0


# --- scaled_dot_product_attention ----------------------------------------------------------

scaled_dot_product_attention = Exercise(
    "attention.scaled_dot_product_attention",
    points=3,
    reference=attention.scaled_dot_product_attention,
    forbids=("torch.nn.functional.scaled_dot_product_attention",),
    tolerance=1e-4,
)


@scaled_dot_product_attention.cases
def _(draw):
    def qkv(*batch, target, source, d_k, d_v):
        shapes = {"q": (target, d_k), "k": (source, d_k), "v": (source, d_v)}
        return {name: draw.normal(*batch, *shape) for name, shape in shapes.items()}

    yield Case("one query, two keys", qkv(target=1, source=2, d_k=4, d_v=3))
    yield Case("three queries, four keys", qkv(target=3, source=4, d_k=5, d_v=2))
    yield Case("batch and heads", qkv(2, 3, target=4, source=5, d_k=6, d_v=7))

    causal = {"mask": attention.causal_mask(3)}
    small = qkv(target=3, source=3, d_k=4, d_v=2)
    yield Case("a causal mask", small | causal)
    kept = attention.padding_mask(torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]]))
    yield Case("padding", qkv(2, 3, target=5, source=4, d_k=2, d_v=3) | {"mask": kept})
    nothing = torch.tensor([[True, False, True], [False, False, False]])
    blind = qkv(target=2, source=3, d_k=4, d_v=2) | {"mask": nothing}
    yield Case("a query that may attend to nothing", blind)
    far = qkv(target=3, source=4, d_k=5, d_v=2)  # large, so that another is shown first
    far["q"], far["k"] = 1e5 * (1 + far["q"].abs()), -1e6 * (1 + far["k"].abs())
    far["mask"] = attention.causal_mask(3, 4)
    yield Case("allowed scores far below -1e9", far)

    double = {name: value.double() for name, value in small.items()}
    yield Case("double precision", double | causal)
    yield Case("the gradient at the queries", blind, gradient_of(0))
    yield Case("the gradient at the keys", blind, gradient_of(1))
    yield Case("the gradient at the values", small | causal, gradient_of(2))
    if draw.hidden:
        large = qkv(3, 2, target=9, source=7, d_k=8, d_v=5)
        large["mask"] = draw.normal(3, 1, 9, 7) < 0.5
        yield Case("a larger batch with another mask for each row", large)


def _scores(q, k):
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])


@scaled_dot_product_attention.misconception
def reads_the_mask_upside_down(q, k, v, mask=None):
    """True means "may attend". Yours blocks where the mask is True: fill where it is False,
    `~mask`."""
    scores = _scores(q, k)
    if mask is not None:
        scores = scores.masked_fill(mask, -INF)
    weights = attention.softmax(scores, -1)
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def ignores_the_mask(q, k, v, mask=None):
    """Without a mask this is right, but `mask` is never used. Block the scores where it is False,
    before the softmax."""
    weights = attention.softmax(_scores(q, k), -1)
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def forgets_to_scale_the_scores(q, k, v, mask=None):
    """These are the weights of the bare dot products. Divide the scores by the square root of
    d_k, or call `attention_scores`, which does."""
    scores = q @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, -INF)
    weights = attention.softmax(scores, -1)
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def masks_after_the_softmax(q, k, v, mask=None):
    """The blocked weights are zero, but the others no longer sum to one: the blocked scores had
    their share already. Block the scores with -inf before the softmax."""
    weights = attention.softmax(_scores(q, k), -1)
    if mask is not None:
        weights = weights * mask
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def multiplies_the_scores_by_the_mask(q, k, v, mask=None):
    """A score of zero is not "blocked": exp(0) is 1, and every negative score loses against it.
    A blocked score is -inf."""
    scores = _scores(q, k)
    if mask is not None:
        scores = scores * mask
    weights = attention.softmax(scores, -1)
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def adds_the_boolean_mask(q, k, v, mask=None):
    """Adding True and False adds 1 and 0 to the scores; nothing is blocked by that. Fill the
    scores with -inf where the mask is False."""
    scores = _scores(q, k)
    if mask is not None:
        scores = scores + mask
    weights = attention.softmax(scores, -1)
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def blocks_with_a_finite_number(q, k, v, mask=None):
    """A very negative number is still a score. Where everything is blocked it shares out evenly,
    and an allowed score that is lower still loses against it. Use -inf, which nothing beats."""
    scores = _scores(q, k)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = attention.softmax(scores, -1)
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def gives_nan_for_a_query_that_sees_nothing(q, k, v, mask=None):
    """A query with nothing to attend to gets zeros. Yours gets NaN: `torch.softmax` of -inf
    throughout is NaN. Your own `softmax` gives zeros there."""
    scores = _scores(q, k)
    if mask is not None:
        scores = scores.masked_fill(~mask, -INF)
    weights = torch.softmax(scores, -1)
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def shares_among_the_queries(q, k, v, mask=None):
    """Each query shares its attention among the keys, so each row sums to one: softmax along the
    last axis. Yours goes along the queries."""
    scores = _scores(q, k)
    if mask is not None:
        scores = scores.masked_fill(~mask, -INF)
    weights = attention.softmax(scores, -2)
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def returns_the_weights_first(q, k, v, mask=None):
    """Both are right, but in the other order: the output first, then the weights."""
    output, weights = attention.scaled_dot_product_attention(q, k, v, mask)
    return weights, output


@scaled_dot_product_attention.misconception
def returns_the_output_alone(q, k, v, mask=None):
    """The output is right. Return the weights too, as a pair: `return output, weights`."""
    return attention.scaled_dot_product_attention(q, k, v, mask)[0]


@scaled_dot_product_attention.misconception
def takes_the_mean_of_the_keys(q, k, v, mask=None):
    """The weights come from the keys, but what is averaged with them are the values. Yours
    returns a mean of keys."""
    _, weights = attention.scaled_dot_product_attention(q, k, v, mask)
    return weights @ k, weights


@scaled_dot_product_attention.alternative
def with_torch_softmax_and_a_repair(q, k, v, mask=None):
    """torch's softmax; rows without any key are filled afterwards."""
    scores = torch.einsum("...td,...sd->...ts", q, k) / q.size(-1) ** 0.5
    if mask is None:
        mask = torch.ones_like(scores, dtype=torch.bool)
    weights = scores.masked_fill(~mask, -INF).softmax(-1).nan_to_num(0.0)
    return torch.einsum("...ts,...sv->...tv", weights, v), weights


@scaled_dot_product_attention.alternative
def by_adding_minus_infinity(q, k, v, mask=None):
    """The mask as a term to add."""
    scores = attention.attention_scores(q, k)
    if mask is not None:
        scores = scores + torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, -INF)
    weights = attention.softmax(scores, -1)
    return torch.matmul(weights, v), weights


@scaled_dot_product_attention.alternative
def with_where(q, k, v, mask=None):
    """`torch.where` chooses between score and -inf."""
    scores = (q / math.sqrt(q.shape[-1])) @ k.mT
    scores = scores if mask is None else torch.where(mask, scores, -INF)
    weights = attention.softmax(scores, dim=scores.ndim - 1)
    return weights @ v, weights


# --- split_heads and merge_heads -----------------------------------------------------------

split_heads = Exercise("attention.split_heads", points=2, reference=attention.split_heads)


@split_heads.cases
def _(draw):
    counted = torch.arange(12.0).reshape(1, 2, 6)
    yield Case("two tokens of six channels, counted through", {"x": counted, "n_heads": 3})
    yield Case("the same, two heads", {"x": counted, "n_heads": 2})
    yield Case("a batch", {"x": draw.normal(2, 3, 8), "n_heads": 2})
    yield Case("a single head", {"x": draw.normal(2, 3, 4), "n_heads": 1})
    yield Case("as many heads as channels", {"x": draw.normal(2, 3, 4), "n_heads": 4})
    yield Case("more tokens than channels", {"x": draw.normal(2, 7, 6), "n_heads": 2})
    yield Case("the gradient", {"x": draw.normal(1, 2, 6), "n_heads": 3}, gradient_of(0))
    yield refuses("heads that do not divide the width", {"x": counted, "n_heads": 4}, "n_heads")
    if draw.hidden:
        yield Case("a larger batch", {"x": draw.normal(3, 5, 24), "n_heads": 6})


@split_heads.misconception
def reshapes_straight_into_heads(x, n_heads):
    """The shape is right, but the numbers are in the wrong places: reshaping into [batch, heads,
    time, d_k] at once cuts the text into pieces and gives each head another piece. Cut the
    channels first, [batch, time, heads, d_k], then swap the two middle axes."""
    batch, time, width = x.shape
    return x.reshape(batch, n_heads, time, width // n_heads)


@split_heads.misconception
def deals_channels_out_like_cards(x, n_heads):
    """Yours gives head 0 every n-th channel. Here a head takes a run of neighbouring channels: let
    the axis of the heads come before the axis of the channels of a head when you cut."""
    batch, time, width = x.shape
    return x.reshape(batch, time, width // n_heads, n_heads).permute(0, 3, 1, 2)


@split_heads.misconception
def leaves_the_heads_behind_the_time(x, n_heads):
    """The channels are cut well, but the heads still stand behind the time: [batch, time, heads,
    d_k]. Attention compares along the last two axes, so bring the heads forward."""
    batch, time, width = x.shape
    return x.reshape(batch, time, n_heads, width // n_heads)


@split_heads.misconception
def takes_n_heads_for_the_width_of_a_head(x, n_heads):
    """Yours makes heads of `n_heads` channels each. There are `n_heads` heads, and each has width /
    n_heads channels."""
    batch, time, width = x.shape
    return x.reshape(batch, time, width // n_heads, n_heads).transpose(1, 2)


@split_heads.misconception
def folds_the_heads_into_the_batch(x, n_heads):
    """The heads are right, but they are mixed into the batch: [batch * heads, time, d_k]. Keep the
    two apart: [batch, heads, time, d_k]."""
    batch, time, width = x.shape
    heads = x.reshape(batch, time, n_heads, width // n_heads).transpose(1, 2)
    return heads.reshape(batch * n_heads, time, width // n_heads)


@split_heads.misconception
def puts_the_heads_first(x, n_heads):
    """The heads are cut well, but they come before the batch. The order is [batch, heads, time,
    d_k]."""
    return torch.stack(x.chunk(n_heads, dim=-1))


@split_heads.alternative
def by_stacking_chunks(x, n_heads):
    """Cut into chunks, stack them on a new axis."""
    return torch.stack(_divided(x, n_heads).chunk(n_heads, dim=-1), dim=1)


@split_heads.alternative
def by_unflatten_and_permute(x, n_heads):
    """`unflatten` cuts an axis."""
    return _divided(x, n_heads).unflatten(-1, (n_heads, -1)).permute(0, 2, 1, 3)


@split_heads.alternative
def one_head_after_the_other(x, n_heads):
    """A slice of channels for each head."""
    d_k = _divided(x, n_heads).shape[-1] // n_heads
    return torch.stack([x[..., h * d_k : (h + 1) * d_k] for h in range(n_heads)], 1)


def _divided(x, n_heads):
    if x.shape[-1] % n_heads != 0:
        raise ValueError(f"n_heads must divide the width, got {n_heads}")
    return x


merge_heads = Exercise("attention.merge_heads", points=1, reference=attention.merge_heads)


@merge_heads.cases
def _(draw):
    counted = torch.arange(12.0).reshape(1, 3, 2, 2)
    yield Case("three heads, two tokens, counted through", {"x": counted})
    yield Case("two heads, three tokens", {"x": draw.normal(1, 2, 3, 2)})
    yield Case("a batch", {"x": draw.normal(2, 3, 5, 4)})
    yield Case("a single head", {"x": draw.normal(2, 1, 3, 4)})
    yield Case("heads of one channel", {"x": draw.normal(2, 4, 3, 1)})
    split = attention.split_heads(draw.normal(2, 5, 6), 3)
    yield Case("what `split_heads` returned", {"x": split})
    yield Case("the gradient", {"x": draw.normal(1, 2, 3, 2)}, gradient_of(0))
    if draw.hidden:
        yield Case("more heads", {"x": draw.normal(3, 6, 7, 5)})


@merge_heads.misconception
def reshapes_without_moving_the_axes_back(x):
    """Time and heads have to change places before the channels are joined: [batch, time, heads,
    d_k]. Without that, a row of your result holds one head at several moments."""
    batch, heads, time, d_k = x.shape
    return x.reshape(batch, time, heads * d_k)


@merge_heads.misconception
def uses_view_on_a_transposed_tensor(x):
    """After `transpose` the numbers lie in memory in the old order, and `view` refuses to join
    axes that are not neighbours there. `reshape` and `flatten` copy when they have to."""
    batch, heads, time, d_k = x.shape
    return x.transpose(1, 2).view(batch, time, heads * d_k)


@merge_heads.misconception
def averages_the_heads(x):
    """The heads are put side by side, not averaged: each has found something of its own, and the
    projection that follows decides how to mix. The width becomes heads * d_k."""
    return x.mean(dim=1)


@merge_heads.misconception
def adds_the_heads_up(x):
    """The heads are put side by side, not added: each has found something of its own, and the
    projection that follows decides how to mix. The width becomes heads * d_k."""
    return x.sum(dim=1)


@merge_heads.misconception
def interleaves_the_channels(x):
    """Yours takes the first channel of every head, then the second of every head. The channels of a
    head stay together: join [heads, d_k], in this order."""
    return x.permute(0, 2, 3, 1).flatten(2)


@merge_heads.misconception
def stops_before_joining(x):
    """The axes are in the right order, [batch, time, heads, d_k]. Now join the last two into one,
    the width."""
    return x.transpose(1, 2)


@merge_heads.alternative
def by_concatenating_heads(x):
    """Each head's channels, one after the other."""
    return torch.cat(x.unbind(dim=1), dim=-1)


@merge_heads.alternative
def by_permute_and_reshape(x):
    """The long way round."""
    batch, heads, time, d_k = x.shape
    return x.permute(0, 2, 1, 3).contiguous().view(batch, time, heads * d_k)


# --- MultiHeadAttention --------------------------------------------------------------------

MultiHeadAttention = Exercise(
    "attention.MultiHeadAttention",
    points=4,
    reference=attention.MultiHeadAttention,
    forbids=(
        "torch.nn.MultiheadAttention",
        "torch.nn.functional.multi_head_attention_forward",
    ),
    tolerance=1e-4,
)

_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


def _loaded(solution, width, n_heads, weights_seed):
    """The learner's layer with weights that follow from a seed."""
    generator = torch.Generator().manual_seed(weights_seed)
    weights = {}
    for name in _PROJECTIONS:
        weights[f"{name}.weight"] = torch.randn(width, width, generator=generator) / width**0.5
        weights[f"{name}.bias"] = torch.randn(width, generator=generator)
    layer = solution(width, n_heads)
    layer.load_state_dict(weights)
    return layer


def _parameter_shapes(solution, width, n_heads):
    layer = solution(width, n_heads)
    return {name: list(value.shape) for name, value in layer.state_dict().items()}


def _output(solution, width, n_heads, weights_seed, x, context=None, mask=None):
    layer = _loaded(solution, width, n_heads, weights_seed)
    return layer(x, context=context, mask=mask)


def _gradient(solution, width, n_heads, weights_seed, x, context=None, mask=None):
    layer = _loaded(solution, width, n_heads, weights_seed)
    return gradient_of(0)(lambda x: layer(x, context=context, mask=mask), x)


@MultiHeadAttention.cases
def _(draw):
    def case(about, width, n_heads, x, observe=_output, **more):
        seed = draw.random.randint(0, 999)
        sizes = {"width": width, "n_heads": n_heads, "weights_seed": seed}
        return Case(about, {**sizes, "x": x, **more}, observe)

    sizes = {"width": 6, "n_heads": 3}
    yield Case("the names and shapes of the parameters", sizes, _parameter_shapes)
    x, context = draw.normal(2, 3, 6), draw.normal(2, 5, 6)
    yield case("self-attention, two tokens, two heads", 4, 2, draw.normal(1, 2, 4))
    yield case("a batch, three heads", 6, 3, x)
    yield case("a single head", 6, 1, x)
    yield case("cross-attention", 6, 3, x, context=context)
    causal = attention.causal_mask(3)
    yield case("a causal mask", 6, 2, x, context=None, mask=causal)
    kept = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]])
    kept = attention.padding_mask(kept)
    yield case("cross-attention to a padded text", 6, 2, x, context=context, mask=kept)
    per_head = torch.tensor([[True, False, True], [True, True, False]])[:, None, :]
    yield case("a mask of its own for each head", 6, 2, x, context=None, mask=per_head)
    nothing = attention.padding_mask(torch.tensor([[1, 1, 0], [0, 0, 0]]))
    yield case("a row of padding alone", 6, 3, x, context=None, mask=nothing)
    yield case("the gradient", 6, 3, x, _gradient, context=None, mask=nothing)
    yield refuses("heads that do not divide the width", {"width": 6, "n_heads": 4}, "n_heads")
    if draw.hidden:
        x, context = draw.normal(3, 4, 24), draw.normal(3, 7, 24)
        mask = attention.causal_mask(4, 7)
        yield case("a wider layer", 24, 6, x, context=context, mask=mask)


class _Projections(nn.Module):
    """The part that everybody writes alike."""

    bias = True

    def __init__(self, width, n_heads):
        super().__init__()
        if width % n_heads != 0:
            raise ValueError(f"n_heads must divide the width {width}, got {n_heads}")
        self.n_heads = n_heads
        for name in _PROJECTIONS:
            setattr(self, name, nn.Linear(width, width, bias=self.bias))

    def heads(self, x, context):
        q, k, v = self.q_proj(x), self.k_proj(context), self.v_proj(context)
        return (attention.split_heads(part, self.n_heads) for part in (q, k, v))


@MultiHeadAttention.misconception
class ForgetsTheOutputProjection(_Projections):
    """The heads are joined, but not mixed: `out_proj` is never used. Send the joined heads through
    it."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return attention.merge_heads(output)


@MultiHeadAttention.misconception
class IgnoresTheContext(_Projections):
    """When there is a `context`, keys and values come from it. Yours always looks at x itself."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x)
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class TakesTheQueriesFromTheContext(_Projections):
    """The roles are swapped: x asks and the context answers. Queries come from x, keys and values
    from the context, and there is one output for each token of x."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x if context is None else context, x)
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class TakesTheValuesFromX(_Projections):
    """The keys come from the context and the values from x. A value belongs to its key: both come
    from the context."""

    def forward(self, x, context=None, mask=None):
        context = x if context is None else context
        q, k = self.q_proj(x), self.k_proj(context)
        q, k, v = (attention.split_heads(part, self.n_heads) for part in (q, k, self.v_proj(x)))
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class UsesOneBigHead(_Projections):
    """With one head this is right. Yours attends once over the full width; split queries, keys and
    values into `n_heads` heads first, and merge afterwards."""

    def forward(self, x, context=None, mask=None):
        context = x if context is None else context
        q, k, v = self.q_proj(x), self.k_proj(context), self.v_proj(context)
        q, k, v = q[:, None], k[:, None], v[:, None]
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(output.mean(1))


@MultiHeadAttention.misconception
class ForgetsTheMask(_Projections):
    """The mask never reaches `scaled_dot_product_attention`: pass it on."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        output, _ = attention.scaled_dot_product_attention(q, k, v)
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class ReturnsTheWeightsToo(_Projections):
    """Return the output alone. `scaled_dot_product_attention` gives a pair; the weights are not
    passed on here."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        output, weights = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(attention.merge_heads(output)), weights


@MultiHeadAttention.misconception
class LeavesOutTheBiases(_Projections):
    """The projections have a bias here, as `nn.Linear` has unless it is told otherwise. Yours have
    none. (Many newer models, LLaMA among them, leave them out; the course says so when it loads
    one.)"""

    bias = False

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class ScalesByTheFullWidth(_Projections):
    """The scores of a head are sums over its own channels, so the scale is sqrt(d_k) with d_k =
    width / n_heads. Yours divides by the root of the full width."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        scores = q @ k.transpose(-2, -1) / math.sqrt(x.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, -INF)
        output = attention.softmax(scores, -1) @ v
        return self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.misconception
class JoinsTheHeadsWithoutMovingTheTimeBack(_Projections):
    """The heads are joined by a bare reshape, so that a row holds one head at several moments. Use
    `merge_heads`, which first brings the time forward again."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(output.reshape(x.shape))


@MultiHeadAttention.misconception
class AddsTheInput(_Projections):
    """Yours adds x to the result. That sum (the residual connection) belongs to the block around
    this layer, in the next notebook; here the output stands alone."""

    def forward(self, x, context=None, mask=None):
        q, k, v = self.heads(x, x if context is None else context)
        output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
        return x + self.out_proj(attention.merge_heads(output))


@MultiHeadAttention.alternative
class OneHeadAfterTheOther(_Projections):
    """A loop over slices of the channels."""

    def forward(self, x, context=None, mask=None):
        context = x if context is None else context
        q, k, v = self.q_proj(x), self.k_proj(context), self.v_proj(context)
        if mask is not None:
            shape = (len(x), self.n_heads, x.shape[1], context.shape[1])
            mask = mask.expand(shape).unbind(1)
        outputs = []
        for h, (q_h, k_h, v_h) in enumerate(
            zip(*(part.chunk(self.n_heads, -1) for part in (q, k, v)), strict=True)
        ):
            mask_h = None if mask is None else mask[h]
            outputs.append(attention.scaled_dot_product_attention(q_h, k_h, v_h, mask_h)[0])
        return self.out_proj(torch.cat(outputs, -1))


@MultiHeadAttention.alternative
class WithEinsum(_Projections):
    """The axes have names."""

    def forward(self, x, context=None, mask=None):
        context = context if context is not None else x
        q, k, v = (
            projection(source).unflatten(-1, (self.n_heads, -1))
            for projection, source in (
                (self.q_proj, x),
                (self.k_proj, context),
                (self.v_proj, context),
            )
        )
        scores = torch.einsum("bthd,bshd->bhts", q, k) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = torch.where(mask, scores, -INF)
        weights = attention.softmax(scores, -1)
        return self.out_proj(torch.einsum("bhts,bshd->bthd", weights, v).flatten(2))


# --- streaming_attention -------------------------------------------------------------------

streaming_attention = Exercise(
    "attention.streaming_attention",
    points=4,
    reference=attention.streaming_attention,
    forbids=("torch.nn.functional.scaled_dot_product_attention",),
    tolerance=1e-4,
)


def _memory_growth(solution, q, k, v, block_size, causal):
    """How the peak memory grows with the number of keys: a quarter of them against all."""
    few = k.shape[-2] // 4
    small = peak_bytes(solution, q, k[..., :few, :], v[..., :few, :], block_size, causal)
    large = peak_bytes(solution, q, k, v, block_size, causal)
    per_key = (large - small) / (k.shape[-2] - few)  # bytes; with 2048 queries, blocks of 32
    if per_key < 120:  # a few copies of the keys and values themselves
        return "peak memory does not grow with the number of keys"
    if per_key < 700:  # a few floats for each query of a block
        return "peak memory grows with block_size * source"
    if per_key < 8000:  # booleans, or a few floats for each query and block
        return "peak memory grows with target * source, about a byte for each pair"
    return "peak memory grows with target * source, several bytes for each pair"


@streaming_attention.cases
def _(draw):
    def qkv(*batch, target, source, d_k, d_v, scale=1.0):
        q, k = draw.normal(*batch, target, d_k, scale=scale), draw.normal(*batch, source, d_k)
        return {"q": q, "k": k, "v": draw.normal(*batch, source, d_v)}

    def case(about, inputs, block_size, causal=False, observe=None):
        more = {"observe": observe} if observe else {}
        return Case(about, {**inputs, "block_size": block_size, "causal": causal}, **more)

    yield case("one query, four keys in two blocks", qkv(target=1, source=4, d_k=2, d_v=1), 2)
    uneven = qkv(target=3, source=5, d_k=4, d_v=2)
    yield case("a last block that is short", uneven, 2)
    yield case("blocks of one key", uneven, 1)
    yield case("a block larger than the number of keys", uneven, 8)
    yield case("batch and heads", qkv(2, 3, target=4, source=7, d_k=5, d_v=6), 3)
    sharp = qkv(target=3, source=9, d_k=4, d_v=2, scale=10.0)
    yield case("sharp scores", sharp, 2)
    rising = qkv(target=2, source=6, d_k=1, d_v=2)
    rising["q"], rising["k"] = rising["q"].abs() + 1, torch.arange(6.0)[:, None]
    yield case("scores that rise from block to block", rising, 2)
    falling = rising | {"k": rising["k"].flip(0)}
    yield case("scores that fall from block to block", falling, 2)
    huge = {name: value.double() for name, value in rising.items()}
    huge["q"] = huge["q"] * 1000
    yield case("scores in the thousands, in double precision", huge, 2)
    low = huge | {"q": -huge["q"], "k": huge["k"] + 1}
    yield case("scores far below zero", low, 2)
    yield case("causal", qkv(target=5, source=5, d_k=3, d_v=2), 2, causal=True)
    yield case("causal, the last two of seven", qkv(target=2, source=7, d_k=3, d_v=2), 3, True)
    blind = qkv(target=5, source=3, d_k=2, d_v=4)
    yield case("causal, with queries that see nothing", blind, 2, True)
    yield case("the gradient at the queries", blind, 2, True, gradient_of(0))
    yield case("the gradient at the keys", sharp, 2, False, gradient_of(1))
    if draw.hidden:
        yield case("more of everything", qkv(2, 2, target=9, source=23, d_k=8, d_v=5), 4, True)
    long = qkv(target=2048, source=256, d_k=2, d_v=2)
    yield case("the memory it takes", long, 32, False, _memory_growth)
    yield case("the memory it takes when causal", long, 32, True, _memory_growth)


def _seen(target, source, start, stop):
    """A piece of `causal_mask`: the columns of one block."""
    queries = torch.arange(source - target, source)
    return torch.arange(start, stop) <= queries[:, None]


def _blocks(source, block_size):
    return [(i, min(i + block_size, source)) for i in range(0, source, block_size)]


@streaming_attention.misconception
def builds_the_whole_score_matrix(q, k, v, block_size, causal=False):
    """The numbers are right, but at some moment all target * source scores are in memory, and that
    is what this function is there to avoid. A list of blocks that are joined at the end holds them
    all as well. Keep, for each query, the largest score so far and two running sums, and let each
    block go."""
    mask = attention.causal_mask(q.shape[-2], k.shape[-2]) if causal else None
    return attention.scaled_dot_product_attention(q, k, v, mask)[0]


def _stream(q, k, v, block_size, seen=None, shrinks_output=True, shrinks_total=True):
    """The algorithm with switches for what may go wrong; `seen(start, stop)` is a block's mask."""
    top = torch.full((*q.shape[:-1], 1), -INF, dtype=q.dtype)
    total = torch.zeros_like(top)
    output = torch.zeros(*q.shape[:-1], v.shape[-1], dtype=q.dtype)
    for start, stop in _blocks(k.shape[-2], block_size):
        scores = _scores(q, k[..., start:stop, :])
        if seen is not None:
            scores = scores.masked_fill(~seen(start, stop), -INF)
        new_top = torch.maximum(top, scores.detach().amax(-1, keepdim=True))
        shift = new_top.clamp(min=torch.finfo(q.dtype).min)
        shares, shrink = (scores - shift).exp(), (top - shift).exp()
        total = (total * shrink if shrinks_total else total) + shares.sum(-1, keepdim=True)
        output = (output * shrink if shrinks_output else output) + shares @ v[..., start:stop, :]
        top = new_top
    return output, total


def _share(output, total):
    return output / total.masked_fill(total == 0, 1)


@streaming_attention.misconception
def builds_the_whole_causal_mask(q, k, v, block_size, causal=False):
    """The scores go block by block, but the causal mask is made for all target * source pairs at
    once, and it is as large as the score matrix. Make each block's part of it, from the positions
    of its keys."""
    mask = attention.causal_mask(q.shape[-2], k.shape[-2]) if causal else None
    seen = (lambda start, stop: mask[:, start:stop]) if causal else None
    return _share(*_stream(q, k, v, block_size, seen))


@streaming_attention.misconception
def goes_block_by_block_over_the_queries(q, k, v, block_size, causal=False):
    """The numbers are right, and the full matrix is never there. But each block of queries looks at
    all keys at once, so the memory still grows with the number of keys, and a single query gains
    nothing. Cut the keys and values into blocks, and keep running sums."""
    target, source = q.shape[-2], k.shape[-2]
    outputs = []
    for start, stop in _blocks(target, block_size):
        queries = torch.arange(start, stop) + source - target
        seen = torch.arange(source) <= queries[:, None] if causal else None
        outputs.append(attention.scaled_dot_product_attention(q[..., start:stop, :], k, v, seen)[0])
    return torch.cat(outputs, dim=-2)


@streaming_attention.misconception
def keeps_the_sums_of_every_block(q, k, v, block_size, causal=False):
    """The numbers are right, but each block's largest score and sums are kept until the end, one
    set for each block, and there are more blocks the longer the text. Merge a block into the
    running sums as soon as it is there, and let it go."""
    target, source = q.shape[-2], k.shape[-2]
    tops, totals, outputs = [], [], []
    for start, stop in _blocks(source, block_size):
        scores = _scores(q, k[..., start:stop, :])
        if causal:
            scores = scores.masked_fill(~_seen(target, source, start, stop), -INF)
        tops.append(scores.detach().amax(-1, keepdim=True).clamp(min=torch.finfo(q.dtype).min))
        shares = (scores - tops[-1]).exp()
        totals.append(shares.sum(-1, keepdim=True))
        outputs.append(shares @ v[..., start:stop, :])
    top = torch.stack(tops).amax(0)
    shrinks = [(block_top - top).exp() for block_top in tops]
    total = sum(t * shrink for t, shrink in zip(totals, shrinks, strict=True))
    output = sum(o * shrink for o, shrink in zip(outputs, shrinks, strict=True))
    return _share(output, total)


@streaming_attention.misconception
def averages_the_blocks(q, k, v, block_size, causal=False):
    """Each block gets its own softmax here, and the results are averaged, so that a block of poor
    scores counts as much as a block of good ones. One total must run through all blocks; divide by
    it once, at the end."""
    outputs = []
    for start, stop in _blocks(k.shape[-2], block_size):
        seen = _seen(q.shape[-2], k.shape[-2], start, stop) if causal else None
        block = k[..., start:stop, :], v[..., start:stop, :]
        outputs.append(attention.scaled_dot_product_attention(q, *block, seen)[0])
    return sum(outputs) / len(outputs)


@streaming_attention.misconception
def adds_up_the_blocks(q, k, v, block_size, causal=False):
    """Each block gets its own softmax here, so the shares of all blocks together sum to the number
    of blocks. One total must run through all blocks; divide by it once, at the end."""
    output = torch.zeros(*q.shape[:-1], v.shape[-1], dtype=q.dtype)
    for start, stop in _blocks(k.shape[-2], block_size):
        seen = _seen(q.shape[-2], k.shape[-2], start, stop) if causal else None
        block = k[..., start:stop, :], v[..., start:stop, :]
        output = output + attention.scaled_dot_product_attention(q, *block, seen)[0]
    return output


@streaming_attention.misconception
def never_scales_the_old_sums_down(q, k, v, block_size, causal=False):
    """When a block brings a larger score, the shares of the earlier blocks were measured against
    the old one and are too large now. Multiply both running sums by exp(old largest - new
    largest) before you add."""
    seen = _seen_when(causal, q, k)
    return _share(*_stream(q, k, v, block_size, seen, shrinks_output=False, shrinks_total=False))


@streaming_attention.misconception
def scales_down_the_output_but_not_the_total(q, k, v, block_size, causal=False):
    """The sum of the values is scaled down when a larger score comes, the sum of the shares is not.
    Both were measured against the old largest score, so both need the same factor."""
    seen = _seen_when(causal, q, k)
    return _share(*_stream(q, k, v, block_size, seen, shrinks_total=False))


@streaming_attention.misconception
def scales_down_the_total_but_not_the_output(q, k, v, block_size, causal=False):
    """The sum of the shares is scaled down when a larger score comes, the sum of the values is not.
    Both were measured against the old largest score, so both need the same factor."""
    seen = _seen_when(causal, q, k)
    return _share(*_stream(q, k, v, block_size, seen, shrinks_output=False))


def _seen_when(causal, q, k):
    target, source = q.shape[-2], k.shape[-2]
    return (lambda start, stop: _seen(target, source, start, stop)) if causal else None


@streaming_attention.misconception
def overflows_without_the_largest_score(q, k, v, block_size, causal=False):
    """Running sums of exp(score) are the right idea, and exact on small scores, but exp of a large
    score is infinite, and of a very low one zero. Measure every score against the largest so
    far."""
    total, output = 0, 0
    for start, stop in _blocks(k.shape[-2], block_size):
        scores = _scores(q, k[..., start:stop, :])
        if causal:
            scores = scores.masked_fill(~_seen(q.shape[-2], k.shape[-2], start, stop), -INF)
        shares = scores.exp()
        total = total + shares.sum(-1, keepdim=True)
        output = output + shares @ v[..., start:stop, :]
    return _share(output, total)


@streaming_attention.misconception
def starts_the_causal_mask_anew_in_each_block(q, k, v, block_size, causal=False):
    """In each block your mask starts again, as if the block's first key were the first of the text.
    Key number j of a block stands at position start + j; compare that with the query's
    position."""
    target = q.shape[-2]
    seen = (lambda start, stop: attention.causal_mask(target, stop - start)) if causal else None
    return _share(*_stream(q, k, v, block_size, seen))


@streaming_attention.misconception
def takes_the_first_query_for_the_first_token(q, k, v, block_size, causal=False):
    """With fewer queries than keys the queries are the last tokens: query i stands at position i +
    source - target, as in `causal_mask`. Yours stands at position i."""
    target = q.shape[-2]
    seen = (lambda start, stop: _seen(target, target, start, stop)) if causal else None
    return _share(*_stream(q, k, v, block_size, seen))


@streaming_attention.misconception
def drops_the_last_short_block(q, k, v, block_size, causal=False):
    """`block_size` need not divide the number of keys, and yours leaves out the keys that remain.
    The last block may be shorter."""
    full = k.shape[-2] // block_size * block_size
    target, source = q.shape[-2], k.shape[-2]
    seen = (lambda start, stop: _seen(target, source, start, stop)) if causal else None
    return _share(*_stream(q, k[..., :full, :], v[..., :full, :], block_size, seen))


@streaming_attention.misconception
def forgets_to_divide_by_the_total(q, k, v, block_size, causal=False):
    """This is the sum of the values, each times its share, but the shares do not sum to one yet.
    Divide by the running total at the end."""
    return _stream(q, k, v, block_size, _seen_when(causal, q, k))[0]


@streaming_attention.misconception
def ignores_causal(q, k, v, block_size, causal=False):
    """Without `causal` this is right, but with it every query still sees all keys. Block the scores
    of later keys with -inf, block by block."""
    return _share(*_stream(q, k, v, block_size))


@streaming_attention.misconception
def gives_nan_where_nothing_was_seen(q, k, v, block_size, causal=False):
    """A query that has seen nothing yet has -inf as its largest score, and -inf minus -inf is NaN.
    Subtract 0 in that case, and divide by 1 where the total is 0."""
    top = torch.full((*q.shape[:-1], 1), -INF, dtype=q.dtype)
    total = torch.zeros_like(top)
    output = torch.zeros(*q.shape[:-1], v.shape[-1], dtype=q.dtype)
    for start, stop in _blocks(k.shape[-2], block_size):
        scores = _scores(q, k[..., start:stop, :])
        if causal:
            scores = scores.masked_fill(~_seen(q.shape[-2], k.shape[-2], start, stop), -INF)
        new_top = torch.maximum(top, scores.amax(-1, keepdim=True))
        shares, shrink = (scores - new_top).exp(), (top - new_top).exp()
        total = total * shrink + shares.sum(-1, keepdim=True)
        output = output * shrink + shares @ v[..., start:stop, :]
        top = new_top
    return output / total


@streaming_attention.alternative
def by_joining_finished_blocks(q, k, v, block_size, causal=False):
    """Each block is finished by itself; its log-sum-exp says how much it weighs."""
    target, source = q.shape[-2], k.shape[-2]
    output = torch.zeros(*q.shape[:-1], v.shape[-1], dtype=q.dtype)
    weight = torch.full((*q.shape[:-1], 1), torch.finfo(q.dtype).min, dtype=q.dtype)
    for start, stop in _blocks(source, block_size):
        scores = _scores(q, k[..., start:stop, :])
        if causal:
            scores = scores.masked_fill(~_seen(target, source, start, stop), -INF)
        blind = (scores == -INF).all(-1, keepdim=True)
        scores = scores.masked_fill(blind, 0.0)
        block_weight = scores.logsumexp(-1, keepdim=True)
        block_output = (scores - block_weight).exp() @ v[..., start:stop, :]
        joined = torch.logaddexp(weight, block_weight)
        new = output * (weight - joined).exp() + block_output * (block_weight - joined).exp()
        output, weight = torch.where(blind, output, new), torch.where(blind, weight, joined)
    return output


@streaming_attention.alternative
def in_two_passes(q, k, v, block_size, causal=False):
    """First the largest score of all, then the sums: twice the work, and no scaling down."""
    target, source = q.shape[-2], k.shape[-2]

    def scored():
        for start, stop in _blocks(source, block_size):
            scores = _scores(q, k[..., start:stop, :])
            if causal:
                scores = torch.where(_seen(target, source, start, stop), scores, -INF)
            yield scores, v[..., start:stop, :]

    top = torch.full((*q.shape[:-1], 1), torch.finfo(q.dtype).min, dtype=q.dtype)
    for scores, _ in scored():
        top = torch.maximum(top, scores.detach().max(-1, keepdim=True).values)
    total, output = 0, 0
    for scores, values in scored():
        shares = (scores - top).exp()
        total, output = total + shares.sum(-1, keepdim=True), output + shares @ values
    return output / total.clamp(min=torch.finfo(q.dtype).tiny)


@streaming_attention.alternative
def in_tiles_of_queries_and_keys(q, k, v, block_size, causal=False):
    """Blocks of queries outside, blocks of keys inside, as FlashAttention does."""
    target, source = q.shape[-2], k.shape[-2]
    outputs = []
    for first, last in _blocks(target, block_size):
        seen = None
        if causal:

            def seen(start, stop, first=first, last=last):
                return _seen(target, source, start, stop)[first:last]

        outputs.append(_share(*_stream(q[..., first:last, :], k, v, block_size, seen)))
    return torch.cat(outputs, dim=-2)
