from __future__ import annotations

import pytest

from course_lib.plots import decoder as plots


def draw(figure):
    """Lay it out, so that what cannot be drawn fails; then its axes."""
    figure.canvas.draw()
    return figure.axes


def labels(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def test_ngrams() -> None:
    (axis,) = draw(plots.plot_ngrams({"short": {1: 3.0, 2: 2.0}, "long": {1: 3.0, 2: 1.0}}, 0.5))
    assert labels(axis) == ["short", "long", "entropy: the floor"]
    assert axis.get_xlabel() == "n"


def test_schedule() -> None:
    (axis,) = draw(plots.plot_schedule({"a": [0.0, 1.0, 0.5]}))
    assert list(axis.lines[0].get_ydata()) == [0.0, 1.0, 0.5]


def test_race_shows_curves_counters_and_the_floor() -> None:
    curves = {"LSTM": {10: 3.0, 100: 1.0}, "transformer": {10: 2.0, 100: 0.7}}
    (axis,) = draw(plots.plot_race(curves, {"2-gram": 1.8}, 0.65))
    assert axis.get_xscale() == axis.get_yscale() == "log"
    assert labels(axis) == ["LSTM", "transformer", "entropy: the floor"]
    assert [text.get_text() for text in axis.texts] == ["2-gram"]
    assert axis.get_ylim()[0] < 0.65


def test_surprise_has_a_row_for_each_reader() -> None:
    axes = draw(plots.plot_surprise(["a", "b"], {"one": [1.0, 3.0], "two": [0.0, 1.0]}))
    assert [axis.get_title("left") for axis in axes] == [
        "one: 2.00 nats per token",
        "two: 0.50 nats per token",
    ]
    assert [bar.get_height() for bar in axes[0].patches] == pytest.approx([1.0, 3.0])
    assert [tick.get_text() for tick in axes[-1].get_xticklabels()] == ["a", "b"]


def test_step_time_is_in_milliseconds() -> None:
    (axis,) = draw(plots.plot_step_time([8, 16], {"with": [0.01, 0.02]}))
    assert list(axis.lines[0].get_ydata()) == pytest.approx([10, 20])


def test_memory_is_in_megabytes() -> None:
    (axis,) = draw(plots.plot_memory([8, 16], 5e6, {"cache": [1e6, 2e6]}, "Title"))
    assert list(axis.lines[1].get_ydata()) == pytest.approx([1, 2])
    assert axis.get_title("left") == "Title"
