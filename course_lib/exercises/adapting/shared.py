"""What several exercises of `adapting` share."""

from __future__ import annotations

import torch


def texts(draw, batch, time, scale=1.0):
    """Log-probabilities of two models, and a mask with rows of different length."""
    policy, reference = (-draw.normal(batch, time, scale=scale).abs() for _ in range(2))
    lengths = (draw.permutation(max(batch, time)) % time + 1)[:batch, None]
    return policy, reference, torch.arange(time) < lengths
