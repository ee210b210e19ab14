"""Figures of notebook 11: what adapting bought, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from course_lib.plots.style import COLOURS, LINES, MARKERS, new_figure

if TYPE_CHECKING:
    from course_lib.experiments.preferences import Look


def share_chart(shares: Mapping[str, tuple[float, float, float]], title: str) -> Figure:
    """Shares of right answers with their 95 % intervals, a row for each way of asking.

    Args:
        shares: for each way, share, low end, high end.
        title: says what to see.
    """
    figure, (axis,) = new_figure(width=6.4, height=0.9 + 0.38 * len(shares))
    for place, (share, low, high) in enumerate(shares.values()):
        axis.errorbar(
            share, place, xerr=[[share - low], [high - share]], marker=MARKERS[place % 5],
            color=COLOURS[place % len(COLOURS)], capsize=4, linestyle="",
        )  # fmt: skip
    axis.set_yticks(range(len(shares)), list(shares))
    axis.set(
        xlim=(-0.03, 1.03), ylim=(len(shares) - 0.5, -0.5), xlabel="right answers", title=title
    )
    axis.xaxis.set_major_formatter("{x:.0%}")
    return figure


def leash_chart(true: Mapping[str, Sequence[Look]], pushed: Mapping[str, Sequence[Look]]) -> Figure:
    """True reward against the distance from the start (KL) for several ways to prefer, then the
    same for policies that were trained for a learned reward, then what that reward says of them.

    Args:
        true: for each way that learns from the true reward or from preferences by it, its looks.
        pushed: for each way that learns from the learned reward, its looks.
    """
    figure, axes = new_figure(1, 3, width=3.5, height=3.2)
    panels = (
        (true, "true", "judged by the truth", "true reward"),
        (pushed, "true", "judged by a learned reward...", "true reward"),
        (pushed, "trained_for", "...which goes on rising", "learned reward"),
    )
    for axis, (ways, field, title, label) in zip(axes, panels, strict=True):
        for number, (name, looks) in enumerate(ways.items()):
            axis.plot(
                [look.kl for look in looks], [getattr(look, field) for look in looks],
                color=COLOURS[number], linestyle=LINES[number], marker=MARKERS[number],
                markersize=4, label=name,
            )  # fmt: skip
        axis.set_xscale("symlog", linthresh=1)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set(title=title, xlabel="KL from the start (nats a story)", ylabel=label)
        if field == "true":
            axis.set_ylim(-0.03, 1.03)
            axis.legend(fontsize=8)
    return figure


def bits_chart(rows: Mapping[int, tuple[float, float, float]]) -> Figure:
    """Loss, and how often the best next token is the same, against the memory of the blocks.

    Args:
        rows: for each number of bits, MiB, loss, agreement.
    """
    figure, axes = new_figure(1, 2, width=3.8, height=3.0)
    labels = ("loss (nats per token)", "same best next token")
    for axis, which, label in zip(axes, (1, 2), labels, strict=True):
        axis.plot([row[0] for row in rows.values()], [row[which] for row in rows.values()], "o-")
        for bits, row in rows.items():
            axis.annotate(f"{bits} bits", (row[0], row[which]), (4, 5), textcoords="offset points")
        axis.set(xlabel="MiB for the blocks' weights (log scale)", ylabel=label)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.margins(0.15)
    axes[0].set_title("Eight bits cost nothing, two cost everything")
    axes[1].yaxis.set_major_formatter("{x:.0%}")
    return figure
