"""What several exercises of `transformer` share."""

from __future__ import annotations


def centred(x):
    return x - x.mean(-1, keepdim=True)
