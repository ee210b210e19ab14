"""Repeat the experiments of notebook 07 over three seeds.

    python benchmarks/encoder_decoder.py

Writes benchmarks/results/encoder_decoder.md. Takes some minutes on two cores.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import torch
from side_by_side import machine
from tqdm import tqdm

from course_lib.data.number_words import START, split_numbers, train_tokenizer
from course_lib.experiments import encoder_decoder as experiments

SEEDS = (0, 1, 2)
RESULTS = Path(__file__).parent / "results" / "encoder_decoder.md"


def translation_scores(seed: int) -> dict[str, float]:
    """Exact match on unseen numbers, and how often the best block looks at the right word."""
    generator = torch.Generator().manual_seed(seed)
    train_numbers, test_numbers = split_numbers(20_000, 500, generator)
    tokenizer = train_tokenizer(train_numbers[:2000], vocab_size=400)
    test = [experiments.translation(number) for number in test_numbers]
    model = experiments.new_model(tokenizer, generator)

    def next_batch(generator: torch.Generator) -> experiments.Batch:
        numbers = experiments.draw(train_numbers, 64, generator)
        pairs = [experiments.translation(number) for number in numbers]
        return experiments.encode_pairs(pairs, tokenizer)

    start_id = tokenizer.special_tokens[START]
    experiments.fit(model, next_batch, start_id, steps=200, learning_rate=3e-3, generator=generator)
    looks = experiments.alignment_scores(model, test_numbers[:100], tokenizer)
    return {
        "English to German, 500 unseen numbers": experiments.exact_match(model, test, tokenizer),
        "cross-attention (mean of heads, better block) looks most at the right word": max(
            most for (_, head), (_, most, _) in looks.items() if head == "mean"
        ),
    }


def task_scores(seed: int) -> dict[str, float]:
    """Exact match of one model on its four tasks."""
    generator = torch.Generator().manual_seed(seed)
    tasks = experiments.make_tasks(generator)
    model = experiments.new_model(tasks.tokenizer, generator)
    start_id = tasks.tokenizer.special_tokens[START]
    experiments.fit(
        model, tasks.next_batch, start_id, steps=300, learning_rate=3e-3, generator=generator
    )
    return {
        f"one model, four tasks: {name}": experiments.exact_match(model, test, tasks.tokenizer)
        for name, (_, test) in tasks.pairs.items()
    }


def low_data_scores(seed: int) -> dict[str, float]:
    """Exact match from 40 labelled pairs, after three different starts."""
    _, scores = experiments.low_data_scores(torch.Generator().manual_seed(seed))
    return {
        f"40 examples, {'span corruption, ' * (start != 'from scratch')}{start}": score
        for start, score in scores.items()
    }


def main() -> None:
    """Run everything and write the table."""
    rows: dict[str, list[float]] = {}
    for seed in tqdm(SEEDS, desc="seeds"):
        for measure in (translation_scores, task_scores, low_data_scores):
            for name, value in measure(seed).items():
                rows.setdefault(name, []).append(value)
    lines = [
        "# Notebook 07 over three seeds",
        "",
        f"Made by `benchmarks/encoder_decoder.py` on {machine()}, "
        f"{torch.get_num_threads()} threads.",
        "",
        "Exact match on held-out items unless the row says something else.",
        "",
        f"| | {' | '.join(f'seed {seed}' for seed in SEEDS)} | mean |",
        f"|---|{'---|' * (len(SEEDS) + 1)}",
    ]
    for name, values in rows.items():
        cells = [f"{value:.1%}" for value in (*values, statistics.mean(values))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
