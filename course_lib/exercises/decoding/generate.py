"""What `decoding.generate` demands."""

from __future__ import annotations

from course_lib import decoding
from course_lib.checks.exercise import Case, Exercise
from course_lib.exercises.decoding.shared import (
    TOLD,
    VOCAB,
    first_draws,
    interesting,
    prompts_and_options,
    reads_whole_texts,
    seeded,
    tiny_decoder,
)

generate = Exercise("decoding.generate", points=2, reference=decoding.generate, tolerance=0.0)


def _generated(
    solution, model_seed, prompts, max_new_tokens, stop_ids, filters, use_cache, seed=None
):
    ids, options = prompts_and_options(prompts, stop_ids, filters, use_cache)
    options |= {"generator": seeded(seed)} if seed is not None else {}
    result = solution(tiny_decoder(model_seed), ids, max_new_tokens=max_new_tokens, **options)
    if not isinstance(result, tuple) or len(result) != 2:
        return result
    rows, reasons = result
    return [list(row) for row in rows], list(reasons)


def _first_tokens(solution, model_seed, prompt, filters, seed):
    """As `first_draws`, of what `generate` returns."""

    def as_stream(*arguments, **options):
        rows, _ = solution(*arguments, **options)
        return zip(*rows, strict=True)

    return first_draws(as_stream, model_seed, prompt, filters, seed)


@generate.cases
def _(draw):
    def case(about, seed, prompts, n, stop_ids=(), filters=(), use_cache=True):
        arguments = {"model_seed": seed, "prompts": prompts, "max_new_tokens": n}
        arguments |= {"stop_ids": list(stop_ids), "filters": list(filters)}
        return Case(about, arguments | {"use_cache": use_cache}, _generated)

    def prompts(*lengths):
        return [draw.ids(VOCAB, length).tolist() for length in lengths]

    ragged = prompts(3, 5, 4)
    alone = ragged[:1]
    seed, stop, rows = interesting(draw, ragged, 6)
    yield case("one text of three tokens", seed, alone, 3)
    yield case("no tokens at all", seed, prompts(2, 2), 0)
    yield case("one text that meets a stop id", seed, alone, 6, [stop])
    at = rows[0].index(stop)
    yield case("a stop id as the very last token", seed, alone, at + 1, [stop])
    yield case("a stop id one token too late", seed, alone, at, [stop])
    yield case("three texts of different length", seed, ragged, 6, [stop])
    yield case("every text ends before its time", seed, ragged, 9, {row[2] for row in rows})
    yield case("without the cache", seed, ragged, 6, [stop], use_cache=False)
    yield case("with filters", seed, ragged, 5, filters=["temperature 2", TOLD])
    yield case("a token whose id is 0", seed, alone, 2, filters=["only id 0"])
    few = {"model_seed": seed, "prompts": alone, "max_new_tokens": 3, "use_cache": False}
    yield Case("what is read at each step without the cache", few, reads_whole_texts)
    random = {"model_seed": seed, "prompt": alone[0], "filters": ["temperature 2", "top-k 3"]}
    yield Case("tokens drawn with a generator", random | {"seed": seed}, _first_tokens)


def _collected(model, ids, **options):
    return decoding.generate(model, ids, **options)


def _steps_of(model, ids, **options):
    return list(decoding.stream_tokens(model, ids, **options))


@generate.misconception
def keeps_the_nones(model, ids, **options):
    """Your rows hold None where a text had ended. A row is the ids that were written, and no
    more."""
    steps = _steps_of(model, ids, **options)
    rows = [[step[i] for step in steps] for i in range(len(ids))]
    return rows, _collected(model, ids, **options)[1]


@generate.misconception
def loses_id_0(model, ids, **options):
    """A token with the id 0 is missing in your rows: in Python 0 counts as False, as None does.
    Ask `is not None`."""
    rows, reasons = _collected(model, ids, **options)
    return [[id for id in row if id] for row in rows], reasons


@generate.misconception
def returns_steps_instead_of_rows(model, ids, **options):
    """Your lists hold one *step* each, over all texts. Turn them round: one list for each text."""
    steps = _steps_of(model, ids, **options)
    steps = [[token for token in step if token is not None] for step in steps]
    return steps, _collected(model, ids, **options)[1]


@generate.misconception
def returns_the_prompt_as_well(model, ids, **options):
    """Your rows begin with the prompt. Only the new ids are asked for."""
    rows, reasons = _collected(model, ids, **options)
    return [prompt + row for prompt, row in zip(ids.tolist(), rows, strict=True)], reasons


@generate.misconception
def cuts_the_stop_id_off(model, ids, **options):
    """The stop id is missing at the end of your rows. It was written, so it belongs to the new ids;
    whoever prints the text can drop it."""
    rows, reasons = _collected(model, ids, **options)
    stop_ids = options.get("stop_ids", ())
    return [[id for id in row if id not in stop_ids] for row in rows], reasons


@generate.misconception
def fills_one_list_for_all(model, ids, **options):
    """`[[]] * n` is n times the *same* list, so every text's ids land in all of them. Make a new
    list for each: `[[] for _ in ids]`."""
    rows, everything = [None] * len(ids), []
    for step in _steps_of(model, ids, **options):
        everything += [token for token in step if token is not None]
    stop_ids = options.get("stop_ids", ())
    reason = "stop" if everything and everything[-1] in stop_ids else "length"
    return [everything for _ in rows], [reason] * len(rows)


@generate.misconception
def takes_a_full_row_for_one_cut_off(model, ids, **options):
    """You say "length" for every row of `max_new_tokens` ids. A row can meet a stop id with its
    very last token: look at the last id."""
    rows, _ = _collected(model, ids, **options)
    most = options["max_new_tokens"]
    return rows, ["length" if len(row) == most else "stop" for row in rows]


@generate.misconception
def looks_for_stop_ids_among_all_that_stopped(model, ids, **options):
    """One reason for the whole batch: as soon as one text was cut off, you say so of all. Each row
    has its own."""
    rows, reasons = _collected(model, ids, **options)
    return rows, ["stop" if all(r == "stop" for r in reasons) else "length"] * len(rows)


@generate.misconception
def swaps_the_reasons(model, ids, **options):
    """The reasons are the wrong way round: "stop" is for a row that wrote a stop id, "length" for
    one that was cut off."""
    rows, reasons = _collected(model, ids, **options)
    return rows, ["stop" if reason == "length" else "length" for reason in reasons]


@generate.misconception
def forgets_to_pass_the_mask_on(model, ids, **options):
    """`attention_mask` does not reach `stream_tokens`, so padding is read as text."""
    return _collected(model, ids, **{k: v for k, v in options.items() if k != "attention_mask"})


@generate.misconception
def forgets_to_pass_the_filters_on(model, ids, **options):
    """`filters` do not reach `stream_tokens`."""
    return _collected(model, ids, **{k: v for k, v in options.items() if k != "filters"})


@generate.misconception
def forgets_to_pass_use_cache_on(model, ids, **options):
    """`use_cache` does not reach `stream_tokens`, so the cache is used even where it is not
    wanted."""
    return _collected(model, ids, **{k: v for k, v in options.items() if k != "use_cache"})


@generate.misconception
def forgets_to_pass_the_generator_on(model, ids, **options):
    """`generator` does not reach `stream_tokens`, so yours is always greedy."""
    return _collected(model, ids, **{k: v for k, v in options.items() if k != "generator"})


@generate.alternative
def by_turning_the_steps_round(model, ids, **options):
    """`zip(*steps)` makes rows of steps."""
    steps = _steps_of(model, ids, **options)
    rows = [list(row) for row in zip(*steps, strict=True)] or [[] for _ in ids]
    rows = [[id for id in row if id is not None] for row in rows]
    stop_ids = set(options.get("stop_ids", ()))
    return rows, ["stop" if stop_ids & set(row[-1:]) else "length" for row in rows]


@generate.alternative
def keeping_the_reasons_on_the_way(model, ids, **options):
    """A reason changes when a stop id comes by."""
    rows, reasons = {i: [] for i in range(len(ids))}, ["length"] * len(ids)
    for step in decoding.stream_tokens(model, ids, **options):
        for i, id in enumerate(step):
            if id is None:
                continue
            rows[i] += [id]
            if id in options.get("stop_ids", ()):
                reasons[i] = "stop"
    return list(rows.values()), reasons
