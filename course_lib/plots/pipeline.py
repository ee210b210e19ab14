"""Figures of notebook 13: numbers to decide by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from course_lib.plots.style import COLOURS, MARKERS, new_figure


def life_cycle_chart(stages: Mapping[str, Sequence[str]]) -> Figure:
    """The life cycle of a project: its stages in a row, with what belongs to each, and the way back
    from the last to the first.

    Args:
        stages: for each stage, in order, the lines below its name.
    """
    figure, (axis,) = new_figure(width=8.4, height=2.7)
    axis.axis("off")
    axis.set(xlim=(-0.55, len(stages) - 0.45), ylim=(-1.15, 0.4))
    arrow = {"arrowstyle": "->", "color": "black"}
    for place, ((stage, lines), colour) in enumerate(zip(stages.items(), COLOURS, strict=False)):
        box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": colour}
        axis.text(place, 0.1, stage, ha="center", va="center", weight="bold", bbox=box)
        axis.text(place, -0.15, "\n".join(lines), ha="center", va="top", size=8.5)
        if place:
            axis.annotate("", (place - 0.32, 0.1), (place - 0.68, 0.1), arrowprops=arrow)
    last = len(stages) - 1
    axis.plot([last, last, 0], [0.22, 0.34, 0.34], color="black", linewidth=1, linestyle="-")
    axis.annotate("", (0, 0.19), (0, 0.345), arrowprops=arrow)
    axis.set_title("From use case to product, and back with what was learned")
    return figure


def score_chart(scores: Mapping[str, tuple[float, float, float, float]], guessing: float) -> Figure:
    """Accuracy with its interval against the time an input takes.

    Args:
        scores: for each system, (milliseconds per input, score, low, high).
        guessing: what guessing would score.
    """
    figure, (axis,) = new_figure(width=6.8, height=3.6)
    systems = zip(scores.items(), COLOURS, MARKERS, strict=False)
    for (name, (time, score, low, high)), colour, marker in systems:
        errors = [[score - low], [high - score]]
        axis.errorbar(
            time, score, errors, color=colour, marker=marker, linestyle="", capsize=4, label=name
        )
    axis.axhline(guessing, color="black", linewidth=1, linestyle=":", label="guessing")
    axis.set_xscale("log")
    axis.set(
        title="Who reads best, and how long it takes (95 % intervals)",
        xlabel="milliseconds per message (log scale)",
        ylabel="right answers",
        ylim=(0, 1),
    )
    axis.yaxis.set_major_formatter("{x:.0%}")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def domain_chart(domains: Mapping[str, tuple[float, float]]) -> Figure:
    """How strange each domain is: in its words, and in how they follow each other.

    Args:
        domains: for each, the general tokenizer's tokens for one of the domain's own tokenizer,
            and the model's bits for one bit of a compressor that knows the domain alone.
    """
    figure, (axis,) = new_figure(width=6.8, height=3.6)
    for (name, (tokens, bits)), colour, marker in zip(
        domains.items(), COLOURS, MARKERS, strict=False
    ):
        axis.plot(tokens, bits, color=colour, marker=marker, linestyle="", label=name)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set(
        title="Further up and to the right, a general model brings less",
        xlabel="vocabulary: SmolLM2's tokens for one of the domain's own",
        ylabel="structure: SmolLM2's bits\nfor one bit of the compressor",
    )
    axis.margins(0.12)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def cost_chart(
    requests: Sequence[float], costs: Mapping[str, Sequence[float]], title: str
) -> Figure:
    """Cost a month against the number of requests, a line for each way to serve them."""
    figure, (axis,) = new_figure(width=6.6, height=3.6)
    for name, values in costs.items():
        axis.plot(requests, values, drawstyle="steps-post", label=name)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set(title=title, xlabel="requests a month", ylabel="cost a month, in the prices' currency")
    axis.legend()
    return figure
