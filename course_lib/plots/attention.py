"""Figures of notebook 03."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from course_lib.plots.style import COLOURS, MARKERS, SEQUENTIAL, new_figure

HATCHES = ("", "///", "...", "xx")


def plot_shares(
    names: Sequence[str], shares: Mapping[str, Float[Tensor, "source"]], title: str
) -> Figure:
    """Bars: how several softmaxes share out the same keys."""
    figure, (axis,) = new_figure(width=6.4)
    places, width = np.arange(len(names)), 0.8 / len(shares)
    for i, (label, values) in enumerate(shares.items()):
        offset = (i - (len(shares) - 1) / 2) * width
        bars = axis.bar(
            places + offset,
            values.tolist(),
            width * 0.92,
            label=label,
            color=COLOURS[i],
            hatch=HATCHES[i % len(HATCHES)],
            edgecolor="white",
            linestyle="-",
        )
        axis.bar_label(bars, fmt="%.2f", fontsize=8, padding=1)
    axis.set_xticks(places, names)
    axis.set(ylim=(0, 1.12), ylabel="share of the attention", title=title)
    axis.grid(False, axis="x")
    axis.legend()
    return figure


def plot_scale(
    widths: Sequence[int],
    variance: Mapping[str, Sequence[float]],
    largest_share: Mapping[str, Sequence[float]],
    gradient: Mapping[str, Sequence[float]],
) -> Figure:
    """What the scale does, against the width of a head: three measures with and without it."""
    figure, axes = new_figure(1, 3, width=3.7)
    panels = (
        ("Variance of the scores", "variance", variance),
        ("Largest share of a query", "mean largest share", largest_share),
        ("Gradient through the softmax", "mean length of the gradient", gradient),
    )
    for axis, (title, label, lines) in zip(axes, panels, strict=True):
        for (name, values), marker in zip(lines.items(), MARKERS, strict=False):
            axis.plot(widths, values, marker=marker, label=name)
        axis.set_xscale("log", base=2)
        axis.set_xticks(widths, [str(width) for width in widths])
        axis.tick_params(axis="x", labelrotation=45)
        axis.minorticks_off()
        axis.set(title=title, xlabel="d_k, width of a head", ylabel=label)
    axes[0].set_yscale("log", base=2)
    axes[0].set_yticks([1, 4, 16, 64, 256, 1024], ["1", "4", "16", "64", "256", "1024"])
    axes[1].set_ylim(0, 1)
    axes[2].set_ylim(bottom=0)
    axes[0].legend()
    return figure


def plot_masks(masks: Mapping[str, Bool[Tensor, "target source"]]) -> Figure:
    """Each mask as a board: who (row) may look at whom (column)."""
    figure, axes = new_figure(1, len(masks), width=2.9, height=2.8)
    for axis, (title, mask) in zip(axes, masks.items(), strict=True):
        target, source = mask.shape
        axis.pcolormesh(mask, cmap="Blues", vmin=0, vmax=1.6, edgecolors="white", linewidth=2)
        for i, j in mask.nonzero().tolist():
            axis.text(j + 0.5, i + 0.5, "✓", ha="center", va="center", color="white")
        axis.set_aspect("equal")
        axis.invert_yaxis()
        axis.set_xticks(np.arange(source) + 0.5, [str(i) for i in range(source)])
        axis.set_yticks(np.arange(target) + 0.5, [str(i) for i in range(target)])
        axis.set(title=title, xlabel="source (key)", ylabel="target (query)")
        axis.tick_params(length=0)
        axis.grid(False)
    return figure


def plot_attention_maps(
    maps: Mapping[str, Float[Tensor, "target source"]],
    source: Sequence[str],
    target: Sequence[str] | None = None,
    *,
    columns: int = 2,
    size: float = 0.25,
) -> Figure:
    """One map a head: each row is a query and shares its attention among the columns.

    Args:
        maps: title -> weights.
        source: the keys' tokens.
        target: the queries' tokens; the same as the keys' if not given.
        columns: maps side by side.
        size: inches a token.
    """
    target = source if target is None else target
    columns = min(columns, len(maps))
    rows = -(-len(maps) // columns)
    width = size * len(source) + 1.3
    height = size * len(target) + 1.4
    figure, axes = new_figure(rows, columns, width=width, height=height)
    for axis, (title, weights) in zip(axes, maps.items(), strict=False):
        image = _map(axis, weights)
        axis.set_xticks(range(len(source)), source, rotation=90, fontsize=8)
        axis.set_yticks(range(len(target)), target, fontsize=8)
        axis.set_title(title, fontsize=10)
    for axis in axes[len(maps) :]:
        axis.remove()
    bar = figure.colorbar(image, ax=axes[: len(maps)], shrink=0.7, aspect=30)
    bar.set_label("weight (each row sums to 1)")
    axes[0].set(xlabel="source: what is looked at", ylabel="target: who looks")
    return figure


def _map(axis: Axes, weights: Tensor) -> AxesImage:
    axis.grid(False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return axis.imshow(weights.detach(), vmin=0, vmax=1, cmap=SEQUENTIAL, aspect="equal")


def plot_heads(measures: Mapping[str, Float[Tensor, "layers heads"]], title: str) -> Figure:
    """Every head of a model as one cell, once for each place it may look at."""
    layers, heads = next(iter(measures.values())).shape
    height = max(2.4, 0.16 * layers + 1.2)
    figure, axes = new_figure(1, len(measures), width=2.4, height=height)
    for axis, (name, values) in zip(axes, measures.items(), strict=True):
        image = _map(axis, values)
        axis.set_aspect("auto")
        axis.set(title=name, xlabel="head")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel("layer")
    figure.colorbar(image, ax=axes, label="mean weight")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def plot_weight_and_contribution(
    models: Mapping[str, tuple[Float[Tensor, "layers"], Float[Tensor, "layers"]]],
) -> Figure:
    """The first token's part in each layer: of the weights, and of what is really added."""
    figure, axes = new_figure(1, len(models), width=4.6)
    for axis, (name, (weight, contribution)) in zip(axes, models.items(), strict=True):
        axis.plot(weight, marker="o", label="of the attention weights")
        axis.plot(contribution, marker="s", label="of weight × length of the value")
        axis.set(title=name, xlabel="layer", ylabel="part of the first token", ylim=(0, 1))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].legend(loc="upper right")
    return figure


def plot_removal(
    clearness: Float[Tensor, "layers heads"],
    effect: Float[Tensor, "layers heads"],
    marked: Mapping[str, tuple[int, int]],
) -> Figure:
    """One point a head: how clear its map looks against what removing it changes."""
    figure, (axis,) = new_figure(width=6.2, height=3.6)
    last = len(effect) - 1
    groups = (("the other layers", slice(0, last)), ("the last layer", slice(last, None)))
    for i, (label, layers) in enumerate(groups):
        axis.plot(
            clearness[layers].flatten(),
            effect[layers].flatten(),
            linestyle="none",
            marker=MARKERS[i],
            label=label,
        )
    for text, (layer, head) in marked.items():
        x, y = clearness[layer, head].item(), effect[layer, head].item()
        right = x > 0.7
        axis.annotate(
            text,
            (x, y),
            xytext=(-8 if right else 8, 12),
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=9,
        )
    axis.set_yscale("log")
    axis.set(
        title="A clear map does not mean a head that matters",
        xlabel="largest mean weight on one place (previous, next, itself, [CLS], [SEP])",
        ylabel="change of the embedding\nwithout the head (1 - cosine)",
    )
    axis.legend()
    return figure


def plot_cost(
    lengths: Sequence[int],
    seconds: Mapping[str, Sequence[float]],
    memory: Mapping[str, Sequence[int]],
) -> Figure:
    """Seconds and peak bytes against length, both axes logarithmic: a power law is a line."""
    figure, axes = new_figure(1, 2, width=4.6, height=3.4)
    megabytes = {name: [value / 2**20 for value in values] for name, values in memory.items()}
    panels = (
        ("Time", "milliseconds", {n: [1000 * t for t in v] for n, v in seconds.items()}),
        ("Peak memory of the tensors", "MiB", megabytes),
    )
    for axis, (title, unit, lines) in zip(axes, panels, strict=True):
        for (name, values), marker in zip(lines.items(), MARKERS, strict=False):
            axis.plot(lengths, values, marker=marker, label=name)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(lengths, [str(length) for length in lengths])
        axis.minorticks_off()
        axis.set(title=title, xlabel="length in tokens (queries = keys)", ylabel=unit)
        axis.legend()
    return figure
