"""Figures of notebook 13: numbers to decide by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from course_lib.plots.style import COLOURS, new_figure

MARKERS = ("o", "s", "^", "D", "v", "P")


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
