from __future__ import annotations

import math

import pytest

from course_lib.plots import transformer as plots
from course_lib.transformer import count_parameters


class Sizes:
    vocab_size, max_length, width, n_layers, n_heads, ffn_width, tied = 50, 8, 4, 2, 1, 16, True


def draw(figure):
    """Lay it out, so that what cannot be drawn fails; then its axes."""
    figure.canvas.draw()
    return figure.axes


def looks(axis):
    """What each line looks like, by its name."""
    return {
        line.get_label(): (line.get_color(), line.get_linestyle(), line.get_marker())
        for line in axis.lines
        if not line.get_label().startswith("_")
    }


def test_sizes_are_on_a_logarithmic_axis() -> None:
    (axis,) = draw(plots.size_chart({"a": [1.0, 1e-3], "b": [1.0, 1e3]}))
    assert axis.get_yscale() == "log" and "layers" in axis.get_xlabel()
    assert list(axis.lines[1].get_ydata()) == [1.0, 1e3]


def test_activations_and_the_distance_between_two() -> None:
    figure = plots.activation_chart({"x": lambda x: x, "2x": lambda x: 2 * x}, "x", "2x")
    curves, distance = draw(figure)
    assert len(curves.lines) == 2
    assert list(distance.lines[0].get_ydata()) == pytest.approx(list(distance.lines[0].get_xdata()))


def test_gradients_leave_out_what_has_no_logarithm() -> None:
    by_depth = {"neither": {1: 1.0, 2: 0.0}, "residuals only": {1: 1.0, 2: math.nan}}
    first, every = draw(plots.gradient_chart(by_depth, {"neither": [0.0, 1e-3, 1.0]}))
    assert [list(line.get_xdata()) for line in first.lines] == [[1], [1]]
    assert list(every.lines[0].get_xdata()) == [2, 3]


def test_a_stack_looks_the_same_everywhere() -> None:
    by_depth = {kind: {1: 1.0, 2: 2.0} for kind in plots.STACKS[:5]}
    by_layer = {kind: [1.0, 2.0] for kind in ("neither", "post-norm", "pre-norm")}
    lines = {kind: [0.1, 0.2] for kind in plots.STACKS[3:]}
    points = {kind: dict(enumerate(values)) for kind, values in lines.items()}
    axes = [
        *draw(plots.gradient_chart(by_depth, by_layer)),
        *draw(plots.collapse_chart(lines, lines)),
        *draw(plots.readout_chart(points, points, chance=1 / 32)),
        *draw(plots.training_chart({kind: [2.0] * 12 for kind in plots.STACKS}, guessing=2.7)),
    ]
    seen = {}
    for axis in axes:
        for name, look in looks(axis).items():
            assert seen.setdefault(name, look) == look
    assert len(seen) == len(set(seen.values())) == len(plots.STACKS)


def test_training_is_smoothed_over_ten_steps() -> None:
    (axis,) = draw(plots.training_chart({"pre-norm": [float(n) for n in range(20)]}, guessing=3.0))
    steps, losses = axis.lines[0].get_data()
    assert steps[0] == 10 and losses[0] == pytest.approx(4.5)
    assert [text.get_text() for text in axis.texts] == ["guessing"]


def test_throughput_names_steps_within_one_power_of_ten() -> None:
    speed, products = draw(
        plots.throughput_chart({"a": {16: 1500.0, 64: 6000.0}}, {"a": {16: 16, 64: 64}})
    )
    assert [label.get_text() for label in speed.get_yticklabels()] == ["2,000", "5,000"]
    assert "row" in products.get_ylabel()


def test_recall_shows_guessing() -> None:
    (axis,) = draw(plots.recall_chart({"a": {1: 1.0, 32: 0.1}}, chance=1 / 16))
    assert [text.get_text() for text in axis.texts] == ["guessing"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "32"]


def test_parameter_bars_add_up() -> None:
    counts = count_parameters(Sizes())
    (axis,) = draw(plots.parameter_bars({"4": counts, "again": counts}))
    assert sum(bar.get_height() for bar in axis.patches) == pytest.approx(200)
    assert [text.get_text() for text in axis.texts] == [f"{counts['total']}"] * 2
