from __future__ import annotations

from course_lib.experiments.preferences import Look
from course_lib.plots import adapting as plots


def test_share_chart_has_a_row_and_an_interval_for_each_way() -> None:
    figure = plots.share_chart({"zero": (0.0, 0.0, 0.2), "tuned": (0.5, 0.3, 0.7)}, "helps")
    figure.canvas.draw()
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["zero", "tuned"]
    assert [container.lines[0].get_xdata()[0] for container in axis.containers] == [0.0, 0.5]


def test_leash_chart_shows_truth_twice_and_the_learned_reward_once() -> None:
    looks = [Look(0.0, 2.0, 0.3), Look(40.0, 9.0, 0.1)]
    figure = plots.leash_chart({"DPO": looks}, {"no leash": looks})
    figure.canvas.draw()
    values = [axis.lines[0].get_ydata() for axis in figure.axes]
    assert [list(value) for value in values] == [[0.3, 0.1], [0.3, 0.1], [2.0, 9.0]]


def test_bits_chart_names_each_number_of_bits() -> None:
    figure = plots.bits_chart({32: (400.0, 2.0, 1.0), 8: (100.0, 2.1, 0.98)})
    figure.canvas.draw()
    for axis in figure.axes:
        assert [text.get_text() for text in axis.texts] == ["32 bits", "8 bits"]
