from __future__ import annotations

import pytest

from course_lib.plots import pipeline as plots


def draw(figure):
    """Lay it out, so that what cannot be drawn fails; then its axes."""
    figure.canvas.draw()
    return figure.axes


def test_scores_have_intervals_and_a_line_for_guessing() -> None:
    scores = {"encoder": (30.0, 0.8, 0.7, 0.9), "decoder": (200.0, 0.5, 0.4, 0.6)}
    (axis,) = draw(plots.score_chart(scores, 0.2))
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert sorted(labels) == ["decoder", "encoder", "guessing"]
    assert axis.get_xscale() == "log"
    low, high = axis.containers[0].lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((0.7, 0.9))


def test_domains_stand_where_their_numbers_say() -> None:
    (axis,) = draw(plots.domain_chart({"chords": (3.0, 4.0), "prose": (1.1, 0.5)}))
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["chords", "prose"]
    points = {line.get_label(): line.get_xydata()[0] for line in axis.lines[:2]}
    assert points["chords"] == pytest.approx((3.0, 4.0))
    assert axis.get_xscale() == axis.get_yscale() == "log"


def test_costs_have_a_line_each() -> None:
    (axis,) = draw(plots.cost_chart([1, 10], {"API": [1, 10], "own": [36, 36]}, "Title"))
    assert axis.get_xscale() == axis.get_yscale() == "log"
    assert [list(line.get_ydata()) for line in axis.lines] == [[1, 10], [36, 36]]
    assert axis.get_title("left") == "Title"


def test_each_stage_of_the_life_cycle_has_its_lines() -> None:
    (axis,) = draw(plots.life_cycle_chart({"use case": ["a task"], "model": ["one", "two"]}))
    texts = [text.get_text() for text in axis.texts]
    assert [text for text in texts if text] == ["use case", "a task", "model", "one\ntwo"]
