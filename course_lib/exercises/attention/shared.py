"""What several exercises of `attention` share."""

from __future__ import annotations

import math

INF = float("inf")

# torch's operators that are softmax, and those that are attention, whatever calls them
SOFTMAX = ("aten::_softmax", "aten::_log_softmax")
ATTENTION = ("aten::_scaled_dot_product", "aten::_safe_softmax")


def scaled_scores(q, k):
    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
