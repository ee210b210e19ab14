"""What `attention.streaming_attention` demands."""

from __future__ import annotations

import torch

from course_lib import attention
from course_lib.checks.exercise import Case, Exercise, gradient_of, peak_bytes
from course_lib.exercises.attention.shared import ATTENTION, INF, scaled_scores

streaming_attention = Exercise(
    "attention.streaming_attention",
    points=4,
    reference=attention.streaming_attention,
    forbids=("torch.nn.functional.scaled_dot_product_attention", *ATTENTION),
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
    yield case("a single key", qkv(target=2, source=1, d_k=2, d_v=1), 1)
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
    yield case("causal, batch and heads", qkv(2, 2, target=3, source=5, d_k=2, d_v=1), 2, True)
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
        scores = scaled_scores(q, k[..., start:stop, :])
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
    """Without `causal` this is right, but with it the mask is made for all target * source pairs at
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
        scores = scaled_scores(q, k[..., start:stop, :])
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
def turns_the_factor_round(q, k, v, block_size, causal=False):
    """Your factor for the old sums is upside down: exp(new largest - old largest). When a larger
    score comes, the old shares must become smaller: exp(old largest - new largest)."""
    top = torch.full((*q.shape[:-1], 1), torch.finfo(q.dtype).min, dtype=q.dtype)
    total, output = torch.zeros_like(top), 0
    seen = _seen_when(causal, q, k)
    for start, stop in _blocks(k.shape[-2], block_size):
        scores = scaled_scores(q, k[..., start:stop, :])
        if seen is not None:
            scores = scores.masked_fill(~seen(start, stop), -INF)
        new_top = torch.maximum(top, scores.detach().amax(-1, keepdim=True))
        shares = (scores - new_top).exp()
        grow = 0 if start == 0 else (new_top - top).exp()
        total = total * grow + shares.sum(-1, keepdim=True)
        output = output * grow + shares @ v[..., start:stop, :]
        top = new_top
    return _share(output, total)


@streaming_attention.misconception
def forgets_the_blocks_before(q, k, v, block_size, causal=False):
    """Only the last block is in your result: what the blocks before it brought has been lost. Add
    to the running sums, and after each block let `top` be the new largest score: while it is
    -inf, everything old counts as nothing."""
    start, stop = _blocks(k.shape[-2], block_size)[-1]
    seen = _seen_when(causal, q, k)
    mask = seen(start, stop) if causal else None
    block = k[..., start:stop, :], v[..., start:stop, :]
    return attention.scaled_dot_product_attention(q, *block, mask)[0]


@streaming_attention.misconception
def divides_after_every_block(q, k, v, block_size, causal=False):
    """You divide by the total after every block and go on with what is left, so the early blocks
    are divided again and again. Divide once, behind the loop."""
    top = torch.full((*q.shape[:-1], 1), -INF, dtype=q.dtype)
    total, output = torch.zeros_like(top), 0
    seen = _seen_when(causal, q, k)
    for start, stop in _blocks(k.shape[-2], block_size):
        scores = scaled_scores(q, k[..., start:stop, :])
        if seen is not None:
            scores = scores.masked_fill(~seen(start, stop), -INF)
        new_top = torch.maximum(top, scores.detach().amax(-1, keepdim=True))
        shift = new_top.clamp(min=torch.finfo(q.dtype).min)
        shares, shrink = (scores - shift).exp(), (top - shift).exp()
        total = total * shrink + shares.sum(-1, keepdim=True)
        output = _share(output * shrink + shares @ v[..., start:stop, :], total)
        top = new_top
    return output


@streaming_attention.misconception
def forbids_a_query_to_see_itself(q, k, v, block_size, causal=False):
    """With `causal` your queries do not see the key at their own position. It is allowed: block the
    keys *behind* it, with `>` and not with `>=`."""
    target, source = q.shape[-2], k.shape[-2]

    def seen(start, stop):
        return torch.arange(start, stop) < torch.arange(source - target, source)[:, None]

    return _share(*_stream(q, k, v, block_size, seen if causal else None))


@streaming_attention.misconception
def returns_the_total_too(q, k, v, block_size, causal=False):
    """Return the output alone, [..., target, d_v]. Yours is a pair."""
    seen = _seen_when(causal, q, k)
    output, total = _stream(q, k, v, block_size, seen)
    return _share(output, total), total


@streaming_attention.misconception
def overflows_without_the_largest_score(q, k, v, block_size, causal=False):
    """Running sums of exp(score) are the right idea, and exact on small scores, but exp of a large
    score is infinite, and of a very low one zero. Measure every score against the largest so
    far."""
    total, output = 0, 0
    for start, stop in _blocks(k.shape[-2], block_size):
        scores = scaled_scores(q, k[..., start:stop, :])
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
        scores = scaled_scores(q, k[..., start:stop, :])
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
        scores = scaled_scores(q, k[..., start:stop, :])
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
            scores = scaled_scores(q, k[..., start:stop, :])
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
