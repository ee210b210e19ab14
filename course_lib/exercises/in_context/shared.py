"""What several exercises of `in_context` share."""

from __future__ import annotations

ARROW = "{input} -> {output}"


ASKED = "Q: {input}\nA: {output}"


WORDS = "sun moon lake tree bird wolf rose king ship road snow lamp fish hill corn star".split()
