"""What several exercises of `tokenization` share."""

from __future__ import annotations

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def draw_letters(draw, n):
    """n different letters in alphabetical order."""
    return sorted(draw.random.sample(LETTERS, n))
