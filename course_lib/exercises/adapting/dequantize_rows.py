"""What `adapting.dequantize_rows` demands."""

from __future__ import annotations

import torch

from course_lib import adapting
from course_lib.checks.exercise import Case, Exercise

dequantize_rows = Exercise("adapting.dequantize_rows", points=1, reference=adapting.dequantize_rows)


@dequantize_rows.cases
def _(draw):
    def given(n_out, n_in, levels=7):
        values = (draw.ids(2 * levels + 1, n_out, n_in) - levels).to(torch.int8)
        return {"values": values, "scale": draw.normal(n_out).abs() + 0.1}

    small = torch.tensor([[3, -2], [-1, 0]], dtype=torch.int8)
    yield Case("two rows of two", {"values": small, "scale": torch.tensor([0.5, 2.0])})
    yield Case("one row", given(1, 4))
    yield Case("two rows of three", given(2, 3))
    yield Case("as many rows as columns", given(3, 3))
    yield Case("8 bits", given(3, 4, 127))
    zeros = given(3, 2)
    zeros["values"][1], zeros["scale"][1] = 0, 0
    yield Case("a row of zeros with scale 0", zeros)
    large = {"values": small * 40, "scale": torch.tensor([3.0, 5.0])}
    yield Case("results beyond 127", large)
    double = given(2, 3)
    yield Case("double precision", double | {"scale": double["scale"].double()})
    if draw.hidden:
        yield Case("a larger weight", given(7, 11, 31))


@dequantize_rows.misconception
def divides_by_the_scale(values, scale):
    """You divide. A value counts steps, and the scale says what one step is worth: multiply."""
    return values / torch.where(scale > 0, scale, 1)[:, None]


@dequantize_rows.misconception
def scales_the_columns(values, scale):
    """`values * scale` lines the scales up with the columns: the last axes meet. Each belongs to a
    row: `scale[:, None]`. (In a square it fits, with wrong values.)"""
    return values * scale


@dequantize_rows.misconception
def stays_in_int8(values, scale):
    """The result is cut back to int8, which has no fractions and ends at 127. It should be a
    float in the precision of the scale."""
    return (values * scale[:, None]).clamp(-127, 127).to(torch.int8)


@dequantize_rows.misconception
def rounds_the_result(values, scale):
    """You round the weights to whole numbers. Rounding was the other direction's affair; here each
    value is multiplied by its row's scale and stays as it is."""
    return (values * scale[:, None]).round()


@dequantize_rows.misconception
def takes_one_scale_for_all(values, scale):
    """The first row's scale serves all your rows. Each row has its own."""
    return values * scale[0]


@dequantize_rows.misconception
def forgets_the_sign(values, scale):
    """The signs are lost on the way. A value of -2 stands for minus two steps."""
    return values.abs() * scale[:, None]


@dequantize_rows.alternative
def with_a_diagonal_matrix(values, scale):
    """A matrix product that multiplies rows."""
    return torch.diag(scale) @ values.to(scale.dtype)


@dequantize_rows.alternative
def row_by_row(values, scale):
    """A loop over the rows."""
    return torch.stack([row.to(scale.dtype) * one for row, one in zip(values, scale)])
