"""Figures of notebook 05."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from IPython.display import HTML
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.plots.style import COLOURS, MARKERS, new_figure

HATCHES = ("", "///", "...")

# Light tints with black text on them: readable on a light and on a dark page.
_TINTS = {"PERSON": "#bcdcf0", "PLACE": "#f6d3ba", "ANIMAL": "#c2e6d7"}


def plot_loss(losses: Sequence[float], blind: float, window: int = 20) -> Figure:
    """The loss of each step, its running mean, and what guessing blindly costs."""
    figure, (axis,) = new_figure(width=6.4)
    steps = np.arange(1, len(losses) + 1)
    axis.plot(steps, losses, color=COLOURS[0], alpha=0.25, linestyle="-", label="one step")
    mean = np.convolve(losses, np.ones(window) / window, mode="valid")
    axis.plot(steps[window - 1 :], mean, linestyle="-", label=f"mean of the last {window}")
    axis.axhline(blind, color="black", linestyle=":", linewidth=1)
    axis.annotate(
        "every word of the vocabulary equally likely",
        (len(losses), blind),
        xytext=(0, -12),
        textcoords="offset points",
        ha="right",
        fontsize=9,
    )
    axis.set(xlabel="step", ylabel="nats per hidden token", ylim=(0, None))
    axis.set_title("The surprise at hidden words falls")
    axis.legend(loc="center right")
    return figure


def plot_fill_in(
    guesses: Mapping[str, tuple[Sequence[str], Sequence[float], Sequence[float]]],
) -> Figure:
    """For each sentence the likeliest words for its gap: the model's probability, and the true one.

    Args:
        guesses: sentence -> (words, the model's probabilities, the true ones).
    """
    figure, axes = new_figure(len(guesses), 1, width=7.2, height=2.1)
    for axis, (sentence, (words, model, truth)) in zip(axes, guesses.items(), strict=True):
        places = np.arange(len(words))
        for i, (label, values) in enumerate((("the model", model), ("the truth", truth))):
            axis.bar(
                places + (i - 0.5) * 0.4,
                values,
                0.38,
                label=label,
                color=COLOURS[i],
                hatch=HATCHES[i],
                edgecolor="white",
                linestyle="-",
            )
        axis.set_xticks(places, words)
        axis.set(ylim=(0, 1), ylabel="probability")
        axis.set_title(sentence, fontsize=10)
        axis.grid(False, axis="x")
    axes[0].legend()
    return figure


def plot_accuracies(accuracies: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """Bars: the accuracy of each model on each kind of sentence.

    Args:
        accuracies: model -> kind -> share of right answers.
    """
    figure, (axis,) = new_figure(width=6.4, height=3.2)
    kinds = list(next(iter(accuracies.values())))
    places, width = np.arange(len(accuracies)), 0.8 / len(kinds)
    for i, kind in enumerate(kinds):
        bars = axis.bar(
            places + (i - (len(kinds) - 1) / 2) * width,
            [100 * of_model[kind] for of_model in accuracies.values()],
            width * 0.94,
            label=f"{kind} sentences",
            color=COLOURS[i],
            hatch=HATCHES[i],
            edgecolor="white",
            linestyle="-",
        )
        axis.bar_label(bars, fmt="%.0f", fontsize=9, padding=1)
    axis.axhline(50, color="black", linestyle=":", linewidth=1)
    axis.set_xticks(places, list(accuracies))
    axis.set(ylim=(0, 112), ylabel="right, percent (chance: 50)", title=title)
    axis.grid(False, axis="x")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def plot_by_labels(
    counts: Sequence[int], scores: Mapping[str, Sequence[float]], title: str, label: str
) -> Figure:
    """A line for each method: the score against the number of labelled examples."""
    figure, (axis,) = new_figure(width=6.4, height=3.4)
    for (name, values), marker in zip(scores.items(), MARKERS, strict=False):
        axis.plot(counts, [100 * value for value in values], marker=marker, label=name)
    axis.set_xscale("log")
    axis.set_xticks(list(counts), [f"{count:,}" for count in counts])
    axis.minorticks_off()
    axis.set(xlabel="labelled sentences", ylabel=label, ylim=(None, 101), title=title)
    axis.legend(loc="lower right")
    return figure


def show_entities(
    sentences: Sequence[tuple[Sequence[str], set[tuple[int, int, str]]]],
) -> HTML:
    """Sentences with their entities in boxes.

    Args:
        sentences: (tokens, spans), the spans as from `experiments.encoder.spans`.
    """
    rows = []
    for tokens, found in sentences:
        starts = {start: (stop, kind) for start, stop, kind in found}
        parts, i = [], 0
        while i < len(tokens):
            stop, kind = starts.get(i, (i + 1, None))
            words = escape(" ".join(tokens[i:stop]).replace("_", " "))
            if kind:
                words = (
                    f'<span style="background:{_TINTS[kind]};color:#000;border:1px solid #777;'
                    f'border-radius:3px;padding:1px 3px">{words} <small>{kind.lower()}</small>'
                    "</span>"
                )
            parts.append(words)
            i = stop
        rows.append(f'<p style="line-height:1.9;margin:2px">{" ".join(parts)}</p>')
    return HTML("".join(rows))


def plot_patches(
    image: Float[Tensor, "height width"], patches: Float[Tensor, "time patch"], size: int
) -> Figure:
    """A picture with its squares marked, and the same squares as a sequence."""
    figure, axes = new_figure(1, 2, width=4.0, height=2.0)
    picture, sequence = axes
    picture.imshow(image, cmap="Greys", vmin=0, vmax=1)
    height, width = image.shape
    for edge in range(size, height, size):
        picture.axhline(edge - 0.5, color=COLOURS[1], linewidth=1, linestyle="-")
    for edge in range(size, width, size):
        picture.axvline(edge - 0.5, color=COLOURS[1], linewidth=1, linestyle="-")
    picture.set_title(f"A picture of {height} × {width} pixels")
    per_row = 8
    rows = -(-len(patches) // per_row)
    canvas = np.full((rows * (size + 2), per_row * (size + 1) + 1), np.nan)
    for i, patch in enumerate(patches):
        top, left = i // per_row * (size + 2) + 1, i % per_row * (size + 1) + 1
        canvas[top : top + size, left : left + size] = patch.reshape(size, size)
        sequence.text(
            left + size / 2 - 0.5, top - 0.9, str(i), ha="center", va="center", fontsize=7
        )
    sequence.imshow(canvas, cmap="Greys", vmin=0, vmax=1)
    sequence.set_facecolor("#dfe7ee")
    sequence.set_title(f"As a sequence of {len(patches)} patches")
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
    return figure


def plot_digits(
    images: Float[Tensor, "n height width"], labels: Sequence[int], guesses: Sequence[int]
) -> Figure:
    """Pictures, each with what it shows and what the model took it for."""
    columns = min(8, len(images))
    rows = -(-len(images) // columns)
    figure, axes = new_figure(rows, columns, width=1.0, height=1.3)
    for axis, image, label, guess in zip(axes, images, labels, guesses, strict=False):
        axis.imshow(image, cmap="Greys", vmin=0, vmax=1)
        axis.set_title(f"{label}, read as {guess}", fontsize=8)
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
    for axis in axes[len(images) :]:
        axis.remove()
    return figure


def plot_frames(wave: Float[Tensor, "samples"], frame: int, rate: int) -> Figure:
    """A sound and where it is cut into frames."""
    figure, (axis,) = new_figure(width=7.2, height=1.8)
    milliseconds = 1000 * np.arange(len(wave)) / rate
    axis.plot(milliseconds, wave, linewidth=1, linestyle="-")
    for edge in range(0, len(wave) + 1, frame):
        axis.axvline(1000 * edge / rate, color=COLOURS[1], linewidth=1, linestyle="-")
    axis.set(xlabel="milliseconds", ylabel="air pressure")
    axis.set_title(f"{len(wave) // frame} frames of {frame} samples: a sequence of vectors")
    axis.grid(False)
    return figure
