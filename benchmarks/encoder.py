"""The experiments of notebook 05 under three seeds: of weights, masks, batches and labelled texts.

    python benchmarks/encoder.py

It takes a few minutes and writes `benchmarks/results/encoder.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from side_by_side import machine
from tqdm import tqdm

from course_lib.data.digits import load_digits
from course_lib.data.storyland import TAGS, Storyland
from course_lib.experiments import encoder as lab
from course_lib.finetuning import SequenceClassifier, TokenClassifier

COUNTS = (10, 100, 1000)
Table = dict[str, dict[str, float]]  # row -> column -> figure


def measure(seed: int) -> dict[str, Table]:
    """One run of everything. The world and the test sentences are always the same."""
    world = Storyland(0, "small")
    reader = lab.Reader(world)
    openings, endings = lab.tell(world, 3000, seed=100 + seed)
    test_openings, test_endings = lab.tell(world, 1000, seed=2)
    opening_text, test_text = (
        reader.batch(s.tokens for s in some) for some in (openings, test_openings)
    )
    truth = [s.tags for s in test_openings]

    cheat, losses = lab.learn_next_word_unmasked(reader, opening_text, seed=seed)
    log_probs = torch.cat([world.log_probs(world.ids(s.tokens)) for s in test_openings])
    next_word = {
        "encoder without a causal mask": {"loss, nats": losses[-1]},
        "the best honest guesser": {"loss, nats": -log_probs.mean().item()},
    }

    text = reader.batch(s.tokens for s in openings + endings)
    model, _ = lab.pretrain(reader, text, seed=seed)
    hidden = lab.hidden_word_losses(model, world, reader, test_openings[:200], seed=0)
    shares = {
        name: {
            f"{kind}, %": 100 * share for kind, share in lab.shares_predicted(m, test_text).items()
        }
        for name, m in (("trained by masking", model), ("trained on next words", cheat))
    }

    kind = lab.right_kind_of_feeling(model, world, reader, test_endings[:300])
    moods = torch.tensor([s.sentiment for s in endings[:1000]])
    mood_text = reader.batch(s.tokens for s in endings[:1000])
    test_moods = reader.batch(s.tokens for s in test_endings)
    classifiers = {"bag of words": lab.fit_bag_of_words(reader, mood_text, moods, seed=seed)}
    for method in lab.METHODS:
        classifiers[method] = lab.fit(
            model.encoder, SequenceClassifier, 2, method, mood_text, moods, seed=seed
        )
    sentiment = {
        name: {
            f"{kind}, %": 100 * share
            for kind, share in lab.sentiment_accuracy(m, test_moods, test_endings).items()
        }
        for name, m in classifiers.items()
    }

    tagger = lab.fit(
        model.encoder, TokenClassifier, len(TAGS), "full", opening_text, reader.tags(openings),
        seed=seed,
    )  # fmt: skip
    entities = {
        "list of names": lab.most_frequent_tags(openings, test_openings),
        "encoder": lab.predict_tags(tagger, test_text, test_openings),
    }

    by_labels = lab.f1_by_labels(model.encoder, reader, openings, test_openings, COUNTS, seed=seed)
    by_labels["list of names"] = [
        lab.entity_f1(truth, lab.most_frequent_tags(openings[:n], test_openings)) for n in COUNTS
    ]

    train, test = load_digits()
    digits = {"nearest neighbour": (lab.nearest_digits(train, test) == test.labels)}
    for name, positions in (("with positions", True), ("without positions", False)):
        classifier = lab.fit_digits(train, seed=seed, positions=positions)
        digits[name] = lab.digit_predictions(classifier, test) == test.labels

    return {
        "Learning from next words": next_word,
        "Surprise at one hidden word of an opening sentence": {
            name: {"nats": loss} for name, loss in hidden.items()
        },
        "Nothing is hidden: what the likeliest word at a position is": shares,
        "One feeling of a negated sentence is hidden": {
            "the pre-trained encoder": {"its guess of the right kind, %": 100 * kind}
        },
        "Moods, 1,000 labelled sentences: right answers": sentiment,
        "Entities, 3,000 labelled sentences": {
            name: {"F1, %": 100 * lab.entity_f1(truth, found)} for name, found in entities.items()
        },
        "Entities, F1 in percent, by the number of labelled sentences": {
            name: {f"{n:,}": 100 * f1 for n, f1 in zip(COUNTS, row)}
            for name, row in by_labels.items()
        },
        "Handwritten digits: test pictures": {
            name: {"right, %": 100 * right.double().mean().item()} for name, right in digits.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results" / "encoder.md"
    )
    options = parser.parse_args()

    runs = [measure(seed) for seed in tqdm(range(options.seeds), "runs")]
    lines = [
        "# An encoder reads: the experiments of notebook 05",
        "",
        f"`python benchmarks/encoder.py --seeds {options.seeds}`, {machine()}. "
        "Mean over the seeds, and (lowest to highest).",
    ]
    for title, table in runs[0].items():
        columns = list(next(iter(table.values())))
        lines += ["", f"## {title}", "", f"| | {' | '.join(columns)} |"]
        lines.append("|---|" + "---:|" * len(columns))
        for row in table:
            cells = [spread([run[title][row][column] for run in runs]) for column in columns]
            lines.append(f"| {row} | {' | '.join(cells)} |")
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def spread(values: list[float]) -> str:
    form = ".2f" if max(values) < 10 else ".1f"
    mean = sum(values) / len(values)
    return f"{mean:{form}} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    main()
