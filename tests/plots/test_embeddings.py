from __future__ import annotations

import torch

from course_lib.embeddings import sinusoidal_positions
from course_lib.plots import embeddings as plots


def draw(figure):
    """Lay it out, so that what cannot be drawn fails; then its axes that hold data."""
    figure.canvas.draw()
    return [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


def test_word_maps_show_every_word_by_kind() -> None:
    points = torch.randn(5, 2)
    kinds = ["food", "food", "jobs", "food", "jobs"]
    figure = plots.plot_word_maps({"before": points, "after": 2 * points}, kinds, "Words")
    axes = draw(figure)
    assert [axis.get_title("left") for axis in axes] == ["before", "after"]
    assert [len(dots.get_offsets()) for dots in axes[1].collections] == [3, 2]
    assert torch.allclose(
        torch.tensor(axes[0].collections[1].get_offsets()), points[[2, 4]].double()
    )
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["food", "jobs"]


def test_word_arrows_name_both_ends() -> None:
    words, pairs = ["king", "man", "queen", "woman"], [("king", "queen"), ("man", "woman")]
    (axis,) = draw(plots.plot_word_arrows(torch.randn(4, 2), words, pairs, "along the step"))
    assert sorted(text.get_text() for text in axis.texts if text.get_text()) == sorted(words)
    assert "parallel" in axis.get_title("left") and axis.get_ylabel() == "along the step"


def test_waves() -> None:
    left, right = draw(plots.plot_waves(sinusoidal_positions(20, 8), [0, 4]))
    assert left.get_ylabel() == "position" and left.get_ylim() == (20, 0)
    assert [line.get_label() for line in right.lines] == ["channel 0", "channel 4"]


def test_matrices_share_one_scale() -> None:
    matrices = {"one": torch.eye(3), "two": -2 * torch.eye(3)}
    axes = draw(plots.plot_matrices(matrices, "key", "query", "score", diverging=True))
    assert [axis.collections[0].get_clim() for axis in axes] == [(-2, 2), (-2, 2)]
    assert axes[0].get_xlabel() == "key" and axes[0].get_ylabel() == "query"


def test_curves() -> None:
    curves = {"a": ([1, 2], [0.5, 0.7]), "b": ([1], [0.9])}
    figure = plots.plot_curves(curves, "Accuracy", "step", chance=0.5, mark=(1.5, "here"))
    (axis,) = draw(figure)
    labels = [line.get_label() for line in axis.get_legend().get_lines()]
    assert labels == ["a", "b", "chance", "here"]
    assert axis.get_title("left") == "Accuracy" and axis.get_xlabel() == "step"


def test_turns_say_the_score() -> None:
    query, key = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 2.0])
    axes = draw(plots.plot_turns({"shift 0": (query, key), "shift 1": (-query, key)}))
    assert [axis.get_title("left").split()[-1] for axis in axes] == ["0.500", "-0.500"]
