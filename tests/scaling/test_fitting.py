import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import huber, logsumexp, softmax

from course_lib.scaling import (
    ScalingLaw,
    fit_parametric,
    huber_objective,
    middle,
    minimise_huber,
    parametric_loss,
    screened_grid,
    start_grid,
)

HOFFMANN = ScalingLaw(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
SMALL = ScalingLaw(E=1.26, A=40.0, B=90.0, alpha=0.45, beta=0.35)
CONSTANTS = ("E", "A", "B", "alpha", "beta")


def runs(law=HOFFMANN, n_runs=60, noise=0.0, seed=0, n=(5e7, 1.6e10), d=(1e9, 3e11)):
    """Parameters, tokens and losses of a known law; noise is relative."""
    generator = torch.Generator().manual_seed(seed)

    def between(low, high):
        return low * (high / low) ** torch.rand(n_runs, generator=generator, dtype=torch.float64)

    n, d = between(*n), between(*d)
    wobble = noise * torch.randn(n_runs, generator=generator, dtype=torch.float64)
    return n, d, parametric_loss(n, d, law) * wobble.exp()


def logs(table):
    return [x.log() for x in table]


def scipy_ends(starts, log_n, log_d, log_loss, delta=1e-3):
    """The objective where SciPy's BFGS ends from each start: our own code has no part in it."""
    log_n, log_d, log_loss = (x.numpy() for x in (log_n, log_d, log_loss))

    def objective(point):
        a, b, e, alpha, beta = point
        terms = np.stack([a - alpha * log_n, b - beta * log_d, np.full_like(log_n, e)])
        residual = logsumexp(terms, axis=0) - log_loss
        slopes = np.clip(residual / delta, -1, 1) * softmax(terms, axis=0)
        gradient = [*slopes.sum(1), -(slopes[0] * log_n).sum(), -(slopes[1] * log_d).sum()]
        return huber(delta, residual).sum() / delta, np.array(gradient)

    return [minimize(objective, start, jac=True, method="BFGS").fun for start in starts.numpy()]


def test_the_grid_is_hoffmanns():
    grid = start_grid()
    assert len(grid) == 4500 == len(grid.unique(dim=0))
    values = [sorted(column.unique().tolist()) for column in grid.T]
    assert values[0] == values[1] == [0, 5, 10, 15, 20, 25]
    assert values[2] == [-1, -0.5, 0, 0.5, 1]
    assert values[3] == values[4] == [0, 0.5, 1, 1.5, 2]


@pytest.mark.parametrize("delta", [1e-3, 0.1])
def test_the_objective_is_the_huber_loss_of_log_residuals(delta):
    n, d, loss = runs(noise=0.05)
    points = start_grid()[::500]
    e, a, b = points[:, 2].exp(), points[:, 0].exp(), points[:, 1].exp()
    for i, point in enumerate(points):
        law = (e[i], a[i], b[i], point[3], point[4])
        residual = parametric_loss(n, d, law).log() - loss.log()
        expected = torch.nn.functional.huber_loss(
            residual, torch.zeros_like(residual), delta=delta, reduction="sum"
        )
        got = huber_objective(points[i : i + 1], *(x[None] for x in logs((n, d, loss))), delta)
        torch.testing.assert_close(got[0] * delta, expected)


@pytest.mark.parametrize("law", [HOFFMANN, SMALL])
def test_without_noise_the_law_comes_back(law):
    table = runs(law, n=(1e3, 1e6), d=(1e5, 1e8)) if law is SMALL else runs(law)
    fitted = fit_parametric(*table, starts=screened_grid(*table))
    for name in CONSTANTS:
        assert getattr(fitted, name) == pytest.approx(getattr(law, name), rel=1e-5)
    assert fitted.intervals == {} and len(fitted.refits) == 0


def test_the_size_of_the_objective_does_not_decide_when_to_stop():
    exact = runs()
    law = fit_parametric(*exact, huber_delta=1e-7, starts=screened_grid(*exact))
    for name in CONSTANTS:
        assert getattr(law, name) == pytest.approx(getattr(HOFFMANN, name), rel=1e-5)
    table = runs(noise=0.01)
    starts = screened_grid(*table, keep=8)
    once = fit_parametric(*table, starts=starts)
    ten_times = fit_parametric(*(x.repeat(10) for x in table), starts=starts)
    for name in CONSTANTS:
        assert getattr(once, name) == pytest.approx(getattr(ten_times, name), rel=1e-3)


def test_with_noise_every_constant_lies_in_its_interval():
    table = runs(n_runs=200, noise=0.01)
    law = fit_parametric(*table, bootstrap=300, starts=screened_grid(*table))
    assert set(law.intervals) == set(CONSTANTS) and len(law.refits) == 300
    for name, (low, high) in law.intervals.items():
        assert low < getattr(HOFFMANN, name) < high
        assert low < getattr(law, name) < high


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    inside = []
    for seed in range(20):
        table = runs(n_runs=80, noise=0.01, seed=seed)
        law = fit_parametric(*table, bootstrap=200, starts=screened_grid(*table, keep=16))
        inside += [low < getattr(HOFFMANN, x) < high for x, (low, high) in law.intervals.items()]
    assert sum(inside) / len(inside) > 0.85  # of 95 % intervals; constants go together


def test_the_best_is_no_worse_than_scipys_best_of_any_start():
    data = logs(runs(noise=0.02, seed=3))
    some = start_grid()[torch.randperm(4500, generator=torch.Generator().manual_seed(0))[:40]]
    _, ours = minimise_huber(some, *data)
    best_of_scipy = min(scipy_ends(some, *data))
    assert ours.min().item() <= best_of_scipy + 1e-8
    # and it is a minimum: a small step in any direction goes up
    ends, values = minimise_huber(some, *data)
    best = ends[values.argmin()]
    steps = 1e-4 * torch.randn(200, 5, generator=torch.Generator().manual_seed(1)).double()
    around = huber_objective(best + steps, *(x[None] for x in data))
    assert (around >= values.min()).all()


def test_the_screened_grid_finds_what_the_whole_grid_finds():
    table = runs(SMALL, n_runs=24, noise=0.02, n=(1e3, 1e6), d=(1e5, 1e8))
    _, everywhere = minimise_huber(start_grid()[::3], *logs(table))
    _, screened = minimise_huber(screened_grid(*table), *logs(table))
    assert screened.min().item() <= everywhere.min().item() + 1e-8


def test_the_fit_returns_the_best_of_its_starts():
    table = runs(noise=0.02, seed=4)
    far_off = torch.tensor(
        [[-900.0, -900.0, -0.5, 2.0, 2.0]]
    )  # A, B are 0: nothing makes them grow
    starts = torch.cat([far_off, start_grid()[::150], far_off])
    _, values = minimise_huber(starts, *logs(table))
    assert values.max() > values.min() + 0.1  # not all starts end well
    law = fit_parametric(*table, starts=starts)
    point = torch.tensor([math.log(law.A), math.log(law.B), math.log(law.E), law.alpha, law.beta])
    value = huber_objective(point.double()[None], *(x[None] for x in logs(table)))
    assert value.item() == pytest.approx(values.min().item(), rel=1e-3)


@pytest.mark.parametrize("law", [HOFFMANN, SMALL])
def test_all_starts_of_the_grid_arrive_but_for_a_few(law):
    sizes = {"n": (1e3, 1e6), "d": (1e5, 1e8)} if law is SMALL else {}
    _, values = minimise_huber(start_grid()[::9], *logs(runs(law, noise=0.02, **sizes)))
    assert (values < values.min() + 1e-6).double().mean() > 0.95


def test_a_start_ends_alone_where_it_ends_in_company():
    table = logs(runs(noise=0.02, seed=5))
    starts = start_grid()[7::400]
    ends, values = minimise_huber(starts, *table)
    for start, end, value in zip(starts, ends, values):
        alone, value_alone = minimise_huber(start[None], *table)
        torch.testing.assert_close(alone[0], end, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(value_alone[0], value, rtol=1e-9, atol=0)


def test_no_start_and_starts_that_lead_nowhere_have_an_end():
    table = logs(runs(noise=0.01))
    ends, values = minimise_huber(torch.empty(0, 5), *table)
    assert ends.shape == (0, 5) and values.shape == (0,)
    starts = torch.tensor([[6.0, 6.0, 0.5, 0.35, 0.3], [1e300, 6, 0, 0, 0], [math.nan, 6, 0, 0, 0]])
    _, values = minimise_huber(starts.double(), *table)
    assert values[0] < 2 and not (values[1:] <= values[0]).any()


def test_with_runs_that_went_wrong_the_best_is_no_worse_than_scipys():
    n, d, loss = runs(noise=0.01, seed=6)
    loss[::7] *= 1.5
    starts = start_grid()[11::300]
    _, ours = minimise_huber(starts, *logs((n, d, loss)))
    assert ours.min() <= min(scipy_ends(starts, *logs((n, d, loss)))) * (1 + 1e-9)


def test_each_row_may_have_its_own_runs():
    tables = [logs(runs(noise=0.02, seed=seed)) for seed in range(3)]
    start = torch.tensor([[6.0, 6.0, 0.5, 0.35, 0.3]])
    stacked = [torch.stack(columns) for columns in zip(*tables, strict=True)]
    ends, values = minimise_huber(start.expand(3, 5), *stacked)
    for i, table in enumerate(tables):
        end, value = minimise_huber(start, *table)
        torch.testing.assert_close(ends[i : i + 1], end, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(values[i : i + 1], value)


def test_refits_from_the_best_fit_arrive_where_refits_from_the_grid_do():
    table = runs(n_runs=80, noise=0.01)
    law = fit_parametric(*table, bootstrap=10, starts=screened_grid(*table), seed=5)
    drawn = torch.randint(80, (10, 80), generator=torch.Generator().manual_seed(5))
    for rows, refit in zip(drawn, law.refits, strict=True):
        redrawn = [x[rows] for x in table]
        again = fit_parametric(*redrawn, starts=screened_grid(*redrawn))
        assert refit.alpha == pytest.approx(again.alpha, abs=2e-3)


def test_a_run_that_went_wrong_pulls_no_harder_than_others():
    n, d, loss = runs(noise=0.002)
    spoilt = loss.clone()
    spoilt[7] *= 3
    fine, pulled = (fit_parametric(n, d, x, starts=screened_grid(n, d, x)) for x in (loss, spoilt))
    assert pulled.E == pytest.approx(fine.E, rel=0.01)


def test_same_seed_same_intervals_and_arguments_stay():
    table = runs(noise=0.01)
    before = [x.clone() for x in table]
    starts = screened_grid(*table, keep=4)
    one, two = (fit_parametric(*table, bootstrap=20, starts=starts, seed=1) for _ in range(2))
    assert one == two
    assert one.intervals != fit_parametric(*table, bootstrap=20, starts=starts, seed=2).intervals
    assert all(torch.equal(x, y) for x, y in zip(table, before, strict=True))


def test_single_precision_goes_in():
    table = [x.float() for x in runs(noise=0.01)]
    assert fit_parametric(*table, starts=screened_grid(*table)).E == pytest.approx(1.69, rel=0.1)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda n, d, loss: (n, d, -loss), "loss must be finite and above 0"),
        (lambda n, d, loss: (n, d * float("nan"), loss), "d must be finite"),
        (lambda n, d, loss: (n[:5], d[:5], loss[:5]), "at least 6 runs, got 5"),
        (lambda n, d, loss: (n * 0 + 1e6, d, loss), "n must have at least 3 different model sizes"),
        (lambda n, d, loss: (n, d * 0 + 1e9, loss), "d must have at least 3 different numbers"),
        (lambda n, d, loss: (n[:-1], d, loss), "d must have the shape"),
    ],
)
def test_tables_that_say_nothing_are_refused(spoil, words):
    with pytest.raises(ValueError, match=words):
        fit_parametric(*spoil(*runs()))


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="huber_delta"):
        fit_parametric(*runs(), huber_delta=0)
    with pytest.raises(ValueError, match="bootstrap"):
        fit_parametric(*runs(), bootstrap=-1)
    with pytest.raises(ValueError, match="starts"):
        fit_parametric(*runs(), starts=torch.zeros(3, 4))
    with pytest.raises(ValueError, match="starts"):
        fit_parametric(*runs(), starts=torch.full((3, 5), math.nan))
    with pytest.raises(TypeError, match="n must be a tensor"):
        fit_parametric(1.0, *runs()[1:])


def test_middle():
    assert middle([float(i) for i in range(101)]) == pytest.approx((2.5, 97.5))
    assert middle([float(i) for i in range(101)], share=0.8) == pytest.approx((10, 90))
    assert middle([1.0, 2.0, math.inf, math.inf], share=0.5)[1] == math.inf
