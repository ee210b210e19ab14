"""The minimiser behind the parametric fit: damped Newton steps, for many starts at once.

One row of a tensor is one start. What is minimised is the sum over runs of Huber(r) with
r = logsumexp(a - alpha log N, b - beta log D, e) - log loss.

What makes it arrive, where a general minimiser often stops on the way, and soon:

- A test of "no more gain" is relative to the objective. Taken as it stands that is so small that
  an absolute test is met before the minimum.
- With a delta of 1e-3 nearly every run lies in the straight part, where there is no curvature to
  make a Newton step from. So a start that lies far off first goes to a minimum of the squares
  (delta = infinity). If its residuals are large even there, delta comes down by factors of ten.
- Of starts that have met at a minimum of the squares, one goes on for all.
- A step changes A, B and E themselves, in which the prediction is linear, not their logarithms; so
  a term that has all but vanished comes back in a few steps (`_moved`). And damping counts for a
  constant as much as its term has of the prediction.

The steps are Levenberg's (1944) and Marquardt's (1963).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.shapes import check_shapes

# x = -log N and y = -log D, from the middle, and log loss; each [1, runs] or [points, runs].
Table = tuple[Tensor, Tensor, Tensor]

TOLERANCE = 1e-9  # a step that gains less than this share of the objective is the last
MET = 1e-6  # points that differ by less, in every constant, are one
NARROWER = 10.0  # delta comes down by this; and a start is near if its residuals are below it
FIRST_DAMPING = 1e-4
LARGEST_DAMPING = 1e12
RAISED = 4.0  # the damping, after a failed step; after another one by its square, and so on
BLOCK = 2**14  # starts times runs that are worked on at once: they stay in the processor's cache


@check_shapes
def huber_objective(
    points: Float[Tensor, "points 5"],
    log_n: Float[Tensor, "#points runs"],
    log_d: Float[Tensor, "#points runs"],
    log_loss: Float[Tensor, "#points runs"],
    delta: float = 1e-3,
) -> Float[Tensor, "points"]:
    """The sum over runs of Huber(r) / delta, at each point (a, b, e, alpha, beta)."""
    size = _residuals(points, log_n, log_d, log_loss).abs()
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
        most_steps: where to stop all the same, for each delta on the way; on sensible data fewer
            than a hundred are enough.

    Returns:
        Where each start ends, and the objective there, the sum of Huber(r) / delta; float64.

    Raises:
        ValueError: shapes do not fit, or `delta` is not above 0.
    """
    if not delta > 0:
        raise ValueError(f"delta must be above 0, got {delta}")
    if log_n.ndim not in (1, 2) or (log_n.ndim == 2 and len(log_n) not in (1, len(starts))):
        raise ValueError(f"log_n must be [runs] or [{len(starts)}, runs], got {list(log_n.shape)}")

    points = starts.double().clone()
    log_n, log_d, log_loss = (torch.atleast_2d(x.double()) for x in (log_n, log_d, log_loss))
    # In the middle of the runs a constant factor and an exponent have little to do with each other.
    middle_n, middle_d = log_n.mean(1), log_d.mean(1)
    points[:, 0] -= points[:, 3] * middle_n
    points[:, 1] -= points[:, 4] * middle_d
    table = (middle_n[:, None] - log_n, middle_d[:, None] - log_d, log_loss)

    width = _typical_residuals(points, table)
    far = (width > NARROWER * delta).nonzero()[:, 0]
    points[far] = _descend(points[far], _rows_of(table, far), math.inf, most_steps)[0]
    width[far] = _typical_residuals(points[far], _rows_of(table, far))
    whose = torch.arange(len(points))  # the row of `points` that each start has become
    if len(log_n) == 1 < len(points):
        first, whose = _met(points)
        points, width = points[first], width[first]

    objective = torch.empty(len(points), dtype=torch.float64)
    stage = (width / delta).log().div(math.log(NARROWER)).nan_to_num().clamp(0, 30).int()
    for number in range(max(stage.tolist(), default=-1), -1, -1):
        here = (stage >= number).nonzero()[:, 0]
        found = _descend(points[here], _rows_of(table, here), delta * NARROWER**number, most_steps)
        points[here], objective[here] = found

    points, objective = points[whose], objective[whose] / delta
    points[:, 0] += points[:, 3] * middle_n
    points[:, 1] += points[:, 4] * middle_d
    return points, objective


def _descend(
    points: Float[Tensor, "points 5"], table: Table, delta: float, most_steps: int
) -> tuple[Float[Tensor, "points 5"], Float[Tensor, "points"]]:
    """Where points end, and the sum over runs of Huber(r) there (delta = infinity: of r^2 / 2).

    A step that fails is tried again with more damping; one that goes well lets the next be freer.
    """
    ends, values = points.clone(), torch.empty_like(points[:, 0])
    going = torch.arange(len(points))  # the points that have not arrived
    here: tuple[Tensor, ...] = (points, *_derivatives(points, table, going, delta))
    damping, raised = torch.full_like(values, FIRST_DAMPING), torch.full_like(values, RAISED)
    for _ in range(most_steps):
        if len(going) == 0:
            break
        point, value, gradient, curvature, weight = here
        unit = weight.clamp(min=1e-300).rsqrt()  # of a constant, so that all weigh the same
        matrix = unit[:, :, None] * curvature * unit[:, None]
        matrix.diagonal(dim1=1, dim2=2).add_(damping[:, None])
        factor, failed = torch.linalg.cholesky_ex(matrix)
        step = -unit * torch.cholesky_solve((unit * gradient)[..., None], factor)[..., 0]
        moved = _moved(point, step)
        there = (moved, *_derivatives(moved, table, going, delta))

        solved = failed == 0  # else the curvature is not positive, and there is no step
        better = solved & (there[1] < value)
        expected = -(gradient * step).sum(1)
        gain = torch.where(better, value - there[1], expected)
        free = ~better | (damping < 1e-2)  # a small gain says little of a held-back step
        arrived = solved & free & (gain <= TOLERANCE * value) | (damping > LARGEST_DAMPING)

        freer = torch.where(gain > 0.3 * expected, damping / 5, damping)
        damping = torch.where(better, freer, damping * raised)
        raised = torch.where(better, RAISED, raised * RAISED)
        here = tuple(torch.where(_like(better, new), new, old) for new, old in zip(there, here))
        ends[going], values[going] = here[:2]
        if arrived.any():
            on = ~arrived
            here = tuple(x[on] for x in here)
            going, damping, raised = going[on], damping[on], raised[on]
    return ends, values


def _moved(
    points: Float[Tensor, "points 5"], step: Float[Tensor, "points 5"]
) -> Float[Tensor, "points 5"]:
    """Points after a step that A, B and E take: A becomes A (1 + its step), not A exp(its step).

    Along a straight line in them a prediction is straight too. So a term may grow a thousandfold
    in one step where it has all but vanished; none falls by more than four fifths. To change
    A N^-alpha as the step says, alpha moves by its step over what A has been multiplied by.
    """
    times = (1 + step[:, :3]).clamp(min=0.2)
    exponents = (step[:, 3:] / times[:, :2]).clamp(-1, 1)
    return points + torch.cat([times.log(), exponents], dim=1)


def _derivatives(
    points: Float[Tensor, "points 5"], table: Table, rows: Int[Tensor, "points"], delta: float
) -> tuple[
    Float[Tensor, "points"],
    Float[Tensor, "points 5"],
    Float[Tensor, "points 5 5"],
    Float[Tensor, "points 5"],
]:
    """The sum over runs of Huber(r), its gradient, its curvature, and what each constant weighs.

    The curvature is exact, but for squares (delta = infinity) Gauss's and Newton's approximation. A
    constant weighs the sum over runs of its term's share times the square of what it is multiplied
    by.
    """
    blocks = _blocks(points, table, rows)
    parts = [_derivatives_of_block(block, *runs, delta) for block, runs in blocks]
    value, gradient, curvature, weight = map(torch.cat, zip(*parts))
    return value, gradient, curvature, weight


def _derivatives_of_block(
    points: Float[Tensor, "points 5"],
    x: Float[Tensor, "#points runs"],
    y: Float[Tensor, "#points runs"],
    log_loss: Float[Tensor, "#points runs"],
    delta: float,
) -> tuple[Tensor, ...]:
    a, b, e, alpha, beta = (column[:, None] for column in points.unbind(1))
    # The sums over runs of products of two rows are all that is needed; one product makes them.
    rows = points.new_empty(9, len(points), x.shape[1])
    shares = rows[:3]  # of the three terms in the prediction; at first, their logarithms
    torch.addcmul(a, alpha, x, out=shares[0])
    torch.addcmul(b, beta, y, out=shares[1])
    shares[2] = e
    largest = shares.amax(0)
    total = shares.sub_(largest).exp_().sum(0)
    shares *= total.reciprocal()
    residual = total.log_().add_(largest).sub_(log_loss)
    torch.mul(rows[0], x, out=rows[3])  # now rows[:5] are the derivatives of log prediction
    torch.mul(rows[1], y, out=rows[4])
    slope = torch.clamp(residual, -delta, delta, out=rows[5])  # of Huber(r)
    value = residual.sub(slope, alpha=0.5).mul_(slope).sum(1)
    rows[6] = 1
    torch.mul(rows[3], x, out=rows[7])
    torch.mul(rows[4], y, out=rows[8])

    others = rows[:7]
    if delta < math.inf:
        others = torch.empty_like(others)
        others[5:] = rows[5:7]
        torch.mul(rows[:5], torch.eq(residual, slope, out=residual).sub_(slope), out=others[:5])
    sums = rows.transpose(0, 1) @ others.permute(1, 2, 0)  # [points, 9, 7]
    gradient, curvature, weight = sums[:, :5, 5], sums[:, :5, :5], sums[:, (0, 1, 2, 7, 8), 6]
    if delta < math.inf:
        # d2/dx2 of Huber(r(x)): its own curvature times the Jacobian's square, plus its slope times
        # the curvature of logsumexp, which is (shares as a diagonal) - (shares times shares).
        of, and_ = (0, 1, 2, 0, 3, 1, 4, 3, 4), (0, 1, 2, 3, 0, 4, 1, 3, 4)
        curvature[:, of, and_] += sums[:, (0, 1, 2, 3, 3, 4, 4, 7, 8), 5]
    return value, gradient, curvature, weight


def _residuals(
    points: Float[Tensor, "points 5"],
    log_n: Float[Tensor, "#points runs"],
    log_d: Float[Tensor, "#points runs"],
    log_loss: Float[Tensor, "#points runs"],
) -> Float[Tensor, "points runs"]:
    """Logarithm of the prediction less that of the loss."""
    a, b, e, alpha, beta = (column[:, None] for column in points.unbind(1))
    log_terms = torch.broadcast_tensors(a - alpha * log_n, b - beta * log_d, e)
    return torch.stack(log_terms).logsumexp(0) - log_loss


def _typical_residuals(points: Float[Tensor, "points 5"], table: Table) -> Float[Tensor, "points"]:
    """The median of |r|."""
    medians = [
        _residuals(point, -x, -y, log_loss).abs().median(1).values
        for point, (x, y, log_loss) in _blocks(points, table, torch.arange(len(points)))
    ]
    return torch.cat(medians)


def _met(
    points: Float[Tensor, "points 5"],
) -> tuple[Int[Tensor, "distinct"], Int[Tensor, "points"]]:
    """The first of each group of points that have met, and the group of each point."""
    _, group = (points / MET).round().unique(dim=0, return_inverse=True)
    number = torch.arange(len(group))
    first = torch.full_like(group, len(group)).scatter_reduce_(0, group, number, "amin")
    return first[first < len(group)], group


def _rows_of(table: Table, rows: Int[Tensor, "points"]) -> Table:
    """The runs of some points, where each point has its own."""
    x, y, log_loss = (x if len(x) == 1 else x.index_select(0, rows) for x in table)
    return x, y, log_loss


def _blocks(
    points: Float[Tensor, "points 5"], table: Table, rows: Int[Tensor, "points"]
) -> Iterator[tuple[Float[Tensor, "some 5"], Table]]:
    """A few points after the other, each with its runs: those in its row of the table."""
    size = max(1, BLOCK // table[0].shape[1])
    for block, of_block in zip(points.split(size), rows.split(size)):
        yield block, _rows_of(table, of_block)


def _like(mask: Tensor, other: Tensor) -> Tensor:
    """A mask of rows with as many axes as another tensor."""
    return mask.view(-1, *[1] * (other.ndim - 1))
