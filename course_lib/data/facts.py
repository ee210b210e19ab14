"""A language of facts: some are told all the time, most are told rarely (for notebook 10).

A fact is a short key and the value that belongs to it, as in "Ada Marsh Jones: baker". A text is
one fact after another, each drawn anew with Zipf's law: the r-th commonest comes up in proportion
to 1 / r**exponent. Which symbols spell which key, and which value belongs to it, is drawn once and
follows no rule. So there is nothing to understand, and always more to learn: a larger model can
hold more facts, a longer text shows more of them. And the entropy is exact: a value follows from
its key, so all that no model can know is which fact comes next.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["FactLanguage"]


class FactLanguage:
    """Facts with Zipf's law.

    Attributes:
        vocab_size: `n_symbols`, and a start token (the last id).
        fact_length: tokens of a fact, key and value.
        facts: ids of every fact, the commonest first.
        log_probs: natural log-probability of each, in the same order.
        entropy: nats per token that the best possible model still loses, the start apart.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        n_symbols: int = 32,
        key_length: int = 3,
        value_length: int = 2,
        exponent: float = 1.1,
    ):
        """
        Args:
            seed: decides who has which key and value; not the texts.
            n_symbols: ids that keys and values are spelled with.
            key_length, value_length: symbols in each; every possible key has a fact.
            exponent: of Zipf's law.

        Raises:
            ValueError: a size is below 1, or `exponent` is negative.
        """
        sizes = {"n_symbols": n_symbols, "key_length": key_length, "value_length": value_length}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if exponent < 0:
            raise ValueError(f"exponent must not be negative, got {exponent}")

        generator = torch.Generator().manual_seed(seed)
        n_facts = n_symbols**key_length
        place = n_symbols ** torch.arange(key_length)  # a key is a number, symbol by symbol
        keys = torch.randperm(n_facts, generator=generator)[:, None] // place % n_symbols
        values = torch.randint(n_symbols, (n_facts, value_length), generator=generator)
        self.facts: Int64[Tensor, "facts fact_length"] = torch.cat([keys, values], dim=1)
        self.vocab_size = n_symbols + 1
        self.start_id = n_symbols
        self.fact_length = key_length + value_length

        weights = torch.arange(1, n_facts + 1, dtype=torch.float64) ** -exponent
        probs = weights / weights.sum()
        self.log_probs: Float[Tensor, "facts"] = probs.log()
        self.entropy = -(probs * self.log_probs).sum().item() / self.fact_length
        self._reaches = probs.cumsum(0)

    def draw(
        self, rows: int, facts_a_row: int, generator: torch.Generator
    ) -> Int64[Tensor, "rows facts"]:
        """Which facts are told: their places in `facts`, each drawn anew."""
        uniform = torch.rand(rows, facts_a_row, generator=generator, dtype=torch.float64)
        return torch.searchsorted(self._reaches, uniform).clamp(max=len(self.facts) - 1)

    def spell(self, drawn: Int64[Tensor, "rows facts"]) -> Int64[Tensor, "rows time"]:
        """The text of drawn facts: the start token, then fact after fact."""
        start = torch.full((len(drawn), 1), self.start_id)
        return torch.cat([start, self.facts[drawn].flatten(1)], dim=1)
