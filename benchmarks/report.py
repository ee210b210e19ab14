"""Put what the benchmarks measured on one page, with two figures.

    python benchmarks/report.py

Reads `benchmarks/results/*.json`; writes `docs/benchmarks.md`, `docs/benchmarks.svg` (ratios) and
`docs/growth.svg`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import EngFormatter, ScalarFormatter
from side_by_side import RESULTS, Comparison, Growth, load, section

from course_lib.notebooks import ROOT

INTRODUCTION = """\
# Benchmarks

Made by `make bench`: the course's code beside what people would use instead, on the same input, in
the same run. Seconds are of one small machine and stand there for scale; the ratios are the result:
the median of paired rounds, with the lowest and the highest. Above 1, ours is the faster.

![Every comparison: median ratio, its spread and the goal](benchmarks.svg)

How costs grow with size, on logarithmic scales: a straight line of slope *b* is a cost that grows
as size to the power *b*.

![Growth of costs with size, one panel for each kind of work](growth.svg)
"""
COLUMNS = 3


def draw_ratios(results: Sequence[Mapping], path: Path) -> None:
    """A row for each comparison, under the title of its benchmark."""
    rows: list[str | Comparison] = []
    for result in results:
        if result["comparisons"]:
            rows.append(result["title"])
            rows += [Comparison(**fields) for fields in result["comparisons"]]
    fig, ax = plt.subplots(figsize=(10, 0.8 + 0.24 * len(rows)), layout="constrained")
    for y, row in enumerate(rows):
        if isinstance(row, str):
            continue
        ratio = statistics.median(row.ratios)
        missed = row.goal is not None and ratio < row.goal
        ax.plot([min(row.ratios), max(row.ratios)], [y, y], color="C0", linewidth=2)
        ax.plot(ratio, y, "o", color="C0", markerfacecolor="white" if missed else "C0")
        if row.goal is not None:
            ax.plot(row.goal, y, "|", color="C3", markersize=11, markeredgewidth=2)
    names = [row if isinstance(row, str) else f"{row.work} / {row.peer}" for row in rows]
    ax.set_yticks(range(len(rows)), [name.replace("`", "") for name in names], fontsize=8)
    for label, row in zip(ax.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if isinstance(row, str) else "normal")
    ax.tick_params(axis="y", length=0)
    ax.axvline(1, color="grey", linewidth=1)
    ax.set(xscale="log", ylim=(len(rows) - 0.4, -0.6))
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.minorticks_off()
    ax.set_xlabel("times the peer's speed (line: all rounds; red: goal; white: goal missed)")
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def short(value: float) -> str:
    """A number of at most six characters."""
    if value >= 1e5:
        return EngFormatter(sep="")(value)
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def draw_growth(growths: Sequence[Growth], path: Path) -> None:
    """A panel for each kind of work, with a line for each way of doing it."""
    panels: dict[tuple[str, str], list[tuple[str, Growth]]] = {}
    for growth in growths:
        kind, _, way = growth.work.rpartition(", ")
        panels.setdefault((kind or way, growth.size), []).append((way, growth))
    rows = math.ceil(len(panels) / COLUMNS)
    fig, axes = plt.subplots(rows, COLUMNS, figsize=(11, 3 * rows), layout="constrained")
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, ((kind, size), lines) in zip(axes.flat, panels.items()):
        for (way, growth), marker in zip(lines, "os^Dv<>P*X", strict=False):
            label = f"{way}: slope {growth.exponent:.2f}"
            ax.plot(growth.sizes, growth.costs, marker + "-", markersize=4, label=label)
        ax.set(xscale="log", yscale="log", xlabel=size, ylabel=lines[0][1].unit)
        ax.set_title(kind, fontsize=9)
        ax.minorticks_off()
        sizes = lines[0][1].sizes
        costs = [cost for _, growth in lines for cost in growth.costs]
        ax.set_xticks(sizes, map(short, sizes))
        ax.set_yticks([min(costs), max(costs)], [short(min(costs)), short(max(costs))])
        ax.legend(fontsize=7)
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def main() -> None:
    plt.rcParams["svg.hashsalt"] = "benchmarks"  # the same file from the same figures
    plt.rcParams["svg.fonttype"] = "none"  # text as text: it can be read, found and compared
    plt.rcParams["font.sans-serif"] = ["DejaVu Sans", "Verdana"]  # of the same width
    results = [load(path.stem) for path in sorted(RESULTS.glob("*.json"))]
    draw_ratios(results, ROOT / "docs" / "benchmarks.svg")
    growths = [Growth(**fields) for result in results for fields in result["growths"]]
    draw_growth(growths, ROOT / "docs" / "growth.svg")
    lines = [line for result in results for line in ["", *section(result)]]
    page = INTRODUCTION + "\n".join(lines) + "\n"
    (ROOT / "docs" / "benchmarks.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
