from __future__ import annotations

import pytest
import torch
from matplotlib.patches import Rectangle

from course_lib.plots import encoder_decoder as plots


def draw(figure):
    """Lay it out, so that what cannot be drawn fails; then its axes that hold data."""
    figure.canvas.draw()
    return [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


def test_architectures_tick_who_may_look_at_whom() -> None:
    axes = draw(plots.plot_architectures(["a", "b", "c"], ["x", "y"]))
    signs = [[text.get_text() for text in axis.texts] for axis in axes]
    assert signs[0] == ["✓"] * 9
    assert signs[1] == ["✓"] * 15
    assert signs[2].count("✓") == 9 + 3 and signs[2].count("×") == 6
    assert axes[2].get_ylim() == (5, 0)  # the first token on top


def test_alignment_shows_the_weights_and_frames_what_belongs_together() -> None:
    weights = torch.rand(2, 3).softmax(-1)
    maps = {"one": weights, "two": weights}
    axes = draw(plots.plot_alignment(maps, list("abc"), list("xy"), [(0, 2), (1, 0)], "Title"))
    assert len(axes) == 2
    torch.testing.assert_close(torch.tensor(axes[0].images[0].get_array().data), weights)
    frames = [patch for patch in axes[0].patches if isinstance(patch, Rectangle)]
    assert [frame.get_xy() for frame in frames] == [(1.5, -0.5), (-0.5, 0.5)]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["x", "y"]


def test_exact_match_has_a_line_a_task() -> None:
    (axis,) = draw(plots.plot_exact_match([10, 20], {"one": [0.1, 0.9], "two": [0.0, 0.5]}))
    assert [line.get_label() for line in axis.lines] == ["one", "two"]


def test_starts_are_bars_of_means_with_a_point_a_seed() -> None:
    (axis,) = draw(plots.plot_starts({"with": [0.4, 0.6], "without": [0.1]}, "Title"))
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([0.5, 0.1])
    assert [label.get_text() for label in axis.get_yticklabels()] == ["with", "without"]
    (points,) = axis.lines
    assert list(points.get_xdata()) == [0.4, 0.6]
    assert axis.get_title("left") == "Title"
