"""What `adapting.quantize_rows` demands."""

from __future__ import annotations

import torch

from course_lib import adapting
from course_lib.checks.exercise import Case, Exercise

quantize_rows = Exercise("adapting.quantize_rows", points=3, reference=adapting.quantize_rows)


def _away_from_halves(draw, n_out, n_in, bits):
    """Rows of very different size of which no number lies near the middle between two steps."""
    levels = 2 ** (bits - 1) - 1
    while True:
        weight = draw.normal(n_out, n_in) * torch.logspace(-1, 1, n_out)[:, None]
        steps = weight / weight.abs().amax(-1, keepdim=True) * levels
        if ((steps - steps.floor() - 0.5).abs() > 1e-3).all():
            return weight


@quantize_rows.cases
def _(draw):
    def case(about, n_out, n_in, bits):
        weight = _away_from_halves(draw, n_out, n_in, bits)
        return Case(about, {"weight": weight, "bits": bits})

    yield Case("one row, 3 bits", {"weight": torch.tensor([[0.3, -0.6, 0.1]]), "bits": 3})
    lowest = torch.tensor([[0.4, -3.0, 1.2], [5.0, 0.2, -4.1]])
    yield Case("a row whose largest is negative", {"weight": lowest, "bits": 4})
    halves = torch.tensor([[3.0, 0.5, 1.5, 2.5, -0.5, -1.5]])
    yield Case("halves go to the even neighbour", {"weight": halves, "bits": 3})
    yield case("two rows, 8 bits", 2, 4, 8)
    yield case("rows of very different size, 4 bits", 3, 5, 4)
    yield case("as many rows as columns", 4, 4, 5)
    yield case("2 bits: -1, 0 and 1", 3, 6, 2)
    positive = _away_from_halves(draw, 2, 5, 4).abs()
    yield Case("no negative number", {"weight": positive, "bits": 4})
    zeros = _away_from_halves(draw, 3, 4, 4)
    zeros[1] = 0
    yield Case("a row of zeros", {"weight": zeros, "bits": 4})
    tiny = 1e-12 * _away_from_halves(draw, 2, 4, 6)
    yield Case("very small numbers", {"weight": tiny, "bits": 6}, _scale_in_parts)
    double = _away_from_halves(draw, 2, 3, 6).double()
    yield Case("double precision", {"weight": double, "bits": 6})
    if draw.hidden:
        yield case("a larger weight", 7, 23, 7)


def _scale_in_parts(solution, weight, bits):
    """The values, and the scale in units of a tiny one, so that it can be compared."""
    values, scale = solution(weight, bits)
    return {"values": values, "scale, times 1e12": scale * 1e12}


def _quantize(weight, bits, scale, levels=None):
    levels = levels or 2 ** (bits - 1) - 1
    steps = weight / torch.where(scale > 0, scale, 1)[:, None]
    return steps.round().clamp(-levels, levels).to(torch.int8), scale


def _levels(bits):
    return 2 ** (bits - 1) - 1


@quantize_rows.misconception
def takes_one_scale_for_all(weight, bits):
    """One scale serves your whole weight. A row of small numbers then has only a few steps left, or
    none: each row gets the scale of its own largest."""
    scale = (weight.abs().max() / _levels(bits)).expand(len(weight)).clone()
    return _quantize(weight, bits, scale)


@quantize_rows.misconception
def scales_the_columns(weight, bits):
    """You take the largest of each column. The rows are what has a scale: `amax(-1)`, over the
    inputs of each output."""
    scale = weight.abs().amax(0) / _levels(bits)
    steps = weight / torch.where(scale > 0, scale, 1)
    return steps.round().to(torch.int8), scale


@quantize_rows.misconception
def forgets_the_negative_side(weight, bits):
    """You look for the largest number of a row, not the largest in absolute value. Where a negative
    one is larger, it falls off the end: take `abs()` first."""
    return _quantize(weight, bits, weight.amax(-1) / _levels(bits))


@quantize_rows.misconception
def uses_one_level_too_many(weight, bits):
    """The largest number becomes 2**(bits - 1) in yours, and that does not fit into so many bits:
    with 8 it is 128, and int8 ends at 127. It is 2**(bits - 1) - 1."""
    levels = 2 ** (bits - 1)
    values, scale = _quantize(weight, bits, weight.abs().amax(-1) / levels, levels)
    return values, scale


@quantize_rows.misconception
def uses_twice_the_levels(weight, bits):
    """You spread 2**bits - 1 steps over the positive side alone. One bit is for the sign: the
    positive side has 2**(bits - 1) - 1 steps."""
    levels = 2**bits - 1
    scale = weight.abs().amax(-1) / levels
    steps = weight / torch.where(scale > 0, scale, 1)[:, None]
    return steps.round().to(torch.int8), scale


@quantize_rows.misconception
def cuts_off_the_fraction(weight, bits):
    """`.to(torch.int8)` alone cuts fractions off: 2.9 becomes 2, off by nearly a whole step. Round
    first, with `round()`."""
    scale = weight.abs().amax(-1) / _levels(bits)
    steps = weight / torch.where(scale > 0, scale, 1)[:, None]
    # what should be a whole number may come out just below it
    return (steps + 1e-4 * steps.sign()).trunc().to(torch.int8), scale


@quantize_rows.misconception
def rounds_halves_up(weight, bits):
    """You add a half and round down, so that 0.5 becomes 1 and -0.5 becomes 0. `torch.round` takes
    halves to the even neighbour: both become 0."""
    scale = weight.abs().amax(-1) / _levels(bits)
    steps = weight / torch.where(scale > 0, scale, 1)[:, None]
    return (steps + 0.5).floor().to(torch.int8), scale


@quantize_rows.misconception
def divides_zero_by_zero(weight, bits):
    """A row of zeros has scale 0, and 0 / 0 is NaN; what int8 makes of that is anybody's guess.
    Divide by something else there: its values are zeros whatever it is."""
    scale = weight.abs().amax(-1) / _levels(bits)
    steps = (weight / scale[:, None]).nan_to_num(nan=-_levels(bits))  # int8 of NaN is undefined
    return steps.round().to(torch.int8), scale


@quantize_rows.misconception
def gives_a_row_of_zeros_a_scale(weight, bits):
    """To be safe from 0 / 0 you give a row of zeros the scale 1. Its scale is 0: put the 1 only
    where you divide."""
    scale = weight.abs().amax(-1) / _levels(bits)
    scale = torch.where(scale > 0, scale, 1)
    return _quantize(weight, bits, scale)


@quantize_rows.misconception
def returns_the_inverse_of_the_scale(weight, bits):
    """Your scale says how many steps make 1. It is what one step is worth, so that values times
    scale give the weight back: the inverse."""
    values, scale = adapting.quantize_rows(weight, bits)
    return values, torch.where(scale > 0, 1 / scale, 0)


@quantize_rows.misconception
def returns_the_largest_of_each_row(weight, bits):
    """You return each row's largest number. The scale is what *one step* is worth: divide it by
    2**(bits - 1) - 1."""
    values, scale = adapting.quantize_rows(weight, bits)
    return values, scale * _levels(bits)


@quantize_rows.misconception
def returns_floats(weight, bits):
    """Your values are whole numbers, but still floats, which take four bytes each. Make int8 of
    them: `.to(torch.int8)`."""
    values, scale = adapting.quantize_rows(weight, bits)
    return values.to(weight.dtype), scale


@quantize_rows.alternative
def row_by_row(weight, bits):
    """A loop over the rows."""
    values, scales = [], []
    for row in weight:
        scale = row.abs().max() / (2 ** (bits - 1) - 1)
        steps = torch.round(row / scale) if scale > 0 else torch.zeros_like(row)
        values.append(steps.to(torch.int8))
        scales.append(scale)
    return torch.stack(values), torch.stack(scales)


@quantize_rows.alternative
def with_a_column_of_scales(weight, bits):
    """The axis is kept, and taken off at the end."""
    low, high = weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
    scale = torch.maximum(high, -low) / (2 ** (bits - 1) - 1)
    values = (weight / scale.masked_fill(scale == 0, 1)).round()
    return values.char(), scale.squeeze(1)
