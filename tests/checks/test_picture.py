"""Two tables beside each other show where they differ, and nothing else."""

import xml.etree.ElementTree as ET

import pytest
import torch

from course_lib.checks.picture import picture

EXPECTED = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])


def drawn(expected, got):
    """(shades of the cells, places of the crosses, what a screen reader says)."""
    svg = ET.fromstring(picture(expected, got, 1e-5).split("</svg>")[0] + "</svg>")
    shades = [float(cell.get("fill-opacity")) for cell in svg.iter("rect")]
    crosses = [path.get("d") for path in svg.iter("path")]
    return shades, crosses, svg.get("aria-label")


def test_larger_is_stronger_and_what_differs_is_crossed():
    got = EXPECTED.clone()
    got[1, 2] = 0.25
    shades, crosses, says = drawn(EXPECTED, got)
    assert shades[:6] == pytest.approx([0.75, 0, 0, 0.375, 0.375, 0], abs=0.01)
    assert shades[6:11] == shades[:5] and shades[11] == pytest.approx(0.19, abs=0.01)
    assert len(crosses) == 1
    assert says == "1 of 6 numbers are different"


def test_the_first_table_that_differs_is_drawn():
    expected = EXPECTED.repeat(2, 3, 1, 1)
    got = expected.clone()
    got[1, 2, 0] += 1
    _, crosses, says = drawn(expected, got)
    assert len(crosses) == 3
    assert says == "3 of 6 numbers are different in [1, 2]"
    assert drawn((expected, "a"), (got, "b"))[1] == crosses


def test_masks_nan_and_infinity_have_a_shade():
    mask = torch.tensor([[True, False], [True, True]])
    assert drawn(mask, ~mask)[0] == [0.75, 0, 0.75, 0.75, 0, 0.75, 0, 0]
    odd = torch.tensor([[float("nan"), float("inf"), 0.0], [-float("inf"), 9.0, 0.0]])
    assert drawn(EXPECTED, odd)[0][6:] == [0, 0.75, 0, 0, 0.75, 0]


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (EXPECTED, EXPECTED),
        (EXPECTED, EXPECTED.mT),
        (EXPECTED, None),
        (EXPECTED[0], EXPECTED[1]),
        (torch.ones(2, 2, dtype=torch.int64), torch.zeros(2, 2, dtype=torch.int64)),
        (torch.ones(30, 2), torch.zeros(30, 2)),
        (1.5, 2.5),
        ((EXPECTED,), (1,)),
    ],
)
def test_what_is_no_table_is_not_drawn(expected, got):
    assert picture(expected, got, 1e-5) == ""
