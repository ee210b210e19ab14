"""Choosing tokens, made for speed: twins of what `decoding` has."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.decoding import top_p_filter
from course_lib.fast.decoder import FastDecoder
from course_lib.shapes import check_shapes
from course_lib.twins import twin_of

__all__ = ["CANDIDATES", "fast_beam_search", "fast_top_p_filter"]


@twin_of("course_lib.decoding.beam_search")
@torch.no_grad()
def fast_beam_search(
    model: FastDecoder,
    start: list[int],
    width: int,
    max_length: int,
    end_id: int,
    length_penalty: float,
) -> tuple[list[int], float]:
    """`beam_search(log_probs_of(model), start, ...)`, with all beginnings in one batch.

    The batch reads every weight once for all of them. Of each row only the `width` best tokens are
    looked at. (Extensions of equal probability may come in another order.)

    Arguments, results and errors are those of `beam_search`; also ValueError if `start` is empty.
    """
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    if not 0 < len(start) <= max_length:
        raise ValueError(f"start must have 1 ... {max_length} ids, got {len(start)}")

    def score(ids: list[int], total: float) -> float:
        return total / max(1, len(ids) - len(start)) ** length_penalty

    beam, ended = [(list(start), 0.0)], []  # (ids, sum of log-probabilities)
    unread, cache = torch.tensor([start]), None
    while beam and len(beam[0][0]) < max_length:
        logits, cache = model.decode_step(unread, cache)
        best = logits.topk(min(width, logits.shape[1]))  # [beam, width], in each row
        log_probs = best.values - logits.logsumexp(dim=1, keepdim=True)
        totals = torch.tensor([total for _, total in beam])[:, None] + log_probs
        chosen = totals.flatten().topk(min(width, totals.numel()))  # [width], of all rows
        parents = chosen.indices // totals.shape[1]
        tokens = best.indices.flatten()[chosen.indices]
        extended = [
            (beam[parent][0] + [token], total)
            for parent, token, total in zip(
                parents.tolist(), tokens.tolist(), chosen.values.tolist()
            )
        ]
        ended += [(ids, total) for ids, total in extended if ids[-1] == end_id]
        beam = [(ids, total) for ids, total in extended if ids[-1] != end_id]
        unread, cache = tokens[tokens != end_id, None], cache.rows(parents[tokens != end_id])

    ids, total = max(ended + beam, key=lambda hypothesis: score(*hypothesis))
    return ids, score(ids, total)


CANDIDATES = 512  # more than a nucleus mostly holds


@twin_of("course_lib.decoding.top_p_filter")
@check_shapes
def fast_top_p_filter(
    logits: Float[Tensor, "*batch vocab"], p: float
) -> Float[Tensor, "*batch vocab"]:
    """`top_p_filter`, which sorts the few most likely tokens and not the whole vocabulary.

    Where they do not reach p, or the last that stays has an equal, `top_p_filter` does the work.
    (Sums are rounded in another order: a token that meets p exactly may be judged otherwise.)

    Arguments and errors as `top_p_filter`.
    """
    if not 0 <= p < 1 or logits.shape[-1] <= CANDIDATES:
        return top_p_filter(logits, p)
    best = logits.topk(CANDIDATES).values  # [..., candidates], most likely first
    reached = (best - logits.logsumexp(dim=-1, keepdim=True)).exp().cumsum(dim=-1)
    last = (reached < p).sum(dim=-1, keepdim=True)  # the first that reaches p
    if (last + 1 >= CANDIDATES).any():
        return top_p_filter(logits, p)
    least = best.gather(-1, last)
    if (best.gather(-1, last + 1) == least).any():
        return top_p_filter(logits, p)
    return logits.masked_fill(logits < least, float("-inf"))
