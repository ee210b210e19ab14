from __future__ import annotations

import torch

from course_lib.plots import decoding as plots


def draw(figure):
    """Lay it out, so that what cannot be drawn fails; then its visible axes."""
    figure.canvas.draw()
    return [axis for axis in figure.axes if axis.get_visible()]


def test_filter_chart_crosses_out_what_is_gone() -> None:
    before = torch.tensor([0.6, 0.3, 0.1])
    panels = {"as it is": before, "top-k 1": torch.tensor([1.0, 0.0, 0.0])}
    first, second = draw(plots.filter_chart([" a", "$b", "\n"], before, panels))
    assert [len(axis.lines) for axis in (first, second)] == [0, 2]
    assert [label.get_text() for label in first.get_yticklabels()] == ["␣a", "$b", "↵"]
    assert [bar.get_width() for bar in second.patches[:3]] == [1, 0, 0]
    assert first.get_ylim()[0] > first.get_ylim()[1]  # the best on top


def test_temperature_chart() -> None:
    lines = {"one": [0.1, 0.5], "two": [0.2, 0.9]}
    left, right = draw(plots.temperature_chart([0.5, 1.0], lines, lines))
    assert len(left.lines) == len(right.lines) == 3
    assert "nats" in left.get_ylabel() and right.get_xlabel() == "temperature"


def test_repetition_chart_puts_windows_at_their_end() -> None:
    (axis,) = draw(plots.repetition_chart(20, {"greedy": [0.0, 0.4], "human": [0.0, 0.0]}, 4))
    assert axis.lines[0].get_xdata().tolist() == [20, 40]
    assert "4-grams" in axis.get_ylabel()


def test_trade_chart_labels_its_points() -> None:
    families = {"temperature": [("0.5", 3, 0.9), ("1", 9, 0.5)], "top-p": [("0.9", 7, 0.7)]}
    (axis,) = draw(plots.trade_chart(families, "variety", "right"))
    assert [text.get_text() for text in axis.texts] == ["0.5", "1", "0.9"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("variety", "right")


def test_beam_chart_ticks_its_widths() -> None:
    left, right = draw(plots.beam_chart([1, 2, 8], {"a": [-3, -2, -1]}, {"a": [9, 9, 4]}))
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["1", "2", "8"]
    assert right.get_ylim()[0] == 0


def test_speculation_chart_has_points_and_lines() -> None:
    values = {"good": [1.5, 2.0], "bad": [1.1, 1.2]}
    (axis,) = draw(plots.speculation_chart([1, 2], values, values))
    assert len(axis.lines) == 5
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["good", "bad"]
