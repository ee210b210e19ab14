from __future__ import annotations

import io

import pytest
import torch

from course_lib.plots.probability import (
    label_chart,
    log_prob_chart,
    machine,
    next_token_chart,
    visible,
)

SUGGESTIONS = [(" sky", 0.4), ("\n", 0.2), ("$x$ and $", 0.1)]


def drawn(figure):
    """The figure's visible axes, after it has really been drawn."""
    figure.savefig(io.BytesIO(), format="png")
    return [axis for axis in figure.axes if axis.get_visible()]


def labels(texts):
    return [text.get_text() for text in texts]


def test_blanks_and_line_breaks_can_be_seen():
    assert visible(" sky\n") == "␣sky↵"


@pytest.mark.parametrize("n_panels", [1, 2, 3, 4])
def test_next_token_chart_has_a_panel_for_each_title(n_panels):
    panels = {f"after: ${n}" * 2: SUGGESTIONS for n in range(n_panels)}
    axes = drawn(next_token_chart(panels))
    assert [axis.get_title(loc="left") for axis in axes] == list(panels)
    for axis in axes:
        assert labels(axis.get_yticklabels()) == ["␣sky", "↵", "$x$␣and␣$"]
        assert [bar.get_width() for bar in axis.patches] == [0.4, 0.2, 0.1]
        top, second = (bar.get_y() for bar in axis.patches[:2])
        assert axis.transData.transform((0, top))[1] > axis.transData.transform((0, second))[1]


def test_next_token_chart_without_suggestions_is_an_empty_panel():
    (axis,) = drawn(next_token_chart({"a word never met": []}))
    assert not axis.patches


def test_machine_shows_every_stage_with_its_shape():
    vectors = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    logits = torch.linspace(-3, 3, 50)
    ids = torch.tensor([4, 49, 0])
    figure = machine(["The", " sun", "$"], ids, vectors, 2 * vectors, logits, SUGGESTIONS)
    titles = [axis.get_title(loc="left") for axis in drawn(figure)]
    assert [title.split("\n")[0] for title in titles] == [
        "preprocess",
        *["forward"] * 3,
        "postprocess",
    ]
    for title, shape in zip(titles, ["[3]", "[3, 16]", "[3, 16]", "[50]"], strict=False):
        assert shape in title
    assert {"The", "␣sun", "$", "4", "49", "0"} == set(labels(figure.axes[0].texts))


def test_log_prob_chart_shares_its_scale():
    figure = log_prob_chart({"one": [("a", -1.0), (" b", -9.0)], "other": [("c", -2.0)]})
    first, second = drawn(figure)
    assert labels(first.get_xticklabels()) == ["a", "␣b"]
    assert first.get_ylim() == second.get_ylim()
    assert first.get_ylim()[0] < -9
    assert "nats" in first.get_ylabel()


def test_label_chart_marks_what_is_on_the_wrong_side():
    (axis,) = drawn(label_chart(["good", "bad", "odd"], [0.9, 0.2, 0.7], [True, False, False], "x"))
    assert [(text.get_text(), text.xy) for text in axis.texts] == [("wrong", (0.7, 2))]
    assert labels(axis.get_yticklabels()) == ["good", "bad", "odd"]
    assert axis.get_xlabel() == "P(x | text)"
