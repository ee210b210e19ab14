"""Notebook 06's race over three seeds: n-grams, an LSTM and a transformer against the entropy.

    python benchmarks/decoder.py

A seed decides the text, the held-out stories and the first weights; the world stays. Writes
`benchmarks/results/decoder.md`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from side_by_side import machine
from tqdm import tqdm

from course_lib.data.storyland import Storyland
from course_lib.decoder import DecoderLM
from course_lib.experiments.decoder import (
    BATCH,
    LEARNING_RATES,
    LENGTH,
    PLOTS,
    STEPS,
    LSTMLanguageModel,
    decoder_config,
    held_out,
    held_out_loss,
    loss_curve,
    ngram_loss,
    share_possible,
    write_ngram_stories,
    write_stories,
)
from course_lib.ngram import train_ngram

N_STORIES, LONGEST = 200, 60


def race(seed: int) -> tuple[float, list[tuple[str, float, float, float]]]:
    """The held-out stories' entropy, and for each model its loss, possible stories, CPU seconds."""
    world = Storyland(0, "small", PLOTS)
    vocab_size, end = len(world.vocab), world.end_id
    text = world.sample_ids(STEPS * BATCH * LENGTH, seed=1000 + seed)
    stories = held_out(world, 300, seed=2000 + seed)
    rows = []

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    counts, seconds = timed(lambda: train_ngram(text, 5))
    for n in range(1, 6):
        loss = ngram_loss(counts, n, stories, vocab_size)
        written = write_ngram_stories(counts, n, end, N_STORIES, LONGEST, vocab_size, generator())
        rows.append((f"{n}-gram", loss, share_possible(world, written), seconds))

    models = {
        "LSTM": LSTMLanguageModel(vocab_size, 128, 1, generator()),
        "transformer": DecoderLM(decoder_config(vocab_size), generator()),
    }
    for name, model in models.items():
        options = {"steps": STEPS, "learning_rate": LEARNING_RATES[name], "seed": seed}
        _, seconds = timed(lambda m=model, o=options: loss_curve(m, text, stories, **o))
        written = write_stories(model, end, N_STORIES, LONGEST, generator())
        loss = held_out_loss(model, stories)
        rows.append((name, loss, share_possible(world, written), seconds))
    return stories.entropy, rows


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and the seconds of CPU it took."""
    start = time.process_time()
    return work(), time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results" / "decoder.md"
    )
    options = parser.parse_args()

    races = [race(seed) for seed in tqdm(range(options.seeds), "races")]
    lines = [
        "# Language models against the known entropy of Storyland",
        "",
        f"`python benchmarks/decoder.py --seeds {options.seeds}`, {machine()}.",
        "",
        f"The small world with the plots {' and '.join(PLOTS)}; {STEPS * BATCH * LENGTH:,} tokens "
        "of text; losses on 300 other stories, read from their start. Entropy: the loss of a model "
        "that knows the whole world, on the same stories. Possible: of "
        f"{N_STORIES} stories that the model writes, how many the world could have told. "
        "Mean over the seeds, and (lowest to highest).",
        "",
        "| model | loss, nats a token | loss / entropy | possible stories | CPU seconds |",
        "|---|---|---|---|---|",
    ]
    entropies = [entropy for entropy, _ in races]
    lines.append(f"| entropy | {spread(entropies, '.4f')} | 1 | | |")
    for rows in zip(*(rows for _, rows in races), strict=True):
        losses = [row[1] for row in rows]
        ratios = [loss / entropy for loss, entropy in zip(losses, entropies, strict=True)]
        possible, seconds = [row[2] for row in rows], [row[3] for row in rows]
        lines.append(
            f"| {rows[0][0]} | {spread(losses, '.4f')} | {spread(ratios, '.3f')} | "
            f"{spread(possible, '.1%')} | {spread(seconds, '.1f')} |"
        )
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def spread(values: list[float], form: str) -> str:
    mean = sum(values) / len(values)
    return f"{mean:{form}} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    main()
