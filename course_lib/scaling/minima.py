"""Where the lowest losses are: in a valley of equal budget, and along training curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.arguments import check_arguments, check_positive, positive
from course_lib.scaling.arrays import takes_arrays
from course_lib.shapes import check_shapes

Curve = tuple[float, Float[Tensor, "looks"], Float[Tensor, "looks"]]


@check_shapes
def fit_power_law(x: Float[Tensor, "points"], y: Float[Tensor, "points"]) -> tuple[float, float]:
    """(c, k) of the power law y = c x^k: a straight line by least squares, in logarithms.

    Raises:
        ValueError: a number is not above 0, or `x` has fewer than two different ones.
    """
    for name, numbers in {"x": x, "y": y}.items():
        if not (numbers > 0).all():
            raise ValueError(f"{name} must be above 0 throughout, got {numbers}")
    if len(x.unique()) < 2:
        raise ValueError(f"x must have two different numbers, got {x}")

    log_x, log_y = x.double().log(), y.double().log()
    from_mean = log_x - log_x.mean()
    k = (from_mean * log_y).sum() / from_mean.square().sum()
    log_c = log_y.mean() - k * log_x.mean()
    return log_c.exp().item(), k.item()


@check_shapes
def isoflop_minimum(n: Float[Tensor, "sizes"], loss: Float[Tensor, "sizes"]) -> tuple[float, float]:
    """(N, loss) at the bottom of a valley: the vertex of a parabola of loss in log N.

    One parabola by least squares through all points (Hoffmann et al. 2022, section 3.2). Whether
    the vertex lies between the sizes that were tried is for the caller to look at.

    Args:
        n: parameters of models that were trained with the same budget.
        loss: their losses.

    Raises:
        ValueError: fewer than three different sizes, a size that is not above 0, or a parabola that
            does not open upward.
    """
    if not (n > 0).all() or len(n.unique()) < 3:
        raise ValueError(f"n must have three different sizes above 0, got {n}")

    log_n = n.double().log()
    middle = log_n.mean()
    x = log_n - middle  # near 0, so that squares stay small
    columns = torch.stack([x**2, x, torch.ones_like(x)], dim=1)
    a, b, c = torch.linalg.lstsq(columns, loss.double()[:, None]).solution[:, 0].tolist()
    if a <= 0:
        raise ValueError("loss must fall and rise again as n grows, got a parabola without a floor")
    vertex = -b / (2 * a)
    return math.exp(middle.item() + vertex), c - b**2 / (4 * a)


def training_envelope(
    curves: Sequence[Curve], points: int = 1500
) -> tuple[Float[Tensor, "points"], Float[Tensor, "points"], Float[Tensor, "points"]]:
    """Who is best after how much compute: the lower envelope of training curves.

    On a grid of FLOPs, evenly spaced in their logarithm from the first look of any curve to the
    last (Hoffmann et al. 2022, section 3.1), each curve is read off by straight lines between its
    looks, in log FLOPs. Before its first look and after its last a curve says nothing; places
    where all are silent are left out.

    Args:
        curves: (n_params, flops, loss) of one training each; flops rise from look to look.
        points: size of the grid.

    Returns:
        FLOPs, the parameters of the best model there, and its loss; float64.

    Raises:
        ValueError: no curves, one whose flops do not rise or have another length than its losses,
            or fewer than two points.
    """
    if not curves or points < 2:
        raise ValueError(f"curves and points must be at least 1 and 2, got {len(curves)}, {points}")
    for _, flops, loss in curves:
        if flops.shape != loss.shape or flops.ndim != 1 or not (flops.diff() > 0).all():
            raise ValueError("curves must have flops that rise, and a loss for each of them")
        if len(flops) == 0 or not flops[0] > 0:
            raise ValueError("curves must have a look, and flops above 0")

    first = min(flops[0].item() for _, flops, _ in curves)
    last = max(flops[-1].item() for _, flops, _ in curves)
    grid = np.linspace(math.log(first), math.log(last), points)  # of log FLOPs

    read_off = [
        np.interp(grid, flops.double().log(), loss.double(), left=np.inf, right=np.inf)
        for _, flops, loss in curves
    ]
    losses = torch.tensor(np.array(read_off))  # [curves, points]
    sizes = torch.tensor([n_params for n_params, _, _ in curves], dtype=torch.float64)
    best_loss, best = losses.min(dim=0)
    heard = best_loss.isfinite()
    return torch.tensor(grid).exp()[heard], sizes[best][heard], best_loss[heard]


# Checked here, so that the functions above are what the exercises show.

fit_power_law = takes_arrays(check_shapes(positive("x", "y")(fit_power_law)))
training_envelope = takes_arrays(check_arguments(training_envelope))


def _finite_valley(
    isoflop: Callable[..., tuple[float, float]],
) -> Callable[..., tuple[float, float]]:
    """`isoflop_minimum`, for numbers from which a parabola can be computed."""

    @wraps(isoflop)
    def isoflop_minimum(n: Tensor, loss: Tensor) -> tuple[float, float]:
        check_positive("n", n)
        if not loss.isfinite().all():
            raise ValueError(f"loss must be finite, got {loss.tolist()}")
        try:
            return isoflop(n, loss)
        except OverflowError as error:
            raise ValueError("loss must have a valley near these n, got one far away") from error

    return isoflop_minimum


isoflop_minimum = takes_arrays(check_shapes(_finite_valley(isoflop_minimum)))
