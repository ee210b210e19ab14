"""Figures of notebook 07."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from course_lib.plots.style import COLOURS, MARKERS, SEQUENTIAL, new_figure

_LOOKS = {"self": (1, "✓", COLOURS[5], "self-attention"), "cross": (2, "×", COLOURS[4], "cross")}


def plot_architectures(source: Sequence[str], target: Sequence[str]) -> Figure:
    """Who looks at whom in the three architectures: rows look, columns are looked at.

    The encoder reads the source alone; the decoder reads both as one text; the encoder-decoder
    reads the source, and writes the target with a look at it.
    """
    n, m = len(source), len(target)
    read, both = np.ones((n, n), dtype=int), np.tril(np.ones((n + m, n + m), dtype=int))
    two = both.copy()
    two[:n, :n] = 1
    two[n:, :n] = 2
    everything = [*source, *target]
    boards = (
        ("Encoder-only: all, both ways", read, list(source)),
        ("Decoder-only: back, in one text", both, everything),
        ("Encoder-decoder: read, then write", two, everything),
    )
    figure, axes = new_figure(1, 3, width=3.3, height=3.6)
    colours = ListedColormap(["white", *(colour for _, _, colour, _ in _LOOKS.values())])
    for axis, (title, board, names) in zip(axes, boards, strict=True):
        size = len(board)
        axis.pcolormesh(board, cmap=colours, vmin=0, vmax=2, edgecolors="#dddddd", linewidth=1)
        for number, sign, _, _ in _LOOKS.values():
            for i, j in zip(*np.nonzero(board == number), strict=True):
                axis.text(j + 0.5, i + 0.5, sign, ha="center", va="center", fontsize=8)
        axis.set_aspect("equal")
        axis.invert_yaxis()
        axis.set_xticks(np.arange(size) + 0.5, names, rotation=90, fontsize=8)
        axis.set_yticks(np.arange(size) + 0.5, names, fontsize=8)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("is looked at")
        axis.tick_params(length=0)
        axis.grid(False)
    axes[0].set_ylabel("looks")
    for axis in axes[1:]:
        axis.axhline(n, color="black", linewidth=1.5, linestyle="-")
        axis.axvline(n, color="black", linewidth=1.5, linestyle="-")
    handles = [
        Patch(facecolor=colour, edgecolor="#999999", label=f"{sign} {label}")
        for _, sign, colour, label in _LOOKS.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def plot_alignment(
    maps: Mapping[str, Float[Tensor, "target source"]],
    source: Sequence[str],
    target: Sequence[str],
    expected: Sequence[tuple[int, int]],
    title: str,
) -> Figure:
    """Cross-attention while each target token is written; frames mark what belongs together.

    Args:
        maps: name of a layer or head -> weights; row t is the look that writes target token t.
        source, target: tokens.
        expected: (target, source) places of the tokens that say the same.
    """
    width, height = 0.27 * len(source) + 1.4, 0.27 * len(target) + 1.5
    figure, axes = new_figure(1, len(maps), width=width, height=height)
    for axis, (name, weights) in zip(axes, maps.items(), strict=True):
        image = axis.imshow(weights.detach(), vmin=0, vmax=1, cmap=SEQUENTIAL, aspect="equal")
        for row, column in expected:
            frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#D55E00")
            frame.set_linewidth(2)
            axis.add_patch(frame)
        axis.set_xticks(range(len(source)), source, rotation=90, fontsize=8)
        axis.set_yticks(range(len(target)), target, fontsize=8)
        axis.set_title(name, fontsize=10)
        axis.tick_params(length=0)
        axis.grid(False)
    axes[0].set(xlabel="English, read", ylabel="German, being written")
    figure.colorbar(image, ax=axes, shrink=0.8, label="weight (each row sums to 1)")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def plot_exact_match(steps: Sequence[int], scores: Mapping[str, Sequence[float]]) -> Figure:
    """Share of held-out items answered exactly, as training goes on; one line a task."""
    figure, (axis,) = new_figure(width=5.6, height=3.2)
    for (name, values), marker in zip(scores.items(), MARKERS, strict=False):
        axis.plot(steps, values, marker=marker, label=name)
    axis.set(
        title="One model, one set of weights: each task is only a prefix",
        xlabel="training step",
        ylabel="exact match on held-out items",
        ylim=(-0.03, 1.03),
    )
    axis.legend()
    return figure


def plot_starts(scores: Mapping[str, Sequence[float]], title: str) -> Figure:
    """Exact match after different starts: a bar for the mean, a point for each seed.

    Args:
        scores: way to start -> the scores of one or more seeds.
    """
    figure, (axis,) = new_figure(width=5.6, height=2.4)
    for place, seeds in enumerate(scores.values()):
        mean = sum(seeds) / len(seeds)
        axis.barh(place, mean, height=0.6, color=COLOURS[5], edgecolor="black")
        axis.text(mean + 0.02, place, f"{mean:.0%}", va="center")
        if len(seeds) > 1:
            axis.plot(seeds, [place] * len(seeds), "o", color=COLOURS[0])
    axis.set_yticks(range(len(scores)), list(scores))
    axis.invert_yaxis()
    axis.set(title=title, xlabel="exact match on held-out items", xlim=(0, 1))
    axis.grid(False)
    return figure
