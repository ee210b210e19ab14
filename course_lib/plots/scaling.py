"""Figures of notebook 10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from course_lib.plots.style import COLOURS, LINES, SEQUENTIAL, new_figure
from course_lib.scaling import Runs, ScalingLaw, compute_optimal, parametric_loss

MARKERS = "osD^vPX*"
Points = Sequence[tuple[float, float]]


def flops_chart(shares: Mapping[str, Mapping[int, float]]) -> Figure:
    """The exact count as a multiple of 6 N D, against the model's width, one line a family."""
    figure, (axis,) = new_figure(width=6.4, height=3.4)
    for marker, (name, points) in zip(MARKERS, shares.items(), strict=False):
        axis.plot(*zip(*points.items()), marker=marker, markersize=4, label=name)
    axis.axhline(1, color="grey", linewidth=1, linestyle="-")
    axis.set(title="How good is the rule of thumb?", xlabel="width of the model", xscale="log")
    axis.set(ylabel="exact FLOPs / 6 N D", yscale="log")
    _plain_ticks(axis.xaxis, (8, 32, 128, 512, 2048))
    _plain_ticks(axis.yaxis, (1, 2, 5, 10))
    axis.legend()
    return figure


def valleys_chart(
    valleys: Mapping[float, Points], minima: Mapping[float, tuple[float, float]], floor: float
) -> Figure:
    """Loss against parameters, one line a budget; the parabola through it, and its vertex.

    Args:
        valleys: for each budget in FLOPs the (parameters, loss) of its runs.
        minima: for each budget the vertex (parameters, loss); budgets without one are left out.
        floor: the entropy that no model can beat.
    """
    figure, (axis,) = new_figure(width=7.0, height=4.4)
    for (budget, points), colour, line, marker in zip(
        valleys.items(), _shades(valleys), LINES * 2, MARKERS
    ):
        n, loss = np.array(sorted(points)).T
        joined = ":" if budget not in minima else ""
        axis.plot(n, loss, marker + joined, color=colour, markersize=4, label=f"{budget:.2g} FLOPs")
        if budget in minima and len(np.unique(n)) >= 3:
            curve = np.polynomial.Polynomial.fit(np.log(n), loss, 2)
            grid = np.geomspace(n.min(), n.max(), 100)
            axis.plot(grid, curve(np.log(grid)), color=colour, linestyle=line)
    for n, loss in minima.values():
        axis.plot(n, loss, "*", color=COLOURS[1], markersize=13, markeredgecolor="white")
    _floor(axis, floor)
    axis.set(title="Each budget has its valley" + ("; stars mark the bottoms" if minima else ""))
    axis.set(xlabel="parameters N", ylabel="loss (nats per token)", xscale="log")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper")
    return figure


def envelope_chart(
    curves: Sequence[tuple[float, torch.Tensor, torch.Tensor]],
    flops: torch.Tensor,
    n_params: torch.Tensor,
    loss: torch.Tensor,
) -> Figure:
    """Training curves with their lower envelope, and the size that is best at each budget."""
    figure, (left, right) = new_figure(1, 2, width=4.8, height=3.6)
    sizes = sorted({size for size, _, _ in curves})
    shades = dict(zip(sizes, _shades(sizes), strict=True))
    for size, x, y in curves:
        left.plot(x, y, color=shades[size], linewidth=0.7, alpha=0.6, linestyle="-")
    left.plot(flops, loss, color=COLOURS[1], linewidth=2, linestyle="-", label="lower envelope")
    left.set(title="Training curves, light = large model", xscale="log")
    left.set(xlabel="training FLOPs", ylabel="loss (nats per token)")
    left.legend()
    right.plot(flops, n_params, ".", color=COLOURS[1], markersize=3)
    right.set(title="Who is on the envelope?", xscale="log", yscale="log")
    right.set(xlabel="training FLOPs", ylabel="parameters of the best model")
    return figure


def allocation_chart(
    fits: Mapping[str, tuple[float, float]], budgets: Sequence[float], points: Points = ()
) -> Figure:
    """Best size against budget, as each fit N = c C^k says; points are measured best sizes."""
    figure, (axis,) = new_figure(width=6.4, height=3.8)
    x = np.geomspace(min(budgets), max(budgets), 50)
    for name, (c, k) in fits.items():
        axis.plot(x, c * x**k, label=f"{name}: exponent {k:.2f}")
    if points:
        axis.plot(*zip(*points), "k*", markersize=9, label="vertices of the valleys")
    axis.set(title="Three approaches to the same question", xscale="log", yscale="log")
    axis.set(xlabel="training FLOPs C", ylabel="best parameters N")
    low, high = axis.get_ylim()
    steps = [digit * 10**power for power in range(1, 13) for digit in (1, 2, 5)]
    _plain_ticks(axis.yaxis, [step for step in steps if low <= step <= high])
    axis.legend()
    return figure


def fit_chart(runs: Runs, law: ScalingLaw, floor: float | None = None) -> Figure:
    """A law beside the runs it was fitted to: predicted against measured loss, and the law's
    losses over parameters and tokens, with the path of the best choices."""
    figure, (left, right) = new_figure(1, 2, width=4.8, height=4.0)
    runs = Runs(*(torch.as_tensor(np.asarray(numbers), dtype=torch.float64) for numbers in runs))
    predicted = torch.as_tensor(parametric_loss(runs.n, runs.d, law))
    both = [min(predicted.min(), runs.loss.min()), max(predicted.max(), runs.loss.max())]
    left.plot(both, both, color="grey", linewidth=1, linestyle="-")
    dots = left.scatter(runs.loss, predicted, c=runs.n.log10(), s=14, cmap=SEQUENTIAL)
    figure.colorbar(dots, ax=left, label="log10 of parameters", location="bottom", shrink=0.8)
    left.axhline(law.E, color=COLOURS[1], linestyle="--", label=f"fitted E = {law.E:.3g}")
    if floor is not None:
        _floor(left, floor)
    left.set(title="Does the law fit?", xlabel="measured loss", ylabel="predicted loss")
    left.legend(loc="upper left")

    n = torch.logspace(*_decades(runs.n), 80, dtype=torch.float64)
    d = torch.logspace(*_decades(runs.d), 80, dtype=torch.float64)
    surface = parametric_loss(n[None], d[:, None], law)
    lines = right.contour(n, d, surface, levels=12, cmap=SEQUENTIAL)
    right.clabel(lines, fontsize=7)
    right.plot(runs.n, runs.d, ".", color="grey", markersize=3, label="runs")
    budgets = (6 * runs.n * runs.d).log10()
    path = [compute_optimal(10**c, law) for c in np.linspace(budgets.min(), budgets.max(), 30)]
    right.plot(*zip(*path), color=COLOURS[1], linewidth=2, linestyle="-", label="best choice")
    right.set(title="Loss that the law predicts", xscale="log", yscale="log")
    right.set(xlabel="parameters N", ylabel="tokens D", xlim=(n[0], n[-1]), ylim=(d[0], d[-1]))
    right.legend(loc="lower left", frameon=True, framealpha=1, edgecolor="white")
    return figure


def models_chart(
    models: Mapping[str, tuple[float, float]], laws: Mapping[str, ScalingLaw]
) -> Figure:
    """Trained models by parameters and tokens, and the best choice that each law predicts."""
    figure, (axis,) = new_figure(width=7.0, height=4.2)
    budgets = np.geomspace(1e21, 1e25, 40)
    for name, law in laws.items():
        axis.plot(*zip(*(compute_optimal(c, law) for c in budgets)), label=name)
    n = np.array([1e9, 1e12])
    axis.plot(n, 20 * n, color="grey", linewidth=1, linestyle="-", label="20 tokens a parameter")
    by_size = sorted(models.items(), key=lambda item: item[1])
    for i, (marker, (name, (params, tokens))) in enumerate(zip(MARKERS, by_size)):
        axis.plot(params, tokens, marker, color="black", markersize=6)
        above = i % 2 == 0  # so that the names of neighbours do not meet
        axis.annotate(
            name, (params, tokens), xytext=(0, 7 if above else -7), textcoords="offset points",
            ha="center", va="bottom" if above else "top",
        )  # fmt: skip
    axis.set(title="Above a line: more tokens than it calls best")
    axis.set(xlabel="parameters N", ylabel="training tokens D", xscale="log", yscale="log")
    axis.set(xlim=(2e9, 1e12), ylim=(1e11, 2e13))
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper")
    return figure


def ratio_chart(ratios: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Best tokens per parameter against budget, one line a law: (budgets, ratios)."""
    figure, (axis,) = new_figure(width=7.0, height=3.6)
    for name, (budgets, ratio) in ratios.items():
        axis.plot(budgets, ratio, label=name)
    axis.axhline(20, color="grey", linewidth=1, linestyle="-")
    axis.set(title="How many tokens per parameter are best?", xscale="log", yscale="log")
    axis.set(xlabel="training FLOPs C", ylabel="tokens per parameter")
    _plain_ticks(axis.yaxis, (10, 20, 50, 100, 200))
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper")
    return figure


def _shades(things: Sized) -> np.ndarray:
    return colormaps[SEQUENTIAL](np.linspace(0, 0.85, len(things)))


def _plain_ticks(axis: Axis, numbers: Sequence[float]) -> None:
    """Numbers as they are read aloud, in place of powers of ten."""
    axis.set_ticks(numbers, [f"{number:,}" for number in numbers])
    axis.set_minor_locator(NullLocator())


def _decades(numbers: torch.Tensor) -> tuple[float, float]:
    return numbers.min().log10().item() - 0.1, numbers.max().log10().item() + 0.1


def _floor(axis: Axes, entropy: float) -> None:
    axis.axhline(entropy, color="black", linewidth=1.2, linestyle=":")
    axis.annotate(
        f"true entropy {entropy:.3g}", (1, entropy), xycoords=("axes fraction", "data"),
        xytext=(-2, 3), textcoords="offset points", ha="right",
    )  # fmt: skip
