from __future__ import annotations

import pytest
import torch

from course_lib.data.digits import load_digits, to_patches
from course_lib.plots import encoder as plots


def draw(figure):
    """Lay it out, so that what cannot be drawn fails; then its axes that hold data."""
    figure.canvas.draw()
    return [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


def test_loss_shows_steps_mean_and_blind_guessing() -> None:
    losses = [6.0 - i / 20 for i in range(60)]
    (axis,) = draw(plots.plot_loss(losses, 6.3, window=10))
    assert axis.lines[0].get_ydata().tolist() == losses
    assert axis.lines[1].get_ydata()[0] == pytest.approx(sum(losses[:10]) / 10)
    assert axis.lines[2].get_ydata() == [6.3, 6.3]
    assert "nats" in axis.get_ylabel()


def test_fill_in_shows_model_and_truth() -> None:
    guesses = {"a [MASK]": (["b", "c"], [0.7, 0.2], [0.5, 0.5]), "d": (["e"], [1.0], [1.0])}
    axes = draw(plots.plot_fill_in(guesses))
    assert [axis.get_title("left") for axis in axes] == list(guesses)
    assert [bar.get_height() for bar in axes[0].patches] == [0.7, 0.2, 0.5, 0.5]


def test_accuracies_in_percent() -> None:
    accuracies = {"bag": {"plain": 0.98, "negated": 0.5}, "encoder": {"plain": 1, "negated": 0.97}}
    (axis,) = draw(plots.plot_accuracies(accuracies, "Moods"))
    assert [bar.get_height() for bar in axis.patches] == pytest.approx([98, 100, 50, 97])
    assert axis.get_title("left") == "Moods" and "percent" in axis.get_ylabel()


def test_by_labels() -> None:
    figure = plots.plot_by_labels([10, 100], {"full": [0.4, 0.9]}, "Entities", "F1, percent")
    (axis,) = draw(figure)
    assert axis.lines[0].get_ydata() == pytest.approx([40, 90])
    assert axis.get_xscale() == "log" and axis.get_ylabel() == "F1, percent"


def test_entities_are_boxed_and_escaped() -> None:
    html = plots.show_entities([(["<b>", "Cape_Town", "!"], {(1, 2, "PLACE")})]).data
    assert "Cape Town <small>place</small>" in html and "&lt;b&gt;" in html


def test_patches_lie_in_reading_order() -> None:
    image = load_digits()[0].images[0]
    picture, sequence = draw(plots.plot_patches(image, to_patches(image[None], 2)[0], 2))
    assert torch.equal(torch.tensor(picture.images[0].get_array().data), image)
    assert [text.get_text() for text in sequence.texts] == [str(i) for i in range(16)]
    shown = sequence.images[0].get_array().data
    assert shown[1:3, 1:3].flatten().tolist() == to_patches(image[None], 2)[0, 0].tolist()


def test_digits_and_frames() -> None:
    axes = draw(plots.plot_digits(torch.rand(3, 8, 8), [1, 2, 3], [1, 2, 8]))
    assert axes[2].get_title("left") == "3, read as 8"
    (axis,) = draw(plots.plot_frames(torch.rand(400), 100, 8000))
    assert "4 frames" in axis.get_title("left") and axis.get_xlabel() == "milliseconds"
