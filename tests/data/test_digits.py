from __future__ import annotations

import pytest
import torch

from course_lib.data.digits import load_digits, to_patches


def test_digits_are_divided_once_and_for_all():
    train, test = load_digits()
    assert train.images.shape == (1297, 8, 8) and test.images.shape == (500, 8, 8)
    again = load_digits()
    for one, other in zip((*train, *test), (*again[0], *again[1])):
        assert torch.equal(one, other)


def test_every_digit_is_in_both_parts_and_no_picture_twice():
    train, test = load_digits()
    for part in (train, test):
        assert part.labels.dtype == torch.int64
        assert part.labels.bincount().min() > 0.07 * len(part.labels)
        assert part.images.min() == 0 and part.images.max() == 1
    seen = {tuple(image.flatten().tolist()) for image in train.images}
    assert not any(tuple(image.flatten().tolist()) in seen for image in test.images)


def test_pictures_show_their_labels():
    """The nearest training picture nearly always carries the same label."""
    train, test = load_digits()
    distance = torch.cdist(test.images.flatten(1), train.images.flatten(1))
    assert (train.labels[distance.argmin(1)] == test.labels).float().mean() > 0.95


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_patches_equal_unfold(size):
    images = torch.randn(3, 8, 16)
    expected = torch.nn.functional.unfold(images[:, None], size, stride=size).transpose(1, 2)
    assert torch.equal(to_patches(images, size), expected)


def test_patches_by_hand():
    picture = torch.arange(16.0).reshape(1, 4, 4)
    assert to_patches(picture, 2).tolist() == [
        [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    ]


@pytest.mark.parametrize("size", [0, 3, 16])
def test_squares_must_fit(size):
    with pytest.raises(ValueError, match="size must divide"):
        to_patches(torch.zeros(1, 8, 8), size)
