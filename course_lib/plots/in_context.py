"""Figures of notebook 09: what examples in the prompt do, and the heads that use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.plots.probability import visible
from course_lib.plots.style import COLOURS, LINES, SEQUENTIAL, new_figure

if TYPE_CHECKING:
    from course_lib.experiments.in_context import Growth

MARKERS = "osD^v"


def next_token_chart(panels: Mapping[str, Sequence[tuple[str, float]]]) -> Figure:
    """The likeliest next tokens, (text, probability), in one panel for each title."""
    most = max(len(bars) for bars in panels.values())
    width = 10 / len(panels) if len(panels) > 2 else 3.4
    figure, axes = new_figure(1, len(panels), width=width, height=0.9 + 0.24 * most)
    for axis, (title, bars) in zip(axes, panels.items(), strict=True):
        tokens, probs = zip(*bars, strict=True)
        axis.barh(range(len(bars)), probs, height=0.7)
        axis.set_yticks(range(len(bars)), [visible(token) for token in tokens], parse_math=False)
        axis.set(xlim=(0, 1), ylim=(most - 0.4, -0.6), xlabel="probability", title=title)
        axis.grid(axis="y", visible=False)
    return figure


def shots_chart(
    results: Mapping[str, Mapping[int, tuple[float, float, float]]], title: str
) -> Figure:
    """Accuracy against the number of examples, a line a task; bars are 95 % intervals."""
    figure, (axis,) = new_figure(width=6.4, height=3.6)
    shots = sorted({k for result in results.values() for k in result})
    for number, (name, result) in enumerate(results.items()):
        accuracy, low, high = zip(*(result[k] for k in sorted(result)), strict=True)
        below = [a - b for a, b in zip(accuracy, low, strict=True)]
        above = [b - a for a, b in zip(accuracy, high, strict=True)]
        # side by side, so that the bars do not hide each other
        x = [shots.index(k) + 0.06 * (number - (len(results) - 1) / 2) for k in sorted(result)]
        axis.errorbar(
            x, accuracy, yerr=(below, above), capsize=3, color=COLOURS[number],
            linestyle=LINES[number], marker=MARKERS[number], label=name,
        )  # fmt: skip
    axis.set_xticks(range(len(shots)), [str(k) for k in shots])
    axis.set(xlabel="examples in the prompt", ylabel="accuracy", ylim=(-0.03, 1.03), title=title)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def labels_chart(panels: Mapping[str, Mapping[str, Sequence[float]]], x_label: str) -> Figure:
    """Accuracies, a dot for each draw of examples and a line at their mean.

    Args:
        panels: for each title, for each condition the accuracies.
        x_label: what the conditions are.
    """
    figure, axes = new_figure(1, len(panels), width=4.4, height=3.2)
    for axis, (title, conditions) in zip(axes, panels.items(), strict=True):
        for place, values in enumerate(conditions.values()):
            colour = COLOURS[place % len(COLOURS)]
            axis.plot([place] * len(values), values, MARKERS[place % 5], alpha=0.6, color=colour)
            mean = sum(values) / len(values)
            axis.plot([place - 0.25, place + 0.25], [mean, mean], "-", linewidth=2, color=colour)
        axis.axhline(0.5, color="black", linewidth=0.8)
        axis.text(-0.47, 0.505, "chance", fontsize=8, va="bottom")
        axis.set_xticks(range(len(conditions)), list(conditions))
        axis.set(xlim=(-0.5, len(conditions) - 0.5), ylim=(0, 1.03), xlabel=x_label, title=title)
        axis.grid(axis="x", visible=False)
    axes[0].set_ylabel("accuracy")
    return figure


def order_chart(
    orders: Sequence[str], said: Sequence[float], bars: Mapping[str, Sequence[float]]
) -> Figure:
    """What the order of the examples does: to what is said, and to what is right.

    Args:
        orders: a name for each order.
        said: the share of questions answered "positive".
        bars: for each name, the accuracy in each order.
    """
    figure, (left, right) = new_figure(1, 2, width=4.6, height=3.2)
    places = range(len(orders))
    left.bar(places, said, color=COLOURS[4], width=0.6)
    left.axhline(0.5, color="black", linewidth=0.8)
    left.set(title="What the model says", ylabel='share of "positive"', ylim=(0, 1.03))
    width = 0.8 / len(bars)
    for number, (name, values) in enumerate(bars.items()):
        x = [place + width * (number - (len(bars) - 1) / 2) for place in places]
        hatch = "//" if number else None
        right.bar(x, values, width, label=name, color=COLOURS[number], hatch=hatch)
    right.axhline(0.5, color="black", linewidth=0.8)
    right.set(title="... and what is right", ylabel="accuracy", ylim=(0, 1.03))
    right.legend(loc="lower center", bbox_to_anchor=(0.5, -0.42), ncols=2)
    for axis in (left, right):
        axis.set_xticks(places, list(orders), family="monospace")
        axis.set_xlabel("labels of the examples, first to last")
        axis.grid(axis="x", visible=False)
    return figure


def growth_chart(two: Growth, one: Growth) -> Figure:
    """The loss falling off a cliff, and the scores rising with it, on one axis of steps.

    Args:
        two: what was seen of a model of two layers.
        one: the same of one layer.
    """
    figure, (top, bottom) = new_figure(2, 1, width=6.6, height=2.7)
    top.plot(
        two.steps, two.first, color=COLOURS[6], linestyle=":", label="first round: nothing to copy"
    )
    top.plot(one.steps, one.second, color=COLOURS[1], linestyle="--", label="repetition, 1 layer")
    top.plot(two.steps, two.second, color=COLOURS[0], label="repetition, 2 layers")
    top.set(title="With two layers the loss falls off a cliff", ylabel="loss (nats a token)")
    for (label, scores), line in zip(
        {
            "layer 2: induction score": two.induction[1],
            "layer 1: attention to the token before": two.previous[0],
            "the only layer of the other: induction score": one.induction[0],
        }.items(),
        ("-", "-.", "--"),
        strict=True,
    ):
        colour = {"-": COLOURS[0], "-.": COLOURS[2], "--": COLOURS[1]}[line]
        bottom.plot(two.steps, scores, color=colour, linestyle=line, label=label)
    bottom.set(title="... when the induction head appears", ylabel="mean attention", ylim=(0, 1))
    bottom.set_xlabel("training steps")
    for axis in (top, bottom):
        axis.legend(prop={"size": 8}, loc="center left", bbox_to_anchor=(1, 0.5))
    top.set_ylim(0, None)
    return figure


def head_map(scores: Float[Tensor, "layers heads"], title: str) -> Figure:
    """One cell a head: its score, from 0 to 1."""
    layers, heads = scores.shape
    figure, (axis,) = new_figure(width=1.6 + 0.25 * layers, height=1.2 + 0.25 * heads)
    image = axis.imshow(scores.T, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    axis.set(title=title, xlabel="layer", ylabel="head")
    axis.set_yticks(range(heads))
    axis.grid(visible=False)
    figure.colorbar(image, label="induction score")
    return figure


def stripe_map(panels: Mapping[str, Float[Tensor, "target source"]], period: int) -> Figure:
    """Attention on a text that repeats itself; a thin line where the second round begins."""
    figure, axes = new_figure(1, len(panels), width=4.0, height=3.6)
    for axis, (title, weights) in zip(axes, panels.items(), strict=True):
        image = axis.imshow(weights, cmap=SEQUENTIAL, vmin=0, vmax=1)
        axis.axhline(period - 0.5, color="white", linewidth=0.8)
        axis.axvline(period - 0.5, color="white", linewidth=0.8)
        axis.set(title=title, xlabel="source: who is looked at", ylabel="target: who looks")
        axis.grid(visible=False)
    figure.colorbar(image, ax=axes, label="attention weight", shrink=0.8)
    return figure
