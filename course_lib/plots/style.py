"""One look for every figure: importing this sets it for the whole notebook."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart by most colour-blind readers. Line styles differ as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SEQUENTIAL = "viridis"
DIVERGING = "RdBu_r"

plt.rcParams.update(
    {
        "figure.dpi": 96,
        "figure.facecolor": "white",
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "axes.axisbelow": True,
        "legend.frameon": False,
    }
)


def new_figure(
    rows: int = 1, columns: int = 1, *, width: float = 4.2, height: float = 3.0
) -> tuple[Figure, list[Axes]]:
    """A figure with `rows * columns` axes (row by row), each `width` by `height` inches.

    The figure is closed for pyplot, so a notebook shows it once: where it is returned.
    """
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.set_prop_cycle(color=COLOURS, linestyle=LINES)
    plt.close(figure)
    return figure, list(axes.flat)
