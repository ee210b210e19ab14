"""Fit the parametric law to runs.

With a = log A, b = log B and e = log E the logarithm of the law is
log L = logsumexp(a - alpha log N, b - beta log D, e), and what is minimised is the sum over runs of
Huber(log L - log loss), as in Hoffmann et al. (2022), section 3.3. The Huber loss is square near
zero and straight beyond `delta`, so that a run that went wrong pulls no harder than others.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.arguments import check_arguments
from course_lib.scaling.arrays import takes_arrays
from course_lib.scaling.law import CONSTANTS, ScalingLaw
from course_lib.scaling.minimiser import huber_objective, minimise_huber
from course_lib.scaling.tables import check_runs
from course_lib.shapes import check_shapes


def start_grid() -> Float[Tensor, "4500 5"]:
    """The starts of Hoffmann et al. (2022), appendix D.2, as rows (a, b, e, alpha, beta).

    a and b in 0, 5, ..., 25; e in -1, -0.5, ..., 1; alpha and beta in 0, 0.5, ..., 2.
    """
    a = b = torch.arange(0, 26, 5, dtype=torch.float64)
    e = torch.arange(-1, 1.1, 0.5, dtype=torch.float64)
    alpha = beta = torch.arange(0, 2.1, 0.5, dtype=torch.float64)
    return torch.cartesian_prod(a, b, e, alpha, beta)


@takes_arrays
@check_shapes
def screened_grid(
    n: Float[Tensor, "runs"],
    d: Float[Tensor, "runs"],
    loss: Float[Tensor, "runs"],
    keep: int = 64,
) -> Float[Tensor, "keep 5"]:
    """The starts of `start_grid` that fit best where they stand: enough for a quick fit.

    Raises:
        ValueError: as `check_runs`.
    """
    check_runs(n, d, loss)
    grid = start_grid()
    log_n, log_d, log_loss = (x.double().log()[None] for x in (n, d, loss))
    return grid[huber_objective(grid, log_n, log_d, log_loss).argsort()[:keep]]


@check_shapes
def fit_parametric(
    n: Float[Tensor, "runs"],
    d: Float[Tensor, "runs"],
    loss: Float[Tensor, "runs"],
    huber_delta: float = 1e-3,
    bootstrap: int = 0,
    *,
    starts: Float[Tensor, "starts 5"] | None = None,
    seed: int = 0,
) -> ScalingLaw:
    """The law that fits the runs best, found from many starts.

    Args:
        n: parameters of each run.
        d: tokens of each run.
        loss: nats per token.
        huber_delta: where the Huber loss of log residuals turns from square to straight.
        bootstrap: how many times to draw the runs anew, with replacement, and fit again from the
            best fit on; the middle 95 % of what comes out are the intervals (Efron 1979).
        starts: rows (a, b, e, alpha, beta) to begin from; `start_grid()` if not given.
        seed: of the draws.

    Raises:
        TypeError, ValueError: as `check_runs`; `huber_delta` is not above 0, `bootstrap` negative.
    """
    check_runs(n, d, loss)
    if not huber_delta > 0:
        raise ValueError(f"huber_delta must be above 0, got {huber_delta}")
    if bootstrap < 0:
        raise ValueError(f"bootstrap must not be negative, got {bootstrap}")
    starts = start_grid() if starts is None else starts

    log_n, log_d, log_loss = n.double().log(), d.double().log(), loss.double().log()
    ends, objective = minimise_huber(starts, log_n, log_d, log_loss, huber_delta)
    best = ends[objective.argmin()]  # [5]

    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(n), (bootstrap, len(n)), generator=generator)  # [bootstrap, runs]
    redrawn = (log_n[drawn], log_d[drawn], log_loss[drawn])
    refits, _ = minimise_huber(best.expand(bootstrap, 5), *redrawn, huber_delta)
    return law_of(best, refits)


@check_shapes
def law_of(best: Float[Tensor, "5"], refits: Float[Tensor, "bootstrap 5"]) -> ScalingLaw:
    """Points (a, b, e, alpha, beta) as laws; the intervals are the middle 95 % of the refits.

    Raises:
        ValueError: one of them holds NaN.
    """
    for name, points in {"best": best, "refits": refits}.items():
        if points.isnan().any():
            raise ValueError(f"{name} must hold numbers, got NaN: the starts led to no law")
    laws = [_plain_law(point) for point in refits]
    intervals = {name: middle([getattr(law, name) for law in laws]) for name in CONSTANTS if laws}
    return ScalingLaw(**vars(_plain_law(best)) | {"intervals": intervals, "refits": laws})


@check_arguments
def middle(numbers: list[float], share: float = 0.95) -> tuple[float, float]:
    """(low, high) between which the middle `share` of the numbers lies.

    Raises:
        ValueError: there is no number, or `share` is outside 0 ... 1.
    """
    if not numbers:
        raise ValueError("numbers must hold at least one number, got none")
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in 0 ... 1, got {share}")
    tails = torch.tensor([(1 - share) / 2, (1 + share) / 2], dtype=torch.float64)
    ends = torch.tensor(numbers, dtype=torch.float64).quantile(tails)
    low, high = ends.where(~ends.isnan(), math.inf).tolist()  # between two infinite ones
    return low, high


def _plain_law(point: Float[Tensor, "5"]) -> ScalingLaw:
    A, B, E = point[:3].exp().tolist()
    alpha, beta = point[3:].tolist()
    return ScalingLaw(E, A, B, alpha, beta)


# Here, so that the function above is what the exercise shows.

fit_parametric = takes_arrays(fit_parametric)
