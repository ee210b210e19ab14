"""Figures of notebook 02: maps of words, waves, who did what to whom, positions that turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.plots.style import COLOURS, DIVERGING, MARKERS, SEQUENTIAL, new_figure


def plot_word_maps(
    maps: Mapping[str, Float[Tensor, "words 2"]], kinds: Sequence[str], title: str
) -> Figure:
    """Words as points, one panel for each map; `kinds` holds the kind of each word."""
    figure, axes = new_figure(1, len(maps), width=4.6, height=4.2)
    kind_of = np.array(kinds)
    for axis, (name, points) in zip(axes, maps.items(), strict=True):
        for i, kind in enumerate(dict.fromkeys(kinds)):
            x, y = points[kind_of == kind].T.tolist()
            axis.scatter(x, y, s=16, color=COLOURS[i], marker=MARKERS[i], label=kind, alpha=0.7)
        axis.set(title=name, xlabel="first principal axis", ylabel="second principal axis")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def plot_word_arrows(
    points: Float[Tensor, "words 2"],
    words: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    ylabel: str,
) -> Figure:
    """An arrow from the first to the second word of each pair; `points` are those of `words`."""
    figure, (axis,) = new_figure(width=7.0, height=4.8)
    place = dict(zip(words, points.tolist(), strict=True))
    for i, (first, second) in enumerate(sorted(pairs, key=lambda pair: place[pair[1]])):
        up = 1 if place[second][1] > place[first][1] else -1  # names stand clear of the arrow
        ends = ((first, COLOURS[0], "o", -up), (second, COLOURS[1], "s", up))
        for word, colour, marker, up in ends:
            axis.plot(*place[word], marker=marker, color=colour, markersize=4)
            axis.annotate(
                word,
                place[word],
                xytext=(0, (8 + 10 * (i % 2)) * up),  # neighbours at two heights
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=8,
                color=colour,
            )
        axis.annotate(
            "",
            place[second],
            xytext=place[first],
            arrowprops={"arrowstyle": "->", "color": "0.5", "shrinkA": 6, "shrinkB": 6},
        )
    axis.margins(0.12)
    axis.set(
        title="One step for all pairs: the arrows are nearly parallel",
        xlabel="where they differ most apart from that",
        ylabel=ylabel,
    )
    return figure


def plot_waves(table: Float[Tensor, "length width"], channels: Sequence[int]) -> Figure:
    """A position table as a picture, and a few of its channels as curves."""
    figure, (left, right) = new_figure(1, 2, width=4.8, height=3.4)
    image = left.pcolormesh(table, cmap=DIVERGING, vmin=-1, vmax=1, rasterized=True)
    left.invert_yaxis()
    left.grid(False)
    left.set(title="Every row is a position vector", xlabel="channel", ylabel="position")
    figure.colorbar(image, ax=left, label="value")
    for channel in channels:
        right.plot(table[:, channel], label=f"channel {channel}")
    right.set(title="From fast waves to slow ones", xlabel="position", ylabel="value")
    right.set_ylim(-1.1, 1.7)
    right.legend(ncols=2, loc="upper center")
    return figure


def plot_matrices(
    matrices: Mapping[str, Float[Tensor, "rows columns"]],
    xlabel: str,
    ylabel: str,
    value: str,
    diverging: bool = False,
) -> Figure:
    """Matrices side by side on one scale of colours, the first row on top."""
    figure, axes = new_figure(1, len(matrices), width=3.9, height=3.2)
    low = min(matrix.min().item() for matrix in matrices.values())
    high = max(matrix.max().item() for matrix in matrices.values())
    if diverging:
        high = max(high, -low)
        low = -high
    for axis, (title, matrix) in zip(axes, matrices.items(), strict=True):
        colours = DIVERGING if diverging else SEQUENTIAL
        image = axis.pcolormesh(matrix, cmap=colours, vmin=low, vmax=high, rasterized=True)
        axis.invert_yaxis()
        axis.grid(False)
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
    figure.colorbar(image, ax=axes, label=value)
    return figure


def plot_curves(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    xlabel: str,
    chance: float,
    mark: tuple[float, str] | None = None,
) -> Figure:
    """Accuracy against something; each curve is (x, accuracy). `mark` is a place and its name."""
    figure, (axis,) = new_figure(width=7.6, height=3.6)
    for (name, (x, accuracy)), marker in zip(curves.items(), MARKERS, strict=False):
        every = max(1, len(x) // 8)
        axis.plot(x, accuracy, label=name, marker=marker, markersize=4, markevery=every)
    axis.axhline(chance, color="0.6", linewidth=1, linestyle=":", label="chance")
    if mark is not None:
        place, name = mark
        axis.axvline(place, color="0.4", linewidth=1, label=name)
    axis.set(title=title, xlabel=xlabel, ylabel="share of right answers", ylim=(-0.02, 1.05))
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def plot_turns(
    turned: Mapping[str, tuple[Float[Tensor, "2"], Float[Tensor, "2"]]],
) -> Figure:
    """A query and a key as arrows in the plane, a panel for each title, with their score."""
    figure, axes = new_figure(1, len(turned), width=3.0, height=3.3)
    for axis, (title, (query, key)) in zip(axes, turned.items(), strict=True):
        arrows = (("query", query, COLOURS[0], "-"), ("key", key, COLOURS[1], "--"))
        for name, vector, colour, line in arrows:
            x, y = vector.tolist()
            axis.annotate(
                "",
                (x, y),
                xytext=(0, 0),
                arrowprops={"arrowstyle": "->", "color": colour, "linestyle": line, "lw": 2},
            )
            x, y = (1.25 * vector).tolist()
            axis.text(x, y, name, color=colour, ha="center", va="center")
        score = f"score {(query @ key).item():.3f}"
        reach = 1.65 * max(query.norm().item(), key.norm().item())
        axis.set(title=f"{title}\n{score}", xlim=(-reach, reach), ylim=(-reach, reach))
        axis.set(xlabel="channel 0", ylabel="channel 1", aspect="equal")
    return figure
