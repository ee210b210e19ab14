"""Put what the benchmarks measured on one page, with a figure.

    python benchmarks/report.py

Reads `benchmarks/results/*.json`; writes `docs/benchmarks.md` and `docs/benchmarks.svg`.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import matplotlib.pyplot as plt
from side_by_side import RESULTS, Comparison, Growth, load, section

from course_lib.notebooks import ROOT

INTRODUCTION = """\
# Benchmarks

Made by `make bench`: the course's code beside what people would use instead, on the same input, in
the same run. Seconds are of one small machine and stand there for scale; the ratios are the result:
the median of paired rounds, with the lowest and the highest. Above 1, ours is the faster.

![Ratios of every comparison, and growth of costs](benchmarks.svg)
"""


def figure(comparisons: list[Comparison], growths: list[Growth], path: Path) -> None:
    """Left: ratios with their spread and goals. Right: how costs grow."""
    plt.rcParams["svg.hashsalt"] = "benchmarks"  # the same file from the same figures
    height = 1.2 + 0.24 * len(comparisons)
    fig, (left, right) = plt.subplots(1, 2, figsize=(13, height), width_ratios=[3, 2])
    names = [f"{c.work}, {c.peer}" for c in comparisons]
    for row, comparison in enumerate(comparisons):
        ratios = comparison.ratios
        left.plot([min(ratios), max(ratios)], [row, row], color="C0", linewidth=2)
        left.plot(statistics.median(ratios), row, "o", color="C0")
        if comparison.goal is not None:
            left.plot(comparison.goal, row, "|", color="C3", markersize=10)
    left.axvline(1, color="grey", linewidth=1)
    left.set(xscale="log", xlabel="times the peer's speed (line: all rounds; red: goal)")
    left.set_yticks(range(len(names)), names, fontsize=8)
    left.invert_yaxis()
    for growth in growths:
        cost = [c / growth.costs[0] for c in growth.costs]
        size = [s / growth.sizes[0] for s in growth.sizes]
        label = f"{growth.work}: {growth.exponent:.2f}"
        right.plot(size, cost, "o-", markersize=3, linewidth=1, label=label)
    right.set(xscale="log", yscale="log", xlabel="size / smallest", ylabel="cost / smallest's")
    right.legend(fontsize=7, title="fitted exponent")
    fig.tight_layout()
    fig.savefig(path, metadata={"Date": None})


def main() -> None:
    results = [load(path.stem) for path in sorted(RESULTS.glob("*.json"))]
    comparisons = [Comparison(**fields) for r in results for fields in r["comparisons"]]
    growths = [Growth(**fields) for r in results for fields in r["growths"]]
    figure(comparisons, growths, ROOT / "docs" / "benchmarks.svg")
    lines = [line for result in results for line in ["", *section(result)]]
    page = INTRODUCTION + "\n".join(lines) + "\n"
    (ROOT / "docs" / "benchmarks.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
