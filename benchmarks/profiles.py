"""Where the time goes in the five hottest paths: in the clear way, and in the fast one.

    python benchmarks/profiles.py    # about a minute

Seconds are taken without a profiler. Shares are of an operation's own time: of torch's operations
where they do the work, of Python's functions elsewhere.
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
from collections.abc import Callable
from functools import partial

import attention
import bpe
import generation
import scaling_fit
import torch
import training_step
from side_by_side import Profile, in_turn, save
from transformers.utils import logging

from course_lib.fast import FastDecoder, train_bpe_fast
from course_lib.pretrained import load_smollm2
from course_lib.scaling import minimise_huber, start_grid
from course_lib.tokenization import train_bpe

ROWS = 4
Hottest = list[tuple[str, float]]
Ways = dict[str, Callable[[], object]]


def of_torch(work: Callable[[], object]) -> Hottest:
    with torch.profiler.profile() as profile:
        work()
    events = sorted(profile.key_averages(), key=lambda e: -e.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return [
        (e.key.removeprefix("aten::"), 100 * e.self_cpu_time_total / total) for e in events[:ROWS]
    ]


def of_python(work: Callable[[], object]) -> Hottest:
    profiler = cProfile.Profile()
    profiler.runcall(work)
    stats = pstats.Stats(profiler).strip_dirs()
    own = {name: seconds for (*_, name), (_, _, seconds, *_) in stats.stats.items()}
    hottest = sorted(own, key=lambda name: -own[name])[:ROWS]
    return [(name.strip("<>"), 100 * own[name] / stats.total_tt) for name in hottest]


def profile(work: str, ways: Ways, look: Callable[[Callable[[], object]], Hottest]) -> Profile:
    """`ways` are two, the clear one first."""
    seconds = in_turn(ways, rounds=3)
    before, after = (
        (name, statistics.median(seconds[name]), look(call)) for name, call in ways.items()
    )
    return Profile(work, before, after)


def bpe_training() -> Profile:
    text = bpe.real_text()[: bpe.MB]
    ways = {
        "train_bpe": partial(train_bpe, text, 1000),
        "train_bpe_fast": partial(train_bpe_fast, text, 1000),
    }
    return profile("BPE training, 1 MB, 1,000 tokens", ways, of_python)


def attention_both_ways() -> Profile:
    ways = {
        "reference": attention.work("reference", 2048, backward=True),
        "fused": attention.work("fused", 2048, backward=True),
    }
    return profile("attention, 2,048 tokens, forward and backward", ways, of_torch)


def a_training_step() -> Profile:
    *sizes, _ = training_step.SIZES["medium"]
    trainees = training_step.new_trainees(training_step.new_config("LLaMA", *sizes))
    (ids,) = training_step.new_batches(sizes[0], training_step.BATCH, 1)
    ways = {name: partial(trainees[name].step, ids) for name in ("clear", "fast")}
    return profile("a training step, LLaMA of 4.2 M parameters", ways, of_torch)


def writing() -> Profile:
    model, tokenizer = load_smollm2()
    ids = torch.tensor([tokenizer.encode(generation.TEXTS[0])])
    ways = {
        "clear": partial(generation.write, model, ids, new=8),
        "int4": partial(generation.write, FastDecoder(model, "int4"), ids, new=8),
    }
    return profile("writing with SmolLM2, prompt and 8 tokens", ways, of_torch)


def fit_of_a_law() -> Profile:
    tables = [x.log() for x in scaling_fit.runs()]
    starts = start_grid()[::20]
    points = [start.numpy() for start in starts]
    same = [tuple(x.numpy() for x in tables)] * len(points)
    ways = {
        "SciPy's BFGS, start by start": partial(scaling_fit.by_scipy, "BFGS", points, same),
        "minimise_huber": partial(minimise_huber, starts, *tables, scaling_fit.DELTA),
    }
    return profile(f"the fit of a scaling law, {len(points)} starts", ways, of_python)


def main() -> None:
    torch.set_num_threads(2)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    paths = (bpe_training, attention_both_ways, a_training_step, writing, fit_of_a_law)
    save("profiles", "Where the time goes", profiles=[path() for path in paths])


if __name__ == "__main__":
    main()
