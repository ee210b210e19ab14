"""What `scaling.fit_power_law` demands."""

from __future__ import annotations

import math

import numpy as np
import torch

from course_lib import scaling
from course_lib.checks.exercise import Case, Exercise

fit_power_law = Exercise("scaling.fit_power_law", 2, scaling.fit_power_law, tolerance=1e-4)


@fit_power_law.cases
def _(draw):
    def case(about, x, c, k, noise=0.0):
        y = c * x**k * (noise * draw.normal(len(x))).exp().to(x.dtype)
        return Case(about, {"x": x, "y": y})

    yield case("y = 2 x^3 at three places", torch.tensor([1.0, 2.0, 5.0]), 2.0, 3.0)
    yield case("a falling law", torch.tensor([0.5, 2.0, 8.0, 40.0]), 0.7, -0.4)
    around = draw.normal(9).exp() * 5
    yield case("points in no order, beside the line", around, 3.0, 0.5, noise=0.3)
    budgets = torch.logspace(17, 21, 6, dtype=torch.float64)
    yield case("budgets of a paper, in double precision", budgets, 0.12, 0.49, noise=0.1)
    uneven = torch.tensor([1.0, 1.1, 1.2, 90.0])
    yield case("three points together, one far off", uneven, 1.5, 0.8, noise=0.4)
    if draw.hidden:
        many = draw.normal(40).double().exp() * 1e9
        yield case("many points", many, 1e-3, -0.3, noise=0.5)


def _line(x, y):
    """Slope and height of the straight line by least squares."""
    x, y = x.double(), y.double()
    k = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return k.item(), (y.mean() - k * x.mean()).item()


@fit_power_law.misconception
def fits_a_line_to_the_numbers_themselves(x, y):
    """This is the straight line through the points as they are. A power law is straight only in
    logarithms: take those of x and of y first."""
    k, c = _line(x, y)
    return c, k


@fit_power_law.misconception
def takes_the_logarithm_of_y_only(x, y):
    """You fit log y = log c + k x, which is an exponential law. For a power law x needs its
    logarithm too."""
    k, log_c = _line(x, y.log())
    return math.exp(min(log_c, 700.0)), k


@fit_power_law.misconception
def returns_the_exponent_first(x, y):
    """Both numbers are right, and they come in the wrong order: c first, then k."""
    k, log_c = _line(x.double().log(), y.double().log())
    return k, math.exp(log_c)


@fit_power_law.misconception
def returns_the_logarithm_of_c(x, y):
    """The height of the line is log c. The factor itself is `exp` of it."""
    k, log_c = _line(x.double().log(), y.double().log())
    return log_c, k


@fit_power_law.misconception
def takes_logarithms_to_base_ten_and_exp(x, y):
    """The line is fitted in logarithms to base 10, so its height has to be undone with 10**, not
    with `exp`. (The exponent is the same in any base.)"""
    k, log_c = _line(x.double().log10(), y.double().log10())
    return math.exp(log_c), k


@fit_power_law.misconception
def exchanges_x_and_y(x, y):
    """You fit log x against log y: how the budget follows from the size, as it were. y = c x^k asks
    for log y as a line in log x."""
    k, log_c = _line(y.double().log(), x.double().log())
    return math.exp(log_c), k


@fit_power_law.misconception
def takes_the_slope_for_the_height(x, y):
    """Slope and height have changed places before `exp`: your c is `exp` of the slope, and your k
    is the height. (`np.polyfit(..., 1)` returns the slope first.)"""
    k, log_c = _line(x.double().log(), y.double().log())
    return math.exp(k), log_c


@fit_power_law.misconception
def joins_the_first_and_the_last_point(x, y):
    """You draw the line through the first and the last point, so that all others have no say. Least
    squares weighs all of them."""
    log_x, log_y = x.double().log(), y.double().log()
    k = (log_y[-1] - log_y[0]) / (log_x[-1] - log_x[0])
    return (log_y[0] - k * log_x[0]).exp().item(), k.item()


@fit_power_law.misconception
def leaves_out_the_factor(x, y):
    """Your line goes through the origin, which says that c is 1. Let it have a height of its own:
    log c."""
    log_x, log_y = x.double().log(), y.double().log()
    return 1.0, ((log_x * log_y).sum() / log_x.square().sum()).item()


@fit_power_law.misconception
def divides_the_logarithms(x, y):
    """You average log y / log x. That is the exponent only where c is 1. Fit a line with a height
    and a slope."""
    log_x, log_y = x.double().log(), y.double().log()
    k = (log_y.mean() / log_x.mean()).item()
    return 1.0, k


@fit_power_law.alternative
def with_polyfit(x, y):
    k, log_c = np.polyfit(x.double().log().numpy(), y.double().log().numpy(), 1)
    return float(np.exp(log_c)), float(k)


@fit_power_law.alternative
def with_lstsq(x, y):
    log_x = x.double().log()
    columns = torch.stack([torch.ones_like(log_x), log_x], dim=1)
    log_c, k = torch.linalg.lstsq(columns, y.double().log()[:, None]).solution[:, 0]
    return math.exp(log_c), k.item()


@fit_power_law.alternative
def in_base_two(x, y):
    k, log_c = _line(x.double().log2(), y.double().log2())
    return 2.0**log_c, k
