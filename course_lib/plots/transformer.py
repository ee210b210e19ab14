"""Figures of notebook 04: what happens to vectors and gradients on their way through a stack."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib.plots.style import COLOURS, LINES, new_figure

MARKERS = "osD^vPX"
HATCHES = ("", "//", "..", "xx", "\\\\", "++")
# The stacks the notebook compares; each looks the same in every figure.
STACKS = (
    "neither", "norms only", "residuals only", "post-norm", "pre-norm",
    "norms only, positions added again",
)  # fmt: skip
PARTS = ("token_embedding", "position_embedding", "attention", "feed_forward", "norm", "head")


def size_chart(sizes: Mapping[str, Sequence[float]]) -> Figure:
    """The size of the numbers (root mean square) after each layer, one line for each stack."""
    figure, (axis,) = new_figure(width=6.0)
    _lines(axis, {name: dict(enumerate(values)) for name, values in sizes.items()})
    axis.set(title="The size of the numbers, layer after layer", xlabel="layers passed")
    axis.set(ylabel="root mean square", yscale="log")
    axis.legend()
    return figure


def activation_chart(
    activations: Mapping[str, Callable[[np.ndarray], np.ndarray]], exact: str, approximation: str
) -> Figure:
    """Activation functions over [-4, 4], and how far `approximation` is from `exact`."""
    figure, (curves, distance) = new_figure(1, 2)
    x = np.linspace(-4, 4, 401)
    for name, activation in activations.items():
        curves.plot(x, activation(x), label=name)
    curves.set(title="Four ways to bend", xlabel="input", ylabel="output", ylim=(-0.6, 4))
    curves.legend()
    distance.plot(x, activations[approximation](x) - activations[exact](x))
    distance.set(title=f"{approximation} minus {exact}", xlabel="input", ylabel="difference")
    return figure


def gradient_chart(
    by_depth: Mapping[str, Mapping[int, float]], by_layer: Mapping[str, Sequence[float]]
) -> Figure:
    """Gradient norms: of the first block against the number of blocks, and of every block of one
    deep stack. What is 0, infinite or NaN has no place on a logarithmic axis and is left out."""
    figure, (first, every) = new_figure(1, 2, width=4.8, height=3.9)
    _lines(first, by_depth)
    first.set(title="The first block's gradient", xlabel="blocks in the stack")
    first.set(ylabel="gradient norm", yscale="log", xscale="log")
    depths = sorted({depth for line in by_depth.values() for depth in line})
    first.set_xticks(depths, map(str, depths))
    first.minorticks_off()
    n_blocks = len(next(iter(by_layer.values())))
    _lines(every, {name: dict(enumerate(values, 1)) for name, values in by_layer.items()})
    every.set(title=f"Every block's gradient, {n_blocks} blocks", xlabel="block")
    every.set(ylabel="gradient norm", yscale="log")
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def collapse_chart(
    similarity: Mapping[str, Sequence[float]], attention_gradient: Mapping[str, Sequence[float]]
) -> Figure:
    """How alike the positions have become after each block, and what gradient is left for the
    queries and keys of each block."""
    figure, (alike, learns) = new_figure(1, 2, width=4.8, height=3.6)
    _lines(alike, {name: dict(enumerate(values)) for name, values in similarity.items()})
    alike.set(title="How alike the positions are", xlabel="blocks passed")
    alike.set(ylabel="mean cosine between positions", ylim=(-0.05, 1.05))
    lines = {name: dict(enumerate(values, 1)) for name, values in attention_gradient.items()}
    _lines(learns, lines)
    learns.set(title="What queries and keys can learn from", xlabel="block", yscale="log")
    learns.set(ylabel="gradient norm of q_proj, k_proj")
    figure.legend(*alike.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def readout_chart(
    token: Mapping[str, Mapping[int, float]],
    position: Mapping[str, Mapping[int, float]],
    chance: float,
) -> Figure:
    """How often a linear probe reads the token, and the position, from the stream."""
    figure, axes = new_figure(1, 2, width=4.8, height=3.6)
    for axis, lines, what in zip(axes, (token, position), ("token", "position"), strict=True):
        _lines(axis, lines)
        _guessing(axis, chance)
        axis.set(title=f"Which {what} is it?", xlabel="blocks passed", ylim=(-0.12, 1.05))
        axis.set(ylabel="share read right")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def training_chart(losses: Mapping[str, Sequence[float]], guessing: float) -> Figure:
    """Losses while training, smoothed over ten steps, and the loss of somebody who guesses."""
    figure, (axis,) = new_figure(width=6.0, height=3.4)
    smoothed = {name: np.convolve(v, np.ones(10) / 10, mode="valid") for name, v in losses.items()}
    _lines(axis, {name: dict(enumerate(values, 10)) for name, values in smoothed.items()})
    _guessing(axis, guessing, above=True)
    axis.set(title="Does the stack learn?", xlabel="training step", ylabel="loss (nats per token)")
    axis.set(xlim=(0, None), ylim=(0, guessing * 1.15))
    axis.legend(loc="lower left")
    return figure


def throughput_chart(
    tokens_per_second: Mapping[str, Mapping[int, float]], chain: Mapping[str, Mapping[int, int]]
) -> Figure:
    """Tokens a second against length, as measured, and products that wait for one another."""
    figure, (speed, products) = new_figure(1, 2, width=4.8)
    _lines(speed, tokens_per_second)
    speed.set(title="Measured on this machine", ylabel="tokens a second")
    _lines(products, chain)
    products.set(title="Counted: the same on every machine", ylabel="matrix products in a row")
    for axis, lines in ((speed, tokens_per_second), (products, chain)):
        lengths = list(next(iter(lines.values())))
        axis.set(xlabel="length (tokens)", xscale="log", yscale="log")
        axis.set_xticks(lengths, map(str, lengths))
        axis.minorticks_off()
        axis.legend()
    low, high = speed.get_ylim()  # often within one power of ten: name steps in between
    steps = [s * 10**p for p in range(1, 8) for s in (1, 2, 5) if low <= s * 10**p <= high]
    speed.set_yticks(steps, [f"{step:,}" for step in steps])
    return figure


def recall_chart(accuracy: Mapping[str, Mapping[int, float]], chance: float) -> Figure:
    """How often the token k steps back is recalled, against k."""
    figure, (axis,) = new_figure(width=6.0)
    _lines(axis, accuracy)
    _guessing(axis, chance)
    distances = list(next(iter(accuracy.values())))
    axis.set(title="Which token was it, k steps back?", xlabel="k", ylabel="share recalled")
    axis.set(xscale="log", ylim=(-0.1, 1.05))
    axis.set_xticks(distances, map(str, distances))
    axis.minorticks_off()
    axis.legend(loc="center left")
    return figure


def parameter_bars(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Where the parameters are, in percent, one stacked bar for each entry of `counts` (as
    `count_parameters` returns them); the total stands above."""
    figure, (axis,) = new_figure(width=8.0, height=3.8)
    names, bottom = list(counts), np.zeros(len(counts))
    for part, hatch in zip(PARTS, HATCHES, strict=True):
        share = np.array([100 * count[part] / count["total"] for count in counts.values()])
        label = part.replace("_", " ")
        axis.bar(names, share, bottom=bottom, label=label, hatch=hatch, edgecolor="white")
        bottom += share
    for place, count in enumerate(counts.values()):
        text = _in_words(count["total"])
        axis.annotate(text, (place, 100), xytext=(0, 3), textcoords="offset points", ha="center")
    axis.set_title("Where the parameters are (the total above each bar)", pad=18)
    axis.set(xlabel="width", ylabel="share of all parameters (%)", ylim=(0, 100))
    figure.legend(loc="outside right upper")
    return figure


def _lines(axis: Axes, lines: Mapping[str, Mapping[int, float]]) -> None:
    for number, (name, points) in enumerate(lines.items()):
        shown = {x: y for x, y in points.items() if math.isfinite(y) and y > 0}
        every = max(1, len(shown) // 8)
        look = _look(name, number)
        x, y = list(shown), list(shown.values())
        axis.plot(x, y, label=name, markersize=5, markevery=every, **look)


def _look(name: str, number: int) -> dict[str, Any]:
    """The colour, line and marker of a stack, or of the `number`-th line of something else."""
    number = STACKS.index(name) if name in STACKS else number
    return {"color": COLOURS[number], "linestyle": LINES[number], "marker": MARKERS[number]}


def _guessing(axis: Axes, level: float, above: bool = False) -> None:
    """A line where somebody who guesses is, named on the side where no data are."""
    axis.axhline(level, color="grey", linewidth=1)
    place, offset = (1, level), (-2, 4 if above else -4)
    axis.annotate(
        "guessing", place, xycoords=("axes fraction", "data"), xytext=offset, color="grey",
        textcoords="offset points", ha="right", va="bottom" if above else "top",
    )  # fmt: skip


def _in_words(number: int) -> str:
    for name, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return str(number)
