"""Lists, NumPy arrays and columns of a data frame do what tensors do."""

import numpy as np
import pytest
import torch

from course_lib.plots.scaling import fit_chart
from course_lib.scaling import (
    Runs,
    ScalingLaw,
    fit_parametric,
    fit_power_law,
    isoflop_minimum,
    parametric_loss,
    screened_grid,
    start_grid,
    training_envelope,
)

LAW = ScalingLaw(E=1.3, A=40.0, B=90.0, alpha=0.45, beta=0.35)
N, D = np.repeat([1e3, 1e4, 1e5], 3), np.tile([1e5, 1e6, 1e7], 3)
LOSS = 1.3 + 40 / N**0.45 + 90 / D**0.35


class Column:
    """As much of a data frame's column as NumPy needs."""

    def __init__(self, numbers):
        self.numbers = numbers

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.numbers, dtype)


FORMS = {"list": list, "array": np.asarray, "column": Column, "tuple": tuple}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_what_comes_out_is_what_tensors_give(form):
    n, d, loss = (form(x) for x in (N, D, LOSS))
    tensors = [torch.tensor(x) for x in (N, D, LOSS)]
    starts = start_grid()[:3]
    assert fit_parametric(n, d, loss, starts=starts) == fit_parametric(*tensors, starts=starts)
    assert fit_power_law(n, loss) == fit_power_law(tensors[0], tensors[2])
    valley = ([1e3, 1e4, 1e5], [2.3, 2.0, 2.1])
    expected = isoflop_minimum(*(torch.tensor(x, dtype=torch.float64) for x in valley))
    assert isoflop_minimum(*(form(x) for x in valley)) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(screened_grid(n, d, loss, 2), screened_grid(*tensors, 2))


def test_arrays_give_arrays_and_tensors_tensors():
    for result in training_envelope([(10.0, [1.0, 10.0], np.array([4.0, 3.0]))], points=5):
        assert isinstance(result, np.ndarray)
    np.testing.assert_allclose(parametric_loss(N, D, LAW), LOSS)
    assert isinstance(parametric_loss(N, D, LAW), np.ndarray)
    assert isinstance(parametric_loss(torch.tensor(N), torch.tensor(D), LAW), torch.Tensor)
    assert isinstance(parametric_loss(1e3, 1e5, LAW), float)


def test_a_chart_takes_columns():
    figure = fit_chart(Runs(Column(N), list(D), LOSS), LAW)
    figure.canvas.draw()
    (path,) = figure.axes[0].collections
    np.testing.assert_allclose(path.get_offsets()[:, 0], LOSS)


@pytest.mark.parametrize("bad", [["a", "b"], [[1], [1, 2]], [None, 1]])
def test_what_holds_no_numbers_is_named(bad):
    with pytest.raises(TypeError, match=r"^x must hold numbers"):
        fit_power_law(bad, [1.0, 2.0])


def test_the_given_array_stays_as_it_was():
    n = N.copy()
    fit_power_law(n, LOSS)
    np.testing.assert_array_equal(n, N)
