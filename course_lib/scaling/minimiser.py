"""The minimiser behind the parametric fit: damped Newton steps, for many starts at once.

One row of a tensor is one start. What is minimised is the sum over runs of Huber(r) with
r = logsumexp(a - alpha log N, b - beta log D, e) - log loss.

Three things make it arrive, where a general minimiser often stops on the way:

- The objective is divided by delta, and every test of "no more gain" is relative to it. Taken as it
  stands it is so small that an absolute test is met before the minimum.
- With a delta of 1e-3 nearly every run lies in the straight part, where there is no curvature to
  make a Newton step from. So each start begins with a delta as wide as its own residuals and
  narrows it in stages; only the last one counts.
- The damping is no multiple of the identity, but the curvature of parabolas that lie above the
  objective (as in iteratively reweighted least squares). It knows how far is far for each constant,
  also where one of the three terms has all but vanished.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.shapes import check_shapes

TOLERANCE = 1e-10  # a step that gains less than this share of the objective is the last
LOOSE = 1e-2  # the same before the last stage
NARROWER = 4.0  # from one stage to the next
LONGEST_STEP = 3.0  # of a, b, e, alpha or beta
BLOCK = 2**17  # starts times runs that are worked on at once


def huber_objective(
    points: Float[Tensor, "points 5"],
    log_n: Float[Tensor, "#points runs"],
    log_d: Float[Tensor, "#points runs"],
    log_loss: Float[Tensor, "#points runs"],
    delta: float | Float[Tensor, "points 1"] = 1e-3,
) -> Float[Tensor, "points"]:
    """The sum over runs of Huber(r) / delta, at each point (a, b, e, alpha, beta)."""
    size = (_log_terms(points, log_n, log_d).logsumexp(0) - log_loss).abs()
    return torch.where(size <= delta, size.square() / (2 * delta), size - delta / 2).sum(1)


@check_shapes
def minimise_huber(
    starts: Float[Tensor, "starts 5"],
    log_n: Float[Tensor, "*runs"],
    log_d: Float[Tensor, "*runs"],
    log_loss: Float[Tensor, "*runs"],
    delta: float = 1e-3,
    most_steps: int = 2000,
) -> tuple[Float[Tensor, "starts 5"], Float[Tensor, "starts"]]:
    """Go downhill from every start, to the end.

    Args:
        starts: rows (a, b, e, alpha, beta).
        log_n, log_d, log_loss: logarithms of parameters, tokens and losses [runs], the same for
            all starts; or [starts, runs], a table of its own for each.
        delta: of the Huber loss.
        most_steps: where to stop all the same; on sensible data a few hundred are enough.

    Returns:
        Where each start ends, and the objective there, the sum of Huber(r) / delta; float64.

    Raises:
        ValueError: shapes do not fit, or `delta` is not above 0.
    """
    if not delta > 0:
        raise ValueError(f"delta must be above 0, got {delta}")
    if log_n.ndim not in (1, 2) or (log_n.ndim == 2 and len(log_n) not in (1, len(starts))):
        raise ValueError(f"log_n must be [runs] or [{len(starts)}, runs], got {list(log_n.shape)}")

    shape = (len(starts), log_n.shape[-1])
    log_n, log_d, log_loss = (x.double().expand(shape) for x in (log_n, log_d, log_loss))
    # In the middle of the runs a constant factor and an exponent have little to do with each other.
    middle_n, middle_d = log_n.mean(1), log_d.mean(1)
    points = starts.double().clone()
    points[:, 0] -= points[:, 3] * middle_n
    points[:, 1] -= points[:, 4] * middle_d
    log_n, log_d = log_n - middle_n[:, None], log_d - middle_d[:, None]

    objective = torch.empty(len(starts), dtype=torch.float64)
    for rows in torch.arange(len(starts)).split(max(1, BLOCK // shape[1])):
        block = (points[rows], log_n[rows], log_d[rows], log_loss[rows])
        points[rows], objective[rows] = _minimise(*block, delta, most_steps)

    points[:, 0] += points[:, 3] * middle_n
    points[:, 1] += points[:, 4] * middle_d
    return points, objective


def _minimise(
    points: Float[Tensor, "starts 5"],
    log_n: Float[Tensor, "starts runs"],
    log_d: Float[Tensor, "starts runs"],
    log_loss: Float[Tensor, "starts runs"],
    delta: float,
    most_steps: int,
) -> tuple[Float[Tensor, "starts 5"], Float[Tensor, "starts"]]:
    residuals = _log_terms(points, log_n, log_d).logsumexp(0) - log_loss
    width = residuals.abs().median(1, keepdim=True).values.clamp(min=delta)  # delta of the stage
    damping = torch.ones_like(width)
    going = torch.arange(len(points))  # the starts that have not arrived
    for _ in range(most_steps):
        if len(going) == 0:
            break
        here, stage, damped = points[going], width[going], damping[going]
        data = (log_n[going], log_d[going], log_loss[going])

        value, gradient, curvature, above = _derivatives(here, *data, stage)
        factor, failed = torch.linalg.cholesky_ex(curvature + damped[..., None] * above)
        step = -torch.cholesky_solve(gradient[..., None], factor)[..., 0]
        longest = step.abs().amax(1, keepdim=True)
        step = step * (LONGEST_STEP / longest.clamp(min=LONGEST_STEP))
        new_value = huber_objective(here + step, *data, stage)

        solved = failed == 0  # else the curvature is not positive, and there is no step
        better = solved & (new_value < value)
        points[going[better]] = (here + step)[better]
        damping[going] = torch.where(better[:, None], damped / 2, damped * 4).clamp(1e-12, 1e12)

        gain = torch.where(better, value - new_value, -(gradient * step).sum(1))
        last = stage[:, 0] <= delta
        enough = torch.where(last, TOLERANCE, LOOSE) * (value + delta)
        free = ~better | (damped[:, 0] <= 1)  # a small gain says little of a held-back step
        arrived = (solved & free & (gain < enough)) | (damped[:, 0] >= 1e12)
        next_stage = going[arrived & ~last]
        width[next_stage] = (width[next_stage] / NARROWER).clamp(min=delta)
        damping[next_stage] = damping[next_stage].clamp(max=1)
        going = going[~(arrived & last)]
    return points, huber_objective(points, log_n, log_d, log_loss, delta)


def _log_terms(
    points: Float[Tensor, "points 5"],
    log_n: Float[Tensor, "#points runs"],
    log_d: Float[Tensor, "#points runs"],
) -> Float[Tensor, "3 points runs"]:
    """Logarithms of A / N^alpha, B / D^beta and E."""
    a, b, e, alpha, beta = (column[:, None] for column in points.unbind(1))
    return torch.stack([a - alpha * log_n, b - beta * log_d, e + torch.zeros_like(log_n)])


def _derivatives(
    points: Float[Tensor, "points 5"],
    log_n: Float[Tensor, "points runs"],
    log_d: Float[Tensor, "points runs"],
    log_loss: Float[Tensor, "points runs"],
    delta: Float[Tensor, "points 1"],
) -> tuple[
    Float[Tensor, "points"],
    Float[Tensor, "points 5"],
    Float[Tensor, "points 5 5"],
    Float[Tensor, "points 5 5"],
]:
    """Objective, gradient, matrix of second derivatives, and a positive matrix above it."""
    log_terms = _log_terms(points, log_n, log_d)
    log_prediction = log_terms.logsumexp(0)
    shares = (log_terms - log_prediction).exp()  # of the three terms in the prediction
    residual = log_prediction - log_loss
    size = residual.abs()
    inside = size <= delta
    value = torch.where(inside, size.square() / (2 * delta), size - delta / 2).sum(1)

    of_n, of_d, of_e = shares
    jacobian = torch.stack([of_n, of_d, of_e, -of_n * log_n, -of_d * log_d], dim=-1)
    slope = (residual / delta).clamp(-1, 1)  # of the Huber loss, divided by delta
    gradient = (slope[:, None] @ jacobian)[:, 0]

    # d2/dx2 of Huber(r(x)): its own curvature times the Jacobian's square, plus its slope times
    # the curvature of logsumexp, which is (shares as a diagonal) - (shares times shares).
    bend = inside / delta - slope
    curvature = jacobian.mT @ (jacobian * bend[..., None])
    curvature += _of_terms(slope * shares, log_n, log_d)
    above = jacobian.mT @ (jacobian / size.clamp(min=delta)[..., None])
    above += _of_terms(slope.abs() * shares, log_n, log_d) + 1e-9 * torch.eye(5).double()
    return value, gradient, curvature, above


def _of_terms(
    weights: Float[Tensor, "3 points runs"],
    log_n: Float[Tensor, "points runs"],
    log_d: Float[Tensor, "points runs"],
) -> Float[Tensor, "points 5 5"]:
    """Sum over runs and terms of weight times x x^T, where a term's logarithm is x . point."""
    of_n, of_d, of_e = weights
    matrix = torch.zeros(len(log_n), 5, 5, dtype=torch.float64)
    for weight, log_x, factor, exponent in ((of_n, log_n, 0, 3), (of_d, log_d, 1, 4)):
        matrix[:, factor, factor] = weight.sum(1)
        matrix[:, factor, exponent] = matrix[:, exponent, factor] = -(weight * log_x).sum(1)
        matrix[:, exponent, exponent] = (weight * log_x.square()).sum(1)
    matrix[:, 2, 2] = of_e.sum(1)
    return matrix
