"""What `decoding.stream_tokens` demands."""

from __future__ import annotations

import copy
from itertools import islice

import torch

from course_lib import decoding
from course_lib.checks.exercise import Case, Exercise
from course_lib.decoder import decode_step
from course_lib.exercises.decoding.shared import (
    TOLD,
    VOCAB,
    first_draws,
    interesting,
    prompts_and_options,
    reads_whole_texts,
    tiny_decoder,
)

stream_tokens = Exercise(
    "decoding.stream_tokens", points=4, reference=decoding.stream_tokens, tolerance=0.0
)


def _steps(solution, model_seed, prompts, max_new_tokens, stop_ids, filters, use_cache):
    """All steps, as a list; at most 40, so that an endless stream ends."""
    ids, options = prompts_and_options(prompts, stop_ids, filters, use_cache)
    stream = solution(tiny_decoder(model_seed), ids, max_new_tokens=max_new_tokens, **options)
    return [list(step) for step in islice(stream, 40)]


def _laziness(solution, model_seed, prompts, max_new_tokens):
    """How much is computed when the first token is handed out."""
    computed = []
    watch = lambda logits: (computed.append(1), logits)[1]  # noqa: E731
    ids = torch.tensor(prompts)
    stream = iter(
        solution(tiny_decoder(model_seed), ids, max_new_tokens=max_new_tokens, filters=[watch])
    )
    next(stream)
    return {"steps computed ahead, when the first token is out": max(0, len(computed) - 1)}


def _gradients(solution, model_seed, prompts, max_new_tokens):
    """Whether the caller's code can still record gradients between two tokens."""
    stream = iter(
        solution(tiny_decoder(model_seed), torch.tensor(prompts), max_new_tokens=max_new_tokens)
    )
    before = torch.is_grad_enabled()
    next(stream)
    between = torch.is_grad_enabled()
    torch.set_grad_enabled(before)
    return {"gradients are on for the caller between two tokens": between}


def _graphs(solution, model_seed, prompts, max_new_tokens):
    """Whether the model's work is recorded for gradients, which takes time and memory."""
    model = copy.deepcopy(tiny_decoder(model_seed)).requires_grad_()
    recorded = []
    watch = lambda logits: (recorded.append(logits.requires_grad), logits)[1]  # noqa: E731
    for use_cache in (True, False):
        options = {"filters": [watch], "use_cache": use_cache}
        list(solution(model, torch.tensor(prompts), max_new_tokens=max_new_tokens, **options))
    return {"gradients are recorded in the model": any(recorded)}


def _never_written_after_itself(model_seed, prompt):
    """An id that the model does not write when it stands before the prompt."""
    for id in range(VOCAB):
        ids = torch.tensor([[id, *prompt]])
        rows, _ = decoding.generate(tiny_decoder(model_seed), ids, max_new_tokens=4)
        if id not in rows[0]:
            return id
    raise AssertionError("the model writes every id")


@stream_tokens.cases
def _(draw):
    def case(about, seed, prompts, n, stop_ids=(), filters=(), use_cache=True):
        arguments = {"model_seed": seed, "prompts": prompts, "max_new_tokens": n}
        arguments |= {"stop_ids": list(stop_ids), "filters": list(filters)}
        return Case(about, arguments | {"use_cache": use_cache}, _steps)

    def prompts(*lengths):
        return [draw.ids(VOCAB, length).tolist() for length in lengths]

    ragged = prompts(3, 6, 4)
    alone = ragged[:1]
    seed, stop, rows = interesting(draw, ragged, 6)
    yield case("one text, four tokens", seed, alone, 4)
    yield case("no tokens at all", seed, alone, 0)
    yield case("one text that meets a stop id", seed, alone, 6, [stop])
    unwritten = _never_written_after_itself(seed, alone[0])
    with_stop = [[unwritten, *alone[0]]]
    yield case("a stop id that stands in the prompt", seed, with_stop, 4, [unwritten])
    yield case("two texts of the same length", seed, prompts(4, 4), 5)
    yield case("three texts of different length", seed, ragged, 5)
    yield case("three texts that end at different steps", seed, ragged, 6, [stop])
    yield case("every text ends before its time", seed, ragged, 9, {row[2] for row in rows})
    yield case("without the cache", seed, ragged, 6, [stop], use_cache=False)
    order = ["not the best", "id 3 gets 50 more"]
    yield case("two filters, whose order matters", seed, ragged, 4, filters=order)
    yield case("a filter that sees the text", seed, ragged, 5, filters=[TOLD])
    few = {"model_seed": seed, "prompts": alone, "max_new_tokens": 5}
    yield Case("a reader who takes only the first token", few, _laziness)
    yield Case("a reader who wants gradients of something else", few, _gradients)
    yield Case("a model whose weights want gradients", few, _graphs)
    for use_cache in (True, False):
        about = f"what is read at each step with{'' if use_cache else 'out'} the cache"
        yield Case(about, few | {"use_cache": use_cache}, reads_whole_texts)
    random = {"model_seed": seed, "prompt": alone[0], "filters": ["temperature 2", "top-k 3"]}
    yield Case("tokens drawn with a generator", random | {"seed": seed}, first_draws)
    if draw.hidden:
        wide = prompts(1, 7, 3, 5)
        seed, stop, _ = interesting(draw, wide, 8)
        yield case("four texts", seed, wide, 8, [stop], ["repetition penalty 3"])
        yield case("four texts without the cache", seed, wide, 8, [stop], use_cache=False)


def _stream(
    model,
    ids,
    *,
    max_new_tokens,
    attention_mask=None,
    stop_ids=(),
    filters=(),
    generator=None,
    use_cache=True,
    read=None,
    texts_of=None,
    show=None,
    after=None,
    extra=0,
):
    """The reference's loop, with places where a mistake can be put."""
    mask = torch.ones_like(ids) if attention_mask is None else attention_mask
    running, new, new_mask, cache, prompt = [True] * len(ids), ids, mask, None, ids.shape[1]
    for _ in range(max_new_tokens + extra):
        with torch.no_grad():
            if read is not None:
                logits, cache = read(model, ids, mask, new, new_mask, cache, use_cache)
            elif use_cache:
                logits, cache = decode_step(model, new, cache, new_mask)
            else:
                logits = model(ids, mask)[:, -1]
        texts = [row[seen] for row, seen in zip(ids, mask.bool(), strict=True)]
        if texts_of is not None:
            texts = texts_of(ids, mask, prompt)
        logits = decoding.apply_filters(logits, filters, texts)
        chosen = logits.argmax(-1) if generator is None else decoding.sample(logits, generator)
        tokens = chosen.tolist()
        yield (show or _shown)(tokens, running, stop_ids)
        running = [r and t not in stop_ids for t, r in zip(tokens, running, strict=True)]
        if (after or _nobody)(running):
            return
        new, new_mask = chosen[:, None], torch.ones_like(mask[:, :1])
        ids, mask = torch.cat([ids, new], 1), torch.cat([mask, new_mask], 1)


def _shown(tokens, running, stop_ids):
    return [token if runs else None for token, runs in zip(tokens, running, strict=True)]


def _nobody(running):
    return not any(running)


@stream_tokens.misconception
def forgets_the_attention_mask(model, ids, **options):
    """The model never hears of `attention_mask`, so padding is read as if it were text. Hand the
    mask on, to `decode_step` or to the model."""

    def read(model, ids, mask, new, new_mask, cache, use_cache):
        return decode_step(model, new, cache) if use_cache else (model(ids)[:, -1], None)

    return _stream(model, ids, read=read, **options)


@stream_tokens.misconception
def forgets_the_attention_mask_without_the_cache(model, ids, **options):
    """With the cache all is right. Without it, the model never hears of `attention_mask`, and reads
    padding as if it were text."""

    def read(model, ids, mask, new, new_mask, cache, use_cache):
        if use_cache:
            return decode_step(model, new, cache, new_mask)
        return model(ids)[:, -1], None

    return _stream(model, ids, read=read, **options)


@stream_tokens.misconception
def reads_the_whole_text_into_a_full_cache(model, ids, **options):
    """You hand `decode_step` the whole text together with a cache that already holds it, so the
    model reads it twice, and more at each step. With a cache, only the newest token is new."""

    def read(model, ids, mask, new, new_mask, cache, use_cache):
        if use_cache:
            return decode_step(model, ids, cache, mask)
        return model(ids, mask)[:, -1], None

    return _stream(model, ids, read=read, **options)


@stream_tokens.misconception
def forgets_the_cache_it_got(model, ids, **options):
    """`decode_step` gets the newest token alone, and no cache, so the model has forgotten all that
    came before it. Keep the cache that each step returns, and hand it to the next."""

    def read(model, ids, mask, new, new_mask, cache, use_cache):
        if use_cache:
            return decode_step(model, new, None, new_mask)
        return model(ids, mask)[:, -1], None

    return _stream(model, ids, read=read, **options)


@stream_tokens.misconception
def never_uses_the_cache(model, ids, **options):
    """The tokens are right, but `use_cache=True` makes no difference: the whole text is read again
    for each of them. Use `decode_step` then, which reads the newest token only."""

    def read(model, ids, mask, new, new_mask, cache, use_cache):
        return model(ids, mask)[:, -1], None

    return _stream(model, ids, read=read, **options)


@stream_tokens.misconception
def always_uses_the_cache(model, ids, **options):
    """The tokens are right, but `use_cache=False` makes no difference: `decode_step` is used all
    the same. Without the cache, the whole text goes to `model(ids, attention_mask)` at each
    step."""
    return _stream(model, ids, **options | {"use_cache": True})


@stream_tokens.misconception
def ends_all_with_the_first(model, ids, **options):
    """When one text meets a stop id, yours ends for all of them. The others go on: it ends when
    *every* text has."""
    return _stream(model, ids, after=lambda running: not all(running), **options)


@stream_tokens.misconception
def goes_on_after_a_stop(model, ids, **options):
    """A text that has met a stop id goes on in yours. From then on its place holds None."""
    return _stream(model, ids, show=lambda tokens, running, stop_ids: tokens, **options)


@stream_tokens.misconception
def never_ends_early(model, ids, **options):
    """After every text has ended, yours still hands out lists of None until `max_new_tokens`. When
    nobody is left, return."""
    return _stream(model, ids, after=lambda running: False, **options)


@stream_tokens.misconception
def ignores_the_stop_ids(model, ids, **options):
    """`stop_ids` make no difference in yours. A text ends with the first of them that it writes."""
    return _stream(model, ids, **options | {"stop_ids": ()})


@stream_tokens.misconception
def keeps_the_stop_id_to_itself(model, ids, **options):
    """The stop id itself is missing: yours says None already at the step that writes it. It is
    handed out, and None comes after it."""

    def show(tokens, running, stop_ids):
        shown = _shown(tokens, running, stop_ids)
        return [None if token in stop_ids else token for token in shown]

    return _stream(model, ids, show=show, **options)


@stream_tokens.misconception
def writes_one_too_many(model, ids, **options):
    """Yours writes one token more than `max_new_tokens`."""
    return _stream(model, ids, extra=1, **options)


@stream_tokens.misconception
def counts_the_prompt(model, ids, **options):
    """`max_new_tokens` counts the *new* tokens. Yours takes off the prompt."""
    most = max(0, options["max_new_tokens"] - ids.shape[1])
    return _stream(model, ids, **options | {"max_new_tokens": most})


@stream_tokens.misconception
def hands_out_everything_at_the_end(model, ids, **options):
    """All tokens are computed before the first is handed out. A reader should see each as soon as
    it is there: `yield` it inside the loop, rather than collecting them in a list."""
    return list(_stream(model, ids, **options))


@stream_tokens.misconception
def switches_gradients_off_for_the_caller(model, ids, **options):
    """Your `yield` stands inside `with torch.no_grad()`. While the generator waits there, gradients
    are off for whoever reads the tokens, too. Put only the call of the model inside."""
    with torch.no_grad():
        yield from _stream(model, ids, **options)


@stream_tokens.misconception
def records_gradients(model, ids, **options):
    """The model runs outside of `torch.no_grad()`, so everything is kept that a backward pass would
    need, for nothing. Put the call of the model inside, and leave the `yield` outside."""

    def read(model, ids, mask, new, new_mask, cache, use_cache):
        with torch.enable_grad():
            if use_cache:
                return decode_step(model, new, cache, new_mask)
            return model(ids, mask)[:, -1], None

    return _stream(model, ids, read=read, **options)


@stream_tokens.misconception
def lets_a_stop_id_in_the_prompt_end_a_row(model, ids, **options):
    """You look for stop ids in the whole text, and one that stands in the prompt ends the row. A
    row ends with the first stop id that it *writes*."""
    stops, begun = set(options.get("stop_ids", ())), ids.tolist()
    for step in _stream(model, ids, **options):
        yield [None if stops & set(row) else token for token, row in zip(step, begun, strict=True)]
        if all(token is None or token in stops or stops & set(row)
               for token, row in zip(step, begun, strict=True)):  # fmt: skip
            return


@stream_tokens.misconception
def draws_only_the_first_token(model, ids, **options):
    """Your first token is drawn with the generator, and the rest are the best ones. Every token is
    drawn."""
    drawn = options.pop("generator", None)
    for n, step in enumerate(_stream(model, ids, **options, generator=drawn)):
        if n == 0 and drawn is not None:
            options["max_new_tokens"] -= 1
            more = torch.cat([ids, torch.tensor(step)[:, None]], 1)
            yield step
            yield from _stream(model, more, **options)
            return
        yield step


@stream_tokens.misconception
def always_takes_the_best(model, ids, **options):
    """You take the best token even when there is a generator. Then the token is to be drawn, with
    `sample`."""
    return _stream(model, ids, **options | {"generator": None})


@stream_tokens.misconception
def forgets_the_filters(model, ids, **options):
    """`filters` make no difference in yours. They go over the logits, in their order, before the
    token is chosen."""
    return _stream(model, ids, **options | {"filters": ()})


@stream_tokens.misconception
def applies_the_filters_backwards(model, ids, **options):
    """You apply the last filter first. They are meant to work in the order of the list."""
    return _stream(model, ids, **options | {"filters": list(options.get("filters", ()))[::-1]})


@stream_tokens.misconception
def shows_the_filters_padding(model, ids, **options):
    """A filter that looks at the text sees padding as well, and takes it for tokens that came. Give
    it the row without padding: `row[mask]` keeps the places where a boolean mask is True."""
    return _stream(model, ids, texts_of=lambda ids, mask, prompt: list(ids), **options)


@stream_tokens.misconception
def shows_the_filters_only_the_prompt(model, ids, **options):
    """A filter that looks at the text sees the prompt alone. What was written since is part of the
    text."""

    def texts_of(ids, mask, prompt):
        return [row[:prompt][seen[:prompt]] for row, seen in zip(ids, mask.bool(), strict=True)]

    return _stream(model, ids, texts_of=texts_of, **options)


@stream_tokens.misconception
def shows_the_filters_only_what_is_new(model, ids, **options):
    """A filter that looks at the text sees only what was written since the prompt. The prompt is
    part of the text."""
    return _stream(
        model, ids, texts_of=lambda ids, mask, prompt: [row[prompt:] for row in ids], **options
    )


@stream_tokens.alternative
def each_text_by_itself(
    model, ids, *, max_new_tokens, attention_mask=None, generator=None, stop_ids=(), **options
):
    """One stream for each row, without padding, read side by side."""
    mask = torch.ones_like(ids) if attention_mask is None else attention_mask

    def one(text):
        stream = _stream(model, text[None], max_new_tokens=max_new_tokens, stop_ids=stop_ids,
                         generator=generator, **options)  # fmt: skip
        for (token,) in stream:
            yield token
        while True:
            yield None

    streams = [one(row[seen]) for row, seen in zip(ids, mask.bool(), strict=True)]
    ended = [False] * len(streams)
    for _ in range(max_new_tokens):
        step = [next(stream) for stream in streams]
        yield step
        ended = [end or token in stop_ids for end, token in zip(ended, step, strict=True)]
        if all(ended):
            return


@stream_tokens.alternative
def with_boolean_tensors(
    model, ids, *, max_new_tokens, attention_mask=None, stop_ids=(), filters=(), generator=None,
    use_cache=True,
):  # fmt: skip
    """Which rows have ended is a tensor; the prompt is read before the loop."""
    mask = torch.ones_like(ids) if attention_mask is None else attention_mask
    stops = torch.tensor(sorted(stop_ids), dtype=torch.int64)
    ended, cache = torch.zeros(len(ids), dtype=torch.bool), None
    if max_new_tokens == 0:
        return
    with torch.no_grad():
        if use_cache:
            logits, cache = decode_step(model, ids, None, mask)
        else:
            logits = model(ids, mask)[:, -1]
    for step in range(max_new_tokens):
        texts = [row[seen] for row, seen in zip(ids, mask.bool(), strict=True)]
        scores = decoding.apply_filters(logits, filters, texts)
        tokens = scores.argmax(-1) if generator is None else decoding.sample(scores, generator)
        yield [None if end else int(token) for end, token in zip(ended, tokens, strict=True)]
        ended = ended | torch.isin(tokens, stops)
        if ended.all() or step == max_new_tokens - 1:
            return
        ids = torch.cat([ids, tokens[:, None]], dim=1)
        mask = torch.nn.functional.pad(mask, (0, 1), value=1)
        with torch.no_grad():
            if use_cache:
                logits, cache = decode_step(model, tokens[:, None], cache)
            else:
                logits = model(ids, mask)[:, -1]
