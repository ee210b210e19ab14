"""From logits to text: one model, many ways to write with it (notebook 08).

Filters take logits and return logits; what they rule out becomes `-inf`, and what is `-inf` stays
so. The order used throughout the course: repetition penalty, temperature, top-k, top-p.
"""

from __future__ import annotations

import codecs
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import wraps

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from course_lib.arguments import check_arguments
from course_lib.attention import softmax
from course_lib.decoder import Cache, DecoderLM, decode_step
from course_lib.precision import at_least_float32, in_float32
from course_lib.shapes import check_shapes, plain_ids

__all__ = [
    "Filter",
    "apply_filters",
    "apply_temperature",
    "beam_search",
    "generate",
    "log_probs_of",
    "logits_of",
    "pad_left",
    "repetition_penalty",
    "sample",
    "speculative_accept",
    "speculative_generate",
    "stream_text",
    "stream_tokens",
    "top_k_filter",
    "top_p_filter",
]

# logits -> logits, or (logits [vocab], ids of the text so far [time]) -> logits
Filter = Callable[..., Tensor]


@check_shapes
def apply_temperature(
    logits: Float[Tensor, "*batch vocab"], temperature: float
) -> Float[Tensor, "*batch vocab"]:
    """Logits divided by a temperature: below 1 the best tokens gain, above 1 the others do.

    The order of the tokens stays. Towards 0 all probability goes to the best token, which is
    `greedy_next_token`; 0 itself is refused. (Ackley, Hinton and Sejnowski 1985.)

    Raises:
        TypeError: `logits` is not a float tensor.
        ValueError: `temperature` is not a positive, finite number.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be positive and finite, got {temperature}")

    return logits / temperature


@check_shapes
def top_k_filter(logits: Float[Tensor, "*batch vocab"], k: int) -> Float[Tensor, "*batch vocab"]:
    """The k highest logits of each row; all others become `-inf` (Fan, Lewis and Dauphin 2018).

    Exactly k stay: among equal logits the lower ids. (`transformers` keeps all that equal the
    k-th.)

    Args:
        logits: scores of the next token.
        k: how many to keep; more than there are keeps all.

    Raises:
        TypeError: `logits` is not a float tensor, or `k` not an int.
        ValueError: `k` is below 1.
    """
    if not isinstance(k, int):
        raise TypeError(f"k must be an int, got {k!r}")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")

    order = logits.argsort(dim=-1, descending=True, stable=True)  # ids, best first
    keep = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order[..., :k], True)
    return logits.masked_fill(~keep, float("-inf"))


@check_shapes
def top_p_filter(logits: Float[Tensor, "*batch vocab"], p: float) -> Float[Tensor, "*batch vocab"]:
    """The smallest set of most likely tokens whose probability reaches p; others become `-inf`.

    Also called nucleus sampling (Holtzman et al. 2020). The token that crosses p belongs to the
    set, so at least one token stays. Among equal logits the lower ids come first.

    Args:
        logits: scores of the next token.
        p: 0 keeps one token, 1 keeps all. (At 1 `transformers` drops tokens whose probability is
            too small for a float; here all means all.)

    Raises:
        TypeError: `logits` is not a float tensor.
        ValueError: `p` is outside 0 ... 1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p must lie in 0 ... 1, got {p}")

    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    reached = softmax(ordered, dim=-1).cumsum(dim=-1)  # probability up to and with each token
    keep = torch.ones_like(logits, dtype=torch.bool)
    keep[..., 1:] = (reached[..., :-1] < p) | (p == 1)  # those before have not reached p yet
    keep = torch.empty_like(keep).scatter(-1, order, keep)  # back to the order of the ids
    return logits.masked_fill(~keep, float("-inf"))


@check_shapes
def repetition_penalty(
    logits: Float[Tensor, "*batch vocab"], ids: Int64[Tensor, "*batch time"], penalty: float
) -> Float[Tensor, "*batch vocab"]:
    """Lower the logits of tokens that are in the text already.

    A positive logit is divided by the penalty, a negative one multiplied, each once, however
    often the token has come. The paper (Keskar et al. 2019, section 4.1) divides always, which
    would raise negative logits; the form here is that of `transformers`. It depends on where the
    model puts its zero: the only filter here that changes when a constant is added to all logits.

    Args:
        logits: scores of the next token.
        ids: the text so far, prompt included; no padding.
        penalty: above 1 discourages, 1 changes nothing, below 1 encourages.

    Raises:
        TypeError: `logits` is not a float tensor, or `ids` not an int64 tensor.
        ValueError: `penalty` is not positive and finite, an id lies outside the vocabulary, or
            the shapes do not fit.
    """
    vocab = logits.shape[-1]
    if not 0 < penalty < math.inf:
        raise ValueError(f"penalty must be positive and finite, got {penalty}")
    if ((ids < 0) | (ids >= vocab)).any():
        raise ValueError(f"ids must lie in 0 ... {vocab - 1}, got {ids.min()} ... {ids.max()}")

    present = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, ids, True)
    lower = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(present, lower, logits)


@check_shapes
def sample(
    logits: Float[Tensor, "*batch vocab"], generator: torch.Generator | None = None
) -> Int64[Tensor, "*batch"]:
    """Draw one id for each row, with the probabilities softmax(logits).

    Args:
        logits: scores of the next token, [batch, vocab], or [vocab] for one id (shape []).
        generator: where the randomness comes from; torch's own if not given.

    Raises:
        TypeError: `logits` is not a float tensor.
        ValueError: every logit of a row is -inf.
    """
    if not (logits > float("-inf")).any(dim=-1).all():
        raise ValueError("logits must leave at least one token possible in each row, got none")

    probs = softmax(logits, dim=-1)
    return torch.multinomial(probs, num_samples=1, generator=generator).squeeze(-1)


apply_temperature = in_float32(apply_temperature)
top_p_filter = in_float32(top_p_filter)  # a sum of 50,000 small shares is lost in bfloat16
sample = in_float32(sample)


def _in_rows(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`sample` for any number of axes; torch draws from one row or a table of them."""

    @wraps(draw)
    def sample(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if not isinstance(logits, Tensor) or logits.ndim <= 2:
            return draw(logits, generator)
        return draw(logits.flatten(0, -2), generator).reshape(logits.shape[:-1])

    return sample


sample = _in_rows(sample)


@check_arguments
def apply_filters(
    logits: Float[Tensor, "batch vocab"],
    filters: Sequence[Filter],
    texts: Sequence[Int64[Tensor, "_time"]],
) -> Float[Tensor, "batch vocab"]:
    """Apply filters one after another, in the order given.

    Args:
        logits: one row for each text.
        filters: functions of the logits, such as `partial(top_k_filter, k=50)`. One with two
            required arguments, such as `partial(repetition_penalty, penalty=1.3)`, is called row
            after row, with logits [vocab] and the ids so far [time].
        texts: the ids so far of each row, without padding.

    Returns:
        The logits that are left, in float32 if they came in half precision: what one filter rounds
        off, the next would take for a difference.
    """
    logits = at_least_float32(logits)
    for one in filters:
        if _wants_ids(one):
            rows = zip(logits, texts, strict=True)
            logits = torch.stack([one(row, text) for row, text in rows])
        else:
            logits = one(logits)
    return logits


def _wants_ids(one: Filter) -> bool:
    """Whether a filter has a second argument that must be given by position."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(one).parameters.values()
    return sum(p.kind in kinds and p.default is p.empty for p in parameters) > 1


@check_shapes
def stream_tokens(
    model: DecoderLM,
    ids: Int64[Tensor, "batch time"],
    *,
    max_new_tokens: int,
    attention_mask: Shaped[Tensor, "batch time"] | None = None,
    stop_ids: Collection[int] = (),
    filters: Sequence[Filter] = (),
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> Iterator[list[int | None]]:
    """Continue a batch of texts, handing out the tokens as they come.

    Whoever reads this iterator may stop at any time: nothing is computed ahead.

    Args:
        model: scores the next token; not changed, no gradients kept.
        ids: the prompts, shorter ones padded on the left.
        max_new_tokens: the most tokens to write in a row.
        attention_mask: 1 = token, 0 = padding; all tokens if not given.
        stop_ids: a row ends with the first of these that it writes.
        filters: see `apply_filters`.
        generator: tokens are drawn from it; without one, the best token is taken (greedy).
        use_cache: keep keys and values (`decode_step`), or read the whole text at every step:
            the same tokens, later.

    Yields:
        For each step a list: the new id of each row, None for a row that has ended. It ends when
        every row has.

    Raises (when the first tokens are asked for):
        ValueError: `max_new_tokens` is negative, or a row of `attention_mask` ends in padding.
    """
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must not be negative, got {max_new_tokens}")
    if attention_mask is None:
        attention_mask = torch.ones_like(ids)
    if not attention_mask[:, -1].all():
        raise ValueError("attention_mask must end with a token in each row: pad on the left")

    running = [True] * len(ids)
    unread, unread_mask, cache = ids, attention_mask, None
    for _ in range(max_new_tokens):
        with torch.no_grad():  # not around the yield: what the caller does there is not ours
            if use_cache:
                logits, cache = decode_step(model, unread, cache, unread_mask)
            else:
                logits = model(ids, attention_mask)[:, -1]  # [batch, vocab]
        texts = [row[seen] for row, seen in zip(ids, attention_mask.bool())]  # without padding
        logits = apply_filters(logits, filters, texts)
        chosen = logits.argmax(-1) if generator is None else sample(logits, generator)  # [batch]

        yield [id if runs else None for id, runs in zip(chosen.tolist(), running)]
        running = [runs and id not in stop_ids for id, runs in zip(chosen.tolist(), running)]
        if not any(running):
            return
        # Rows that have ended are carried along; nobody sees what they go on to write.
        unread, unread_mask = chosen[:, None], torch.ones_like(attention_mask[:, :1])
        ids = torch.cat([ids, unread], dim=1)  # [batch, time + 1]
        attention_mask = torch.cat([attention_mask, unread_mask], dim=1)


@check_shapes
def generate(
    model: DecoderLM,
    ids: Int64[Tensor, "batch time"],
    *,
    max_new_tokens: int,
    attention_mask: Shaped[Tensor, "batch time"] | None = None,
    stop_ids: Collection[int] = (),
    filters: Sequence[Filter] = (),
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> tuple[list[list[int]], list[str]]:
    """Continue a batch of texts; `stream_tokens` collected.

    Arguments and errors as `stream_tokens`.

    Returns:
        The new ids of each row, with the stop id if one was written; and why each row ended:
        "stop" (it wrote a stop id) or "length" (`max_new_tokens` were written).
    """
    steps = stream_tokens(
        model,
        ids,
        max_new_tokens=max_new_tokens,
        attention_mask=attention_mask,
        stop_ids=stop_ids,
        filters=filters,
        generator=generator,
        use_cache=use_cache,
    )
    rows = [[] for _ in ids]  # type: ignore[var-annotated]
    for step in steps:
        for row, id in zip(rows, step, strict=True):
            if id is not None:
                row.append(id)
    reasons = ["stop" if row and row[-1] in stop_ids else "length" for row in rows]
    return rows, reasons


@check_arguments
def pad_left(
    rows: Sequence[Sequence[int]], pad_id: int = 0
) -> tuple[Int64[Tensor, "batch time"], Int64[Tensor, "batch time"]]:
    """Prompts of different length as one tensor, and its attention mask (1 = token).

    Raises:
        ValueError: there is no row, or an empty one.
    """
    if not rows or not all(rows):
        raise ValueError(f"rows must hold at least one row, and no empty one, got {rows}")
    longest = max(map(len, rows))
    ids = torch.tensor([[pad_id] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


@check_arguments
def stream_text(ids: Iterable[int], vocab: Mapping[int, bytes]) -> Iterator[str]:
    """The text of ids that come one by one; the pieces together are `bpe_decode(ids, vocab)`.

    A character may be spread over several tokens (an emoji has four bytes). Its bytes are held
    back until it is whole; bytes that cannot become a character show as U+FFFD.

    Args:
        ids: any iterable of whole numbers; nothing is read ahead.
        vocab: the bytes of each id, such as `tokenizer.vocab`.

    Yields:
        Pieces of text, none of them empty.

    Raises:
        ValueError: an id is not in `vocab`.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for id in plain_ids(ids):
        if id not in vocab:
            raise ValueError(f"ids must be in the vocabulary, got {id}")
        if piece := decoder.decode(vocab[id]):
            yield piece
    if rest := decoder.decode(b"", final=True):
        yield rest


def beam_search(
    log_prob_fn: Callable[[list[int]], Float[Tensor, "vocab"]],
    start: list[int],
    width: int,
    max_length: int,
    end_id: int,
    length_penalty: float,
) -> tuple[list[int], float]:
    """Look for a text of high probability, following the `width` best beginnings at once.

    At each step all beginnings are extended by all tokens, and the `width` most probable
    extensions stay (earlier beginnings, then lower ids, among equals). One that ends with
    `end_id` leaves the beam and is remembered; its place is free again at the next step
    (Sutskever, Vinyals and Le 2014, section 3.2). `width=1` is greedy. (`transformers` looks at
    2 * width extensions, so that ended ones take no place, and its `width=1` means something
    else.)

    Args:
        log_prob_fn: the log-probability of each next token after some ids.
        start: the ids to begin with; they are not scored.
        width: how many beginnings to follow.
        max_length: the most ids of a hypothesis, `start` included.
        end_id: the token that ends a text.
        length_penalty: a hypothesis scores its log-probability divided by
            (generated tokens ** length_penalty): 0 compares the sums, which favours short texts;
            1 compares the means; more favours long texts.

    Returns:
        The ids of the best hypothesis, ended or cut off, with `start` (and `end_id` if it ended),
        and its score; `start` and 0.0 if there is no room for a token.

    Raises:
        ValueError: `width` is below 1, or `start` is longer than `max_length`.
    """
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    if len(start) > max_length:
        raise ValueError(f"start must have at most max_length={max_length} ids, got {len(start)}")

    def score(ids: list[int], total: float) -> float:
        return total / max(1, len(ids) - len(start)) ** length_penalty

    beam, ended = [(list(start), 0.0)], []  # (ids, sum of log-probabilities)
    while beam and len(beam[0][0]) < max_length:
        totals = torch.stack([total + log_prob_fn(list(ids)) for ids, total in beam])
        vocab = totals.shape[1]
        best = totals.flatten().sort(descending=True, stable=True)  # [beam * vocab]
        extended = [
            (beam[place // vocab][0] + [place % vocab], total)
            for total, place in zip(best.values[:width].tolist(), best.indices[:width].tolist())
        ]
        ended += [(ids, total) for ids, total in extended if ids[-1] == end_id]
        beam = [(ids, total) for ids, total in extended if ids[-1] != end_id]

    ids, total = max(ended + beam, key=lambda hypothesis: score(*hypothesis))
    return ids, score(ids, total)


@check_arguments
def log_probs_of(model: DecoderLM) -> Callable[[list[int]], Float[Tensor, "vocab"]]:
    """The `log_prob_fn` of a model, for `beam_search`; see `logits_of`."""
    read = logits_of(model)
    return lambda ids: at_least_float32(read(ids)).log_softmax(dim=-1)


_REMEMBERED_TEXTS = 64


@check_arguments
def logits_of(model: DecoderLM) -> Callable[[list[int]], Float[Tensor, "vocab"]]:
    """A model as a function from the ids of one text to the logits of the next token.

    It remembers the keys and values of the texts it read last, so that a text which continues
    one of them costs one step.
    """
    caches: dict[tuple[int, ...], Cache] = {}

    def read(ids: list[int]) -> Float[Tensor, "vocab"]:
        text = tuple(ids)
        lengths = range(len(text) - 1, 0, -1)
        known = next((length for length in lengths if text[:length] in caches), 0)
        with torch.no_grad():
            unread = torch.tensor([text[known:]])
            logits, caches[text] = decode_step(model, unread, caches.get(text[:known]))
        if len(caches) > _REMEMBERED_TEXTS:
            del caches[next(iter(caches))]  # the oldest
        return logits[0]

    return read


@check_shapes
def speculative_accept(
    draft_probs: Float[Tensor, "n vocab"],
    target_probs: Float[Tensor, "rows vocab"],
    tokens: Int64[Tensor, "n"],
    generator: torch.Generator | None = None,
) -> Int64[Tensor, "accepted"]:
    """Keep of a draft's tokens as many as the target agrees to, and add one of the target's own.

    What comes out is distributed exactly as if the target had written it (Leviathan, Kalman and
    Matias 2023, algorithm 1 and appendix A.1). From left to right, token x is accepted with
    probability min(1, target(x) / draft(x)). At the first rejection a token is drawn from what
    the draft left over, max(0, target - draft) made to sum to 1, and the rest of the draft is
    dropped. If all are accepted, one more is drawn from the target's last row.

    Args:
        draft_probs: the distribution each token was drawn from.
        target_probs: what the target would have drawn from at the same places, and one more row
            for the place after the last token.
        tokens: the draft.
        generator: where the randomness comes from; torch's own if not given.

    Returns:
        The accepted tokens and one more: between 1 and n + 1 ids.

    Raises:
        TypeError: the probabilities are not floats, or `tokens` is not int64.
        ValueError: the shapes do not fit, or a token is impossible under the draft.
    """
    n, vocab = draft_probs.shape
    if len(target_probs) != n + 1:
        raise ValueError(f"target_probs must have {n + 1} rows, got {len(target_probs)}")
    if ((tokens < 0) | (tokens >= vocab)).any():
        raise ValueError(f"tokens must lie in 0 ... {vocab - 1}, got {tokens.tolist()}")
    if not (draft_probs[torch.arange(n), tokens] > 0).all():
        raise ValueError("tokens must be possible under draft_probs, got one of probability 0")

    for i, token in enumerate(tokens.tolist()):
        chance = torch.rand((), generator=generator)
        if chance * draft_probs[i, token] < target_probs[i, token]:
            continue  # accepted
        residual = (target_probs[i] - draft_probs[i]).clamp(min=0)
        # Equal but for rounding, they leave nothing over: then the target itself will do.
        rest = residual if residual.sum() > 0 else target_probs[i]
        return torch.cat([tokens[:i], torch.multinomial(rest, 1, generator=generator)])
    return torch.cat([tokens, torch.multinomial(target_probs[-1], 1, generator=generator)])


@check_arguments
def speculative_generate(
    model: DecoderLM,
    draft: DecoderLM,
    ids: list[int],
    *,
    max_new_tokens: int,
    n_draft: int = 4,
    stop_ids: Collection[int] = (),
    filters: Sequence[Filter] = (),
    generator: torch.Generator | None = None,
) -> tuple[list[int], str, int]:
    """Sample from `model` with fewer calls of it: a smaller model drafts, `model` judges.

    Each round, `draft` writes a few tokens one by one, `model` reads them all in one call, and
    `speculative_accept` decides. The text has the distribution of `generate` with the same
    filters, whatever the draft; a good draft only saves calls. `filters=[partial(top_k_filter,
    k=1)]` is greedy. The target keeps no cache here: what is counted is its calls.

    Args:
        model: the target.
        draft: another model with the same vocabulary.
        ids: the prompt.
        max_new_tokens: the most tokens to write.
        n_draft: tokens drafted in a round.
        stop_ids, filters, generator: as `stream_tokens`, but this always samples.

    Returns:
        The new ids (with the stop id), "stop" or "length", and the number of calls of `model`.

    Raises:
        ValueError: the vocabularies differ, `ids` is empty, `n_draft` is below 1, or
            `max_new_tokens` negative.
    """
    if model.config.vocab_size != draft.config.vocab_size:
        sizes = f"{model.config.vocab_size} and {draft.config.vocab_size}"
        raise ValueError(f"draft must have the model's vocabulary, got {sizes} ids")
    if n_draft < 1 or max_new_tokens < 0:
        got = f"{n_draft} and {max_new_tokens}"
        raise ValueError(f"n_draft must be positive and max_new_tokens not negative, got {got}")
    if not ids:
        raise ValueError("ids must hold at least one token, got none")

    def probs(logits: Float[Tensor, "rows vocab"], texts: Sequence[list[int]]) -> Tensor:
        before = [torch.tensor(text) for text in texts]
        return softmax(apply_filters(logits, filters, before), dim=-1)

    draft_logits = logits_of(draft)
    new: list[int] = []
    calls = 0
    while len(new) < max_new_tokens and not (new and new[-1] in stop_ids):
        texts, draft_probs = [ids + new], []
        for _ in range(min(n_draft, max_new_tokens - len(new) - 1)):
            draft_probs.append(probs(draft_logits(texts[-1])[None], texts[-1:]))
            token = torch.multinomial(draft_probs[-1][0], 1, generator=generator)
            texts.append(texts[-1] + token.tolist())
        n = len(draft_probs)
        with torch.no_grad():
            logits = model(torch.tensor([texts[-1]]))[0, -(n + 1) :]  # [n + 1, vocab]
        calls += 1
        target_probs = probs(logits, texts)
        tokens = torch.tensor(texts[-1][len(texts[0]) :], dtype=torch.int64)
        drafted = torch.cat(draft_probs) if draft_probs else target_probs[:0]
        for token in speculative_accept(drafted, target_probs, tokens, generator).tolist():
            new.append(token)
            if token in stop_ids:
                break
    reason = "stop" if new and new[-1] in stop_ids else "length"
    return new, reason, calls


# Checked here, so that the functions above are what the exercises show.

beam_search = check_arguments(beam_search)
