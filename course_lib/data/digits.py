"""Handwritten digits: 1,797 small pictures that come inside scikit-learn, no download needed.

They are the test set of the "Optical Recognition of Handwritten Digits" data (Alpaydin and Kaynak
1998, UCI Machine Learning Repository): 8 x 8 pixels, 17 shades of grey, written by 13 people.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from course_lib.shapes import check_shapes

__all__ = ["N_TEST", "N_TRAIN", "Digits", "load_digits", "to_patches"]

N_TRAIN = 1297
N_TEST = 500


class Digits(NamedTuple):
    """Pictures and what they show.

    Attributes:
        images: 0 is paper, 1 is ink.
        labels: 0 ... 9.
    """

    images: Float[Tensor, "n 8 8"]
    labels: Int64[Tensor, "n"]


def load_digits() -> tuple[Digits, Digits]:
    """The pictures, 1,297 to learn from and 500 to test with: always the same ones.

    The order is shuffled with a fixed seed before they are divided, so that every digit is in both
    parts. The 13 writers are in both parts as well: the data do not say who wrote what.
    """
    from sklearn import datasets

    pictures, numbers = datasets.load_digits(return_X_y=True)
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
    images = (torch.from_numpy(pictures).float() / 16).reshape(-1, 8, 8)[order]
    labels = torch.from_numpy(numbers).long()[order]
    return (
        Digits(images[:N_TRAIN], labels[:N_TRAIN]),
        Digits(images[N_TRAIN:], labels[N_TRAIN:]),
    )


@check_shapes
def to_patches(images: Float[Tensor, "n height width"], size: int) -> Float[Tensor, "n time patch"]:
    """Cut pictures into squares, read like a page: left to right, top to bottom.

    What a vision transformer reads (Dosovitskiy et al. 2020, section 3.1).

    Args:
        images: one channel.
        size: pixels along a side of a square.

    Returns:
        [n, time, size * size]: a sequence of `time` squares for each picture, each square row by
        row.

    Raises:
        TypeError: `images` is not a float tensor.
        ValueError: `size` does not divide height and width.
    """
    n, height, width = images.shape
    if size < 1 or height % size != 0 or width % size != 0:
        raise ValueError(f"size must divide height {height} and width {width}, got {size}")

    squares = images.reshape(n, height // size, size, width // size, size)
    return squares.transpose(2, 3).reshape(n, -1, size * size)
