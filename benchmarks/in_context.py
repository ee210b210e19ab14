"""Notebook 09's measurements of SmolLM2 in full: four tasks, three draws of examples.

    python benchmarks/in_context.py

Writes `benchmarks/results/in_context.md`. A seed decides which examples are shown, and in which
order.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from side_by_side import machine
from tqdm import tqdm

from course_lib.data.word_tasks import CAPITALS, OPPOSITES, PAST_TENSES, PLURALS, SENTIMENTS
from course_lib.experiments.in_context import (
    control_heads,
    draw_reviews,
    flipped,
    half_flipped,
    heads_switched_off,
    induction_scores,
    label_log_likelihoods,
    ranked_heads,
    share_right,
)
from course_lib.in_context import (
    accuracy_by_shots,
    build_prompt,
    contextual_calibration,
    share_beginning,
)
from course_lib.pretrained import load_smollm2

TASKS = {
    "capitals": CAPITALS, "plurals": PLURALS, "opposites": OPPOSITES, "past tenses": PAST_TENSES
}  # fmt: skip
SHOTS = [0, 1, 2, 4, 8]
ARROW, REVIEW = "{input} -> {output}", "Review: {input}\nSentiment: {output}"
CONTENT_FREE = ["N/A", "[MASK]", "..."]
N_HEADS = 12


def shots_table(model, tokenizer, seeds: int) -> list[str]:
    lines = ["| task | items | seed | " + " | ".join(f"{k} shots" for k in SHOTS) + " |"]
    lines.append("|---" * (3 + len(SHOTS)) + "|")
    for name, items in tqdm(TASKS.items(), "tasks"):
        for seed in range(seeds):
            result = accuracy_by_shots(model, tokenizer, items, SHOTS, ARROW, seed)
            cells = [f"{a:.2f} ({low:.2f} to {high:.2f})" for a, low, high in result.values()]
            lines.append(f"| {name} | {len(items)} | {seed} | {' | '.join(cells)} |")
    return lines


def labels_table(model, tokenizer, n_shots: int, draws: int) -> list[str]:
    lines = ["| labels of the examples | as the model says | calibrated |", "|---|---|---|"]
    accuracies = {"true": [], "half wrong": [], "all wrong": []}
    for seed in tqdm(range(draws), f"reviews, {n_shots} shots"):
        examples, questions = draw_reviews(n_shots, 30, seed)
        shown = [examples, half_flipped(examples, seed), flipped(examples)]
        for name, labelled in zip(accuracies, shown, strict=True):
            inputs = [text for text, _ in questions] + CONTENT_FREE
            prompts = [build_prompt(labelled, text, REVIEW) for text in inputs]
            labels = [" " + sentiment for sentiment in SENTIMENTS]
            probs = label_log_likelihoods(model, tokenizer, prompts, labels).softmax(-1)
            asked, free = probs[: len(questions)], probs[len(questions) :].mean(0)
            calibrated = contextual_calibration(asked, free)
            pair = share_right(asked, questions), share_right(calibrated, questions)
            accuracies[name].append(pair)
    for name, pairs in accuracies.items():
        raw, fair = zip(*pairs, strict=True)
        lines.append(f"| {name} | {spread(raw)} | {spread(fair)} |")
    return lines


def heads_table(model, tokenizer) -> list[str]:
    generator = torch.Generator().manual_seed(0)
    half = torch.randint(1000, 40_000, (3, 20), generator=generator)
    scores = induction_scores(model, torch.cat([half, half], dim=1), period=20)
    best = ranked_heads(scores)[:N_HEADS]
    others = control_heads(scores, best)
    lines = ["| heads switched off | " + " | ".join(TASKS) + " |", "|---" * (1 + len(TASKS)) + "|"]
    conditions = {
        "none": [],
        f"the {N_HEADS} of the highest induction score": best,
        "as many of the same layers, of the lowest": others,
    }
    for name, heads in tqdm(conditions.items(), "heads"):
        with heads_switched_off(model, heads):
            quick = share_beginning(model)
            cells = [
                accuracy_by_shots(quick, tokenizer, items, [4], ARROW, seed=1)[4][0]
                for items in TASKS.values()
            ]
        lines.append(f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")
    return lines


def spread(values) -> str:
    return f"{sum(values) / len(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results" / "in_context.md"
    )
    options = parser.parse_args()

    model, tokenizer = load_smollm2()
    quick = share_beginning(model)
    lines = [
        "# SmolLM2-135M-Instruct learning in context",
        "",
        f"`python benchmarks/in_context.py --seeds {options.seeds} --draws {options.draws}`, "
        f"{machine()}.",
        "",
        f"Exact match of greedy decoding, template `{ARROW}`; 95 % Wilson intervals. A seed draws "
        "the examples.",
        "",
        *shots_table(quick, tokenizer, options.seeds),
        "",
        "Reviews, positive or negative: share of 30 questions on which the likelier label is "
        f"right, 4 examples. Mean over {options.draws} draws of examples, and (lowest to highest). "
        f"Calibrated with {', '.join(CONTENT_FREE)}.",
        "",
        *labels_table(quick, tokenizer, 4, options.draws),
        "",
        "Exact match with 4 examples (seed 1) when heads are switched off.",
        "",
        *heads_table(model, tokenizer),
    ]
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
