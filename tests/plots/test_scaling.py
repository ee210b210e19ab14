from __future__ import annotations

import torch

from course_lib.plots import scaling as plots
from course_lib.scaling import Runs, ScalingLaw, parametric_loss, training_envelope

LAW = ScalingLaw(E=1.3, A=40.0, B=90.0, alpha=0.45, beta=0.35)


def draw(figure):
    figure.canvas.draw()
    return [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


def test_flops():
    (axis,) = draw(plots.flops_chart({"a": {8: 2.0, 64: 1.2}, "b": {64: 8.0, 512: 1.1}}))
    assert len(axis.lines) == 3
    assert axis.get_xscale() == "log"


def test_valleys_have_a_parabola_where_there_is_a_minimum():
    points = [(1e3, 2.3), (1e4, 2.0), (1e5, 2.1)]
    figure = plots.valleys_chart({1e9: points, 1e10: points[:2]}, {1e9: (1.8e4, 1.99)}, 1.26)
    (axis,) = draw(figure)
    assert len(axis.lines) == 2 + 1 + 1 + 1  # points of each budget, a parabola, a star, the floor
    assert axis.get_xscale() == "log"


def test_envelope():
    curve = (10.0, torch.tensor([1.0, 10.0]), torch.tensor([4.0, 3.0]))
    left, right = draw(plots.envelope_chart([curve], *training_envelope([curve], points=5)))
    assert len(left.lines) == 2 and len(right.lines) == 1


def test_allocation():
    (axis,) = draw(plots.allocation_chart({"one": (0.1, 0.5)}, [1e9, 1e11], [(1e10, 1e4)]))
    assert len(axis.lines) == 2
    assert "0.50" in axis.get_legend().texts[0].get_text()


def test_fit():
    n, d = torch.logspace(3, 5, 12).double(), torch.logspace(7, 5, 12).double()
    axes = draw(plots.fit_chart(Runs(n, d, parametric_loss(n, d, LAW)), LAW, 1.26))
    assert [axis.get_title("left") for axis in axes][:1] == ["Does the law fit?"]
    low, high = axes[1].get_xlim()
    assert low < n.min() and n.max() < high  # every run is in the picture


def test_models_and_ratios():
    (axis,) = draw(plots.models_chart({"GPT-3": (175e9, 300e9)}, {"a law": LAW}))
    assert [text.get_text() for text in axis.texts] == ["GPT-3"]
    (axis,) = draw(plots.ratio_chart({"a law": ([1e18, 1e20], [20.0, 30.0])}))
    assert len(axis.lines) == 2
