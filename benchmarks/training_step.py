"""A training step of our decoder beside `transformers`, at three sizes and in two kinds.

    python benchmarks/training_step.py

A step is forward, loss, backward and AdamW, on the same ids and from the same weights. Ours twice:
"clear" is `causal_lm_loss(model(ids), ids)`, "fast" is `next_token_loss(model, ids)`.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from side_by_side import Comparison, Fact, Growth, in_turn, save
from torch import Tensor
from tqdm import tqdm
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.fast import next_token_loss
from course_lib.objectives import causal_lm_loss
from course_lib.pretrained.export import export_decoder

THREADS = 2
BATCH, LENGTH = 8, 128
ROUNDS, GOAL = 15, 1.2
SIZES = {  # vocab_size, width, n_layers, n_heads; steps in one measurement
    "small": (512, 64, 2, 2, 16),
    "medium": (4096, 256, 4, 4, 2),
    "large": (8192, 512, 8, 8, 1),
}
KINDS = {"GPT-2": "GPT2LMHeadModel", "LLaMA": "LlamaForCausalLM"}
PRODUCTS = {"aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm"}


def new_config(kind: str, vocab_size: int, width: int, n_layers: int, n_heads: int):
    if kind == "GPT-2":
        return DecoderConfig(vocab_size, LENGTH, width, n_layers, n_heads, 4 * width)
    return DecoderConfig(
        vocab_size,
        LENGTH,
        width,
        n_layers,
        n_heads,
        ffn_width=8 * width // 3 // 16 * 16,
        positions="rope",
        norm="rms",
        feed_forward="swiglu",
        bias=False,
    )


@dataclass
class Trainee:
    """A model, its loss on ids, and its optimiser."""

    model: torch.nn.Module
    loss: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)

    def step(self, ids: Tensor) -> float:
        loss = self.loss(ids)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


def new_trainees(config: DecoderConfig) -> dict[str, Trainee]:
    """The same weights three times: transformers', ours clear, ours fast."""
    clear, fast = (DecoderLM(config, torch.Generator().manual_seed(0)) for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        export_decoder(clear, folder)
        theirs = AutoModelForCausalLM.from_pretrained(folder)  # in eval mode: no dropout

    def their_loss(ids: Tensor) -> Tensor:
        return theirs(input_ids=ids, labels=ids, use_cache=False).loss  # as transformers' Trainer

    return {
        "transformers": Trainee(theirs, their_loss),
        "clear": Trainee(clear, lambda ids: causal_lm_loss(clear(ids), ids)),
        "fast": Trainee(fast, lambda ids: next_token_loss(fast, ids)),
    }


def new_batches(vocab_size: int, rows: int, number: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (rows, LENGTH)
    return [torch.randint(vocab_size, shape, generator=generator) for _ in range(number)]


def assert_equal_losses(trainees: dict[str, Trainee], batches: list[Tensor]) -> None:
    """Each step's loss depends on the gradients of the steps before it."""
    sizes = {sum(p.numel() for p in one.model.parameters()) for one in trainees.values()}
    assert len(sizes) == 1, f"models of {sizes} parameters"
    for ids in batches:
        losses = [one.step(ids) for one in trainees.values()]
        assert max(losses) - min(losses) < 1e-3, losses


def share_of_products(trainee: Trainee, ids: Tensor) -> float:
    """How much of a step's time goes into products of matrices."""
    with torch.profiler.profile() as profile:
        trainee.step(ids)
    events = profile.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    return sum(e.self_cpu_time_total for e in events if e.key in PRODUCTS) / total


def compare(kind: str, size: str) -> tuple[list[Comparison], Fact]:
    *sizes, steps = SIZES[size]
    trainees = new_trainees(new_config(kind, *sizes))
    batches = new_batches(sizes[0], BATCH, steps)
    assert_equal_losses(trainees, new_batches(sizes[0], BATCH, 4))
    calls = {n: lambda one=one: [one.step(ids) for ids in batches] for n, one in trainees.items()}
    seconds = in_turn(calls, rounds=ROUNDS)
    shares = [share_of_products(trainees["fast"], batches[0]) for _ in range(3)]
    n = sum(p.numel() for p in trainees["fast"].model.parameters())
    what = f"{steps} training step{'s' * (steps > 1)}, {kind} of {n / 1e6:.2g} M parameters"
    bound = f"{statistics.median(shares):.0%} of our step are products that both compute"
    peer = KINDS[kind]
    theirs = seconds["transformers"]
    comparisons = [
        Comparison(f"{what}, fast", peer, seconds["fast"], theirs, GOAL, bound),
        Comparison(f"{what}, clear", peer, seconds["clear"], theirs),
    ]
    fact = Fact(f"products of matrices in our step, {kind}, {size}", [100 * s for s in shares], "%")
    return comparisons, fact


def growth(what: str, points: dict[int, tuple[DecoderConfig, int]]) -> Growth:
    """Seconds of a fast step over a size: {size: (config, rows)}."""
    calls = {}
    for size, (config, rows) in points.items():
        model = DecoderLM(config, torch.Generator().manual_seed(0))
        trainee = Trainee(model, lambda ids, model=model: next_token_loss(model, ids))
        (ids,) = new_batches(config.vocab_size, rows, 1)
        calls[str(size)] = lambda trainee=trainee, ids=ids: trainee.step(ids)
    seconds = in_turn(calls, rounds=5)
    costs = [statistics.median(times) for times in seconds.values()]
    return Growth("training step, fast, LLaMA", what, list(points), costs)


def main() -> None:
    torch.set_num_threads(THREADS)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    comparisons, facts = [], []
    for kind in KINDS:
        for size in tqdm(SIZES, kind):
            some, fact = compare(kind, size)
            comparisons += some
            facts.append(fact)
    widths = {w: (new_config("LLaMA", 1024, w, 2, w // 32), BATCH) for w in (64, 128, 256, 512)}
    medium = new_config("LLaMA", *SIZES["medium"][:-1])
    growths = [
        growth("width", widths),
        growth("texts in a batch", {rows: (medium, rows) for rows in (2, 4, 8, 16)}),
    ]
    note = (
        f"{BATCH} texts of {LENGTH} tokens, float32, {THREADS} threads, no dropout; the same "
        "weights and ids, AdamW with one fused kernel for all, no compilation; transformers "
        "without its cache, as its Trainer calls it. Before timing, four steps of all agree in "
        "their losses. Clear: `causal_lm_loss(model(ids), ids)`; fast: `next_token_loss`."
    )
    save("training_step", "A training step", comparisons, growths, facts, [note])


if __name__ == "__main__":
    main()
