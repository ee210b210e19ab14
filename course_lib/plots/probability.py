"""Figures of notebook 00: what a language model answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.plots.style import COLOURS, DIVERGING, new_figure


def visible(token: str) -> str:
    """A token as it is drawn: a blank becomes ␣ and a line break ↵."""
    return token.replace(" ", "␣").replace("\n", "↵")


def _bars(axis: Axes, suggestions: Sequence[tuple[str, float]], colour: str) -> None:
    """One horizontal bar for each (token, probability), the first on top."""
    rows = range(len(suggestions))
    bars = axis.barh(rows, [p for _, p in suggestions], height=0.7, color=colour)
    axis.bar_label(bars, [f"{p:.3f}" for _, p in suggestions], padding=3, fontsize=8)
    axis.set_yticks(rows, [visible(token) for token, _ in suggestions], parse_math=False)
    axis.set_ylim(len(suggestions) - 0.4, -0.6)
    axis.set(xlim=(0, 1), xlabel="probability")
    axis.grid(axis="y", visible=False)


def next_token_chart(panels: Mapping[str, Sequence[tuple[str, float]]]) -> Figure:
    """The most likely next tokens, one panel for each title.

    Args:
        panels: for each title, the (token, probability) pairs to draw, most likely first.
    """
    longest = max(len(suggestions) for suggestions in panels.values())
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    height = 1.0 + 0.24 * longest
    figure, axes = new_figure(rows, columns, width=8.4 / columns, height=height)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for number, (axis, (title, suggestions)) in enumerate(zip(axes, panels.items(), strict=False)):
        _bars(axis, suggestions, COLOURS[number % columns])
        axis.set_title(title, parse_math=False)
    return figure


def machine(
    tokens: Sequence[str],
    ids: Int[Tensor, "time"],
    vectors: Float[Tensor, "time width"],
    after_blocks: Float[Tensor, "time width"],
    logits: Float[Tensor, "vocab"],
    suggestions: Sequence[tuple[str, float]],
) -> Figure:
    """The way of one text through a language model, stage by stage, with the real numbers.

    The colours of each token's vector have a scale of their own.

    Args:
        tokens: the pieces of the text.
        ids: their ids.
        vectors: one row for each token, before the first block.
        after_blocks: the same rows after the last block.
        logits: of the last position.
        suggestions: the most likely next tokens and their probabilities.
    """
    figure, (pieces, before, after, scores, answer) = new_figure(1, 5, width=2.5, height=3.1)
    time, width = vectors.shape

    pieces.set(xlim=(0, 1), ylim=(time - 0.5, -0.5))
    pieces.set_title(f"preprocess\ntext → ids [{time}]")
    for row, (token, id) in enumerate(zip(tokens, ids.tolist(), strict=True)):
        pieces.text(0.05, row, visible(token), va="center", parse_math=False)
        pieces.text(0.95, row, f"{id}", va="center", ha="right", family="monospace")
    pieces.set_axis_off()

    for axis, rows, title in (
        (before, vectors, f"forward\nids → vectors [{time}, {width}]"),
        (after, after_blocks, f"forward\nblocks → vectors [{time}, {width}]"),
    ):
        scaled = rows / rows.abs().quantile(0.98, dim=1, keepdim=True)  # a scale for each row
        axis.imshow(scaled, aspect="auto", cmap=DIVERGING, vmin=-1, vmax=1, interpolation="nearest")
        axis.set(yticks=[], xlabel="channel")
        axis.set_title(title)
        axis.grid(False)

    scores.hist(logits, bins=60, color=COLOURS[0])
    top = logits.max().item()
    scores.annotate(
        visible(suggestions[0][0]), (top, 1), (0, 110), textcoords="offset points", ha="center",
        arrowprops={"arrowstyle": "->"}, parse_math=False,
    )  # fmt: skip
    scores.set(yscale="log", xlabel="logit", ylabel="tokens")
    scores.set_title(f"forward\nvectors → logits [{len(logits)}]")

    _bars(answer, suggestions, COLOURS[0])
    answer.set_xlim(0, 1.15 * max(0.3, suggestions[0][1]))
    answer.set_title("postprocess\nlogits → probabilities")
    return figure


def log_prob_chart(texts: Mapping[str, Sequence[tuple[str, float]]]) -> Figure:
    """How much each token of a text costs, one panel for each text.

    Args:
        texts: for each title, (token, log-probability in nats) from left to right.
    """
    figure, axes = new_figure(1, len(texts), width=8.4 / len(texts), height=2.9)
    lowest = min(log_prob for pairs in texts.values() for _, log_prob in pairs)
    for number, (axis, (title, pairs)) in enumerate(zip(axes, texts.items(), strict=True)):
        places = range(len(pairs))
        bars = axis.bar(places, [log_prob for _, log_prob in pairs], color=COLOURS[number])
        axis.bar_label(bars, [f"{log_prob:.1f}" for _, log_prob in pairs], padding=2, fontsize=8)
        axis.set_xticks(
            places, [visible(token) for token, _ in pairs], rotation=40, ha="right",
            rotation_mode="anchor", parse_math=False,
        )  # fmt: skip
        axis.set_ylim(1.12 * lowest, 0)
        axis.set_ylabel("log-probability (nats)")
        axis.set_title(title, parse_math=False)
        axis.grid(axis="x", visible=False)
    return figure


def label_chart(
    texts: Sequence[str], probabilities: Sequence[float], truth: Sequence[bool], label: str
) -> Figure:
    """P(label | text) for several texts, and on which side of one half each should be.

    Args:
        texts: what was classified.
        probabilities: of the label, for each text.
        truth: whether the label is the right one.
        label: its name.
    """
    figure, (axis,) = new_figure(width=8.4, height=1.0 + 0.3 * len(texts))
    styles = {True: (COLOURS[0], "o", f"is {label}"), False: (COLOURS[1], "s", f"is not {label}")}
    for right_answer, (colour, marker, name) in styles.items():
        rows = [row for row, answer in enumerate(truth) if answer == right_answer]
        values = [probabilities[row] for row in rows]
        axis.plot(values, rows, marker, color=colour, label=name, markersize=8)
    for row, (probability, answer) in enumerate(zip(probabilities, truth, strict=True)):
        if (probability > 0.5) != answer:
            axis.annotate(
                "wrong", (probability, row), (10, -3), textcoords="offset points",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
    axis.axvline(0.5, color="black", linewidth=1, linestyle="--")
    axis.set_yticks(range(len(texts)), texts, parse_math=False)
    axis.set_ylim(len(texts) - 0.5, -0.5)
    axis.set(xlim=(0, 1), xlabel=f"P({label} | text)")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
