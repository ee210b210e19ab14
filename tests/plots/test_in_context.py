from __future__ import annotations

import torch

from course_lib.experiments.in_context import Growth
from course_lib.plots import in_context as plots


def draw(figure):
    """Lay it out, so that what cannot be drawn fails; then its axes."""
    figure.canvas.draw()
    return figure.axes


def test_next_token_chart_shows_blanks() -> None:
    panels = {"0 examples": [(" 1", 0.2), ("\n", 0.1)], "2 examples": [(" Paris", 0.9)]}
    first, second = draw(plots.next_token_chart(panels))
    assert [label.get_text() for label in first.get_yticklabels()] == ["␣1", "↵"]
    assert (second.get_title("left"), second.patches[0].get_width()) == ("2 examples", 0.9)


def test_shots_chart_has_bars_and_equal_steps() -> None:
    results = {"capitals": {0: (0.0, 0.0, 0.1), 8: (0.8, 0.7, 0.9), 2: (0.5, 0.4, 0.6)}}
    (axis,) = draw(plots.shots_chart(results, "rises"))
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0", "2", "8"]
    assert axis.lines[0].get_ydata().tolist() == [0.0, 0.5, 0.8]
    assert (axis.get_ylabel(), axis.get_title("left")) == ("accuracy", "rises")


def test_labels_chart_has_a_dot_for_each_draw() -> None:
    conditions = {"true": [0.9, 0.7], "flipped": [0.6, 0.5]}
    left, right = draw(plots.labels_chart({"before": conditions, "after": conditions}, "labels"))
    assert left.lines[0].get_ydata().tolist() == [0.9, 0.7]
    assert left.lines[1].get_ydata().tolist() == [0.8, 0.8]
    assert [label.get_text() for label in right.get_xticklabels()] == ["true", "flipped"]


def test_order_chart_names_the_orders() -> None:
    bars = {"before": [0.5, 0.6], "after": [0.7, 0.8]}
    left, right = draw(plots.order_chart(["+-", "-+"], [0.9, 0.4], bars))
    assert [label.get_text() for label in left.get_xticklabels()] == ["+-", "-+"]
    assert len(right.patches) == 4


def test_growth_chart_has_losses_above_and_scores_below() -> None:
    two = Growth([0, 9], [3, 3], [3, 0], [[0, 0], [0, 0.9]], [[0, 0.5], [0, 0]])
    one = Growth([0, 9], [3, 3], [3, 2], [[0, 0.1]], [[0, 0]])
    top, bottom = draw(plots.growth_chart(two, one))
    assert (len(top.lines), len(bottom.lines)) == (3, 3)
    assert "nats" in top.get_ylabel() and bottom.get_xlabel() == "training steps"


def test_maps_have_a_scale() -> None:
    axis, bar = draw(plots.head_map(torch.rand(30, 9), "heads"))
    assert (axis.get_xlabel(), bar.get_ylabel()) == ("layer", "induction score")
    first, second, bar = draw(plots.stripe_map({"a": torch.eye(6), "b": torch.eye(6)}, 3))
    assert first.get_title("left") == "a" and bar.get_ylabel() == "attention weight"
