"""Figures of notebook 06."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from course_lib.plots.style import COLOURS, MARKERS, new_figure

GREY = "#666666"


def plot_ngrams(losses: Mapping[str, Mapping[int, float]], entropy: float) -> Figure:
    """Loss against n, for texts of different length, above the floor."""
    figure, (axis,) = new_figure(width=6.2)
    for (label, by_n), marker in zip(losses.items(), MARKERS, strict=False):
        axis.plot(list(by_n), list(by_n.values()), marker=marker, label=label)
    _floor(axis, entropy)
    axis.set(xlabel="n", ylabel="held-out loss (nats per token)", ylim=(0, None))
    axis.set_title("Longer contexts help as long as there is text to fill them")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend()
    return figure


def plot_schedule(rates: Mapping[str, Sequence[float]]) -> Figure:
    """The learning rate at every step."""
    figure, (axis,) = new_figure(width=6.2, height=2.6)
    for label, values in rates.items():
        axis.plot(values, label=label)
    axis.set(xlabel="step", ylabel="learning rate", title="Up in a straight line, down in a wave")
    axis.legend()
    return figure


def plot_race(
    curves: Mapping[str, Mapping[int, float]], ngrams: Mapping[str, float], entropy: float
) -> Figure:
    """Held-out loss against the tokens read; what only counts is drawn where it ends."""
    figure, (axis,) = new_figure(width=7.4, height=4.0)
    for (label, loss), colour in zip(ngrams.items(), COLOURS[2:], strict=False):
        axis.axhline(loss, color=colour, linestyle=":", linewidth=1.2)
        beside = axis.get_yaxis_transform()  # x from 0 to 1 over the axis, y as in the data
        axis.text(1.01, loss, label, va="center", fontsize=9, color=colour, transform=beside)
    for (label, curve), marker in zip(curves.items(), MARKERS, strict=False):
        axis.plot(list(curve), list(curve.values()), marker=marker, label=label)
    _floor(axis, entropy)
    axis.set_xscale("log")
    axis.set_yscale("log")
    ticks = [0.5, 0.7, 1, 1.5, 2, 3, 4, 5]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set(
        title="The transformer comes down to the floor",
        xlabel="tokens read in training",
        ylabel="held-out loss (nats per token)",
        ylim=(entropy * 0.85, None),
    )
    axis.legend(loc="upper right")
    return figure


def plot_surprise(tokens: Sequence[str], surprise: Mapping[str, Sequence[float]]) -> Figure:
    """-log probability of each token of one text, one row of bars for each reader."""
    figure, axes = new_figure(len(surprise), 1, width=max(6.0, 0.29 * len(tokens)), height=1.5)
    top = max(max(values) for values in surprise.values())
    for axis, (label, values), colour in zip(axes, surprise.items(), COLOURS, strict=False):
        axis.bar(range(len(tokens)), values, color=colour, linestyle="-")
        axis.set(ylim=(0, top * 1.05), xlim=(-0.7, len(tokens) - 0.3), ylabel="nats")
        axis.set_title(f"{label}: {np.mean(values):.2f} nats per token", fontsize=10)
        axis.set_xticks(range(len(tokens)), [])
        axis.grid(False, axis="x")
    axes[-1].set_xticks(range(len(tokens)), tokens, rotation=90, fontsize=9)
    return figure


def plot_step_time(lengths: Sequence[int], seconds: Mapping[str, Sequence[float]]) -> Figure:
    """Time for one more token against the tokens already there."""
    figure, (axis,) = new_figure(width=6.2)
    for (label, values), marker in zip(seconds.items(), MARKERS, strict=False):
        axis.plot(lengths, [1000 * value for value in values], marker=marker, label=label)
    axis.set(
        title="With a cache the next token costs the same wherever it stands",
        xlabel="tokens already there",
        ylabel="milliseconds for one more",
        ylim=(0, None),
    )
    axis.legend()
    return figure


def plot_memory(
    lengths: Sequence[int], weights: float, caches: Mapping[str, Sequence[float]], title: str
) -> Figure:
    """Bytes against the length of the text: weights stay, caches grow."""
    figure, (axis,) = new_figure(width=6.6, height=3.4)
    axis.axhline(weights / 1e6, color=GREY, linestyle="-", label="weights")
    for (label, values), marker in zip(caches.items(), MARKERS, strict=False):
        axis.plot(lengths, [value / 1e6 for value in values], marker=marker, label=label)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(lengths, [f"{length:,}" for length in lengths])
    axis.minorticks_off()
    axis.set(title=title, xlabel="tokens in each text", ylabel="megabytes")
    axis.set_ylim(top=axis.get_ylim()[1] * 30)  # room for the legend
    axis.legend(loc="upper left")
    return figure


def _floor(axis: Axes, entropy: float) -> None:
    axis.axhline(entropy, color="black", linewidth=1.5, linestyle="-", label="entropy: the floor")
