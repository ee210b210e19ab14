"""What `scaling.isoflop_minimum` demands."""

from __future__ import annotations

import math

import numpy as np
import torch

from course_lib import scaling
from course_lib.checks.exercise import Case, Exercise, refuses

isoflop_minimum = Exercise("scaling.isoflop_minimum", 2, scaling.isoflop_minimum, tolerance=1e-4)


@isoflop_minimum.cases
def _(draw):
    def case(about, n, best, height, bend, noise=0.0):
        loss = height + bend * (n / best).log().square() + noise * draw.normal(len(n)).to(n.dtype)
        return Case(about, {"n": n, "loss": loss})

    n = torch.tensor([1e3, 1e4, 1e5], dtype=torch.float64)
    yield case("three sizes, the best in the middle", n, 1e4, 2.0, 0.05)
    n = torch.tensor([1e8, 2e8, 7e8, 3e9], dtype=torch.float64)
    yield case("the vertex between two sizes", n, 4.3e8, 2.5, 0.03)
    best = draw.random.uniform(2e4, 5e4)
    n = torch.logspace(3.6, 5.4, 8, dtype=torch.float64)
    yield case("eight sizes with noise", n, best, 1.9, 0.06, noise=0.01)
    mixed = n[draw.permutation(8)]
    mixed = mixed[[0, 1, 2, 3, 4, 5, 2, 0]]
    yield case("sizes in no order, two of them twice", mixed, best, 1.8, 0.05, noise=0.01)
    yield case("the vertex left of all sizes", n, 1e3, 2.2, 0.04)
    yield case("single precision", n.float(), 2e4, 3.0, 0.2)
    if draw.hidden:
        wide = torch.logspace(7, 10, 12, dtype=torch.float64)
        yield case("models of a paper", wide, 6e8, 2.3, 0.02, noise=0.005)
    hill = 2.0 - 0.05 * (n / 2e4).log().square()
    yield refuses("a hill in place of a valley", {"n": n, "loss": hill}, naming="loss")


def _parabola(x, y):
    columns = torch.stack([x.double() ** 2, x.double(), torch.ones_like(x).double()], dim=1)
    return torch.linalg.lstsq(columns, y.double()[:, None]).solution[:, 0].tolist()


def _centred_parabola(n, loss):
    log_n = n.double().log()
    a, b, c = _parabola(log_n - log_n.mean(), loss)
    if a <= 0:
        raise ValueError("loss must fall and rise again")
    return a, b, c, log_n.mean().item()


@isoflop_minimum.misconception
def fits_the_parabola_in_n(n, loss):
    """Your parabola is one in N. Sizes are tried by factors, 1, 2, 4, ..., and the valley looks the
    same to both sides only in log N."""
    scale = n.mean().item()
    a, b, c = _parabola(n / scale, loss)
    return -b / (2 * a) * scale, c - b**2 / (4 * a)


@isoflop_minimum.misconception
def returns_the_best_of_the_sizes_tried(n, loss):
    """This is the best size that was tried. The bottom of the valley mostly lies between two of
    them, and noise moves single points: fit the parabola, and take its vertex."""
    best = loss.argmin()
    return n[best].item(), loss[best].item()


@isoflop_minimum.misconception
def returns_the_logarithm_of_n(n, loss):
    """The vertex is at this place of log N. Return N itself: `exp` of it."""
    a, b, c, middle = _centred_parabola(n, loss)
    return middle - b / (2 * a), c - b**2 / (4 * a)


@isoflop_minimum.misconception
def undoes_the_logarithm_in_another_base(n, loss):
    """The parabola is one in log10 N, and you undo the logarithm with `exp`. Either `10**` there,
    or the natural logarithm here."""
    a, b, c, middle = _centred_parabola(n, loss)
    return math.exp((middle - b / (2 * a)) / math.log(10)), c - b**2 / (4 * a)


@isoflop_minimum.misconception
def forgets_to_go_back_from_the_mean(n, loss):
    """You have taken the mean off log N, and the vertex you found is counted from there. Add the
    mean again before `exp`."""
    a, b, c, _ = _centred_parabola(n, loss)
    return math.exp(-b / (2 * a)), c - b**2 / (4 * a)


@isoflop_minimum.misconception
def returns_the_loss_first(n, loss):
    """Both numbers are right, and they come in the wrong order: N first, then the loss."""
    a, b, c, middle = _centred_parabola(n, loss)
    return c - b**2 / (4 * a), math.exp(middle - b / (2 * a))


@isoflop_minimum.misconception
def forgets_the_two_below_the_vertex(n, loss):
    """The derivative of a x^2 + b x + c is 2 a x + b, and it is zero at -b / (2 a). Your vertex
    lies at -b / a."""
    a, b, c, middle = _centred_parabola(n, loss)
    return math.exp(middle - b / a), c


@isoflop_minimum.misconception
def goes_to_the_wrong_side_of_the_middle(n, loss):
    """The derivative 2 a x + b is zero at x = -b / (2 a). The sign of yours is turned round."""
    a, b, c, middle = _centred_parabola(n, loss)
    return math.exp(middle + b / (2 * a)), c + 3 * b**2 / (4 * a)


@isoflop_minimum.misconception
def returns_the_lowest_measured_loss(n, loss):
    """The size is the vertex, but the loss beside it is the lowest that was measured. Return the
    parabola's own value there: it is the mean of noise, not its luckiest draw."""
    a, b, _, middle = _centred_parabola(n, loss)
    return math.exp(middle - b / (2 * a)), loss.min().item()


@isoflop_minimum.misconception
def keeps_the_vertex_among_the_sizes_tried(n, loss):
    """You move the vertex to the nearest size when it lies outside of those tried. A vertex outside
    is a message: the sweep has not found the valley's other side. Return it as it is."""
    a, b, c, middle = _centred_parabola(n, loss)
    x = min(max(middle - b / (2 * a), n.log().min().item()), n.log().max().item()) - middle
    return math.exp(x + middle), a * x**2 + b * x + c


@isoflop_minimum.misconception
def takes_the_top_of_a_hill(n, loss):
    """On a valley this is right. But a parabola that opens downward has its vertex at the *highest*
    loss; that is an error, and you return it as if it were the best size."""
    log_n = n.double().log()
    a, b, c = _parabola(log_n - log_n.mean(), loss)
    return math.exp(log_n.mean().item() - b / (2 * a)), c - b**2 / (4 * a)


@isoflop_minimum.alternative
def with_polynomial_fit(n, loss):
    curve = np.polynomial.Polynomial.fit(n.double().log().numpy(), loss.double().numpy(), 2)
    if curve.convert().coef[2] <= 0:
        raise ValueError("loss is a hill")
    (vertex,) = curve.deriv().roots()
    return float(np.exp(vertex)), float(curve(vertex))


@isoflop_minimum.alternative
def in_base_ten(n, loss):
    a, b, c = np.polyfit(n.double().log10().numpy(), loss.double().numpy(), 2)
    if a <= 0:
        raise ValueError("loss is a hill")
    return float(10 ** (-b / (2 * a))), float(c - b**2 / (4 * a))
