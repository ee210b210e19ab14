"""Figures of notebook 08: what becomes of a distribution, and of the texts drawn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.plots.probability import visible
from course_lib.plots.style import COLOURS, LINES, new_figure

MARKERS = "osD^vPX"


def filter_chart(
    tokens: Sequence[str],
    before: Float[Tensor, "tokens"],
    panels: Mapping[str, Float[Tensor, "tokens"]],
) -> Figure:
    """What filters make of the most likely tokens, one panel for each title.

    A thin frame shows the model's own probability; a token that a filter has ruled out is marked
    with a cross.

    Args:
        tokens: the texts of some tokens, most likely first.
        before: their probabilities as the model gives them.
        panels: for each title, their probabilities after a filter.
    """
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    width = 10 / columns if columns > 2 else 4.4
    figure, axes = new_figure(rows, columns, width=width, height=0.9 + 0.22 * len(tokens))
    most = max(float(before.max()), *(float(probs.max()) for probs in panels.values()))
    places = range(len(tokens))
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for number, (axis, (title, probs)) in enumerate(zip(axes, panels.items(), strict=False)):
        axis.barh(places, probs, height=0.7, color=COLOURS[0])
        axis.barh(places, before, height=0.7, fill=False, edgecolor="black", linewidth=0.8)
        for place in places:
            if probs[place] == 0:
                axis.plot(0.03 * most, place, "x", color=COLOURS[1], markersize=6)
        axis.set_yticks(places, [visible(token) for token in tokens], parse_math=False)
        if number % columns:
            axis.tick_params(labelleft=False)
        axis.set(ylim=(len(tokens) - 0.4, -0.6), xlim=(0, 1.05 * most), xlabel="probability")
        axis.set_title(title, parse_math=False)
        axis.grid(axis="y", visible=False)
    return figure


def temperature_chart(
    temperatures: Sequence[float],
    entropy: Mapping[str, Sequence[float]],
    best: Mapping[str, Sequence[float]],
) -> Figure:
    """Entropy and the probability of the best token against the temperature, a line a prompt."""
    figure, (left, right) = new_figure(1, 2, width=4.6, height=3.2)
    for axis, lines in ((left, entropy), (right, best)):
        for name, values in lines.items():
            axis.plot(temperatures, values, label=name)
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set(xlabel="temperature")
    left.set(title="Higher temperature, more entropy", ylabel="entropy (nats)")
    right.set(title="... and the best token falls", ylabel="probability of the best token")
    right.set_ylim(0, 1.02)
    right.legend(prop={"size": 8})
    return figure


def repetition_chart(window: int, repeated: Mapping[str, Sequence[float]], n: int) -> Figure:
    """The share of n-grams that stood in the same text before, window after window.

    Args:
        window: tokens in each window.
        repeated: for each way of writing, the share in each window (0 ... 1).
        n: the length of the n-grams.
    """
    figure, (axis,) = new_figure(width=6.0, height=3.2)
    for (name, shares), line, marker in zip(repeated.items(), LINES, MARKERS, strict=False):
        ends = [window * (i + 1) for i in range(len(shares))]
        axis.plot(ends, shares, linestyle=line, marker=marker, label=name)
    axis.set(title="How much of it has been said before", xlabel="tokens written")
    axis.set(ylabel=f"{n}-grams that are repeats", ylim=(-0.02, None))
    axis.legend()
    return figure


def trade_chart(
    families: Mapping[str, Sequence[tuple[str, float, float]]],
    diversity: str,
    quality: str,
) -> Figure:
    """Quality against diversity: a line for each family of settings.

    Args:
        families: for each name, (label, diversity, quality) of its settings in order.
        diversity, quality: the names of the axes.
    """
    figure, (axis,) = new_figure(width=6.4, height=4.2)
    for number, (name, settings) in enumerate(families.items()):
        labels, x, y = zip(*settings, strict=True)
        axis.plot(
            x, y, marker=MARKERS[number], linestyle=LINES[number], color=COLOURS[number],
            label=name, markersize=7,
        )  # fmt: skip
        for label, place in zip(labels, zip(x, y), strict=True):
            axis.annotate(
                label, place, (7, -11 if number else 5), textcoords="offset points", fontsize=8,
                color=COLOURS[number], parse_math=False,
            )  # fmt: skip
    axis.set(xlabel=diversity, ylabel=quality, ylim=(0, 1.08), xlim=(0, None))
    axis.set_title("Heat brings variety, then noise")
    axis.legend(loc="upper right")
    return figure


def beam_chart(
    widths: Sequence[int],
    log_probs: Mapping[str, Sequence[float]],
    lengths: Mapping[str, Sequence[int]],
) -> Figure:
    """Log-probability and length of what beam search finds, against its width."""
    figure, (left, right) = new_figure(1, 2, width=4.6, height=3.2)
    for axis, lines in ((left, log_probs), (right, lengths)):
        for (name, values), marker in zip(lines.items(), MARKERS, strict=False):
            axis.plot(widths, values, marker=marker, label=name)
        axis.set(xlabel="beam width", xscale="log")
        axis.set_xticks(widths, [str(width) for width in widths])
        axis.minorticks_off()
    left.set(title="A wider beam finds more probable texts", ylabel="log-probability (nats)")
    right.set(title="... which are shorter", ylabel="tokens", ylim=(0, None))
    left.legend(prop={"size": 8})
    return figure


def speculation_chart(
    n_drafts: Sequence[int],
    measured: Mapping[str, Sequence[float]],
    predicted: Mapping[str, Sequence[float]],
) -> Figure:
    """Tokens for each call of the target against the drafted tokens: points measured, lines
    predicted from the rate of acceptance."""
    figure, (axis,) = new_figure(width=6.0, height=3.2)
    for number, (name, values) in enumerate(measured.items()):
        colour = COLOURS[number]
        axis.plot(n_drafts, predicted[name], linestyle=LINES[number], color=colour)
        axis.plot(n_drafts, values, MARKERS[number], color=colour, label=name)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set(title="A better draft saves more calls", xlabel="drafted tokens in a round")
    axis.set(ylabel="tokens per call of the target", ylim=(0, None), xticks=list(n_drafts))
    axis.legend()
    return figure
