from __future__ import annotations

import pytest
import torch
from matplotlib.colors import to_rgb

from course_lib.attention import causal_mask, padding_mask
from course_lib.plots import attention as plots


def draw(figure):
    """Lay it out, so that what cannot be drawn fails; then its axes that hold data."""
    figure.canvas.draw()
    return [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


def test_shares() -> None:
    figure = plots.plot_shares(["a", "b"], {"x": torch.tensor([0.3, 0.7])}, "Shares")
    (axis,) = draw(figure)
    assert [bar.get_height() for bar in axis.patches] == pytest.approx([0.3, 0.7])
    assert axis.get_title("left") == "Shares"


def test_scale() -> None:
    lines = {"without": [1.0, 4.0], "with": [1.0, 1.0]}
    axes = draw(plots.plot_scale([1, 4], lines, lines, lines))
    assert [len(axis.lines) for axis in axes] == [2, 2, 2]
    assert "d_k" in axes[0].get_xlabel()


def test_masks_tick_what_is_allowed() -> None:
    masks = {"causal": causal_mask(2, 3), "padding": padding_mask(torch.ones(1, 4))[0, 0]}
    axes = draw(plots.plot_masks(masks))
    assert [len(axis.texts) for axis in axes] == [5, 4]
    assert axes[0].get_ylim() == (2, 0)  # the first query on top


def test_maps_show_the_weights() -> None:
    weights = torch.rand(2, 3).softmax(-1)
    figure = plots.plot_attention_maps({"one": weights, "two": weights}, list("abc"), list("xy"))
    axes = draw(figure)
    assert len(axes) == 2
    torch.testing.assert_close(torch.tensor(axes[0].images[0].get_array().data), weights)
    assert [label.get_text() for label in axes[0].get_xticklabels()] == list("abc")


def test_heads() -> None:
    measures = {"previous": torch.rand(6, 4), "itself": torch.rand(6, 4)}
    axes = draw(plots.plot_heads(measures, "A model"))
    assert [axis.get_title("left") for axis in axes] == ["previous", "itself"]


def test_weight_and_contribution() -> None:
    values = torch.rand(5)
    (axis,) = draw(plots.plot_weight_and_contribution({"A model": (values, values / 2)}))
    assert len(axis.lines) == 2 and axis.get_ylim() == (0, 1)


def test_removal_marks_the_heads_it_is_told() -> None:
    figure = plots.plot_removal(torch.rand(3, 4), torch.rand(3, 4) + 0.1, {"clear": (1, 2)})
    (axis,) = draw(figure)
    assert [text.get_text() for text in axis.texts] == ["clear"]
    colours = [to_rgb(line.get_color()) for line in axis.lines]
    assert len(set(colours)) == 2


def test_cost_is_on_logarithmic_axes() -> None:
    values = {"full": [1.0, 4.0], "streaming": [1.0, 2.0]}
    axes = draw(plots.plot_cost([128, 256], values, values))
    assert {axis.get_xscale() for axis in axes} == {axis.get_yscale() for axis in axes} == {"log"}
