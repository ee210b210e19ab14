"""What `scaling.training_envelope` demands."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from course_lib import scaling
from course_lib.checks.exercise import Case, Exercise

training_envelope = Exercise(
    "scaling.training_envelope", 3, scaling.training_envelope, tolerance=1e-4
)


def _between_the_ends(solution, curves, points):
    """Without places at the very end of a curve: there the last bit of a logarithm decides whether
    it still takes part."""
    result = solution(curves, points)
    if not isinstance(result, tuple) or not all(isinstance(part, Tensor) for part in result):
        return result
    if {part.ndim for part in result} != {1} or len(set(map(len, result))) != 1:
        return result
    ends = torch.tensor([end for _, flops, _ in curves for end in flops[[0, -1]].tolist()])
    kept = ((result[0][:, None] / ends - 1).abs() > 1e-5).all(1)
    return tuple(part[kept] for part in result)


@training_envelope.cases
def _(draw):
    def curve(n_params, low, high, start, end, looks=5):
        flops = torch.logspace(math.log10(low), math.log10(high), looks)
        bent = torch.linspace(1, 0, looks).square()
        return float(n_params), flops, end + (start - end) * bent

    def case(about, curves, points):
        return Case(about, {"curves": curves, "points": points}, _between_the_ends)

    two = [curve(10, 1.0, 90.0, 4.0, 2.9), curve(50, 7.0, 800.0, 5.0, 1.0)]
    yield case("one curve", two[:1], 6)
    yield case("a small model and a large one", two, 9)
    ends_low = [curve(10, 1.0, 90.0, 4.0, 0.5), curve(50, 7.0, 800.0, 5.0, 1.0)]
    yield case("a curve that ends lower than the other ever comes", ends_low, 12)
    late = [curve(30, 1.0, 8.0, 3.0, 2.5), curve(20, 300.0, 5000.0, 2.0, 1.5)]
    yield case("a gap that no curve reaches", late, 11)
    sizes = [(3 + 7 * i) * draw.random.uniform(0.9, 1.1) for i in range(4)]
    mixed = [curve(n, 2 * n, 400 * n, 4 - 0.02 * n, 2.6 - n / 11, looks=6) for n in sizes]
    yield case("four models, in no order", [mixed[i] for i in draw.permutation(4).tolist()], 25)
    again = [curve(8, 3.0, 200.0, 3.5, 2.0), curve(8, 3.5, 900.0, 3.9, 1.6)]
    yield case("one size, trained twice", again, 9)
    if draw.hidden:
        yield case("a fine grid", mixed, 200)


def _grid(curves, points):
    first = min(flops[0].item() for _, flops, _ in curves)
    last = max(flops[-1].item() for _, flops, _ in curves)
    return np.linspace(math.log(first), math.log(last), points)


def _envelope(
    curves,
    points,
    *,
    grid=None,
    read=None,
    pick=np.argmin,
    silent=True,
    left=np.inf,
    right=np.inf,
):
    """The algorithm with switches for what may go wrong."""
    grid = _grid(curves, points) if grid is None else grid

    def in_log_flops(flops, loss):
        return np.interp(grid, flops.double().log(), loss.double(), left=left, right=right)

    losses = np.array([(read or in_log_flops)(flops, loss) for _, flops, loss in curves])
    sizes = np.array([n_params for n_params, _, _ in curves])
    best = pick(losses, axis=0)
    lowest = losses[best, np.arange(len(grid))]
    heard = np.isfinite(lowest) if silent else np.ones(len(grid), dtype=bool)
    return tuple(torch.tensor(x[heard]) for x in (np.exp(grid), sizes[best], lowest))


@training_envelope.misconception
def goes_on_after_the_end_of_a_curve(curves, points=1500):
    """A curve that has ended keeps its last loss in your envelope, as if the model stood there for
    every larger budget (and its first loss for every smaller one). That is what `np.interp` does
    unless `left` and `right` say otherwise. Outside of its looks a curve says nothing."""
    return _envelope(curves, points, left=None, right=None)


@training_envelope.misconception
def goes_on_to_the_right(curves, points=1500):
    """Before a curve begins you leave it out, but after its end it keeps its last loss. There it
    says nothing either: `right` as well as `left`."""
    return _envelope(curves, points, right=None)


@training_envelope.misconception
def goes_on_to_the_left(curves, points=1500):
    """After a curve's end you leave it out, but before its first look it has its first loss. There
    it says nothing either: `left` as well as `right`."""
    return _envelope(curves, points, left=None)


@training_envelope.misconception
def counts_silence_as_a_loss_of_zero(curves, points=1500):
    """Where a curve says nothing you write a loss of 0, and 0 is lower than any loss. Write what
    can never be the lowest: infinity."""
    return _envelope(curves, points, left=0.0, right=0.0)


@training_envelope.misconception
def lets_nan_win(curves, points=1500):
    """Where a curve says nothing you write NaN, and `min` takes NaN before any number: wherever one
    curve is silent, the others are lost with it. Write infinity."""
    return _envelope(curves, points, left=np.nan, right=np.nan)


@training_envelope.misconception
def keeps_the_lowest_loss_so_far(curves, points=1500):
    """Your envelope never rises: it remembers the best loss of smaller budgets. But it may rise,
    where the best curve has ended; there the lowest of those that go on counts."""
    flops, sizes, loss = _envelope(curves, points)
    return flops, sizes, loss.cummin(dim=0).values


@training_envelope.misconception
def reads_off_in_flops(curves, points=1500):
    """Between two looks you go straight in FLOPs. The grid and the curves live on logarithms:
    straight lines in log FLOPs."""
    grid = _grid(curves, points)

    def read(flops, loss):
        values = np.interp(np.exp(grid), flops.double(), loss.double())
        heard = (grid >= flops[0].double().log().item()) & (grid <= flops[-1].double().log().item())
        return np.where(heard, values, np.inf)

    return _envelope(curves, points, grid=grid, read=read)


@training_envelope.misconception
def spaces_the_grid_evenly_in_flops(curves, points=1500):
    """Your grid is even in FLOPs, so that nearly all of its points lie in the last factor of ten.
    It is given: even in log FLOPs."""
    ends = np.exp(_grid(curves, 2))
    return _envelope(curves, points, grid=np.log(np.linspace(*ends, points)))


@training_envelope.misconception
def takes_the_highest_curve(curves, points=1500):
    """This is the upper envelope: the worst model at each budget. Lower is better."""

    def worst(losses, axis):
        return np.where(np.isfinite(losses), losses, -np.inf).argmax(axis)

    return _envelope(curves, points, pick=worst)


@training_envelope.misconception
def keeps_the_places_where_all_are_silent(curves, points=1500):
    """Where no curve has a look to either side, your best loss is infinite. Leave such places out
    of all three results."""
    return _envelope(curves, points, silent=False)


@training_envelope.misconception
def returns_the_number_of_the_curve(curves, points=1500):
    """The second result says *which* curve is best, by its place in the list. Return the parameters
    of that model."""
    flops, sizes, loss = _envelope([(float(i), *c[1:]) for i, c in enumerate(curves)], points)
    return flops, sizes, loss


@training_envelope.misconception
def returns_log_flops(curves, points=1500):
    """The first result is the grid of log FLOPs. Return the FLOPs: `exp` of it."""
    flops, sizes, loss = _envelope(curves, points)
    return flops.log(), sizes, loss


@training_envelope.misconception
def takes_one_winner_for_all_budgets(curves, points=1500):
    """You look for the model with the lowest loss once. Which model is best depends on the budget:
    look at each point of the grid (`dim=0`, over the curves)."""
    lowest = np.argmin([loss.min().item() for _, _, loss in curves])

    def same(losses, axis):
        return np.full(losses.shape[1], lowest)

    return _envelope(curves, points, pick=same)


@training_envelope.alternative
def point_by_point(curves, points=1500):
    rows = []
    for place in _grid(curves, points).tolist():
        readings = []
        for n_params, flops, loss in curves:
            x, y = flops.double().log().tolist(), loss.tolist()
            for i in range(len(x) - 1):
                if x[i] <= place <= x[i + 1]:
                    share = (place - x[i]) / (x[i + 1] - x[i])
                    readings.append((y[i] + share * (y[i + 1] - y[i]), n_params))
        if readings:
            loss, n_params = min(readings)
            rows.append((math.exp(place), n_params, loss))
    return tuple(torch.tensor(column, dtype=torch.float64) for column in zip(*rows, strict=True))


@training_envelope.alternative
def with_a_running_minimum(curves, points=1500):
    grid = _grid(curves, points)
    best_loss, best_size = np.full(points, np.inf), np.zeros(points)
    for n_params, flops, loss in curves:
        here = np.interp(grid, flops.double().log(), loss.double(), left=np.nan, right=np.nan)
        better = here < best_loss
        best_loss[better], best_size[better] = here[better], n_params
    heard = best_loss < np.inf
    return tuple(torch.from_numpy(x[heard]) for x in (np.exp(grid), best_size, best_loss))
