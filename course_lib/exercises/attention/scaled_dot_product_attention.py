"""What `attention.scaled_dot_product_attention` demands."""

from __future__ import annotations

import math

import torch

from course_lib import attention
from course_lib.checks.exercise import Case, Exercise, gradient_of
from course_lib.exercises.attention.shared import ATTENTION, INF, scaled_scores

scaled_dot_product_attention = Exercise(
    "attention.scaled_dot_product_attention",
    points=3,
    reference=attention.scaled_dot_product_attention,
    forbids=("torch.nn.functional.scaled_dot_product_attention", *ATTENTION),
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

    yield Case("a single key", qkv(target=2, source=1, d_k=3, d_v=2))

    causal = {"mask": attention.causal_mask(3)}
    small = qkv(target=3, source=3, d_k=4, d_v=2)
    yield Case("a causal mask", small | causal)
    kept = attention.padding_mask(torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]]))
    yield Case("padding", qkv(2, 3, target=5, source=4, d_k=2, d_v=3) | {"mask": kept})
    own = qkv(2, 2, target=2, source=3, d_k=2, d_v=2)
    own["mask"] = torch.tensor([
        [[[1, 0, 1], [1, 1, 0]], [[0, 1, 1], [1, 0, 0]]],
        [[[0, 0, 1], [1, 1, 1]], [[1, 1, 0], [0, 1, 0]]],
    ]).bool()  # fmt: skip
    yield Case("a mask of its own for each row and head", own)
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


@scaled_dot_product_attention.misconception
def reads_the_mask_upside_down(q, k, v, mask=None):
    """True means "may attend". Yours blocks where the mask is True: fill where it is False,
    `~mask`."""
    scores = scaled_scores(q, k)
    if mask is not None:
        scores = scores.masked_fill(mask, -INF)
    weights = attention.softmax(scores, -1)
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def ignores_the_mask(q, k, v, mask=None):
    """Without a mask this is right, but a mask has no effect. Block the scores where it is False,
    before the softmax, and go on with what `masked_fill` returns: it leaves its own tensor as it
    is."""
    weights = attention.softmax(scaled_scores(q, k), -1)
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
    weights = attention.softmax(scaled_scores(q, k), -1)
    if mask is not None:
        weights = weights * mask
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def multiplies_the_scores_by_the_mask(q, k, v, mask=None):
    """A score of zero is not "blocked": exp(0) is 1, and every negative score loses against it.
    A blocked score is -inf."""
    scores = scaled_scores(q, k)
    if mask is not None:
        scores = scores * mask
    weights = attention.softmax(scores, -1)
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def adds_the_boolean_mask(q, k, v, mask=None):
    """Adding True and False adds 1 and 0 to the scores; nothing is blocked by that. Fill the
    scores with -inf where the mask is False."""
    scores = scaled_scores(q, k)
    if mask is not None:
        scores = scores + mask
    weights = attention.softmax(scores, -1)
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def blocks_with_a_finite_number(q, k, v, mask=None):
    """A very negative number is still a score. Where everything is blocked it shares out evenly,
    and an allowed score that is lower still loses against it. Use -inf, which nothing beats."""
    scores = scaled_scores(q, k)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = attention.softmax(scores, -1)
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def gives_nan_for_a_query_that_sees_nothing(q, k, v, mask=None):
    """A query with nothing to attend to gets zeros. Yours gets NaN: `torch.softmax` of -inf
    throughout is NaN. Your own `softmax` gives zeros there."""
    scores = scaled_scores(q, k)
    if mask is not None:
        scores = scores.masked_fill(~mask, -INF)
    weights = torch.softmax(scores, -1)
    return weights @ v, weights


@scaled_dot_product_attention.misconception
def shares_among_the_queries(q, k, v, mask=None):
    """Each query shares its attention among the keys, so each row sums to one: softmax along the
    last axis. Yours goes along the queries."""
    scores = scaled_scores(q, k)
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
def returns_the_scores(q, k, v, mask=None):
    """The output is right, but beside it stand the scores from before the softmax. The weights are
    the shares: what you multiplied the values with."""
    output, _ = attention.scaled_dot_product_attention(q, k, v, mask)
    scores = scaled_scores(q, k)
    return output, scores if mask is None else scores.masked_fill(~mask, -INF)


@scaled_dot_product_attention.misconception
def takes_the_first_mask_for_all(q, k, v, mask=None):
    """The mask of the first text serves all texts in yours. A mask may differ from row to row and
    from head to head; `masked_fill` lines it up by itself."""
    if mask is not None and mask.ndim > 2:
        mask = mask[:1]
    return attention.scaled_dot_product_attention(q, k, v, mask)


@scaled_dot_product_attention.misconception
def takes_the_mask_of_the_first_head_for_all(q, k, v, mask=None):
    """The mask of the first head serves all heads in yours. A mask may differ from head to head;
    `masked_fill` lines it up by itself."""
    if mask is not None and mask.ndim > 3:
        mask = mask[:, :1]
    return attention.scaled_dot_product_attention(q, k, v, mask)


@scaled_dot_product_attention.misconception
def masks_the_values_and_not_the_scores(q, k, v, mask=None):
    """The weights take no notice of the mask in yours; the blocked ones only bring no value. Block
    the scores, so that the other keys share out what the blocked ones would have had."""
    weights = attention.softmax(scaled_scores(q, k), -1)
    blocked = weights if mask is None else weights * mask
    return blocked @ v, weights


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
