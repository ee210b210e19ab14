"""What several exercises of `encoder` share."""

from __future__ import annotations

import torch


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def mean_over_labels(logits, labels):
    """What a position costs is `logits`, [batch, time]."""
    labelled = labels != -100
    return logits.masked_fill(~labelled, 0).sum() / labelled.sum().clamp(min=1)


def costs_of_labels(logits, labels):
    log_probs = logits.log_softmax(-1)
    return -log_probs.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
